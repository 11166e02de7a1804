/*
 * db_fixture: db on a fake server, with a hundred jobs that note what becomes of them.
 */
#ifndef TESTS_DB_FIXTURE_H
#define TESTS_DB_FIXTURE_H

#include "clock.h"
#include "db.h"
#include "fake_pg.h"
#include "loop.h"
#include "suite.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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
	int64_t lasts_us;     /* not 0: from its being sent until its deadline, however late it is sent */
	struct work *submits; /* another, from within done() */
} works[JOBS];

static int outcomes;
static int submit_until; /* that many */
static int timeout_ms;   /* a request's time */
static struct db db;
static bool in_submit;

static inline struct work *work_of(struct job *j)
{
	return LIST_OBJECT(j, struct work, job);
}

static inline void on_sealed(struct job *j)
{
	struct work *w = work_of(j);

	ck_assert_int_ne(j->state, JOB_SENT);
	w->sealed++;
	if (w->lasts_us != 0)
		j->deadline_us = clock_us() + w->lasts_us;
}

static inline void submit(struct work *w)
{
	ck_assert_int_eq(w->job.state, JOB_IDLE);
	in_submit = true;
	db_submit(&db, &w->job);
	in_submit = false;
	ck_assert_int_eq(w->job.state, JOB_WAITING);
}

static inline void on_done(struct job *j, const struct job_result *r)
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

static inline void on_before_sleep(struct ev_loop *l, ev_prepare *p, int revents)
{
	(void)l;
	(void)p;
	(void)revents;
	db_flush(&db);
	for (int i = 0; i < db.settings.links; i++)
		ck_assert_uint_le(db.links[i].job_count, LINK_DEPTH);
}

static inline void on_up(void *user)
{
	ck_assert_ptr_eq(user, &server);
	ups++;
}

static inline void on_schema_error(void *user)
{
	ck_assert_ptr_eq(user, &server);
	schema_errors++;
}

static inline void start_with(int links)
{
	ck_assert(db_init(&db, loop, &quiet, (struct db_settings){server.conninfo, links, timeout_ms, &metrics}));
	db.on_up = on_up;
	db.on_schema_error = on_schema_error;
	db.user = &server;
	ev_prepare_init(&before_sleep, on_before_sleep);
	ev_prepare_start(loop, &before_sleep);
}

static inline void setup(void)
{
	memset(&metrics, 0, sizeof(metrics));
	outcomes = ups = schema_errors = 0;
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

static inline bool is_not_connecting(void *arg)
{
	(void)arg;
	return !db.connecting;
}

static inline void teardown(void)
{
	ck_assert(loop_until(loop, is_not_connecting, NULL));
	ck_assert(db_close(&db));
	fake_pg_stop(&server);
	ev_loop_destroy(loop);
}

static inline bool is_up(void *arg)
{
	(void)arg;
	return db_is_up(&db);
}

static inline bool is_down(void *arg)
{
	(void)arg;
	return !db_is_up(&db);
}

static inline bool have_outcomes(void *count)
{
	return outcomes >= *(const int *)count;
}

static inline void wait_up(void)
{
	ck_assert(loop_until(loop, is_up, NULL));
}

static inline void wait_outcomes(int count)
{
	ck_assert_msg(loop_until(loop, have_outcomes, &count), "%d of %d outcomes; the server saw%s", outcomes, count,
		      server.log);
	loop_turn(loop);
	ck_assert_int_eq(outcomes, count);
}

static inline void start(void)
{
	start_with(1);
	wait_up();
}

/* Works [first, first + count), all with query `query`. */
static inline void submit_some(int first, int count, int query)
{
	for (int i = first; i < first + count; i++) {
		works[i].job.query = &queries[query];
		submit(&works[i]);
	}
}

static inline void has_rows(const struct work *w, int generation, int connection)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "%s_%d %s %d", w->job.query->name, generation, w->parameter, connection);
	ck_assert_int_eq(w->done, 1);
	ck_assert_int_eq(w->outcome, JOB_ROWS);
	ck_assert_str_eq(w->value, expected);
}

static inline void has_failed(const struct work *w, enum job_outcome outcome, const char *sqlstate)
{
	ck_assert_int_eq(w->done, 1);
	ck_assert_int_eq(w->outcome, outcome);
	ck_assert_str_eq(w->sqlstate, sqlstate);
}

/* --- replies --- */

static const char *error_for;  /* the parameter */
static const char *error_code; /* its SQLSTATE */
static int error_times;
static enum fake_act error_act;

static inline struct fake_reply error_sometimes(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)connection;
	(void)statement;
	if (error_times == 0 || (error_for != NULL && strcmp(parameter, error_for) != 0))
		return (struct fake_reply){FAKE_ROWS, NULL};
	error_times--;
	return (struct fake_reply){error_act, error_code};
}

static inline void errors(enum fake_act act, const char *code, const char *parameter, int times)
{
	error_act = act;
	error_code = code;
	error_for = parameter;
	error_times = times;
	server.on_execute = error_sometimes;
}

static inline struct fake_reply silent_at_first(void *user, int connection, const char *statement, const char *parameter)
{
	(void)user;
	(void)statement;
	(void)parameter;
	return (struct fake_reply){connection == 1 ? FAKE_SILENT : FAKE_ROWS, NULL};
}

#endif
