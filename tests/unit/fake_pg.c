#include "fake_pg.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX 65536

struct session {
	struct fake_pg *server;
	struct list node;
	int number;
	int fd;
	ev_io readable;
	bool started;
	bool skipping; /* up to the Sync, after an error */
	bool silent;
	bool ended;
	char statement[64];
	char parameter[64];
	size_t in_len;
	size_t out_len;
	char in[MESSAGE_MAX];
	char out[MESSAGE_MAX];
};

static void put(struct session *s, const void *p, size_t len)
{
	ck_assert_uint_le(len, sizeof(s->out) - s->out_len);
	memcpy(s->out + s->out_len, p, len);
	s->out_len += len;
}

static void put_int32(struct session *s, uint32_t n)
{
	n = htonl(n);
	put(s, &n, 4);
}

static void put_message(struct session *s, char type, const void *content, size_t len)
{
	put(s, &type, 1);
	put_int32(s, (uint32_t)len + 4);
	put(s, content, len);
}

/* A message of strings, each with its NUL. */
static void put_strings(struct session *s, char type, const char *first, const char *second)
{
	size_t at = s->out_len + 1;
	uint32_t len;

	put_message(s, type, first, strlen(first) + 1);
	if (second != NULL)
		put(s, second, strlen(second) + 1);
	len = htonl((uint32_t)(s->out_len - at));
	memcpy(s->out + at, &len, 4);
}

static void put_error(struct session *s, const char *severity, const char *sqlstate)
{
	char content[256];
	int len = snprintf(content, sizeof(content), "S%s%cV%s%cC%s%cMthe server's words about %s%c", severity, 0, severity, 0,
			   sqlstate, 0, sqlstate, 0);

	put_message(s, 'E', content, (size_t)len + 1); /* the last field is followed by a NUL of its own */
}

static void put_row(struct session *s)
{
	static const char description[] =
		"\0\1answer\0\0\0\0\0\0\0\0\0\0\31\377\377\377\377\377\377\0"; /* text; its NUL counts */
	char value[160];
	char row[200];
	int len = snprintf(value, sizeof(value), "%s %s %d", s->statement, s->parameter, s->number);
	uint32_t n = htonl((uint32_t)len);

	put_message(s, '2', "", 0);
	put_message(s, 'T', description, sizeof(description));
	memcpy(row, "\0\1", 2);
	memcpy(row + 2, &n, 4);
	memcpy(row + 6, value, (size_t)len);
	put_message(s, 'D', row, (size_t)len + 6);
	put_strings(s, 'C', "SELECT 1", NULL);
}

static void act(struct session *s, struct fake_reply r, void (*good)(struct session *))
{
	switch (r.act) {
	case FAKE_ROWS:
		good(s);
		break;
	case FAKE_ERROR:
		put_error(s, "ERROR", r.sqlstate);
		s->skipping = true;
		break;
	case FAKE_FATAL:
		put_error(s, "FATAL", r.sqlstate);
		s->ended = true;
		break;
	case FAKE_SILENT:
		s->silent = true;
		break;
	case FAKE_HALF:
		put(s, "D\0\0\1\0\0", 6);
		s->ended = true;
		break;
	case FAKE_CLOSE:
	default:
		s->ended = true;
		break;
	}
}

static void parsed(struct session *s)
{
	put_message(s, '1', "", 0);
}

static void note(char *text, const char *kind, const char *words)
{
	size_t len = strlen(text);

	(void)snprintf(text + len, FAKE_TEXT_BYTES - len, " %s%s", kind, words);
}

static void on_startup(struct session *s, const char *content, size_t len)
{
	struct fake_pg *f = s->server;

	f->startup[0] = f->settings[0] = '\0';
	for (size_t at = 4; at + 1 < len; at += strlen(content + at) + 1) {
		note(f->startup, content + at, "=");
		at += strlen(content + at) + 1;
		(void)snprintf(f->startup + strlen(f->startup), FAKE_TEXT_BYTES - strlen(f->startup), "%s", content + at);
	}
	put_message(s, 'R', "\0\0\0", 4);
	put_strings(s, 'S', "server_encoding", f->encoding);
	put_strings(s, 'S', "client_encoding", "UTF8");
	put_strings(s, 'S', "server_version", "15.0");
	put_message(s, 'K', "\0\0\0\7\0\0\0", 8);
	put_message(s, 'Z', "I", 1);
}

static void on_query(struct session *s, const char *sql)
{
	struct fake_pg *f = s->server;

	note(f->settings, "", sql);
	if (f->mute_settings)
		return;
	if (f->refused_setting != NULL && strstr(sql, f->refused_setting) != NULL)
		put_error(s, "ERROR", "42704");
	else
		put_strings(s, 'C', "SET", NULL);
	put_message(s, 'Z', "I", 1);
}

static void on_parse(struct session *s, const char *name)
{
	struct fake_pg *f = s->server;

	f->parses++;
	note(f->log, "P:", name);
	act(s, f->on_parse != NULL ? f->on_parse(f->user, s->number, name) : (struct fake_reply){FAKE_ROWS, NULL}, parsed);
}

