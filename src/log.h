/*
 * log: one JSON object a line on a descriptor: time (RFC 3339, UTC, milliseconds), level, event, pid, request_id where there is one, then the
 * event's own fields. Built with jansson. A line is written with one write(2); a descriptor that takes no more (EAGAIN, ENOSPC) loses the line, never the service.
 */
#ifndef AGENTS_LOG_H
#define AGENTS_LOG_H

#include "str.h"

struct log_limit;
struct slot;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_MAX };

struct log {
	int fd;
	enum log_level level;    /* lines above it are not written */
	struct log_limit *limit; /* of errors and warnings that repeat; NULL: none */
	struct slot *slot;       /* where lines are counted and the last error is kept; NULL: nowhere */
};

extern const char *const log_level_names[LOG_LEVEL_MAX]; /* "error", "warn", "info", "debug" */

/*
 * Writes a line when `level` is enabled. `event` is a const snake_case name; `fields` is a jansson pack format of an object with its
 * arguments behind it ("{s:s, s:i}", "error", text, "retry_ms", 50), or NULL for no fields. Strings that are not valid UTF-8 are written
 * with U+FFFD in place of each bad byte: pass them with the "s" format; the line is never lost for that reason.
 */
void log_event(const struct log *log, enum log_level level, const char *event, struct str request_id, const char *fields, ...);

/*
 * Says how many lines of an event the limit has suppressed, when no other line of it has come that could say so ("suppressed": that many), at the
 * level of those lines. To be called now and then.
 */
void log_suppressed(const struct log *log);

/* For events that belong to no request. */
#define LOG_NO_REQUEST ((struct str){"", 0})

#endif
