#include "watchdog.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The loop resets the alarm this often. */
#define BEAT_S 2.0

/* After the first alarm the loop gets this long: a process that was stopped (SIGSTOP, a debugger) for longer than the alarm is given a chance to turn. */
#define LAST_CHANCE_S 2

/* What a signal handler must have. */
static volatile sig_atomic_t alarms;
static ev_timer beat;

/* The line of the log, made at each beat, because a signal handler cannot: its time is when the alarms will have come. */
static char line[256];
static size_t line_len;

static void make_line(void)
{
	time_t when = time(NULL) + WATCHDOG_S;
	char text[32] = "";
	struct tm tm;
	int len;

	if (gmtime_r(&when, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	len = snprintf(line, sizeof(line),
		       "{\"time\":\"%s\",\"level\":\"error\",\"event\":\"watchdog\",\"pid\":%d,\"error\":\"the event loop hangs; "
		       "the process ends "
		       "itself\"}\n",
		       text, (int)getpid());
	line_len = len > 0 && (size_t)len < sizeof(line) ? (size_t)len : 0;
}

static void on_alarm(int signum)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

	(void)signum;
	alarms++;
	if (alarms == 1) {
		(void)alarm(LAST_CHANCE_S);
		return;
	}
	/* A full pipe may be what the loop hangs on. */
	if (poll(&room, 1, 0) != 1 || write(STDERR_FILENO, line, line_len) < 0)
		_exit(71);
	_exit(70);
}

static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	alarms = 0;
	make_line();
	(void)alarm(WATCHDOG_S - LAST_CHANCE_S);
}

void watchdog_start(struct ev_loop *loop)
{
	struct sigaction action = {.sa_handler = on_alarm};

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGALRM, &action, NULL);
	ev_timer_init(&beat, on_beat, BEAT_S, BEAT_S);
	ev_timer_start(loop, &beat);
	ev_unref(loop); /* it keeps no loop alive */
	on_beat(loop, &beat, 0);
}

void watchdog_stop(struct ev_loop *loop)
{
	(void)alarm(0);
	ev_ref(loop);
	ev_timer_stop(loop, &beat);
}
