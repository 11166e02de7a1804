/* wrap: connector_start */
#include "db.h"
#include "fake_pg.h"
#include "loop.h"
#include "random.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int attempts; /* to connect */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void __real_connector_start(struct connector *c);
void __wrap_connector_start(struct connector *c);

void __wrap_connector_start(struct connector *c)
{
	attempts++;
	__real_connector_start(c);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* --- jobs --- */

#define JOBS 100

static const struct query queries[] = {
	{QUERY_AGENTS, "a", "SELECT a", NULL},
	{QUERY_AGENTFEATURES, "b", "SELECT b", NULL},
	{QUERY_CATALOGUE, "c", "SELECT c", NULL},
};

static struct work {
	struct job job;
	char parameter[16];
	int done;
	int place; /* in the order of outcomes */
	enum job_outcome outcome;
	char value[64]; /* of the row */
	char sqlstate[8];
	char message[128];
	int sealed;
	struct work *submits; /* another, from within done() */
} works[JOBS];

static int outcomes;
static int submit_until; /* that many */
static int timeout_ms;   /* a request's time */
static struct db db;
static bool in_submit;

static struct work *work_of(struct job *j)
{
	return LIST_OBJECT(j, struct work, job);
}

static void on_sealed(struct job *j)
{
	ck_assert_int_ne(j->state, JOB_SENT);
	work_of(j)->sealed++;
}

static void submit(struct work *w)
{
	ck_assert_int_eq(w->job.state, JOB_IDLE);
	in_submit = true;
	db_submit(&db, &w->job);
	in_submit = false;
	ck_assert_int_eq(w->job.state, JOB_WAITING);
}

static void on_done(struct job *j, const struct job_result *r)
{
	struct work *w = work_of(j);

	ck_assert(!in_submit);
	ck_assert_int_eq(j->state, JOB_IDLE);
	ck_assert(j->answered_us == 0 || j->answered_us >= j->sent_us);
	w->done++;
	w->place = outcomes++;
	w->outcome = r->outcome;
	if (r->outcome == JOB_ROWS) {
		ck_assert_int_eq(PQntuples(r->result), 1);
		(void)snprintf(w->value, sizeof(w->value), "%s", PQgetvalue(r->result, 0, 0));
	} else {
		ck_assert_ptr_null(r->result);
	}
	(void)snprintf(w->sqlstate, sizeof(w->sqlstate), "%s", r->sqlstate);
	(void)snprintf(w->message, sizeof(w->message), "%s", r->message);
	if (w->submits != NULL && outcomes < submit_until)
		submit(w->submits);
}

/* --- db on a fake server --- */

static struct ev_loop *loop;
static struct fake_pg server;
static ev_prepare before_sleep;
static const struct log quiet = {.fd = -1, .level = LOG_LEVEL_ERROR};
static struct metrics metrics;
static int ups;
static int schema_errors;

static void on_before_sleep(struct ev_loop *l, ev_prepare *p, int revents)
{
	(void)l;
	(void)p;
	(void)revents;
	db_flush(&db);
	for (int i = 0; i < db.settings.links; i++)
		ck_assert_uint_le(db.links[i].job_count, LINK_DEPTH);
}

static void on_up(void *user)
{
	ck_assert_ptr_eq(user, &server);
	ups++;
}

static void on_schema_error(void *user)
{
	ck_assert_ptr_eq(user, &server);
	schema_errors++;
}

static void start_with(int links)
{
	ck_assert(db_init(&db, loop, &quiet, (struct db_settings){server.conninfo, links, timeout_ms, &metrics}));
	db.on_up = on_up;
	db.on_schema_error = on_schema_error;
	db.user = &server;
	ev_prepare_init(&before_sleep, on_before_sleep);
	ev_prepare_start(loop, &before_sleep);
}

static void setup(void)
{
	memset(&metrics, 0, sizeof(metrics));
	attempts = outcomes = ups = schema_errors = 0;
	submit_until = INT_MAX;
	timeout_ms = 5000;
	memset(works, 0, sizeof(works));
	for (int i = 0; i < JOBS; i++) {
		struct work *w = &works[i];

		(void)snprintf(w->parameter, sizeof(w->parameter), "p%d", i);
		list_init(&w->job.node);
		w->job.query = &queries[i % 3];
		w->job.parameter = w->parameter;
		w->job.deadline_us = clock_us() + 60 * CLOCK_S;
		w->job.sealed = on_sealed;
		w->job.done = on_done;
	}
	loop = ev_loop_new(EVFLAG_AUTO);
	ck_assert_ptr_nonnull(loop);
	fake_pg_start(&server, loop);
}

static bool is_not_connecting(void *arg)
{
	(void)arg;
	return !db.connecting;
}

static void teardown(void)
{
	ck_assert(loop_until(loop, is_not_connecting, NULL));
	ck_assert(db_close(&db));
	fake_pg_stop(&server);
	ev_loop_destroy(loop);
}

static bool is_up(void *arg)
{
	(void)arg;
	return db_is_up(&db);
}

static bool is_down(void *arg)
{
	(void)arg;
	return !db_is_up(&db);
}

static bool have_outcomes(void *count)
{
	return outcomes >= *(const int *)count;
}

static void wait_up(void)
{
	ck_assert(loop_until(loop, is_up, NULL));
}

static void wait_outcomes(int count)
{
	ck_assert_msg(loop_until(loop, have_outcomes, &count), "%d of %d outcomes; the server saw%s", outcomes, count,
		      server.log);
	loop_turn(loop);
	ck_assert_int_eq(outcomes, count);
}

static void start(void)
{
	start_with(1);
	wait_up();
}

/* Works [first, first + count), all with query `query`. */
static void submit_some(int first, int count, int query)
{
	for (int i = first; i < first + count; i++) {
		works[i].job.query = &queries[query];
		submit(&works[i]);
	}
}

static void has_rows(const struct work *w, int generation, int connection)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "%s_%d %s %d", w->job.query->name, generation, w->parameter, connection);
	ck_assert_int_eq(w->done, 1);
	ck_assert_int_eq(w->outcome, JOB_ROWS);
	ck_assert_str_eq(w->value, expected);
}

