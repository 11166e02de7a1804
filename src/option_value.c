#include "option_value.h"

#include "conninfo.h"
#include "cors.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

/* Room for a value as errors show it. */
#define SHOWN_BYTES 80

static void *field(const struct option *option, struct options *o)
{
	return (char *)o + option->offset;
}

static const void *const_field(const struct option *option, const struct options *o)
{
	return (const char *)o + option->offset;
}

/* Takes the place of the string that was there. */
static bool set_string(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char **string = field(option, o), *copy = strdup(value);

	if (copy == NULL) {
		option_error(from->err, from->where, "cannot be kept: out of memory");
		return false;
	}
	free(*string);
	*string = copy;
	return true;
}

/* The value in quotes for an error, unless it looks as if a connection string had come to the wrong place. */
static const char *shown(const char *value, char out[SHOWN_BYTES])
{
	size_t n = 0;

	if (strchr(value, '@') != NULL || strcasestr(value, "passw") != NULL)
		return "the value (not shown: it may hold a password)";
	out[n++] = '"';
	for (const char *c = value; *c != '\0' && n < SHOWN_BYTES - 5; c++)
		out[n++] = *c >= ' ' && *c <= '~' ? *c : '?';
	(void)snprintf(out + n, SHOWN_BYTES - n, "%s\"", n == SHOWN_BYTES - 5 ? "..." : "");
	return out;
}

/* Digits only, no sign, no spaces. Returns what stands behind them, NULL when there are none. Larger than INT_MAX gives INT_MAX. */
static const char *read_digits(const char *p, long *number)
{
	if (*p < '0' || *p > '9')
		return NULL;
	for (*number = 0; *p >= '0' && *p <= '9'; p++)
		*number = *number > INT_MAX / 10 ? INT_MAX : *number * 10 + (*p - '0');
	return p;
}

static bool set_int(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char text[SHOWN_BYTES];
	long number = 0;
	const char *rest = read_digits(value, &number);

	if (rest == NULL || *rest != '\0')
		option_error(from->err, from->where, "%s is not a whole number (%d to %d)", shown(value, text), option->min,
			     option->max);
	else if (number < option->min || number > option->max)
		option_error(from->err, from->where, "%s is out of range (%d to %d)", shown(value, text), option->min,
			     option->max);
	else
		*(int *)field(option, o) = (int)number;
	return rest != NULL && *rest == '\0' && number >= option->min && number <= option->max;
}

static bool set_duration(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char text[SHOWN_BYTES];
	const char *problem = NULL;
	long ms = 0;
	const char *unit = read_digits(value, &ms);

	if (unit == NULL || (*unit != '\0' && strcmp(unit, "ms") != 0 && strcmp(unit, "s") != 0))
		problem = "is not a duration";
	else if (*unit == '\0')
		problem = "has no unit";
	if (problem != NULL) {
		option_error(from->err, from->where, "%s %s; give a duration such as 5s or 500ms (%dms to %ds)",
			     shown(value, text), problem, option->min, option->max / 1000);
		return false;
	}
	ms *= *unit == 's' ? 1000 : 1;
	if (ms < option->min || ms > option->max) {
		option_error(from->err, from->where, "%s is out of range (%dms to %ds)", shown(value, text), option->min,
			     option->max / 1000);
		return false;
	}
	*(int *)field(option, o) = (int)ms;
	return true;
}

static bool set_bool(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char text[SHOWN_BYTES];
	bool on = strcmp(value, "on") == 0;

	if (!on && strcmp(value, "off") != 0) {
		option_error(from->err, from->where, "%s is neither on nor off", shown(value, text));
		return false;
	}
	*(bool *)field(option, o) = on;
	return true;
}

