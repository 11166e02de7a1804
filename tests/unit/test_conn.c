/* wrap: recv sendmsg send malloc calloc realloc free FCGX_Accept_r */
#include "alloc.h"
#include "conn.h"
#include "loop.h"
#include "random.h"
#include "wire.h"

#include <check.h>
#include <errno.h>
#include <fcgiapp.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- faults --- */

enum fault { FAULT_NONE, FAULT_ONE_BYTE, FAULT_EVERY_OTHER_EAGAIN, FAULT_EVERY_OTHER_EINTR, FAULT_EPIPE };

static enum fault send_fault;
static unsigned send_calls;
static int recv_errors[4]; /* errno of the next calls; 0: a call that goes through, -1: the end of the list */
static unsigned recv_calls;
static bool small_sends_fail;
static bool libfcgi_refuses;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __real_send(int fd, const void *p, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t len, int flags);
ssize_t __real_recv(int fd, void *p, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t len, int flags);
int __real_FCGX_Accept_r(FCGX_Request *r);
int __wrap_FCGX_Accept_r(FCGX_Request *r);

static ssize_t fails_with(int error)
{
	errno = error;
	return -1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct iovec one = m->msg_iov[0];
	struct msghdr less = {.msg_iov = &one, .msg_iovlen = 1};

	send_calls++;
	ck_assert_int_eq(flags & (MSG_NOSIGNAL | MSG_DONTWAIT), MSG_NOSIGNAL | MSG_DONTWAIT);
	switch (send_fault) {
	case FAULT_ONE_BYTE:
		one.iov_len = 1;
		return __real_sendmsg(fd, &less, flags);
	case FAULT_EVERY_OTHER_EAGAIN:
		one.iov_len = one.iov_len < 7 ? one.iov_len : 7;
		return send_calls % 2 == 1 ? fails_with(EAGAIN) : __real_sendmsg(fd, &less, flags);
	case FAULT_EVERY_OTHER_EINTR:
		one.iov_len = one.iov_len < 5 ? one.iov_len : 5;
		return send_calls % 2 == 1 ? fails_with(EINTR) : __real_sendmsg(fd, &less, flags);
	case FAULT_EPIPE:
		return fails_with(EPIPE);
	case FAULT_NONE:
	default:
		return __real_sendmsg(fd, m, flags);
	}
}

ssize_t __wrap_send(int fd, const void *p, size_t len, int flags)
{
	return small_sends_fail ? fails_with(EAGAIN) : __real_send(fd, p, len, flags);
}

ssize_t __wrap_recv(int fd, void *p, size_t len, int flags)
{
	if (recv_calls < 4 && recv_errors[recv_calls] >= 0 && recv_errors[recv_calls++] > 0)
		return fails_with(recv_errors[recv_calls - 1]);
	return __real_recv(fd, p, len, flags);
}

/* As libfcgi does when it refuses a request: the descriptor is closed. */
int __wrap_FCGX_Accept_r(FCGX_Request *r)
{
	if (!libfcgi_refuses)
		return __real_FCGX_Accept_r(r);
	(void)close(r->ipcFd);
	return -1;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void recv_fails(int first, int second)
{
	recv_calls = 0;
	recv_errors[0] = first;
	recv_errors[1] = second;
	recv_errors[2] = -1;
}

/* --- the layer above --- */

static struct {
	bool answers; /* at once; else the test does, with answer() */
	unsigned requests;
	unsigned gone;
	unsigned sent[CONN_SENDING_MAX];
	struct conn *conn; /* of the last request */
	char path[128];
} above;

static const struct str head = STR("Status: 200 OK\r\nContent-Type: application/json\r\n\r\n");
static struct body *body;

static void answer(void)
{
	conn_answer(above.conn, head, body);
}

static void on_request(void *user, struct conn *c, const struct fcgi_params *p)
{
	ck_assert_ptr_eq(user, &above);
	ck_assert(str_equal(p->method, str_of("GET")));
	ck_assert(str_equal(p->request_id, str_of("0123456789abcdef")));
	ck_assert_uint_lt(p->path.len, sizeof(above.path));
	memcpy(above.path, p->path.p, p->path.len);
	above.path[p->path.len] = '\0';
	ck_assert_int_eq(c->state, CONN_BUSY);
	above.requests++;
	above.conn = c;
	c->request = &above;
	if (above.answers)
		answer();
}

static void on_gone(void *user, struct conn *c)
{
	ck_assert_ptr_eq(user, &above);
	ck_assert_ptr_eq(c->request, &above);
	above.gone++;
}

static void on_sent(void *user, struct conn *c, enum conn_sending how)
{
	ck_assert_ptr_eq(user, &above);
	ck_assert_ptr_eq(c->request, &above);
	above.sent[how]++;
}

/* --- both ends --- */

static struct ev_loop *loop;
static struct fcgi *fcgi;
static struct conns *cs;
static const struct log quiet = {.fd = -1, .level = LOG_LEVEL_ERROR};

static struct peer {
	int fd;
	struct wire in;
	bool eof;
	bool reset;
} peer;

static void body_make(size_t len)
{
	uint64_t state = 1;

	body_unref(body);
	body = body_new(len);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t n = random_next(&state);

		body_append(body, (const char *)&n, len - i < 8 ? len - i : 8);
	}
}

