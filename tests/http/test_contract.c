/*
 * The HTTP contract over the real stack: paths, methods, bodies, headers. Conditional requests are test_conditional.c's, errors test_wrong_http.c's.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct expectation {
	const char *path;
	const char *golden; /* NULL: the body is [] */
};

static const struct expectation paths[] = {
	{"/index", "index.json"},
	{"/agents", "agents.json"},
	{"/agents_with_orm", "agents_with_orm.json"},
	{"/agent_logins", NULL},
};
#define PATHS ((int)(sizeof paths / sizeof paths[0]))

static void assert_default_body(const struct answer *a, const struct expectation *e)
{
	if (e->golden == NULL)
		assert_body_text(*a, "[]");
	else
		assert_golden(*a, e->golden);
}

/* The headers that every answer of the public has. */
static void assert_common_headers(const struct answer *a)
{
	const char *id = answer_header(a, "X-Request-Id");

	ck_assert_msg(id != NULL && strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32, "X-Request-Id: %s", id);
	ck_assert_int_eq(answer_header_count(a, "X-Request-Id"), 1);
	assert_header(*a, "X-Content-Type-Options", "nosniff");
	assert_header(*a, "Server", "nginx");
	assert_no_header(*a, "X-Powered-By");
	assert_no_header(*a, "Status");
	ck_assert_ptr_nonnull(answer_header(a, "Date"));
}

START_TEST(get_answers_the_default_data_byte_for_byte)
{
	const struct expectation *e = &paths[_i];
	ANSWER a = http_get(e->path);
	char length[32];

	assert_status(a, 200);
	assert_default_body(&a, e);
	assert_header(a, "Content-Type", "application/json");
	(void)snprintf(length, sizeof length, "%zu", a.body.len);
	assert_header(a, "Content-Length", length);
	assert_header(a, "Vary", "Accept-Encoding");
	assert_header(a, "Cache-Control", "no-cache");
	assert_no_header(a, "Content-Encoding");
	assert_no_header(a, "Access-Control-Allow-Origin");
	assert_no_header(a, "Set-Cookie");
	assert_common_headers(&a);
	const char *etag = answer_header(&a, "ETag");

	ck_assert_msg(etag != NULL && strlen(etag) > 2 && etag[0] == '"' && etag[strlen(etag) - 1] == '"', "ETag: %s", etag);
}
END_TEST

START_TEST(head_has_the_headers_of_get_and_no_body)
{
	static const char *const names[] = {"Content-Type", "Content-Length", "ETag",
					    "Vary",         "Cache-Control",  "X-Content-Type-Options"};
	ANSWER get = http_get(paths[_i].path);
	ANSWER head = http_public("HEAD", paths[_i].path, NULL);

	assert_status(get, 200);
	assert_status(head, 200);
	assert_body(head, "", 0);
	assert_common_headers(&head);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *value = answer_header(&get, names[i]);
		char expected[256];

		ck_assert_msg(value != NULL, "%s is missing", names[i]);
		(void)snprintf(expected, sizeof expected, "%s", value);
		assert_header(head, names[i], expected);
	}
}
END_TEST

START_TEST(head_sends_no_body_on_the_wire)
{
	BYTES in = {0};
	BYTES request = {0};
	int fd = http_connect();

	ck_assert_int_ge(fd, 0);
	bytes_printf(&request, "HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET /index HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		     paths[_i].path);
	ck_assert(send_all(fd, request.p, request.len));
	ANSWER head = http_receive(fd, &in, true);
	ANSWER next = http_receive(fd, &in, false);

	assert_status(head, 200);
	assert_status(next, 200);
	assert_golden(next, "index.json");
	ck_assert(closed_by_peer(fd, &in, PATIENCE_MS));
	ck_assert_uint_eq(in.len, 0);
	(void)close(fd);
}
END_TEST

START_TEST(options_answers_204_with_allow)
{
	static const char *const preflight[] = {"Origin: https://a.example", "Access-Control-Request-Method: GET", NULL};
	ANSWER a = http_public("OPTIONS", paths[_i].path, NULL);
	ANSWER b = http_public("OPTIONS", paths[_i].path, preflight);

	assert_status(a, 204);
	assert_header(a, "Allow", "GET, HEAD, OPTIONS");
	assert_body(a, "", 0);
	assert_common_headers(&a);
	assert_status(b, 204);
	assert_header(b, "Allow", "GET, HEAD, OPTIONS");
	assert_no_header(b, "Access-Control-Allow-Origin");
}
END_TEST

static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "PROPFIND", "BREW"};
#define METHODS ((int)(sizeof methods / sizeof methods[0]))

START_TEST(other_methods_get_405_with_allow)
{
	const char *method = methods[_i % METHODS];
	ANSWER a = http_public(method, paths[_i / METHODS].path, NULL);

	assert_problem(a, 405);
	assert_header(a, "Allow", "GET, HEAD, OPTIONS");
	assert_no_header(a, "ETag");
	assert_common_headers(&a);
}
END_TEST

