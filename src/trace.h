/*
 * trace: the request's place in a distributed trace, from the header field traceparent (W3C Trace Context, level 1, section 3.2), for the log.
 */
#ifndef AGENTS_TRACE_H
#define AGENTS_TRACE_H

#include "str.h"

struct trace {
	char trace_id[33];
	char parent_id[17];
};

/* False when the field is not well-formed, or of version ff, or has an id of zeroes: the request then belongs to no trace. */
bool trace_parse(struct str traceparent, struct trace *t);

#endif
