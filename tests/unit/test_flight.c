/* wrap: db_submit db_withdraw db_estimate_us request_wait request_answer request_fail schema_check calloc */
#include "agent.h"
#include "flight.h"
#include "random.h"
#include "request.h"
#include "result.h"
#include "schema.h"

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

static struct member *answered(struct request *r, int status)
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
	ck_assert(status == 503 || strcmp(cause, "22012: secret table") == 0 || strcmp(cause, "secret table") == 0);
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

static struct job *first_in_line(void)
{
	ck_assert(!list_empty(&line));
	return LIST_OBJECT(line.next, struct job, node);
}

static struct job *send_first(void)
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
static void send_back(struct job *j)
{
	ck_assert_int_eq(j->state, JOB_SENT);
	j->state = JOB_WAITING;
	list_prepend(&line, &j->node);
	line_count++;
}

static void finish(struct job *j, enum job_outcome outcome, const PGresult *result)
{
	const struct job_result r = {outcome, result, outcome == JOB_FAILED ? "22012" : "", "secret table"};

	j->state = JOB_IDLE;
	j->done(j, &r);
}

/* Rows that say what the database looked like at `snapshot`. */
static void answer(struct job *j, long snapshot)
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

static void start(bool share)
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

static void stop(void)
{
	ck_assert(list_empty(&line));
	ck_assert_int_eq(flights.waiting, 0);
	for (int i = 0; i < QUERY_MAX; i++) {
		ck_assert_ptr_null(flights.shared[i].gathering);
		ck_assert_ptr_null(flights.shared[i].under_way);
	}
	queries_free(&queries);
}

static void member_init(struct member *m, int id)
{
	memset(m, 0, sizeof(*m));
	m->id = id;
	m->request.deadline_us = 1000 + id;
	list_init(&m->request.member);
	list_init(&m->request.by_deadline);
}

static void join(struct member *m, int id, enum query_id query)
{
	int before = waits;

	member_init(m, id);
	ck_assert_int_eq(flight_join(&flights, &m->request, query), FLIGHT_JOINED);
	ck_assert_ptr_nonnull(m->request.flight);
	ck_assert_int_eq(waits, before + 1);
}

static void got(const struct member *m, long snapshot)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "[{\"at\": %ld}]", snapshot);
	ck_assert_int_eq(m->status, 200);
	ck_assert_str_eq(m->content, expected);
}

/* --- sharing --- */

START_TEST(joins_while_unsent)
{
	struct member m[3];

	start(true);
	for (int i = 0; i < 3; i++)
		join(&m[i], i, QUERY_AGENTS);
	ck_assert_uint_eq(line_count, 1);
	ck_assert_ptr_eq(m[0].request.flight, m[2].request.flight);
	ck_assert_int_eq(flights.waiting, 3);
	ck_assert_int_eq(first_in_line()->deadline_us, m[2].request.deadline_us); /* the last member's */
	answer(send_first(), 1);
	for (int i = 0; i < 3; i++)
		got(&m[i], 1);
	stop();
}
END_TEST

/* The promise of sharing: no answer is older than its request. */
START_TEST(never_joins_a_query_already_sent)
{
	struct member early;
	struct member late[2];
	struct job *first;
	struct job *second;

	start(true);
	join(&early, 0, QUERY_AGENTS);
	first = send_first();
	join(&late[0], 1, QUERY_AGENTS);
	join(&late[1], 2, QUERY_AGENTS);
	ck_assert_ptr_ne(early.request.flight, late[0].request.flight);
	ck_assert_ptr_eq(late[0].request.flight, late[1].request.flight);
	ck_assert_uint_eq(line_count, 0); /* gathers until the first has landed */
	answer(first, 1);
	got(&early, 1);
	ck_assert_int_eq(late[0].status, 0);
	ck_assert_int_eq(late[1].status, 0);
	ck_assert_uint_eq(line_count, 1);
	second = send_first();
	answer(second, 2);
	got(&late[0], 2);
	got(&late[1], 2);
	stop();
}
END_TEST

