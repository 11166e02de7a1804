/*
 * metrics: what a worker counts. It lies in the worker's slot of the scoreboard, so that it outlives the worker and any worker of the pool can tell the pool's
 * totals. One writer; an increment is a plain add.
 */
#ifndef AGENTS_METRICS_H
#define AGENTS_METRICS_H

#include "buckets.h"
#include "query.h"

#include <stddef.h>

/* What requests are counted by: the public paths, the admin paths together, and whatever else was asked for. */
enum metrics_path {
	METRICS_INDEX,
	METRICS_AGENTS,
	METRICS_AGENTS_WITH_ORM,
	METRICS_AGENT_LOGINS,
	METRICS_ADMIN,
	METRICS_NO_PATH,
	METRICS_PATH_MAX
};

/* Every status that the worker gives. */
enum metrics_status {
	METRICS_200,
	METRICS_204,
	METRICS_304,
	METRICS_404,
	METRICS_405,
	METRICS_500,
	METRICS_503,
	METRICS_504,
	METRICS_STATUS_MAX
};

/* Why a request was refused at once. */
enum metrics_refusal { METRICS_TOO_LATE, METRICS_FULL, METRICS_NO_MEMORY, METRICS_REFUSAL_MAX };

/* How a query ended, be it that it was never sent; the order is that of enum job_outcome. */
enum metrics_outcome { METRICS_ROWS, METRICS_UNAVAILABLE, METRICS_FAILED, METRICS_EXPIRED, METRICS_OUTCOME_MAX };

/* How lines of the log are counted; the order is that of enum log_level. */
#define METRICS_LEVELS 4

/* Nothing but counters: metrics_sum and metrics_since take it for an array of them. */
struct metrics {
	counter requests[METRICS_PATH_MAX][METRICS_STATUS_MAX];
	struct buckets
		durations[METRICS_PATH_MAX]; /* µs, from the whole request's arrival until its answer was handed to the kernel */
	counter refused[METRICS_REFUSAL_MAX];
	counter sent_bytes;      /* to the web server, FastCGI's records counted */
	counter clients_left;    /* before their answer was all sent */
	counter answers_stalled; /* given up, because nobody took them */
	counter answers_evicted; /* given up, because they were read so slowly that newer ones needed the memory */
	struct buckets flight_members;
	counter queries[QUERY_MAX][METRICS_OUTCOME_MAX];
	struct buckets query_durations[QUERY_MAX]; /* µs, from the last sending to the rows; of METRICS_EXPIRED, to its end */
	counter queries_resent;
	counter database_connects;
	counter database_connect_failures;
	counter database_connections_lost;
	counter log_lines[METRICS_LEVELS];
	counter log_lines_suppressed;
	counter busy_us; /* the event loop was not asleep */
	counter starts;  /* of workers in this slot */
	counter deaths;  /* of workers in this slot that ended without a word: killed, crashed; noticed by the next one */
};

_Static_assert(sizeof(struct metrics) % sizeof(counter) == 0, "struct metrics is an array of counters");

extern const char *const metrics_path_names[METRICS_PATH_MAX];
extern const int metrics_statuses[METRICS_STATUS_MAX];
extern const char *const metrics_refusal_names[METRICS_REFUSAL_MAX];
extern const char *const metrics_outcome_names[METRICS_OUTCOME_MAX];

/* One that is not among them, which is a bug, counts as 500. */
enum metrics_status metrics_status_of(int status);

/* sum += m */
void metrics_sum(struct metrics *sum, const struct metrics *m);

/* since = now - then; what has become less, which only a snapshot in the making can show, has not changed. */
void metrics_since(struct metrics *since, const struct metrics *now, const struct metrics *then);

void metrics_copy(struct metrics *to, const struct metrics *from);

/* Requests that were answered with a status of at least `least`; those to the admin paths are left out. */
uint64_t metrics_requests(const struct metrics *m, int least);

#endif