static void has_failed(const struct work *w, enum job_outcome outcome, const char *sqlstate)
{
	ck_assert_int_eq(w->done, 1);
	ck_assert_int_eq(w->outcome, outcome);
	ck_assert_str_eq(w->sqlstate, sqlstate);
}

/* --- a server that behaves --- */

/* Outcomes of that kind, of all queries; connections made and lost; queries sent again. */
static void counted(uint64_t n, enum metrics_outcome outcome, uint64_t connects, uint64_t lost, uint64_t resent)
{
	uint64_t sum = 0;

	for (unsigned q = 0; q < QUERY_MAX; q++)
		sum += counter_read(&metrics.queries[q][outcome]);
	ck_assert_uint_eq(sum, n);
	ck_assert_uint_eq(counter_read(&metrics.database_connects), connects);
	ck_assert_uint_eq(counter_read(&metrics.database_connections_lost), lost);
	ck_assert_uint_eq(counter_read(&metrics.queries_resent), resent);
}

START_TEST(results_come_in_order)
{
	start();
	for (int i = 0; i < JOBS; i++)
		submit(&works[i]);
	wait_outcomes(JOBS);
	for (int i = 0; i < JOBS; i++) {
		has_rows(&works[i], i % 3 + 1, 1);
		ck_assert_int_eq(works[i].place, i);
		ck_assert_int_eq(works[i].sealed, 1);
	}
	ck_assert_int_eq(server.parses, 3); /* once for each statement and connection */
	ck_assert_int_eq(server.connections, 1);
	ck_assert_int_eq(ups, 1);
	counted(JOBS, METRICS_ROWS, 1, 0, 0);
	ck_assert_uint_eq(buckets_count(&metrics.query_durations[QUERY_AGENTS]), (JOBS + 2) / 3);
}
END_TEST

START_TEST(turn_has_one_sync)
{
	start();
	submit_some(0, 10, 0);
	wait_outcomes(10);
	ck_assert_int_eq(server.syncs, 1);
	ck_assert_str_eq(server.log, " P:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1 E:a_1");
}
END_TEST

START_TEST(job_without_a_parameter)
{
	start();
	works[0].job.parameter = NULL;
	submit(&works[0]);
	wait_outcomes(1);
	ck_assert_str_eq(works[0].value, "a_1 - 1");
}
END_TEST

