#include "log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* wrap: write */
static struct {
	unsigned calls;
	size_t len; /* of the last call */
	int fail;   /* errno of the next call, 0 for none */
	char bytes[256 * 1024];
} written;

ssize_t __real_write(int fd, const void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);

#define LOG_FD 1000 /* never open: writes to it are kept here */

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	int fail = written.fail;

	if (fd != LOG_FD)
		return __real_write(fd, p, len);
	written.calls++;
	written.fail = 0;
	if (fail != 0) {
		errno = fail;
		return -1;
	}
	ck_assert_uint_le(len, sizeof(written.bytes));
	memcpy(written.bytes, p, len);
	written.len = len;
	return (ssize_t)len;
}

static const struct log debug_log = {.fd = LOG_FD, .level = LOG_LEVEL_DEBUG};

/* The line of the one write there was, as jansson reads it. The caller owns it. */
static json_t *line(void)
{
	json_error_t error;
	json_t *object;

	ck_assert_uint_eq(written.calls, 1);
	ck_assert_uint_gt(written.len, 0);
	ck_assert_int_eq(written.bytes[written.len - 1], '\n');
	ck_assert_ptr_null(memchr(written.bytes, '\n', written.len - 1));
	object = json_loadb(written.bytes, written.len, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(object != NULL, "%s in %.*s", error.text, (int)written.len, written.bytes);
	memset(&written, 0, sizeof(written));
	return object;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "(none)" : text;
}

/* Writes one field and expects its text in the line. */
static void expect_text(const char *bytes, const char *expected)
{
	json_t *object;

	log_event(&debug_log, LOG_LEVEL_INFO, "text", LOG_NO_REQUEST, "{s:s}", "text", bytes);
	object = line();
	ck_assert_str_eq(text_of(object, "text"), expected);
	json_decref(object);
}

START_TEST(test_a_line_has_time_level_event_pid_in_this_order)
{
	int year, month, day, hour, minute, second, ms, end = 0;
	const char *keys[] = {"time", "level", "event", "pid"};
	unsigned i = 0;
	json_t *object, *value;
	const char *key;

	log_event(&debug_log, LOG_LEVEL_WARN, "database_lost", LOG_NO_REQUEST, NULL);
	object = line();
	json_object_foreach(object, key, value)
	{
		ck_assert_uint_lt(i, 4);
		ck_assert_str_eq(key, keys[i++]);
	}
	ck_assert_uint_eq(i, 4);
	ck_assert_str_eq(text_of(object, "level"), "warn");
	ck_assert_str_eq(text_of(object, "event"), "database_lost");
	ck_assert_int_eq(json_integer_value(json_object_get(object, "pid")), getpid());
	ck_assert_int_eq(sscanf(text_of(object, "time"), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute,
				&second, &ms, &end),
			 7);
	ck_assert_int_eq(end, 24);
	ck_assert_uint_eq(strlen(text_of(object, "time")), 24);
	json_decref(object);
}
END_TEST

START_TEST(test_the_request_id_comes_before_the_fields_of_the_event)
{
	json_t *object, *nested = json_pack("{s:i}", "inner", 1);
	void *iterator;

	log_event(&debug_log, LOG_LEVEL_ERROR, "failed", str_make("abc-and-more", 3),
		  "{s:s, s:i, s:I, s:b, s:n, s:f, s:o, s:s*, s:s?, s:s#, s:s%}", "a", "text", "b", -5, "c", (json_int_t)1 << 40,
		  "d", 1, "e", "f", 0.5, "g", nested, "h", NULL, "i", NULL, "j", "cut here", 3, "k", "cut here", (size_t)4);
	object = line();
	iterator = json_object_iter_at(object, "request_id");
	ck_assert_str_eq(text_of(object, "request_id"), "abc");
	ck_assert_str_eq(json_object_iter_key(json_object_iter_next(object, iterator)), "a");
	ck_assert_str_eq(text_of(object, "a"), "text");
	ck_assert_int_eq(json_integer_value(json_object_get(object, "b")), -5);
	ck_assert_int_eq(json_integer_value(json_object_get(object, "c")), (json_int_t)1 << 40);
	ck_assert(json_is_true(json_object_get(object, "d")));
	ck_assert(json_is_null(json_object_get(object, "e")));
	ck_assert(json_real_value(json_object_get(object, "f")) == 0.5);
	ck_assert(json_is_object(json_object_get(object, "g")));
	ck_assert_ptr_null(json_object_get(object, "h"));
	ck_assert(json_is_null(json_object_get(object, "i")));
	ck_assert_str_eq(text_of(object, "j"), "cut");
	ck_assert_str_eq(text_of(object, "k"), "cut ");
	json_decref(object);
}
END_TEST

START_TEST(test_a_missing_text_is_null)
{
	json_t *object;

	log_event(&debug_log, LOG_LEVEL_INFO, "text", LOG_NO_REQUEST, "{s:s}", "text", NULL);
	object = line();
	ck_assert(json_is_null(json_object_get(object, "text")));
	json_decref(object);
}
END_TEST

START_TEST(test_levels_above_the_log_s_are_not_written)
{
	for (int level = LOG_LEVEL_ERROR; level < LOG_LEVEL_MAX; level++)
		for (int event = LOG_LEVEL_ERROR; event < LOG_LEVEL_MAX; event++) {
			struct log log = {.fd = LOG_FD, .level = (enum log_level)level};

			written.calls = 0;
			log_event(&log, (enum log_level)event, "level", LOG_NO_REQUEST, NULL);
			ck_assert_uint_eq(written.calls, event <= level);
		}
}
END_TEST

#define BAD "\xEF\xBF\xBD"

START_TEST(test_bytes_that_are_no_utf8_are_replaced_one_by_one)
{
	expect_text("\xFF", BAD);
	expect_text("a\x80z", "a" BAD "z");
	expect_text("\xC3(", BAD "(");                               /* a second byte that is none */
	expect_text("\xC0\xAF", BAD BAD);                            /* overlong / */
	expect_text("\xE0\x80\xAF", BAD BAD BAD);                    /* overlong / */
	expect_text("\xED\xA0\x80", BAD BAD BAD);                    /* a surrogate */
	expect_text("\xF4\x90\x80\x80", BAD BAD BAD BAD);            /* beyond U+10FFFF */
	expect_text("\xF0\x9F\x92", BAD BAD BAD);                    /* cut off */
	expect_text("\xE2\x82\xAC\xE2\x82", "\xE2\x82\xAC" BAD BAD); /* a euro sign and a cut one */
	expect_text("\xF0\x9F\x92\xA9\xFE\xF4\x8F\xBF\xBF", "\xF0\x9F\x92\xA9" BAD "\xF4\x8F\xBF\xBF");
	expect_text("line 1\nline 2\r\t\"\\\x01\x7F", "line 1\nline 2\r\t\"\\\x01\x7F");
}
END_TEST

START_TEST(test_a_bad_request_id_does_not_lose_the_line)
{
	json_t *object;

	log_event(&debug_log, LOG_LEVEL_INFO, "text", str_make("\xFFx", 2), "{s:s}", "text", "\xC3");
	object = line();
	ck_assert_str_eq(text_of(object, "request_id"), BAD "x");
	ck_assert_str_eq(text_of(object, "text"), BAD);
	json_decref(object);
}
END_TEST

START_TEST(test_lines_of_any_length_are_one_write)
{
	/* Round the buffer on the stack, and beyond what a pipe takes at once. */
	for (size_t len = 1900; len < 2100; len++) {
		char *text = malloc(len + 1);
		json_t *object;

		ck_assert_ptr_nonnull(text);
		memset(text, 'x', len);
		text[len] = '\0';
		log_event(&debug_log, LOG_LEVEL_INFO, "long", LOG_NO_REQUEST, "{s:s}", "text", text);
		object = line();
		ck_assert_uint_eq(json_string_length(json_object_get(object, "text")), len);
		json_decref(object);
		free(text);
	}
	for (size_t len = PIPE_BUF; len <= 16 * PIPE_BUF; len *= 2) {
		char *text = calloc(1, len + 1);
		json_t *object;

		ck_assert_ptr_nonnull(text);
		memset(text, 0xFF, len);
		log_event(&debug_log, LOG_LEVEL_INFO, "long", LOG_NO_REQUEST, "{s:s}", "text", text);
		object = line();
		ck_assert_uint_eq(json_string_length(json_object_get(object, "text")), 3 * len);
		json_decref(object);
		free(text);
	}
}
END_TEST

START_TEST(test_a_descriptor_that_takes_no_more_loses_the_line_only)
{
	static const int errors[] = {EAGAIN, ENOSPC, EIO, EPIPE, EBADF};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		memset(&written, 0, sizeof(written));
		written.fail = errors[i];
		errno = ENOENT;
		log_event(&debug_log, LOG_LEVEL_ERROR, "lost", LOG_NO_REQUEST, NULL);
		ck_assert_uint_eq(written.calls, 1);
		ck_assert_uint_eq(written.len, 0);
		ck_assert_int_eq(errno, ENOENT); /* the caller may still want it */
	}
}
END_TEST

