/*
 * What an operator sees: readiness, metrics and status of the pool, whichever worker answers.
 */
#include "../unit/html.h"
#include "pg.h"
#include "series.h"
#include "team.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static void kill_worker(struct worker *w)
{
	ck_assert_int_eq(kill(w->pid, SIGKILL), 0);
	ck_assert_int_eq(worker_wait(w), -1);
	worker_remove_files(w);
}

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

	team_begin_two(&t);
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

	team_begin_two(&t);
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

	team_begin_two(&t);
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

/* As with a full disk: the log says so, and the worker serves. */
START_TEST(a_limit_of_file_sizes_ends_no_worker)
{
	struct rlimit files;
	struct worker w;
	struct team t;

	team_begin(&t);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &files), 0);
	files.rlim_cur = 1 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &files), 0);
	worker_start(&w, NOWHERE, (const char *const[]){t.option, NULL});
	ask(&w, "/index", 3, 200);
	ck_assert(worker_log_has(&w, "scoreboard_unusable"));
	ck_assert(worker_log_has(&w, "File too large"));
	worker_end(&w);
	team_end(&t);
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
	tcase_add_test(c, a_limit_of_file_sizes_ends_no_worker);
	return run_suite(s);
}