static bool set_level(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char text[SHOWN_BYTES];

	for (int level = 0; level < LOG_LEVEL_MAX; level++)
		if (strcmp(value, log_level_names[level]) == 0) {
			*(enum log_level *)field(option, o) = (enum log_level)level;
			return true;
		}
	option_error(from->err, from->where, "%s is none of error, warn, info and debug", shown(value, text));
	return false;
}

static bool is_too_long(size_t len, const struct option_source *from)
{
	if (len <= OPTION_VALUE_BYTES)
		return false;
	option_error(from->err, from->where, "is longer than %d bytes", OPTION_VALUE_BYTES);
	return true;
}

/* Bytes that conninfo_print writes, which may be more than the value has. */
static size_t printed_bytes(const char *conninfo)
{
	char *text = NULL;
	size_t len = SIZE_MAX;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return SIZE_MAX;
	conninfo_print(conninfo, out);
	if (fclose(out) != 0)
		len = SIZE_MAX;
	free(text);
	return len;
}

static bool set_database(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char reason[CONNINFO_REASON_BYTES];

	if (!conninfo_check(value, reason)) {
		option_error(from->err, from->where, "not a connection string: %s", reason);
		return false;
	}
	if (from->on_command_line && conninfo_has_secret(value)) {
		option_error(from->err, from->where,
			     "holds a password, which every user can read on a command line; "
			     "set AGENTS_FCGI_DATABASE, or use the file of --config, or ~/.pgpass");
		return false;
	}
	if (is_too_long(printed_bytes(value), from))
		return false;
	/* Space alone is an empty conninfo to libpq; so everyone else need not know that. */
	return set_string(option, o, value[strspn(value, " \t")] == '\0' ? "" : value, from);
}

