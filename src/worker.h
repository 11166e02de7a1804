/*
 * worker: the one context of a process: everything that lives as long as it does, and how it starts, drains and ends.
 */
#ifndef AGENTS_WORKER_H
#define AGENTS_WORKER_H

#include "content.h"
#include "db.h"
#include "flight.h"
#include "listener.h"
#include "log_limit.h"
#include "options.h"
#include "request.h"
#include "schema.h"
#include "scoreboard.h"

/* Room for the reasons why a worker is not ready. */
#define WORKER_REASON_BYTES SLOT_TEXT_BYTES

struct worker {
	struct ev_loop *loop;
	struct options *options;
	int argc; /* the command line, for reloads */
	char *const *argv;
	struct log log;
	struct log_limit log_limit;
	struct scoreboard scoreboard;
	char unready[WORKER_REASON_BYTES]; /* as it stands in our slot */
	struct fcgi *fcgi;
	struct listener listener;
	struct requests requests;
	struct flights flights;
	struct queries queries;
	struct schema schema;
	struct db db;
	struct content index; /* the constant answer of /index */
	bool draining;
	bool has_successor; /* answers that are being read need not be done at the first deadline of the drain */
	ev_prepare before_sleep;
	ev_check after_sleep;
	int64_t turned_us; /* clock_us() at the beginning of this turn of the loop */
	ev_timer drained;
	struct conns conns; /* last, for its large buffer */
};

/*
 * Serves connections accepted from `fd`, a listening socket, until the process is told to drain and has drained. Returns the exit status. The options
 * change when they are reloaded, from the command line given.
 */
int worker_run(struct options *options, int argc, char *const argv[], int fd);

/* Keeps the signals that a worker knows pending until worker_run handles them. */
void worker_block_signals(void);

/* True when every path can be served; else `reasons` says why not, separated by "; ". */
bool worker_is_ready(const struct worker *w, char *reasons, size_t size);

/* Writes what the worker is and has into its slot of the scoreboard. */
void worker_publish(struct worker *w);

/* The beginning of this turn of the event loop. */
struct moment worker_now(const struct worker *w);

#endif
