/*
 * head: builds a CGI header block (RFC 3875 §6.2) in a fixed buffer. What does not fit is a bug: the values are the worker's own, of known length.
 */
#ifndef AGENTS_HEAD_H
#define AGENTS_HEAD_H

#include "conn.h"

#include <assert.h>

struct head {
	size_t len;
	char bytes[CONN_HEAD_BYTES];
};

static inline void head_add(struct head *h, struct str s)
{
	if (s.len == 0) /* its pointer may be NULL */
		return;
	assert(s.len <= sizeof(h->bytes) - h->len);
	memcpy(h->bytes + h->len, s.p, s.len);
	h->len += s.len;
}

#define HEAD_ADD(h, literal) head_add((h), (struct str)STR(literal))

static inline void head_add_size(struct head *h, size_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	head_add(h, str_make(digits + at, sizeof(digits) - at));
}

/* `name` with its colon and space, then the value and the line's end. */
static inline void head_field(struct head *h, struct str name, struct str value)
{
	head_add(h, name);
	head_add(h, value);
	HEAD_ADD(h, "\r\n");
}

static inline struct str head_str(const struct head *h)
{
	return str_make(h->bytes, h->len);
}

#endif
