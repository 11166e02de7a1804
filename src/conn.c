#include "conn.h"

#include "frame.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What GET_VALUES is told of FCGI_MAX_CONNS and FCGI_MAX_REQS: a hint for web servers that ask; descriptors are the real bound. */
#define MAX_CONNS_HINT 1000

static void on_readable(struct ev_loop *loop, ev_io *w, int revents);
static void on_writable(struct ev_loop *loop, ev_io *w, int revents);
static void on_timer(struct ev_loop *loop, ev_timer *w, int revents);

void conns_init(struct conns *cs, struct ev_loop *loop, const struct log *log, struct fcgi *fcgi, struct conn_events events,
		void *user)
{
	cs->loop = loop;
	cs->log = log;
	cs->fcgi = fcgi;
	cs->events = events;
	cs->user = user;
	list_init(&cs->all);
	cs->count = 0;
	cs->partial_timeout_s = 5.0;
	cs->stall_timeout_s = 30.0;
	cs->draining = false;
	unread_init(&cs->unread, SIZE_MAX);
}

bool conn_open(struct conns *cs, int fd)
{
	struct conn *c = malloc(sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		return false;
	}
	memset(c, 0, offsetof(struct conn, head));
	c->conns = cs;
	c->fd = fd;
	c->state = CONN_IDLE;
	unread_answer_init(&c->unread);
	list_append(&cs->all, &c->node);
	cs->count++;
	ev_io_init(&c->readable, on_readable, fd, EV_READ);
	ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
	ev_init(&c->timer, on_timer);
	c->readable.data = c;
	c->writable.data = c;
	c->timer.data = c;
	ev_io_start(cs->loop, &c->readable);
	return true;
}

/* Forgets a connection whose socket is closed. Stopped watchers lose their pending events, so none can reach it. */
static void forget(struct conn *c)
{
	struct conns *cs = c->conns;

	ev_io_stop(cs->loop, &c->readable);
	ev_io_stop(cs->loop, &c->writable);
	ev_timer_stop(cs->loop, &c->timer);
	list_remove(&c->node);
	cs->count--;
	free(c->in);
	unread_remove(&cs->unread, &c->unread);
	body_unref(c->body);
	free(c);
}

/* Closes without resetting: a Unix socket closed with unread bytes resets its peer, which may not have read our last answer yet. */
static void close_quietly(struct conn *c)
{
	ssize_t n;
	int most = 32;

	(void)shutdown(c->fd, SHUT_RD);
	do
		n = recv(c->fd, c->conns->peek, sizeof(c->conns->peek), MSG_DONTWAIT);
	while (n > 0 && --most > 0);
	(void)close(c->fd);
	forget(c);
}

/* The client left or broke the protocol: ends whatever was under way. */
static void break_off(struct conn *c)
{
	if (c->state == CONN_BUSY)
		c->conns->events.gone(c->conns->user, c);
	else if (c->state == CONN_SENDING)
		c->conns->events.sent(c->conns->user, c, CONN_LEFT);
	close_quietly(c);
}

static void protocol_error(struct conn *c, const char *reason)
{
	log_event(c->conns->log, LOG_LEVEL_WARN, "protocol_error", LOG_NO_REQUEST, "{s:s}", "reason", reason);
	break_off(c);
}

/* The request has been taken from the socket; its parameters, NULL for want of memory, belong to libfcgi. */
static void hand_over(struct conn *c, const struct scan *s, const struct fcgi_params *params)
{
	struct conns *cs = c->conns;

	c->state = CONN_BUSY;
	c->keep = s->keep_conn;
	c->request_id = s->request_id;
	if (c->deaf)
		ev_io_stop(cs->loop, &c->readable);
	cs->events.request(cs->user, c, params);
	if (params != NULL)
		fcgi_done(cs->fcgi);
}

