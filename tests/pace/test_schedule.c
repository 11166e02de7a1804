#include "schedule.h"
#include "suite.h"

#include <math.h>

#define SECOND_NS INT64_C(1000000000)
#define BEGIN_NS (INT64_C(12345) * SECOND_NS + 678)

START_TEST(uniform_starts_follow_from_the_beginning_alone)
{
	static const double rates[] = {0.5, 3, 10, 4000, 9999.75, 1e6};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct schedule s;
		uint64_t n = 0;

		schedule_init(&s, rates[i], false, 1, BEGIN_NS, BEGIN_NS + 2 * SECOND_NS);
		for (; s.next_ns != SCHEDULE_OVER; n++) {
			int64_t due = schedule_take(&s);
			double exact = (double)n / rates[i] * 1e9;

			/* An assertion for each of two millions would take seconds. */
			if (due >= BEGIN_NS + 2 * SECOND_NS || fabs((double)(due - BEGIN_NS) - exact) > 1.5)
				ck_abort_msg("start %lu at rate %f", (unsigned long)n, rates[i]);
		}
		ck_assert_uint_eq(n, (uint64_t)ceil(rates[i] * 2));
		ck_assert_uint_eq(n, s.taken);
	}
}
END_TEST

/* The millionth of a run of hours is as exact as the first. */
START_TEST(nothing_adds_up_over_hours)
{
	struct schedule s;
	int64_t due = 0;

	schedule_init(&s, 300, false, 1, BEGIN_NS, BEGIN_NS + 10000 * SECOND_NS);
	for (int i = 0; i <= 2999700; i++)
		due = schedule_take(&s);
	ck_assert_int_eq(due - BEGIN_NS, 9999 * SECOND_NS);
}
END_TEST

START_TEST(poisson_gaps_are_exponential)
{
	enum { RATE = 1000, SECONDS = 100 };
	struct schedule s;
	int64_t last = BEGIN_NS;
	double sum = 0, squares = 0, longer = 0, n = 0;

	schedule_init(&s, RATE, true, 7, BEGIN_NS, BEGIN_NS + SECONDS * SECOND_NS);
	while (s.next_ns != SCHEDULE_OVER) {
		int64_t due = schedule_take(&s);
		double gap = (double)(due - last) / 1e9 * RATE;

		ck_assert_int_ge(due, last);
		last = due;
		sum += gap;
		squares += gap * gap;
		longer += gap > 1;
		n++;
	}
	/* 100,000 gaps: the bounds are beyond five standard errors, and the seed is fixed. */
	ck_assert_double_eq_tol(n, RATE * SECONDS, 5 * sqrt(RATE * SECONDS));
	ck_assert_double_eq_tol(sum / n, 1, 0.02);
	ck_assert_double_eq_tol(squares / n - pow(sum / n, 2), 1, 0.05);
	ck_assert_double_eq_tol(longer / n, exp(-1), 0.01);
}
END_TEST

START_TEST(equal_seeds_give_equal_gaps)
{
	struct schedule a, b, c;
	int differ = 0;

	schedule_init(&a, 100, true, 1, BEGIN_NS, BEGIN_NS + 100 * SECOND_NS);
	schedule_init(&b, 100, true, 1, BEGIN_NS, BEGIN_NS + 100 * SECOND_NS);
	schedule_init(&c, 100, true, 2, BEGIN_NS, BEGIN_NS + 100 * SECOND_NS);
	for (int i = 0; i < 1000; i++) {
		int64_t due = schedule_take(&a);

		ck_assert_int_eq(due, schedule_take(&b));
		differ += due != schedule_take(&c);
	}
	ck_assert_int_gt(differ, 990);
}
END_TEST

START_TEST(it_can_end_early)
{
	struct schedule s;
	int n = 0;

	schedule_init(&s, 10, false, 1, BEGIN_NS, BEGIN_NS + 10 * SECOND_NS);
	ck_assert_int_eq(schedule_take(&s), BEGIN_NS);
	schedule_end(&s, BEGIN_NS + SECOND_NS);
	for (; s.next_ns != SCHEDULE_OVER; n++)
		(void)schedule_take(&s);
	ck_assert_int_eq(n, 9);
	schedule_init(&s, 10, false, 1, BEGIN_NS, BEGIN_NS + 10 * SECOND_NS);
	schedule_end(&s, BEGIN_NS);
	ck_assert_int_eq(s.next_ns, SCHEDULE_OVER);
}
END_TEST

int main(void)
{
	return SUITE("schedule", 0, uniform_starts_follow_from_the_beginning_alone, nothing_adds_up_over_hours,
		     poisson_gaps_are_exponential, equal_seeds_give_equal_gaps, it_can_end_early);
}
