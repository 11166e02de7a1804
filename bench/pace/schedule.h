/*
 * schedule: when requests are meant to start. Every time follows from the beginning alone, never from when an earlier request was sent, so a
 * generator or server that falls behind does not stretch it. It holds no queue: requests that are late wait as times not taken yet.
 */
#ifndef PACE_SCHEDULE_H
#define PACE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_OVER INT64_MAX

struct schedule {
	double rate; /* requests per second */
	bool poisson;
	uint64_t random; /* state of the generator */
	int64_t begin_ns;
	int64_t end_ns;
	int64_t next_ns; /* the next intended start; SCHEDULE_OVER when there is none before the end */
	uint64_t taken;  /* times before next_ns */
	double at_s;     /* of the next one, after begin_ns */
};

/* Uniform: request i is due i / rate seconds after begin_ns. Poisson: the gaps are exponential, of 1 / rate on average; equal seeds, equal gaps. */
void schedule_init(struct schedule *s, double rate, bool poisson, uint64_t seed, int64_t begin_ns, int64_t end_ns);

/* The intended start that was next, and on to the one after it. */
int64_t schedule_take(struct schedule *s);

/* No more starts at or after `end_ns`. */
void schedule_end(struct schedule *s, int64_t end_ns);

#endif
