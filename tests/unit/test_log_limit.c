#include "log.h"
#include "log_limit.h"
#include "slot.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND_US 1000000LL

static struct log_limit limit;

static void setup(void)
{
	memset(&limit, 0, sizeof(limit));
}

/* Takes `n` lines; how many were allowed. */
static unsigned take(const char *event, int64_t now_us, unsigned n)
{
	unsigned allowed = 0, suppressed;

	while (n-- > 0)
		allowed += log_limit_take(&limit, event, LOG_LEVEL_WARN, now_us, &suppressed);
	return allowed;
}

START_TEST(test_some_lines_a_second_and_the_number_of_the_others)
{
	unsigned suppressed;

	ck_assert_uint_eq(take("failed", 5 * SECOND_US, 1000), LOG_LIMIT_LINES);
	ck_assert_uint_eq(take("failed", 6 * SECOND_US - 1, 1000), 0);
	ck_assert(log_limit_take(&limit, "failed", LOG_LEVEL_WARN, 6 * SECOND_US, &suppressed));
	ck_assert_uint_eq(suppressed, 2000 - LOG_LIMIT_LINES);
	ck_assert(log_limit_take(&limit, "failed", LOG_LEVEL_WARN, 6 * SECOND_US, &suppressed));
	ck_assert_uint_eq(suppressed, 0);
}
END_TEST

START_TEST(test_few_lines_are_all_written)
{
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(take("slow", i * SECOND_US / LOG_LIMIT_LINES, 1), 1);
	ck_assert(!limit.any_suppressed);
}
END_TEST

/* The flood of one event does not hide another. */
START_TEST(test_each_event_has_its_own)
{
	char names[LOG_LIMIT_EVENTS + 5][16];

	(void)take("failed", 0, 1000);
	for (unsigned i = 0; i < LOG_LIMIT_EVENTS + 5; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "event_%u", i);
		ck_assert_uint_eq(take(names[i], 0, 1), 1);
	}
	/* One that finds no room is not limited. */
	ck_assert_uint_eq(take(names[LOG_LIMIT_EVENTS + 4], 0, 100), 100);
}
END_TEST

/* The flood ends: what it was is told without another line of it. */
START_TEST(test_a_flood_that_ends_is_told)
{
	unsigned suppressed = 0;
	enum log_level level;

	(void)take("failed", 0, 100);
	(void)take("refused", SECOND_US / 2, 50);
	ck_assert(limit.any_suppressed);
	ck_assert_ptr_null(log_limit_next(&limit, SECOND_US / 2, &level, &suppressed));
	ck_assert_str_eq(log_limit_next(&limit, SECOND_US, &level, &suppressed), "failed");
	ck_assert_uint_eq(suppressed, 100 - LOG_LIMIT_LINES);
	ck_assert_ptr_null(log_limit_next(&limit, SECOND_US, &level, &suppressed));
	ck_assert(limit.any_suppressed);
	ck_assert_str_eq(log_limit_next(&limit, 2 * SECOND_US, &level, &suppressed), "refused");
	ck_assert_uint_eq(suppressed, 50 - LOG_LIMIT_LINES);
	ck_assert_ptr_null(log_limit_next(&limit, 2 * SECOND_US, &level, &suppressed));
	ck_assert(!limit.any_suppressed);
}
END_TEST

/* --- in a log --- */