static void peer_open(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	peer.fd = fds[0];
	peer.in.len = 0;
	peer.eof = peer.reset = false;
	ck_assert(conn_open(cs, fds[1]));
}

static void setup(void)
{
	memset(&above, 0, sizeof(above));
	above.answers = true;
	send_fault = FAULT_NONE;
	send_calls = 0;
	small_sends_fail = libfcgi_refuses = false;
	recv_fails(-1, -1);
	loop = ev_loop_new(EVFLAG_AUTO);
	ck_assert_ptr_nonnull(loop);
	fcgi = fcgi_new();
	ck_assert_ptr_nonnull(fcgi);
	cs = malloc(sizeof(*cs));
	ck_assert_ptr_nonnull(cs);
	conns_init(cs, loop, &quiet, fcgi, (struct conn_events){on_request, on_gone, on_sent}, &above);
	body_make(1000);
	peer_open();
}

static void teardown(void)
{
	(void)close(peer.fd);
	loop_turn(loop);
	(void)conns_abandon(cs);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(body->refs, 1); /* every answer has given up its reference */
	body_unref(body);
	body = NULL;
	wire_free(&peer.in);
	free(cs);
	fcgi_free(fcgi);
	ev_loop_destroy(loop);
}

static void peer_write(const void *p, size_t len)
{
	ck_assert_int_eq(write(peer.fd, p, len), (ssize_t)len);
}

/* At most `most` of what has arrived. */
static void peer_read(size_t most)
{
	uint8_t piece[4096];

	while (most > 0) {
		size_t want = most < sizeof(piece) ? most : sizeof(piece);
		ssize_t n = __real_recv(peer.fd, piece, want, MSG_DONTWAIT);

		peer.eof = peer.eof || n == 0;
		peer.reset = peer.reset || (n < 0 && errno == ECONNRESET);
		if (n <= 0)
			return;
		wire_add(&peer.in, piece, (size_t)n);
		most -= (size_t)n;
	}
}

static void peer_send_request(unsigned flags, const char *path)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, flags, path);
	peer_write(w.bytes, w.len);
	wire_free(&w);
}

/* What arrived is exactly this; it is taken. */
static void peer_has(const struct wire *w)
{
	peer_read(SIZE_MAX);
	ck_assert_uint_eq(peer.in.len, w->len);
	ck_assert(w->len == 0 || memcmp(peer.in.bytes, w->bytes, w->len) == 0);
	peer.in.len = 0;
}

static void peer_has_answer(void)
{
	struct wire w = {NULL, 0, 0};

	wire_answer(&w, 1, head, body_str(body));
	peer_has(&w);
	wire_free(&w);
}

static void peer_has_nothing(void)
{
	peer_has(&(struct wire){NULL, 0, 0});
}

static void is_open(void)
{
	peer_read(SIZE_MAX);
	ck_assert(!peer.eof);
	ck_assert_uint_eq(cs->count, 1);
}

