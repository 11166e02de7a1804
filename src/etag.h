/*
 * etag: entity tags (RFC 9110 §8.8.3) over a body, and If-None-Match (§13.1.2).
 */
#ifndef AGENTS_ETAG_H
#define AGENTS_ETAG_H

#include "str.h"

/* `"` + 16 hexadecimal digits + `"` + NUL. */
#define ETAG_BYTES 19

/* Writes the strong entity tag of `content` (XXH3, 64 bits) with its quotes and a NUL. */
void etag_make(struct str content, char out[ETAG_BYTES]);

/*
 * True when the value of an If-None-Match field matches `etag` (a strong tag with its quotes) by weak comparison: a list of tags, each perhaps
 * W/-prefixed, or `*`. A malformed list matches as far as its members before the fault did; the empty string matches nothing.
 */
bool etag_matches(struct str if_none_match, struct str etag);

#endif
