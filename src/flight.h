/*
 * flight: one execution of a query together with the requests that get its result.
 *
 * Sharing is "seal, then send": a request may join only a flight whose query has not been sent yet, so no answer is older than its request (READ
 * COMMITTED takes its snapshot after the message has arrived). While a flight of a query is under way, newcomers gather in the next one, which is sent
 * when the first has landed. With sharing off, each request has a flight of its own.
 *
 *     GATHERING (held back, or in db's line) ──sealed──> UNDER WAY ──landed──> every member is answered
 */
#ifndef AGENTS_FLIGHT_H
#define AGENTS_FLIGHT_H

#include "db.h"

struct request;
struct schema;

struct flight;

struct flights {
	struct db *db;
	const struct log *log;
	const struct queries *queries;
	struct schema *schema;
	struct metrics *metrics; /* where to count */
	bool share;
	int max_waiting;    /* requests in all flights together */
	int64_t timeout_us; /* what a request has */
	int waiting;
	struct {
		struct flight *gathering; /* may be joined; NULL: none */
		struct flight *under_way; /* sealed; NULL: none */
	} shared[QUERY_MAX];
	size_t size_hint[QUERY_MAX]; /* bytes of the last body */
};

enum flight_joining {
	FLIGHT_JOINED,
	FLIGHT_TOO_LATE, /* at the recent pace, its place in line comes after its deadline */
	FLIGHT_FULL,     /* max_waiting */
	FLIGHT_NO_MEMORY,
};

/* Lets the request wait for the query. JOINED: it will be answered, unless it leaves. Else nothing has happened to it. */
enum flight_joining flight_join(struct flights *fs, struct request *r, enum query_id id);

/* Takes a request that is not to be answered by it any more out of its flight. */
void flight_leave(struct request *r);

#endif