/* Closed in good order: no reset, which would take unread bytes from the peer. */
static void is_closed(void)
{
	peer_read(SIZE_MAX);
	ck_assert(peer.eof);
	ck_assert(!peer.reset);
	ck_assert_uint_eq(cs->count, 0);
}

/* Whole request, answer, and the connection is as good as new. */
static void serves_one(void)
{
	unsigned before = above.requests;

	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, before + 1);
	peer_has_answer();
	is_open();
}

/* --- requests --- */

START_TEST(request_in_one_piece)
{
	peer_send_request(WIRE_KEEP, "/agents");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_str_eq(above.path, "/agents");
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
	ck_assert_uint_eq(send_calls, 1); /* an answer that fits goes out whole or not at all */
	peer_has_answer();
	is_open();
}
END_TEST

START_TEST(request_byte_by_byte)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < w.len; i++) {
			ck_assert_uint_eq(above.requests, (unsigned)round);
			peer_write(w.bytes + i, 1);
			loop_turn(loop);
		}
		ck_assert_uint_eq(above.requests, (unsigned)round + 1);
		ck_assert_str_eq(above.path, "/agents");
		peer_has_answer();
		is_open();
	}
	wire_free(&w);
	serves_one();
}
END_TEST

START_TEST(request_cut_anywhere)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	for (size_t cut = 1; cut < w.len; cut++) {
		peer_write(w.bytes, cut);
		loop_turn(loop);
		ck_assert_uint_eq(above.requests, cut - 1);
		peer_has_nothing();
		peer_write(w.bytes + cut, w.len - cut);
		loop_turn(loop);
		ck_assert_uint_eq(above.requests, cut);
		ck_assert_str_eq(above.path, "/agents");
		peer_has_answer();
		is_open();
	}
	wire_free(&w);
}
END_TEST

START_TEST(kept_connection_is_used_again)
{
	char path[32];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(path, sizeof(path), "/agents/%d", i);
		peer_send_request(WIRE_KEEP, path);
		loop_turn(loop);
		ck_assert_str_eq(above.path, path);
		peer_has_answer();
		is_open();
	}
	ck_assert_uint_eq(above.requests, 100);
	ck_assert_uint_eq(above.sent[CONN_SENT], 100);
}
END_TEST

START_TEST(connection_that_is_not_kept_closes_behind_the_answer)
{
	above.answers = _i == 0;
	peer_send_request(WIRE_CLOSE, "/agents");
	loop_turn(loop);
	if (_i == 1)
		answer();
	peer_has_answer();
	is_closed();
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
}
END_TEST

START_TEST(content_of_stdin_is_dropped)
{
	const char *const pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", "/b", "REQUEST_ID", "0123456789abcdef", NULL};
	struct wire w = {NULL, 0, 0};
	static const char content[20000];

	wire_begin(&w, 1, 1, WIRE_KEEP);
	wire_params(&w, 1, pairs);
	wire_record(&w, WIRE_STDIN, 1, content, sizeof(content));
	wire_record(&w, WIRE_STDIN, 1, content, 1);
	wire_record(&w, WIRE_STDIN, 1, NULL, 0);
	for (int round = 0; round < 2; round++) {
		peer_write(w.bytes, round == 0 ? w.len : 100);
		loop_turn(loop);
		if (round == 1) {
			peer_write(w.bytes + 100, w.len - 100);
			loop_turn(loop);
		}
		peer_has_answer();
		serves_one();
	}
	wire_free(&w);
}
END_TEST

