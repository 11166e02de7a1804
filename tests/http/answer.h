/*
 * answer: an HTTP answer as a client saw it, through nginx or straight from a worker: status, header lines, body. And the assertions on one.
 */
#ifndef TEST_ANSWER_H
#define TEST_ANSWER_H

#include "support.h"

#include <jansson.h>

struct answer {
	int status;          /* 0: there was no answer, see error */
	int protocol_status; /* FastCGI's END_REQUEST; 0 (REQUEST_COMPLETE) over HTTP */
	char error[512];
	struct bytes head; /* the header lines as received, CRLF behind each */
	struct bytes body;
};

void answer_free(struct answer *a);
#define ANSWER __attribute__((cleanup(answer_free))) struct answer

/* The value of a header line; NULL when it is not there. Valid until the next call on the same thread. */
const char *answer_header(const struct answer *a, const char *name);

/* How many header lines have that name. */
int answer_header_count(const struct answer *a, const char *name);

/* Assertions, each naming the answer's error, head and body when it fails. */
#define assert_status(a, expected) answer_assert_status(__FILE__, __LINE__, &(a), expected)
#define assert_header(a, name, expected) answer_assert_header(__FILE__, __LINE__, &(a), name, expected)
#define assert_no_header(a, name) answer_assert_header(__FILE__, __LINE__, &(a), name, NULL)
#define assert_body(a, text, len) answer_assert_body(__FILE__, __LINE__, &(a), text, len)
#define assert_body_text(a, text) answer_assert_body(__FILE__, __LINE__, &(a), text, strlen(text))
#define assert_golden(a, name) answer_assert_golden(__FILE__, __LINE__, &(a), name)
#define assert_json_equal(a, name) answer_assert_json(__FILE__, __LINE__, &(a), name)
/* application/problem+json in the shape of RFC 9457 with that status, its Content-Length, and no more members than the five we use. */
#define assert_problem(a, status) answer_assert_problem(__FILE__, __LINE__, &(a), status)

void answer_assert_status(const char *file, int line, const struct answer *a, int expected);
void answer_assert_header(const char *file, int line, const struct answer *a, const char *name, const char *expected);
void answer_assert_body(const char *file, int line, const struct answer *a, const char *text, size_t len);
void answer_assert_golden(const char *file, int line, const struct answer *a, const char *name);
void answer_assert_json(const char *file, int line, const struct answer *a, const char *name);
void answer_assert_problem(const char *file, int line, const struct answer *a, int status);

/* The body as JSON; asserts that it is. The caller owns the reference. */
json_t *answer_json(const struct answer *a);

/* Rows in the array that the body is; asserts that it is one. */
size_t answer_rows(const struct answer *a);

#endif
