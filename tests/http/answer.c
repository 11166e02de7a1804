#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_free(struct answer *a)
{
	bytes_free(&a->head);
	bytes_free(&a->body);
}

/* The next header line of that name from `*at` on; NULL when there is none. */
static const char *next_line(const char **at, const char *name)
{
	size_t len = strlen(name);

	while (*at != NULL && **at != '\0') {
		const char *line = *at;
		const char *end = strstr(line, "\r\n");

		*at = end == NULL ? NULL : end + 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

const char *answer_header(const struct answer *a, const char *name)
{
	static _Thread_local char value[8192];
	const char *at = a->head.p;
	const char *found = next_line(&at, name);

	if (found == NULL)
		return NULL;
	(void)snprintf(value, sizeof value, "%.*s", (int)strcspn(found, "\r\n"), found);
	return value;
}

int answer_header_count(const struct answer *a, const char *name)
{
	const char *at = a->head.p;
	int n = 0;

	while (next_line(&at, name) != NULL)
		n++;
	return n;
}

/* Fails the test with the whole answer in the message. */
static void reject(const char *file, int line, const struct answer *a, const char *what)
{
	ck_abort_msg("%s:%d: %s\n  status %d, protocol status %d, error \"%s\"\n  head: %s\n  body (%zu bytes): %.600s", file,
		     line, what, a->status, a->protocol_status, a->error, a->head.p == NULL ? "" : a->head.p, a->body.len,
		     a->body.p == NULL ? "" : a->body.p);
}

void answer_assert_status(const char *file, int line, const struct answer *a, int expected)
{
	if (a->status != expected) {
		BYTES what = {0};

		bytes_printf(&what, "expected status %d", expected);
		reject(file, line, a, what.p);
	}
}

void answer_assert_header(const char *file, int line, const struct answer *a, const char *name, const char *expected)
{
	const char *value = answer_header(a, name);
	bool same = expected == NULL ? value == NULL : value != NULL && strcmp(value, expected) == 0;

	if (!same || answer_header_count(a, name) > 1) {
		BYTES what = {0};

		bytes_printf(&what, "expected header %s: %s", name, expected == NULL ? "(none)" : expected);
		reject(file, line, a, what.p);
	}
}

void answer_assert_body(const char *file, int line, const struct answer *a, const char *text, size_t len)
{
	if (a->body.len != len || (len > 0 && memcmp(a->body.p, text, len) != 0)) {
		BYTES what = {0};

		bytes_printf(&what, "expected a body of %zu bytes: %.600s", len, text);
		reject(file, line, a, what.p);
	}
}

void answer_assert_golden(const char *file, int line, const struct answer *a, const char *name)
{
	BYTES golden = {0};

	golden_read(name, &golden);
	answer_assert_body(file, line, a, golden.p, golden.len);
}

static json_t *parse(const struct bytes *b)
{
	return json_loadb(b->p == NULL ? "" : b->p, b->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

/* Compares two arrays as sets of rows would be wrong: the order is part of the contract, so this compares values in order. */
void answer_assert_json(const char *file, int line, const struct answer *a, const char *name)
{
	BYTES golden = {0};

	golden_read(name, &golden);
	json_t *expected = parse(&golden);
	json_t *got = parse(&a->body);
	bool same = expected != NULL && got != NULL && json_equal(expected, got);

	json_decref(expected);
	json_decref(got);
	if (!same) {
		BYTES what = {0};

		bytes_printf(&what, "expected the JSON value of %s", name);
		reject(file, line, a, what.p);
	}
}

void answer_assert_problem(const char *file, int line, const struct answer *a, int status)
{
	answer_assert_status(file, line, a, status);
	answer_assert_header(file, line, a, "Content-Type", "application/problem+json");
	char length[32];

	(void)snprintf(length, sizeof length, "%zu", a->body.len);
	answer_assert_header(file, line, a, "Content-Length", length);

	json_t *problem = parse(&a->body);
	const char *type = json_string_value(json_object_get(problem, "type"));
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *request_id = json_string_value(json_object_get(problem, "request_id"));
	const char *header_id = answer_header(a, "X-Request-Id");
	bool good = type != NULL && strcmp(type, "about:blank") == 0 && title != NULL && title[0] != '\0' && detail != NULL &&
		    detail[0] != '\0' && json_integer_value(json_object_get(problem, "status")) == status;
	bool same_id = header_id == NULL || (request_id != NULL && strcmp(header_id, request_id) == 0);
	size_t members = json_object_size(problem);

	json_decref(problem);
	if (!good || !same_id || members > 5) {
		reject(file, line, a,
		       good ? "request_id and X-Request-Id differ, or unknown members" : "not the shape of a problem");
	}
}

json_t *answer_json(const struct answer *a)
{
	json_t *value = parse(&a->body);

	if (value == NULL)
		reject(__FILE__, __LINE__, a, "the body is not JSON");
	return value;
}

size_t answer_rows(const struct answer *a)
{
	json_t *rows = answer_json(a);

	if (!json_is_array(rows))
		reject(__FILE__, __LINE__, a, "the body is not an array");
	size_t n = json_array_size(rows);

	json_decref(rows);
	return n;
}
