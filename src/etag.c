#include "etag.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

void etag_make(struct str content, char out[ETAG_BYTES])
{
	snprintf(out, ETAG_BYTES, "\"%016" PRIx64 "\"", (uint64_t)XXH3_64bits(content.p, content.len));
}

/* etagc = %x21 / %x23-7E / obs-text */
static bool is_tag_byte(unsigned char c)
{
	return c > 0x20 && c != '"' && c != 0x7f;
}

static struct str skip(struct str s, size_t bytes)
{
	return str_make(s.p + bytes, s.len - bytes);
}

static struct str skip_space(struct str s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = skip(s, 1);
	return s;
}

/* Takes an opaque tag with its quotes off the front of `s`; empty when there is none. */
static struct str take_opaque_tag(struct str *s)
{
	size_t len = 1;
	struct str tag;

	if (s->len == 0 || s->p[0] != '"')
		return str_make(s->p, 0);
	while (len < s->len && is_tag_byte((unsigned char)s->p[len]))
		len++;
	if (len == s->len || s->p[len] != '"')
		return str_make(s->p, 0);
	tag = str_make(s->p, len + 1);
	*s = skip(*s, len + 1);
	return tag;
}

bool etag_matches(struct str if_none_match, struct str etag)
{
	struct str rest = skip_space(if_none_match);

	if (rest.len > 0 && rest.p[0] == '*')
		return skip_space(skip(rest, 1)).len == 0;
	for (;;) {
		struct str tag;

		/* Empty members are allowed in a list that is received (RFC 9110 §5.6.1.2). */
		while (rest.len > 0 && rest.p[0] == ',')
			rest = skip_space(skip(rest, 1));
		if (rest.len >= 2 && memcmp(rest.p, "W/", 2) == 0)
			rest = skip(rest, 2);
		tag = take_opaque_tag(&rest);
		if (tag.len == 0)
			return false;
		if (str_equal(tag, etag))
			return true;
		rest = skip_space(rest);
		if (rest.len == 0 || rest.p[0] != ',')
			return false;
	}
}
