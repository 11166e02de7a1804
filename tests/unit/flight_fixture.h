/*
 * flight_fixture: flights between doubles of what is below and above them: a db that the tests send and answer by hand, and requests that note their
 * answer. The program that includes this has a wrap line naming db_submit db_withdraw db_estimate_us request_wait request_answer request_fail
 * schema_check calloc.
 */
#ifndef TESTS_FLIGHT_FIXTURE_H
#define TESTS_FLIGHT_FIXTURE_H

#include "agent.h"
#include "flight.h"
#include "request.h"
#include "result.h"
#include "schema.h"
#include "suite.h"

#include <check.h>

/* A request with what became of it. */
struct member {
	struct request request;
	long joined_at;
	int id;
	int status; /* 0: not answered */
	char content[64];
};

/* The doubles' state: db is a line of jobs that the tests send and answer by hand. */
static struct list line;
static unsigned line_count;
static int withdrawn;
static const struct job *last_withdrawn; /* for comparison only: it may be freed */
static int64_t estimate_us;
static int waits;
static int schema_checks;
static bool no_memory;
static char last_cause[64]; /* for the log */
static struct flights flights;
static struct metrics metrics;
static struct queries queries;
static const struct log quiet = {.fd = -1, .level = LOG_LEVEL_ERROR};

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void __wrap_db_submit(struct db *db, struct job *j);
void __wrap_db_withdraw(struct db *db, struct job *j);
int64_t __wrap_db_estimate_us(const struct db *db);
void __wrap_request_wait(struct request *r);
void __wrap_request_answer(struct request *r, const struct content *c);
void __wrap_request_fail(struct request *r, int status, const char *detail, const char *cause);
void __wrap_schema_check(struct schema *s);
void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);

void __wrap_db_submit(struct db *db, struct job *j)
{
	(void)db;
	ck_assert_int_eq(j->state, JOB_IDLE);
	ck_assert(list_empty(&j->node));
	j->state = JOB_WAITING;
	j->attempts = 0;
	list_append(&line, &j->node);
	line_count++;
}

void __wrap_db_withdraw(struct db *db, struct job *j)
{
	(void)db;
	ck_assert_int_eq(j->state, JOB_WAITING);
	list_remove(&j->node);
	j->state = JOB_IDLE;
	line_count--;
	withdrawn++;
	last_withdrawn = j;
}

int64_t __wrap_db_estimate_us(const struct db *db)
{
	(void)db;
	return estimate_us;
}

void __wrap_request_wait(struct request *r)
{
	ck_assert_ptr_null(r->flight);
	waits++;
}

static inline struct member *answered(struct request *r, int status)
{
	struct member *m = LIST_OBJECT(r, struct member, request);

	ck_assert_ptr_null(r->flight);
	ck_assert(list_empty(&r->member));
	ck_assert_int_eq(m->status, 0); /* one answer each */
	m->status = status;
	flight_leave(r); /* as the end of every request does */
	return m;
}

void __wrap_request_answer(struct request *r, const struct content *c)
{
	struct member *m = answered(r, 200);

	ck_assert_uint_lt(c->body->len, sizeof(m->content));
	memcpy(m->content, c->body->data, c->body->len);
	ck_assert_uint_eq(strlen(c->etag), ETAG_BYTES - 1);
}

void __wrap_request_fail(struct request *r, int status, const char *detail, const char *cause)
{
	ck_assert_ptr_nonnull(detail);
	ck_assert_ptr_null(strstr(detail, "secret"));
	(void)snprintf(last_cause, sizeof(last_cause), "%s", cause != NULL ? cause : "(none)");
	(void)answered(r, status);
}

void __wrap_schema_check(struct schema *s)
{
	(void)s;
	schema_checks++;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* --- db by hand --- */

static inline struct job *first_in_line(void)
{
	ck_assert(!list_empty(&line));
	return LIST_OBJECT(line.next, struct job, node);
}

static inline struct job *send_first(void)
{
	struct job *j = first_in_line();

	list_remove(&j->node);
	line_count--;
	j->state = JOB_IDLE;
	j->attempts++;
	j->sealed(j);
	j->state = JOB_SENT;
	return j;
}

/* The connection broke: back to the front of the line. */
static inline void send_back(struct job *j)
{
	ck_assert_int_eq(j->state, JOB_SENT);
	j->state = JOB_WAITING;
	list_prepend(&line, &j->node);
	line_count++;
}

static inline void finish_with(struct job *j, struct job_result r)
{
	j->state = JOB_IDLE;
	j->done(j, &r);
}

static inline void finish(struct job *j, enum job_outcome outcome, const PGresult *result)
{
	finish_with(j, (struct job_result){outcome, result, "", "secret table"});
}

/* Rows that say what the database looked like at `snapshot`. */
static inline void answer(struct job *j, long snapshot)
{
	const struct result_column columns[] = {{"at", TYPE_INT4}};
	PGresult *r = result_new(columns, 1);
	char text[32];

	(void)snprintf(text, sizeof(text), "%ld", snapshot);
	result_set(r, 0, 0, text);
	finish(j, JOB_ROWS, r);
	PQclear(r);
}

/* --- requests by hand --- */

static inline void start(bool share)
{
	memset(&flights, 0, sizeof(flights));
	queries_init(&queries);
	list_init(&line);
	line_count = 0;
	withdrawn = waits = schema_checks = 0;
	estimate_us = 0;
	no_memory = false;
	memset(&metrics, 0, sizeof(metrics));
	flights.log = &quiet;
	flights.metrics = &metrics;
	flights.queries = &queries;
	flights.share = share;
	flights.max_waiting = 100000;
	flights.timeout_us = 5000000;
}

static inline void stop(void)
{
	ck_assert(list_empty(&line));
	ck_assert_int_eq(flights.waiting, 0);
	for (int i = 0; i < QUERY_MAX; i++) {
		ck_assert_ptr_null(flights.shared[i].gathering);
		ck_assert_ptr_null(flights.shared[i].under_way);
	}
	queries_free(&queries);
}

static inline void member_init(struct member *m, int id)
{
	memset(m, 0, sizeof(*m));
	m->id = id;
	m->request.deadline_us = 1000 + id;
	list_init(&m->request.member);
	list_init(&m->request.by_deadline);
}

static inline void join(struct member *m, int id, enum query_id query)
{
	int before = waits;

	member_init(m, id);
	ck_assert_int_eq(flight_join(&flights, &m->request, query), FLIGHT_JOINED);
	ck_assert_ptr_nonnull(m->request.flight);
	ck_assert_int_eq(waits, before + 1);
}

static inline void got(const struct member *m, long snapshot)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "[{\"at\": %ld}]", snapshot);
	ck_assert_int_eq(m->status, 200);
	ck_assert_str_eq(m->content, expected);
}

#endif