/* A reader of `name = value` lines takes space at the ends away; nobody means such a path. */
static bool set_path(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	size_t len = strlen(value);

	if (len > 0 && (strchr(" \t", value[0]) != NULL || strchr(" \t", value[len - 1]) != NULL)) {
		option_error(from->err, from->where, "begins or ends with a space");
		return false;
	}
	return set_string(option, o, value, from);
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* What is wrong with an origin (RFC 6454 §6.1) as browsers send it, NULL when nothing is. `origin` ends at a space or the end of the string. */
static const char *origin_problem(const char *origin)
{
	const char *form = "is not an origin; give * or scheme://host or scheme://host:port, in lower case, without a path";
	size_t scheme = strspn(origin, LOWER DIGITS "+.-"), host;
	const char *p = origin + scheme, *port;
	long number = 0;

	if (strcspn(origin, " ") > CORS_ORIGIN_BYTES)
		return "is longer than an origin can be";
	if (scheme == 0 || strspn(origin, LOWER) == 0 || strncmp(p, "://", 3) != 0)
		return form;
	p += 3;
	if (*p == '[') {
		host = strspn(p + 1, "abcdef" DIGITS ":.") + 1;
		if (host < 3 || p[host] != ']')
			return form;
		host++;
	} else {
		host = strspn(p, LOWER DIGITS "._-");
	}
	p += host;
	if (host == 0 || (*p != ':' && *p != ' ' && *p != '\0'))
		return form;
	if (*p != ':')
		return NULL;
	port = p + 1;
	p = read_digits(port, &number);
	if (p == NULL || (*p != ' ' && *p != '\0'))
		return form;
	if (*port == '0' || number > 65535)
		return "has a port that is not 1 to 65535";
	if ((number == 80 && strncmp(origin, "http:", 5) == 0) || (number == 443 && strncmp(origin, "https:", 6) == 0))
		return "names its scheme's default port, which browsers leave out; leave it out";
	return NULL;
}

static bool set_origins(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	char text[SHOWN_BYTES];
	char *list, **stored = field(option, o);
	size_t used = 0, count = 0;

	if (!set_string(option, o, value, from))
		return false;
	list = *stored;
	for (const char *p = value + strspn(value, " "); *p != '\0'; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		const char *problem = strcmp(value, "*") == 0 ? NULL : origin_problem(p);

		if (problem != NULL) {
			char *one = strndup(p, len);

			option_error(from->err, from->where, "%s %s", one == NULL ? "an origin" : shown(one, text), problem);
			free(one);
			return false;
		}
		if (++count > CORS_ORIGINS_MAX) {
			option_error(from->err, from->where, "holds more than %d origins", CORS_ORIGINS_MAX);
			return false;
		}
		/* One space between them, however many were written. */
		if (used > 0)
			list[used++] = ' ';
		memcpy(list + used, p, len);
		used += len;
		p += len;
	}
	list[used] = '\0';
	return true;
}

bool option_set(const struct option *option, struct options *o, const char *value, const struct option_source *from)
{
	if (is_too_long(strlen(value), from))
		return false;
	for (const char *c = value; *c != '\0'; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F) {
			option_error(from->err, from->where, "holds a control character (byte %zu)", (size_t)(c - value) + 1);
			return false;
		}
	switch (option->kind) {
	case OPTION_DATABASE:
		return set_database(option, o, value, from);
	case OPTION_ORIGINS:
		return set_origins(option, o, value, from);
	case OPTION_INT:
		return set_int(option, o, value, from);
	case OPTION_DURATION:
		return set_duration(option, o, value, from);
	case OPTION_BOOL:
		return set_bool(option, o, value, from);
	case OPTION_LEVEL:
		return set_level(option, o, value, from);
	case OPTION_PATH:
		return set_path(option, o, value, from);
	default: /* a flag takes no value */
		return false;
	}
}

void option_print(const struct option *option, const struct options *o, FILE *out)
{
	const void *value = const_field(option, o);
	const char *string;

	(void)fprintf(out, "%s =", option->name);
	switch (option->kind) {
	case OPTION_DATABASE:
	case OPTION_ORIGINS:
	case OPTION_PATH:
		string = *(char *const *)value;
		if (string[0] != '\0')
			(void)fputc(' ', out);
		if (option->kind == OPTION_DATABASE)
			conninfo_print(string, out);
		else
			(void)fputs(string, out);
		break;
	case OPTION_INT:
		(void)fprintf(out, " %d", *(const int *)value);
		break;
	case OPTION_DURATION:
		(void)fprintf(out, " %dms", *(const int *)value);
		break;
	case OPTION_BOOL:
		(void)fputs(*(const bool *)value ? " on" : " off", out);
		break;
	case OPTION_LEVEL:
		(void)fprintf(out, " %s", log_level_names[*(const enum log_level *)value]);
		break;
	default:
		break;
	}
	(void)fputc('\n', out);
}

static bool is_string(const struct option *option)
{
	return option->kind == OPTION_DATABASE || option->kind == OPTION_ORIGINS || option->kind == OPTION_PATH;
}

static size_t value_bytes(const struct option *option)
{
	static const size_t bytes[OPTION_KIND_MAX] = {
		[OPTION_DATABASE] = sizeof(char *),      [OPTION_ORIGINS] = sizeof(char *),
		[OPTION_PATH] = sizeof(char *),          [OPTION_INT] = sizeof(int),
		[OPTION_DURATION] = sizeof(int),         [OPTION_BOOL] = sizeof(bool),
		[OPTION_LEVEL] = sizeof(enum log_level),
	};

	return bytes[option->kind];
}

bool option_same(const struct option *option, const struct options *a, const struct options *b)
{
	const void *x = const_field(option, a), *y = const_field(option, b);

	if (is_string(option))
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	return memcmp(x, y, value_bytes(option)) == 0;
}

void option_swap(const struct option *option, struct options *a, struct options *b)
{
	char kept[sizeof(char *)];
	size_t bytes = value_bytes(option);

	assert(bytes <= sizeof(kept));
	memcpy(kept, field(option, a), bytes);
	memcpy(field(option, a), field(option, b), bytes);
	memcpy(field(option, b), kept, bytes);
}