START_TEST(jobs_wait_for_the_first_connection)
{
	start_with(1);
	ck_assert(!db_is_up(&db));
	ck_assert_str_eq(db.reason, "not connected yet");
	submit_some(0, 3, 0);
	submit(&works[3]);
	db_withdraw(&db, &works[3].job);
	ck_assert_int_eq(db_estimate_us(&db), 0);
	wait_outcomes(3);
	has_rows(&works[2], 1, 1);
	ck_assert_int_eq(works[3].done + works[3].sealed, 0);
	ck_assert_str_eq(db.reason, "");
}
END_TEST

START_TEST(outcome_may_submit_the_next)
{
	start();
	for (int i = 0; i < 20; i++)
		works[i].submits = &works[i + 1];
	submit(&works[0]);
	wait_outcomes(21);
	ck_assert_str_eq(works[20].value, "c_3 p20 1");
}
END_TEST

START_TEST(links_share_the_work)
{
	start_with(3);
	while (server.open < 3 || db.connecting) {
		ck_assert(!ev_is_active(&db.retry)); /* success is no reason to wait */
		(void)ev_run(loop, EVRUN_ONCE);
	}
	submit_some(0, 60, 0);
	(void)ev_run(loop, EVRUN_NOWAIT);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(db.links[i].job_count, 20);
	ck_assert_int_ge(db_estimate_us(&db), 0);
	wait_outcomes(60);
	for (int i = 0; i < 60; i++)
		ck_assert_int_eq(works[i].outcome, JOB_ROWS);
}
END_TEST

/* --- errors --- */

static const char *error_for;  /* the parameter */
static const char *error_code; /* its SQLSTATE */
static int error_times;
static enum fake_act error_act;

static struct fake_reply error_sometimes(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)connection;
	(void)statement;
	if (error_times == 0 || (error_for != NULL && strcmp(parameter, error_for) != 0))
		return (struct fake_reply){FAKE_ROWS, NULL};
	error_times--;
	return (struct fake_reply){error_act, error_code};
}

static void errors(enum fake_act act, const char *code, const char *parameter, int times)
{
	error_act = act;
	error_code = code;
	error_for = parameter;
	error_times = times;
	server.on_execute = error_sometimes;
}

START_TEST(error_aborts_those_behind_it_and_they_are_sent_again_in_order)
{
	errors(FAKE_ERROR, "22012", "p4", 1);
	start();
	submit_some(0, 10, 0);
	wait_outcomes(10);
	for (int i = 0; i < 10; i++) {
		if (i == 4)
			has_failed(&works[i], JOB_FAILED, "22012");
		else
			has_rows(&works[i], 1, 1);
		ck_assert_int_eq(works[i].place, i);
	}
	ck_assert_str_eq(works[4].message, "the server's words about 22012");
	ck_assert_int_eq(schema_errors, 0);
	ck_assert_int_eq(server.connections, 1);
}
END_TEST

/* Being aborted costs no attempt: with each round one job is answered, however many errors there are. */
START_TEST(errors_of_others_use_up_no_attempts)
{
	errors(FAKE_ERROR, "22012", NULL, 9);
	start();
	submit_some(0, 10, 0);
	wait_outcomes(10);
	for (int i = 0; i < 9; i++)
		has_failed(&works[i], JOB_FAILED, "22012");
	has_rows(&works[9], 1, 1);
}
END_TEST

static const struct {
	const char *code;
	int times;
	enum job_outcome outcome;
	int executions;
	int schema_errors;
} error_cases[] = {
	{"22012", 99, JOB_FAILED, 1, 0},      {"XX000", 99, JOB_FAILED, 1, 0},      {"42P01", 99, JOB_UNAVAILABLE, 1, 1},
	{"42501", 99, JOB_UNAVAILABLE, 1, 1}, {"53200", 99, JOB_UNAVAILABLE, 1, 0}, {"57014", 99, JOB_UNAVAILABLE, 3, 0},
	{"40001", 99, JOB_UNAVAILABLE, 3, 0}, {"57014", 2, JOB_ROWS, 3, 0},         {"40001", 1, JOB_ROWS, 2, 0},
	{"0A000", 99, JOB_UNAVAILABLE, 3, 1}, {"26000", 99, JOB_UNAVAILABLE, 3, 1},
};

