#include "buckets.h"

const uint64_t buckets_durations_us[BUCKETS_BOUNDS] = {50,    100,    250,    500,    1000,    2500,    5000,    10000,   25000,
						       50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
const uint64_t buckets_counts[BUCKETS_BOUNDS] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 4096, 16384};

uint64_t buckets_count(const struct buckets *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= BUCKETS_BOUNDS; i++)
		n += counter_read(&h->in[i]);
	return n;
}

double buckets_quantile(const struct buckets *h, const uint64_t bounds[BUCKETS_BOUNDS], double q, bool *above)
{
	double rank = q * (double)buckets_count(h);
	double below = 0.;

	*above = false;
	if (rank <= 0.)
		return 0.;
	for (unsigned i = 0; i < BUCKETS_BOUNDS; i++) {
		double here = (double)counter_read(&h->in[i]);
		double low = i > 0 ? (double)bounds[i - 1] : 0.;

		if (here > 0. && below + here >= rank)
			return low + ((double)bounds[i] - low) * (rank - below) / here;
		below += here;
	}
	*above = true;
	return (double)bounds[BUCKETS_BOUNDS - 1];
}
