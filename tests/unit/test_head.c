#include "head.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(fields_and_numbers)
{
	static const char expected[] = "Status: 200 OK\r\nContent-Length: 0\r\nETag: \"x\"\r\nEmpty: \r\n\r\n";
	struct head h = {.len = 0};

	HEAD_ADD(&h, "Status: ");
	head_add_size(&h, 200);
	HEAD_ADD(&h, " OK\r\nContent-Length: ");
	head_add_size(&h, 0);
	HEAD_ADD(&h, "\r\n");
	head_field(&h, (struct str)STR("ETag: "), (struct str)STR("\"x\""));
	head_field(&h, (struct str)STR("Empty: "), str_make("", 0));
	HEAD_ADD(&h, "\r\n");
	ck_assert(str_equal(head_str(&h), str_of(expected)));
}
END_TEST

START_TEST(numbers_of_every_length)
{
	for (size_t n = 0; n < SIZE_MAX / 10; n = n * 10 + 9) {
		const size_t around[] = {n, n + 1};

		for (int i = 0; i < 2; i++) {
			struct head h = {.len = 0};
			char expected[32];

			(void)snprintf(expected, sizeof(expected), "%zu", around[i]);
			head_add_size(&h, around[i]);
			ck_assert(str_equal(head_str(&h), str_of(expected)));
		}
	}
}
END_TEST

START_TEST(largest_number)
{
	struct head h = {.len = 0};

	head_add_size(&h, SIZE_MAX);
	ck_assert(str_equal(head_str(&h), str_of("18446744073709551615")));
}
END_TEST

START_TEST(holds_as_much_as_a_connection_takes)
{
	static const char bytes[CONN_HEAD_BYTES];
	struct head h = {.len = 0};

	head_add(&h, str_make(bytes, CONN_HEAD_BYTES - 10));
	head_add(&h, str_make(bytes, 10));
	head_add(&h, str_make(bytes, 0));
	ck_assert_uint_eq(head_str(&h).len, CONN_HEAD_BYTES);
}
END_TEST

/* A value that is too long is a bug, not an input: it stops the process instead of writing on. */
START_TEST(too_long_aborts)
{
	static const char bytes[CONN_HEAD_BYTES];
	struct head h = {.len = 0};

	head_add(&h, str_make(bytes, CONN_HEAD_BYTES));
	HEAD_ADD(&h, "x");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("head");
	TCase *tc = tcase_create("head");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, fields_and_numbers);
	tcase_add_test(tc, numbers_of_every_length);
	tcase_add_test(tc, largest_number);
	tcase_add_test(tc, holds_as_much_as_a_connection_takes);
	if (srunner_fork_status(sr) == CK_FORK)
		tcase_add_test_raise_signal(tc, too_long_aborts, SIGABRT);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
