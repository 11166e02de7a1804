/*
 * watchdog: ends a process whose event loop has not turned for WATCHDOG_S seconds, so that its supervisor starts another.
 */
#ifndef AGENTS_WATCHDOG_H
#define AGENTS_WATCHDOG_H

#include <ev.h>

#define WATCHDOG_S 10

/* Uses SIGALRM and alarm(2). One per process. */
void watchdog_start(struct ev_loop *loop);
void watchdog_stop(struct ev_loop *loop);

#endif
