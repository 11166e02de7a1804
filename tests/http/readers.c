#include "readers.h"

#include <string.h>

static void note_bad(struct readers *r, const struct answer *a, const char *path)
{
	(void)pthread_mutex_lock(&r->lock);
	if (r->first_bad[0] == '\0') {
		(void)snprintf(r->first_bad, sizeof r->first_bad, "%s: status %d, error \"%s\", body %.1000s", path, a->status,
			       a->error, a->body.p == NULL ? "" : a->body.p);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

static void *read_on(void *arg)
{
	struct readers *r = arg;
	const char *path = r->path[atomic_fetch_add(&r->next, 1)];

	while (!atomic_load(&r->stop)) {
		ANSWER a = r->ask(r->target, path);

		if (a.status == 200)
			atomic_fetch_add(&r->of_200, 1);
		if (r->judge(&a, path)) {
			atomic_fetch_add(&r->good, 1);
		} else {
			note_bad(r, &a, path);
			atomic_fetch_add(&r->bad, 1);
		}
	}
	return NULL;
}

void readers_start(struct readers *r, const char *const *paths, readers_ask ask, const void *target, readers_judge judge)
{
	*r = (struct readers){.ask = ask, .judge = judge, .target = target};
	ck_assert_int_eq(pthread_mutex_init(&r->lock, NULL), 0);
	for (; paths[r->count] != NULL; r->count++) {
		ck_assert_int_lt(r->count, READERS_MAX);
		r->path[r->count] = paths[r->count];
	}
	for (int i = 0; i < r->count; i++)
		ck_assert_int_eq(pthread_create(&r->thread[i], NULL, read_on, r), 0);
}

void readers_wait(struct readers *r, unsigned more)
{
	unsigned start = atomic_load(&r->good) + atomic_load(&r->bad);

	WAIT_FOR(atomic_load(&r->good) + atomic_load(&r->bad) - start >= more);
}

void readers_end(struct readers *r)
{
	atomic_store(&r->stop, true);
	for (int i = 0; i < r->count; i++)
		ck_assert_int_eq(pthread_join(r->thread[i], NULL), 0);
	ck_assert_msg(atomic_load(&r->bad) == 0, "%u bad answers beside %u good ones, the first: %s", atomic_load(&r->bad),
		      atomic_load(&r->good), r->first_bad);
	ck_assert_uint_gt(atomic_load(&r->of_200), 0);
	(void)pthread_mutex_destroy(&r->lock);
}

bool readers_only_200(const struct answer *a, const char *path)
{
	(void)path;
	return a->status == 200;
}
