/*
 * json_body: what jansson holds, as a body.
 */
#ifndef AGENTS_JSON_BODY_H
#define AGENTS_JSON_BODY_H

#include "body.h"

#include <jansson.h>

/*
 * Takes over the reference to `value`, which may be NULL; `flags` are json_dumps'. NULL when out of memory. jansson's default separators are those of
 * the contract: ", " and ": ".
 */
struct body *json_body(json_t *value, size_t flags);

#endif
