/*
 * CORS (Fetch standard, "CORS protocol"): only for configured origins, on a private worker; test_contract.c has the default, none.
 */
#include "worker.h"

#include <string.h>

/* No database is needed: /index and errors have the headers too. */
static const char nowhere[] = "host=/nonexistent dbname=nothing user=nobody";

static struct answer ask(const struct worker *w, const char *method, const char *path, const char *origin)
{
	return worker_call(w, method, path, (const struct fastcgi_param[]){{"HTTP_ORIGIN", origin}, {0}});
}

static bool varies_by_origin(const struct answer *a)
{
	const char *vary = answer_header(a, "Vary");

	return vary != NULL && strstr(vary, "Origin") != NULL && strstr(vary, "Accept-Encoding") != NULL;
}

START_TEST(a_configured_origin_is_allowed)
{
	static const char *const origins[] = {"https://a.example", "http://b.example:8080"};
	struct worker w;

	worker_start(&w, nowhere, (const char *const[]){"--cors-origin", "https://a.example http://b.example:8080", NULL});
	for (size_t i = 0; i < 2; i++) {
		ANSWER get = ask(&w, "GET", "/index", origins[i]);
		ANSWER preflight = ask(&w, "OPTIONS", "/agents", origins[i]);
		const char *methods = answer_header(&preflight, "Access-Control-Allow-Methods");

		assert_status(preflight, 204);
		assert_header(preflight, "Allow", "GET, HEAD, OPTIONS");
		ck_assert(methods != NULL && strstr(methods, "GET") != NULL);
		assert_header(preflight, "Access-Control-Allow-Origin", origins[i]);
		assert_status(get, 200);
		assert_golden(get, "index.json");
		assert_header(get, "Access-Control-Allow-Origin", origins[i]);
		ck_assert(varies_by_origin(&get));
	}
	worker_end(&w);
}
END_TEST

START_TEST(another_origin_is_not)
{
	static const char *const others[] = {"https://evil.example",
					     "http://a.example",
					     "https://a.example:444",
					     "https://a.example.evil.example",
					     "https://a.exampl",
					     "null",
					     "*",
					     "https://a.example http://b.example:8080",
					     ""};
	struct worker w;

	worker_start(&w, nowhere, (const char *const[]){"--cors-origin", "https://a.example http://b.example:8080", NULL});
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		ANSWER get = ask(&w, "GET", "/index", others[i]);
		ANSWER preflight = ask(&w, "OPTIONS", "/index", others[i]);

		assert_status(get, 200);
		assert_golden(get, "index.json");
		assert_no_header(get, "Access-Control-Allow-Origin");
		/* A cache must not give this answer to an origin that is allowed. */
		ck_assert(varies_by_origin(&get));
		assert_status(preflight, 204);
		assert_no_header(preflight, "Access-Control-Allow-Origin");
		assert_header(preflight, "Allow", "GET, HEAD, OPTIONS");
	}
	worker_end(&w);
}
END_TEST

START_TEST(a_star_allows_every_origin)
{
	struct worker w;

	worker_start(&w, nowhere, (const char *const[]){"--cors-origin=*", NULL});
	ANSWER get = ask(&w, "GET", "/index", "https://any.example");
	ANSWER preflight = ask(&w, "OPTIONS", "/index", "https://any.example");

	assert_status(get, 200);
	assert_header(get, "Access-Control-Allow-Origin", "*");
	assert_no_header(get, "Access-Control-Allow-Credentials");
	assert_status(preflight, 204);
	assert_header(preflight, "Access-Control-Allow-Origin", "*");
	worker_end(&w);
}
END_TEST

START_TEST(none_is_the_default)
{
	struct worker w;

	worker_start(&w, nowhere, NULL);
	ANSWER get = ask(&w, "GET", "/index", "https://a.example");
	ANSWER preflight = ask(&w, "OPTIONS", "/index", "https://a.example");

	assert_status(get, 200);
	assert_no_header(get, "Access-Control-Allow-Origin");
	assert_header(get, "Vary", "Accept-Encoding");
	assert_status(preflight, 204);
	assert_no_header(preflight, "Access-Control-Allow-Origin");
	worker_end(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cors");
	TCase *c = add_case(s, "cors");

	tcase_add_test(c, a_configured_origin_is_allowed);
	tcase_add_test(c, another_origin_is_not);
	tcase_add_test(c, a_star_allows_every_origin);
	tcase_add_test(c, none_is_the_default);
	return run_suite(s);
}
