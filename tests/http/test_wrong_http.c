/*
 * Requests of every wrong kind to the real nginx: each gets a 4xx or 5xx in the form of a problem, and the next client is served.
 */
#include "http.h"

#include <string.h>
#include <unistd.h>

struct wrong {
	const char *text; /* %s: 100,000 times the letter a; %h: that as a header line of 60,000 */
	int status;
};

static const struct wrong wrongs[] = {
	{"GET /index HTTP/1.1\r\n\r\n", 400},                                  /* no Host */
	{"GET /index HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},            /* two */
	{"GET /index HTTP/1.1\r\nHost: a b\r\n\r\n", 400},                     /* not a host */
	{"GET index HTTP/1.1\r\nHost: x\r\n\r\n", 400},                        /* no slash */
	{"GET /../index HTTP/1.1\r\nHost: x\r\n\r\n", 400},                    /* above the root */
	{"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},    /* the same, encoded */
	{"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},                         /* bad encoding */
	{"GET /index%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},                    /* NUL */
	{"get /index HTTP/1.1\r\nHost: x\r\n\r\n", 400},                       /* methods are upper case */
	{"G\x01T /index HTTP/1.1\r\nHost: x\r\n\r\n", 400},                    /* garbage */
	{"\x16\x03\x01\x02\x01\x01\xfc\x03\r\n\r\n", 400},                     /* TLS to a plain port */
	{"GET /index HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400},  /* no number */
	{"GET /index HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400}, /* negative */
	{"POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
	{"POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 400}, /* smuggling */
	{"POST /index HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 501},
	{"GET /index HTTP/9.9\r\nHost: x\r\n\r\n", 505},
	{"POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n", 413},
	{"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", 414},
	{"GET /index HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", 431},
	{"TRACE /index HTTP/1.1\r\nHost: x\r\n\r\n", 405},
	{"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400}, /* not a path */
	{"CONNECT /index HTTP/1.1\r\nHost: x\r\n\r\n", 405},
};
#define WRONGS ((int)(sizeof wrongs / sizeof wrongs[0]))

static void fill(const char *text, struct bytes *out)
{
	const char *hole = strstr(text, "%s");

	if (hole == NULL) {
		bytes_text(out, text);
		return;
	}
	bytes_append(out, text, (size_t)(hole - text));
	for (int i = 0; i < 10000; i++)
		bytes_text(out, "aaaaaaaaaa");
	bytes_text(out, hole + 2);
}

static void assert_served(void)
{
	ANSWER a = http_get("/agents");

	assert_status(a, 200);
	assert_golden(a, "agents.json");
}

START_TEST(wrong_requests_get_a_problem)
{
	BYTES text = {0};

	fill(wrongs[_i].text, &text);
	ANSWER a = http_raw(text.p, text.len);

	assert_problem(a, wrongs[_i].status);
	ck_assert_int_eq(answer_header_count(&a, "X-Request-Id"), 1);
	assert_header(a, "X-Content-Type-Options", "nosniff");
	assert_header(a, "Server", "nginx");
	ck_assert_uint_eq(count_of(a.body.p, "nginx"), 0);
	assert_served();
}
END_TEST

START_TEST(many_headers_get_a_problem)
{
	BYTES text = {0};

	bytes_text(&text, "GET /index HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 2000; i++)
		bytes_printf(&text, "X-%d: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", i);
	bytes_text(&text, "\r\n");
	ANSWER a = http_raw(text.p, text.len);

	assert_problem(a, 431);
	assert_served();
}
END_TEST

START_TEST(a_body_in_chunks_beyond_the_limit_gets_413)
{
	BYTES text = {0};

	bytes_text(&text, "POST /index HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 1000; i++)
		bytes_printf(&text, "800\r\n%02048d\r\n", i);
	bytes_text(&text, "0\r\n\r\n");
	ANSWER a = http_raw(text.p, text.len);

	/* The worker may know the method before nginx knows the length. */
	assert_problem(a, a.status == 405 ? 405 : 413);
	assert_served();
}
END_TEST

START_TEST(http_0_9_does_no_harm)
{
	BYTES in = {0};
	int fd = http_connect();

	ck_assert_int_ge(fd, 0);
	ck_assert(send_all(fd, "GET /index\r\n", 12));
	ck_assert(closed_by_peer(fd, &in, PATIENCE_MS));
	(void)close(fd);
	assert_served();
}
END_TEST

START_TEST(half_a_request_and_goodbye)
{
	static const char *const halves[] = {"G", "GET /agents HT", "GET /agents HTTP/1.1\r\nHost: x\r\nX-Y",
					     "POST /agents HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nab"};

	for (int i = 0; i < 50; i++) {
		int fd = http_connect();
		const char *half = halves[i % 4];

		ck_assert_int_ge(fd, 0);
		ck_assert(send_all(fd, half, strlen(half)));
		(void)close(fd);
	}
	assert_served();
}
END_TEST

START_TEST(clients_that_leave_before_the_answer)
{
	static const char text[] = "GET /agents_with_orm HTTP/1.1\r\nHost: x\r\n\r\n";

	for (int i = 0; i < 100; i++) {
		int fd = http_connect();

		ck_assert_int_ge(fd, 0);
		ck_assert(send_all(fd, text, sizeof text - 1));
		(void)close(fd);
	}
	assert_served();
}
END_TEST

/* The worst that nginx may have to say about the requests above. */
static bool expected_error(const char *line)
{
	return strstr(line, "client intended to send too large") != NULL;
}

START_TEST(the_error_log_has_no_errors_but_the_expected)
{
	BYTES log = {0};

	file_need(env_need("NGINX_ERROR_LOG"), &log);
	char *rest = NULL;

	for (char *line = strtok_r(log.p, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		bool bad = strstr(line, "[error]") != NULL || strstr(line, "[crit]") != NULL || strstr(line, "[alert]") != NULL ||
			   strstr(line, "[emerg]") != NULL || strstr(line, "temporary file") != NULL;

		ck_assert_msg(!bad || expected_error(line), "%s", line);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wrong_http");
	TCase *c = add_case(s, "wrong_http");

	tcase_add_loop_test(c, wrong_requests_get_a_problem, 0, WRONGS);
	tcase_add_test(c, many_headers_get_a_problem);
	tcase_add_test(c, a_body_in_chunks_beyond_the_limit_gets_413);
	tcase_add_test(c, http_0_9_does_no_harm);
	tcase_add_test(c, half_a_request_and_goodbye);
	tcase_add_test(c, clients_that_leave_before_the_answer);
	tcase_add_test(c, the_error_log_has_no_errors_but_the_expected);
	return run_suite(s);
}
