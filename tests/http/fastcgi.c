#include "fastcgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool fastcgi_open(struct fastcgi *f, const char *socket_path)
{
	*f = (struct fastcgi){.fd = unix_connect(socket_path)};
	return f->fd >= 0;
}

void fastcgi_close(struct fastcgi *f)
{
	if (f->fd >= 0) {
		(void)close(f->fd);
		f->fd = -1;
	}
	bytes_free(&f->in);
}

void fastcgi_record_padded(struct bytes *out, int type, int id, const void *content, size_t len, size_t padding)
{
	static const char zeros[255];
	const unsigned char header[8] = {1,
					 (unsigned char)type,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 (unsigned char)(len >> 8),
					 (unsigned char)len,
					 (unsigned char)padding,
					 0};

	bytes_append(out, header, sizeof header);
	bytes_append(out, content, len);
	bytes_append(out, zeros, padding);
}

void fastcgi_record(struct bytes *out, int type, int id, const void *content, size_t len)
{
	fastcgi_record_padded(out, type, id, content, len, 0);
}

void fastcgi_begin(struct bytes *out, int id, int role, int flags)
{
	const unsigned char content[8] = {0, (unsigned char)role, (unsigned char)flags};

	fastcgi_record(out, FASTCGI_BEGIN, id, content, sizeof content);
}

static void append_length(struct bytes *out, size_t len)
{
	if (len < 128) {
		bytes_append(out, &(unsigned char){(unsigned char)len}, 1);
	} else {
		bytes_append(out,
			     (unsigned char[4]){(unsigned char)((len >> 24) | 0x80), (unsigned char)(len >> 16),
						(unsigned char)(len >> 8), (unsigned char)len},
			     4);
	}
}

void fastcgi_pair(struct bytes *out, const char *name, const char *value)
{
	append_length(out, strlen(name));
	append_length(out, strlen(value));
	bytes_text(out, name);
	bytes_text(out, value);
}

void fastcgi_request(struct bytes *out, int id, int flags, const char *method, const char *path, const struct fastcgi_param *more)
{
	BYTES params = {0};

	fastcgi_pair(&params, "REQUEST_METHOD", method);
	fastcgi_pair(&params, "DOCUMENT_URI", path);
	fastcgi_pair(&params, "REQUEST_ID", FASTCGI_REQUEST_ID);
	for (; more != NULL && more->name != NULL; more++)
		fastcgi_pair(&params, more->name, more->value);
	fastcgi_begin(out, id, FASTCGI_RESPONDER, flags);
	fastcgi_record(out, FASTCGI_PARAMS, id, params.p, params.len);
	fastcgi_record(out, FASTCGI_PARAMS, id, "", 0);
	fastcgi_record(out, FASTCGI_STDIN, id, "", 0);
}

bool fastcgi_receive(struct fastcgi *f, struct fastcgi_header *header, struct bytes *content, int timeout_ms)
{
	int64_t end_ms = now_ms() + timeout_ms;

	for (;;) {
		if (f->in.len >= 8) {
			const unsigned char *h = (const unsigned char *)f->in.p;

			*header = (struct fastcgi_header){
				.type = h[1], .id = h[2] << 8 | h[3], .len = (size_t)(h[4] << 8 | h[5]), .padding = h[6]};
			if (h[0] != 1) {
				errno = EPROTO;
				return false;
			}
			if (f->in.len >= 8 + header->len + header->padding) {
				bytes_append(content, f->in.p + 8, header->len);
				bytes_consume(&f->in, 8 + header->len + header->padding);
				return true;
			}
		}
		int64_t left_ms = end_ms - now_ms();
		ssize_t n = receive(f->fd, &f->in, left_ms > 0 ? (int)left_ms : 0);

		if (n <= 0) {
			errno = n == 0 ? EPIPE : errno;
			return false;
		}
	}
}

/* Splits the CGI answer (RFC 3875 §6) of a complete STDOUT stream into status, head and body. */
static void split(const struct bytes *out, bool head, struct answer *a)
{
	char *blank = out->p == NULL ? NULL : strstr(out->p, "\r\n\r\n");

	if (blank == NULL) {
		(void)snprintf(a->error, sizeof a->error, "no blank line behind the head: %.100s", out->p == NULL ? "" : out->p);
		return;
	}
	size_t head_len = (size_t)(blank - out->p) + 4;

	bytes_append(&a->head, out->p, head_len - 2);
	bytes_append(&a->body, out->p + head_len, out->len - head_len);
	const char *length = answer_header(a, "Content-Length");

	if (length != NULL && !head && strtoul(length, NULL, 10) != a->body.len) {
		(void)snprintf(a->error, sizeof a->error, "Content-Length %s, but %zu bytes", length, a->body.len);
		return;
	}
	const char *status = answer_header(a, "Status");

	a->status = status == NULL ? 200 : (int)strtol(status, NULL, 10);
	if (head && a->body.len > 0) {
		(void)snprintf(a->error, sizeof a->error, "a body behind the head of an answer that has none");
		a->status = 0;
	}
}

/* True when the record goes on with the answer; false when it breaks the protocol. */
static bool take_record(const struct fastcgi_header *h, int id, bool *stdout_ended, const struct bytes *content,
			struct bytes *out)
{
	if (h->id != id || h->type != FASTCGI_STDOUT || *stdout_ended)
		return false;
	if (h->len == 0)
		*stdout_ended = true;
	bytes_append(out, content->p, content->len);
	return true;
}

struct answer fastcgi_answer(struct fastcgi *f, int id, bool head)
{
	struct answer a = {0};
	struct fastcgi_header h = {0};
	BYTES out = {0};
	bool stdout_ended = false;

	for (;;) {
		BYTES content = {0};

		if (!fastcgi_receive(f, &h, &content, PATIENCE_MS)) {
			(void)snprintf(a.error, sizeof a.error, "no END_REQUEST: %s", strerror(errno));
			return a;
		}
		if (h.type == FASTCGI_END && h.id == id && h.len == 8) {
			a.protocol_status = (unsigned char)content.p[4];
			if (a.protocol_status != FASTCGI_COMPLETE || (!stdout_ended && out.len == 0)) {
				(void)snprintf(a.error, sizeof a.error, "END_REQUEST without an answer");
				return a;
			}
			break;
		}
		if (!take_record(&h, id, &stdout_ended, &content, &out)) {
			(void)snprintf(a.error, sizeof a.error, "unexpected record: type %d, id %d, %zu bytes", h.type, h.id,
				       h.len);
			return a;
		}
	}
	if (!stdout_ended) {
		(void)snprintf(a.error, sizeof a.error, "END_REQUEST before the empty STDOUT");
		return a;
	}
	split(&out, head, &a);
	return a;
}

struct answer fastcgi_exchange(struct fastcgi *f, int flags, const char *method, const char *path,
			       const struct fastcgi_param *more)
{
	BYTES request = {0};

	fastcgi_request(&request, 1, flags, method, path, more);
	(void)send_all(f->fd, request.p, request.len);
	return fastcgi_answer(f, 1, strcmp(method, "HEAD") == 0);
}

struct answer fastcgi_call(const char *socket_path, const char *method, const char *path, const struct fastcgi_param *more)
{
	struct fastcgi f;

	if (!fastcgi_open(&f, socket_path)) {
		struct answer a = {0};

		(void)snprintf(a.error, sizeof a.error, "can't connect to %s: %s", socket_path, strerror(errno));
		return a;
	}
	struct answer a = fastcgi_exchange(&f, FASTCGI_CLOSE, method, path, more);

	fastcgi_close(&f);
	return a;
}
