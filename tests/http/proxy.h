/*
 * proxy: stands between a worker and PostgreSQL on a Unix socket of its own, counts the queries that pass, and can hold back the server's answers.
 *
 * One thread carries all connections. Start and stop assert; the rest may be used anywhere.
 */
#ifndef TEST_PROXY_H
#define TEST_PROXY_H

#include "pg.h"

#include <pthread.h>
#include <stdatomic.h>

struct proxy_pair;

struct proxy {
	char dir[80];
	char conninfo[512]; /* for the worker: through the proxy */
	char target[108];
	int listener;
	pthread_t thread;
	struct proxy_pair *pairs;
	atomic_bool stop;
	atomic_bool hold;            /* set by the test: answers of the server wait */
	atomic_uint executes;        /* Execute and Query messages that the worker has sent */
	atomic_uint answers_waiting; /* connections whose answer waits, since hold was set */
};

void proxy_start(struct proxy *p, const struct pg *db);
void proxy_stop(struct proxy *p);

#endif
