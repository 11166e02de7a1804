/* wrap: slot_begin */
/*
 * Totals over slots, and whether the pool is ready.
 */
#include "pool_fixture.h"

#include <string.h>
#include <sys/wait.h>

static void (*before_begin)(void); /* a worker has claimed its slot; NULL: nobody asks */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void __real_slot_begin(struct slot *s, uint64_t pid, struct moment at, const char *version);
void __wrap_slot_begin(struct slot *s, uint64_t pid, struct moment at, const char *version);

void __wrap_slot_begin(struct slot *s, uint64_t pid, struct moment at, const char *version)
{
	if (before_begin != NULL)
		before_begin();
	__real_slot_begin(s, pid, at, version);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static const char *reasons_of_pool(void)
{
	static char reasons[POOL_REASON_BYTES];

	look();
	return pool_is_ready(&pool, reasons) ? "ready" : reasons;
}

START_TEST(test_totals_are_of_all_slots)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		counter_add(&slot_of(i)->metrics.requests[METRICS_AGENTS][METRICS_200], 10);
		counter_add(&slot_of(i)->metrics.requests[METRICS_ADMIN][METRICS_200], 7);
		counter_add(&slot_of(i)->metrics.requests[METRICS_AGENTS][METRICS_503], i);
		buckets_add(&slot_of(i)->metrics.flight_members, buckets_counts, 2 + 2 * i);
		counter_set(&slot_of(i)->gauges.in_flight, i);
	}
	look();
	ck_assert_uint_eq(pool.workers, 3);
	ck_assert_uint_eq(pool.by_state[POOL_IDLE], 1);
	ck_assert_uint_eq(pool.by_state[POOL_BUSY], 2);
	ck_assert_uint_eq(counter_read(&pool.gauges.in_flight), 3);
	ck_assert_uint_eq(counter_read(&pool.gauges.database_connections), 3);
	ck_assert_uint_eq(metrics_requests(&pool.metrics, 0), 33);
	ck_assert_uint_eq(metrics_requests(&pool.metrics, 500), 3);
	ck_assert_uint_eq(metrics_requests(&pool.recent, 0), 33);
	ck_assert_double_eq_tol(pool.recent_rate, 33., 1e-6);
	ck_assert_double_eq_tol(pool_share_ratio(&pool.metrics), 4., 1e-9);
	ck_assert_uint_eq(counter_read(&pool.metrics.starts), 3);
}
END_TEST

/* Gauges of a worker that is gone are nothing; its counters are. One that died is counted before anyone takes its place. */
START_TEST(test_a_slot_without_a_worker_has_counters_only)
{
	pid_t pid;

	counter_add(&slot_of(2)->metrics.sent_bytes, 100);
	counter_set(&slot_of(2)->gauges.in_flight, 5);
	scoreboard_close(&boards[2]);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char reason[SCOREBOARD_REASON_BYTES];
		struct scoreboard b;

		if (!scoreboard_open(&b, path, now, reason))
			_exit(1);
		counter_add(&scoreboard_own(&b)->metrics.sent_bytes, 11);
		counter_set(&scoreboard_own(&b)->gauges.in_flight, 7);
		_exit(0); /* without a word */
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	look();
	ck_assert_uint_eq(pool.workers, 2);
	ck_assert_uint_eq(counter_read(&pool.gauges.in_flight), 0);
	ck_assert_uint_eq(counter_read(&pool.metrics.sent_bytes), 111);
	ck_assert_uint_eq(counter_read(&pool.metrics.deaths), 1);
	ck_assert_uint_eq(counter_read(&pool.metrics.starts), 4);
	ck_assert(scoreboard_open(&boards[2], path, now, (char[SCOREBOARD_REASON_BYTES]){""}));
	look();
	ck_assert_uint_eq(counter_read(&pool.metrics.deaths), 1);
	ck_assert_uint_eq(counter_read(&pool.metrics.starts), 5);
}
END_TEST

/* Long after that worker has died. */
static void look_later(unsigned workers)
{
	int64_t later_us = 2 * POOL_STUCK_US;

	for (unsigned i = 0; i < workers; i++)
		counter_set(&slot_of(i)->gauges.turned_us, (uint64_t)(UP_US + later_us));
	pool_read(&pool, &boards[0], (struct moment){UP_US + later_us, NOW_US + later_us});
	ck_assert_uint_eq(pool.workers, workers);
	ck_assert_uint_eq(pool.by_state[POOL_IDLE], workers);
	ck_assert_uint_eq(counter_read(&pool.metrics.deaths), 1);
}

static void look_before_it_begins(void)
{
	ck_assert(scoreboard_is_claimed(&boards[0], 2));
	look_later(2);
}

/* Between the claim of a dead worker's slot and its successor's first words in it, nobody is stuck there, and the death stays counted. */
START_TEST(test_a_slot_that_is_claimed_is_no_worker_yet)
{
	struct slot *dead = scoreboard_slot(&boards[0], 2);

	scoreboard_close(&boards[2]);
	counter_set(&dead->ended_well, 0);
	look_later(2);
	before_begin = look_before_it_begins;
	ck_assert(scoreboard_open(&boards[2], path, now, (char[SCOREBOARD_REASON_BYTES]){""}));
	before_begin = NULL;
	ck_assert_ptr_eq(dead, scoreboard_slot(&boards[0], boards[2].own));
	look_later(3);
}
END_TEST

