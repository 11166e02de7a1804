/*
 * pool_fixture: three workers, ready, on one scoreboard, and what a look at it makes of them.
 */
#ifndef TESTS_POOL_FIXTURE_H
#define TESTS_POOL_FIXTURE_H

#include "pool.h"
#include "scoreboard.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW_US 1700000000000000LL
#define UP_US 1000000000LL /* the monotonic clock then */
#define SECOND_US 1000000LL
#define WORKERS 3

static char dir[64];
static char path[80];
static struct scoreboard boards[WORKERS]; /* as many workers */
static struct pool pool;
static const struct moment now = {UP_US, NOW_US};

static inline struct slot *slot_of(unsigned i)
{
	return scoreboard_own(&boards[i]);
}

static inline void setup(void)
{
	char reason[SCOREBOARD_REASON_BYTES];

	(void)snprintf(dir, sizeof(dir), "/tmp/status-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/board", dir);
	for (unsigned i = 0; i < WORKERS; i++) {
		ck_assert(scoreboard_open(&boards[i], path, now, reason));
		ck_assert(scoreboard_is_shared(&boards[i]));
		counter_set(&slot_of(i)->gauges.ready, 1);
		counter_set(&slot_of(i)->gauges.database_connections, 1);
		counter_set(&slot_of(i)->gauges.database_connections_wanted, 1);
	}
}

static inline void teardown(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		scoreboard_close(&boards[i]);
	(void)unlink(path);
	(void)rmdir(dir);
}

static inline void look(void)
{
	pool_read(&pool, &boards[0], (struct moment){UP_US + SECOND_US, NOW_US + SECOND_US});
}

static inline void not_ready(unsigned i, const char *why)
{
	counter_set(&slot_of(i)->gauges.ready, 0);
	slot_text_set(&slot_of(i)->unready, str_of(why));
}

#endif
