#include "watchdog.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* The loop resets the alarm this often. */
#define BEAT_S 2.0

/* After the first alarm the loop gets this long: a process that was stopped (SIGSTOP, a debugger) for longer than the alarm is given a chance to turn. */
#define LAST_CHANCE_S 2

/* What a signal handler must have. */
static volatile sig_atomic_t alarms;
static ev_timer beat;

static void on_alarm(int signum)
{
	static const char line[] =
		"{\"level\": \"error\", \"event\": \"watchdog\", \"error\": \"the event loop hangs; the process ends itself\"}\n";

	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

	(void)signum;
	alarms++;
	if (alarms == 1) {
		(void)alarm(LAST_CHANCE_S);
		return;
	}
	/* A full pipe may be what the loop hangs on. */
	if (poll(&room, 1, 0) != 1 || write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(71);
	_exit(70);
}

static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	alarms = 0;
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