START_TEST(test_ready_while_most_of_those_that_accept_are)
{
	ck_assert_str_eq(reasons_of_pool(), "ready");
	not_ready(0, "database: away");
	ck_assert_str_eq(reasons_of_pool(), "ready"); /* 2 of 3 are */
	not_ready(1, "database: away");
	ck_assert_str_eq(reasons_of_pool(), "database: away (2 of 3 workers)");
	not_ready(2, "schema: table x has no column y");
	ck_assert_str_eq(reasons_of_pool(), "database: away (2 of 3 workers); schema: table x has no column y (1 of 3 workers)");
}
END_TEST

/* A worker that drains is on its way out: its successor counts. */
START_TEST(test_one_that_is_ready_is_enough_to_stand_back)
{
	int64_t soon_us = UP_US + SECOND_US;

	ck_assert(pool_has_ready(&boards[0], soon_us));
	not_ready(0, "database: away");
	not_ready(1, "database: away");
	ck_assert(pool_has_ready(&boards[0], soon_us));
	ck_assert(!pool_has_ready(&boards[0], UP_US + POOL_STUCK_US + 1)); /* it hangs */
	counter_set(&slot_of(2)->gauges.draining, 1);
	ck_assert(!pool_has_ready(&boards[0], soon_us));
	counter_set(&slot_of(2)->gauges.draining, 0);
	not_ready(2, "database: away");
	ck_assert(!pool_has_ready(&boards[0], soon_us));
}
END_TEST

START_TEST(test_draining_workers_do_not_count)
{
	counter_set(&slot_of(0)->gauges.draining, 1);
	not_ready(0, "draining");
	ck_assert_str_eq(reasons_of_pool(), "ready");
	ck_assert_uint_eq(pool.accepting, 2);
	ck_assert_uint_eq(pool.by_state[POOL_DRAINING], 1);
	for (unsigned i = 1; i < WORKERS; i++) {
		counter_set(&slot_of(i)->gauges.draining, 1);
		not_ready(i, "draining");
	}
	ck_assert_str_eq(reasons_of_pool(), "draining (3 of 3 workers)");
}
END_TEST

START_TEST(test_a_worker_that_does_not_turn_is_stuck)
{
	counter_set(&slot_of(1)->gauges.turned_us, UP_US - POOL_STUCK_US);
	look();
	ck_assert_uint_eq(pool.by_state[POOL_STUCK], 1);
	ck_assert_uint_eq(pool.accepting, 2);
	ck_assert_str_eq(reasons_of_pool(), "ready");
	ck_assert_str_eq(pool.reasons.all[0].text, "stuck: the event loop does not turn");
}
END_TEST

START_TEST(test_more_reasons_and_versions_than_places)
{
	struct scoreboard more[4];

	for (unsigned i = 0; i < 4; i++) {
		char why[16];

		ck_assert(scoreboard_open(&more[i], path, now, (char[SCOREBOARD_REASON_BYTES]){""}));
		(void)snprintf(why, sizeof(why), "reason %u", i);
		slot_text_set(&scoreboard_own(&more[i])->unready, str_of(why));
		slot_text_set(&scoreboard_own(&more[i])->version, str_of(&why[strlen("reason ")]));
		if (i < WORKERS)
			not_ready(i, "first");
	}
	ck_assert_str_eq(reasons_of_pool(), "first (3 of 7 workers); reason 0 (1 of 7 workers); reason 1 (1 of 7 workers); "
					    "other reasons (2 of 7 workers)");
	ck_assert_uint_eq(pool.versions.count, 4);
	ck_assert_uint_eq(pool.versions.all[0].workers, WORKERS);
	ck_assert_str_eq(pool.versions.all[2].text, "1");
	ck_assert_uint_eq(pool.versions.all[2].workers, 1);
	ck_assert_str_eq(pool.versions.all[3].text, "others");
	ck_assert_uint_eq(pool.versions.all[3].workers, 2);
	for (unsigned i = 0; i < 4; i++)
		scoreboard_close(&more[i]);
}
END_TEST

START_TEST(test_the_last_error_is_the_latest_of_all)
{
	slot_text_set(&slot_of(0)->last_error, str_of("{\"time\":\"2026-01-02T03:04:05.100Z\",\"event\":\"old\"}"));
	slot_text_set(&slot_of(1)->last_error, str_of("{\"time\":\"2026-01-02T03:04:05.200Z\",\"event\":\"new\"}"));
	look();
	ck_assert_ptr_nonnull(strstr(pool.last_error, "new"));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_totals_are_of_all_slots);
	tcase_add_test(tc, test_a_slot_without_a_worker_has_counters_only);
	tcase_add_test(tc, test_a_slot_that_is_claimed_is_no_worker_yet);
	tcase_add_test(tc, test_ready_while_most_of_those_that_accept_are);
	tcase_add_test(tc, test_one_that_is_ready_is_enough_to_stand_back);
	tcase_add_test(tc, test_draining_workers_do_not_count);
	tcase_add_test(tc, test_a_worker_that_does_not_turn_is_stuck);
	tcase_add_test(tc, test_more_reasons_and_versions_than_places);
	tcase_add_test(tc, test_the_last_error_is_the_latest_of_all);
}

int main(void)
{
	return suite_run("pool", setup, teardown, add_tests);
}
