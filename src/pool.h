/*
 * pool: all workers of the scoreboard together, as one of them sees them at one moment: for /health/ready, /metrics and the status page.
 */
#ifndef AGENTS_POOL_H
#define AGENTS_POOL_H

#include "scoreboard.h"

/* A worker whose event loop has not turned for so long hangs, or is stopped: an idle one turns every 2 s. */
#define POOL_STUCK_US 5000000LL

/* What a worker is doing. Each is in one state: the first that is true. */
enum pool_state {
	POOL_STUCK,
	POOL_DRAINING,
	POOL_BUSY, /* has requests to public paths in flight */
	POOL_IDLE,
	POOL_STATE_MAX
};

extern const char *const pool_state_names[POOL_STATE_MAX];

/* Workers that say the same of themselves are told of together. */
#define POOL_SAYINGS 4

struct pool_saying {
	unsigned workers;
	char text[SLOT_TEXT_BYTES + 1];
};

struct pool_sayings {
	struct pool_saying all[POOL_SAYINGS];
	unsigned count;
};

struct pool {
	bool shared;     /* false: this worker is all that is known */
	int64_t now_us;  /* monotonic */
	int64_t time_us; /* wall clock, as the next */
	int64_t created_us;
	unsigned workers;
	unsigned by_state[POOL_STATE_MAX];
	unsigned accepting; /* neither draining nor stuck */
	unsigned ready;     /* accepting, and able to serve every path */
	struct gauges gauges;
	struct metrics metrics;       /* since the scoreboard was made */
	struct metrics recent;        /* of the last while */
	int64_t recent_us;            /* the longest while of any worker */
	double recent_worker_s;       /* the whiles of all workers together */
	double recent_rate;           /* requests to public paths a second, in it */
	struct pool_sayings reasons;  /* why they are not ready */
	struct pool_sayings versions; /* of the program that they run */
	char last_error[SLOT_TEXT_BYTES +
			1]; /* the last line of the log that was an error or a warning, of all workers; "" for none */
};

/* One worker of the pool. */
struct pool_worker {
	const struct slot *slot;
	enum pool_state state;
};

/* Large: about 19 KB. */
void pool_read(struct pool *p, const struct scoreboard *b, struct moment now);

/* The worker in that slot of the scoreboard; false when there is none, or none that has begun. */
bool pool_worker(const struct scoreboard *b, unsigned index, int64_t now_us, struct pool_worker *w);

/* Whether any worker accepts requests and can serve every path: a short look. */
bool pool_has_ready(const struct scoreboard *b, int64_t now_us);

/* Bytes for the reasons of a pool that is not ready. */
#define POOL_REASON_BYTES 2048

/*
 * True when more than half of the workers that accept requests can serve every path: one that cannot is no reason to take the pool out of service, half of them are.
 * Else `reasons` says why not, each with the number of workers that say so, separated by "; ".
 */
bool pool_is_ready(const struct pool *p, char reasons[POOL_REASON_BYTES]);

/* Requests that one execution of a query answered, on average; 0 when there were none. */
double pool_share_ratio(const struct metrics *m);

/* The part of the last while in which the event loops were not asleep; 1 is all of them all the time. */
double pool_utilization(const struct pool *p);

/* The latency of all public paths together. */
void pool_durations(const struct metrics *m, struct buckets *all);

#endif
