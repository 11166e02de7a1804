#include "log.h"

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

/* Bytes of the UTF-8 sequence at `p` (RFC 3629 §4), 0 when it is not valid. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		n = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		n = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

/* A JSON string of any bytes: U+FFFD stands for each one that is not valid UTF-8. NULL when out of memory. */
static json_t *string_of_bytes(const char *p, size_t len)
{
	json_t *string = json_stringn(p, len);
	char *clean;
	size_t used = 0, n;

	if (string != NULL || len > SIZE_MAX / 3)
		return string;
	clean = malloc(3 * len);
	if (clean == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)p + i, len - i);
		if (n > 0) {
			memcpy(clean + used, p + i, n);
			used += n;
		} else {
			memcpy(clean + used, "\xEF\xBF\xBD", 3);
			used += 3;
			n = 1;
		}
	}
	string = json_stringn(clean, used);
	free(clean);
	return string;
}

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
	return string_of_bytes(s, len == SIZE_MAX ? strlen(s) : len);
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

static void write_line(int fd, const json_t *line)
{
	char small[LINE_BYTES], *large;
	size_t len = json_dumpb(line, small, sizeof(small) - 1, DUMP_FLAGS);

	if (len == 0)
		return;
	if (len < sizeof(small)) {
		small[len] = '\n';
		write_once(fd, small, len + 1);
		return;
	}
	large = malloc(len + 1);
	if (large == NULL)
		return;
	if (json_dumpb(line, large, len, DUMP_FLAGS) == len) {
		large[len] = '\n';
		write_once(fd, large, len + 1);
	}
	free(large);
}

void log_event(const struct log *log, enum log_level level, const char *event, struct str request_id, const char *fields, ...)
{
	int saved_errno = errno;
	char time[40];
	json_t *line;

	if (level > log->level)
		return;
	line = json_object();
	if (line == NULL)
		goto out;
	timestamp(time, sizeof(time));
	(void)json_object_set_new(line, "time", json_string(time));
	(void)json_object_set_new(line, "level", json_string(log_level_names[level]));
	(void)json_object_set_new(line, "event", json_string(event));
	(void)json_object_set_new(line, "pid", json_integer(getpid()));
	if (request_id.len > 0)
		(void)json_object_set_new(line, "request_id", string_of_bytes(request_id.p, request_id.len));
	if (fields != NULL) {
		struct pack pack = {.format = fields};

		va_start(pack.args, fields);
		pack_fields(&pack, line);
		va_end(pack.args);
	}
	write_line(log->fd, line);
	json_decref(line);
out:
	errno = saved_errno;
}
