/* wrap: db_submit db_withdraw db_estimate_us request_wait request_answer request_fail schema_check calloc */
/*
 * Who shares a query, who is refused, who leaves, and what each outcome is to those who wait.
 */
#include "flight_fixture.h"

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
	estimate_us = flights.timeout_us * 4 / 5 + 1; /* a fifth is spare */
	ck_assert_int_eq(flight_join(&flights, &m.request, QUERY_AGENTS), FLIGHT_TOO_LATE);
	ck_assert_ptr_null(m.request.flight);
	ck_assert_int_eq(waits, 0);
	ck_assert_uint_eq(line_count, 0);
	estimate_us = flights.timeout_us * 4 / 5;
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
		struct job_result result;
		int status;
		const char *cause;
	} cases[] = {
		{{JOB_UNAVAILABLE, NULL, "", "secret table"}, 503, "secret table"},
		{{JOB_FAILED, NULL, "22012", "secret table"}, 500, "22012: secret table"},
		{{JOB_FAILED, NULL, "22012", ""}, 500, "22012: "},
		{{JOB_EXPIRED, NULL, "", ""}, 504, "(none)"},
	};
	struct member m[2];
	struct member next;
	struct job *j;

	start(true);
	join(&m[0], 0, QUERY_AGENTS);
	join(&m[1], 1, QUERY_AGENTS);
	j = send_first();
	join(&next, 2, QUERY_AGENTS);
	finish_with(j, cases[_i].result);
	ck_assert_str_eq(last_cause, cases[_i].cause);
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

static void add_tests(TCase *tc)
{
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
	tcase_add_loop_test(tc, each_outcome_has_its_status, 0, 4);
	tcase_add_test(tc, result_that_does_not_fit_the_model_is_never_decoded);
	tcase_add_test(tc, model_rows_are_rendered_by_the_model);
}

int main(void)
{
	return suite_run("flight", NULL, NULL, add_tests);
}
