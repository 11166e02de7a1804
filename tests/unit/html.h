/*
 * html: whether a page is well-formed in the strict sense: every tag is closed, in its order, attributes are in quotes, & and < stand for nothing but
 * themselves, bytes are UTF-8. What passes is read alike by every browser.
 */
#ifndef TESTS_HTML_H
#define TESTS_HTML_H

#include "str.h"
#include "utf8.h"

#include <stdbool.h>
#include <stdio.h>

#define HTML_REASON_BYTES 160
#define HTML_DEPTH 32

struct html {
	struct str rest;
	struct str open[HTML_DEPTH]; /* names of the tags that are */
	unsigned depth;
	char *reason;
};

static inline bool html_wrong(struct html *h, const char *why)
{
	(void)snprintf(h->reason, HTML_REASON_BYTES, "%s before: %.80s", why, h->rest.len > 0 ? h->rest.p : "the end");
	return false;
}

static inline void html_skip(struct html *h, size_t n)
{
	h->rest = str_make(h->rest.p + n, h->rest.len - n);
}

static inline bool html_begins(const struct html *h, const char *text)
{
	return h->rest.len >= strlen(text) && memcmp(h->rest.p, text, strlen(text)) == 0;
}

static inline size_t html_span(const struct html *h, const char *of)
{
	size_t n = 0;

	while (n < h->rest.len && strchr(of, h->rest.p[n]) != NULL)
		n++;
	return n;
}

#define HTML_NAME "abcdefghijklmnopqrstuvwxyz0123456789-"

/* One character, or one of the entities that are used. */
static inline bool html_character(struct html *h)
{
	static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#8211;"};
	size_t n = utf8_sequence((const unsigned char *)h->rest.p, h->rest.len);

	if (n == 0 || (*h->rest.p > 0 && *h->rest.p < ' ' && *h->rest.p != '\n' && *h->rest.p != '\t'))
		return html_wrong(h, "a byte that is no text");
	if (*h->rest.p == '&') {
		n = 0;
		for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
			n += html_begins(h, entities[i]) ? strlen(entities[i]) : 0;
		if (n == 0)
			return html_wrong(h, "an unknown entity");
	}
	html_skip(h, n);
	return true;
}

static inline bool html_attribute(struct html *h)
{
	size_t n;

	html_skip(h, html_span(h, " \n"));
	n = html_span(h, HTML_NAME);
	html_skip(h, n);
	if (n == 0 || !html_begins(h, "=\""))
		return html_wrong(h, "no attribute with its value in quotes");
	html_skip(h, 2);
	while (h->rest.len > 0 && *h->rest.p != '"') {
		if (*h->rest.p == '<' || !html_character(h))
			return html_wrong(h, "a bad value");
	}
	html_skip(h, h->rest.len > 0);
	return true;
}

static inline bool html_tag(struct html *h)
{
	bool closes = html_begins(h, "</");
	struct str name;

	html_skip(h, closes ? 2 : 1);
	name = str_make(h->rest.p, html_span(h, HTML_NAME));
	html_skip(h, name.len);
	if (closes) {
		if (h->depth == 0 || !str_equal(h->open[h->depth - 1], name) || !html_begins(h, ">"))
			return html_wrong(h, "a tag is closed that is not open");
		h->depth--;
		html_skip(h, 1);
		return true;
	}
	while (html_begins(h, " ")) {
		if (!html_attribute(h))
			return false;
	}
	if (html_begins(h, "/>")) {
		html_skip(h, 2);
		return true;
	}
	if (name.len == 0 || !html_begins(h, ">") || h->depth == HTML_DEPTH)
		return html_wrong(h, "no proper tag");
	h->open[h->depth++] = name;
	html_skip(h, 1);
	return true;
}

static inline bool html_is_well_formed(struct str page, char reason[HTML_REASON_BYTES])
{
	struct html h = {.rest = page, .reason = reason};

	if (!html_begins(&h, "<!DOCTYPE html>\n<html"))
		return html_wrong(&h, "no <!DOCTYPE html>");
	html_skip(&h, strlen("<!DOCTYPE html>\n"));
	do {
		if (*h.rest.p == '<' ? !html_tag(&h) : !html_character(&h))
			return false;
	} while (h.depth > 0 && h.rest.len > 0);
	if (h.depth > 0)
		return html_wrong(&h, "a tag is still open");
	html_skip(&h, html_span(&h, "\n"));
	return h.rest.len == 0 || html_wrong(&h, "something behind the document");
}

#endif
