#include "scan.h"

#include "str.h"

#include <assert.h>
#include <stdio.h>

/* FastCGI Specification 1.0, §8. */
enum record_type {
	RECORD_BEGIN_REQUEST = 1,
	RECORD_ABORT_REQUEST = 2,
	RECORD_END_REQUEST = 3,
	RECORD_PARAMS = 4,
	RECORD_STDIN = 5,
	RECORD_DATA = 8,
	RECORD_GET_VALUES = 9,
	RECORD_GET_VALUES_RESULT = 10,
	RECORD_UNKNOWN_TYPE = 11,
};

#define VERSION_1 1
#define HEADER_BYTES 8
#define BEGIN_BYTES 8 /* content of BEGIN_REQUEST */
#define ROLE_RESPONDER 1
#define FLAG_KEEP_CONN 1

enum stage { STAGE_BEGIN, STAGE_PARAMS, STAGE_STDIN };

/* A stream of name-value pairs (§3.4), fed in pieces. */
struct pairs {
	uint64_t left;   /* bytes to come of the current pair's name and value */
	uint8_t head[8]; /* its two lengths, as far as they are there */
	unsigned have;
};

struct walk {
	enum stage stage;
	size_t at; /* of the current record's header */
	struct pairs pairs;
	struct scan scan;
};

struct record {
	unsigned type;
	unsigned request_id;
	size_t content;
	size_t padding;
};

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static struct scan bad(const char *reason)
{
	return (struct scan){.verdict = SCAN_BAD, .reason = reason};
}

/* Reads one length (1 byte, or 4 with the top bit set); the bytes it took, 0 when `len` is too few for it. */
static unsigned pair_length(const uint8_t *p, size_t len, uint32_t *out)
{
	if (len < 1)
		return 0;
	if ((p[0] & 0x80) == 0) {
		*out = p[0];
		return 1;
	}
	if (len < 4)
		return 0;
	*out = (uint32_t)(p[0] & 0x7F) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return 4;
}

/* Takes the next `len` bytes of the stream. False when a pair claims more than any stream that we accept could hold. */
static bool pairs_feed(struct pairs *s, const uint8_t *p, size_t len)
{
	while (len > 0) {
		uint32_t name, value;
		unsigned n;

		if (s->left > 0) {
			size_t take = s->left < len ? (size_t)s->left : len;

			s->left -= take;
			p += take;
			len -= take;
		} else if (s->have == 0 && len >= 2 && ((p[0] | p[1]) & 0x80) == 0) {
			s->left = (uint64_t)p[0] + p[1];
			p += 2;
			len -= 2;
		} else {
			s->head[s->have++] = *p++;
			len--;
			n = pair_length(s->head, s->have, &name);
			if (n > 0 && name > SCAN_MAX_BYTES)
				return false;
			if (n == 0 || pair_length(s->head + n, s->have - n, &value) == 0)
				continue;
			s->left = (uint64_t)name + value;
			s->have = 0;
			if (s->left > SCAN_MAX_BYTES)
				return false;
		}
	}
	return true;
}

static bool pairs_complete(const struct pairs *s)
{
	return s->left == 0 && s->have == 0;
}

/* Of a record with request id 0 (§4). The types of applications are refused: an answer to them could be answered in turn. */
static const char *management_type_reason(const struct walk *w, unsigned type)
{
	if (w->stage != STAGE_BEGIN)
		return "management_within_request";
	if (type >= RECORD_BEGIN_REQUEST && type <= RECORD_DATA)
		return "request_id_missing";
	if (type == RECORD_GET_VALUES_RESULT || type == RECORD_UNKNOWN_TYPE)
		return "record_type";
	return NULL;
}

static const char *request_type_reason(const struct walk *w, unsigned type)
{
	switch (type) {
	case RECORD_BEGIN_REQUEST:
		return w->stage == STAGE_BEGIN ? NULL : "second_begin";
	case RECORD_ABORT_REQUEST:
	case RECORD_PARAMS:
	case RECORD_STDIN:
		if (w->stage == STAGE_BEGIN)
			return "record_before_begin";
		if (type == RECORD_PARAMS && w->stage != STAGE_PARAMS)
			return "params_after_end";
		return type == RECORD_STDIN && w->stage != STAGE_STDIN ? "stdin_before_params_end" : NULL;
	default:
		return "record_type";
	}
}

