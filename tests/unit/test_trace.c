#include "trace.h"

#include <check.h>
#include <stdlib.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define ZEROES "00000000000000000000000000000000"

START_TEST(test_the_example_of_the_recommendation)
{
	struct trace t;

	ck_assert(trace_parse(str_of("00-" TRACE "-" PARENT "-01"), &t));
	ck_assert_str_eq(t.trace_id, TRACE);
	ck_assert_str_eq(t.parent_id, PARENT);
}
END_TEST

static const struct {
	const char *field;
	bool good;
} fields[] = {
	{"00-" TRACE "-" PARENT "-00", true},
	{"00-" TRACE "-" PARENT "-ff", true},
	{"cc-" TRACE "-" PARENT "-01", true}, /* a later version, read as far as it is known */
	{"cc-" TRACE "-" PARENT "-01-what-the-future-will-be", true},
	{"", false},
	{"-", false},
	{"00-" TRACE "-" PARENT "-0", false},
	{"00-" TRACE "-" PARENT "-01-", false}, /* version 00 ends here */
	{"00-" TRACE "-" PARENT "-01.", false},
	{"cc-" TRACE "-" PARENT "-01.", false},
	{"ff-" TRACE "-" PARENT "-01", false},
	{"00_" TRACE "-" PARENT "-01", false},
	{"00-" TRACE "_" PARENT "-01", false},
	{"00-" TRACE "-" PARENT "_01", false},
	{"0g-" TRACE "-" PARENT "-01", false},
	{"00-" TRACE "-" PARENT "-0x", false},
	{"00-" ZEROES "-" PARENT "-01", false},
	{"00-" TRACE "-0000000000000000-01", false},
	{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false}, /* upper case */
	{"00-4bf92f3577b34da6a3ce929d0e0e473\"-" PARENT "-01", false},
	{"00-" TRACE "-00f067aa0ba902b\n-01", false},
	{" 00-" TRACE "-" PARENT "-01", false},
};

START_TEST(test_only_a_well_formed_field_is_taken)
{
	struct trace t = {"", ""};

	ck_assert_int_eq(trace_parse(str_of(fields[_i].field), &t), fields[_i].good);
	ck_assert_str_eq(t.trace_id, fields[_i].good ? TRACE : "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace");
	TCase *tc = tcase_create("trace");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_the_example_of_the_recommendation);
	tcase_add_loop_test(tc, test_only_a_well_formed_field_is_taken, 0, sizeof(fields) / sizeof(fields[0]));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