/* A small answer outside any request. False (and closed) when the peer does not even take that. */
static bool send_small(struct conn *c, const uint8_t *bytes, size_t len)
{
	if (send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		return true;
	close_quietly(c);
	return false;
}

static void forget_input(struct conn *c)
{
	free(c->in);
	c->in = NULL;
	c->in_len = 0;
	ev_timer_stop(c->conns->loop, &c->timer);
}

/* Drops the first `len` collected bytes. */
static void drop_input(struct conn *c, size_t len)
{
	c->in_len -= len;
	memmove(c->in, c->in + len, c->in_len);
	if (c->in_len == 0)
		forget_input(c);
}

static void serve_collected(struct conn *c, const struct scan *s)
{
	bool room = fcgi_has_memory(s->length);
	struct fcgi_params params;

	if (c->in_len > s->length) {
		protocol_error(c, "bytes_behind_request");
		return;
	}
	if (room && !fcgi_parse_bytes(c->conns->fcgi, c->in, s->length, &params)) {
		protocol_error(c, "refused_by_libfcgi");
		return;
	}
	forget_input(c);
	hand_over(c, s, room ? &params : NULL);
}

static void answer_role(struct conn *c, const struct scan *s)
{
	uint8_t end[SCAN_END_REQUEST_BYTES];

	scan_end_request(s->request_id, FCGI_UNKNOWN_ROLE, end);
	if (send_small(c, end, sizeof(end)))
		protocol_error(c, "unknown_role");
}

/* Answers an abort of a request that never became whole; false when that closed the connection. */
static bool answer_abort(struct conn *c, const struct scan *s)
{
	uint8_t end[SCAN_END_REQUEST_BYTES];

	scan_end_request(s->request_id, FCGI_REQUEST_COMPLETE, end);
	if (!send_small(c, end, sizeof(end)))
		return false;
	if (!s->keep_conn) {
		close_quietly(c);
		return false;
	}
	return true;
}

static bool answer_management(struct conn *c, const struct scan *s)
{
	uint8_t reply[SCAN_REPLY_BYTES];
	size_t len = scan_management_reply(c->in, s->length, MAX_CONNS_HINT, reply);

	return send_small(c, reply, len);
}

/* Acts on the collected bytes until they are used up or more are needed. */
static void process_collected(struct conn *c)
{
	while (c->in != NULL) {
		struct scan s = scan_request(c->in, c->in_len);

		switch (s.verdict) {
		case SCAN_WHOLE:
			serve_collected(c, &s);
			return;
		case SCAN_PARTIAL:
			if (!ev_is_active(&c->timer)) {
				ev_timer_set(&c->timer, c->conns->partial_timeout_s, 0.);
				ev_timer_start(c->conns->loop, &c->timer);
			}
			return;
		case SCAN_MANAGEMENT:
			if (!answer_management(c, &s))
				return;
			break;
		case SCAN_ABORT:
			if (!answer_abort(c, &s))
				return;
			break;
		case SCAN_ROLE:
			answer_role(c, &s);
			return;
		case SCAN_BAD:
		default:
			protocol_error(c, s.reason);
			return;
		}
		drop_input(c, s.length);
	}
}

/* Takes what has arrived into memory. */
static void collect(struct conn *c)
{
	ssize_t n;

	if (c->in == NULL && (c->in = malloc(SCAN_MAX_BYTES + 1)) == NULL) {
		protocol_error(c, "out_of_memory");
		return;
	}
	n = recv(c->fd, c->in + c->in_len, SCAN_MAX_BYTES + 1 - c->in_len, MSG_DONTWAIT);
	if (n > 0) {
		c->in_len += (size_t)n;
		process_collected(c);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_quietly(c); /* in the midst of a request, or of nothing: there is no one left to answer */
	}
}

/* The usual case: a whole request has arrived in one piece. Parses it where it is. */
static void serve_from_socket(struct conn *c, const struct scan *s)
{
	struct conns *cs = c->conns;
	bool room = fcgi_has_memory(s->length);
	struct fcgi_params params;

	if (!room) {
		(void)recv(c->fd, cs->peek, s->length, MSG_DONTWAIT); /* it is there: it has been peeked at */
	} else if (!fcgi_parse_socket(cs->fcgi, c->fd, &params)) {
		log_event(cs->log, LOG_LEVEL_WARN, "protocol_error", LOG_NO_REQUEST, "{s:s}", "reason", "refused_by_libfcgi");
		forget(c); /* the socket is closed already */
		return;
	}
	hand_over(c, s, room ? &params : NULL);
}

static void read_request(struct conn *c)
{
	struct scan s;
	ssize_t n;

	if (c->in != NULL) {
		collect(c);
		return;
	}
	n = recv(c->fd, c->conns->peek, sizeof(c->conns->peek), MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			close_quietly(c);
		return;
	}
	s = scan_request(c->conns->peek, (size_t)n);
	if (s.verdict == SCAN_WHOLE && s.length == (size_t)n)
		serve_from_socket(c, &s);
	else
		collect(c);
}

/* Something happened to a connection whose request is being served: it may only be its end. */
static void watch_client(struct conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		protocol_error(c, "bytes_before_answer");
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		break_off(c);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct conn *c = w->data;

	(void)loop;
	(void)revents;
	if (c->state == CONN_IDLE)
		read_request(c);
	else
		watch_client(c);
}

static void all_sent(struct conn *c)
{
	struct conns *cs = c->conns;

	if (ev_is_active(&c->writable)) {
		ev_io_stop(cs->loop, &c->writable);
		ev_timer_stop(cs->loop, &c->timer);
	}
	unread_remove(&cs->unread, &c->unread);
	body_unref(c->body);
	c->body = NULL;
	cs->events.sent(cs->user, c, CONN_SENT);
	c->state = CONN_IDLE;
	if (!c->keep || cs->draining)
		close_quietly(c);
}

static void give_up(struct conn *c, enum conn_sending how)
{
	c->conns->events.sent(c->conns->user, c, how);
	close_quietly(c);
}

static void wait_until_writable(struct conn *c)
{
	struct conns *cs = c->conns;

	if (!ev_is_active(&c->writable)) {
		ev_io_start(cs->loop, &c->writable);
		unread_add(&cs->unread, &c->unread, c->body);
	}
	c->unread_by_peer = unread_in_socket(c->fd);
	ev_timer_stop(cs->loop, &c->timer);
	ev_timer_set(&c->timer, cs->stall_timeout_s, 0.);
	ev_timer_start(cs->loop, &c->timer);
}

static void send_answer(struct conn *c)
{
	struct frame f = {{c->head, c->head_len}, c->body != NULL ? body_str(c->body) : str_make("", 0), c->request_id};
	size_t length = frame_length(&f);
	struct frame_scratch scratch;

	while (c->sent < length) {
		struct msghdr m = {.msg_iov = scratch.iov};
		ssize_t n;

		m.msg_iovlen = (size_t)frame_iov(&f, c->sent, &scratch);
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			c->sent += (size_t)n;
		} else if (errno == EAGAIN) {
			wait_until_writable(c);
			return;
		} else if (errno != EINTR) {
			break_off(c);
			return;
		}
	}
	all_sent(c);
}