/* What is wrong with the content and padding lengths, NULL when nothing is. */
static const char *length_reason(const struct walk *w, const struct record *r)
{
	if (r->type == RECORD_BEGIN_REQUEST && r->content != BEGIN_BYTES)
		return "begin_length";
	if (r->type == RECORD_ABORT_REQUEST && r->content != 0)
		return "abort_length";
	if (r->padding > 0 && (r->content == 0 || r->type == RECORD_BEGIN_REQUEST))
		return "padding"; /* libfcgi would take it for the next record */
	if (r->type == RECORD_PARAMS && r->content == 0 && !pairs_complete(&w->pairs))
		return "pair_cut_off";
	if (w->at + HEADER_BYTES + r->content + r->padding > SCAN_MAX_BYTES)
		return "request_too_large";
	return NULL;
}

/*
 * Judges the `have` bytes that are there of the header at `h`, each as soon as it is there. Returns the reason of SCAN_BAD, else NULL;
 * `r` is complete only with `have` at 8 or more.
 */
static const char *read_header(const struct walk *w, const uint8_t *h, size_t have, struct record *r)
{
	const char *reason;

	if (have >= 1 && h[0] != VERSION_1)
		return "version";
	if (have < 4) {
		/* Without an id the type tells the two kinds of records apart. */
		if (have < 2)
			return NULL;
		if (request_type_reason(w, h[1]) == NULL || management_type_reason(w, h[1]) == NULL)
			return NULL;
		return request_type_reason(w, h[1]);
	}
	r->type = h[1];
	r->request_id = be16(h + 2);
	reason = r->request_id == 0 ? management_type_reason(w, r->type) : request_type_reason(w, r->type);
	if (reason != NULL)
		return reason;
	if (w->stage != STAGE_BEGIN && r->request_id != w->scan.request_id)
		return "request_id_changed";
	if (have < HEADER_BYTES)
		return NULL;
	r->content = be16(h + 4);
	r->padding = h[6];
	return length_reason(w, r);
}

/* Judges what is there of the record's content. False when it is bad, and w->scan says why. */
static bool read_content(struct walk *w, const struct record *r, const uint8_t *p, size_t have)
{
	struct pairs values = {0};
	bool good = true;

	if (have > r->content)
		have = r->content;
	if (r->type == RECORD_PARAMS)
		good = pairs_feed(&w->pairs, p, have);
	else if (r->type == RECORD_GET_VALUES)
		good = pairs_feed(&values, p, have) && (have < r->content || pairs_complete(&values));
	if (!good)
		w->scan = bad("pair_too_long");
	return good;
}

/* Moves on behind a whole record. True when it ended the walk, and w->scan is the verdict. */
static bool finish_record(struct walk *w, const struct record *r, const uint8_t *content)
{
	w->at += HEADER_BYTES + r->content + r->padding;
	w->scan.length = w->at;
	if (r->request_id == 0) {
		w->scan.verdict = SCAN_MANAGEMENT;
		return true;
	}
	switch (r->type) {
	case RECORD_BEGIN_REQUEST:
		w->scan.request_id = (uint16_t)r->request_id;
		w->scan.keep_conn = (content[2] & FLAG_KEEP_CONN) != 0;
		w->scan.verdict = SCAN_ROLE;
		w->stage = STAGE_PARAMS;
		return be16(content) != ROLE_RESPONDER;
	case RECORD_ABORT_REQUEST:
		w->scan.verdict = SCAN_ABORT;
		return true;
	case RECORD_PARAMS:
		if (r->content == 0)
			w->stage = STAGE_STDIN;
		return false;
	default:
		w->scan.verdict = SCAN_WHOLE;
		return r->content == 0;
	}
}

struct scan scan_request(const uint8_t *bytes, size_t len)
{
	struct walk w = {.stage = STAGE_BEGIN};

