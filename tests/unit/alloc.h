/*
 * alloc: while watching, makes an allocation fail and counts what is not freed. The program that includes this has a wrap line naming
 * malloc calloc realloc free. Check is linked statically and allocates in its assertions: none of those belong into a watch.
 */
#ifndef TESTS_ALLOC_H
#define TESTS_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static bool alloc_watching;
static long alloc_live;               /* allocated and not freed since the watch began */
static long alloc_until_failure = -1; /* that many more succeed, the next one fails, then all succeed again; -1: none fails */
static size_t alloc_limit;            /* larger ones fail, too */
static long alloc_failed;             /* failures since the watch began */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static inline int alloc_fails(size_t size)
{
	if (!alloc_watching || (size <= alloc_limit && (alloc_until_failure < 0 || alloc_until_failure-- > 0)))
		return 0;
	alloc_failed++;
	return 1;
}

static inline void *alloc_counted(void *p)
{
	alloc_live += alloc_watching && p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return alloc_fails(size) ? NULL : alloc_counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return alloc_fails(count * size) ? NULL : alloc_counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *moved = alloc_fails(size) ? NULL : __real_realloc(p, size);

	if (p == NULL)
		alloc_counted(moved);
	return moved;
}

void __wrap_free(void *p)
{
	alloc_live -= alloc_watching && p != NULL;
	__real_free(p);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static inline void alloc_watch(long until_failure, size_t limit)
{
	alloc_live = alloc_failed = 0;
	alloc_until_failure = until_failure;
	alloc_limit = limit;
	alloc_watching = true;
}

static inline void alloc_unwatch(void)
{
	alloc_watching = false;
}

#endif