START_TEST(sending_again_does_not_reopen_a_flight)
{
	struct member early;
	struct member late[3];
	struct job *first;

	start(true);
	join(&early, 0, QUERY_AGENTS);
	first = send_first();
	join(&late[0], 1, QUERY_AGENTS);
	send_back(first);
	join(&late[1], 2, QUERY_AGENTS);
	ck_assert_ptr_ne(early.request.flight, late[1].request.flight);
	ck_assert_uint_eq(line_count, 1);
	ck_assert_ptr_eq(send_first(), first);
	join(&late[2], 3, QUERY_AGENTS);
	ck_assert_uint_eq(line_count, 0);
	answer(first, 2);
	got(&early, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(late[i].status, 0);
	answer(send_first(), 3);
	for (int i = 0; i < 3; i++)
		got(&late[i], 3);
	stop();
}
END_TEST

START_TEST(queries_do_not_wait_for_each_other)
{
	struct member a;
	struct member b;
	struct job *first;

	start(true);
	join(&a, 0, QUERY_AGENTS);
	first = send_first();
	join(&b, 1, QUERY_AGENTFEATURES);
	ck_assert_uint_eq(line_count, 1);
	ck_assert_int_eq(first_in_line()->query->id, QUERY_AGENTFEATURES);
	finish(send_first(), JOB_FAILED, NULL);
	ck_assert_int_eq(b.status, 500);
	ck_assert_int_eq(a.status, 0);
	answer(first, 1);
	got(&a, 1);
	stop();
}
END_TEST

START_TEST(without_sharing_each_has_its_own)
{
	struct member m[3];
	struct job *jobs[3];

	start(false);
	join(&m[0], 0, QUERY_AGENTS);
	join(&m[1], 1, QUERY_AGENTS);
	ck_assert_ptr_ne(m[0].request.flight, m[1].request.flight);
	ck_assert_uint_eq(line_count, 2);
	jobs[0] = send_first();
	jobs[1] = send_first();
	join(&m[2], 2, QUERY_AGENTS);
	ck_assert_uint_eq(line_count, 1); /* at once, not when another has landed */
	jobs[2] = send_first();
	answer(jobs[1], 11);
	ck_assert_int_eq(m[0].status, 0);
	got(&m[1], 11);
	answer(jobs[2], 12);
	answer(jobs[0], 10);
	got(&m[0], 10);
	got(&m[2], 12);
	stop();
}
END_TEST

/* --- leaving --- */

START_TEST(unsent_query_that_no_one_waits_for_is_withdrawn)
{
	struct member m[2];

	start(_i == 0);
	join(&m[0], 0, QUERY_AGENTS);
	flight_leave(&m[0].request);
	ck_assert_int_eq(withdrawn, 1);
	ck_assert_uint_eq(line_count, 0);
	flight_leave(&m[0].request); /* harmless */
	join(&m[1], 1, QUERY_AGENTS);
	answer(send_first(), 1);
	got(&m[1], 1);
	ck_assert_int_eq(m[0].status, 0);
	stop();
}
END_TEST

START_TEST(those_who_stay_are_answered)
{
	struct member m[3];

	start(true);
	for (int i = 0; i < 3; i++)
		join(&m[i], i, QUERY_AGENTS);
	flight_leave(&m[1].request);
	ck_assert_int_eq(withdrawn, 0);
	ck_assert_int_eq(flights.waiting, 2);
	answer(send_first(), 1);
	got(&m[0], 1);
	got(&m[2], 1);
	ck_assert_int_eq(m[1].status, 0);
	/* One execution for two requests. */
	ck_assert_uint_eq(buckets_count(&metrics.flight_members), 1);
	ck_assert_uint_eq(counter_read(&metrics.flight_members.sum), 2);
	stop();
}
END_TEST

START_TEST(sent_query_without_members_runs_on_and_the_next_follows)
{
	struct member a;
	struct member b;
	struct job *first;

	start(true);
	join(&a, 0, QUERY_AGENTS);
	first = send_first();
	flight_leave(&a.request);
	ck_assert_int_eq(withdrawn, 0);
	join(&b, 1, QUERY_AGENTS);
	ck_assert_uint_eq(line_count, 0);
	answer(first, 1);
	ck_assert_int_eq(b.status, 0);
	answer(send_first(), 2);
	got(&b, 2);
	stop();
}
END_TEST

START_TEST(gathering_flight_that_is_left_is_gone)
{
	struct member a;
	struct member b;
	struct job *first;

	start(true);
	join(&a, 0, QUERY_AGENTS);
	first = send_first();
	join(&b, 1, QUERY_AGENTS);
	flight_leave(&b.request);
	ck_assert_int_eq(withdrawn, 0); /* it was held back, not in the line */
	answer(first, 1);
	got(&a, 1);
	stop();
}
END_TEST

START_TEST(query_on_its_way_back_that_is_left_makes_room_for_the_next)
{
	struct member a;
	struct member b;
	struct job *first;

	start(true);
	join(&a, 0, QUERY_AGENTS);
	first = send_first();
	join(&b, 1, QUERY_AGENTS);
	send_back(first);
	flight_leave(&a.request);
	ck_assert_int_eq(withdrawn, 1);
	ck_assert_uint_eq(line_count, 1); /* b's */
	answer(send_first(), 2);
	got(&b, 2);
	stop();
}
END_TEST

/* --- refusing --- */

START_TEST(refuses_more_than_max_waiting)
{
	struct member m[4];
	struct member extra;

	start(_i == 0);
	flights.max_waiting = 3;
	for (int i = 0; i < 3; i++)
		join(&m[i], i, QUERY_AGENTS);
	member_init(&extra, 9);
	ck_assert_int_eq(flight_join(&flights, &extra.request, QUERY_AGENTS), FLIGHT_FULL);
	ck_assert_int_eq(flight_join(&flights, &extra.request, QUERY_AGENT_LOGINS), FLIGHT_FULL);
	ck_assert_ptr_null(extra.request.flight);
	ck_assert_int_eq(waits, 3);
	flight_leave(&m[1].request);
	join(&m[3], 3, QUERY_AGENTS);
	while (!list_empty(&line))
		answer(send_first(), 1);
	got(&m[0], 1);
	got(&m[2], 1);
	got(&m[3], 1);
	stop();
}
END_TEST

START_TEST(refuses_what_would_come_too_late)
{
	struct member m;

	start(true);
	member_init(&m, 0);
	estimate_us = flights.timeout_us + 1;
	ck_assert_int_eq(flight_join(&flights, &m.request, QUERY_AGENTS), FLIGHT_TOO_LATE);
	ck_assert_ptr_null(m.request.flight);
	ck_assert_int_eq(waits, 0);
	ck_assert_uint_eq(line_count, 0);
	estimate_us = flights.timeout_us;
	join(&m, 0, QUERY_AGENTS);
	answer(send_first(), 1);
	got(&m, 1);
	stop();
}
END_TEST

START_TEST(refuses_without_memory)
{
	struct member m;
	enum flight_joining joining;

	start(_i == 0);
	member_init(&m, 0);
	no_memory = true;
	joining = flight_join(&flights, &m.request, QUERY_AGENTS);
	no_memory = false;
	ck_assert_int_eq(joining, FLIGHT_NO_MEMORY);
	ck_assert_ptr_null(m.request.flight);
	ck_assert_int_eq(waits, 0);
	stop();
}
END_TEST

/* --- outcomes --- */

START_TEST(each_outcome_has_its_status)
{
	static const struct {
		enum job_outcome outcome;
		int status;
	} cases[] = {{JOB_UNAVAILABLE, 503}, {JOB_FAILED, 500}, {JOB_EXPIRED, 504}};
	struct member m[2];
	struct member next;
	struct job *j;

	start(true);
	join(&m[0], 0, QUERY_AGENTS);
	join(&m[1], 1, QUERY_AGENTS);
	j = send_first();
	join(&next, 2, QUERY_AGENTS);
	finish(j, cases[_i].outcome, NULL);
	ck_assert_int_eq(m[0].status, cases[_i].status);
	ck_assert_int_eq(m[1].status, cases[_i].status);
	ck_assert_int_eq(next.status, 0); /* another query, another chance */
	answer(send_first(), 1);
	got(&next, 1);
	stop();
}
END_TEST

START_TEST(result_that_does_not_fit_the_model_is_never_decoded)
{
	struct member m;

	start(true);
	join(&m, 0, QUERY_AGENTFEATURES);
	answer(send_first(), 1); /* one column "at" */
	ck_assert_int_eq(m.status, 503);
	ck_assert_int_eq(schema_checks, 1);
	stop();
}
END_TEST

START_TEST(model_rows_are_rendered_by_the_model)
{
	struct member m;
	PGresult *r = result_of_model(&agent_login_model);

	start(true);
	join(&m, 0, QUERY_AGENT_LOGINS);
	finish(send_first(), JOB_ROWS, r);
	PQclear(r);
	ck_assert_int_eq(m.status, 200);
	ck_assert_str_eq(m.content, "[]");
	ck_assert_int_eq(schema_checks, 0);
	stop();
}
END_TEST

/* --- any order of events --- */

#define MEMBERS 3000
#define STEPS 20000

static struct member crowd[MEMBERS];

/* The one query that has been sent at least once and has not landed. */
struct sent {
	struct job *job; /* NULL: none */
	bool on_its_way_back;
	long first_sent; /* when it was sealed */
};

static void send_at(struct sent *s, long now)
{
	struct job *j = send_first();

	if (s->job != NULL)
		ck_assert_ptr_eq(s->job, j);
	else
		s->first_sent = now;
	s->job = j;
	s->on_its_way_back = false;
}

static void leave(struct sent *s, struct member *m)
{
	last_withdrawn = NULL;
	flight_leave(&m->request);
	if (s->job != NULL && last_withdrawn == s->job)
		s->job = NULL;
}

static void step(struct sent *s, uint64_t *state, int *joined, long now)
{
	bool under_way = s->job != NULL && !s->on_its_way_back;
	unsigned what = now > STEPS ? 6 + random_below(state, 4) : random_below(state, 10);

	if (what < 3 && *joined < MEMBERS) {
		join(&crowd[*joined], *joined, QUERY_AGENTS);
		crowd[(*joined)++].joined_at = now;
	} else if (what == 3 && *joined > 0) {
		leave(s, &crowd[random_below(state, (uint32_t)*joined)]);
	} else if (what == 4 && under_way) {
		send_back(s->job);
		s->on_its_way_back = true;
	} else if (what < 8 && !list_empty(&line)) {
		ck_assert(!under_way);
		send_at(s, now);
	} else if (what >= 8 && under_way) {
		struct job *j = s->job;

		s->job = NULL;
		answer(j, s->first_sent);
	}
}

/* With sharing at most one execution of a query is under way, and whatever a request gets was sent after it had come. */
START_TEST(no_answer_is_older_than_its_request)
{
	uint64_t state = random_seed();
	struct sent sent = {NULL, false, 0};
	int joined = 0;
	int answers = 0;

	start(true);
	for (long now = 1; now <= STEPS || flights.waiting > 0 || sent.job != NULL; now++)
		step(&sent, &state, &joined, now);
	ck_assert_int_eq(joined, MEMBERS);
	for (int i = 0; i < joined; i++) {
		if (crowd[i].status == 0)
			continue;
		ck_assert_int_eq(crowd[i].status, 200);
		ck_assert_int_gt(strtol(crowd[i].content + strlen("[{\"at\": "), NULL, 10), crowd[i].joined_at);
		answers++;
	}
	ck_assert_int_gt(answers, MEMBERS / 4);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flight");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, joins_while_unsent);
	tcase_add_test(tc, never_joins_a_query_already_sent);
	tcase_add_test(tc, sending_again_does_not_reopen_a_flight);
	tcase_add_test(tc, queries_do_not_wait_for_each_other);
	tcase_add_test(tc, without_sharing_each_has_its_own);
	tcase_add_loop_test(tc, unsent_query_that_no_one_waits_for_is_withdrawn, 0, 2);
	tcase_add_test(tc, those_who_stay_are_answered);
	tcase_add_test(tc, sent_query_without_members_runs_on_and_the_next_follows);
	tcase_add_test(tc, gathering_flight_that_is_left_is_gone);
	tcase_add_test(tc, query_on_its_way_back_that_is_left_makes_room_for_the_next);
	tcase_add_loop_test(tc, refuses_more_than_max_waiting, 0, 2);
	tcase_add_test(tc, refuses_what_would_come_too_late);
	tcase_add_loop_test(tc, refuses_without_memory, 0, 2);
	tcase_add_loop_test(tc, each_outcome_has_its_status, 0, 3);
	tcase_add_test(tc, result_that_does_not_fit_the_model_is_never_decoded);
	tcase_add_test(tc, model_rows_are_rendered_by_the_model);
	tcase_add_test(tc, no_answer_is_older_than_its_request);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