#define ERROR_CASES ((int)(sizeof(error_cases) / sizeof(error_cases[0])))

START_TEST(each_error_has_its_outcome)
{
	errors(FAKE_ERROR, error_cases[_i].code, NULL, error_cases[_i].times);
	start();
	submit(&works[0]);
	wait_outcomes(1);
	ck_assert_int_eq(works[0].outcome, error_cases[_i].outcome);
	ck_assert_uint_eq(counter_read(&metrics.queries[QUERY_AGENTS][error_cases[_i].outcome]), 1);
	ck_assert_int_eq(server.executions, error_cases[_i].executions);
	ck_assert_int_eq(schema_errors, error_cases[_i].schema_errors);
	ck_assert_int_eq(server.connections, 1);
	errors(FAKE_ROWS, NULL, NULL, 0); /* none of them harms those that follow */
	submit(&works[1]);
	wait_outcomes(2);
	ck_assert_int_eq(works[1].outcome, JOB_ROWS);
}
END_TEST

START_TEST(statement_that_is_of_no_use_is_prepared_under_another_name)
{
	start();
	submit_some(0, 1, 0);
	wait_outcomes(1);
	errors(FAKE_ERROR, _i == 0 ? "0A000" : "26000", NULL, 1);
	submit_some(1, 3, 0);
	wait_outcomes(4);
	has_rows(&works[0], 1, 1);
	for (int i = 1; i < 4; i++)
		has_rows(&works[i], 2, 1);
	ck_assert_int_eq(server.parses, 2);
	ck_assert_int_eq(schema_errors, 0);
}
END_TEST

static struct fake_reply first_statement_is_lost(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)connection;
	(void)parameter;
	return (struct fake_reply){strcmp(statement, "a_1") == 0 ? FAKE_ERROR : FAKE_ROWS, "26000"};
}

/* As many jobs as a link holds, each with its own Sync; each fails in a turn of its own, and is prepared and sent again before its Sync is answered. */
START_TEST(longest_pipeline)
{
	start();
	submit_some(0, 1, 0);
	wait_outcomes(1);
	server.holds = true;
	server.on_execute = first_statement_is_lost;
	for (int i = 1; i <= LINK_DEPTH; i++) {
		submit_some(i, 1, 0);
		(void)ev_run(loop, EVRUN_NOWAIT);
	}
	ck_assert_uint_eq(db.links[0].job_count, LINK_DEPTH);
	ck_assert_uint_eq(db.links[0].entry_count, 2 * LINK_DEPTH);
	fake_pg_release(&server);
	wait_outcomes(1 + LINK_DEPTH);
	for (int i = 1; i <= LINK_DEPTH; i++)
		ck_assert_int_eq(works[i].outcome, JOB_ROWS);
}
END_TEST

static struct fake_reply no_table_a(void *user, int connection, const char *statement)
{
	(void)user;
	(void)connection;
	return (struct fake_reply){statement[0] == 'a' ? FAKE_ERROR : FAKE_ROWS, "42P01"};
}

START_TEST(statement_that_cannot_be_prepared)
{
	server.on_parse = no_table_a;
	start();
	submit_some(0, 2, 0); /* the second has the first one's statement, and is aborted with it */
	submit_some(2, 1, 1);
	wait_outcomes(3);
	has_failed(&works[0], JOB_UNAVAILABLE, "42P01");
	has_failed(&works[1], JOB_UNAVAILABLE, "42P01");
	ck_assert_int_eq(works[2].outcome, JOB_ROWS);
	ck_assert_int_eq(schema_errors, 2);
	server.on_parse = NULL; /* the table is there again */
	submit_some(3, 2, 0);
	wait_outcomes(5);
	ck_assert_int_eq(works[3].outcome, JOB_ROWS);
	ck_assert_int_eq(works[4].outcome, JOB_ROWS);
}
END_TEST

/* --- the end of a connection --- */

static const struct {
	enum fake_act act;
	const char *code;
} breaks[] = {{FAKE_FATAL, "57P01"}, {FAKE_CLOSE, NULL}, {FAKE_HALF, NULL}};

