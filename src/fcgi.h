/*
 * fcgi: parses one whole request with libfcgi. The only module that includes fcgiapp.h and touches what stands below its "don't use" line.
 *
 * libfcgi reads blocking and trusts what it reads: hand it only what scan_request called whole. Its writer is not used (frame.h says why).
 * One parser serves all connections of a worker, one request at a time.
 */
#ifndef AGENTS_FCGI_H
#define AGENTS_FCGI_H

#include "str.h"

#include <stdint.h>

struct fcgi;

/* The parameters that the worker reads; absent ones are empty. */
struct fcgi_params {
	struct str method;        /* REQUEST_METHOD */
	struct str path;          /* DOCUMENT_URI */
	struct str request_id;    /* REQUEST_ID */
	struct str if_none_match; /* HTTP_IF_NONE_MATCH */
	struct str origin;        /* HTTP_ORIGIN */
	struct str listener;      /* AGENTS_LISTENER */
	struct str traceparent;   /* HTTP_TRACEPARENT */
};

/*
 * Initialises libfcgi, which installs signal handlers that swallow SIGTERM: set up signals afterwards. NULL, with errno, when out of memory
 * or descriptors.
 */
struct fcgi *fcgi_new(void);
void fcgi_free(struct fcgi *f);

/*
 * Whether there is memory to parse a request of `len` bytes. To be asked before each: libfcgi does not fail without memory, it ends the process (the
 * assertion in Malloc of fcgiapp.c).
 */
bool fcgi_has_memory(size_t len);

/*
 * Parses the request of `len` bytes that waits, whole, in the socket `fd`, and consumes it. `params` points into the library's memory until
 * fcgi_done, which must follow each success. False when libfcgi refuses it: it has then closed `fd`.
 */
bool fcgi_parse_socket(struct fcgi *f, int fd, struct fcgi_params *params);

/* The same for a request that was read into memory. False when libfcgi refuses it or the kernel has no memory. */
bool fcgi_parse_bytes(struct fcgi *f, const uint8_t *bytes, size_t len, struct fcgi_params *params);

void fcgi_done(struct fcgi *f);

#endif
