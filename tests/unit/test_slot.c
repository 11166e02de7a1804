#include "slot.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_US 1000000LL

static struct slot *slot;
static char text[SLOT_TEXT_BYTES + 1];

/* Shared, as in a scoreboard. */
static void setup(void)
{
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(zero, 0);
	slot = mmap(NULL, sizeof(*slot), PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	ck_assert(slot != MAP_FAILED);
	(void)close(zero);
}

static void teardown(void)
{
	(void)munmap(slot, sizeof(*slot));
}

START_TEST(test_a_text_comes_back)
{
	static const char *const texts[] = {"", "a", "1234567", "12345678", "123456789", "database: it's \"away\"\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		slot_text_set(&slot->unready, str_of(texts[i]));
		slot_text_get(&slot->unready, text);
		ck_assert_str_eq(text, texts[i]);
	}
}
END_TEST

START_TEST(test_a_long_text_is_cut)
{
	char longer[SLOT_TEXT_BYTES + 100];

	memset(longer, 'x', sizeof(longer));
	slot_text_set(&slot->unready, str_make(longer, sizeof(longer)));
	slot_text_get(&slot->unready, text);
	ck_assert_uint_eq(strlen(text), SLOT_TEXT_BYTES);
}
END_TEST

/* A writer was killed in the midst of it: readers get nothing and do not wait for ever, and the next writer can write. */
START_TEST(test_a_text_whose_writer_died)
{
	slot_text_set(&slot->unready, str_of("half"));
	counter_set(&slot->unready.version, counter_read(&slot->unready.version) + 1);
	slot_text_get(&slot->unready, text);
	ck_assert_str_eq(text, "");
	slot_text_set(&slot->unready, str_of("whole"));
	slot_text_get(&slot->unready, text);
	ck_assert_str_eq(text, "whole");
}
END_TEST

/* One process writes texts of one letter each, another reads: never two letters in one. */
START_TEST(test_a_text_is_never_torn)
{
	int read = 0, status;
	pid_t writer = fork();

	ck_assert_int_ge(writer, 0);
	if (writer == 0) {
		char letters[SLOT_TEXT_BYTES];

		for (unsigned i = 0;; i++) {
			memset(letters, 'a' + (int)(i % 26), sizeof(letters));
			slot_text_set(&slot->unready, str_make(letters, 1 + i % SLOT_TEXT_BYTES));
		}
	}
	while (read < 2000) {
		slot_text_get(&slot->unready, text);
		read += text[0] != '\0';
		ck_assert_uint_eq(strspn(text, (const char[]){text[0], '\0'}), strlen(text));
	}
	ck_assert_int_eq(kill(writer, SIGKILL), 0);
	ck_assert_int_eq(waitpid(writer, &status, 0), writer);
}
END_TEST

static struct moment at(int64_t us)
{
	return (struct moment){us, 1700000000000000LL + us};
}

START_TEST(test_a_successor_keeps_counters_only)
{
	slot_begin(slot, 11, at(SECOND_US), "1.0");
	ck_assert_uint_eq(counter_read(&slot->metrics.deaths), 0);
	counter_add(&slot->metrics.requests[METRICS_INDEX][METRICS_200], 5);
	counter_set(&slot->gauges.in_flight, 3);
	slot_text_set(&slot->unready, str_of("database"));
	slot_text_set(&slot->last_error, str_of("kept"));
	slot_begin(slot, 12, at(2 * SECOND_US), "1.1"); /* 11 was killed */
	ck_assert_uint_eq(counter_read(&slot->metrics.requests[METRICS_INDEX][METRICS_200]), 5);
	ck_assert_uint_eq(counter_read(&slot->metrics.starts), 2);
	ck_assert_uint_eq(counter_read(&slot->metrics.deaths), 1);
	ck_assert_uint_eq(counter_read(&slot->gauges.in_flight), 0);
	ck_assert_uint_eq(counter_read(&slot->gauges.pid), 12);
	slot_text_get(&slot->unready, text);
	ck_assert_str_eq(text, "");
	slot_text_get(&slot->version, text);
	ck_assert_str_eq(text, "1.1");
	slot_text_get(&slot->last_error, text);
	ck_assert_str_eq(text, "kept");
	counter_set(&slot->ended_well, 1);
	slot_begin(slot, 13, at(3 * SECOND_US), "1.1");
	ck_assert_uint_eq(counter_read(&slot->metrics.starts), 3);
	ck_assert_uint_eq(counter_read(&slot->metrics.deaths), 1);
}
END_TEST

/* Killed while it wrote down its last words: every look would wait for the rest of them. */
START_TEST(test_half_an_error_goes_with_its_writer)
{
	slot_begin(slot, 11, at(SECOND_US), "1.0");
	slot_text_set(&slot->last_error, str_of("whole"));
	counter_add(&slot->last_error.version, 1);
	slot_begin(slot, 12, at(2 * SECOND_US), "1.0");
	ck_assert_uint_eq(counter_read(&slot->last_error.version) % 2, 0);
	slot_text_get(&slot->last_error, text);
	ck_assert_str_eq(text, "");
}
END_TEST

static uint64_t recent_requests(int64_t now_us, int64_t *window_us)
{
	struct metrics m;

	*window_us = slot_recent(slot, now_us, &m);
	return metrics_requests(&m, 0);
}

/* What is recent is between one and two spans old at most, and what a predecessor counted is not ours. */
START_TEST(test_recent_is_what_came_since_a_snapshot)
{
	int64_t now_us = 1000 * SECOND_US, window_us;

	counter_add(&slot->metrics.requests[METRICS_AGENTS][METRICS_200], 1000);
	slot_begin(slot, 11, at(now_us), "1.0");
	ck_assert_uint_eq(recent_requests(now_us + SECOND_US, &window_us), 0);
	ck_assert_int_eq(window_us, SECOND_US);
	for (int s = 1; s <= 300; s++) {
		counter_add(&slot->metrics.requests[METRICS_AGENTS][METRICS_200], 1);
		slot_snapshot(slot, now_us + s * SECOND_US);
		ck_assert_int_eq(recent_requests(now_us + s * SECOND_US, &window_us), window_us / SECOND_US);
		ck_assert_int_le(window_us, 2 * SLOT_SNAPSHOT_US);
		ck_assert_int_ge(window_us, s < 30 ? s * SECOND_US : SLOT_SNAPSHOT_US);
	}
	/* Nobody has worked here for long. */
	ck_assert_uint_eq(recent_requests(now_us + 500 * SECOND_US, &window_us), 0);
	ck_assert_int_eq(window_us, 0);
	/* The host was booted since. */
	slot_begin(slot, 12, at(now_us), "1.0");
	counter_add(&slot->metrics.requests[METRICS_AGENTS][METRICS_200], 1);
	ck_assert_uint_eq(recent_requests(now_us + SECOND_US, &window_us), 1);
	ck_assert_uint_eq(recent_requests(now_us - 500 * SECOND_US, &window_us), 0);
	ck_assert_int_eq(window_us, 0);
}
END_TEST

/* Of zeroes, however soon after booting. */
START_TEST(test_what_is_forgotten_is_not_recent)
{
	int64_t window_us;

	slot_begin(slot, 11, at(10 * SECOND_US), "1.0");
	counter_add(&slot->metrics.requests[METRICS_AGENTS][METRICS_200], 1);
	ck_assert_uint_eq(recent_requests(11 * SECOND_US, &window_us), 1);
	slot_forget_recent(slot);
	ck_assert_uint_eq(recent_requests(11 * SECOND_US, &window_us), 0);
	ck_assert_int_eq(window_us, 0);
}
END_TEST

START_TEST(test_a_slot_has_durations_by_one_clock_and_its_start_by_the_other)
{
	slot_begin(slot, 11, (struct moment){5 * SECOND_US, 77 * SECOND_US}, "1.0");
	ck_assert_uint_eq(counter_read(&slot->gauges.started_us), 77 * SECOND_US);
	ck_assert_uint_eq(counter_read(&slot->gauges.turned_us), 5 * SECOND_US);
	ck_assert_uint_eq(counter_read(&slot->snapshots[0].taken_us), 5 * SECOND_US);
	ck_assert_uint_eq(counter_read(&slot->snapshots[1].taken_us), 5 * SECOND_US);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("slot");
	TCase *tc = tcase_create("slot");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_text_comes_back);
	tcase_add_test(tc, test_a_long_text_is_cut);
	tcase_add_test(tc, test_a_text_whose_writer_died);
	tcase_add_test(tc, test_a_text_is_never_torn);
	tcase_add_test(tc, test_a_successor_keeps_counters_only);
	tcase_add_test(tc, test_half_an_error_goes_with_its_writer);
	tcase_add_test(tc, test_recent_is_what_came_since_a_snapshot);
	tcase_add_test(tc, test_what_is_forgotten_is_not_recent);
	tcase_add_test(tc, test_a_slot_has_durations_by_one_clock_and_its_start_by_the_other);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
