/*
 * http: clients of the real nginx: libcurl for whole exchanges, a plain TCP socket for bytes that no library would send.
 *
 * Nothing here asserts, except the environment being there: a failed transfer is an answer of status 0 with its error.
 */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include "answer.h"

#include <curl/curl.h>

/* A client that keeps its connections. One thread at a time. */
struct http {
	CURL *curl;
	bool decode; /* ask for gzip, and decompress what comes */
};

void http_open(struct http *h);
void http_close(struct http *h);

/* One exchange. `url` is absolute; `headers` is NULL or a NULL-terminated list of "Name: value". The path is sent as it is. */
struct answer http_exchange(struct http *h, const char *method, const char *url, const char *const *headers);

/* Connections that the last exchange had to open: 0 when it reused a kept one. */
long http_connects(const struct http *h);

/* One exchange on a connection of its own, with the public ($BASE_URL) or the admin listener ($ADMIN_URL). */
struct answer http_public(const char *method, const char *path, const char *const *headers);
struct answer http_get(const char *path);
struct answer http_admin(const char *method, const char *path);

/* A TCP connection to the public listener; -1 on failure. */
int http_connect(void);

/* Reads one answer with a Content-Length (or none: 1xx, 204, 304, or `head`) from a raw connection; what follows it stays in `in`. */
struct answer http_receive(int fd, struct bytes *in, bool head);

/* Sends `text` on a connection of its own and reads one answer. */
struct answer http_raw(const char *text, size_t len);

#endif