/* Errors come here, at the Bind; what was asked for about the portal is answered here, too. */
static void on_bind(struct session *s, const char *content)
{
	struct fake_pg *f = s->server;
	const char *name = content + strlen(content) + 1;
	const char *p = name + strlen(name) + 1;
	uint16_t count;
	uint32_t len;

	memcpy(&count, p, 2);
	p += 2 + 2 * ntohs(count);
	memcpy(&count, p, 2);
	ck_assert_int_lt(snprintf(s->statement, sizeof(s->statement), "%.60s", name), 60);
	(void)snprintf(s->parameter, sizeof(s->parameter), "-");
	if (ntohs(count) > 0) {
		memcpy(&len, p + 2, 4);
		(void)snprintf(s->parameter, sizeof(s->parameter), "%.*s", (int)ntohl(len), p + 6);
	}
	f->executions++;
	note(f->log, "E:", name);
	act(s,
	    f->on_execute != NULL ? f->on_execute(f->user, s->number, s->statement, s->parameter)
				  : (struct fake_reply){FAKE_ROWS, NULL},
	    put_row);
}

static void on_message(struct session *s, char type, const char *content)
{
	if (type == 'S') {
		s->server->syncs++;
		s->skipping = false;
		put_message(s, 'Z', "I", 1);
	} else if (type == 'X') {
		s->ended = true;
	} else if (s->skipping) {
		return;
	} else if (type == 'Q') {
		on_query(s, content);
	} else if (type == 'P') {
		on_parse(s, content);
	} else if (type == 'B') {
		on_bind(s, content);
	}
}

/* Takes one message of what has arrived; false when there is none. */
static bool take_message(struct session *s)
{
	size_t head = s->started ? 5 : 4;
	uint32_t len;
	size_t whole;

	if (s->in_len < head)
		return false;
	memcpy(&len, s->in + head - 4, 4);
	whole = ntohl(len) + head - 4;
	ck_assert_uint_lt(whole, sizeof(s->in));
	if (s->in_len < whole)
		return false;
	if (!s->started)
		on_startup(s, s->in + head, whole - head);
	else
		on_message(s, s->in[0], s->in + head);
	s->started = true;
	s->in_len -= whole;
	memmove(s->in, s->in + whole, s->in_len);
	return true;
}

static void end(struct session *s)
{
	s->server->open--;
	ev_io_stop(s->server->loop, &s->readable);
	list_remove(&s->node);
	(void)close(s->fd);
	free(s);
}

static void send_output(struct session *s)
{
	if (s->out_len > 0) /* answers are small: the socket takes them, or its peer has left */
		(void)send(s->fd, s->out, s->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	s->out_len = 0;
}

static void answer_all(struct session *s)
{
	while (!s->ended && !s->silent && take_message(s))
		;
	if (s->silent)
		s->in_len = 0;
	send_output(s);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct session *s = w->data;
	ssize_t n = read(s->fd, s->in + s->in_len, sizeof(s->in) - s->in_len);

	(void)loop;
	(void)revents;
	if (n <= 0 && errno != EAGAIN)
		s->ended = true;
	if (n > 0)
		s->in_len += (size_t)n;
	if (n == 0)
		s->ended = true;
	if (!s->server->holds && !ev_is_active(&s->server->step))
		answer_all(s);
	if (s->ended)
		end(s);
}

static void on_step(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct fake_pg *f = w->data;

	(void)loop;
	(void)revents;
	for (struct list *n = f->sessions.next, *next; n != &f->sessions; n = next) {
		struct session *s = LIST_OBJECT(n, struct session, node);

		next = n->next;
		while (s->out_len == 0 && !s->ended && !s->silent && take_message(s))
			;
		send_output(s);
		if (s->ended)
			end(s);
	}
}

void fake_pg_release(struct fake_pg *f)
{
	f->holds = false;
	ev_timer_start(f->loop, &f->step);
}

static void on_acceptable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct fake_pg *f = w->data;
	int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct session *s;

	(void)revents;
	if (fd < 0)
		return;
	s = calloc(1, sizeof(*s));
	ck_assert_ptr_nonnull(s);
	s->server = f;
	s->fd = fd;
	s->number = ++f->connections;
	f->open++;
	list_append(&f->sessions, &s->node);
	ev_io_init(&s->readable, on_readable, fd, EV_READ);
	s->readable.data = s;
	ev_io_start(loop, &s->readable);
}

void fake_pg_start(struct fake_pg *f, struct ev_loop *loop)
{
	static int count;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int len;

	memset(f, 0, sizeof(*f));
	f->loop = loop;
	f->encoding = "UTF8";
	list_init(&f->sessions);
	(void)snprintf(f->host, sizeof(f->host), "@agents-fake-pg-%d-%d", (int)getpid(), ++count);
	(void)snprintf(f->conninfo, sizeof(f->conninfo), "host=%s port=5432 user=tester dbname=fake", f->host);
	len = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s/.s.PGSQL.5432", f->host + 1); /* abstract: behind a NUL */
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(f->fd, 0);
	ck_assert_int_eq(bind(f->fd, (const struct sockaddr *)&a, (socklen_t)(sizeof(a.sun_family) + 1 + (size_t)len)), 0);
	ck_assert_int_eq(listen(f->fd, 100), 0);
	ev_io_init(&f->acceptable, on_acceptable, f->fd, EV_READ);
	f->acceptable.data = f;
	ev_timer_init(&f->step, on_step, 0., 1e-4);
	f->step.data = f;
	ev_io_start(loop, &f->acceptable);
}

void fake_pg_drop(struct fake_pg *f)
{
	while (!list_empty(&f->sessions))
		end(LIST_OBJECT(f->sessions.next, struct session, node));
}

void fake_pg_refuse(struct fake_pg *f)
{
	if (f->fd < 0)
		return;
	ev_io_stop(f->loop, &f->acceptable);
	(void)close(f->fd);
	f->fd = -1;
}

void fake_pg_stop(struct fake_pg *f)
{
	ev_timer_stop(f->loop, &f->step);
	fake_pg_drop(f);
	fake_pg_refuse(f);
}