START_TEST(jobs_of_a_broken_connection_are_sent_again_on_the_next)
{
	errors(breaks[_i].act, breaks[_i].code, "p1", 1);
	start();
	submit_some(0, 4, 0);
	wait_outcomes(4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(works[i].done, 1);
		ck_assert_int_eq(works[i].outcome, JOB_ROWS);
		ck_assert_int_eq(works[i].place, i);
	}
	has_rows(&works[1], 2, 2); /* prepared anew, too */
	ck_assert_int_eq(server.connections, 2);
	ck_assert_int_eq(ups, 2);
	ck_assert(db_is_up(&db));
	ck_assert_uint_eq(counter_read(&metrics.database_connects), 2);
	ck_assert_uint_eq(counter_read(&metrics.database_connections_lost), 1);
	ck_assert_uint_ge(counter_read(&metrics.queries_resent), 1);
}
END_TEST

/* Three times means three times before the eyes of a server. */
START_TEST(job_that_breaks_each_connection_is_given_up)
{
	errors(breaks[_i].act, breaks[_i].code, "p0", 99);
	start();
	submit(&works[0]);
	wait_outcomes(1);
	ck_assert_int_eq(works[0].outcome, JOB_UNAVAILABLE);
	ck_assert_int_eq(server.executions, JOB_ATTEMPTS);
	ck_assert_int_ge(server.connections, JOB_ATTEMPTS); /* the next may be under way already */
	submit(&works[1]);                                  /* goes on */
	wait_outcomes(2);
	ck_assert_int_eq(works[1].outcome, JOB_ROWS);
}
END_TEST

START_TEST(connection_lost_while_idle_is_made_again)
{
	start();
	fake_pg_drop(&server);
	ck_assert(loop_until(loop, is_down, NULL));
	ck_assert_str_ne(db.reason, "");
	wait_up();
	ck_assert_str_eq(db.reason, "");
	ck_assert_int_eq(ups, 2);
	submit(&works[0]);
	wait_outcomes(1);
	has_rows(&works[0], 1, 2);
}
END_TEST

START_TEST(other_links_go_on)
{
	start_with(2);
	while (server.open < 2 || db.connecting)
		(void)ev_run(loop, EVRUN_ONCE);
	errors(FAKE_CLOSE, NULL, "p5", 1);
	submit_some(0, 20, 0);
	wait_outcomes(20);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(works[i].outcome, JOB_ROWS);
	ck_assert_int_eq(ups, 1); /* it was up all the time */
}
END_TEST

static struct fake_reply silent_at_first(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)statement;
	(void)parameter;
	return (struct fake_reply){connection == 1 ? FAKE_SILENT : FAKE_ROWS, NULL};
}

START_TEST(no_answer_by_the_deadline)
{
	server.on_execute = silent_at_first;
	timeout_ms = 400;
	works[_i].job.deadline_us = clock_us() + 300 * CLOCK_MS; /* the first of them, or one that was sent later */
	start();
	submit_some(0, 4, 0);
	wait_outcomes(4);
	for (int i = 0; i < 4; i++) {
		if (i == _i)
			has_failed(&works[i], JOB_EXPIRED, "");
		else
			has_rows(&works[i], 2, 2);
	}
	ck_assert_int_eq(works[_i].sealed, 1);
	ck_assert_int_ge(clock_us(), works[_i].job.deadline_us);
}
END_TEST

/* A timer that was set for a later deadline must not keep a sooner one waiting. */
static bool is_past(void *time_us)
{
	return clock_us() > *(const int64_t *)time_us;
}

static void send_to_silence(struct work *w, int64_t time_us)
{
	w->job.deadline_us = clock_us() + time_us;
	submit(w);
	loop_turn(loop);
	ck_assert_int_eq(w->job.state, JOB_SENT);
}

START_TEST(job_beyond_its_deadline_costs_no_connection)
{
	int64_t later_us;

	start();
	server.holds = true;
	send_to_silence(&works[0], 60 * CLOCK_S);
	send_to_silence(&works[1], 200 * CLOCK_MS);
	later_us = works[1].job.deadline_us + 100 * CLOCK_MS;
	ck_assert(loop_until(loop, is_past, &later_us));
	ck_assert_int_eq(outcomes, 0);
	fake_pg_release(&server);
	wait_outcomes(2);
	ck_assert_int_eq(works[0].outcome, JOB_ROWS);
	ck_assert_int_eq(works[1].outcome, JOB_ROWS); /* for whoever still wants them */
	ck_assert_int_eq(server.connections, 1);
}
END_TEST

