#include "body.h"

#include <stdint.h>
#include <stdlib.h>

/* Smallest allocation: spares the steps of growing from nothing, and data is never NULL. */
#define BODY_MIN_BYTES 64

struct body *body_new(size_t hint_bytes)
{
	size_t cap = hint_bytes < BODY_MIN_BYTES ? BODY_MIN_BYTES : hint_bytes;
	struct body *b = malloc(sizeof(*b));

	if (b == NULL)
		return NULL;
	*b = (struct body){.data = malloc(cap), .cap = cap, .refs = 1};
	if (b->data == NULL) {
		free(b);
		return NULL;
	}
	return b;
}

struct body *body_ref(struct body *b)
{
	b->refs++;
	return b;
}

void body_unref(struct body *b)
{
	if (b == NULL || --b->refs > 0)
		return;
	free(b->data);
	free(b);
}

void body_fail(struct body *b)
{
	b->failed = true;
	/* No room left: writers that look for room find none, and need no second look at `failed`. */
	b->cap = b->len;
}

bool body_reserve(struct body *b, size_t more_bytes)
{
	size_t need;
	size_t cap;
	char *data;

	if (b->failed)
		return false;
	if (more_bytes <= b->cap - b->len)
		return true;
	if (more_bytes > SIZE_MAX - b->len)
		goto fail;
	need = b->len + more_bytes;
	/* Doubling keeps the copying linear; from the mmap threshold on realloc moves pages instead of bytes. */
	cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : b->cap * 2;
	if (cap < need)
		cap = need;
	data = realloc(b->data, cap);
	if (data == NULL)
		goto fail;
	b->data = data;
	b->cap = cap;
	return true;
fail:
	body_fail(b);
	return false;
}

void body_append(struct body *b, const char *p, size_t len)
{
	if (len == 0 || !body_reserve(b, len))
		return;
	memcpy(b->data + b->len, p, len);
	b->len += len;
}