START_TEST(a_post_with_a_small_body_gets_405)
{
	static const char text[] = "POST /agents HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	ANSWER a = http_raw(text, sizeof text - 1);

	assert_problem(a, 405);
	assert_header(a, "Allow", "GET, HEAD, OPTIONS");
}
END_TEST

START_TEST(a_get_with_a_small_body_is_answered)
{
	static const char text[] = "GET /agents HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	ANSWER a = http_raw(text, sizeof text - 1);

	assert_status(a, 200);
	assert_golden(a, "agents.json");
}
END_TEST

static const char *const unknown[] = {
	"/",
	"/INDEX",
	"/Agents",
	"/agents/",
	"/index/",
	"/agents/1",
	"/health/live",
	"/health/ready",
	"/metrics",
	"/status",
	"/status.json",
	"/agents_with_orm/",
	"/agents.json",
	"/index%00",
	"/indexx",
	"/index%2f",
	"/favicon.ico",
	"/%2findex/x",
	"/nginx_status",
	"/index;x=1",
	"/agent%20s",
	"/agents%20",
};
#define UNKNOWN ((int)(sizeof unknown / sizeof unknown[0]))

START_TEST(other_paths_get_404)
{
	ANSWER a = http_get(unknown[_i]);

	/* A NUL in the path is malformed rather than unknown. */
	assert_problem(a, strstr(unknown[_i], "%00") != NULL ? 400 : 404);
	assert_no_header(a, "Allow");
	assert_no_header(a, "ETag");
	assert_common_headers(&a);
}
END_TEST

START_TEST(other_paths_get_404_for_every_method)
{
	static const char *const any[] = {"HEAD", "OPTIONS", "POST", "DELETE", "BREW"};
	ANSWER a = http_public(any[_i], "/nowhere", NULL);

	assert_status(a, 404);
	assert_header(a, "Content-Type", "application/problem+json");
	assert_no_header(a, "Allow");
}
END_TEST

START_TEST(a_query_string_is_ignored)
{
	BYTES path = {0};

	bytes_printf(&path, "%s?number=1&x=%%00%%ff&y=../../etc", paths[_i].path);
	ANSWER a = http_get(path.p);

	assert_status(a, 200);
	assert_default_body(&a, &paths[_i]);
}
END_TEST

START_TEST(a_path_is_compared_decoded_and_normalized)
{
	static const char *const same[] = {"/%69ndex", "/x/../index",        "/./index",
					   "//index",  "/%69%6E%64%65%78?x", "/index#fragment"};
	BYTES text = {0};

	bytes_printf(&text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", same[_i]);
	ANSWER a = http_raw(text.p, text.len);

	assert_status(a, 200);
	assert_golden(a, "index.json");
}
END_TEST

START_TEST(request_ids_differ)
{
	ANSWER a = http_get("/index");
	ANSWER b = http_get("/index");
	char first[64] = "";

	assert_status(a, 200);
	assert_status(b, 200);
	(void)snprintf(first, sizeof first, "%s", answer_header(&a, "X-Request-Id"));
	ck_assert_str_ne(first, answer_header(&b, "X-Request-Id"));
}
END_TEST

START_TEST(a_client_cannot_choose_its_request_id_or_listener)
{
	static const char *const headers[] = {"X-Request-Id: chosen",   "Request-Id: chosen",         "Agents-Listener: admin",
					      "Agents_Listener: admin", "Document-Uri: /health/live", NULL};
	ANSWER a = http_public("GET", "/health/live", headers);
	ANSWER b = http_public("GET", "/index", headers);

	assert_problem(a, 404);
	assert_common_headers(&a);
	assert_status(b, 200);
	assert_common_headers(&b);
}
END_TEST

START_TEST(gzip_carries_the_same_bytes)
{
	static const char *const headers[] = {"Accept-Encoding: gzip", NULL};
	struct http h;
	BYTES url = {0};
	ANSWER plain = http_get("/agents");
	ANSWER raw = http_public("GET", "/agents", headers);
	char weak[64];

	assert_status(raw, 200);
	assert_header(raw, "Content-Encoding", "gzip");
	assert_header(raw, "Vary", "Accept-Encoding");
	assert_header(raw, "Content-Type", "application/json");
	(void)snprintf(weak, sizeof weak, "W/%s", answer_header(&plain, "ETag"));
	assert_header(raw, "ETag", weak);
	ck_assert_uint_lt(raw.body.len, plain.body.len);
	ck_assert(raw.body.len > 2 && memcmp(raw.body.p, "\x1f\x8b", 2) == 0);

	bytes_printf(&url, "%s/agents", env_need("BASE_URL"));
	http_open(&h);
	h.decode = true;
	ANSWER decoded = http_exchange(&h, "GET", url.p, NULL);

	http_close(&h);
	assert_status(decoded, 200);
	assert_header(decoded, "Content-Encoding", "gzip");
	assert_golden(decoded, "agents.json");
}
END_TEST

START_TEST(a_client_connection_is_reused)
{
	struct http h;
	BYTES url = {0};

	http_open(&h);
	bytes_printf(&url, "%s/agents", env_need("BASE_URL"));
	for (int i = 0; i < 20; i++) {
		ANSWER a = http_exchange(&h, "GET", url.p, NULL);

		assert_status(a, 200);
		assert_golden(a, "agents.json");
		ck_assert_int_eq(http_connects(&h), i == 0 ? 1 : 0);
	}
	http_close(&h);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	BYTES in = {0};
	BYTES request = {0};
	int fd = http_connect();

	ck_assert_int_ge(fd, 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < PATHS; i++)
			bytes_printf(&request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i].path);
		bytes_text(&request, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	ck_assert(send_all(fd, request.p, request.len));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < PATHS; i++) {
			ANSWER a = http_receive(fd, &in, false);

			assert_status(a, 200);
			assert_default_body(&a, &paths[i]);
		}
		ANSWER last = http_receive(fd, &in, false);

		assert_problem(last, 404);
	}
	ck_assert_uint_eq(in.len, 0);
	(void)close(fd);
}
END_TEST

