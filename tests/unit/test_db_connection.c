/* wrap: connector_start */
/*
 * Connections that are made, refused, lost and closed.
 */
#include "db_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

static int attempts; /* to connect */

/* Before each test. */
static void forget_attempts(void)
{
	attempts = 0;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void __real_connector_start(struct connector *c);
void __wrap_connector_start(struct connector *c);

void __wrap_connector_start(struct connector *c)
{
	attempts++;
	__real_connector_start(c);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* --- lost --- */

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

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, forget_attempts, NULL);
	tcase_add_loop_test(tc, jobs_of_a_broken_connection_are_sent_again_on_the_next, 0, 3);
	tcase_add_loop_test(tc, job_that_breaks_each_connection_is_given_up, 0, 3);
	tcase_add_test(tc, connection_lost_while_idle_is_made_again);
	tcase_add_test(tc, other_links_go_on);
	tcase_add_test(tc, sql_ascii_is_refused_with_a_reason);
	tcase_add_test(tc, refused_connections_are_not_hurried);
	tcase_add_test(tc, server_that_accepts_and_breaks_is_not_hurried);
	tcase_add_test(tc, closing_forgets_jobs);
	tcase_add_test(tc, closing_in_the_midst_of_an_attempt_is_refused);
}

int main(void)
{
	return suite_run("db_connection", setup, teardown, add_tests);
}