/* Long before the 20 s of silence that any connection may have. */
START_TEST(connection_with_nothing_but_expired_jobs_is_closed)
{
	timeout_ms = 20000;
	start();
	server.holds = true;
	send_to_silence(&works[0], 500 * CLOCK_MS);
	send_to_silence(&works[1], 60 * CLOCK_S);
	works[1].job.unwanted = true;
	wait_outcomes(2);
	has_failed(&works[0], JOB_EXPIRED, "");
	has_failed(&works[1], JOB_EXPIRED, "");
	ck_assert(db_is_reachable(&db));
	ck_assert_int_ge(clock_us(), works[0].job.deadline_us);
	fake_pg_release(&server);
}
END_TEST

START_TEST(unwanted_job_is_not_sent_again)
{
	start();
	server.holds = true;
	send_to_silence(&works[0], 60 * CLOCK_S);
	send_to_silence(&works[1], 60 * CLOCK_S);
	works[0].job.unwanted = true;
	fake_pg_drop(&server);
	fake_pg_release(&server);
	wait_outcomes(2);
	has_failed(&works[0], JOB_EXPIRED, "");
	ck_assert_int_eq(works[1].outcome, JOB_ROWS);
	ck_assert_int_eq(works[0].sealed, 1);
}
END_TEST

START_TEST(job_whose_turn_comes_too_late_is_not_sent)
{
	start();
	for (int i = 0; i < 40; i++)
		works[i].job.deadline_us = clock_us() + (i % 2 == 0 ? CLOCK_MS : 60 * CLOCK_S);
	submit_some(0, 40, 0);
	wait_outcomes(40);
	for (int i = 0; i < 40; i++) {
		if (i % 2 == 0)
			has_failed(&works[i], JOB_UNAVAILABLE, "");
		else
			has_rows(&works[i], 1, 1);
		ck_assert_int_eq(works[i].sealed, i % 2);
	}
	ck_assert_int_eq(server.executions, 20);
	ck_assert_int_eq(server.connections, 1);
}
END_TEST

#define SILENT_CONNECTIONS (JOB_ATTEMPTS + 1)

static struct fake_reply silent_for_long(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)statement;
	(void)parameter;
	return (struct fake_reply){connection <= SILENT_CONNECTIONS ? FAKE_SILENT : FAKE_ROWS, NULL};
}

START_TEST(connections_closed_for_slowness_use_up_no_attempts)
{
	timeout_ms = 100;
	server.on_execute = silent_for_long;
	start();
	submit_some(0, 2, 0);
	wait_outcomes(2);
	has_rows(&works[0], SILENT_CONNECTIONS + 1, SILENT_CONNECTIONS + 1);
	has_rows(&works[1], SILENT_CONNECTIONS + 1, SILENT_CONNECTIONS + 1);
}
END_TEST

/* What was slow in the past may be quick now: a lone job is always tried. */
START_TEST(slow_past_stops_no_lone_job)
{
	start();
	db.service_us = 100 * CLOCK_S;
	submit_some(0, 1, 0);
	wait_outcomes(1);
	has_rows(&works[0], 1, 1);
	ck_assert_int_lt(db.service_us, 100 * CLOCK_S);
}
END_TEST

/* --- any of it, in any order --- */

static uint64_t chance;

static struct fake_reply any_reply(void)
{
	static const char *const codes[] = {"22012", "26000", "0A000", "42P01", "57014"};
	uint32_t n = random_below(&chance, 1000);

	if (n < 50)
		return (struct fake_reply){FAKE_ERROR, codes[n % 5]};
	if (n < 58)
		return (struct fake_reply){n < 52 ? FAKE_FATAL : n < 55 ? FAKE_CLOSE : FAKE_HALF, "57P01"};
	return (struct fake_reply){FAKE_ROWS, NULL};
}

static struct fake_reply any_reply_to_parse(void *user, int connection, const char *statement)
{
	(void)user;
	(void)connection;
	(void)statement;
	return any_reply();
}

