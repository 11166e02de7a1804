#include "json.h"

/* Most bytes a byte of a string may become: \u001F. */
#define ESCAPED_BYTES ((size_t)6)

/* -2147483648 */
#define INT_BYTES ((size_t)11)

/* A longer string is written in pieces, lest six times its length be reserved for escapes that hardly ever come. */
#define PIECE_BYTES ((size_t)4096)

/* The letter behind the backslash for bytes that JSON wants escaped; 0 for all others. 'u' stands for \u00XX. */
/* clang-format off */
static const unsigned char escape_letter[256] = {
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u', /* 0x00 */
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', /* 0x10 */
	['"'] = '"', ['\\'] = '\\',
};
/* clang-format on */

static const char digit_pairs[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
				     "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
				     "8081828384858687888990919293949596979899";

/* Where `bytes` more may be written, or NULL. */
static inline char *room(struct body *b, size_t bytes)
{
	if (__builtin_expect(b->cap - b->len < bytes, 0) && !body_reserve(b, bytes))
		return NULL;
	return b->data + b->len;
}

static inline void advance(struct body *b, const char *end)
{
	b->len = (size_t)(end - b->data);
}

/* Keys and most values have fewer than 33 bytes: two copies that may overlap are shorter than a call of memcpy. */
static inline char *put(char *out, struct str s)
{
	const char *p = s.p;
	size_t len = s.len;

	if (len > 32) {
		memcpy(out, p, len);
	} else if (len >= 16) {
		memcpy(out, p, 16);
		memcpy(out + len - 16, p + len - 16, 16);
	} else if (len >= 8) {
		memcpy(out, p, 8);
		memcpy(out + len - 8, p + len - 8, 8);
	} else if (len >= 4) {
		memcpy(out, p, 4);
		memcpy(out + len - 4, p + len - 4, 4);
	} else if (len > 0) {
		out[0] = p[0];
		out[len / 2] = p[len / 2];
		out[len - 1] = p[len - 1];
	}
	return out + len;
}

static char *put_escape(char *out, unsigned char c)
{
	*out++ = '\\';
	*out++ = (char)escape_letter[c];
	if (escape_letter[c] == 'u') {
		*out++ = '0';
		*out++ = '0';
		*out++ = (char)('0' + (c >> 4));
		*out++ = "0123456789ABCDEF"[c & 0xf];
	}
	return out;
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Whether one of the eight bytes is a control character, a quote or a backslash; arithmetic on all eight at once. */
static inline bool any_escaped(uint64_t w)
{
	uint64_t quote = w ^ EACH_BYTE('"');
	uint64_t backslash = w ^ EACH_BYTE('\\');

	return (((w - EACH_BYTE(0x20)) & ~w) | ((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash)) &
	       EACH_BYTE(0x80);
}

static inline uint64_t word(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Copies a string as far as it needs no escape, the last bytes perhaps twice. False when it needs one. */
static inline bool put_clean(char *out, const char *p, size_t len)
{
	uint64_t w;

	if (len >= 8) {
		for (size_t i = 0; i < len - 8; i += 8) {
			w = word(p + i);
			if (any_escaped(w))
				return false;
			memcpy(out + i, &w, 8);
		}
		w = word(p + len - 8);
		memcpy(out + len - 8, &w, 8);
		return !any_escaped(w);
	}
	if (len >= 4) {
		uint32_t first;
		uint32_t last;

		memcpy(&first, p, 4);
		memcpy(&last, p + len - 4, 4);
		memcpy(out, &first, 4);
		memcpy(out + len - 4, &last, 4);
		return !any_escaped((uint64_t)first << 32 | last);
	}
	for (size_t i = 0; i < len; i++) {
		if (escape_letter[(unsigned char)p[i]] != 0)
			return false;
		out[i] = p[i];
	}
	return true;
}

static char *put_dirty(char *out, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end) {
		const char *stop;

		for (uint64_t w; end - p >= 8; p += 8, out += 8) {
			w = word(p);
			if (any_escaped(w))
				break;
			memcpy(out, &w, 8);
		}
		stop = end - p >= 8 ? p + 8 : end;
		for (; p < stop; p++) {
			unsigned char c = (unsigned char)*p;

			if (escape_letter[c] == 0)
				*out++ = (char)c;
			else
				out = put_escape(out, c);
		}
	}
	return out;
}

/* Copies `len` bytes, escaped; the room behind `out` is ESCAPED_BYTES for each. */
static inline char *put_escaped(char *out, const char *p, size_t len)
{
	return __builtin_expect(put_clean(out, p, len), 1) ? out + len : put_dirty(out, p, len);
}

static inline char *put_pair(char *out, uint32_t below_100)
{
	memcpy(out, digit_pairs + 2 * below_100, 2);
	return out + 2;
}

static inline char *put_int(char *out, int32_t value)
{
	char text[INT_BYTES];
	char *p = text + sizeof(text);
	uint32_t u = (uint32_t)value;

	if (value < 0) {
		*out++ = '-';
		u = -u;
	}
	for (; u >= 100; u /= 100)
		put_pair(p -= 2, u % 100);
	if (u < 10)
		*out++ = (char)('0' + u);
	else
		out = put_pair(out, u);
	return put(out, str_make(p, (size_t)(text + sizeof(text) - p)));
}

static void long_string(struct body *b, struct str prefix, struct str s)
{
	body_append_str(b, prefix);
	body_append(b, "\"", 1);
	while (s.len > 0) {
		size_t len = s.len < PIECE_BYTES ? s.len : PIECE_BYTES;
		char *out = room(b, ESCAPED_BYTES * len);

		if (out == NULL)
			return;
		advance(b, put_escaped(out, s.p, len));
		s = str_make(s.p + len, s.len - len);
	}
	body_append(b, "\"", 1);
}

void json_member_string(struct body *b, struct str prefix, struct str s)
{
	char *out;

	if (__builtin_expect(s.len > PIECE_BYTES, 0)) {
		long_string(b, prefix, s);
		return;
	}
	out = room(b, prefix.len + ESCAPED_BYTES * s.len + 2);
	if (out == NULL)
		return;
	out = put(out, prefix);
	*out++ = '"';
	out = put_escaped(out, s.p, s.len);
	*out++ = '"';
	advance(b, out);
}

void json_member_int(struct body *b, struct str prefix, int32_t value)
{
	char *out = room(b, prefix.len + INT_BYTES);

	if (out != NULL)
		advance(b, put_int(put(out, prefix), value));
}

void json_member_raw(struct body *b, struct str prefix, struct str value)
{
	char *out = room(b, prefix.len + value.len);

	if (out != NULL)
		advance(b, put(put(out, prefix), value));
}

void json_member_timestamp(struct body *b, struct str prefix, struct str text)
{
	size_t start = b->len + prefix.len;
	char *space;

	json_member_string(b, prefix, text);
	if (b->failed)
		return;
	/* infinity and -infinity have no space; of 0044-03-15 12:00:00 BC the second one stays. */
	space = memchr(b->data + start, ' ', b->len - start);
	if (space != NULL)
		*space = 'T';
}

void json_write_string(struct body *b, struct str s)
{
	json_member_string(b, str_make("", 0), s);
}

void json_write_int(struct body *b, int32_t value)
{
	json_member_int(b, str_make("", 0), value);
}

void json_write_null(struct body *b)
{
	body_append(b, "null", 4);
}
