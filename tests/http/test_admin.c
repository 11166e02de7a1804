/*
 * What an operator sees: readiness, metrics and status of the pool, whichever worker answers; log lines that can be followed.
 */
#include "../unit/html.h"
#include "http.h"
#include "pg.h"
#include "worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOWHERE "host=/nonexistent dbname=nothing user=nobody"
#define MOST 4

/* Workers that share a scoreboard. Each has a socket of its own, so that a test says who answers. */
struct team {
	struct worker w[MOST];
	int count;
	char board[108];
	char option[128];
};

static void team_begin(struct team *t)
{
	*t = (struct team){0};
	(void)snprintf(t->board, sizeof t->board, "%s/board-%d", env_need("RUN_DIR"), (int)getpid());
	(void)snprintf(t->option, sizeof t->option, "--scoreboard=%s", t->board);
	(void)unlink(t->board);
}

/* One more, which has answered one request for /index. */
static struct worker *team_add(struct team *t, const char *database, const char *more)
{
	struct worker *w = &t->w[t->count++];

	worker_start(w, database, (const char *const[]){t->option, more, NULL});
	return w;
}

static void team_end(struct team *t)
{
	for (int i = 0; i < t->count; i++) {
		if (t->w[i].pid != 0)
			worker_end(&t->w[i]);
	}
	(void)unlink(t->board);
}

static void kill_worker(struct worker *w)
{
	ck_assert_int_eq(kill(w->pid, SIGKILL), 0);
	ck_assert_int_eq(worker_wait(w), -1);
	worker_remove_files(w);
}

/* The value of a series in a text of metrics; -1: it is not there exactly once. */
static double in_metrics(const char *text, const char *series)
{
	BYTES wanted = {0};
	const char *at;

	bytes_printf(&wanted, "\nagents_fcgi_%s ", series);
	at = text != NULL ? strstr(text, wanted.p) : NULL;
	if (at == NULL || strstr(at + 1, wanted.p) != NULL)
		return -1.;
	return strtod(at + wanted.len, NULL);
}

/* As this worker sees it. */
static double metric(const struct worker *w, const char *series)
{
	ANSWER a = worker_admin(w, "/metrics");

	assert_status(a, 200);
	return in_metrics(a.body.p, series);
}

#define assert_metric(w, series, expected) ck_assert_double_eq(metric(w, series), expected)

static bool ready_says(const struct worker *w, int status, const char *text)
{
	ANSWER a = worker_admin(w, "/health/ready");

	return a.status == status && strstr(a.body.p, text) != NULL;
}

/* --- totals --- */

static void ask(const struct worker *w, const char *path, int times, int status)
{
	for (int i = 0; i < times; i++) {
		ANSWER a = worker_get(w, path);

		assert_status(a, status);
	}
}

