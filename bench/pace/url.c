#include "url.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "http://"

static bool parse_port(const char *p, size_t len, char port[static 6])
{
	long number = 0;

	if (len > 5 || strspn(p, "0123456789") < len)
		return false;
	for (size_t i = 0; i < len; i++)
		number = number * 10 + (p[i] - '0');
	if (len > 0 && (number < 1 || number > 65535))
		return false;
	(void)snprintf(port, 6, "%ld", len > 0 ? number : 80);
	return true;
}

const char *url_parse(struct url *url, const char *text)
{
	const char *authority = text + strlen(SCHEME);
	const char *host = authority, *host_end, *end;

	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return "it has a space, a control character or one outside ASCII: write it percent-encoded";
	if (strncasecmp(text, "https://", 8) == 0)
		return "https is not supported: measure the http:// side of the server";
	if (strncasecmp(text, SCHEME, strlen(SCHEME)) != 0)
		return "it must begin with http://";
	end = authority + strcspn(authority, "/?#");
	if (memchr(authority, '@', (size_t)(end - authority)) != NULL)
		return "user and password are not supported: send them with --header 'Authorization: …'";
	if (*authority == '[') {
		host++;
		host_end = memchr(authority, ']', (size_t)(end - authority));
		if (host_end == NULL || (host_end + 1 != end && host_end[1] != ':'))
			return "its IPv6 address must stand in brackets, like http://[::1]:8080/";
	} else {
		host_end = authority + strcspn(authority, ":/?#");
	}
	if (host_end == host || (size_t)(host_end - host) >= sizeof(url->host))
		return "its host is missing or too long; an IPv6 address stands in brackets";
	memcpy(url->host, host, (size_t)(host_end - host));
	url->host[host_end - host] = '\0';
	host_end += *host_end == ']';
	if (!parse_port(host_end + (*host_end == ':'), (size_t)(end - host_end) - (*host_end == ':'), url->port))
		return "its port must be a number from 1 to 65535";
	(void)snprintf(url->authority, sizeof(url->authority), "%.*s%s%s", (int)(host_end - authority), authority,
		       strcmp(url->port, "80") == 0 ? "" : ":", strcmp(url->port, "80") == 0 ? "" : url->port);
	url->target = end;
	url->target_len = strcspn(end, "#");
	return NULL;
}
