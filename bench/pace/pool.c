#include "pool.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS_NS INT64_C(1000000)

/* 0 when it is connected or on the way; otherwise errno says why not. */
static int begin_connect(const struct sockaddr *address, socklen_t len, int *fd)
{
	int on = 1;

	*fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -1;
	if (setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	    (connect(*fd, address, len) == 0 || errno == EINPROGRESS))
		return 0;
	on = errno;
	(void)close(*fd);
	*fd = -1;
	errno = on;
	return -1;
}

static int wait_connected(int fd, int64_t timeout_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = ETIMEDOUT;
	socklen_t len = sizeof(error);
	int ready = poll(&p, 1, (int)(timeout_ns / MS_NS));

	if (ready < 0 || (ready > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0))
		error = errno;
	errno = error;
	return error == 0 ? 0 : -1;
}

const char *pool_connect_first(struct pool *p, const char *host, const char *port, int64_t timeout_ns, int *fd)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error != 0)
		return error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
	p->timeout_ns = timeout_ns;
	*fd = -1;
	for (const struct addrinfo *a = found; a != NULL && *fd < 0; a = a->ai_next) {
		if (begin_connect(a->ai_addr, a->ai_addrlen, fd) == 0 && wait_connected(*fd, timeout_ns) == 0) {
			memcpy(&p->address, a->ai_addr, a->ai_addrlen);
			p->address_len = a->ai_addrlen;
		} else if (*fd >= 0) {
			error = errno;
			(void)close(*fd);
			errno = error;
			*fd = -1;
		}
	}
	error = errno;
	freeaddrinfo(found);
	return *fd < 0 ? strerror(error) : NULL;
}

bool pool_watch(struct pool *p, struct conn *c, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	return epoll_ctl(p->epoll, operation, c->fd, &event) == 0;
}

bool pool_init(struct pool *p, size_t count, int fd)
{
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->conns = calloc(count, sizeof(*p->conns));
	p->count = p->untried = count;
	if (p->epoll < 0 || p->conns == NULL)
		return false;
	for (size_t i = 0; i < CONN_STATE_MAX; i++)
		list_init(&p->lists[i]);
	for (size_t i = 0; i < count; i++) {
		list_init(&p->conns[i].node);
		p->conns[i].fd = -1;
		pool_move(p, &p->conns[i], CONN_WANTED, 0);
	}
	/* Its being connected is told like that of the others. */
	p->conns[0].fd = fd;
	pool_move(p, &p->conns[0], CONN_CONNECTING, INT64_MAX);
	return pool_watch(p, &p->conns[0], EPOLL_CTL_ADD, EPOLLOUT);
}

void pool_free(struct pool *p)
{
	for (size_t i = 0; p->conns != NULL && i < p->count; i++)
		if (p->conns[i].fd >= 0)
			(void)close(p->conns[i].fd);
	if (p->epoll >= 0)
		(void)close(p->epoll);
	free(p->conns);
	p->conns = NULL;
}

struct conn *pool_first(const struct pool *p, unsigned state)
{
	return list_empty(&p->lists[state]) ? NULL : LIST_OBJECT(p->lists[state].next, struct conn, node);
}

void pool_move(struct pool *p, struct conn *c, unsigned state, int64_t deadline_ns)
{
	if (!list_empty(&c->node))
		p->connecting -= c->state == CONN_CONNECTING;
	list_remove(&c->node);
	if (state == CONN_WANTED && c->has_request)
		list_prepend(&p->lists[state], &c->node);
	else
		list_append(&p->lists[state], &c->node);
	p->connecting += state == CONN_CONNECTING;
	c->state = state;
	c->deadline_ns = deadline_ns;
}

struct conn *pool_open_next(struct pool *p, int64_t now_ns, bool *failed)
{
	struct conn *c = pool_first(p, CONN_WANTED);

	if (c == NULL || p->connecting >= POOL_CONNECTING_MAX)
		return NULL;
	c->answers = 0;
	*failed = begin_connect((const struct sockaddr *)&p->address, p->address_len, &c->fd) != 0 ||
		  !pool_watch(p, c, EPOLL_CTL_ADD, EPOLLOUT);
	pool_move(p, c, CONN_CONNECTING, now_ns + p->timeout_ns);
	return c;
}

void pool_reopen(struct pool *p, struct conn *c, bool of_use, int64_t now_ns)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->fruitless = of_use ? 0 : c->fruitless + 1;
	if (c->fruitless <= 1) {
		pool_move(p, c, CONN_WANTED, 0);
	} else {
		unsigned level = c->fruitless - 2 < POOL_RETRY_LEVELS ? c->fruitless - 2 : POOL_RETRY_LEVELS - 1;

		pool_move(p, c, CONN_RETRY + level, now_ns + (MS_NS << level));
	}
}
