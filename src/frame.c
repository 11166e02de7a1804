#include "frame.h"

#include <assert.h>
#include <fastcgi.h>

static_assert(sizeof(FCGI_Header) == FRAME_RECORD_BYTES, "a record header has 8 bytes");
static_assert(FRAME_CONTENT_MAX <= FCGI_MAX_LENGTH && FRAME_CONTENT_MAX % 8 == 0, "full records need no padding");

static size_t record_count(size_t content)
{
	return (content + FRAME_CONTENT_MAX - 1) / FRAME_CONTENT_MAX;
}

size_t frame_length(const struct frame *f)
{
	size_t content = f->head.len + f->body.len;

	return content + record_count(content) * FRAME_RECORD_BYTES + FRAME_TRAILER_BYTES;
}

static void record_header(uint8_t *out, uint8_t type, uint16_t id, size_t content)
{
	out[0] = FCGI_VERSION_1;
	out[1] = type;
	out[2] = (uint8_t)(id >> 8);
	out[3] = (uint8_t)id;
	out[4] = (uint8_t)(content >> 8);
	out[5] = (uint8_t)content;
	out[6] = 0;
	out[7] = 0;
}

/* The iovecs of one call; pieces before the wanted offset are skipped. */
struct cursor {
	struct iovec *iov;
	int count;
	size_t skip;
};

static void add(struct cursor *c, const void *p, size_t len)
{
	if (c->skip >= len) {
		c->skip -= len;
		return;
	}
	c->iov[c->count].iov_base = (char *)(uintptr_t)p + c->skip;
	c->iov[c->count].iov_len = len - c->skip;
	c->count++;
	c->skip = 0;
}

/* Content bytes [from, from + len) of head and body put together. */
static void add_content(struct cursor *c, const struct frame *f, size_t from, size_t len)
{
	if (from < f->head.len) {
		size_t n = f->head.len - from < len ? f->head.len - from : len;

		add(c, f->head.p + from, n);
		from += n;
		len -= n;
	}
	if (len > 0)
		add(c, f->body.p + (from - f->head.len), len);
}

int frame_iov(const struct frame *f, size_t offset, struct frame_scratch *scratch)
{
	const size_t full = FRAME_RECORD_BYTES + FRAME_CONTENT_MAX;
	size_t content = f->head.len + f->body.len;
	size_t records = record_count(content);
	size_t first = offset / full < records ? offset / full : records;
	struct cursor c = {scratch->iov, 0, 0};
	size_t i;

	if (offset >= frame_length(f))
		return 0;
	c.skip = first < records ? offset - first * full : offset - (content + records * FRAME_RECORD_BYTES);
	for (i = first; i < records && i - first < FRAME_RECORDS; i++) {
		size_t from = i * FRAME_CONTENT_MAX;
		size_t len = content - from < FRAME_CONTENT_MAX ? content - from : FRAME_CONTENT_MAX;

		record_header(scratch->records[i - first], FCGI_STDOUT, f->request_id, len);
		add(&c, scratch->records[i - first], FRAME_RECORD_BYTES);
		add_content(&c, f, from, len);
	}
	if (i == records) {
		record_header(scratch->trailer, FCGI_STDOUT, f->request_id, 0);
		record_header(scratch->trailer + 8, FCGI_END_REQUEST, f->request_id, 8);
		memset(scratch->trailer + 16, 0, 8); /* application status 0, FCGI_REQUEST_COMPLETE */
		add(&c, scratch->trailer, FRAME_TRAILER_BYTES);
	}
	return c.count;
}
