/*
 * wait: time, and waits with a deadline.
 */
#ifndef TESTS_PACE_WAIT_H
#define TESTS_PACE_WAIT_H

#include <check.h>
#include <stdint.h>
#include <time.h>

/* How long a condition may take on a busy machine. */
#define PATIENCE_US INT64_C(60000000)
#define WAIT_FOR(condition)                                                                                                      \
	for (int64_t wait_until_us = now_us() + PATIENCE_US; !(condition); pause_us(2000))                                       \
		ck_assert_msg(now_us() < wait_until_us, "waited in vain for: %s", #condition);

static inline int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static inline void pause_us(int64_t us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

#endif
