/*
 * clock: monotonic time in microseconds. Deadlines and durations use it, so that a step of the wall clock fails no request. It is the same for all processes
 * of a host, and begins anew when that is booted.
 */
#ifndef AGENTS_CLOCK_H
#define AGENTS_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_MS 1000LL
#define CLOCK_S 1000000LL

static inline int64_t clock_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock and a valid pointer */
	return (int64_t)t.tv_sec * CLOCK_S + t.tv_nsec / 1000;
}

/* One moment by both clocks: for durations, and for people. */
struct moment {
	int64_t us;      /* as clock_us() */
	int64_t wall_us; /* since 1970 */
};

#endif
