/*
 * content: what a successful answer says: a body with its entity tag, made once and shared by all requests that get it.
 */
#ifndef AGENTS_CONTENT_H
#define AGENTS_CONTENT_H

#include "body.h"
#include "etag.h"

struct content {
	struct body *body; /* one reference */
	char etag[ETAG_BYTES];
};

/* Takes over the caller's reference to `body`. */
static inline struct content content_make(struct body *body)
{
	struct content c = {body, ""};

	etag_make(body_str(body), c.etag);
	return c;
}

#endif
