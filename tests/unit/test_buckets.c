#include "buckets.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t *const all_bounds[] = {buckets_durations_us, buckets_counts};

START_TEST(test_bounds_grow)
{
	for (unsigned i = 1; i < BUCKETS_BOUNDS; i++)
		ck_assert_uint_lt(all_bounds[_i][i - 1], all_bounds[_i][i]);
}
END_TEST

/* Prometheus: le is "less than or equal". */
START_TEST(test_a_bound_belongs_to_its_bucket)
{
	const uint64_t *bounds = all_bounds[_i];

	for (unsigned i = 0; i < BUCKETS_BOUNDS; i++) {
		struct buckets h = {0};

		buckets_add(&h, bounds, bounds[i]);
		ck_assert_uint_eq(counter_read(&h.in[i]), 1);
		buckets_add(&h, bounds, bounds[i] + 1);
		ck_assert_uint_eq(counter_read(&h.in[i]), 1);
		ck_assert_uint_eq(counter_read(&h.in[i + 1]), 1);
		ck_assert_uint_eq(buckets_count(&h), 2);
		ck_assert_uint_eq(counter_read(&h.sum), 2 * bounds[i] + 1);
	}
}
END_TEST

START_TEST(test_nothing_and_too_much)
{
	struct buckets h = {0};
	bool above;

	ck_assert_double_eq(buckets_quantile(&h, buckets_durations_us, 0.5, &above), 0.);
	ck_assert(!above);
	buckets_add_us(&h, 0);
	buckets_add_us(&h, -5);
	ck_assert_uint_eq(counter_read(&h.in[0]), 2);
	ck_assert_uint_eq(counter_read(&h.sum), 0);
	for (int i = 0; i < 98; i++)
		buckets_add_us(&h, 3600 * 1000000LL);
	ck_assert_uint_eq(counter_read(&h.in[BUCKETS_BOUNDS]), 98);
	ck_assert_double_eq(buckets_quantile(&h, buckets_durations_us, 0.99, &above), 1e7);
	ck_assert(above);
}
END_TEST

/* Of known values a quantile lies in the bucket of the value that it stands for. */
START_TEST(test_quantiles_lie_in_the_right_bucket)
{
	struct buckets h = {0};
	bool above;

	for (int i = 1; i <= 1000; i++)
		buckets_add_us(&h, i * 10LL); /* 10 µs to 10 ms, evenly */
	for (int q = 1; q <= 100; q++) {
		double exact = q * 100.;
		double got = buckets_quantile(&h, buckets_durations_us, q / 100., &above);
		unsigned i = 0;

		while (exact > (double)buckets_durations_us[i])
			i++;
		ck_assert(!above);
		ck_assert_double_le(got, (double)buckets_durations_us[i] + 1e-6);
		ck_assert_double_ge(got, i > 0 ? (double)buckets_durations_us[i - 1] : 0.);
		ck_assert_double_eq_tol(got, exact, 60.); /* evenly spread, so also nearly exact */
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buckets");
	TCase *tc = tcase_create("buckets");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, test_bounds_grow, 0, 2);
	tcase_add_loop_test(tc, test_a_bound_belongs_to_its_bucket, 0, 2);
	tcase_add_test(tc, test_nothing_and_too_much);
	tcase_add_test(tc, test_quantiles_lie_in_the_right_bucket);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
