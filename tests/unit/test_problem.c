/* wrap: malloc calloc realloc free */
#include "alloc.h"
#include "problem.h"
#include "result.h"

static void problem_is(int status, const char *detail, struct str request_id, const char *expected)
{
	struct body *b = problem_body(status, detail, request_id);

	ck_assert_ptr_nonnull(b);
	body_is(b, expected);
	body_unref(b);
}

START_TEST(members_in_order)
{
	problem_is(404, "There is nothing at this path.", str_of("0a1b"),
		   "{\"type\": \"about:blank\", \"title\": \"Not Found\", \"status\": 404, "
		   "\"detail\": \"There is nothing at this path.\", \"request_id\": \"0a1b\"}");
}
END_TEST

START_TEST(absent_members_are_left_out)
{
	problem_is(503, NULL, str_of(""), "{\"type\": \"about:blank\", \"title\": \"Service Unavailable\", \"status\": 503}");
	problem_is(504, NULL, str_of("x"),
		   "{\"type\": \"about:blank\", \"title\": \"Gateway Timeout\", \"status\": 504, \"request_id\": \"x\"}");
	problem_is(418, "", str_of(NULL), "{\"type\": \"about:blank\", \"title\": \"Error\", \"status\": 418, \"detail\": \"\"}");
}
END_TEST

START_TEST(titles)
{
	ck_assert_str_eq(problem_title(400), "Bad Request");
	ck_assert_str_eq(problem_title(404), "Not Found");
	ck_assert_str_eq(problem_title(405), "Method Not Allowed");
	ck_assert_str_eq(problem_title(500), "Internal Server Error");
	ck_assert_str_eq(problem_title(503), "Service Unavailable");
	ck_assert_str_eq(problem_title(504), "Gateway Timeout");
	ck_assert_str_eq(problem_title(0), "Error");
	ck_assert_str_eq(problem_title(-1), "Error");
}
END_TEST

/* The detail that a problem has after parsing: a new reference. */
static json_t *parsed_detail(const char *detail)
{
	struct body *b = problem_body(500, detail, str_of("id"));
	json_t *problem;
	json_t *value;

	ck_assert_ptr_nonnull(b);
	problem = json_loadb(b->data, b->len, 0, NULL);
	ck_assert_ptr_nonnull(problem);
	value = json_incref(json_object_get(problem, "detail"));
	ck_assert_ptr_nonnull(value);
	json_decref(problem);
	body_unref(b);
	return value;
}

static void detail_becomes(const char *detail, const char *expected)
{
	json_t *value = parsed_detail(detail);

	ck_assert_str_eq(json_string_value(value), expected);
	json_decref(value);
}

#define BAD "\xef\xbf\xbd"

START_TEST(invalid_utf8_is_replaced)
{
	detail_becomes("Łukasz 李雷 😀 \"quoted\" \\ \n", "Łukasz 李雷 😀 \"quoted\" \\ \n");
	detail_becomes("a\xff"
		       "b",
		       "a" BAD "b");
	detail_becomes("cut \xe2\x82", "cut " BAD BAD);
	detail_becomes("\xe2\x82\xac\xe2(\xa1", "€" BAD "(" BAD);
	detail_becomes("overlong \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf",
		       "overlong " BAD BAD " " BAD BAD BAD " " BAD BAD BAD BAD);
	detail_becomes("surrogate \xed\xa0\x80", "surrogate " BAD BAD BAD);
	detail_becomes("beyond \xf4\x90\x80\x80 \xf5\x80\x80\x80", "beyond " BAD BAD BAD BAD " " BAD BAD BAD BAD);
	detail_becomes("ends \xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "ends \xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(every_pair_of_bytes_gives_json)
{
	for (unsigned i = 1; i < 0x10000; i++) {
		char detail[3] = {(char)(i >> 8), (char)i, '\0'};
		json_t *value;
		json_t *same;

		if (i < 0x100)
			detail[0] = 'x';
		if (detail[1] == '\0')
			continue;
		value = parsed_detail(detail);
		same = json_string(detail);
		/* What jansson takes as it is stays as it is; the rest holds a replacement. */
		if (same != NULL)
			ck_assert_int_eq(json_equal(value, same), 1);
		else
			ck_assert_ptr_nonnull(strstr(json_string_value(value), BAD));
		json_decref(same);
		json_decref(value);
	}
}
END_TEST

START_TEST(request_id_is_cleaned_too)
{
	struct str id = str_make("a\0\xff", 3);

	problem_is(404, NULL, id,
		   "{\"type\": \"about:blank\", \"title\": \"Not Found\", \"status\": 404, \"request_id\": \"a\\u0000" BAD "\"}");
}
END_TEST

START_TEST(no_memory_is_null_and_leaks_nothing)
{
	long n;

	/* jansson's own allocations as well. */
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	for (n = 0;; n++) {
		struct body *b;
		bool made;

		alloc_watch(n, SIZE_MAX);
		b = problem_body(503, "The database does not answer.", str_of("0a1b"));
		made = b != NULL;
		body_unref(b);
		alloc_unwatch();
		ck_assert_int_eq(made, alloc_failed == 0);
		ck_assert_int_eq(alloc_live, 0);
		if (made)
			break;
	}
	ck_assert_int_gt(n, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("problem");
	TCase *tc = tcase_create("problem");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, members_in_order);
	tcase_add_test(tc, absent_members_are_left_out);
	tcase_add_test(tc, titles);
	tcase_add_test(tc, invalid_utf8_is_replaced);
	tcase_add_test(tc, every_pair_of_bytes_gives_json);
	tcase_add_test(tc, request_id_is_cleaned_too);
	tcase_add_test(tc, no_memory_is_null_and_leaks_nothing);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
