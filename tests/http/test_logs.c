/*
 * Log lines that can be followed, and are few.
 */
#include "http.h"
#include "log_limit.h"
#include "pg.h"
#include "series.h"

#include <stdlib.h>
#include <string.h>

/* The first line of a log with both texts, as JSON; NULL: none. The caller owns it. */
static json_t *line_with(const char *path, const char *a, const char *b)
{
	BYTES log = {0};
	json_t *found = NULL;

	if (!file_read(path, &log))
		return NULL;
	for (char *line = log.p; found == NULL && line != NULL && *line != '\0';) {
		char *end = strchr(line, '\n');

		if (end == NULL)
			break;
		*end = '\0';
		if (strstr(line, a) != NULL && strstr(line, b) != NULL)
			found = json_loads(line, 0, NULL);
		line = end + 1;
	}
	return found;
}

static double real(const json_t *o, const char *key)
{
	ck_assert_msg(json_is_number(json_object_get(o, key)), "no %s", key);
	return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define TRACEPARENT "00-" TRACE_ID "-00f067aa0ba902b7-01"

START_TEST(a_slow_request_says_where_its_time_went)
{
	struct pg db;
	struct worker w;
	json_t *line = NULL;

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--slow-log=0ms", NULL});
	ANSWER a = worker_call(&w, "GET", "/agents", (const struct fastcgi_param[]){{"HTTP_TRACEPARENT", TRACEPARENT}, {0}});
	ANSWER b = worker_call(&w, "GET", "/agents_with_orm", (const struct fastcgi_param[]){{"HTTP_TRACEPARENT", "00-zz"}, {0}});

	assert_status(a, 200);
	assert_status(b, 200);
	WAIT_FOR((line = line_with(w.log, "slow_request", "\"/agents\"")) != NULL);
	ck_assert_str_eq(text(line, "trace_id"), TRACE_ID);
	ck_assert_str_eq(text(line, "parent_id"), "00f067aa0ba902b7");
	ck_assert_str_eq(text(line, "request_id"), FASTCGI_REQUEST_ID);
	ck_assert_double_gt(real(line, "query_ms"), 0.);
	ck_assert_double_ge(real(line, "waiting_ms"), 0.);
	ck_assert_double_ge(real(line, "render_ms"), 0.);
	ck_assert_double_ge(real(line, "write_ms"), 0.);
	/* To the precision in which they are written. */
	ck_assert_double_eq_tol(real(line, "waiting_ms") + real(line, "query_ms") + real(line, "render_ms") +
					real(line, "write_ms"),
				real(line, "ms"), 0.01 + 1e-4 * real(line, "ms"));
	json_decref(line);
	WAIT_FOR((line = line_with(w.log, "slow_request", "\"/agents_with_orm\"")) != NULL);
	ck_assert_ptr_null(json_object_get(line, "trace_id"));
	json_decref(line);
	/* One that needs no query has waited for none. */
	ck_assert_ptr_nonnull(line = line_with(w.log, "slow_request", "\"/index\""));
	ck_assert_double_eq(real(line, "waiting_ms") + real(line, "query_ms"), 0.);
	json_decref(line);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* From a client's traceparent and X-Request-Id to nginx's line and the worker's. */
START_TEST(a_request_can_be_followed_through_both_logs)
{
	static const char *const headers[] = {"traceparent: " TRACEPARENT, NULL};
	PGconn *conn = PQconnectdb("");
	json_t *line = NULL;
	BYTES id = {0};

	ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
	/* Longer than the stack's slow-log, shorter than its request-timeout. */
	pg_exec(conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	ck_assert_int_eq(PQsendQuery(conn, "SELECT pg_sleep(2); COMMIT"), 1);
	ANSWER a = http_public("GET", "/agents", headers);

	assert_status(a, 200);
	PQfinish(conn);
	bytes_text(&id, answer_header(&a, "X-Request-Id"));
	WAIT_FOR((line = line_with(env_need("WORKER_LOG"), "slow_request", id.p)) != NULL);
	ck_assert_str_eq(text(line, "trace_id"), TRACE_ID);
	ck_assert_double_ge(real(line, "query_ms"), 900.);
	json_decref(line);
	WAIT_FOR((line = line_with(env_need("ACCESS_LOG_FILE"), "\"/agents\"", id.p)) != NULL);
	ck_assert_str_eq(text(line, "traceparent"), TRACEPARENT);
	ck_assert_double_ge(strtod(text(line, "upstream_time"), NULL), 0.9);
	ck_assert_double_ge(strtod(text(line, "upstream_header_time"), NULL), 0.9);
	ck_assert_str_ne(text(line, "upstream_connect_time"), "");
	json_decref(line);
}
END_TEST

/* Lines about failed requests, and what they say was left out. */
static int accounted(const struct worker *w, int *lines)
{
	BYTES log = {0};
	int sum = 0;

	*lines = 0;
	(void)file_read(w->log, &log);
	for (char *p = log.p; p != NULL && (p = strstr(p, "\"request_failed\"")) != NULL; p++) {
		const char *end = strchr(p, '\n'), *suppressed = strstr(p, "\"suppressed\":");

		if (memmem(p, end != NULL ? (size_t)(end - p) : 0, "\"status\":", 9) != NULL)
			++*lines;
		if (suppressed != NULL && end != NULL && suppressed < end)
			sum += (int)strtol(suppressed + strlen("\"suppressed\":"), NULL, 10);
	}
	return sum + *lines;
}

START_TEST(a_flood_of_failures_is_few_lines)
{
	enum { FAILURES = 1000 };
	struct fastcgi f, waiting;
	struct pg db;
	struct worker w;
	int lines, rounds;
	int64_t start_ms;

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--max-waiting=1", "--request-timeout=60s", NULL});
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	worker_send(&w, &waiting, "/agents");
	ck_assert(fastcgi_open(&f, w.socket));
	start_ms = now_ms();
	for (int i = 0; i < FAILURES; i++) {
		ANSWER a = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/agents", NULL);

		assert_status(a, 503);
	}
	rounds = (int)((now_ms() - start_ms) / 1000) + 2;
	WAIT_FOR(accounted(&w, &lines) == FAILURES);
	ck_assert_int_ge(lines, LOG_LIMIT_LINES);
	ck_assert_int_le(lines, LOG_LIMIT_LINES * rounds);
	assert_metric(&w, "requests_refused_total{reason=\"full\"}", FAILURES);
	assert_metric(&w, "requests_total{path=\"/agents\",code=\"503\"}", FAILURES);
	assert_metric(&w, "log_lines_total{level=\"warn\"}", FAILURES);
	assert_metric(&w, "log_lines_suppressed_total", FAILURES - lines);
	pg_exec(db.conn, "COMMIT");
	ANSWER a = fastcgi_answer(&waiting, 1, false);

	assert_status(a, 200);
	fastcgi_close(&waiting);
	fastcgi_close(&f);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("logs");
	TCase *c = add_case(s, "logs");

	tcase_add_test(c, a_slow_request_says_where_its_time_went);
	tcase_add_test(c, a_request_can_be_followed_through_both_logs);
	tcase_add_test(c, a_flood_of_failures_is_few_lines);
	return run_suite(s);
}
