/*
 * db: runs jobs on PostgreSQL: the waiting room, the links, connecting again, sending again, and what an error of the server means.
 *
 * Jobs wait in one line until a link has room; they are sent when db_flush is called, before the loop sleeps. Reads are safe to repeat: when a connection
 * breaks, its jobs go back to the front of the line, and are sent on the next one, JOB_ATTEMPTS times at the most.
 *
 * A job that cannot be answered before its deadline is not sent. One that is in flight beyond it stays there, because a connection is worth more than
 * a query: only a server that answers nothing at all for the whole of a request's time, or that is busy with nothing but jobs whose time
 * is over, has its connection closed (PQcancel blocks), and then stops working on them.
 */
#ifndef AGENTS_DB_H
#define AGENTS_DB_H

#include "connector.h"
#include "link.h"
#include "log.h"
#include "metrics.h"

struct db_settings {
	const char *database; /* must outlive the db */
	int links;
	int timeout_ms;          /* a request's time; also the server's statement_timeout */
	struct metrics *metrics; /* where to count */
};

struct db {
	struct ev_loop *loop;
	const struct log *log;
	struct db_settings settings;
	struct connector *connector;
	struct link *links;
	struct list waiting; /* jobs, first come first served */
	unsigned waiting_count;
	bool connecting;
	bool broken_before; /* a lost connection was logged; the next success is news */
	unsigned failures;  /* attempts to connect that failed in a row */
	unsigned silent;    /* connections lost in a row without an answer to any job */
	bool gave_up;       /* the last connection was closed by us, for its slowness, and connecting has not failed since */
	ev_timer retry;
	ev_timer expiry;
	ev_timer trim;
	int64_t service_us;                  /* recent time per job on a link, smoothed */
	char reason[CONNECTOR_REASON_BYTES]; /* why there is no connection; "" when there is one */
	void (*on_up)(void *user);           /* a connection is there again, after none was */
	void (*on_schema_error)(void *user); /* the server says that the schema is not what a query expects */
	void *user;
};

/* Starts connecting. False, with errno, when there is no memory or no thread. */
bool db_init(struct db *db, struct ev_loop *loop, const struct log *log, struct db_settings settings);

/* Closes everything; jobs are forgotten. False when the helper thread could not be stopped: the process must leave by _exit. */
bool db_close(struct db *db);

/* Takes an idle job. Its done() will be called, never from within this call. */
void db_submit(struct db *db, struct job *j);

/* Takes back a WAITING job: done() is not called. */
void db_withdraw(struct db *db, struct job *j);

/* Sends what can be sent. */
void db_flush(struct db *db);

/* True when at least one connection is up. */
bool db_is_up(const struct db *db);

/* True when the server is there, be it that it answers too slowly; false when it cannot be reached. */
bool db_is_reachable(const struct db *db);

/*
 * How long a job submitted now would take to be answered, from the recent time per job, its place in line, and the age of the oldest job in
 * flight (counted once); 0 when nothing is known, or no other job is there. Microseconds.
 */
int64_t db_estimate_us(const struct db *db);

#endif