START_TEST(test_an_interrupted_write_is_done_again)
{
	written.fail = EINTR;
	log_event(&debug_log, LOG_LEVEL_ERROR, "again", LOG_NO_REQUEST, NULL);
	ck_assert_uint_eq(written.calls, 2);
	ck_assert_uint_gt(written.len, 0);
}
END_TEST

START_TEST(test_a_full_pipe_does_not_block)
{
	struct log log = {.level = LOG_LEVEL_INFO};
	int pipes[2];
	char sink[4096];
	ssize_t n;

	ck_assert_int_eq(pipe2(pipes, O_NONBLOCK), 0);
	log.fd = pipes[1];
	for (unsigned i = 0; i < 5000; i++) /* 64 KiB fit */
		log_event(&log, LOG_LEVEL_INFO, "full", LOG_NO_REQUEST, NULL);
	(void)close(pipes[1]);
	n = read(pipes[0], sink, sizeof(sink));
	ck_assert_int_gt(n, 0);
	(void)close(pipes[0]);
}
END_TEST

START_TEST(full_pipe_loses_the_line_and_no_time)
{
	struct log log = {.level = LOG_LEVEL_DEBUG};
	char bytes[4096] = "";
	int ends[2];
	ssize_t n;

	ck_assert_int_eq(pipe(ends), 0);
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while ((n = __real_write(ends[1], bytes, sizeof(bytes))) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
	(void)fcntl(ends[1], F_SETFL, 0); /* blocking again, as the workers' is */
	log.fd = ends[1];
	log_event(&log, LOG_LEVEL_ERROR, "lost", LOG_NO_REQUEST, NULL);
	/* As soon as there is room, lines come again. */
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(read(ends[0], bytes, sizeof(bytes)), sizeof(bytes));
	log_event(&log, LOG_LEVEL_ERROR, "kept", LOG_NO_REQUEST, NULL);
	ck_assert_int_eq(close(ends[1]), 0);
	n = read(ends[0], bytes, sizeof(bytes) - 1);
	ck_assert_int_gt(n, 0);
	bytes[n] = '\0';
	ck_assert_ptr_nonnull(strstr(bytes, "kept"));
	ck_assert_ptr_null(strstr(bytes, "lost"));
	(void)close(ends[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *lines = tcase_create("lines");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(lines, 60);
	tcase_add_test(lines, full_pipe_loses_the_line_and_no_time);
	tcase_add_test(lines, test_a_line_has_time_level_event_pid_in_this_order);
	tcase_add_test(lines, test_the_request_id_comes_before_the_fields_of_the_event);
	tcase_add_test(lines, test_a_missing_text_is_null);
	tcase_add_test(lines, test_levels_above_the_log_s_are_not_written);
	tcase_add_test(lines, test_bytes_that_are_no_utf8_are_replaced_one_by_one);
	tcase_add_test(lines, test_a_bad_request_id_does_not_lose_the_line);
	tcase_add_test(lines, test_lines_of_any_length_are_one_write);
	tcase_add_test(lines, test_a_descriptor_that_takes_no_more_loses_the_line_only);
	tcase_add_test(lines, test_an_interrupted_write_is_done_again);
	tcase_add_test(lines, test_a_full_pipe_does_not_block);
	suite_add_tcase(suite, lines);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