START_TEST(test_a_log_suppresses_counts_and_keeps_the_last_error)
{
	static struct slot slot;
	struct log log = {.level = LOG_LEVEL_INFO, .limit = &limit, .slot = &slot};
	char text[65536], last[SLOT_TEXT_BYTES + 1];
	unsigned lines = 0;
	json_t *line;
	FILE *file = tmpfile();
	size_t len;

	ck_assert_ptr_nonnull(file);
	log.fd = fileno(file);
	log_event(&log, LOG_LEVEL_WARN, "first", LOG_NO_REQUEST, NULL);
	for (int i = 0; i < 2 * LOG_LIMIT_LINES; i++) {
		log_event(&log, LOG_LEVEL_ERROR, "failed", str_of("id"), "{s:i}", "n", i);
		log_event(&log, LOG_LEVEL_INFO, "normal", LOG_NO_REQUEST, NULL);   /* never limited, and no error */
		log_event(&log, LOG_LEVEL_DEBUG, "chatter", LOG_NO_REQUEST, NULL); /* not written, so not counted */
	}
	slot_text_get(&slot.last_error, last);
	line = json_loads(last, 0, NULL);
	ck_assert_ptr_nonnull(line);
	ck_assert_str_eq(json_string_value(json_object_get(line, "event")), "failed");
	ck_assert_str_eq(json_string_value(json_object_get(line, "request_id")), "id");
	json_decref(line);
	ck_assert_uint_eq(counter_read(&slot.metrics.log_lines[LOG_LEVEL_ERROR]), 2 * LOG_LIMIT_LINES);
	ck_assert_uint_eq(counter_read(&slot.metrics.log_lines[LOG_LEVEL_WARN]), 1);
	ck_assert_uint_eq(counter_read(&slot.metrics.log_lines[LOG_LEVEL_INFO]), 2 * LOG_LIMIT_LINES);
	ck_assert_uint_eq(counter_read(&slot.metrics.log_lines[LOG_LEVEL_DEBUG]), 0);
	ck_assert_uint_ge(counter_read(&slot.metrics.log_lines_suppressed), 1);
	/* On a machine so slow that seconds pass meanwhile, fewer are suppressed; all are accounted for. */
	for (unsigned i = 0; i < limit.count; i++)
		limit.events[i].since_us -= 2 * SECOND_US;
	log_suppressed(&log);
	log_suppressed(&log);
	len = (size_t)pread(log.fd, text, sizeof(text) - 1, 0);
	text[len] = '\0';
	for (char *p = text; *p != '\0'; p = strchr(p, '\n') + 1) {
		line = json_loads(p, JSON_DISABLE_EOF_CHECK, NULL);
		ck_assert_ptr_nonnull(line);
		if (strcmp(json_string_value(json_object_get(line, "event")), "failed") == 0)
			lines += json_object_get(line, "n") != NULL;
		lines += (unsigned)json_integer_value(json_object_get(line, "suppressed"));
		json_decref(line);
	}
	ck_assert_uint_eq(lines, 2 * LOG_LIMIT_LINES);
	(void)fclose(file);
}
END_TEST

/* What stands for suppressed lines has their level, and comes where they would. */
static const struct {
	enum log_level flood, last, now; /* of its lines, of its last one, and of the log when it is told of */
	const char *told;                /* level; NULL: not at all */
} floods[] = {
	{LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, "error"}, {LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, "error"},
	{LOG_LEVEL_WARN, LOG_LEVEL_WARN, LOG_LEVEL_WARN, "warn"},    {LOG_LEVEL_WARN, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, NULL},
	{LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, "error"}, {LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, "error"},
};

START_TEST(test_suppressed_lines_are_told_of_at_their_level)
{
	struct log log = {.level = LOG_LEVEL_WARN, .limit = &limit};
	FILE *file = tmpfile();
	char text[256] = "";
	json_t *line;
	off_t before;

	ck_assert_ptr_nonnull(file);
	log.fd = fileno(file);
	/* However slow the machine is: the second is not over. */
	for (int i = 0; i < LOG_LIMIT_LINES + 2; i++) {
		log_event(&log, i <= LOG_LIMIT_LINES ? floods[_i].flood : floods[_i].last, "failed", LOG_NO_REQUEST, NULL);
		limit.events[0].since_us = INT64_MAX / 2;
	}
	before = lseek(log.fd, 0, SEEK_END);
	limit.events[0].since_us = 0;
	log.level = floods[_i].now;
	log_suppressed(&log);
	ck_assert(!limit.events[0].suppressed);
	ck_assert_int_ge(pread(log.fd, text, sizeof(text) - 1, before), 0);
	if (floods[_i].told == NULL) {
		ck_assert_str_eq(text, "");
	} else {
		line = json_loads(text, 0, NULL);
		ck_assert_ptr_nonnull(line);
		ck_assert_str_eq(json_string_value(json_object_get(line, "level")), floods[_i].told);
		ck_assert_str_eq(json_string_value(json_object_get(line, "event")), "failed");
		ck_assert_int_eq(json_integer_value(json_object_get(line, "suppressed")), 2);
		json_decref(line);
	}
	(void)fclose(file);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log_limit");
	TCase *tc = tcase_create("log_limit");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_some_lines_a_second_and_the_number_of_the_others);
	tcase_add_test(tc, test_few_lines_are_all_written);
	tcase_add_test(tc, test_each_event_has_its_own);
	tcase_add_test(tc, test_a_flood_that_ends_is_told);
	tcase_add_test(tc, test_a_log_suppresses_counts_and_keeps_the_last_error);
	tcase_add_loop_test(tc, test_suppressed_lines_are_told_of_at_their_level, 0, sizeof(floods) / sizeof(floods[0]));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
