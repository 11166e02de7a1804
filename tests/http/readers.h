/*
 * readers: threads that ask for one path after another, each answer looked at, while a test does something to the service.
 */
#ifndef TEST_READERS_H
#define TEST_READERS_H

#include "answer.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS_MAX 8

/* Asks once. Called from several threads. */
typedef struct answer (*readers_ask)(const void *target, const char *path);
/* True for an answer that may be. Called from several threads. */
typedef bool (*readers_judge)(const struct answer *a, const char *path);

struct readers {
	readers_ask ask;
	readers_judge judge;
	const void *target;
	const char *path[READERS_MAX];
	pthread_t thread[READERS_MAX];
	int count;
	atomic_bool stop;
	atomic_uint next; /* the place of the thread that starts */
	atomic_uint good;
	atomic_uint bad;
	atomic_uint of_200;
	pthread_mutex_t lock;
	char first_bad[2048];
};

/* `paths` is ended by NULL: one thread each. */
void readers_start(struct readers *r, const char *const *paths, readers_ask ask, const void *target, readers_judge judge);

/* Waits until that many more answers have come (good or bad). */
void readers_wait(struct readers *r, unsigned more);

/* Ends the threads and asserts that no answer was bad, that some came, and that some were 200. */
void readers_end(struct readers *r);

/* A judge: 200 only. */
bool readers_only_200(const struct answer *a, const char *path);

#endif
