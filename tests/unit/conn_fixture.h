/*
 * conn_fixture: a connection of conns with both its ends in one process: `peer` writes and reads what a web server would, `above` notes what the
 * layer above is told. Calls to the socket can be made to fail, and the flags of each send are looked at: the program that includes this has a
 * wrap line naming recv sendmsg send FCGX_Accept_r fcgi_has_memory.
 */
#ifndef TESTS_CONN_FIXTURE_H
#define TESTS_CONN_FIXTURE_H

#include "conn.h"
#include "loop.h"
#include "random.h"
#include "suite.h"
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
static bool libfcgi_lacks_memory;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __real_send(int fd, const void *p, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t len, int flags);
ssize_t __real_recv(int fd, void *p, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t len, int flags);
int __real_FCGX_Accept_r(FCGX_Request *r);
int __wrap_FCGX_Accept_r(FCGX_Request *r);
bool __real_fcgi_has_memory(size_t len);
bool __wrap_fcgi_has_memory(size_t len);

static inline ssize_t fails_with(int error)
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

bool __wrap_fcgi_has_memory(size_t len)
{
	return !libfcgi_lacks_memory && __real_fcgi_has_memory(len);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static inline void recv_fails(int first, int second)
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

static inline void answer(void)
{
	conn_answer(above.conn, head, body);
}

static inline void on_request(void *user, struct conn *c, const struct fcgi_params *p)
{
	ck_assert_ptr_eq(user, &above);
	ck_assert(libfcgi_lacks_memory == (p == NULL));
	above.path[0] = '\0';
	if (p != NULL) {
		ck_assert(str_equal(p->method, str_of("GET")));
		ck_assert(str_equal(p->request_id, str_of("0123456789abcdef")));
		ck_assert_uint_lt(p->path.len, sizeof(above.path));
		memcpy(above.path, p->path.p, p->path.len);
		above.path[p->path.len] = '\0';
	}
	ck_assert_int_eq(c->state, CONN_BUSY);
	above.requests++;
	above.conn = c;
	c->request = &above;
	if (above.answers)
		answer();
}

static inline void on_gone(void *user, struct conn *c)
{
	ck_assert_ptr_eq(user, &above);
	ck_assert_ptr_eq(c->request, &above);
	above.gone++;
}

static inline void on_sent(void *user, struct conn *c, enum conn_sending how)
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

static inline void body_make(size_t len)
{
	uint64_t state = 1;

	body_unref(body);
	body = body_new(len);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t n = random_next(&state);

		body_append(body, (const char *)&n, len - i < 8 ? len - i : 8);
	}
}

static inline void peer_open(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	peer.fd = fds[0];
	peer.in.len = 0;
	peer.eof = peer.reset = false;
	ck_assert(conn_open(cs, fds[1]));
}

static inline void setup(void)
{
	memset(&above, 0, sizeof(above));
	above.answers = true;
	send_fault = FAULT_NONE;
	send_calls = 0;
	small_sends_fail = libfcgi_refuses = libfcgi_lacks_memory = false;
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

static inline void teardown(void)
{
	(void)close(peer.fd);
	loop_turn(loop);
	(void)conns_abandon(cs, CONN_SENDING);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(body->refs, 1); /* every answer has given up its reference */
	body_unref(body);
	body = NULL;
	wire_free(&peer.in);
	free(cs);
	fcgi_free(fcgi);
	ev_loop_destroy(loop);
}

static inline void peer_write(const void *p, size_t len)
{
	ck_assert_int_eq(write(peer.fd, p, len), (ssize_t)len);
}

/* At most `most` of what has arrived. */
static inline void peer_read(size_t most)
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

static inline void peer_send_request(unsigned flags, const char *path)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, flags, path);
	peer_write(w.bytes, w.len);
	wire_free(&w);
}

/* What arrived is exactly this; it is taken. */
static inline void peer_has(const struct wire *w)
{
	peer_read(SIZE_MAX);
	ck_assert_uint_eq(peer.in.len, w->len);
	ck_assert(w->len == 0 || memcmp(peer.in.bytes, w->bytes, w->len) == 0);
	peer.in.len = 0;
}

static inline void peer_has_answer(void)
{
	struct wire w = {NULL, 0, 0};

	wire_answer(&w, 1, head, body_str(body));
	peer_has(&w);
	wire_free(&w);
}

static inline void peer_has_nothing(void)
{
	peer_has(&(struct wire){NULL, 0, 0});
}

static inline void is_open(void)
{
	peer_read(SIZE_MAX);
	ck_assert(!peer.eof);
	ck_assert_uint_eq(cs->count, 1);
}

static inline struct conn *asks_and_reads_nothing(void)
{
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_gt(cs->unread.bytes, (1U << 20) - 1);
	return above.conn;
}

/* Closed in good order: no reset, which would take unread bytes from the peer. */
static inline void is_closed(void)
{
	peer_read(SIZE_MAX);
	ck_assert(peer.eof);
	ck_assert(!peer.reset);
	ck_assert_uint_eq(cs->count, 0);
}

/* Whole request, answer, and the connection is as good as new. */
static inline void serves_one(void)
{
	unsigned before = above.requests;

	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, before + 1);
	peer_has_answer();
	is_open();
}

static inline bool is_empty(void *arg)
{
	(void)arg;
	return cs->count == 0;
}

#endif
