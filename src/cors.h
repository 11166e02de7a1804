/*
 * cors: which origins may read answers in a browser (Fetch standard, "CORS protocol"), from the option cors-origin.
 */
#ifndef AGENTS_CORS_H
#define AGENTS_CORS_H

#include "str.h"

#define CORS_ORIGINS_MAX 16

/* Longest origin: scheme, a host name of 253 characters, port. */
#define CORS_ORIGIN_BYTES 300

struct cors {
	struct str origins[CORS_ORIGINS_MAX];
	size_t count;
	bool any; /* "*" */
};

/* `option` is cors-origin's value, checked by options, and must outlive the cors. */
void cors_init(struct cors *c, const char *option);

/* The value of Access-Control-Allow-Origin for a request with this Origin; empty: send no CORS headers. It belongs to the option. */
struct str cors_allow(const struct cors *c, struct str origin);

/* True when answers differ by Origin, so that caches must be told (Vary). */
static inline bool cors_varies(const struct cors *c)
{
	return c->count > 0;
}

#endif
