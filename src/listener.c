#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define REST_PER_CONNECTION_S 50e-6
#define REST_MAX_S 2e-3
#define PAUSE_S 1.0
#define STAND_BACK_S 20e-3
#define STAND_BACK_LOOKS 10U
#define BATCH_MAX 64U

bool listener_check(int fd, const char **why)
{
	int value = 0;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) != 0) {
		*why = errno == ENOTSOCK ? "it is no socket" : errno == EBADF ? "it is closed" : "it cannot be examined";
		return false;
	}
	if (value == 0) {
		*why = "it is a socket that does not listen";
		return false;
	}
	len = sizeof(value);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) != 0 || value != SOCK_STREAM) {
		*why = "it is no stream socket";
		return false;
	}
	return true;
}

static void rest(struct listener *l, double seconds)
{
	ev_io_stop(l->conns->loop, &l->readable);
	ev_timer_set(&l->rest, seconds, 0.);
	ev_timer_start(l->conns->loop, &l->rest);
}

static int out_of_resources(const struct listener *l, const char *reason)
{
	log_event(l->conns->log, LOG_LEVEL_ERROR, "accept_failed", LOG_NO_REQUEST, "{s:s, s:i}", "error", reason, "connections",
		  (int)l->conns->count);
	return -1;
}

/* Accepts up to `most` connections. Returns how many; fewer than `most` when the queue is empty, or -1 when resources have run out. */
static int accept_some(struct listener *l, unsigned most)
{
	unsigned n = 0;

	while (n < most) {
		int fd;

		if (l->conns->count >= l->most)
			return out_of_resources(l, "the limit of open files (RLIMIT_NOFILE) is near");
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			n++;
			if (!conn_open(l->conns, fd))
				return -1;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != ECONNABORTED &&
			   errno != EINTR) { /* those two: a connection that ended before it was accepted */
			return out_of_resources(l, strerror(errno));
		}
	}
	return (int)n;
}

/* Leaves what is pending to others, who have their chance until the next look. */
static bool stand_back(struct listener *l)
{
	struct pollfd pending = {.fd = l->fd, .events = POLLIN};

	if (l->stands_back == NULL || !l->stands_back(l->user) || poll(&pending, 1, 0) <= 0 || ++l->stood >= STAND_BACK_LOOKS) {
		l->stood = 0;
		return false;
	}
	rest(l, STAND_BACK_S);
	return true;
}

static void accept_and_rest(struct listener *l, unsigned most)
{
	double seconds = l->conns->count * REST_PER_CONNECTION_S;
	int n;

	if (stand_back(l))
		return;
	n = accept_some(l, most);
	if (n < 0) {
		rest(l, PAUSE_S);
		return;
	}
	l->batch = n > 0 ? most * 2 : 1;
	if (l->batch > BATCH_MAX)
		l->batch = BATCH_MAX;
	if (n > 0)
		rest(l, seconds < REST_MAX_S ? seconds : REST_MAX_S);
	else if (!ev_is_active(&l->readable))
		ev_io_start(l->conns->loop, &l->readable);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	(void)revents;
	accept_and_rest(w->data, 1);
}

static void on_rested(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct listener *l = w->data;

	(void)loop;
	(void)revents;
	accept_and_rest(l, l->batch);
}

void listener_start(struct listener *l, struct conns *conns, int fd, unsigned reserve)
{
	int flags = fcntl(fd, F_GETFL);
	struct rlimit files;

	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	l->conns = conns;
	l->fd = fd;
	l->batch = 1;
	l->stood = 0;
	l->most = UINT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < UINT_MAX)
		l->most = files.rlim_cur > reserve ? (unsigned)files.rlim_cur - reserve : 1;
	ev_io_init(&l->readable, on_readable, fd, EV_READ);
	ev_init(&l->rest, on_rested);
	l->readable.data = l;
	l->rest.data = l;
	ev_io_start(conns->loop, &l->readable);
}

void listener_stop(struct listener *l)
{
	ev_io_stop(l->conns->loop, &l->readable);
	ev_timer_stop(l->conns->loop, &l->rest);
}