void conn_answer(struct conn *c, struct str head, struct body *body)
{
	memcpy(c->head, head.p, head.len);
	c->head_len = head.len;
	c->body = body != NULL ? body_ref(body) : NULL;
	c->sent = 0;
	c->state = CONN_SENDING;
	send_answer(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	(void)revents;
	send_answer(w->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct conn *c = w->data;

	(void)loop;
	(void)revents;
	if (c->state == CONN_IDLE) {
		protocol_error(c, "request_incomplete_at_timeout");
		return;
	}
	/* The kernel wakes a writer only when much room is free: a slow reader may have made progress all the same. */
	if (unread_in_socket(c->fd) != c->unread_by_peer)
		wait_until_writable(c);
	else
		give_up(c, CONN_STALLED);
}

/*
 * Idle: after shutdown(SHUT_RD) the web server's writes fail, and it sends its request elsewhere; what the kernel had taken before is still
 * there to be read. So no request is lost between looking and closing.
 */
static void drain_idle(struct conn *c)
{
	(void)shutdown(c->fd, SHUT_RD);
	c->deaf = true;
	read_request(c);
}

void conns_drain(struct conns *cs)
{
	cs->draining = true;
	/* c may be freed below, no other is. */
	for (struct list *node = cs->all.next, *next = node->next; node != &cs->all; node = next, next = node->next) {
		struct conn *c = LIST_OBJECT(node, struct conn, node);

		if (c->state == CONN_IDLE && c->in == NULL)
			drain_idle(c);
	}
}

void conns_relieve(struct conns *cs)
{
	for (struct unread_answer *a; (a = unread_excess(&cs->unread)) != NULL;)
		give_up(LIST_OBJECT(a, struct conn, unread), CONN_EVICTED);
}

unsigned conns_abandon(struct conns *cs, enum conn_state last)
{
	unsigned busy = 0;

	for (struct list *node = cs->all.next, *next = node->next; node != &cs->all; node = next, next = node->next) {
		struct conn *c = LIST_OBJECT(node, struct conn, node);

		if (c->state <= last) {
			busy += c->state != CONN_IDLE;
			break_off(c);
		}
	}
	return busy;
}
