#include "problem.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

/* U+FFFD, the replacement character, and the bytes it takes. */
#define REPLACEMENT "\xef\xbf\xbd"
#define REPLACEMENT_BYTES ((size_t)3)

const char *problem_title(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Error";
	}
}

/* Bytes of the well-formed UTF-8 sequence at the front of `s` (RFC 3629 §4); 0 when there is none. */
static size_t sequence_bytes(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, and what lies above U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* `s` as a jansson string, each bad byte replaced. NULL when out of memory. */
static json_t *string(struct str s)
{
	json_t *value;
	char *text;
	char *out;

	if (s.len > SIZE_MAX / REPLACEMENT_BYTES - 1)
		return NULL;
	text = out = malloc(s.len * REPLACEMENT_BYTES + 1);
	if (text == NULL)
		return NULL;
	while (s.len > 0) {
		size_t len = sequence_bytes(s);

		if (len > 0) {
			memcpy(out, s.p, len);
			out += len;
		} else {
			memcpy(out, REPLACEMENT, REPLACEMENT_BYTES);
			out += REPLACEMENT_BYTES;
			len = 1;
		}
		s = str_make(s.p + len, s.len - len);
	}
	value = json_stringn_nocheck(text, (size_t)(out - text));
	free(text);
	return value;
}

static int append(const char *p, size_t len, void *b)
{
	body_append(b, p, len);
	return body_failed(b) ? -1 : 0;
}

struct body *problem_body(int status, const char *detail, struct str request_id)
{
	struct body *b = body_new(256);
	json_t *problem = json_object();
	int rc = 0;

	rc |= json_object_set_new(problem, "type", json_string("about:blank"));
	rc |= json_object_set_new(problem, "title", json_string(problem_title(status)));
	rc |= json_object_set_new(problem, "status", json_integer(status));
	if (detail != NULL)
		rc |= json_object_set_new(problem, "detail", string(str_of(detail)));
	if (request_id.len > 0)
		rc |= json_object_set_new(problem, "request_id", string(request_id));
	if (b == NULL || rc != 0 || json_dump_callback(problem, append, b, 0) != 0) {
		body_unref(b);
		b = NULL;
	}
	json_decref(problem);
	return b;
}
