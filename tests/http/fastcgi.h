/*
 * fastcgi: a client of the FastCGI protocol on a worker's own socket (FastCGI Specification 1.0), able to send wrong bytes too.
 *
 * Nothing here asserts: a failed exchange, or an answer that breaks the protocol, is an answer of status 0 with its error.
 */
#ifndef TEST_FASTCGI_H
#define TEST_FASTCGI_H

#include "answer.h"

enum fastcgi_type {
	FASTCGI_BEGIN = 1,
	FASTCGI_ABORT = 2,
	FASTCGI_END = 3,
	FASTCGI_PARAMS = 4,
	FASTCGI_STDIN = 5,
	FASTCGI_STDOUT = 6,
	FASTCGI_STDERR = 7,
	FASTCGI_GET_VALUES = 9,
	FASTCGI_GET_VALUES_RESULT = 10,
	FASTCGI_UNKNOWN_TYPE = 11,
};

enum { FASTCGI_RESPONDER = 1, FASTCGI_AUTHORIZER = 2 };
enum { FASTCGI_CLOSE = 0, FASTCGI_KEEP = 1 };
enum { FASTCGI_COMPLETE = 0, FASTCGI_CANT_MPX = 1, FASTCGI_OVERLOADED = 2, FASTCGI_UNKNOWN_ROLE = 3 };

struct fastcgi_param {
	const char *name;
	const char *value;
};

struct fastcgi {
	int fd;
	struct bytes in; /* what has arrived and belongs to no answer yet */
};

/* False when nobody listens. */
bool fastcgi_open(struct fastcgi *f, const char *socket_path);
void fastcgi_close(struct fastcgi *f);

/* Building blocks, appended to `out`. */
void fastcgi_record(struct bytes *out, int type, int id, const void *content, size_t len);
void fastcgi_record_padded(struct bytes *out, int type, int id, const void *content, size_t len, size_t padding);
void fastcgi_begin(struct bytes *out, int id, int role, int flags);
void fastcgi_pair(struct bytes *out, const char *name, const char *value);
/* A whole request: BEGIN, PARAMS with the method, path, a request id and `more` (NULL, or ended by a NULL name), and an empty STDIN. */
void fastcgi_request(struct bytes *out, int id, int flags, const char *method, const char *path,
		     const struct fastcgi_param *more);

/* The REQUEST_ID that fastcgi_request sends. */
#define FASTCGI_REQUEST_ID "00112233445566778899aabbccddeeff"

struct fastcgi_header {
	int type;
	int id;
	size_t len;
	size_t padding;
};

/* The next whole record of what arrives; its content is appended to `content`. False at the end of the stream, on errors and after `timeout_ms`. */
bool fastcgi_receive(struct fastcgi *f, struct fastcgi_header *header, struct bytes *content, int timeout_ms);

/* Reads one answer to request `id`, up to and with its END_REQUEST. `head` says that no body may follow the head. */
struct answer fastcgi_answer(struct fastcgi *f, int id, bool head);

/* Sends a whole request and reads its answer on an open connection. */
struct answer fastcgi_exchange(struct fastcgi *f, int flags, const char *method, const char *path,
			       const struct fastcgi_param *more);

/* The same on a connection of its own. */
struct answer fastcgi_call(const char *socket_path, const char *method, const char *path, const struct fastcgi_param *more);

#endif
