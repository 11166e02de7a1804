/*
 * sqlstate: what an error of the server means for the job that got it (PostgreSQL manual, appendix A).
 */
#ifndef AGENTS_SQLSTATE_H
#define AGENTS_SQLSTATE_H

#include <stdbool.h>

enum sqlstate_advice {
	SQLSTATE_REPEAT,      /* a passing condition: send the job again */
	SQLSTATE_PREPARE,     /* the prepared statement is of no use any more: prepare it anew, and send the job again */
	SQLSTATE_SCHEMA,      /* the schema or its privileges are not what the query expects: unavailable until that changes */
	SQLSTATE_UNAVAILABLE, /* the server is short of something */
	SQLSTATE_FAILED,      /* anything else */
};

/* `sqlstate` is five characters, or NULL or "" for an error of libpq's own. */
enum sqlstate_advice sqlstate_advice(const char *sqlstate);

#endif
