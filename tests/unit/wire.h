/*
 * wire: FastCGI requests as a web server writes them, and answers as they must arrive, put together byte by byte.
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include "str.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WIRE_BEGIN = 1, WIRE_ABORT = 2, WIRE_END = 3, WIRE_PARAMS = 4, WIRE_STDIN = 5, WIRE_STDOUT = 6, WIRE_GET_VALUES = 9 };
enum { WIRE_CLOSE = 0, WIRE_KEEP = 1 };

struct wire {
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

static inline void wire_free(struct wire *w)
{
	free(w->bytes);
	*w = (struct wire){NULL, 0, 0};
}

static inline void wire_add(struct wire *w, const void *p, size_t len)
{
	if (w->cap - w->len < len) {
		w->cap = (w->cap + len) * 2;
		w->bytes = realloc(w->bytes, w->cap);
		ck_assert_ptr_nonnull(w->bytes);
	}
	if (len > 0)
		memcpy(w->bytes + w->len, p, len);
	w->len += len;
}

static inline void wire_record(struct wire *w, int type, unsigned id, const void *content, size_t len)
{
	const uint8_t header[8] = {1, (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8), (uint8_t)len, 0, 0};

	ck_assert_uint_le(len, 65535);
	wire_add(w, header, sizeof(header));
	wire_add(w, content, len);
}

static inline void wire_begin(struct wire *w, unsigned id, unsigned role, unsigned flags)
{
	const uint8_t content[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags, 0, 0, 0, 0, 0};

	wire_record(w, WIRE_BEGIN, id, content, sizeof(content));
}

static inline void wire_length(struct wire *w, size_t n)
{
	const uint8_t four[4] = {(uint8_t)(0x80 | n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	const uint8_t one[1] = {(uint8_t)n};

	if (n < 128)
		wire_add(w, one, 1);
	else
		wire_add(w, four, 4);
}

static inline void wire_pair(struct wire *w, const char *name, const char *value)
{
	wire_length(w, strlen(name));
	wire_length(w, strlen(value));
	wire_add(w, name, strlen(name));
	wire_add(w, value, strlen(value));
}

/* PARAMS with these pairs (name, value, …, NULL) and their end. */
static inline void wire_params(struct wire *w, unsigned id, const char *const *pairs)
{
	struct wire content = {NULL, 0, 0};

	for (; *pairs != NULL; pairs += 2)
		wire_pair(&content, pairs[0], pairs[1]);
	wire_record(w, WIRE_PARAMS, id, content.bytes, content.len);
	wire_record(w, WIRE_PARAMS, id, NULL, 0);
	wire_free(&content);
}

/* A whole GET request without a body. */
static inline void wire_request(struct wire *w, unsigned id, unsigned flags, const char *path)
{
	const char *const pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", path, "REQUEST_ID", "0123456789abcdef", NULL};

	wire_begin(w, id, 1, flags);
	wire_params(w, id, pairs);
	wire_record(w, WIRE_STDIN, id, NULL, 0);
}

static inline void wire_end(struct wire *w, unsigned id, unsigned protocol_status)
{
	const uint8_t content[8] = {0, 0, 0, 0, (uint8_t)protocol_status, 0, 0, 0};

	wire_record(w, WIRE_END, id, content, sizeof(content));
}

/* An answer as it must arrive: head and body in STDOUT records of 65,528 bytes, an empty STDOUT, END_REQUEST. */
static inline void wire_answer(struct wire *w, unsigned id, struct str head, struct str body)
{
	struct wire content = {NULL, 0, 0};
	size_t at = 0;

	wire_add(&content, head.p, head.len);
	wire_add(&content, body.p, body.len);
	while (at < content.len) {
		size_t n = content.len - at < 65528 ? content.len - at : 65528;

		wire_record(w, WIRE_STDOUT, id, content.bytes + at, n);
		at += n;
	}
	wire_record(w, WIRE_STDOUT, id, NULL, 0);
	wire_end(w, id, 0);
	wire_free(&content);
}

#endif
