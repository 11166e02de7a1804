#include "histogram.h"

#include <assert.h>
#include <math.h>

static_assert((INT64_C(2) * HISTOGRAM_HALF << (HISTOGRAM_SHIFTS - 1)) > HISTOGRAM_MAX_US, "the cells reach to the hour");

/* The cells of shift s hold the values from HALF << s up, HALF of them; shift 0 begins at 0 and has twice as many. */
static size_t cell_of(int64_t us)
{
	int shift = 63 - __builtin_clzll((uint64_t)us | HISTOGRAM_HALF) - 10;

	return (size_t)shift * HISTOGRAM_HALF + (size_t)(us >> shift);
}

static int shift_of(size_t cell)
{
	return cell < HISTOGRAM_HALF ? 0 : (int)(cell / HISTOGRAM_HALF) - 1;
}

int64_t histogram_cell_low(size_t cell)
{
	int shift = shift_of(cell);

	return (int64_t)(cell - (size_t)shift * HISTOGRAM_HALF) << shift;
}

int64_t histogram_cell_high(size_t cell)
{
	return histogram_cell_low(cell) + (INT64_C(1) << shift_of(cell)) - 1;
}

void histogram_add(struct histogram *h, int64_t us)
{
	double distance;

	if (us < 0)
		us = 0;
	h->cells[cell_of(us < HISTOGRAM_MAX_US ? us : HISTOGRAM_MAX_US)]++;
	if (h->count == 0 || us < h->min_us)
		h->min_us = us;
	if (us > h->max_us)
		h->max_us = us;
	/* Welford's way, which loses nothing to large sums */
	distance = (double)us - h->mean_us;
	h->count++;
	h->mean_us += distance / (double)h->count;
	h->squares += distance * ((double)us - h->mean_us);
}

int64_t histogram_percentile(const struct histogram *h, double percentile)
{
	/* A hair less than the product, or 99.9 % of 1,000 would be the 1,000th value by the error of the multiplication. */
	double wanted = ceil(percentile / 100 * (double)h->count * (1 - 1e-12));
	uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted;
	uint64_t seen = 0;

	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		seen += h->cells[cell];
		if (seen >= rank && h->cells[cell] > 0) {
			int64_t high = histogram_cell_high(cell);

			return high < h->max_us && seen < h->count ? high : h->max_us;
		}
	}
	return h->max_us;
}

double histogram_stdev(const struct histogram *h)
{
	return h->count == 0 ? 0 : sqrt(h->squares / (double)h->count);
}

double histogram_within_stdev(const struct histogram *h)
{
	double stdev = histogram_stdev(h);
	uint64_t within = 0;

	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		double middle = (double)(histogram_cell_low(cell) + histogram_cell_high(cell)) / 2;

		if (h->cells[cell] > 0 && fabs(middle - h->mean_us) <= stdev)
			within += h->cells[cell];
	}
	return h->count == 0 ? 0 : (double)within / (double)h->count;
}
