/*
 * problem: problem details (RFC 9457) for every answer that is no success, built with jansson.
 *
 * What the public sees names no table, column, host or version: `detail` is const text of the source, or, on the admin port, a reason.
 */
#ifndef AGENTS_PROBLEM_H
#define AGENTS_PROBLEM_H

#include "body.h"

/* The reason phrase of an HTTP status that the worker uses (RFC 9110 §15); "Error" for others. */
const char *problem_title(int status);

/*
 * {"type": "about:blank", "title": …, "status": …, "detail": …, "request_id": …}; detail NULL and an empty request id are left out.
 * Invalid UTF-8 in either is replaced, not refused. The caller owns the reference. NULL when out of memory.
 */
struct body *problem_body(int status, const char *detail, struct str request_id);

#endif
