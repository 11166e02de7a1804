#include "response.h"

#include <string.h>
#include <strings.h>

struct text {
	const char *p;
	size_t len;
};

void response_init(struct response *r, bool head, struct expected_body expected)
{
	/* Not the line: it is as long as its length says. */
	memset(r, 0, offsetof(struct response, line));
	r->head = head;
	r->expected = expected;
	r->length = -1;
}

static bool is(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

static struct text trim(struct text t)
{
	while (t.len > 0 && (*t.p == ' ' || *t.p == '\t')) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* Takes the first element off a comma-separated list. */
static bool take_element(struct text *list, struct text *element)
{
	const char *comma = list->len == 0 ? NULL : memchr(list->p, ',', list->len);
	size_t len = comma == NULL ? list->len : (size_t)(comma - list->p);

	if (list->len == 0)
		return false;
	*element = trim((struct text){list->p, len});
	len += comma != NULL;
	list->p += len;
	list->len -= len;
	return true;
}

/* Digits only, of base 10 or 16; false for anything else and for more than 18 decimal or 15 hexadecimal digits. */
static bool parse_number(struct text t, unsigned base, uint64_t *value)
{
	*value = 0;
	if (t.len == 0 || t.len > (base == 10 ? 18 : 15))
		return false;
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];
		unsigned digit = c - (unsigned)'0';

		if (digit > 9)
			digit = (c | 0x20u) - (unsigned)'a' < 6 ? (c | 0x20u) - (unsigned)'a' + 10 : base;
		if (digit >= base)
			return false;
		*value = *value * base + digit;
	}
	return true;
}

/* "HTTP/1.1 200 OK"; the phrase, and the space before it, may be missing. */
static bool parse_status_line(struct response *r, struct text line)
{
	uint64_t status;

	if (line.len < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[7] < '0' || line.p[7] > '9' || line.p[8] != ' ' ||
	    !parse_number((struct text){line.p + 9, 3}, 10, &status) || (line.len > 12 && line.p[12] != ' ') || status < 100 ||
	    status > 599)
		return false;
	r->http10 = line.p[7] == '0';
	r->keep_alive = !r->http10;
	r->status = (int)status;
	return true;
}

static bool parse_content_length(struct response *r, struct text value)
{
	uint64_t length;

	/* Said twice, it must say the same. */
	if (!parse_number(value, 10, &length) || (r->length >= 0 && r->length != (int64_t)length))
		return false;
	r->length = (int64_t)length;
	return true;
}

static bool parse_transfer_encoding(struct response *r, struct text list)
{
	struct text coding;

	r->coded = true;
	while (take_element(&list, &coding)) {
		if (r->chunked) /* must be the last */
			return false;
		r->chunked = is(coding, "chunked");
	}
	return true;
}

static void parse_connection(struct response *r, struct text list)
{
	struct text option;
	bool close = false;

	while (take_element(&list, &option)) {
		close = close || is(option, "close");
		r->keep_alive = r->keep_alive || is(option, "keep-alive");
	}
	r->keep_alive = r->keep_alive && !close;
}

/* Characters of a field name (RFC 9110, 5.6.2). */
static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return t.len > 0;
}

static bool parse_header(struct response *r, struct text line)
{
	const char *colon = memchr(line.p, ':', line.len);
	struct text name = {line.p, colon == NULL ? 0 : (size_t)(colon - line.p)};
	struct text value;
	bool length, coding, connection;

	/* A line so long that its name was cut has no name that matters. */
	if (colon == NULL)
		return r->line_cut;
	if (!is_token(name))
		return false;
	length = is(name, "content-length");
	coding = is(name, "transfer-encoding");
	connection = is(name, "connection");
	if (r->line_cut)
		return !length && !coding && !connection;
	value = trim((struct text){colon + 1, line.len - name.len - 1});
	if (connection)
		parse_connection(r, value);
	return length ? parse_content_length(r, value) : coding ? parse_transfer_encoding(r, value) : true;
}

static void finish(struct response *r)
{
	r->state = RESPONSE_DONE;
	if (r->status == 200 && !r->head && r->expected.p != NULL && r->body_bytes != r->expected.len)
		r->mismatch = true;
}

/* How the body is framed (RFC 9112, 6.3). */
static void end_headers(struct response *r)
{
	if (r->status == 101 || (r->coded && (r->http10 || r->length >= 0))) {
		r->state = RESPONSE_MALFORMED;
	} else if (r->status < 200) {
		size_t head_bytes = r->head_bytes; /* goes on, so that interim answers end, too */

		response_init(r, r->head, r->expected);
		r->head_bytes = head_bytes;
	} else if (r->head || r->status == 204 || r->status == 304) {
		finish(r);
	} else if (r->chunked) {
		r->state = RESPONSE_CHUNK_SIZE;
	} else if (r->coded || r->length < 0) {
		r->keep_alive = false;
		r->state = RESPONSE_BODY_TO_CLOSE;
	} else {
		r->left = (uint64_t)r->length;
		r->state = RESPONSE_BODY;
		if (r->left == 0)
			finish(r);
	}
}

