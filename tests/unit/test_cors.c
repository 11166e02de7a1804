#include "cors.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static void allows(const char *option, const char *origin, const char *expected)
{
	struct cors c;
	struct str found;

	cors_init(&c, option);
	found = cors_allow(&c, str_of(origin));
	ck_assert_msg(str_equal(found, str_of(expected)), "option \"%s\", origin \"%s\": \"%.*s\"", option, origin,
		      (int)found.len, found.p);
}

START_TEST(no_origin_is_allowed_by_default)
{
	struct cors c;

	cors_init(&c, "");
	ck_assert(!cors_varies(&c));
	allows("", "https://a.example", "");
	allows("", "", "");
	allows("   ", "https://a.example", "");
}
END_TEST

START_TEST(any_origin)
{
	struct cors c;

	cors_init(&c, "*");
	ck_assert(!cors_varies(&c)); /* the same for all */
	allows("*", "https://a.example", "*");
	allows("*", "", "*");
}
END_TEST

START_TEST(listed_origins_and_no_others)
{
	const char *option = " https://a.example  http://b.example:8080 ";
	struct cors c;

	cors_init(&c, option);
	ck_assert(cors_varies(&c));
	ck_assert_uint_eq(c.count, 2);
	allows(option, "https://a.example", "https://a.example");
	allows(option, "http://b.example:8080", "http://b.example:8080");
	allows(option, "http://b.example", "");
	allows(option, "http://a.example", "");
	allows(option, "https://a.example.evil", "");
	allows(option, "https://a.exampl", "");
	allows(option, "https://A.example", ""); /* browsers send it in lower case */
	allows(option, "null", "");
	allows(option, "", "");
	allows(option, "*", "");
}
END_TEST

START_TEST(most_origins)
{
	char option[1024] = "";
	struct cors c;
	int at = 0;

	for (int i = 0; i <= CORS_ORIGINS_MAX; i++)
		at += snprintf(option + at, sizeof(option) - (size_t)at, "https://h%d.example ", i);
	cors_init(&c, option);
	ck_assert_uint_eq(c.count, CORS_ORIGINS_MAX);
	allows(option, "https://h15.example", "https://h15.example");
	allows(option, "https://h16.example", "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cors");
	TCase *tc = tcase_create("cors");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, no_origin_is_allowed_by_default);
	tcase_add_test(tc, any_origin);
	tcase_add_test(tc, listed_origins_and_no_others);
	tcase_add_test(tc, most_origins);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
