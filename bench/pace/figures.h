/*
 * figures: what a run has counted and measured. Every request that was sent ends as exactly one outcome: answered, or one of the errors.
 */
#ifndef PACE_FIGURES_H
#define PACE_FIGURES_H

#include "histogram.h"

#include <stdbool.h>
#include <sys/resource.h>

enum outcome {
	OUTCOME_ANSWERED, /* whole and well-formed, status 200 to 399, the expected body where one is */
	OUTCOME_READ,     /* the connection ended or failed before the answer was whole */
	OUTCOME_WRITE,    /* it failed while the request was sent */
	OUTCOME_TIMEOUT,
	OUTCOME_NON_2XX,   /* status 400 or more, as wrk counts (3xx are answers) */
	OUTCOME_MISMATCH,  /* a 200 with another body than the expected one */
	OUTCOME_MALFORMED, /* not HTTP, or more bytes than its own length says */
	OUTCOME_MAX
};

extern const char *const outcome_names[OUTCOME_MAX];

struct request {
	int64_t intended_ns;
	int64_t sent_ns; /* the first time, when it was sent again */
	uint64_t bytes;  /* of its answer, so far */
	bool warm;       /* its intended start lies in the warm-up */
	bool resent;
};

struct counts {
	uint64_t sent;
	uint64_t unsent; /* due, but never sent */
	uint64_t resent;
	uint64_t waited; /* sent late because no connection was free at the intended start */
	uint64_t outcomes[OUTCOME_MAX];
	uint64_t connect_errors;
};

struct second {
	uint64_t answered;
	uint64_t errors;
	int64_t max_us; /* latency of the answers that came in it */
};

struct figures {
	struct counts measured;
	struct counts warmup;
	struct histogram latency;     /* of answers, from the intended start to the last byte */
	struct histogram service;     /* of answers, from the send to the last byte */
	struct histogram send_lag;    /* of sends for which a connection was free: from the intended start to the send */
	int64_t max_with_failures_us; /* latency, where failed and unsent requests count with the time at which they were given up */
	uint64_t statuses[600];
	uint64_t bytes;
	uint64_t answered_in_time; /* by the end of the schedule */
	uint64_t reconnects;       /* connections that were opened again */
	uint64_t stray;            /* connections on which something came that nobody had asked for */
	int64_t begin_ns;          /* of the measured part: behind the warm-up */
	int64_t end_ns;            /* of the schedule */
	int64_t finish_ns;         /* of waiting for the last answers */
	int64_t begin_unix_us;
	bool interrupted;
	double user_s; /* CPU of this process from begin to finish */
	double system_s;
	size_t seconds; /* in the series */
	struct second *series;
};

/* False: out of memory. Room for one second of the series for each from begin to finish, at most. */
bool figures_init(struct figures *f, int64_t begin_ns, int64_t end_ns, int64_t finish_ns);
void figures_free(struct figures *f);

/* The counts that an event at this time belongs to, or a request with this flag. */
struct counts *figures_counts(struct figures *f, bool warm);

void figures_sent(struct figures *f, const struct request *r, bool connection_was_free);
/* `status`: of a whole answer, otherwise 0. */
void figures_done(struct figures *f, const struct request *r, enum outcome outcome, int status, int64_t now_ns);
void figures_unsent(struct figures *f, int64_t intended_ns, bool warm);

/* Sums of the errors of requests, and whether all was well in the measured part. */
uint64_t counts_errors(const struct counts *c);
bool figures_good(const struct figures *f);
double figures_duration_s(const struct figures *f);

#endif
