/*
 * wake: the time at which a sleeping epoll loop is to go on by itself. A timerfd, not the time-out of epoll_wait: that one is set for each sleep and
 * taken back when an event ends it, while this stands until its time has come, however many events come before.
 */
#ifndef PACE_WAKE_H
#define PACE_WAKE_H

#include <stdbool.h>
#include <stdint.h>

struct wake {
	int fd;
	int64_t at_ns; /* of CLOCK_MONOTONIC; 0: not set, or it has come */
};

/* Adds it to an epoll instance, which tells that its time has come by an event with the data pointer NULL. False with errno set. */
bool wake_init(struct wake *w, int epoll);
void wake_free(struct wake *w);

/* At `at_ns` at the latest: one that is set to an earlier time stays, since waking once for nothing is no dearer than setting it anew. False with
 * errno set. */
bool wake_set(struct wake *w, int64_t at_ns, int64_t now_ns);

/* The event has come. */
void wake_came(struct wake *w);

#endif
