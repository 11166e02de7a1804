#include "server.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 1024

const char server_body[] = "{\"agents\": [{\"number\": 1}, {\"number\": 2}, {\"number\": 3}]}";

struct peer {
	int fd;
	size_t got; /* bytes of the end of a request that have been seen */
	uint64_t answers;
	int64_t due_us; /* -1: nothing to send */
	int64_t asked_us;
	bool faulty;
	size_t slow; /* bytes sent of a slow answer */
};

struct service {
	int epoll;
	struct plan plan;
	struct server_counts *counts;
	struct peer *peers[PEERS_MAX + 8]; /* by descriptor */
	char good[512];
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void send_text(const struct peer *p, const char *text)
{
	ssize_t n = send(p->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n;
}

static void drop(struct service *s, struct peer *p, bool reset)
{
	struct linger now = {.l_onoff = 1};

	if (reset)
		(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(p->fd);
	s->peers[p->fd] = NULL;
	s->counts->open--;
	free(p);
}

static void answer_chunked(const struct peer *p)
{
	char text[512];
	size_t half = strlen(server_body) / 2;

	(void)snprintf(
		text, sizeof(text),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx;x=1\r\n%.*s\r\n%zX\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n",
		half, (int)half, server_body, strlen(server_body) - half, server_body + half);
	send_text(p, text);
}

/* True when the connection is gone. */
static bool do_fault(struct service *s, struct peer *p)
{
	char text[1024];

	switch (s->plan.fault) {
	case FAULT_DROP:
	case FAULT_RESET:
		drop(s, p, s->plan.fault == FAULT_RESET);
		return true;
	case FAULT_TRUNCATE:
	case FAULT_TO_CLOSE:
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n%s",
			       s->plan.fault == FAULT_TRUNCATE ? "Content-Length: 1000\r\n" : "", server_body);
		send_text(p, text);
		drop(s, p, false);
		return true;
	case FAULT_500:
		send_text(p, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops");
		return false;
	case FAULT_WRONG_BODY:
		(void)snprintf(text, sizeof(text), "%s", s->good);
		text[strlen(text) - 3] = '!';
		send_text(p, text);
		return false;
	case FAULT_LONG_BODY:
		(void)snprintf(text, sizeof(text), "%sand more", s->good);
		send_text(p, text);
		return false;
	case FAULT_GARBAGE:
		send_text(p, "220 mail.example ESMTP\r\n");
		return false;
	case FAULT_CHUNKED:
		answer_chunked(p);
		return false;
	default: /* SILENT, and those that go on by themselves */
		return false;
	}
}

static bool goes_on(enum fault fault)
{
	return fault == FAULT_ENDLESS_HEADERS || fault == FAULT_SLOW;
}

static void answer(struct service *s, struct peer *p)
{
	struct server_counts *c = s->counts;

	p->due_us = -1;
	if (p->faulty) {
		c->faulty++;
		if (goes_on(s->plan.fault)) {
			p->slow = 0;
			p->due_us = 0;
			if (s->plan.fault == FAULT_ENDLESS_HEADERS)
				send_text(p, "HTTP/1.1 200 OK\r\n");
		} else if (!do_fault(s, p)) {
			p->answers++;
		}
		return;
	}
	if (c->delays < SERVER_DELAYS_MAX)
		c->delay_us[c->delays++] = now_us() - p->asked_us;
	c->good++;
	p->answers++;
	send_text(p, s->good);
}

/* A little more of an answer that does not come at once. */
static void go_on(struct service *s, struct peer *p)
{
	if (s->plan.fault == FAULT_ENDLESS_HEADERS) {
		char line[1024];

		(void)snprintf(line, sizeof(line), "X-Endless: %01000d\r\n", 0);
		send_text(p, line);
		return;
	}
	if (send(p->fd, s->good + p->slow, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
		p->slow++;
	if (p->slow == strlen(s->good))
		p->due_us = -1;
}

static void on_request(struct service *s, struct peer *p)
{
	uint64_t number = ++s->counts->requests;

	p->asked_us = now_us();
	if (s->plan.fault == FAULT_CLOSE_LATE) {
		if (p->answers == s->plan.every) {
			s->counts->faulty++;
			drop(s, p, false);
			return;
		}
	} else {
		p->faulty = s->plan.every > 0 && number % s->plan.every == 0;
	}
	p->due_us = p->asked_us + s->plan.delay_ms * INT64_C(1000);
	if (s->plan.delay_ms == 0)
		answer(s, p);
}

static void on_readable(struct service *s, struct peer *p)
{
	static const char end[] = "\r\n\r\n";
	char bytes[4096];
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(s, p, false);
		return;
	}
	/* pace does not pipeline, so a request's end is the end of what is there. */
	for (ssize_t i = 0; i < n; i++)
		p->got = bytes[i] == end[p->got] ? p->got + 1 : bytes[i] == '\r';
	if (p->got == 4) {
		p->got = 0;
		on_request(s, p);
	}
}

static void on_connection(struct service *s, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct peer *p = fd < 0 || fd >= PEERS_MAX ? NULL : calloc(1, sizeof(*p));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};

	if (p == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	p->fd = fd;
	p->due_us = -1;
	s->peers[fd] = p;
	s->counts->connections++;
	if (++s->counts->open > s->counts->most_open)
		s->counts->most_open = s->counts->open;
	(void)epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Sends what is due; returns the wait until the next is, in ms. */
static int answer_due(struct service *s)
{
	int64_t now = now_us(), next = INT64_MAX;

	if (s->plan.delay_ms == 0 && !goes_on(s->plan.fault))
		return -1;
	for (int fd = 0; fd < PEERS_MAX; fd++) {
		struct peer *p = s->peers[fd];

		if (p == NULL || p->due_us < 0)
			continue;
		if (p->due_us == 0)
			go_on(s, p);
		else if (p->due_us <= now)
			answer(s, p);
		p = s->peers[fd];
		if (p != NULL && p->due_us >= 0 && p->due_us < next)
			next = p->due_us;
	}
	return next == INT64_MAX ? -1 : next <= now ? 1 : (int)((next - now + 999) / 1000);
}

void server_run(int listener, struct plan plan, struct server_counts *counts)
{
	static struct service s;
	struct epoll_event event = {.events = EPOLLIN}, events[64];

	s = (struct service){.epoll = epoll_create1(EPOLL_CLOEXEC), .plan = plan, .counts = counts};
	(void)snprintf(s.good, sizeof(s.good),
		       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(server_body),
		       server_body);
	if (s.epoll < 0 || epoll_ctl(s.epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		return;
	for (;;) {
		int n = epoll_wait(s.epoll, events, 64, answer_due(&s));

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				on_connection(&s, listener);
			else
				on_readable(&s, events[i].data.ptr);
		}
	}
}

int server_listen(int port, int *bound)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return -1;
	*bound = ntohs(a.sin_port);
	return fd;
}

static void spawn(struct server *s, struct plan plan, int port)
{
	s->listener = server_listen(port, &s->port);
	ck_assert_int_ge(s->listener, 0);
	s->pid = fork();
	ck_assert_int_ge(s->pid, 0);
	if (s->pid == 0) {
		/* Also when the test ends by an assertion. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		server_run(s->listener, plan, s->counts);
		_exit(1);
	}
}

void server_start(struct server *s, struct plan plan)
{
	/* cppcheck-suppress invalidFunctionArg ; -1 is what mmap(2) wants here */
	s->counts = mmap(NULL, sizeof(*s->counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(s->counts, MAP_FAILED);
	spawn(s, plan, 0);
}

void server_kill(struct server *s)
{
	ck_assert_int_eq(kill(s->pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(s->pid, NULL, 0), s->pid);
	(void)close(s->listener);
}

void server_again(struct server *s, struct plan plan)
{
	spawn(s, plan, s->port);
}

void server_stop(struct server *s)
{
	server_kill(s);
	(void)munmap(s->counts, sizeof(*s->counts));
}
