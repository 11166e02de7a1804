/*
 * fuzz_problem: any bytes as status, detail and request id give a problem that jansson parses, and valid UTF-8 comes out as it went in. The first two
 * bytes are the status, the third is the length of the detail, which follows; the rest is the request id.
 */
#include "problem.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fuzz_problem: %s\n", what);
		abort();
	}
}

/* The member equals `s` where that is UTF-8, and else holds U+FFFD. */
static void check(const json_t *value, struct str s)
{
	json_t *same = json_stringn(s.p, s.len);

	must(json_is_string(value), "a member is missing");
	if (same != NULL)
		must(json_equal(value, same) == 1, "another text");
	else
		must(memmem(json_string_value(value), json_string_length(value), "\xef\xbf\xbd", 3) != NULL,
		     "nothing was replaced");
	json_decref(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char detail[UINT8_MAX + 1];
	struct str request_id;
	struct body *b;
	json_t *problem;
	int status;
	size_t len;

	if (size < 3)
		return 0;
	status = data[0] << 8 | data[1];
	len = data[2] < size - 3 ? data[2] : size - 3;
	memcpy(detail, data + 3, len);
	detail[len] = '\0';
	request_id = str_make((const char *)data + 3 + len, size - 3 - len);
	b = problem_body(status, len > 0 ? detail : NULL, request_id);
	must(b != NULL, "out of memory");
	problem = json_loadb(b->data, b->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	must(problem != NULL, "not JSON");
	must(json_integer_value(json_object_get(problem, "status")) == status, "another status");
	must(strcmp(json_string_value(json_object_get(problem, "title")), problem_title(status)) == 0, "another title");
	if (len > 0)
		check(json_object_get(problem, "detail"), str_of(detail));
	else
		must(json_object_get(problem, "detail") == NULL, "a detail out of nothing");
	if (request_id.len > 0)
		check(json_object_get(problem, "request_id"), request_id);
	else
		must(json_object_get(problem, "request_id") == NULL, "a request id out of nothing");
	json_decref(problem);
	body_unref(b);
	return 0;
}