START_TEST(totals_are_what_was_asked_of_all_workers)
{
	struct pg db;
	struct team t;

	pg_create_default(&db);
	team_begin(&t);
	for (int i = 0; i < 3; i++)
		worker_wait_ready(team_add(&t, db.conninfo, "--share=off"), 200);
	ask(&t.w[0], "/index", 10, 200);
	ask(&t.w[1], "/agents", 7, 200);
	ask(&t.w[2], "/agents", 4, 200);
	ask(&t.w[2], "/agents_with_orm", 3, 200);
	ask(&t.w[1], "/nothing", 5, 404);
	ANSWER post = worker_call(&t.w[0], "POST", "/index", NULL);

	assert_problem(post, 405);
	/* Whoever is asked says the same. */
	for (int i = 0; i < 3; i++) {
		ANSWER a = worker_admin(&t.w[i], "/metrics");
		const char *text = a.body.p;

		assert_status(a, 200);
		assert_header(a, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
		assert_header(a, "Cache-Control", "no-store");
		ck_assert_double_eq(in_metrics(text, "requests_total{path=\"/index\",code=\"200\"}"), 13.);
		ck_assert_double_eq(in_metrics(text, "requests_total{path=\"/index\",code=\"405\"}"), 1.);
		ck_assert_double_eq(in_metrics(text, "requests_total{path=\"/agents\",code=\"200\"}"), 11.);
		ck_assert_double_eq(in_metrics(text, "requests_total{path=\"/agents_with_orm\",code=\"200\"}"), 3.);
		ck_assert_double_eq(in_metrics(text, "requests_total{path=\"other\",code=\"404\"}"), 5.);
		ck_assert_double_eq(in_metrics(text, "request_duration_seconds_count{path=\"/agents\"}"), 11.);
		ck_assert_double_eq(in_metrics(text, "queries_total{query=\"agents\",outcome=\"rows\"}"), 11.);
		ck_assert_double_eq(in_metrics(text, "query_duration_seconds_count{query=\"agents\"}"), 11.);
		ck_assert_double_eq(in_metrics(text, "flight_members_count"), 14.);
		ck_assert_double_eq(in_metrics(text, "flight_members_sum"), 14.);
		ck_assert_double_eq(in_metrics(text, "database_connects_total"), 3.);
		ck_assert_double_eq(in_metrics(text, "database_connections"), 3.);
		ck_assert_double_eq(in_metrics(text, "worker_starts_total"), 3.);
		ck_assert_double_eq(in_metrics(text, "worker_deaths_total"), 0.);
		ck_assert_double_eq(in_metrics(text, "workers_ready"), 3.);
		ck_assert_double_eq(in_metrics(text, "requests_in_flight"), 0.);
		ck_assert_double_eq(in_metrics(text, "scoreboard_shared"), 1.);
		ck_assert_double_ge(in_metrics(text, "sent_bytes_total"), 11. * 7100. + 3. * 10928.);
	}
	team_end(&t);
	pg_drop(&db);
}
END_TEST

START_TEST(a_killed_worker_s_counts_stay)
{
	struct team t;

	team_begin(&t);
	team_add(&t, NOWHERE, NULL);
	team_add(&t, NOWHERE, NULL);
	ask(&t.w[1], "/index", 20, 200);
	kill_worker(&t.w[1]);
	assert_metric(&t.w[0], "requests_total{path=\"/index\",code=\"200\"}", 22.);
	assert_metric(&t.w[0], "workers{state=\"idle\"}", 1.);
	assert_metric(&t.w[0], "worker_deaths_total", 1.);
	/* Its successor goes on counting in the same place. */
	ask(team_add(&t, NOWHERE, NULL), "/index", 5, 200);
	for (int i = 0; i < 3; i += 2) {
		assert_metric(&t.w[i], "requests_total{path=\"/index\",code=\"200\"}", 28.);
		assert_metric(&t.w[i], "workers{state=\"idle\"}", 2.);
		assert_metric(&t.w[i], "worker_starts_total", 3.);
		assert_metric(&t.w[i], "worker_deaths_total", 1.);
	}
	/* One that drains is no death. */
	worker_end(&t.w[2]);
	t.w[2].pid = 0;
	assert_metric(&t.w[0], "requests_total{path=\"/index\",code=\"200\"}", 28.);
	assert_metric(&t.w[0], "worker_deaths_total", 1.);
	team_end(&t);
}
END_TEST

/* What waits in one worker is seen by another, and so is what it shares. */
START_TEST(what_waits_is_seen_from_elsewhere)
{
	enum { WAITING = 5 };
	struct fastcgi f[WAITING];
	struct pg db;
	struct team t;

	pg_create_default(&db);
	team_begin(&t);
	for (int i = 0; i < 2; i++)
		worker_wait_ready(team_add(&t, db.conninfo, "--request-timeout=60s"), 200);
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	for (int i = 0; i < WAITING; i++)
		worker_send(&t.w[1], &f[i], "/agents");
	WAIT_FOR(metric(&t.w[0], "requests_waiting") == WAITING);
	assert_metric(&t.w[0], "requests_in_flight", WAITING);
	assert_metric(&t.w[0], "workers{state=\"busy\"}", 1.);
	assert_metric(&t.w[0], "workers{state=\"idle\"}", 1.);
	WAIT_FOR(metric(&t.w[0], "queries_in_flight") == 1.);
	pg_exec(db.conn, "COMMIT");
	for (int i = 0; i < WAITING; i++) {
		ANSWER a = fastcgi_answer(&f[i], 1, false);

		assert_status(a, 200);
		fastcgi_close(&f[i]);
	}
	/* The first went alone, the others together. */
	assert_metric(&t.w[0], "flight_members_count", 2.);
	assert_metric(&t.w[0], "flight_members_sum", WAITING);
	assert_metric(&t.w[0], "flight_members_bucket{le=\"1\"}", 1.);
	assert_metric(&t.w[0], "flight_members_bucket{le=\"3\"}", 1.);
	assert_metric(&t.w[0], "flight_members_bucket{le=\"4\"}", 2.);
	WAIT_FOR(metric(&t.w[0], "requests_in_flight") == 0.);
	team_end(&t);
	pg_drop(&db);
}
END_TEST

/* --- readiness --- */

START_TEST(ready_while_most_workers_are)
{
	struct pg db;
	struct team t;

	pg_create(&db);
	team_begin(&t);
	team_add(&t, NOWHERE, NULL);
	WAIT_FOR(ready_says(&t.w[0], 503, "database: "));
	team_add(&t, db.conninfo, NULL);
	/* Half of them is not most. */
	WAIT_FOR(metric(&t.w[0], "workers_ready") == 1.);
	WAIT_FOR(ready_says(&t.w[1], 503, "(1 of 2 workers)"));
	team_add(&t, db.conninfo, NULL);
	for (int i = 0; i < 3; i++)
		WAIT_FOR(ready_says(&t.w[i], 200, "\"workers\": 3, \"ready\": 2"));
	/* As those who serve notice it, and as it is put right. */
	pg_exec(db.conn, "ALTER TABLE agentfeatures RENAME numgroup TO numgroup2");
	ask(&t.w[1], "/agents_with_orm", 1, 503);
	ask(&t.w[2], "/agents_with_orm", 1, 503);
	WAIT_FOR(ready_says(&t.w[0], 503, "schema: ") && ready_says(&t.w[0], 503, "numgroup") &&
		 ready_says(&t.w[0], 503, "database: "));
	pg_exec(db.conn, "ALTER TABLE agentfeatures RENAME numgroup2 TO numgroup");
	WAIT_FOR(ready_says(&t.w[0], 200, "\"ready\": 2"));
	ANSWER live = worker_admin(&t.w[0], "/health/live");

	assert_body_text(live, "{\"status\": \"live\", \"workers\": 3}");
	team_end(&t);
	pg_drop(&db);
}
END_TEST

/* A worker that drains still answers who has a connection to it. */
START_TEST(draining_is_a_reason_when_nobody_accepts)
{
	struct fastcgi waiting;
	struct pg db;
	struct team t;

	pg_create_default(&db);
	team_begin(&t);
	worker_wait_ready(team_add(&t, db.conninfo, "--request-timeout=60s"), 200);
	worker_wait_ready(team_add(&t, NOWHERE, NULL), 503);
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	worker_send(&t.w[0], &waiting, "/agents");
	WAIT_FOR(metric(&t.w[1], "requests_waiting") == 1.);
	ck_assert_int_eq(kill(t.w[0].pid, SIGTERM), 0);
	WAIT_FOR(metric(&t.w[1], "workers{state=\"draining\"}") == 1.);
	ck_assert(ready_says(&t.w[1], 503, "draining (1 of 2 workers)"));
	pg_exec(db.conn, "COMMIT");
	ANSWER a = fastcgi_answer(&waiting, 1, false);

	assert_status(a, 200);
	fastcgi_close(&waiting);
	ck_assert_int_eq(worker_wait(&t.w[0]), 0);
	worker_remove_files(&t.w[0]);
	WAIT_FOR(metric(&t.w[1], "workers{state=\"draining\"}") == 0.);
	team_end(&t);
	pg_drop(&db);
}
END_TEST

START_TEST(a_stopped_worker_is_stuck)
{
	struct team t;

	team_begin(&t);
	team_add(&t, NOWHERE, NULL);
	team_add(&t, NOWHERE, NULL);
	ck_assert_int_eq(kill(t.w[1].pid, SIGSTOP), 0);
	WAIT_FOR(metric(&t.w[0], "workers{state=\"stuck\"}") == 1.);
	ck_assert(ready_says(&t.w[0], 503, "stuck"));
	ck_assert_int_eq(kill(t.w[1].pid, SIGCONT), 0);
	WAIT_FOR(metric(&t.w[0], "workers{state=\"stuck\"}") == 0.);
	team_end(&t);
}
END_TEST

/* --- status --- */

static long list_length(const struct worker *w)
{
	ANSWER a = worker_admin(w, "/status.json");
	json_t *o = answer_json(&a);
	long n = (long)json_array_size(json_object_get(o, "worker_list"));

	json_decref(o);
	return n;
}

START_TEST(status_names_workers_and_the_last_error)
{
	const char *error = NULL;
	int pids = 0, shared, total;
	struct team t;

	team_begin(&t);
	team_add(&t, NOWHERE, NULL);
	team_add(&t, NOWHERE, NULL);
	ck_assert_int_eq(list_length(&t.w[0]), 2);
	WAIT_FOR(worker_log_has(&t.w[1], "database_unreachable"));
	ANSWER a = worker_admin(&t.w[0], "/status.json");
	ANSWER page = worker_admin(&t.w[0], "/status");
	json_t *o = answer_json(&a);
	char reason[HTML_REASON_BYTES] = "";

	assert_header(a, "Content-Type", "application/json");
	ck_assert_int_eq(json_unpack(o, "{s:b, s:{s:i}, s:{s:s}}", "shared", &shared, "workers", "total", &total, "last_error",
				     "error", &error),
			 0);
	ck_assert(shared != 0 && total == 2);
	ck_assert_msg(strstr(error, "/nonexistent") != NULL, "%s", error);
	for (size_t i = 0; i < 2; i++) {
		json_t *pid = json_object_get(json_array_get(json_object_get(o, "worker_list"), i), "pid");

		pids += json_integer_value(pid) == t.w[0].pid || json_integer_value(pid) == t.w[1].pid;
	}
	ck_assert_int_eq(pids, 2);
	json_decref(o);
	assert_status(page, 200);
	assert_header(page, "Content-Type", "text/html; charset=utf-8");
	ck_assert_msg(html_is_well_formed(str_make(page.body.p, page.body.len), reason), "%s", reason);
	ck_assert_ptr_nonnull(strstr(page.body.p, "Not ready: 0 of 2 workers"));
	team_end(&t);
}
END_TEST

/* No scoreboard is no reason not to serve. */
static const char *const no_boards[] = {"--scoreboard=", "--scoreboard=/nonexistent/board", "--scoreboard=/proc/version"};

START_TEST(without_a_scoreboard_a_worker_answers_for_itself)
{
	struct worker w;

	worker_start(&w, NOWHERE, (const char *const[]){no_boards[_i], NULL});
	ask(&w, "/index", 3, 200);
	assert_metric(&w, "scoreboard_shared", 0.);
	assert_metric(&w, "requests_total{path=\"/index\",code=\"200\"}", 4.);
	ck_assert_int_eq(worker_log_has(&w, "scoreboard_unusable"), _i > 0);
	ck_assert_int_eq(list_length(&w), 1);
	worker_end(&w);
}
END_TEST

/* --- through nginx --- */

static const char *const admin_paths[] = {"/metrics", "/status", "/status.json", "/health/live", "/health/ready"};

START_TEST(admin_paths_through_nginx)
{
	ANSWER a = http_admin("GET", admin_paths[_i]);
	ANSWER head = http_admin("HEAD", admin_paths[_i]);
	ANSWER post = http_admin("POST", admin_paths[_i]);
	ANSWER public = http_get(admin_paths[_i]);

	assert_status(a, 200);
	assert_header(a, "Cache-Control", "no-store");
	ck_assert_int_eq(answer_header_count(&a, "X-Request-Id"), 1);
	ck_assert_int_eq(answer_header_count(&a, "X-Frame-Options"), 1);
	ck_assert_int_eq(answer_header_count(&a, "Content-Security-Policy"), 1);
	/* Only the page may have a style of its own. */
	ck_assert_int_eq(strstr(answer_header(&a, "Content-Security-Policy"), "style-src") != NULL, _i == 1);
	assert_status(head, 200);
	assert_body(head, "", 0);
	assert_problem(post, 405);
	assert_problem(public, 404);
}
END_TEST

/* Prometheus' own judge, where it is installed. */
START_TEST(promtool_accepts_the_metrics)
{
	BYTES file = {0};
	BYTES command = {0};
	FILE *f;

	if (shell("command -v promtool >/dev/null") != 0) {
		(void)puts("promtool is not installed, so the metrics were not shown to it");
		return;
	}
	ANSWER index = http_get("/agents");
	ANSWER a = http_admin("GET", "/metrics");

	assert_status(index, 200);
	assert_status(a, 200);
	bytes_printf(&file, "%s/metrics-%d", env_need("RUN_DIR"), (int)getpid());
	f = fopen(file.p, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(a.body.p, 1, a.body.len, f), a.body.len);
	ck_assert_int_eq(fclose(f), 0);
	bytes_printf(&command, "promtool check metrics <'%s' >&2", file.p);
	ck_assert_int_eq(shell(command.p), 0);
	(void)unlink(file.p);
}
END_TEST

static double pool_metric(const char *series)
{
	ANSWER a = http_admin("GET", "/metrics");

	return in_metrics(a.body.p, series);
}

/* One of the stack's workers; 0 for none. */
static pid_t some_worker(void)
{
	ANSWER a = http_admin("GET", "/status.json");
	json_t *o = answer_json(&a);
	json_t *list = json_object_get(o, "worker_list");
	pid_t pid = (pid_t)json_integer_value(json_object_get(json_array_get(list, 0), "pid"));

	json_decref(o);
	return pid;
}

START_TEST(the_stack_s_pool_counts_over_deaths)
{
	static const char series[] = "requests_total{path=\"/index\",code=\"200\"}";
	double before, deaths = pool_metric("worker_deaths_total");
	struct http h;
	pid_t pid;

	WAIT_FOR(pool_metric("workers_ready") == 4.);
	before = pool_metric(series);
	http_open(&h);
	for (int i = 0; i < 50; i++) {
		/* Now and then on a new connection. */
		ANSWER a = i % 10 == 0 ? http_get("/index") : (struct answer){0};
		BYTES url = {0};

		bytes_printf(&url, "%s/index", env_need("BASE_URL"));
		ANSWER b = http_exchange(&h, "GET", url.p, NULL);

		ck_assert(a.status == 200 || i % 10 != 0);
		assert_status(b, 200);
	}
	http_close(&h);
	ck_assert_double_eq(pool_metric(series), before + 55.);
	pid = some_worker();
	ck_assert_int_gt(pid, 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	WAIT_FOR(pool_metric("worker_deaths_total") == deaths + 1.);
	WAIT_FOR(pool_metric("workers_ready") == 4.);
	ck_assert_double_eq(pool_metric("worker_deaths_total"), deaths + 1.);
	ck_assert_double_eq(pool_metric(series), before + 55.);
}
END_TEST

/* --- logs --- */

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
	ck_assert_int_ge(lines, 20);
	ck_assert_int_le(lines, 20 * rounds); /* twenty in a second */
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
	Suite *s = suite_create("admin");
	TCase *c = add_case(s, "admin");

	tcase_add_test(c, totals_are_what_was_asked_of_all_workers);
	tcase_add_test(c, a_killed_worker_s_counts_stay);
	tcase_add_test(c, what_waits_is_seen_from_elsewhere);
	tcase_add_test(c, ready_while_most_workers_are);
	tcase_add_test(c, draining_is_a_reason_when_nobody_accepts);
	tcase_add_test(c, a_stopped_worker_is_stuck);
	tcase_add_test(c, status_names_workers_and_the_last_error);
	tcase_add_loop_test(c, without_a_scoreboard_a_worker_answers_for_itself, 0, 3);
	tcase_add_loop_test(c, admin_paths_through_nginx, 0, (int)(sizeof admin_paths / sizeof admin_paths[0]));
	tcase_add_test(c, promtool_accepts_the_metrics);
	tcase_add_test(c, the_stack_s_pool_counts_over_deaths);
	tcase_add_test(c, a_slow_request_says_where_its_time_went);
	tcase_add_test(c, a_request_can_be_followed_through_both_logs);
	tcase_add_test(c, a_flood_of_failures_is_few_lines);
	return run_suite(s);
}
