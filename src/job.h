/*
 * job: one execution of a query, from its submission to db until its outcome.
 *
 *     db_submit ──> WAITING ──sent──> SENT ──outcome──> done()
 *                      ^                │
 *                      └── sent again ──┘  the connection broke, or the server asks for it: at most JOB_ATTEMPTS sends
 */
#ifndef AGENTS_JOB_H
#define AGENTS_JOB_H

#include "list.h"
#include "query.h"

#include <stdint.h>

#define JOB_ATTEMPTS 3

enum job_state { JOB_IDLE, JOB_WAITING, JOB_SENT };

enum job_outcome {
	JOB_ROWS,        /* `result` has them; it is db's, and good during the call */
	JOB_UNAVAILABLE, /* the database cannot serve it now, or not before its deadline, and then it was not sent: 503 */
	JOB_FAILED,      /* another SQL error: 500 */
	JOB_EXPIRED, /* its deadline passed, or nobody wanted it any more, while it was in flight on a connection that has ended */
};

struct job_result {
	enum job_outcome outcome;
	const PGresult *result; /* of JOB_ROWS */
	const char *sqlstate;   /* of UNAVAILABLE and FAILED; "" where there is none */
	const char *message;    /* the server's or libpq's text, for the log only */
};

struct job {
	struct list node; /* in db's waiting room while WAITING, in its link's queries while SENT */
	enum job_state state;
	const struct query *query;
	const char *parameter; /* $1 as text, or NULL for none */
	int64_t deadline_us;   /* clock_us(): of no use afterwards */
	int64_t sent_us;       /* the last time; 0: not yet */
	int64_t answered_us;   /* the arrival of the answer to what was sent then; 0: none yet */
	int attempts;
	bool unwanted;                /* set by its owner once SENT: nobody waits for it any more, so it is not sent again */
	void (*sealed)(struct job *); /* about to be sent; NULL for none. May be called again, when it is sent again */
	void (*done)(struct job *, const struct job_result *);
};

#endif