static struct fake_reply any_reply_to_execute(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)connection;
	(void)statement;
	(void)parameter;
	return any_reply();
}

/* Each submission has one outcome, and rows are those of its own query and parameter. */
static void on_any_done(struct job *j, const struct job_result *r)
{
	struct work *w = work_of(j);
	char query;
	char parameter[16];

	ck_assert_int_ne(r->outcome, JOB_EXPIRED);
	if (r->outcome == JOB_ROWS) {
		ck_assert_int_eq(sscanf(PQgetvalue(r->result, 0, 0), "%c_%*d %15s", &query, parameter), 2);
		ck_assert_int_eq(query, j->query->name[0]);
		ck_assert_str_eq(parameter, w->parameter);
	}
	on_done(j, r);
}

START_TEST(every_job_has_one_outcome_and_its_own_rows)
{
	chance = random_seed() + (uint64_t)_i;
	submit_until = 2900;
	start_with(_i + 1);
	wait_up();
	server.on_parse = any_reply_to_parse;
	server.on_execute = any_reply_to_execute;
	if (_i == 1)
		fake_pg_release(&server); /* message by message */
	for (int i = 0; i < JOBS; i++) {
		works[i].job.done = on_any_done;
		works[i].submits = &works[i];
		submit(&works[i]);
	}
	/* The last hundred are not submitted again. */
	wait_outcomes(submit_until + JOBS - 1);
	ck_assert_uint_eq(db.waiting_count, 0);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(works[i].job.state, JOB_IDLE);
}
END_TEST

/* --- connecting --- */

static bool has_failed_to_connect(void *arg)
{
	(void)arg;
	return db.failures > 0 && !db.connecting;
}

START_TEST(sql_ascii_is_refused_with_a_reason)
{
	server.encoding = "SQL_ASCII";
	start_with(1);
	ck_assert(loop_until(loop, has_failed_to_connect, NULL));
	ck_assert(!db_is_up(&db));
	ck_assert_ptr_nonnull(strstr(db.reason, "SQL_ASCII"));
	ck_assert_ptr_nonnull(strstr(db.reason, "\"fake\""));
	server.encoding = "UTF8"; /* repaired */
	wait_up();
	ck_assert_str_eq(db.reason, "");
}
END_TEST

static bool is_over(void *deadline_us)
{
	return clock_us() >= *(const int64_t *)deadline_us;
}

static bool have_attempts(void *count)
{
	return attempts >= *(const int *)count;
}

/* It tries again, and not often: a busy machine can only make the attempts fewer. */
static void is_not_hurried(void)
{
	int several = 3;
	int64_t second_us;

	ck_assert(loop_until(loop, have_attempts, &several));
	second_us = clock_us() + CLOCK_S;
	several = attempts;
	ck_assert(loop_until(loop, is_over, &second_us));
	ck_assert_int_le(attempts, several + 40);
}

START_TEST(refused_connections_are_not_hurried)
{
	fake_pg_refuse(&server);
	start_with(1);
	is_not_hurried();
	ck_assert_str_ne(db.reason, "");
}
END_TEST

/* It accepts, and then ends the connection at the first query, again and again. */
START_TEST(server_that_accepts_and_breaks_is_not_hurried)
{
	errors(FAKE_CLOSE, NULL, NULL, 1000000);
	start();
	for (int i = 0; i < JOBS; i++)
		submit(&works[i]);
	is_not_hurried();
}
END_TEST

/* --- the end --- */

START_TEST(closing_forgets_jobs)
{
	server.on_execute = silent_at_first;
	start();
	submit_some(0, 40, 0); /* some sent, some waiting */
	loop_turn(loop);
	ck_assert_int_eq(works[0].job.state, JOB_SENT);
	ck_assert_int_eq(works[39].job.state, JOB_WAITING);
}
END_TEST