/* Hexadecimal, perhaps with an extension behind a semicolon. */
static bool parse_chunk_size(struct response *r, struct text line)
{
	const char *semicolon = memchr(line.p, ';', line.len);
	struct text digits = trim((struct text){line.p, semicolon == NULL ? line.len : (size_t)(semicolon - line.p)});

	if ((r->line_cut && semicolon == NULL) || !parse_number(digits, 16, &r->left))
		return false;
	r->state = r->left == 0 ? RESPONSE_TRAILERS : RESPONSE_CHUNK;
	return true;
}

/* A whole line, without its end. */
static void take_line(struct response *r, struct text line)
{
	bool good = memchr(line.p, '\0', line.len) == NULL && memchr(line.p, '\r', line.len) == NULL;

	if (!good) {
		r->state = RESPONSE_MALFORMED;
		return;
	}
	switch (r->state) {
	case RESPONSE_STATUS_LINE:
		good = parse_status_line(r, line);
		r->state = RESPONSE_HEADERS;
		break;
	case RESPONSE_HEADERS:
		if (line.len == 0)
			end_headers(r);
		else
			good = parse_header(r, line);
		break;
	case RESPONSE_CHUNK_SIZE:
		good = parse_chunk_size(r, line);
		break;
	case RESPONSE_CHUNK_END:
		good = line.len == 0;
		r->state = RESPONSE_CHUNK_SIZE;
		break;
	default: /* trailers say nothing of interest */
		if (line.len == 0)
			finish(r);
		break;
	}
	if (!good)
		r->state = RESPONSE_MALFORMED;
}

/* Collects a line up to its LF and hands it on. Returns how much was taken. */
static size_t feed_line(struct response *r, const char *p, size_t len)
{
	const char *lf = memchr(p, '\n', len);
	size_t taken = lf == NULL ? len : (size_t)(lf - p) + 1;
	size_t text = lf == NULL ? len : taken - 1;
	size_t room = sizeof(r->line) - r->line_len;
	size_t kept = text < room ? text : room;
	size_t line_len;

	memcpy(r->line + r->line_len, p, kept);
	r->line_len += kept;
	r->line_cut = r->line_cut || kept < text;
	r->head_bytes += taken;
	/* What does not even begin like an answer is known at once, not at its first LF. */
	if (r->head_bytes > RESPONSE_HEAD_MAX ||
	    (r->state == RESPONSE_STATUS_LINE && memcmp(r->line, "HTTP/1.", r->line_len < 7 ? r->line_len : 7) != 0)) {
		r->state = RESPONSE_MALFORMED;
		return taken;
	}
	if (lf != NULL) {
		line_len = r->line_len;
		if (!r->line_cut && line_len > 0 && r->line[line_len - 1] == '\r')
			line_len--;
		take_line(r, (struct text){r->line, line_len});
		r->line_len = 0;
		r->line_cut = false;
	}
	return taken;
}

static size_t feed_body(struct response *r, const char *p, size_t len)
{
	if (r->state != RESPONSE_BODY_TO_CLOSE && len > r->left)
		len = (size_t)r->left;
	if (r->status == 200 && r->expected.p != NULL && !r->mismatch)
		r->mismatch = len > r->expected.len - r->body_bytes || memcmp(r->expected.p + r->body_bytes, p, len) != 0;
	r->body_bytes += len;
	if (r->state == RESPONSE_BODY_TO_CLOSE)
		return len;
	r->left -= len;
	if (r->left == 0 && r->state == RESPONSE_CHUNK)
		r->state = RESPONSE_CHUNK_END;
	else if (r->left == 0)
		finish(r);
	return len;
}

size_t response_feed(struct response *r, const char *p, size_t len)
{
	size_t at = 0;

	while (at < len && r->state < RESPONSE_DONE) {
		bool body = r->state == RESPONSE_BODY || r->state == RESPONSE_BODY_TO_CLOSE || r->state == RESPONSE_CHUNK;

		at += body ? feed_body(r, p + at, len - at) : feed_line(r, p + at, len - at);
	}
	return at;
}

bool response_close(struct response *r)
{
	if (r->state == RESPONSE_BODY_TO_CLOSE)
		finish(r);
	return r->state == RESPONSE_DONE;
}
