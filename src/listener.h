/*
 * listener: accepts from the socket that all workers of the pool share, so that each gets its part.
 *
 * Whoever is awake first would take most connections, and the web server keeps them, so the pool would stay lopsided. Therefore a worker accepts one
 * connection at a time and then rests, the longer the more connections it has, while others take the next. Only where the queue
 * is still not empty after a rest does it take more at once, doubling: a burst must not overflow the backlog, which is an instant 502.
 * Out of descriptors, it pauses for a second; some are kept back, for the database and for requests that come in pieces.
 * A worker that stands back leaves new connections to the others; only where some are pending at ten looks in a row, over 200 ms, it takes one.
 */
#ifndef AGENTS_LISTENER_H
#define AGENTS_LISTENER_H

#include "conn.h"

struct listener {
	bool (*stands_back)(void *user); /* NULL: never; the caller's to set, as is `user` */
	void *user;
	struct conns *conns;
	int fd;
	unsigned batch; /* connections to take after the next rest */
	unsigned stood; /* looks in a row that found some pending, standing back */
	unsigned most;  /* connections that the limit of descriptors allows */
	ev_io readable;
	ev_timer rest;
};

/* True when `fd` is a listening stream socket; else `why` is const text that says what it is. */
bool listener_check(int fd, const char **why);

/* Starts accepting from `fd`, which stays the caller's and is made non-blocking; `reserve` descriptors of RLIMIT_NOFILE are left to others. */
void listener_start(struct listener *l, struct conns *conns, int fd, unsigned reserve);

void listener_stop(struct listener *l);

#endif