START_TEST(closing_in_the_midst_of_an_attempt_is_refused)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) { /* the loop does not turn, so the server does not answer, and the helper thread waits for it */
		start_with(1);
		_exit(db_close(&db) ? 1 : 0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	start();
}
END_TEST

START_TEST(estimate_follows_the_place_in_line)
{
	start();
	ck_assert_int_eq(db_estimate_us(&db), 0); /* nothing is known */
	db.service_us = 1000;
	ck_assert_int_eq(db_estimate_us(&db), 0); /* nor in anyone's way */
	submit_some(0, 9, 0);
	ck_assert_int_eq(db_estimate_us(&db), 10000);
	server.on_execute = silent_at_first;
	loop_turn(loop);
	ck_assert_int_eq(works[8].job.state, JOB_SENT);
	ck_assert_int_ge(db_estimate_us(&db), 10000); /* and the age of the oldest */
}
END_TEST

static struct fake_reply error_then_silence(void *user, int connection, const char *statement, const char *parameter)
{
	static const enum fake_act acts[] = {FAKE_ERROR, FAKE_SILENT, FAKE_ROWS};

	(void)user;
	(void)connection;
	(void)statement;
	(void)parameter;
	return (struct fake_reply){acts[server.executions - 1], "40001"};
}

static bool has_two_executions(void *arg)
{
	(void)arg;
	return server.executions == 2;
}

/* Its error is the answer to the first attempt; the second has none. */
START_TEST(answer_of_an_earlier_attempt_is_none_to_the_next)
{
	server.on_execute = error_then_silence;
	start();
	submit(&works[0]);
	ck_assert(loop_until(loop, has_two_executions, NULL));
	ck_assert_int_eq(works[0].job.state, JOB_SENT);
	ck_assert_int_eq(works[0].job.answered_us, 0);
	fake_pg_drop(&server);
	wait_outcomes(1);
	ck_assert_int_eq(works[0].outcome, JOB_ROWS);
	ck_assert_int_ge(works[0].job.answered_us, works[0].job.sent_us);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, results_come_in_order);
	tcase_add_test(tc, turn_has_one_sync);
	tcase_add_test(tc, job_without_a_parameter);
	tcase_add_test(tc, jobs_wait_for_the_first_connection);
	tcase_add_test(tc, outcome_may_submit_the_next);
	tcase_add_test(tc, links_share_the_work);
	tcase_add_test(tc, error_aborts_those_behind_it_and_they_are_sent_again_in_order);
	tcase_add_test(tc, errors_of_others_use_up_no_attempts);
	tcase_add_loop_test(tc, each_error_has_its_outcome, 0, ERROR_CASES);
	tcase_add_loop_test(tc, statement_that_is_of_no_use_is_prepared_under_another_name, 0, 2);
	tcase_add_test(tc, longest_pipeline);
	tcase_add_test(tc, statement_that_cannot_be_prepared);
	tcase_add_loop_test(tc, jobs_of_a_broken_connection_are_sent_again_on_the_next, 0, 3);
	tcase_add_loop_test(tc, job_that_breaks_each_connection_is_given_up, 0, 3);
	tcase_add_test(tc, connection_lost_while_idle_is_made_again);
	tcase_add_test(tc, other_links_go_on);
	tcase_add_loop_test(tc, no_answer_by_the_deadline, 0, 3);
	tcase_add_test(tc, job_beyond_its_deadline_costs_no_connection);
	tcase_add_test(tc, connection_with_nothing_but_expired_jobs_is_closed);
	tcase_add_test(tc, unwanted_job_is_not_sent_again);
	tcase_add_test(tc, job_whose_turn_comes_too_late_is_not_sent);
	tcase_add_test(tc, connections_closed_for_slowness_use_up_no_attempts);
	tcase_add_test(tc, slow_past_stops_no_lone_job);
	tcase_add_loop_test(tc, every_job_has_one_outcome_and_its_own_rows, 0, 2);
	tcase_add_test(tc, sql_ascii_is_refused_with_a_reason);
	tcase_add_test(tc, refused_connections_are_not_hurried);
	tcase_add_test(tc, server_that_accepts_and_breaks_is_not_hurried);
	tcase_add_test(tc, closing_forgets_jobs);
	tcase_add_test(tc, closing_in_the_midst_of_an_attempt_is_refused);
	tcase_add_test(tc, estimate_follows_the_place_in_line);
	tcase_add_test(tc, answer_of_an_earlier_attempt_is_none_to_the_next);
}

int main(void)
{
	Suite *s = suite_create("db");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_tests(tc);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
