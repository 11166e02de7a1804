/*
 * Jobs and what becomes of them: rows, in order, and the errors of a server whose connection lasts.
 */
#include "db_fixture.h"
#include "random.h"

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
	tcase_add_loop_test(tc, every_job_has_one_outcome_and_its_own_rows, 0, 2);
	tcase_add_test(tc, answer_of_an_earlier_attempt_is_none_to_the_next);
}

int main(void)
{
	return suite_run("db", setup, teardown, add_tests);
}
