/*
 * ETag and If-None-Match (RFC 9110 §13.1.2) through the real nginx, with and without gzip.
 */
#include "http.h"

#include <string.h>

static const char *const paths[] = {"/index", "/agents", "/agents_with_orm", "/agent_logins"};
#define PATHS ((int)(sizeof paths / sizeof paths[0]))

/* Sends If-None-Match: `format` with the path's present tag put in for every %s (twice at most). */
static struct answer conditional(const char *method, const char *path, const char *before, const char *behind,
				 const char *encoding)
{
	ANSWER plain = http_get(path);
	BYTES condition = {0};

	assert_status(plain, 200);
	bytes_printf(&condition, "If-None-Match: %s%s%s", before, answer_header(&plain, "ETag"), behind);
	return http_public(method, path, (const char *const[]){condition.p, encoding, NULL});
}

static void assert_not_modified(const struct answer *a, const char *path)
{
	ANSWER plain = http_get(path);
	const char *id = answer_header(a, "X-Request-Id");
	char etag[64];

	assert_status(*a, 304);
	assert_body(*a, "", 0);
	ck_assert(id != NULL && strlen(id) == 32);
	(void)snprintf(etag, sizeof etag, "%s", answer_header(&plain, "ETag"));
	assert_header(*a, "ETag", etag);
	assert_header(*a, "Vary", "Accept-Encoding");
	assert_header(*a, "Cache-Control", "no-cache");
	assert_no_header(*a, "Content-Encoding");
}

START_TEST(the_same_tag_gets_304)
{
	ANSWER a = conditional("GET", paths[_i], "", "", NULL);

	assert_not_modified(&a, paths[_i]);
}
END_TEST

START_TEST(the_same_tag_gets_304_for_head)
{
	ANSWER a = conditional("HEAD", paths[_i], "", "", NULL);

	assert_not_modified(&a, paths[_i]);
}
END_TEST

START_TEST(a_weak_tag_matches)
{
	ANSWER a = conditional("GET", paths[_i], "W/", "", NULL);

	assert_not_modified(&a, paths[_i]);
}
END_TEST

START_TEST(a_list_matches_by_any_member)
{
	ANSWER a = conditional("GET", paths[_i], "\"one\", W/\"two,three\",", " , \"four\"", NULL);

	assert_not_modified(&a, paths[_i]);
}
END_TEST

START_TEST(a_star_matches)
{
	ANSWER a = http_public("GET", paths[_i], (const char *const[]){"If-None-Match: *", NULL});

	assert_not_modified(&a, paths[_i]);
}
END_TEST

START_TEST(the_weak_tag_of_a_gzip_answer_gets_304_under_gzip)
{
	ANSWER packed = http_public("GET", "/agents", (const char *const[]){"Accept-Encoding: gzip", NULL});
	BYTES condition = {0};

	assert_status(packed, 200);
	bytes_printf(&condition, "If-None-Match: %s", answer_header(&packed, "ETag"));
	ck_assert_msg(strstr(condition.p, "W/\"") != NULL, "%s", condition.p);
	ANSWER a = http_public("GET", "/agents", (const char *const[]){condition.p, "Accept-Encoding: gzip", NULL});

	assert_not_modified(&a, "/agents");
}
END_TEST

START_TEST(other_tags_get_200)
{
	static const char *const fields[] = {
		"If-None-Match: \"0000000000000000\"",
		"If-None-Match: W/\"x\", \"y\"",
		"If-None-Match: \"\"",
		"If-None-Match: x",
		"If-None-Match: \"unterminated",
		"If-None-Match: **",
		"If-None-Match;",
	};
	ANSWER a = http_public("GET", paths[_i % PATHS], (const char *const[]){fields[_i / PATHS], NULL});

	assert_status(a, 200);
	ck_assert_uint_gt(a.body.len, 1);
}
END_TEST

START_TEST(a_tag_that_only_contains_ours_gets_200)
{
	ANSWER plain = http_get("/agents");
	BYTES condition = {0};
	const char *etag = answer_header(&plain, "ETag");

	bytes_printf(&condition, "If-None-Match: \"x%.*s\", %.*s", (int)strlen(etag) - 1, etag + 1, (int)strlen(etag) - 1, etag);
	ANSWER a = http_public("GET", "/agents", (const char *const[]){condition.p, NULL});

	assert_status(a, 200);
	assert_golden(a, "agents.json");
}
END_TEST

START_TEST(a_condition_changes_nothing_for_errors_and_other_methods)
{
	static const char *const any[] = {"If-None-Match: *", NULL};
	ANSWER missing = http_public("GET", "/nowhere", any);
	ANSWER post = http_public("POST", "/agents", any);
	ANSWER options = http_public("OPTIONS", "/agents", any);

	assert_problem(missing, 404);
	assert_problem(post, 405);
	assert_status(options, 204);
}
END_TEST

START_TEST(tags_differ_between_paths)
{
	char tags[PATHS][64];

	for (int i = 0; i < PATHS; i++) {
		ANSWER a = http_get(paths[i]);

		assert_status(a, 200);
		(void)snprintf(tags[i], sizeof tags[i], "%s", answer_header(&a, "ETag"));
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(tags[i], tags[j]);
	}
}
END_TEST

START_TEST(every_worker_gives_the_same_tag)
{
	char first[64] = "";

	for (int i = 0; i < 32; i++) {
		ANSWER a = http_get("/agents");

		assert_status(a, 200);
		if (i == 0)
			(void)snprintf(first, sizeof first, "%s", answer_header(&a, "ETag"));
		assert_header(a, "ETag", first);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conditional");
	TCase *c = add_case(s, "conditional");

	tcase_add_loop_test(c, the_same_tag_gets_304, 0, PATHS);
	tcase_add_loop_test(c, the_same_tag_gets_304_for_head, 0, PATHS);
	tcase_add_loop_test(c, a_weak_tag_matches, 0, PATHS);
	tcase_add_loop_test(c, a_list_matches_by_any_member, 0, PATHS);
	tcase_add_loop_test(c, a_star_matches, 0, PATHS);
	tcase_add_test(c, the_weak_tag_of_a_gzip_answer_gets_304_under_gzip);
	tcase_add_loop_test(c, other_tags_get_200, 0, PATHS * 7);
	tcase_add_test(c, a_tag_that_only_contains_ours_gets_200);
	tcase_add_test(c, a_condition_changes_nothing_for_errors_and_other_methods);
	tcase_add_test(c, tags_differ_between_paths);
	tcase_add_test(c, every_worker_gives_the_same_tag);
	return run_suite(s);
}
