/*
 * buckets: a histogram: counts of values in fixed buckets, and their sum, as Prometheus wants them (upper bounds, inclusive), in shared memory: one writer, any number of
 * readers, no lock.
 */
#ifndef AGENTS_BUCKETS_H
#define AGENTS_BUCKETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A number that one process writes and others read: 64 bits are read and written whole, and no more is needed (relaxed). */
typedef _Atomic uint64_t counter;

static inline uint64_t counter_read(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t value)
{
	atomic_store_explicit(c, value, memory_order_relaxed);
}

/* No locked instruction: there is no other writer. */
static inline void counter_add(counter *c, uint64_t n)
{
	counter_set(c, counter_read(c) + n);
}

#define BUCKETS_BOUNDS 17

struct buckets {
	counter in[BUCKETS_BOUNDS + 1]; /* the last is of the values above all bounds */
	counter sum;
};

/* Upper bounds of the buckets: 50 µs to 10 s, in µs; and of numbers of things. */
extern const uint64_t buckets_durations_us[BUCKETS_BOUNDS];
extern const uint64_t buckets_counts[BUCKETS_BOUNDS];

static inline void buckets_add(struct buckets *h, const uint64_t bounds[BUCKETS_BOUNDS], uint64_t value)
{
	unsigned i = 0;

	while (i < BUCKETS_BOUNDS && value > bounds[i])
		i++;
	counter_add(&h->in[i], 1);
	counter_add(&h->sum, value);
}

/* A negative duration, which a clock should not give, counts as 0. */
static inline void buckets_add_us(struct buckets *h, int64_t us)
{
	buckets_add(h, buckets_durations_us, us > 0 ? (uint64_t)us : 0);
}

uint64_t buckets_count(const struct buckets *h);

/*
 * The value below which the part `q` (0 to 1) of all values lies, as exact as its bucket: interpolated within it. `above` is set when it is larger than
 * the last bound, which is then returned. 0 when there are none.
 */
double buckets_quantile(const struct buckets *h, const uint64_t bounds[BUCKETS_BOUNDS], double q, bool *above);

#endif
