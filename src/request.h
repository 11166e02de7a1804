/*
 * request: the life of a request: from a connection's whole request to its one answer. Its deadline, its answer in all forms, its log lines.
 */
#ifndef AGENTS_REQUEST_H
#define AGENTS_REQUEST_H

#include "conn.h"
#include "content.h"
#include "cors.h"
#include "slot.h"
#include "trace.h"

#include <stdint.h>

struct flight;
struct route;
struct worker;

enum request_method { REQUEST_GET, REQUEST_HEAD, REQUEST_OPTIONS, REQUEST_OTHER };

/* Longest request id that is kept; nginx's $request_id has 32. */
#define REQUEST_ID_MAX 64

struct request {
	struct worker *worker;
	struct conn *conn;
	const struct route *route; /* NULL: no such path */
	enum request_method method;
	int64_t arrived_us;
	int64_t deadline_us;
	struct list by_deadline;   /* in requests.waiting, while a flight carries it */
	struct flight *flight;     /* NULL: none */
	struct list member;        /* of the flight */
	char *if_none_match;       /* NULL: none */
	char *allow_origin;        /* Access-Control-Allow-Origin; NULL: none. A copy: a reload may change the option meanwhile */
	int status;                /* of its answer */
	int64_t query_sent_us;     /* of the query that it waited for, the last time; 0: not sent, or none */
	int64_t query_answered_us; /* 0: not answered */
	int64_t replied_us;        /* its answer was ready; 0: not yet */
	struct trace *trace;       /* NULL: it belongs to none */
	size_t id_len;
	char id[REQUEST_ID_MAX];
};

/* All requests of a worker that wait for a query. */
struct requests {
	struct worker *worker;
	struct cors cors;
	struct list waiting; /* first deadline first: all requests get the same time */
	int64_t timeout_us;
	int64_t slow_us;
	ev_timer expiry;
	struct metrics *metrics;        /* where to count */
	unsigned in_flight;             /* to public paths, until all of their answer is sent */
	const struct request *replying; /* its answer is being handed to the kernel */
};

void requests_init(struct requests *rs, struct worker *w);

/* Takes over what a reload changes in the worker's options. */
void requests_configure(struct requests *rs);

/* What conn calls; `user` is the worker. */
extern const struct conn_events request_events;

/* The request waits for a flight from now on, until it is answered, or its deadline passes. The request is out of flights when it ends. */
void request_wait(struct request *r);

/* Each of these answers the request, which is gone after the call. */
void request_answer(struct request *r, const struct content *c); /* 200, or 304 when If-None-Match says so */
void request_answer_as(struct request *r, struct str content_type,
		       struct body *body);      /* 200 without an entity tag, not to be stored; the caller's reference */
void request_answer_options(struct request *r); /* 204 */
void request_problem(struct request *r, int status, const char *detail);

/* The same; `cause` (NULL for none) goes to the log only. */
void request_fail(struct request *r, int status, const char *detail, const char *cause);

static inline struct str request_id(const struct request *r)
{
	return str_make(r->id, r->id_len);
}

#endif