START_TEST(request_of_the_most_bytes_is_served_and_one_more_refused)
{
	const char *pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", "/x", "REQUEST_ID", "0123456789abcdef", "X", NULL, NULL};
	struct wire w = {NULL, 0, 0};
	size_t len = SCAN_MAX_BYTES - 8 * 4 - 8 - 80 - 10 + (size_t)_i;
	char *filling = calloc(1, len + 1);

	ck_assert_ptr_nonnull(filling);
	memset(filling, 'x', len);
	pairs[7] = filling;
	for (;; filling[--len] = '\0') {
		w.len = 0;
		wire_begin(&w, 1, 1, WIRE_KEEP);
		wire_params(&w, 1, pairs);
		wire_record(&w, WIRE_STDIN, 1, NULL, 0);
		if (w.len <= SCAN_MAX_BYTES + (size_t)_i)
			break;
	}
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	if (w.len <= SCAN_MAX_BYTES) {
		ck_assert_uint_eq(above.requests, 1);
		peer_has_answer();
		serves_one();
	} else {
		ck_assert_uint_eq(above.requests, 0);
		ck_assert_uint_eq(cs->count, 0);
	}
	free(filling);
	wire_free(&w);
}
END_TEST

/* --- sending --- */

START_TEST(answer_survives_short_writes)
{
	send_fault = (enum fault)_i;
	peer_send_request(WIRE_KEEP, "/index");
	for (int i = 0; i < 2000 && above.sent[CONN_SENT] == 0; i++) {
		(void)ev_run(loop, EVRUN_NOWAIT);
		peer_read(SIZE_MAX); /* small pieces fill a socket's buffer soon */
	}
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
	ck_assert_uint_gt(send_calls, 100);
	peer_has_answer();
	is_open();
	send_fault = FAULT_NONE;
	serves_one();
}
END_TEST

START_TEST(client_that_left_before_the_answer)
{
	send_fault = FAULT_EPIPE;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert_uint_eq(above.gone, 0);
	is_closed();
}
END_TEST

static bool is_sent(void *arg)
{
	peer_read(1 + random_below(arg, 20000));
	return above.sent[CONN_SENT] > 0;
}

START_TEST(large_answer_reaches_a_slow_reader_whole)
{
	uint64_t state = random_seed();

	body_make(1 << 20);
	peer_send_request(_i == 0 ? WIRE_KEEP : WIRE_CLOSE, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert(loop_until(loop, is_sent, &state));
	peer_has_answer();
	if (_i == 0) {
		is_open();
		body_make(10);
		serves_one();
	} else {
		is_closed();
	}
}
END_TEST

START_TEST(answer_without_a_body_and_with_the_longest_head)
{
	static char longest[CONN_HEAD_BYTES];
	struct wire w = {NULL, 0, 0};
	struct str s = str_make(longest, sizeof(longest));

	memset(longest, 'h', sizeof(longest));
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	conn_answer(above.conn, s, NULL);
	wire_answer(&w, 1, s, str_make("", 0));
	peer_has(&w);
	wire_free(&w);
	is_open();
}
END_TEST

START_TEST(client_leaves_in_the_midst_of_the_answer)
{
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_int_eq(above.conn->state, CONN_SENDING);
	(void)close(peer.fd);
	peer.fd = -1;
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert_uint_eq(cs->count, 0);
}
END_TEST

/* --- reading --- */

START_TEST(interrupted_reads_are_repeated)
{
	static const int errors[] = {EINTR, EAGAIN};
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	recv_fails(errors[_i], -1); /* the first look */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has_answer();
	recv_fails(0, errors[_i]); /* the look goes well, taking it does not */
	peer_write(w.bytes, 20);
	loop_turn(loop);
	recv_fails(errors[_i], errors[_i]); /* the rest */
	peer_write(w.bytes + 20, w.len - 20);
	loop_turn(loop);
	peer_has_answer();
	above.answers = false; /* while the request is served */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	recv_fails(errors[_i], 0);
	ev_feed_event(loop, &above.conn->readable, EV_READ);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 0);
	answer();
	peer_has_answer();
	is_open();
	wire_free(&w);
}
END_TEST

START_TEST(reset_ends_the_connection)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	if (_i == 0) {
		recv_fails(ECONNRESET, -1);
		peer_write(w.bytes, w.len);
	} else if (_i == 1) {
		recv_fails(0, ECONNRESET);
		peer_write(w.bytes, 20);
	} else {
		above.answers = false;
		peer_write(w.bytes, w.len);
		loop_turn(loop);
		recv_fails(ECONNRESET, -1);
		ev_feed_event(loop, &above.conn->readable, EV_READ);
	}
	loop_turn(loop);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.requests, _i == 2 ? 1 : 0);
	ck_assert_uint_eq(above.gone, _i == 2 ? 1 : 0);
	wire_free(&w);
}
END_TEST

