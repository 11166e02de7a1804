/*
 * Answers through the parser: whole, in every split, and mutated at random. TEST_SEED is another seed.
 */
#include "random.h"
#include "response.h"
#include "suite.h"

#define BODY "abcdefghij"

struct outcome {
	enum response_state state;
	int status;
	bool keep_alive;
	bool mismatch;
	uint64_t body_bytes;
	size_t used;
};

/* `piece`: bytes at a time; 0: as the seed says. The bytes are copied to the end of a block of their own, so that a read beyond shows. */
static struct outcome parse(const char *text, size_t len, size_t piece, uint64_t *seed, bool head, bool closed)
{
	struct response r;
	size_t at = 0;

	memset(&r, 0xa5, sizeof(r));
	response_init(&r, head, (struct expected_body){BODY, strlen(BODY)});
	while (at < len && r.state < RESPONSE_DONE) {
		size_t n = piece > 0 ? piece : 1 + random_below(seed, 40);
		char *block;
		size_t used;

		n = n < len - at ? n : len - at;
		block = malloc(n);
		ck_assert_ptr_nonnull(block);
		memcpy(block, text + at, n);
		used = response_feed(&r, block, n);
		free(block);
		ck_assert_uint_le(used, n);
		if (used < n)
			ck_assert_int_ge(r.state, RESPONSE_DONE);
		at += used;
	}
	if (closed)
		(void)response_close(&r);
	return (struct outcome){r.state, r.status, r.keep_alive, r.mismatch, r.body_bytes, at};
}

static const struct {
	const char *text;
	enum response_state state;
	int status;
	bool keep_alive;
	bool mismatch;
	uint64_t body_bytes;
	size_t left; /* bytes behind the answer */
} cases[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200\r\ncontent-LENGTH:10\r\n\r\n" BODY, RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\ncontent-length: \t10 \n\n" BODY, RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n" BODY "x", RESPONSE_MALFORMED, 200, true, false, 0,
	 13},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdefghix", RESPONSE_DONE, 200, true, true, 10, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcdefghi", RESPONSE_DONE, 200, true, true, 9, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nabcdefghijk", RESPONSE_DONE, 200, true, true, 11, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RESPONSE_DONE, 200, true, true, 0, 0},
	{"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", RESPONSE_DONE, 404, true, false, 2, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" BODY "HTTP/1.1", RESPONSE_DONE, 200, true, false, 10, 8},
	{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, false, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nConnection: foo , CLOSE\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, false, false, 10,
	 0},
	{"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, false, false, 10, 0},
	{"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 10\r\n\r\n" BODY, RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\r\n\r\n" BODY, RESPONSE_BODY_TO_CLOSE, 200, false, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" BODY, RESPONSE_BODY_TO_CLOSE, 200, false, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n", RESPONSE_DONE, 200, true,
	 false, 10, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: x,Chunked\r\n\r\n00A ; a=\"b\"\r\n" BODY "\r\n0\r\nX: y\r\nZ: 1\r\n\r\n",
	 RESPONSE_DONE, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" BODY "x\r\n", RESPONSE_MALFORMED, 200, true, false, 10, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 10\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0,
	 0},
	{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE_MALFORMED, 200, false, false, 0, 0},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", RESPONSE_DONE, 204, true, false, 0, 0},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", RESPONSE_DONE, 304, true, false, 0, 0},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", RESPONSE_DONE, 204,
	 true, false, 0, 0},
	{"HTTP/1.1 101 Switching\r\n\r\n", RESPONSE_MALFORMED, 101, true, false, 0, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1a\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length : 10\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", RESPONSE_MALFORMED, 200, true, false, 0, 2},
	{"HTTP/1.1 99 OK\r\n\r\n", RESPONSE_MALFORMED, 0, false, false, 0, 2},
	{"HTTP/1.1 600 OK\r\n\r\n", RESPONSE_MALFORMED, 0, false, false, 0, 2},
	{"HTTP/1.1 2000 OK\r\n\r\n", RESPONSE_MALFORMED, 0, false, false, 0, 2},
	{"HTTP/1.x 200 OK\r\n\r\n", RESPONSE_MALFORMED, 0, false, false, 0, 2},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", RESPONSE_BODY, 200, true, false, 3, 0},
	{"HTTP/1.1 200 OK\r\nContent-Len", RESPONSE_HEADERS, 200, true, false, 0, 0},
	{"", RESPONSE_STATUS_LINE, 0, false, false, 0, 0},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

START_TEST(each_answer_in_every_split)
{
	uint64_t seed = 1;

	for (int i = 0; i < CASES; i++) {
		size_t len = strlen(cases[i].text);

		for (size_t piece = 1; piece <= len || piece == 1; piece++) {
			struct outcome o = parse(cases[i].text, len, piece, &seed, false, false);

			ck_assert_msg(o.state == cases[i].state && o.status == cases[i].status,
				      "case %d in pieces of %zu: state %d, status %d", i, piece, (int)o.state, o.status);
			ck_assert_msg(len - o.used == cases[i].left, "case %d in pieces of %zu: %zu used of %zu", i, piece,
				      o.used, len);
			ck_assert_uint_eq(o.body_bytes, cases[i].body_bytes);
			ck_assert_int_eq(o.keep_alive, cases[i].keep_alive);
			ck_assert_int_eq(o.mismatch, cases[i].mismatch);
		}
	}
}
END_TEST

START_TEST(what_does_not_begin_like_an_answer_is_known_at_once)
{
	uint64_t seed = 1;

	ck_assert_int_eq(parse("S", 1, 1, &seed, false, false).state, RESPONSE_MALFORMED);
	ck_assert_int_eq(parse("\r\nHTTP/1.1 200 OK\r\n\r\n", 21, 21, &seed, false, false).state, RESPONSE_MALFORMED);
	ck_assert_int_eq(parse("HTTP/2", 6, 1, &seed, false, false).state, RESPONSE_MALFORMED);
	ck_assert_int_eq(parse("HTTP/1.1", 8, 1, &seed, false, false).state, RESPONSE_STATUS_LINE);
}
END_TEST

START_TEST(the_end_of_the_connection)
{
	uint64_t seed = 1;

	for (int i = 0; i < CASES; i++) {
		struct outcome o = parse(cases[i].text, strlen(cases[i].text), 7, &seed, false, true);

		ck_assert_int_eq(o.state == RESPONSE_DONE,
				 cases[i].state == RESPONSE_DONE || cases[i].state == RESPONSE_BODY_TO_CLOSE);
	}
	/* The length counts there, too. */
	ck_assert(parse("HTTP/1.1 200 OK\r\n\r\nabc", 22, 50, &seed, false, true).mismatch);
}
END_TEST

START_TEST(answers_to_head_have_no_body)
{
	const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
	uint64_t seed = 1;
	struct outcome o = parse(text, strlen(text), 3, &seed, true, false);

	ck_assert_int_eq(o.state, RESPONSE_DONE);
	ck_assert(!o.mismatch && o.keep_alive);
}
END_TEST

/* Feeds `begin`, then `again` over and over; how many bytes until the parser has enough of it. */
static size_t endless(const char *begin, const char *again, enum response_state *state)
{
	struct response r;
	size_t total = 0;

	response_init(&r, false, (struct expected_body){0});
	(void)response_feed(&r, begin, strlen(begin));
	while (r.state < RESPONSE_DONE && total < RESPONSE_HEAD_MAX * 4)
		total += response_feed(&r, again, strlen(again));
	*state = r.state;
	return total;
}

START_TEST(heads_have_a_limit)
{
	static const struct {
		const char *begin;
		const char *again;
	} endings[] = {
		{"HTTP/1.1 200 OK\r\n", "X-Endless: header\r\n"},
		{"HTTP/1.1 200 OK\r\nX: ", "and no end of line"},
		{"HTTP/1.1 200 ", "reason"},
		{"", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X-Trailer: x\r\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "extension"},
	};

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		enum response_state state;
		size_t total = endless(endings[i].begin, endings[i].again, &state);

		ck_assert_int_eq(state, RESPONSE_MALFORMED);
		ck_assert_uint_le(total, RESPONSE_HEAD_MAX + 32);
		ck_assert_uint_gt(total, RESPONSE_HEAD_MAX - 100);
	}
}
END_TEST

