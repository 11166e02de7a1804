/*
 * url: the parts of an http:// URL (RFC 3986) that a request needs.
 */
#ifndef PACE_URL_H
#define PACE_URL_H

#include <stddef.h>

struct url {
	char host[256]; /* for getaddrinfo: an IPv6 address without its brackets */
	char port[6];
	char authority[272]; /* for the Host header; without the port when that is 80 */
	const char *target;  /* path and query, inside the text; "/" follows when it has none or begins with ? */
	size_t target_len;
};

/* Returns NULL, or what is wrong with the text. `text` must outlive the parts. */
const char *url_parse(struct url *url, const char *text);

#endif