START_TEST(no_memory_to_collect_a_request_ends_only_its_connection)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 20);
	alloc_watch(-1, SCAN_MAX_BYTES);
	loop_turn(loop);
	alloc_unwatch();
	ck_assert_int_eq(alloc_failed, 1);
	is_closed();
	ck_assert_uint_eq(above.requests, 0);
	(void)close(peer.fd);
	peer_open();
	serves_one();
	wire_free(&w);
}
END_TEST

START_TEST(no_memory_for_a_connection_closes_its_socket)
{
	int fds[2];
	bool opened;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	alloc_watch(0, SIZE_MAX);
	opened = conn_open(cs, fds[1]);
	alloc_unwatch();
	ck_assert(!opened);
	ck_assert_int_eq(__real_recv(fds[0], &byte, 1, MSG_DONTWAIT), 0);
	ck_assert_uint_eq(cs->count, 1);
	(void)close(fds[0]);
}
END_TEST

START_TEST(request_that_libfcgi_refuses_ends_its_connection)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	libfcgi_refuses = true;
	if (_i == 1) { /* collected in memory */
		peer_write(w.bytes, 20);
		loop_turn(loop);
		peer_write(w.bytes + 20, w.len - 20);
	} else {
		peer_write(w.bytes, w.len);
	}
	loop_turn(loop);
	peer_read(SIZE_MAX);
	ck_assert(peer.eof || peer.reset);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.requests + above.gone, 0);
	libfcgi_refuses = false;
	(void)close(peer.fd);
	peer_open();
	serves_one();
	wire_free(&w);
}
END_TEST

/* --- the client while its request is served --- */

START_TEST(client_that_leaves_is_reported_once)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	if (_i == 0)
		(void)shutdown(peer.fd, SHUT_WR);
	else
		(void)close(peer.fd);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 1);
	ck_assert_uint_eq(cs->count, 0);
	if (_i == 0) {
		peer_has_nothing();
		is_closed();
	} else {
		peer.fd = -1;
	}
	ck_assert_uint_eq(above.sent[CONN_SENT] + above.sent[CONN_LEFT], 0);
}
END_TEST

START_TEST(bytes_before_the_answer_break_the_protocol)
{
	struct wire w = {NULL, 0, 0};

	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	if (_i == 0)
		wire_record(&w, WIRE_ABORT, 1, NULL, 0);
	else
		wire_request(&w, 1, WIRE_KEEP, "/next");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_uint_eq(above.gone, 1);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(two_requests_at_once_break_the_protocol)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/a");
	wire_request(&w, 1, WIRE_KEEP, "/b");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 0);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

/* --- other records --- */

static void get_values(struct wire *w)
{
	struct wire pairs = {NULL, 0, 0};

	wire_pair(&pairs, "FCGI_MPXS_CONNS", "");
	wire_record(w, WIRE_GET_VALUES, 0, pairs.bytes, pairs.len);
	wire_free(&pairs);
}

START_TEST(management_records_are_answered_before_and_between_requests)
{
	struct wire w = {NULL, 0, 0};

	get_values(&w);
	for (int i = 0; i < 3; i++) {
		peer_write(w.bytes, w.len);
		loop_turn(loop);
		peer_read(SIZE_MAX);
		ck_assert_uint_ge(peer.in.len, 8 + 2 + 15 + 1);
		ck_assert_uint_eq(peer.in.bytes[1], 10);
		peer.in.len = 0;
		is_open();
		serves_one();
	}
	get_values(&w); /* two of them and a request in one piece */
	wire_request(&w, 1, WIRE_KEEP, "/index");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 4);
	is_open();
	wire_free(&w);
}
END_TEST