	for (;;) {
		struct record r;
		size_t have = len - w.at;
		const char *reason;

		if (w.at + HEADER_BYTES > SCAN_MAX_BYTES)
			return bad("request_too_large");
		reason = read_header(&w, bytes + w.at, have, &r);
		if (reason != NULL)
			return bad(reason);
		if (have < HEADER_BYTES)
			break;
		if (!read_content(&w, &r, bytes + w.at + HEADER_BYTES, have - HEADER_BYTES))
			return w.scan;
		if (have < HEADER_BYTES + r.content + r.padding)
			break;
		if (finish_record(&w, &r, bytes + w.at + HEADER_BYTES))
			return w.scan;
	}
	w.scan.verdict = SCAN_PARTIAL;
	w.scan.length = 0;
	return w.scan;
}

static void put_header(uint8_t *out, unsigned type, unsigned request_id, size_t content)
{
	out[0] = VERSION_1;
	out[1] = (uint8_t)type;
	out[2] = (uint8_t)(request_id >> 8);
	out[3] = (uint8_t)request_id;
	out[4] = (uint8_t)(content >> 8);
	out[5] = (uint8_t)content;
	out[6] = 0;
	out[7] = 0;
}

/* The values that an application can be asked for (§4.1). */
static const struct str value_names[] = {STR("FCGI_MAX_CONNS"), STR("FCGI_MAX_REQS"), STR("FCGI_MPXS_CONNS")};
enum { VALUE_MAX_CONNS, VALUE_MAX_REQS, VALUE_MPXS_CONNS, VALUE_COUNT };
#define VALUE_DIGITS 10 /* of an unsigned */

static_assert(sizeof(value_names) / sizeof(value_names[0]) == VALUE_COUNT, "a name for every value");
static_assert(HEADER_BYTES + VALUE_COUNT * (2 + sizeof("FCGI_MPXS_CONNS") + VALUE_DIGITS) <= SCAN_REPLY_BYTES, "all values fit");

/* Which of the values the names in `content` ask for, a bit each. Stops at the first pair that goes beyond it. */
static unsigned values_asked(const uint8_t *content, size_t len)
{
	unsigned asked = 0;
	size_t at = 0;

	while (at < len) {
		uint32_t name, value;
		unsigned n = pair_length(content + at, len - at, &name), m;

		if (n == 0)
			break;
		m = pair_length(content + at + n, len - at - n, &value);
		if (m == 0 || (uint64_t)name + value > len - at - n - m)
			break;
		at += n + m;
		for (unsigned i = 0; i < VALUE_COUNT; i++)
			if (str_equal(value_names[i], str_make((const char *)content + at, name)))
				asked |= 1U << i;
		at += (size_t)name + value;
	}
	return asked;
}

size_t scan_management_reply(const uint8_t *record, size_t len, unsigned max_conns, uint8_t out[SCAN_REPLY_BYTES])
{
	size_t at = HEADER_BYTES, content;
	unsigned asked;

	assert(len >= HEADER_BYTES);
	if (record[1] != RECORD_GET_VALUES) {
		put_header(out, RECORD_UNKNOWN_TYPE, 0, 8);
		memset(out + HEADER_BYTES, 0, 8);
		out[HEADER_BYTES] = record[1];
		return HEADER_BYTES + 8;
	}
	content = be16(record + 4);
	asked = values_asked(record + HEADER_BYTES, content < len - HEADER_BYTES ? content : len - HEADER_BYTES);
	for (unsigned i = 0; i < VALUE_COUNT; i++) {
		char digits[VALUE_DIGITS + 1];
		int n;

		if ((asked & 1U << i) == 0)
			continue;
		n = snprintf(digits, sizeof(digits), "%u", i == VALUE_MPXS_CONNS ? 0 : max_conns);
		out[at++] = (uint8_t)value_names[i].len;
		out[at++] = (uint8_t)n;
		memcpy(out + at, value_names[i].p, value_names[i].len);
		at += value_names[i].len;
		memcpy(out + at, digits, (size_t)n);
		at += (size_t)n;
	}
	put_header(out, RECORD_GET_VALUES_RESULT, 0, at - HEADER_BYTES);
	return at;
}

void scan_end_request(uint16_t request_id, uint8_t protocol_status, uint8_t out[SCAN_END_REQUEST_BYTES])
{
	static_assert(SCAN_END_REQUEST_BYTES == HEADER_BYTES + 8, "header and content of END_REQUEST");
	put_header(out, RECORD_END_REQUEST, request_id, 8);
	memset(out + HEADER_BYTES, 0, 8);
	out[HEADER_BYTES + 4] = protocol_status; /* behind appStatus, 0 */
}
