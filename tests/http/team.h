/*
 * team: workers that share a scoreboard. Each has a socket of its own, so that a test says who answers. Every function asserts.
 */
#ifndef TEST_TEAM_H
#define TEST_TEAM_H

#include "worker.h"

#define TEAM_MOST 4
/* A database that is not there. */
#define NOWHERE "host=/nonexistent dbname=nothing user=nobody"

struct team {
	struct worker w[TEAM_MOST];
	int count;
	char board[108];
	char option[128];
};

void team_begin(struct team *t);
/* The same, with two workers that have no database. */
void team_begin_two(struct team *t);

/* One more, which has answered one request for /index. `more` is another option, or NULL. */
struct worker *team_add(struct team *t, const char *database, const char *more);

/* Ends those that run. */
void team_end(struct team *t);

#endif