START_TEST(peer_that_takes_no_small_answer_is_closed)
{
	struct wire w = {NULL, 0, 0};

	get_values(&w);
	small_sends_fail = true;
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(abort_of_a_request_that_is_not_whole)
{
	unsigned flags = _i % 2 == 0 ? WIRE_KEEP : WIRE_CLOSE;
	struct wire expected = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};

	wire_begin(&w, 1, 1, flags);
	wire_record(&w, WIRE_ABORT, 1, NULL, 0);
	wire_end(&expected, 1, 0);
	if (_i < 2) {
		peer_write(w.bytes, w.len);
	} else {
		peer_write(w.bytes, 16);
		loop_turn(loop);
		peer_write(w.bytes + 16, w.len - 16);
	}
	loop_turn(loop);
	peer_has(&expected);
	ck_assert_uint_eq(above.requests + above.gone, 0);
	if (flags == WIRE_KEEP)
		serves_one();
	else
		is_closed();
	wire_free(&expected);
	wire_free(&w);
}
END_TEST

START_TEST(role_that_is_no_responder_is_refused)
{
	struct wire expected = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};

	wire_begin(&w, 1, 2, WIRE_KEEP);
	wire_end(&expected, 1, 3); /* FCGI_UNKNOWN_ROLE */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has(&expected);
	is_closed();
	wire_free(&expected);
	wire_free(&w);
}
END_TEST

START_TEST(garbage_closes)
{
	peer_write("GET / HTTP/1.1\r\n\r\n", 18);
	loop_turn(loop);
	peer_has_nothing();
	is_closed();
	ck_assert_uint_eq(above.requests + above.gone, 0);
}
END_TEST

/* --- time-outs --- */

static bool is_empty(void *arg)
{
	(void)arg;
	return cs->count == 0;
}

START_TEST(request_must_be_whole_in_time)
{
	cs->partial_timeout_s = 0.05;
	peer_write("\1\1\0\1\0", 5);
	ck_assert(loop_until(loop, is_empty, NULL));
	is_closed();
	ck_assert_uint_eq(above.requests + above.gone, 0);
}
END_TEST

START_TEST(time_for_a_whole_request_ends_with_it)
{
	struct wire w = {NULL, 0, 0};

	above.answers = false;
	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 30);
	loop_turn(loop);
	peer_write(w.bytes + 30, w.len - 30);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert(!ev_is_active(&above.conn->timer));
	answer();
	ck_assert(!ev_is_active(&above.conn->timer));
	peer_has_answer();
	wire_free(&w);
}
END_TEST

START_TEST(idle_connection_has_no_timer)
{
	struct conn *c;

	loop_turn(loop);
	c = LIST_OBJECT(cs->all.next, struct conn, node);
	ck_assert(!ev_is_active(&c->timer));
	serves_one();
	ck_assert(!ev_is_active(&c->timer));
}
END_TEST

START_TEST(reader_that_stalls_is_given_up)
{
	cs->stall_timeout_s = 0.05;
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert(loop_until(loop, is_empty, NULL));
	ck_assert_uint_eq(above.sent[CONN_STALLED], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT] + above.sent[CONN_LEFT] + above.gone, 0);
}
END_TEST

/* The timer is fired by hand: a busy machine must not decide this. */
START_TEST(reader_that_is_slow_is_not_given_up)
{
	cs->stall_timeout_s = 1000;
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	for (int i = 0; i < 3; i++) {
		peer_read(40000); /* too little for the kernel to call the socket writable */
		ev_invoke(loop, &above.conn->timer, EV_TIMER);
		ck_assert_uint_eq(cs->count, 1);
		ck_assert(ev_is_active(&above.conn->timer));
	}
	ev_invoke(loop, &above.conn->timer, EV_TIMER); /* nothing has been taken since */
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.sent[CONN_STALLED], 1);
}
END_TEST

/* A second client has `peer`'s place from now on; returns the first one's socket. */
static int another_peer_asks(void)
{
	int first = peer.fd;

	peer_open();
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 2);
	return first;
}

static struct conn *asks_and_reads_nothing(void)
{
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_gt(cs->unread.bytes, (1U << 20) - 1);
	return above.conn;
}

