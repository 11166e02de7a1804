/*
 * body: growable bytes with a reference count: an answer's content, rendered once and sent by every request that shares it.
 *
 * A body is filled by one owner, then only read. Appending never fails loudly: when memory runs out the body is marked
 * failed, keeps what it had, and ignores what follows; the owner looks at body_failed() once, at the end, and answers 503.
 * One thread only.
 */
#ifndef AGENTS_BODY_H
#define AGENTS_BODY_H

#include "str.h"

struct body {
	char *data;
	size_t len;
	size_t cap;
	unsigned refs;
	unsigned unread; /* unread's: answers with it that are being read slowly */
	bool failed;
};

/* A new empty body with room for `hint_bytes`, and one reference, which the caller owns. NULL when out of memory. */
struct body *body_new(size_t hint_bytes);

/* One more reference; returns its argument. */
struct body *body_ref(struct body *b);

/* Gives up one reference; the last one frees. NULL is allowed. */
void body_unref(struct body *b);

/* Makes room for `more_bytes` beyond len. False, and the body marked failed, when there is no memory. */
bool body_reserve(struct body *b, size_t more_bytes);

void body_append(struct body *b, const char *p, size_t len);

/* Marks the body failed, for an owner that ran out of memory elsewhere. */
void body_fail(struct body *b);

static inline void body_append_str(struct body *b, struct str s)
{
	body_append(b, s.p, s.len);
}

static inline bool body_failed(const struct body *b)
{
	return b->failed;
}

static inline struct str body_str(const struct body *b)
{
	return str_make(b->data, b->len);
}

#endif
