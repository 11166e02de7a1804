/*
 * str: a string as pointer and length, not NUL-terminated, never owning its bytes.
 *
 * Strings inside the worker have this form; a NUL-terminated string is made only at the edge of a library that wants one.
 */
#ifndef AGENTS_STR_H
#define AGENTS_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
	const char *p;
	size_t len;
};

/* A struct str of a string literal, usable in initialisers of const tables. */
#define STR(literal)                                                                                                             \
	{                                                                                                                        \
		("" literal), sizeof(literal) - 1                                                                                \
	}

static inline struct str str_make(const char *p, size_t len)
{
	return (struct str){p, len};
}

/* NULL gives the empty string. */
static inline struct str str_of(const char *z)
{
	return z == NULL ? (struct str){"", 0} : (struct str){z, strlen(z)};
}

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

#endif