START_TEST(answer_that_is_read_for_longest_makes_room)
{
	struct conn *first = asks_and_reads_nothing();
	int fd;

	cs->unread.most_bytes = (1 << 20) + (1 << 19);
	first->unread.since_us -= UNREAD_GRACE_US;
	body_make(1 << 20);
	fd = another_peer_asks();
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0); /* not from within another's answer */
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 1);
	ck_assert_ptr_eq(LIST_OBJECT(cs->all.next, struct conn, node), above.conn);
	ck_assert(loop_until(loop, is_sent, &(uint64_t){1}));
	peer_has_answer();
	ck_assert_uint_eq(cs->unread.bytes, 0);
	(void)close(fd);
}
END_TEST

START_TEST(answers_of_one_body_and_young_ones_make_no_room)
{
	struct conn *first = asks_and_reads_nothing();
	int fd;

	cs->unread.most_bytes = (1 << 20) + (1 << 19);
	if (_i == 0)
		first->unread.since_us -= UNREAD_GRACE_US; /* of the same body as the second */
	else
		body_make(1 << 20); /* young */
	fd = another_peer_asks();
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0);
	ck_assert_uint_eq(cs->count, 2);
	(void)close(fd);
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(cs->unread.bytes, body->cap); /* of the second alone */
}
END_TEST

/* --- the end --- */

START_TEST(draining_closes_idle_connections)
{
	serves_one();
	conns_drain(cs);
	is_closed();
}
END_TEST

START_TEST(draining_serves_what_is_in_the_socket_already)
{
	peer_send_request(WIRE_KEEP, "/agents");
	conns_drain(cs);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	peer_has_answer();
	is_closed();
}
END_TEST

START_TEST(draining_refuses_later_requests_visibly)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/agents");
	loop_turn(loop);
	conns_drain(cs);
	is_open();
	answer();
	peer_has_answer();
	is_closed();
	ck_assert_int_eq(__real_send(peer.fd, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

/* The end of the stream that a drained connection shows is our own doing, not the client's. */
START_TEST(draining_waits_for_the_answer_to_what_it_has_read)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/agents");
	conns_drain(cs);
	for (int i = 0; i < 5; i++)
		loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_uint_eq(above.gone, 0);
	is_open();
	answer();
	peer_has_answer();
	is_closed();
}
END_TEST

START_TEST(draining_lets_a_half_request_become_whole)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 30);
	loop_turn(loop);
	conns_drain(cs);
	loop_turn(loop);
	peer_write(w.bytes + 30, w.len - 30);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	peer_has_answer();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(abandoning_counts_those_with_a_request)
{
	int fds[4];

	for (int i = 0; i < 4; i++) { /* idle, half a request, busy, sending */
		if (i > 0)
			peer_open();
		fds[i] = peer.fd;
		above.answers = i == 3;
		if (i == 1)
			peer_write("\1\1\0\1\0", 5);
		if (i == 3)
			body_make(1 << 20);
		if (i >= 2)
			peer_send_request(WIRE_KEEP, "/index");
		loop_turn(loop);
	}
	ck_assert_uint_eq(cs->count, 4);
	ck_assert_uint_eq(conns_abandon(cs), 2);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.gone, 1);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
}
END_TEST

/* Events that were fetched together with one that freed their connection do not reach it; ASan would tell. */
START_TEST(events_of_a_freed_connection_do_not_reach_it)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ev_feed_event(loop, &above.conn->readable, EV_READ);
	ev_feed_event(loop, &above.conn->writable, EV_WRITE);
	ev_feed_event(loop, &above.conn->timer, EV_TIMER);
	(void)conns_abandon(cs);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 1);
}
END_TEST

START_TEST(bound_that_becomes_lower_needs_no_further_answer)
{
	struct conn *first = asks_and_reads_nothing();

	cs->unread.most_bytes = 1 << 19;
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0); /* young */
	first->unread.since_us -= UNREAD_GRACE_US;
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(cs->unread.bytes, 0);
}
END_TEST

