/*
 * loop: runs an event loop until something is true. Waits end with the condition; the deadline is for tests that fail, and generous.
 */
#ifndef TESTS_LOOP_H
#define TESTS_LOOP_H

#include "clock.h"

#include <check.h>
#include <ev.h>
#include <stdbool.h>

#define LOOP_DEADLINE_US (20 * CLOCK_S)

static inline void loop_on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
}

/* Turns the loop until `done` says so; false when it does not in time. It looks again at least every 2 ms. */
static inline bool loop_until(struct ev_loop *loop, bool (*done)(void *), void *arg)
{
	int64_t deadline_us = clock_us() + LOOP_DEADLINE_US;
	ev_timer tick;
	bool reached;

	ev_timer_init(&tick, loop_on_tick, 0.002, 0.002);
	ev_timer_start(loop, &tick);
	while (!(reached = done(arg)) && clock_us() < deadline_us)
		(void)ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &tick);
	return reached;
}

/* Handles what is there already, without waiting. Events between ends of one process are there at once. */
static inline void loop_turn(struct ev_loop *loop)
{
	for (int i = 0; i < 3; i++)
		(void)ev_run(loop, EVRUN_NOWAIT);
}

#endif
