/*
 * frame: an answer as FastCGI records (FastCGI Specification 1.0, §3.3, §5): STDOUT records with the CGI header block and the body, an
 * empty STDOUT, END_REQUEST. Nothing is copied: a frame describes its bytes, and any part of them can be had as an iovec to send.
 */
#ifndef AGENTS_FRAME_H
#define AGENTS_FRAME_H

#include "str.h"

#include <stdint.h>
#include <sys/uio.h>

#define FRAME_RECORD_BYTES 8
#define FRAME_TRAILER_BYTES 24

/* Content of a full STDOUT record: the largest multiple of 8 below 65,536, so that no record needs padding. */
#define FRAME_CONTENT_MAX 65528

/* Records described by one call of frame_iov; each may need its header, a piece of the head and a piece of the body. */
#define FRAME_RECORDS 16
#define FRAME_IOVS (3 * FRAME_RECORDS + 1)

struct frame {
	struct str head; /* the CGI header block with its empty line, RFC 3875 §6.2; the caller's */
	struct str body; /* the caller's */
	uint16_t request_id;
};

/* Where frame_iov keeps the record headers that its iovecs point to. */
struct frame_scratch {
	uint8_t records[FRAME_RECORDS][FRAME_RECORD_BYTES];
	uint8_t trailer[FRAME_TRAILER_BYTES];
	struct iovec iov[FRAME_IOVS];
};

/* Length of the whole answer in bytes, records counted. */
size_t frame_length(const struct frame *f);

/*
 * Describes the bytes from `offset` on, as many as FRAME_IOVS allows, in scratch->iov; returns the count of iovecs, 0 at the end. The iovecs
 * point into the frame's strings and the scratch, and are good until either changes.
 */
int frame_iov(const struct frame *f, size_t offset, struct frame_scratch *scratch);

#endif