/* The one that would have to make room stands behind the one that is drained, and answered while it is: it must still be there. ASan would tell. */
START_TEST(draining_frees_no_connection_but_the_one_it_looks_at)
{
	struct conn *idle = LIST_OBJECT(cs->all.next, struct conn, node);
	int fd = peer.fd;
	struct conn *slow;

	peer_open();
	slow = asks_and_reads_nothing();
	ck_assert_ptr_eq(idle->node.next, &slow->node);
	slow->unread.since_us -= UNREAD_GRACE_US;
	cs->unread.most_bytes = 1;
	body_make(1 << 20);
	(void)close(peer.fd);
	peer.fd = fd;
	peer_send_request(WIRE_KEEP, "/index");
	conns_drain(cs);
	ck_assert_uint_eq(above.requests, 2);
	ck_assert_int_eq(idle->state, CONN_SENDING);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0);
	ck_assert_uint_eq(cs->count, 2);
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 1);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, request_in_one_piece);
	tcase_add_test(tc, request_byte_by_byte);
	tcase_add_test(tc, request_cut_anywhere);
	tcase_add_test(tc, kept_connection_is_used_again);
	tcase_add_loop_test(tc, connection_that_is_not_kept_closes_behind_the_answer, 0, 2);
	tcase_add_test(tc, content_of_stdin_is_dropped);
	tcase_add_loop_test(tc, request_of_the_most_bytes_is_served_and_one_more_refused, 0, 2);
	tcase_add_loop_test(tc, answer_survives_short_writes, FAULT_ONE_BYTE, FAULT_EPIPE);
	tcase_add_test(tc, client_that_left_before_the_answer);
	tcase_add_loop_test(tc, large_answer_reaches_a_slow_reader_whole, 0, 2);
	tcase_add_test(tc, answer_without_a_body_and_with_the_longest_head);
	tcase_add_test(tc, client_leaves_in_the_midst_of_the_answer);
	tcase_add_loop_test(tc, interrupted_reads_are_repeated, 0, 2);
	tcase_add_loop_test(tc, reset_ends_the_connection, 0, 3);
	tcase_add_test(tc, no_memory_to_collect_a_request_ends_only_its_connection);
	tcase_add_test(tc, no_memory_for_a_connection_closes_its_socket);
	tcase_add_loop_test(tc, request_that_libfcgi_refuses_ends_its_connection, 0, 2);
	tcase_add_loop_test(tc, client_that_leaves_is_reported_once, 0, 2);
	tcase_add_loop_test(tc, bytes_before_the_answer_break_the_protocol, 0, 2);
	tcase_add_test(tc, two_requests_at_once_break_the_protocol);
	tcase_add_test(tc, management_records_are_answered_before_and_between_requests);
	tcase_add_test(tc, peer_that_takes_no_small_answer_is_closed);
	tcase_add_loop_test(tc, abort_of_a_request_that_is_not_whole, 0, 4);
	tcase_add_test(tc, role_that_is_no_responder_is_refused);
	tcase_add_test(tc, garbage_closes);
	tcase_add_test(tc, request_must_be_whole_in_time);
	tcase_add_test(tc, time_for_a_whole_request_ends_with_it);
	tcase_add_test(tc, idle_connection_has_no_timer);
	tcase_add_test(tc, reader_that_stalls_is_given_up);
	tcase_add_test(tc, reader_that_is_slow_is_not_given_up);
	tcase_add_test(tc, answer_that_is_read_for_longest_makes_room);
	tcase_add_loop_test(tc, answers_of_one_body_and_young_ones_make_no_room, 0, 2);
	tcase_add_test(tc, draining_closes_idle_connections);
	tcase_add_test(tc, draining_serves_what_is_in_the_socket_already);
	tcase_add_test(tc, draining_refuses_later_requests_visibly);
	tcase_add_test(tc, draining_waits_for_the_answer_to_what_it_has_read);
	tcase_add_test(tc, draining_lets_a_half_request_become_whole);
	tcase_add_test(tc, abandoning_counts_those_with_a_request);
	tcase_add_test(tc, events_of_a_freed_connection_do_not_reach_it);
	tcase_add_test(tc, bound_that_becomes_lower_needs_no_further_answer);
	tcase_add_test(tc, draining_frees_no_connection_but_the_one_it_looks_at);
}

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_tests(tc);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
