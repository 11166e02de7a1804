#include "conninfo.h"

#include "option.h"

#include <libpq-fe.h>
#include <string.h>

/* libpq's messages (fe-connect.c; untranslated, because nothing here calls setlocale), and what we say instead. */
static const struct {
	const char *part;
	const char *reason;
} parse_errors[] = {
	{"missing \"=\"",
	 "a name without =; write name=value pairs such as dbname=benchmarks, or a URI such as postgresql://host/dbname"},
	{"unterminated quoted string", "a ' without its partner; within '...' write \\' for ' and \\\\ for \\"},
	{"percent-encoded", "% without two hexadecimal digits behind it; write %25 for % in a URI"},
	{"forbidden value %00", "%00 cannot be part of a value"},
	{"IPv6", "an IPv6 address in a URI has to stand in [ ]"},
	{"in URI (expected",
	 "something unexpected behind the host; write %40 for @, %2F for / and %3A for : within a user or password"},
	{"extra key/value separator", "more than one = in a parameter of the URI"},
	{"missing key/value separator", "a parameter of the URI without ="},
};

/* Finds libpq's own name nearest to `name`: only that is printed, since what was meant as a password may stand in a name's place. */
static void unknown_keyword(struct str name, char *reason)
{
	PQconninfoOption *known = PQconndefaults();
	const char *nearest = NULL;
	unsigned best = NAME_DISTANCE_FAR;

	for (const PQconninfoOption *k = known; k != NULL && k->keyword != NULL; k++) {
		unsigned distance = name_distance(name, str_of(k->keyword));

		if (distance < best) {
			best = distance;
			nearest = k->keyword;
		}
	}
	if (nearest != NULL)
		(void)snprintf(reason, CONNINFO_REASON_BYTES, "a parameter that libpq does not know; did you mean %s?", nearest);
	else
		(void)snprintf(reason, CONNINFO_REASON_BYTES,
			       "a parameter that libpq does not know; values with spaces stand in '...'");
	PQconninfoFree(known);
}

/* Puts libpq's `message` into words that quote nothing. */
static void describe(const char *message, char *reason)
{
	static const char *const unknown[] = {"invalid connection option \"", "invalid URI query parameter: \""};

	for (size_t i = 0; message != NULL && i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (strncmp(message, unknown[i], strlen(unknown[i])) == 0) {
			const char *name = message + strlen(unknown[i]);

			unknown_keyword(str_make(name, strcspn(name, "\"")), reason);
			return;
		}
	for (size_t i = 0; message != NULL && i < sizeof(parse_errors) / sizeof(parse_errors[0]); i++)
		if (strstr(message, parse_errors[i].part) != NULL) {
			(void)snprintf(reason, CONNINFO_REASON_BYTES, "%s", parse_errors[i].reason);
			return;
		}
	(void)snprintf(reason, CONNINFO_REASON_BYTES, "libpq cannot parse it");
}

/* A dbname that libpq would take for a whole connection string of its own. */
static bool is_nested(const PQconninfoOption *p)
{
	return strcmp(p->keyword, "dbname") == 0 && (strchr(p->val, '=') != NULL || strstr(p->val, "://") != NULL);
}

/* libpq marks what a form should hide (password, sslpassword) with a * in dispchar. */
static bool is_secret(const PQconninfoOption *p)
{
	if (p->val == NULL || p->val[0] == '\0')
		return false;
	return strchr(p->dispchar, '*') != NULL || (is_nested(p) && conninfo_has_secret(p->val));
}

bool conninfo_has_secret(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	bool secret = parsed == NULL;

	for (const PQconninfoOption *p = parsed; p != NULL && p->keyword != NULL; p++)
		secret = secret || is_secret(p);
	PQconninfoFree(parsed);
	return secret;
}

/* In a URI %XX can stand for any. Printed as it is, %0A would begin a line of its own. */
static bool has_control(const char *value)
{
	for (const char *c = value; *c != '\0'; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F)
			return true;
	return false;
}

bool conninfo_check(const char *conninfo, char reason[CONNINFO_REASON_BYTES])
{
	char *message = NULL;
	const char *named = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);

	if (parsed == NULL)
		describe(message, reason);
	for (const PQconninfoOption *p = parsed; p != NULL && p->keyword != NULL; p++)
		if (p->val != NULL && !is_secret(p) && has_control(p->val))
			named = p->keyword;
	if (named != NULL)
		(void)snprintf(reason, CONNINFO_REASON_BYTES, "a control character in its %s", named);
	PQconninfoFree(parsed);
	PQfreemem(message);
	return parsed != NULL && named == NULL;
}

/* Space at an end belongs to the last value of a URI, but a reader of `name = value` lines takes it away. */
static bool has_space_around(const char *conninfo)
{
	size_t len = strlen(conninfo);

	return len > 0 && (strchr(" \t", conninfo[0]) != NULL || strchr(" \t", conninfo[len - 1]) != NULL);
}

void conninfo_print(const char *conninfo, FILE *out)
{
	PQconninfoOption *parsed;
	const char *space = "";

	if (!conninfo_has_secret(conninfo) && !has_space_around(conninfo)) {
		(void)fputs(conninfo, out);
		return;
	}
	parsed = PQconninfoParse(conninfo, NULL);
	for (const PQconninfoOption *p = parsed; p != NULL && p->keyword != NULL; p++) {
		if (p->val == NULL)
			continue;
		(void)fprintf(out, "%s%s='", space, p->keyword);
		for (const char *c = is_secret(p) ? "********" : p->val; *c != '\0'; c++) {
			if (*c == '\'' || *c == '\\')
				(void)fputc('\\', out);
			(void)fputc(*c, out);
		}
		(void)fputc('\'', out);
		space = " ";
	}
	PQconninfoFree(parsed);
}
