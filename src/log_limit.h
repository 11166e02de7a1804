/*
 * log_limit: keeps an event that comes again and again from filling the log: so many lines of it a second are written, the others counted.
 */
#ifndef AGENTS_LOG_LIMIT_H
#define AGENTS_LOG_LIMIT_H

#include "log.h"

#include <stdbool.h>
#include <stdint.h>

/* More than these are not limited. */
#define LOG_LIMIT_EVENTS 32

/* Of each worker, and there may be many on one journal, whose own limit would leave out lines of any event. */
#define LOG_LIMIT_LINES 5

struct log_limit {
	struct log_limit_event {
		const char *name;
		int64_t since_us; /* its second began then */
		unsigned lines;   /* written in it */
		unsigned suppressed;
		enum log_level gravest; /* of those */
	} events[LOG_LIMIT_EVENTS];
	unsigned count;
	bool any_suppressed; /* whose number has not been told yet */
};

/* Whether a line of the event, a const name, may be written at this monotonic time; `suppressed` is then how many before it were not. */
bool log_limit_take(struct log_limit *l, const char *event, enum log_level level, int64_t now_us, unsigned *suppressed);

/* The next event whose second is over with lines suppressed in it, which are thereby told; `level` is the gravest of theirs. NULL: none. */
const char *log_limit_next(struct log_limit *l, int64_t now_us, enum log_level *level, unsigned *suppressed);

#endif
