/* wrap: alarm */
#include "loop.h"
#include "watchdog.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit status that watchdog.c gives a process that hangs. */
#define STATUS_HANGS 70

/* Alarms come a hundred times sooner, or not at all; each wish is noted. */
static bool alarms_come;
static volatile unsigned last_alarm_s; /* volatile: the signal handler changes them */
static volatile unsigned alarm_calls;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
unsigned __wrap_alarm(unsigned seconds);

unsigned __wrap_alarm(unsigned seconds)
{
	struct itimerval t = {.it_value = {.tv_usec = seconds * 10000}};

	last_alarm_s = seconds;
	alarm_calls++;
	if (alarms_come)
		(void)setitimer(ITIMER_REAL, &t, NULL);
	return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static int status_of(void (*child)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int silent = dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);

		if (silent >= 0)
			child();
		_exit(99);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A callback that never returns. */
static void on_hang(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	for (;;)
		(void)pause(); /* alarms interrupt it; nothing else ends it */
}

static void hanging_child(void)
{
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	ev_timer hang;

	alarms_come = true;
	ev_timer_init(&hang, on_hang, 0.001, 0.);
	ev_timer_start(loop, &hang);
	watchdog_start(loop);
	(void)ev_run(loop, 0);
}

START_TEST(loop_that_hangs_is_ended)
{
	ck_assert_int_eq(status_of(hanging_child), STATUS_HANGS);
}
END_TEST

static int said[2];

static void hanging_child_with_a_log(void)
{
	if (dup2(said[1], STDERR_FILENO) >= 0)
		hanging_child();
}

/* One line in the log's form, as that of any other event. */
START_TEST(end_is_told_in_the_log)
{
	char text[512] = "";
	json_t *line;
	const char *event, *level, *time;
	json_int_t pid;

	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(status_of(hanging_child_with_a_log), STATUS_HANGS);
	ck_assert_int_gt(read(said[0], text, sizeof(text) - 1), 0);
	line = json_loads(text, 0, NULL);
	ck_assert_msg(line != NULL, "%s", text);
	ck_assert_int_eq(json_unpack(line, "{s:s, s:s, s:s, s:I}", "time", &time, "level", &level, "event", &event, "pid", &pid),
			 0);
	ck_assert_uint_eq(strlen(time), strlen("2026-01-02T03:04:05.000Z"));
	ck_assert_str_eq(level, "error");
	ck_assert_str_eq(event, "watchdog");
	ck_assert_int_gt(pid, 1);
	json_decref(line);
	(void)close(said[0]);
	(void)close(said[1]);
}
END_TEST

static void on_second_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	if (alarm_calls >= 3)
		ev_timer_stop(loop, w);
}

/* The loop turns, so the alarm is put off each time, and none comes; what is left alone is the time until it would. */
START_TEST(loop_that_turns_puts_the_alarm_off)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	ev_timer until;

	ev_timer_init(&until, on_second_beat, 0.01, 0.01);
	ev_timer_start(loop, &until);
	watchdog_start(loop);
	ck_assert_uint_eq(alarm_calls, 1);
	ck_assert_uint_lt(last_alarm_s, WATCHDOG_S);
	(void)ev_run(loop, 0); /* ends with `until`: the watchdog keeps no loop alive */
	ck_assert_uint_ge(alarm_calls, 3);
	ck_assert_uint_gt(last_alarm_s, 2); /* longer than a beat */
	watchdog_stop(loop);
	ck_assert_uint_eq(last_alarm_s, 0);
	ev_loop_destroy(loop);
}
END_TEST

static bool is_put_off(void *before)
{
	return alarm_calls > *(const unsigned *)before;
}

static void stopped_child(void)
{
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	unsigned before;

	watchdog_start(loop);
	before = alarm_calls;
	(void)raise(SIGALRM); /* the process was stopped for longer than the alarm: the first one is a last chance */
	if (alarm_calls != before + 1 || last_alarm_s == 0)
		_exit(1);
	before = alarm_calls;
	if (!loop_until(loop, is_put_off, &before)) /* it turns: all is forgotten */
		_exit(2);
	(void)raise(SIGALRM);
	_exit(0);
}

START_TEST(process_that_was_stopped_has_a_last_chance)
{
	ck_assert_int_eq(status_of(stopped_child), 0);
}
END_TEST

static void child_without_chance(void)
{
	watchdog_start(ev_default_loop(EVFLAG_AUTO));
	(void)raise(SIGALRM);
	(void)raise(SIGALRM);
}

START_TEST(second_alarm_ends_it)
{
	ck_assert_int_eq(status_of(child_without_chance), STATUS_HANGS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watchdog");
	TCase *tc = tcase_create("watchdog");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, loop_that_hangs_is_ended);
	tcase_add_test(tc, end_is_told_in_the_log);
	tcase_add_test(tc, loop_that_turns_puts_the_alarm_off);
	tcase_add_test(tc, process_that_was_stopped_has_a_last_chance);
	tcase_add_test(tc, second_alarm_ends_it);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
