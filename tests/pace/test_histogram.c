#include "histogram.h"
#include "random.h"
#include "suite.h"

#include <math.h>

static struct histogram h;

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

START_TEST(cells_follow_each_other_and_are_narrow)
{
	ck_assert_int_eq(histogram_cell_low(0), 0);
	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		int64_t low = histogram_cell_low(cell), high = histogram_cell_high(cell);

		ck_assert_int_le(low, high);
		if (low < 2 * HISTOGRAM_HALF)
			ck_assert_int_eq(low, high);
		else
			ck_assert_int_le((high - low) * 1000, low);
		if (cell + 1 < HISTOGRAM_CELLS)
			ck_assert_int_eq(histogram_cell_low(cell + 1), high + 1);
		/* A value goes where it belongs: both of its ends. */
		if (high <= HISTOGRAM_MAX_US) {
			memset(&h, 0, sizeof(h));
			histogram_add(&h, low);
			histogram_add(&h, high);
			ck_assert_uint_eq(h.cells[cell], 2);
		}
	}
	ck_assert_int_gt(histogram_cell_high(HISTOGRAM_CELLS - 1), HISTOGRAM_MAX_US);
}
END_TEST

START_TEST(percentiles_are_those_of_the_sorted_values)
{
	static const double percentiles[] = {0, 10, 50, 75, 90, 95, 99, 99.9, 99.99, 100};
	enum { COUNT = 10000 };
	static int64_t values[COUNT];
	uint64_t seed = random_seed();
	double sum = 0, squares = 0;

	for (int i = 0; i < COUNT; i++) {
		values[i] = (int64_t)exp(23 * (double)random_below(&seed, 1u << 30) / (1u << 30)) - 1;
		ck_assert_int_lt(values[i], HISTOGRAM_MAX_US * 3);
		values[i] = values[i] < HISTOGRAM_MAX_US ? values[i] : HISTOGRAM_MAX_US;
		histogram_add(&h, values[i]);
		sum += (double)values[i];
	}
	for (int i = 0; i < COUNT; i++)
		squares += pow((double)values[i] - sum / COUNT, 2);
	qsort(values, COUNT, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
		int rank = (int)ceil(percentiles[i] * COUNT / 100 - 1e-6);
		int64_t exact = values[rank > 0 ? rank - 1 : 0], found = histogram_percentile(&h, percentiles[i]);

		/* The largest value that the histogram cannot tell from the exact one. */
		ck_assert_int_ge(found, exact);
		ck_assert_int_le((found - exact) * 1000, exact);
	}
	ck_assert_int_eq(h.min_us, values[0]);
	ck_assert_int_eq(h.max_us, values[COUNT - 1]);
	ck_assert_double_eq_tol(h.mean_us, sum / COUNT, sum / COUNT * 1e-9);
	ck_assert_double_eq_tol(histogram_stdev(&h), sqrt(squares / COUNT), sqrt(squares / COUNT) * 1e-9);
}
END_TEST

START_TEST(the_empty_one_is_all_zero)
{
	ck_assert_int_eq(histogram_percentile(&h, 50), 0);
	ck_assert_int_eq(histogram_percentile(&h, 100), 0);
	ck_assert_double_eq(histogram_stdev(&h), 0);
	ck_assert_double_eq(histogram_within_stdev(&h), 0);
}
END_TEST

START_TEST(values_out_of_range_are_kept_as_far_as_can_be)
{
	histogram_add(&h, -5);
	ck_assert_uint_eq(h.cells[0], 1);
	histogram_add(&h, HISTOGRAM_MAX_US * 7);
	ck_assert_uint_eq(h.count, 2);
	ck_assert_int_eq(h.max_us, HISTOGRAM_MAX_US * 7);
	ck_assert_int_eq(histogram_percentile(&h, 100), HISTOGRAM_MAX_US * 7);
}
END_TEST

START_TEST(one_stdev_holds_what_it_should)
{
	for (int i = 0; i < 90; i++)
		histogram_add(&h, 1000);
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 2000);
	ck_assert_double_eq_tol(h.mean_us, 1100, 1e-9);
	ck_assert_double_eq_tol(histogram_stdev(&h), 300, 1e-9);
	ck_assert_double_eq_tol(histogram_within_stdev(&h), 0.9, 1e-9);
}
END_TEST

int main(void)
{
	return SUITE("histogram", 0, cells_follow_each_other_and_are_narrow, percentiles_are_those_of_the_sorted_values,
		     the_empty_one_is_all_zero, values_out_of_range_are_kept_as_far_as_can_be, one_stdev_holds_what_it_should);
}
