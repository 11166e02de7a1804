/*
 * scan_fixture: requests put together record by record, right or wrong.
 */
#ifndef TESTS_SCAN_FIXTURE_H
#define TESTS_SCAN_FIXTURE_H

#include "scan.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bytes put together record by record. */
struct wire {
	uint8_t bytes[80 * 1024];
	size_t len;
};

enum {
	BEGIN = 1,
	ABORT = 2,
	END = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
	DATA = 8,
	GET_VALUES = 9,
	GET_VALUES_RESULT = 10,
	UNKNOWN = 11
};

static inline void record(struct wire *w, unsigned type, unsigned id, const void *content, size_t len, unsigned padding)
{
	const uint8_t header[8] = {
		1, (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)padding, 0};

	memcpy(w->bytes + w->len, header, 8);
	w->len += 8;
	if (len > 0)
		memcpy(w->bytes + w->len, content, len);
	w->len += len;
	memset(w->bytes + w->len, 0xEE, padding);
	w->len += padding;
}

static inline void begin(struct wire *w, unsigned id, unsigned role, unsigned flags)
{
	const uint8_t content[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags, 0, 0, 0, 0, 0};

	record(w, BEGIN, id, content, 8, 0);
}

static inline size_t put_length(uint8_t *out, size_t n, bool four)
{
	if (!four && n < 128) {
		out[0] = (uint8_t)n;
		return 1;
	}
	out[0] = (uint8_t)(0x80 | n >> 24);
	out[1] = (uint8_t)(n >> 16);
	out[2] = (uint8_t)(n >> 8);
	out[3] = (uint8_t)n;
	return 4;
}

static inline size_t put_pair(uint8_t *out, const char *name, const char *value, bool four)
{
	size_t at = put_length(out, strlen(name), four);

	at += put_length(out + at, strlen(value), four);
	memcpy(out + at, name, strlen(name));
	at += strlen(name);
	memcpy(out + at, value, strlen(value));
	return at + strlen(value);
}

/* As nginx 1.22 sends one: PARAMS in one record padded to 8, both ends empty. Returns the length of the pairs. */
static inline size_t pairs_of_nginx(uint8_t *out)
{
	size_t at = 0;

	at += put_pair(out + at, "REQUEST_METHOD", "GET", false);
	at += put_pair(out + at, "DOCUMENT_URI", "/agents_with_orm", false);
	at += put_pair(out + at, "REQUEST_ID", "0123456789abcdef0123456789abcdef", false);
	at += put_pair(out + at, "HTTP_IF_NONE_MATCH", "\"0123456789abcdef\"", false);
	at += put_pair(out + at, "HTTP_ORIGIN", "", false);
	return at;
}

static inline void request_of_nginx(struct wire *w, unsigned id)
{
	uint8_t pairs[512];
	size_t len = pairs_of_nginx(pairs);

	begin(w, id, 1, 1);
	record(w, PARAMS, id, pairs, len, (unsigned)(-len & 7));
	record(w, PARAMS, id, NULL, 0, 0);
	record(w, STDIN, id, NULL, 0, 0);
}

/* Scans a copy of exactly `len` bytes, so that AddressSanitizer sees any read beyond them. */
static inline struct scan scan_exactly(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct scan s;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	s = scan_request(copy, len);
	free(copy);
	ck_assert_uint_le(s.length, len);
	ck_assert_int_eq(s.verdict == SCAN_BAD, s.reason != NULL);
	ck_assert_int_eq(s.verdict == SCAN_BAD || s.verdict == SCAN_PARTIAL, s.length == 0);
	return s;
}

#endif
