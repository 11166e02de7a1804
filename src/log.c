#include "log.h"

#include "clock.h"
#include "log_limit.h"
#include "slot.h"
#include "utf8.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Six digits are more than any duration in milliseconds deserves. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(6))

#define LINE_BYTES 2048 /* lines up to this need no allocation of their own */

const char *const log_level_names[LOG_LEVEL_MAX] = {"error", "warn", "info", "debug"};

/* The event's format and its arguments, as far as they have been read. */
struct pack {
	const char *format;
	va_list args;
};

/* The next character of the format that means something. */
static char format_next(struct pack *pack)
{
	while (*pack->format != '\0' && strchr(" \t\n,:", *pack->format) != NULL)
		pack->format++;
	return *pack->format == '\0' ? '\0' : *pack->format++;
}

/* The value of an "s" with its suffix. `*omit` is set for an s* that is NULL. */
static json_t *pack_string(struct pack *pack, bool *omit)
{
	const char *s = va_arg(pack->args, const char *);
	size_t len = s == NULL ? 0 : SIZE_MAX;

	switch (*pack->format) {
	case '#':
		len = (size_t)va_arg(pack->args, int);
		pack->format++;
		break;
	case '%':
		len = va_arg(pack->args, size_t);
		pack->format++;
		break;
	case '*':
		*omit = s == NULL;
		pack->format++;
		break;
	case '?':
		pack->format++;
		break;
	default:
		break;
	}
	if (s == NULL)
		return json_null();
	return utf8_json(s, len == SIZE_MAX ? strlen(s) : len);
}

/* One scalar or given value of a pack format; jansson's own json_vpack would refuse the whole line for one bad byte. */
static json_t *pack_value(struct pack *pack, char type, bool *omit)
{
	switch (type) {
	case 's':
		return pack_string(pack, omit);
	case 'i':
		return json_integer(va_arg(pack->args, int));
	case 'I':
		return json_integer(va_arg(pack->args, json_int_t));
	case 'f':
		return json_real(va_arg(pack->args, double));
	case 'b':
		return json_boolean(va_arg(pack->args, int));
	case 'n':
		return json_null();
	case 'o':
		return va_arg(pack->args, json_t *);
	case 'O':
		return json_incref(va_arg(pack->args, json_t *));
	default:
		assert(false && "log_event: a format that log does not know");
		return NULL;
	}
}

/* Puts the members of the format's object into `line`. What can't be had (no memory, NaN) is left out: the line still comes. */
static void pack_fields(struct pack *pack, json_t *line)
{
	char type = format_next(pack);

	assert(type == '{');
	while ((type = format_next(pack)) != '}' && type != '\0') {
		const char *key = va_arg(pack->args, const char *);
		bool omit = false;
		json_t *value;

		assert(type == 's');
		value = pack_value(pack, format_next(pack), &omit);
		if (omit)
			json_decref(value);
		else
			(void)json_object_set_new(line, key, value);
	}
}

/* Now, as RFC 3339 has it, in UTC with milliseconds. */
static void timestamp(char *out, size_t bytes)
{
	struct timespec now = {0};
	struct tm tm;
	size_t used;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0 || gmtime_r(&now.tv_sec, &tm) == NULL) {
		out[0] = '\0';
		return;
	}
	used = strftime(out, bytes, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + used, bytes - used, ".%03ldZ", now.tv_nsec / 1000000);
}

/*
 * One write(2), so that the lines of workers that share a descriptor do not mix. What it does not take is lost, and so is a line for which a full pipe
 * has no room: its reader may never come back. (O_NONBLOCK would change the descriptor of everyone who shares it.)
 */
static void write_once(int fd, const char *p, size_t len)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	if (poll(&room, 1, 0) == 0)
		return;
	do
		n = write(fd, p, len);
	while (n < 0 && errno == EINTR);
}

/* Also keeps it for the status page, when `keep`. */
static void write_line(const struct log *log, const json_t *line, bool keep)
{
	char small[LINE_BYTES], *text = small, *large = NULL;
	size_t len = json_dumpb(line, small, sizeof(small) - 1, DUMP_FLAGS);

	if (len == 0)
		return;
	if (len >= sizeof(small)) {
		text = large = malloc(len + 1);
		if (large == NULL || json_dumpb(line, large, len, DUMP_FLAGS) != len)
			goto out;
	}
	text[len] = '\n';
	write_once(log->fd, text, len + 1);
	if (keep && log->slot != NULL)
		slot_text_set(&log->slot->last_error, str_make(text, len));
out:
	free(large);
}

/* What every line begins with. NULL when out of memory. */
static json_t *new_line(enum log_level level, const char *event)
{
	json_t *line = json_object();
	char time[40];

	if (line == NULL)
		return NULL;
	timestamp(time, sizeof(time));
	(void)json_object_set_new(line, "time", json_string(time));
	(void)json_object_set_new(line, "level", json_string(log_level_names[level]));
	(void)json_object_set_new(line, "event", json_string(event));
	(void)json_object_set_new(line, "pid", json_integer(getpid()));
	return line;
}

/* Errors and warnings may come with every request; `suppressed` is how many of this event were not written before. */
static bool may_write(const struct log *log, enum log_level level, const char *event, unsigned *suppressed)
{
	*suppressed = 0;
	if (level > log->level)
		return false;
	if (log->slot != NULL)
		counter_add(&log->slot->metrics.log_lines[level], 1);
	if (level > LOG_LEVEL_WARN || log->limit == NULL || log_limit_take(log->limit, event, level, clock_us(), suppressed))
		return true;
	if (log->slot != NULL)
		counter_add(&log->slot->metrics.log_lines_suppressed, 1);
	return false;
}

void log_event(const struct log *log, enum log_level level, const char *event, struct str request_id, const char *fields, ...)
{
	int saved_errno = errno;
	unsigned suppressed;
	json_t *line;

	if (!may_write(log, level, event, &suppressed))
		return;
	line = new_line(level, event);
	if (line == NULL)
		goto out;
	if (request_id.len > 0)
		(void)json_object_set_new(line, "request_id", utf8_json(request_id.p, request_id.len));
	if (fields != NULL) {
		struct pack pack = {.format = fields};

		va_start(pack.args, fields);
		pack_fields(&pack, line);
		va_end(pack.args);
	}
	if (suppressed > 0)
		(void)json_object_set_new(line, "suppressed", json_integer(suppressed));
	write_line(log, line, level <= LOG_LEVEL_WARN);
	json_decref(line);
out:
	errno = saved_errno;
}

void log_suppressed(const struct log *log)
{
	enum log_level level;
	const char *event;
	unsigned suppressed;

	if (log->limit == NULL || !log->limit->any_suppressed)
		return;
	while ((event = log_limit_next(log->limit, clock_us(), &level, &suppressed)) != NULL) {
		json_t *line;

		if (level > log->level) /* a reload has made the log quieter since */
			continue;
		line = new_line(level, event);
		if (line == NULL)
			return;
		(void)json_object_set_new(line, "suppressed", json_integer(suppressed));
		write_line(log, line, false);
		json_decref(line);
	}
}
