/*
 * link: one connection to PostgreSQL in pipeline mode. Jobs are queued in callbacks, and sent with one Sync when the loop is about to sleep.
 *
 * All statements are prepared, once for each connection, in the same pipeline as their first execution.
 */
#ifndef AGENTS_LINK_H
#define AGENTS_LINK_H

#include "job.h"

#include <ev.h>

/* Jobs in flight on one link. More would not make the server faster, and when the connection breaks all are sent again. */
#define LINK_DEPTH 32

/* A Parse, an Execute and a Sync for each job at the most; and of the job that was answered last, a skipped Execute and its Sync. */
#define LINK_ENTRIES (3 * LINK_DEPTH + 2)

struct link;

/* What db does. None of these may close the link. */
struct link_events {
	/* The answer to a job: rows, or an error; the job is no longer the link's. `result` is freed after the call. */
	void (*result)(void *user, struct link *l, struct job *j, const PGresult *result);
	/* The connection is gone and the link down. Its jobs, in the order in which they were sent, are in `jobs`. */
	void (*lost)(void *user, struct link *l, struct list *jobs, const char *reason);
};

enum entry_kind { ENTRY_PREPARE, ENTRY_EXECUTE, ENTRY_SYNC };

/* What the server will answer next; `job` is NULL once it has been answered for by its failed PREPARE. */
struct entry {
	enum entry_kind kind;
	struct job *job;
};

struct link {
	struct ev_loop *loop;
	struct link_events events;
	void *user;
	PGconn *conn; /* NULL: down */
	ev_io readable;
	ev_io writable;
	struct list jobs; /* in flight, oldest first */
	unsigned job_count;
	bool unsynced;                  /* something has been queued since the last Sync */
	unsigned generation[QUERY_MAX]; /* of the statement's name; 0: not prepared */
	unsigned last_generation;       /* of any */
	bool answered;                  /* a job, since the link came up */
	int64_t last_result_us;         /* when the last answer came, or the link came up */
	int64_t last_took_us;           /* how long the server, and we with the answer before, took for it */
	unsigned first, entry_count;    /* ring */
	struct entry entries[LINK_ENTRIES];
};

void link_init(struct link *l, struct ev_loop *loop, struct link_events events, void *user);

/* Takes over a connection from connector. */
void link_up(struct link *l, PGconn *conn);

static inline bool link_is_up(const struct link *l)
{
	return l->conn != NULL;
}

static inline bool link_has_room(const struct link *l)
{
	return l->conn != NULL && l->job_count < LINK_DEPTH;
}

/* Queues a job; room is the caller's duty. False when the connection turns out broken: events.lost has been called, the job not taken. */
bool link_queue(struct link *l, struct job *j);

/* Sends what was queued. May call events.lost. */
void link_flush(struct link *l);

/* Since when the server has been busy with the job in flight that is first. There is one. */
int64_t link_silent_since_us(const struct link *l);

/*
 * When the link is to be closed, should it go on like this: no answer at all for a request's time, or, sooner, none for a part of it and
 * only jobs in flight that are unwanted or beyond their deadlines. There is a job in flight.
 */
int64_t link_patience_end_us(const struct link *l, int64_t time_us);

/* Makes the next job with this query prepare it anew, under another name. */
void link_forget_statement(struct link *l, enum query_id id);

/* Closes the connection as if it had broken: calls events.lost. */
void link_break(struct link *l, const char *reason);

/* Closes it without a word; its jobs are forgotten. */
void link_close(struct link *l);

#endif
