/*
 * scan: walks FastCGI records (FastCGI Specification 1.0, §3 and §8) before libfcgi sees them, without I/O or allocation, and says whether one
 * whole, harmless responder request is there. libfcgi 2.4.2 reads blocking, allocates what a name or value length claims (CVE-2025-23016),
 * overflows its buffer on some management records, and parses the padding of BEGIN_REQUEST and of empty records as records: none of that may reach it.
 */
#ifndef AGENTS_SCAN_H
#define AGENTS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes a request may have, records and padding counted. More is SCAN_BAD ("request_too_large"). */
#define SCAN_MAX_BYTES ((size_t)64 * 1024)

enum scan_verdict {
	SCAN_WHOLE, /* [0, length) is one whole request: BEGIN, PARAMS with their end, STDIN with its end (content of STDIN is allowed) */
	SCAN_PARTIAL, /* all good so far, more is needed */
	SCAN_MANAGEMENT, /* [0, length) is one whole management record (request id 0): answer it (scan_management_reply), drop it, scan again */
	SCAN_ABORT, /* [0, length) ends with an ABORT_REQUEST for the request that had begun: answer END_REQUEST, drop them, scan again */
	SCAN_ROLE, /* [0, length) is a BEGIN_REQUEST of a role that is not responder: answer UNKNOWN_ROLE, close */
	SCAN_BAD,  /* a protocol error, named by `reason`: close */
};

struct scan {
	enum scan_verdict verdict;
	size_t length;       /* bytes that the verdict is about; 0 for PARTIAL and BAD */
	uint16_t request_id; /* of the request, where there is one */
	bool keep_conn;      /* FCGI_KEEP_CONN of its BEGIN_REQUEST */
	const char *reason;  /* of SCAN_BAD: const snake_case text for the log; else NULL */
};

/*
 * Refuses (SCAN_BAD): another version than 1, a second BEGIN_REQUEST, records of another request id, records before BEGIN, types that a web server does not
 * send, padding behind BEGIN_REQUEST or behind an empty record, a name-value pair that claims more than its stream holds (a stream of PARAMS is the content of its
 * records put together: pairs may span records), a pair cut off by the end of PARAMS, an odd BEGIN length, more than SCAN_MAX_BYTES.
 * `bytes` may hold more than one request's bytes; only the first is judged.
 */
struct scan scan_request(const uint8_t *bytes, size_t len);

/* Room that scan_management_reply needs. */
#define SCAN_REPLY_BYTES 128

/*
 * Writes the answer to the management record at `record` (length as scan_request said): GET_VALUES_RESULT for the names that it asks for of FCGI_MAX_CONNS,
 * FCGI_MAX_REQS (both `max_conns`) and FCGI_MPXS_CONNS (0), or UNKNOWN_TYPE. Each name is answered at most once. Returns the bytes written.
 */
size_t scan_management_reply(const uint8_t *record, size_t len, unsigned max_conns, uint8_t out[SCAN_REPLY_BYTES]);

/* Writes an END_REQUEST record (16 bytes). */
#define SCAN_END_REQUEST_BYTES 16
void scan_end_request(uint16_t request_id, uint8_t protocol_status, uint8_t out[SCAN_END_REQUEST_BYTES]);

#endif
