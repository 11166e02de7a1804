/*
 * response: reads an HTTP/1.1 answer as it arrives, in pieces of any size (RFC 9112). It keeps no body: it counts it, and compares it with the
 * expected one on the way. Stricter than a browser, since a server under test should speak well: both Content-Length and Transfer-Encoding,
 * folded header lines, a 101, and HTTP/1.0 with Transfer-Encoding are malformed.
 */
#ifndef PACE_RESPONSE_H
#define PACE_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_LINE_MAX 256   /* kept of a line; all that matters is shorter */
#define RESPONSE_HEAD_MAX 65536 /* status lines, headers, chunk sizes and trailers of one answer */

enum response_state {
	RESPONSE_STATUS_LINE,
	RESPONSE_HEADERS,
	RESPONSE_BODY,
	RESPONSE_BODY_TO_CLOSE,
	RESPONSE_CHUNK_SIZE,
	RESPONSE_CHUNK,
	RESPONSE_CHUNK_END,
	RESPONSE_TRAILERS,
	RESPONSE_DONE,
	RESPONSE_MALFORMED,
};

struct expected_body {
	const char *p; /* NULL: any body will do */
	size_t len;
};

struct response {
	enum response_state state;
	bool head;       /* answers HEAD: no body, whatever the headers say */
	bool keep_alive; /* the connection can be used again */
	bool mismatch;   /* a 200 whose body is not the expected one */
	bool chunked;
	bool coded; /* has a Transfer-Encoding */
	bool http10;
	bool line_cut;  /* longer than RESPONSE_LINE_MAX */
	int status;     /* 0 before the status line */
	int64_t length; /* Content-Length; -1: none */
	uint64_t left;  /* of the body or chunk */
	uint64_t body_bytes;
	size_t head_bytes;
	size_t line_len;
	struct expected_body expected;
	char line[RESPONSE_LINE_MAX];
};

void response_init(struct response *r, bool head, struct expected_body expected);

/* Takes what has arrived; returns how much of it belongs to this answer. Less than `len` only once the state is DONE or MALFORMED. */
size_t response_feed(struct response *r, const char *p, size_t len);

/* The peer has closed. True when that is where the answer ends (state DONE); false when it was cut. */
bool response_close(struct response *r);

#endif
