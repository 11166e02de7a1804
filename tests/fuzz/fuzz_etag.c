/*
 * fuzz_etag: the value of an If-None-Match field against a tag, compared with a second reading of the grammar. The first byte is the length of the
 * tag's text, which follows; the rest is the field.
 */
#include "etag.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* States of the reference: one byte at a time, without looking ahead. */
enum state { BETWEEN, WEAK, TAG, BEHIND, STAR, FAULT };

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static enum state between(uint8_t c, bool first)
{
	if (is_space(c) || c == ',')
		return BETWEEN;
	if (c == '*')
		return first ? STAR : FAULT;
	return c == 'W' ? WEAK : c == '"' ? TAG : FAULT;
}

static bool reference(const uint8_t *p, size_t len, struct str etag)
{
	enum state state = BETWEEN;
	bool first = true; /* nothing but space so far */
	size_t start = 0;

	for (size_t i = 0; i < len && state != FAULT; i++) {
		uint8_t c = p[i];

		switch (state) {
		case BETWEEN:
			state = between(c, first);
			first = first && is_space(c);
			start = i;
			break;
		case WEAK:
			if (c != '/' || i + 1 == len || p[i + 1] != '"')
				return false;
			start = ++i;
			state = TAG;
			break;
		case TAG:
			if (c == '"') {
				if (str_equal(str_make((const char *)p + start, i + 1 - start), etag))
					return true;
				state = BEHIND;
			} else if (c <= 0x20 || c == 0x7f) {
				state = FAULT;
			}
			break;
		case BEHIND:
			state = c == ',' ? BETWEEN : is_space(c) ? BEHIND : FAULT;
			break;
		case STAR:
			state = is_space(c) ? STAR : FAULT;
			break;
		case FAULT:
			break;
		}
	}
	return state == STAR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char etag[2 + UINT8_MAX];
	char made[ETAG_BYTES];
	size_t len;
	bool matches;

	if (size == 0)
		return 0;
	len = data[0];
	data++;
	size--;
	if (len > size)
		len = size;
	etag[0] = etag[len + 1] = '"';
	for (size_t i = 0; i < len; i++)
		etag[i + 1] = data[i] <= 0x20 || data[i] == '"' || data[i] == 0x7f ? (char)'x' : ((const char *)data)[i];
	matches = etag_matches(str_make((const char *)data + len, size - len), str_make(etag, len + 2));
	if (matches != reference(data + len, size - len, str_make(etag, len + 2))) {
		fprintf(stderr, "fuzz_etag: %s\n", matches ? "matches, and should not" : "does not match, and should");
		abort();
	}
	/* A tag made of anything matches itself, weakened, in a list. */
	etag_make(str_make((const char *)data, size), made);
	snprintf(etag, sizeof(etag), ", \"\",\tW/%s", made);
	if (strlen(made) != ETAG_BYTES - 1 || !etag_matches(str_of(etag), str_of(made)))
		abort();
	return 0;
}