START_TEST(long_lines_are_skipped_unless_they_matter)
{
	static const char *const names[] = {"X-Long", "Connection", "Content-Length", "Transfer-Encoding"};

	for (size_t i = 0; i < 4; i++) {
		char text[2048];
		uint64_t seed = 1;
		int len = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s: %01000d\r\nContent-Length: 10\r\n\r\n%s", names[i],
				   0, BODY);
		struct outcome o = parse(text, (size_t)len, 13, &seed, false, false);

		ck_assert_int_eq(o.state, i == 0 ? RESPONSE_DONE : RESPONSE_MALFORMED);
	}
}
END_TEST

/* Random splits and mutations: no read out of bounds (the sanitizers look), no state but the known ones, and the same in any split. */
START_TEST(mutated_answers_in_random_splits)
{
	static const char bits[] = "\r\n\r\n:;,0123456789abcdefAF \t\0HTTP/1.1Content-Length: chunked\x80\xff";
	uint64_t seed = random_seed();

	for (int round = 0; round < 30000; round++) {
		char text[512];
		size_t len = strlen(cases[round % CASES].text);
		struct outcome a, b;
		bool head = random_below(&seed, 8) == 0, closed = random_below(&seed, 2) == 0;

		memcpy(text, cases[round % CASES].text, len);
		for (uint32_t n = random_below(&seed, 6); n > 0 && len > 0; n--) {
			size_t at = random_below(&seed, (uint32_t)len);

			switch (random_below(&seed, 4)) {
			case 0:
				memmove(text + at, text + at + 1, len - at - 1);
				len--;
				break;
			case 1:
				if (len < sizeof(text)) {
					memmove(text + at + 1, text + at, len - at);
					len++;
				}
				text[at] = bits[random_below(&seed, sizeof(bits))];
				break;
			case 2:
				text[at] = (char)random_below(&seed, 256);
				break;
			default:
				text[at] = bits[random_below(&seed, sizeof(bits))];
				break;
			}
		}
		a = parse(text, len, 0, &seed, head, closed);
		b = parse(text, len, sizeof(text), &seed, head, closed);
		ck_assert_int_ge(a.state, RESPONSE_STATUS_LINE);
		ck_assert_int_le(a.state, RESPONSE_MALFORMED);
		ck_assert_int_eq(a.state, b.state);
		ck_assert_int_eq(a.status, b.status);
		if (a.state != RESPONSE_MALFORMED) {
			ck_assert_uint_eq(a.body_bytes, b.body_bytes);
			ck_assert_uint_eq(a.used, b.used);
			ck_assert_int_eq(a.mismatch, b.mismatch);
			ck_assert_int_eq(a.keep_alive, b.keep_alive);
		}
	}
}
END_TEST

int main(void)
{
	return SUITE("response", 0, each_answer_in_every_split, what_does_not_begin_like_an_answer_is_known_at_once,
		     the_end_of_the_connection, answers_to_head_have_no_body, heads_have_a_limit,
		     long_lines_are_skipped_unless_they_matter, mutated_answers_in_random_splits);
}
