/*
 * Jobs that are late, and servers that are slow.
 */
#include "db_fixture.h"

/* Executions whose time is known. */
static uint64_t observed(void)
{
	uint64_t n = 0;

	for (unsigned q = 0; q < QUERY_MAX; q++)
		n += buckets_count(&metrics.query_durations[q]);
	return n;
}

START_TEST(no_answer_by_the_deadline)
{
	server.on_execute = silent_at_first;
	timeout_ms = 400;
	works[_i].lasts_us = 300 * CLOCK_MS; /* the first of them, or one that was sent later */
	start();
	submit_some(0, 4, 0);
	wait_outcomes(4);
	for (int i = 0; i < 4; i++) {
		if (i == _i)
			has_failed(&works[i], JOB_EXPIRED, "");
		else
			has_rows(&works[i], 2, 2);
	}
	ck_assert_uint_eq(observed(), 4);
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
	w->lasts_us = time_us;
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
	/* The one that was waited for is no quick one, lest the 99 % be of those that are. */
	ck_assert_uint_eq(observed(), 2);
	ck_assert_int_ge((int64_t)counter_read(&metrics.query_durations[works[0].job.query->id].sum),
			 works[0].job.deadline_us - works[0].job.sent_us);
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
	ck_assert_uint_eq(observed(), 20);
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

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, no_answer_by_the_deadline, 0, 3);
	tcase_add_test(tc, job_beyond_its_deadline_costs_no_connection);
	tcase_add_test(tc, connection_with_nothing_but_expired_jobs_is_closed);
	tcase_add_test(tc, unwanted_job_is_not_sent_again);
	tcase_add_test(tc, job_whose_turn_comes_too_late_is_not_sent);
	tcase_add_test(tc, connections_closed_for_slowness_use_up_no_attempts);
	tcase_add_test(tc, slow_past_stops_no_lone_job);
	tcase_add_test(tc, estimate_follows_the_place_in_line);
}

int main(void)
{
	return suite_run("db_deadline", setup, teardown, add_tests);
}
