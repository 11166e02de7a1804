/* wrap: malloc */
/* What fcgi.c relies on below libfcgi's "don't use" line, proven against the installed library. */
#include "fcgi.h"
#include "random.h"
#include "wire.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fcgi *fcgi;
static int near_fd; /* the worker's end */
static int far_fd;  /* the web server's */

static size_t asked_bytes; /* of the last malloc that is not in a shared library */
static bool malloc_fails;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	asked_bytes = size;
	return malloc_fails ? NULL : __real_malloc(size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void open_pair(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	near_fd = fds[0];
	far_fd = fds[1];
}

static void setup(void)
{
	(void)alarm(30); /* a parser that blocks ends the test */
	fcgi = fcgi_new();
	ck_assert_ptr_nonnull(fcgi);
	open_pair();
}

static void teardown(void)
{
	(void)close(near_fd);
	(void)close(far_fd);
	fcgi_free(fcgi);
	(void)alarm(0);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void far_write(const struct wire *w)
{
	ck_assert_int_eq(write(far_fd, w->bytes, w->len), (ssize_t)w->len);
}

static size_t unread(void)
{
	static uint8_t scrap[65536];
	ssize_t n = recv(near_fd, scrap, sizeof(scrap), MSG_PEEK | MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

static void is(struct str found, const char *expected)
{
	ck_assert_msg(str_equal(found, str_of(expected)), "found \"%.*s\", expected \"%s\"", (int)found.len, found.p, expected);
}

static void whole_request(struct wire *w)
{
	const char *const pairs[] = {"REQUEST_METHOD",
				     "GET",
				     "DOCUMENT_URI",
				     "/agents",
				     "REQUEST_ID",
				     "0123456789abcdef",
				     "HTTP_IF_NONE_MATCH",
				     "\"x\", W/\"y\"",
				     "HTTP_ORIGIN",
				     "https://a.example",
				     "AGENTS_LISTENER",
				     "admin",
				     "IGNORED",
				     "value",
				     NULL};

	wire_begin(w, 1, 1, WIRE_KEEP);
	wire_params(w, 1, pairs);
	wire_record(w, WIRE_STDIN, 1, NULL, 0);
}

static void check_params(const struct fcgi_params *p)
{
	is(p->method, "GET");
	is(p->path, "/agents");
	is(p->request_id, "0123456789abcdef");
	is(p->if_none_match, "\"x\", W/\"y\"");
	is(p->origin, "https://a.example");
	is(p->listener, "admin");
}

START_TEST(connection_handed_over_is_parsed_not_accepted)
{
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;

	whole_request(&w);
	far_write(&w);
	ck_assert(fcgi_parse_socket(fcgi, near_fd, &params));
	check_params(&params);
	ck_assert_uint_eq(unread(), 0);
	ck_assert(is_open(near_fd));
	fcgi_done(fcgi);
	ck_assert(is_open(near_fd));
	ck_assert_int_eq(write(near_fd, "!", 1), 1); /* and still a connection in both directions */
	ck_assert_int_eq(recv(far_fd, w.bytes, w.len, MSG_DONTWAIT), 1);
	wire_free(&w);
}
END_TEST

START_TEST(absent_parameters_are_empty)
{
	const char *const pairs[] = {"REQUEST_METHOD", "HEAD", "DOCUMENT_URI", "", NULL};
	struct wire w = {NULL, 0, 0};
	struct fcgi_params p;

	wire_begin(&w, 0xABCD, 1, WIRE_KEEP);
	wire_params(&w, 0xABCD, pairs);
	wire_record(&w, WIRE_STDIN, 0xABCD, NULL, 0);
	far_write(&w);
	ck_assert(fcgi_parse_socket(fcgi, near_fd, &p));
	is(p.method, "HEAD");
	is(p.path, "");
	is(p.request_id, "");
	is(p.if_none_match, "");
	is(p.origin, "");
	is(p.listener, "");
	fcgi_done(fcgi);
	wire_free(&w);
}
END_TEST

/* _i is the length of the STDIN: what is left of it would stand before the next request. */
static const size_t stdin_sizes[] = {0, 1, 7, 4096, 30000};

START_TEST(requests_follow_each_other_on_one_connection)
{
	static const char content[65535];
	char path[32];

	for (int i = 0; i < 3; i++) {
		const char *const pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", path, NULL};
		struct wire w = {NULL, 0, 0};
		struct fcgi_params params;

		(void)snprintf(path, sizeof(path), "/%d", i);
		wire_begin(&w, 1, 1, WIRE_KEEP);
		wire_params(&w, 1, pairs);
		if (stdin_sizes[_i] > 0)
			wire_record(&w, WIRE_STDIN, 1, content, stdin_sizes[_i]);
		wire_record(&w, WIRE_STDIN, 1, NULL, 0);
		far_write(&w);
		ck_assert(fcgi_parse_socket(fcgi, near_fd, &params));
		is(params.path, path);
		ck_assert_uint_eq(unread(), 0);
		fcgi_done(fcgi);
		wire_free(&w);
	}
}
END_TEST

START_TEST(params_in_many_records_with_padding_and_long_values)
{
	static char value[5000];
	struct wire content = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;

	memset(value, 'v', sizeof(value) - 1);
	wire_pair(&content, "DOCUMENT_URI", "/agents");
	wire_pair(&content, "HTTP_IF_NONE_MATCH", value);
	wire_pair(&content, "REQUEST_METHOD", "GET");
	wire_begin(&w, 1, 1, WIRE_KEEP);
	for (size_t at = 0; at < content.len; at += 100) { /* pairs span records */
		size_t n = content.len - at < 100 ? content.len - at : 100;

		wire_record(&w, WIRE_PARAMS, 1, content.bytes + at, n);
		w.bytes[w.len - n - 2] = 3; /* padding */
		wire_add(&w, "\xee\xee\xee", 3);
	}
	wire_record(&w, WIRE_PARAMS, 1, NULL, 0);
	wire_record(&w, WIRE_STDIN, 1, NULL, 0);
	far_write(&w);
	ck_assert(fcgi_parse_socket(fcgi, near_fd, &params));
	is(params.path, "/agents");
	is(params.method, "GET");
	is(params.if_none_match, value);
	ck_assert_uint_eq(unread(), 0);
	fcgi_done(fcgi);
	wire_free(&content);
	wire_free(&w);
}
END_TEST

/* --- what libfcgi refuses --- */

static void garbage(struct wire *w, int kind)
{
	switch (kind) {
	case 0: /* another version */
		wire_add(w, "\2\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0", 16);
		break;
	case 1: /* BEGIN of an odd length */
		wire_record(w, WIRE_BEGIN, 1, "\0\1\0\0\0\0\0", 7);
		break;
	case 2: /* a pair that claims a thousand bytes of three */
		wire_begin(w, 1, 1, WIRE_KEEP);
		wire_record(w, WIRE_PARAMS, 1, "\200\0\3\350\0abc", 8);
		wire_record(w, WIRE_PARAMS, 1, NULL, 0);
		break;
	case 3: /* PARAMS cut off */
		wire_begin(w, 1, 1, WIRE_KEEP);
		wire_record(w, WIRE_PARAMS, 1, "\11\11abc", 5);
		wire_record(w, WIRE_PARAMS, 1, NULL, 0);
		break;
	default: /* the end of the stream in the midst of BEGIN */
		wire_add(w, "\1\1\0\1", 4);
		break;
	}
}

START_TEST(refusal_closes_the_descriptor_once)
{
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;
	int refused = near_fd;
	int pair_far = far_fd;
	int reused;

	garbage(&w, _i);
	far_write(&w);
	(void)shutdown(far_fd, _i == 4 ? SHUT_WR : SHUT_RD);
	ck_assert(!fcgi_parse_socket(fcgi, refused, &params));
	ck_assert(!is_open(refused));
	/* The number goes to another connection, which nothing may close behind our back. */
	open_pair();
	reused = near_fd;
	ck_assert_int_eq(reused, refused);
	w.len = 0;
	whole_request(&w);
	far_write(&w);
	ck_assert(fcgi_parse_socket(fcgi, reused, &params));
	check_params(&params);
	fcgi_done(fcgi);
	ck_assert(is_open(reused));
	ck_assert(fcgi_parse_bytes(fcgi, w.bytes, w.len, &params));
	fcgi_done(fcgi);
	ck_assert(is_open(reused));
	(void)close(pair_far);
	wire_free(&w);
}
END_TEST

/* The peers stay: libfcgi would wait up to two seconds for each to leave, were it not told that it is detached; forty would outlast the alarm. */
START_TEST(refusal_does_not_wait_for_the_peer)
{
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;
	int peers[40];

	garbage(&w, 0);
	for (int i = 0; i < 40; i++) {
		far_write(&w);
		ck_assert(!fcgi_parse_socket(fcgi, near_fd, &params));
		peers[i] = far_fd;
		open_pair();
	}
	for (int i = 0; i < 40; i++)
		(void)close(peers[i]);
	wire_free(&w);
}
END_TEST

START_TEST(refused_bytes_do_no_lasting_harm)
{
	struct wire bad = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;

	garbage(&bad, _i);
	whole_request(&w);
	for (int i = 0; i < 3; i++) {
		ck_assert(!fcgi_parse_bytes(fcgi, bad.bytes, bad.len, &params));
		ck_assert(fcgi_parse_bytes(fcgi, w.bytes, w.len, &params));
		check_params(&params);
		fcgi_done(fcgi);
		ck_assert(is_open(near_fd));
		ck_assert(is_open(far_fd));
	}
	wire_free(&bad);
	wire_free(&w);
}
END_TEST

/* --- from memory --- */

START_TEST(bytes_are_parsed_again_and_again)
{
	uint64_t state = random_seed();

	for (int i = 0; i < 300; i++) {
		struct wire w = {NULL, 0, 0};
		struct fcgi_params params;
		char path[600];
		size_t len = 1 + random_below(&state, sizeof(path) - 1);

		memset(path, 'a' + i % 26, len);
		path[len - 1] = '\0';
		wire_request(&w, 1, WIRE_KEEP, path); /* longer and shorter than the one before */
		ck_assert(fcgi_parse_bytes(fcgi, w.bytes, w.len, &params));
		is(params.path, path);
		is(params.method, "GET");
		is(params.if_none_match, ""); /* nothing of an earlier one */
		fcgi_done(fcgi);
		wire_free(&w);
	}
}
END_TEST

/* Leaks are what ASan's build is for; this tells without it. */
START_TEST(memory_comes_back)
{
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;
	size_t before = 0;

	whole_request(&w);
	for (int i = 0; i < 1200; i++) {
		if (i == 200)
			before = mallinfo2().uordblks;
		if (i % 2 == 0)
			far_write(&w);
		if (i % 2 == 0)
			ck_assert(fcgi_parse_socket(fcgi, near_fd, &params));
		else
			ck_assert(fcgi_parse_bytes(fcgi, w.bytes, w.len, &params));
		fcgi_done(fcgi);
	}
	ck_assert_uint_le(mallinfo2().uordblks, before + 4096); /* 1,000 requests; Check's own messages take some */
	wire_free(&w);
}
END_TEST

/* Parameters of these lengths, as many as a request may have, take libfcgi no more memory than is looked for. */
static const struct {
	size_t name, value, pairs;
} parameters[] = {{0, 0, 32000}, {1, 0, 20000}, {4, 10, 4000}, {14, 20, 31}, {20, 200, 250}, {100, 60000, 1}, {1, 1, 1}};

START_TEST(memory_that_is_looked_for_is_enough)
{
	static char letters[60001];
	struct wire w = {NULL, 0, 0}, content = {NULL, 0, 0};
	struct fcgi_params params;
	size_t before, looked_for;
	bool has;

	memset(letters, 'x', sizeof(letters) - 1);
	for (size_t i = 0; i < parameters[_i].pairs; i++)
		wire_pair(&content, letters + sizeof(letters) - 1 - parameters[_i].name,
			  letters + sizeof(letters) - 1 - parameters[_i].value);
	wire_begin(&w, 1, 1, WIRE_KEEP);
	for (size_t at = 0; at < content.len; at += 32000)
		wire_record(&w, WIRE_PARAMS, 1, content.bytes + at, content.len - at < 32000 ? content.len - at : 32000);
	wire_record(&w, WIRE_PARAMS, 1, NULL, 0);
	wire_record(&w, WIRE_STDIN, 1, NULL, 0);
	has = fcgi_has_memory(w.len);
	looked_for = asked_bytes;
	ck_assert(has);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	ck_assert(fcgi_parse_bytes(fcgi, w.bytes, w.len, &params));
	ck_assert_uint_le(mallinfo2().uordblks + mallinfo2().hblkhd, before + looked_for);
	fcgi_done(fcgi);
	malloc_fails = true;
	has = fcgi_has_memory(w.len);
	malloc_fails = false;
	ck_assert(!has);
	wire_free(&content);
	wire_free(&w);
}
END_TEST

START_TEST(descriptors_come_back)
{
	struct wire w = {NULL, 0, 0};
	struct fcgi_params params;
	int before;
	int after;

	whole_request(&w);
	before = dup(0);
	(void)close(before);
	for (int i = 0; i < 100; i++) {
		struct fcgi *another = fcgi_new();

		ck_assert_ptr_nonnull(another);
		ck_assert(fcgi_parse_bytes(another, w.bytes, w.len, &params));
		fcgi_done(another);
		fcgi_free(another);
	}
	after = dup(0);
	(void)close(after);
	ck_assert_int_eq(after, before);
	fcgi_free(NULL);
	wire_free(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fcgi");
	TCase *tc = tcase_create("all");
	TCase *counted = tcase_create("counted");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, connection_handed_over_is_parsed_not_accepted);
	tcase_add_test(tc, absent_parameters_are_empty);
	tcase_add_loop_test(tc, requests_follow_each_other_on_one_connection, 0, 5);
	tcase_add_test(tc, params_in_many_records_with_padding_and_long_values);
	tcase_add_loop_test(tc, refusal_closes_the_descriptor_once, 0, 5);
	tcase_add_test(tc, refusal_does_not_wait_for_the_peer);
	tcase_add_loop_test(tc, refused_bytes_do_no_lasting_harm, 0, 5);
	tcase_add_test(tc, bytes_are_parsed_again_and_again);
	tcase_add_test(tc, descriptors_come_back);
	suite_add_tcase(s, tc);
	tcase_set_timeout(counted, 60);
	tcase_add_checked_fixture(counted, setup, teardown);
	tcase_set_tags(counted, "no-valgrind"); /* memory is counted by mallinfo2, which knows none of valgrind's */
	tcase_add_test(counted, memory_comes_back);
	tcase_add_loop_test(counted, memory_that_is_looked_for_is_enough, 0, sizeof(parameters) / sizeof(parameters[0]));
	suite_add_tcase(s, counted);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
