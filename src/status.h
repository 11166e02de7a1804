/*
 * status: the state of the pool for a person during an incident, as JSON and as a page of HTML that needs nothing else.
 */
#ifndef AGENTS_STATUS_H
#define AGENTS_STATUS_H

#include "body.h"
#include "pool.h"

#include <jansson.h>

/* The caller owns the reference. NULL when out of memory. */
json_t *status_json(const struct pool *p, const struct scoreboard *b);

/* The page; well-formed XML, too. It asks to be loaded again every 5 s. */
void status_page(const struct pool *p, const struct scoreboard *b, struct body *out);

/* Wall-clock time as RFC 3339 has it, in UTC with seconds. */
#define STATUS_TIME_BYTES 32
void status_time(int64_t us, char out[STATUS_TIME_BYTES]);

#endif