START_TEST(health_is_on_the_admin_port_only)
{
	static const char *const not_there[] = {"/index", "/agents", "/agents_with_orm", "/agent_logins", "/"};
	ANSWER live = http_admin("GET", "/health/live");
	ANSWER ready = http_admin("GET", "/health/ready");
	ANSWER head = http_admin("HEAD", "/health/live");
	ANSWER post = http_admin("POST", "/health/live");

	assert_status(live, 200);
	assert_body_text(live, "{\"status\": \"live\", \"workers\": 4}");
	assert_header(live, "Content-Type", "application/json");
	assert_status(ready, 200);
	ck_assert_msg(strncmp(ready.body.p, "{\"status\": \"ready\", \"workers\": 4, \"ready\": ", 43) == 0, "%s", ready.body.p);
	assert_status(head, 200);
	assert_body(head, "", 0);
	assert_problem(post, 405);
	for (size_t i = 0; i < sizeof not_there / sizeof not_there[0]; i++) {
		ANSWER a = http_admin("GET", not_there[i]);

		assert_problem(a, 404);
	}
}
END_TEST

START_TEST(the_access_log_has_the_request_id)
{
	ANSWER a = http_get("/agents?access-log");
	BYTES log = {0};
	char id[64];

	assert_status(a, 200);
	(void)snprintf(id, sizeof id, "%s", answer_header(&a, "X-Request-Id"));
	WAIT_FOR((log.len = 0, file_read(env_need("ACCESS_LOG_FILE"), &log)) && count_of(log.p, id) > 0 &&
		 strchr(strstr(log.p, id), '\n') != NULL);
	/* Its line: from the line break before to the one behind. */
	char *at = strstr(log.p, id);
	char *start = at;

	while (start > log.p && start[-1] != '\n')
		start--;
	json_t *line = json_loadb(start, strcspn(start, "\n"), JSON_REJECT_DUPLICATES, NULL);

	ck_assert_msg(line != NULL, "not JSON: %.400s", start);
	json_decref(line);
	ck_assert_uint_eq(count_of(log.p, id), 1);
}
END_TEST

START_TEST(answers_need_no_temporary_files)
{
	BYTES log = {0};

	for (int i = 0; i < PATHS; i++) {
		ANSWER a = http_get(paths[i].path);

		assert_status(a, 200);
	}
	file_need(env_need("NGINX_ERROR_LOG"), &log);
	ck_assert_uint_eq(count_of(log.p, "temporary file"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("contract");
	TCase *c = add_case(s, "contract");

	tcase_add_loop_test(c, get_answers_the_default_data_byte_for_byte, 0, PATHS);
	tcase_add_loop_test(c, head_has_the_headers_of_get_and_no_body, 0, PATHS);
	tcase_add_loop_test(c, head_sends_no_body_on_the_wire, 0, PATHS);
	tcase_add_loop_test(c, options_answers_204_with_allow, 0, PATHS);
	tcase_add_loop_test(c, other_methods_get_405_with_allow, 0, PATHS * METHODS);
	tcase_add_test(c, a_post_with_a_small_body_gets_405);
	tcase_add_test(c, a_get_with_a_small_body_is_answered);
	tcase_add_loop_test(c, other_paths_get_404, 0, UNKNOWN);
	tcase_add_loop_test(c, other_paths_get_404_for_every_method, 0, 5);
	tcase_add_loop_test(c, a_query_string_is_ignored, 0, PATHS);
	tcase_add_loop_test(c, a_path_is_compared_decoded_and_normalized, 0, 6);
	tcase_add_test(c, request_ids_differ);
	tcase_add_test(c, a_client_cannot_choose_its_request_id_or_listener);
	tcase_add_test(c, gzip_carries_the_same_bytes);
	tcase_add_test(c, a_client_connection_is_reused);
	tcase_add_test(c, pipelined_requests_are_answered_in_order);
	tcase_add_test(c, health_is_on_the_admin_port_only);
	tcase_add_test(c, the_access_log_has_the_request_id);
	tcase_add_test(c, answers_need_no_temporary_files);
	return run_suite(s);
}
