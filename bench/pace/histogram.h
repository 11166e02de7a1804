/*
 * histogram: counts of values from 0 to one hour in microseconds, log-linear as HdrHistogram's with 3 significant digits: exact below 2,048 µs,
 * above it in steps of less than a thousandth of the value. Count, mean, deviation, least and largest value are exact.
 */
#ifndef PACE_HISTOGRAM_H
#define PACE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX_US INT64_C(3600000000)
#define HISTOGRAM_HALF 1024 /* steps between one power of two and the next */
#define HISTOGRAM_SHIFTS 22 /* as many powers of two as bring 2 * HALF beyond the hour */
#define HISTOGRAM_CELLS (HISTOGRAM_HALF * (HISTOGRAM_SHIFTS + 1))

/* Zero-initialised is empty. */
struct histogram {
	uint64_t cells[HISTOGRAM_CELLS];
	uint64_t count;
	int64_t min_us;
	int64_t max_us; /* as measured, also beyond an hour */
	double mean_us;
	double squares; /* of the distances from the mean */
};

/* Negative values count as 0, those beyond an hour in the last cell. */
void histogram_add(struct histogram *h, int64_t us);

/* The largest and the least value of a cell. */
int64_t histogram_cell_low(size_t cell);
int64_t histogram_cell_high(size_t cell);

/* The value that `percentile` % of the values do not exceed (the largest of its cell); 0 when empty. */
int64_t histogram_percentile(const struct histogram *h, double percentile);

double histogram_stdev(const struct histogram *h);
/* Share of the values within one standard deviation of the mean, 0 to 1. */
double histogram_within_stdev(const struct histogram *h);

#endif
