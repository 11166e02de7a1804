/*
 * null_responder FILE: what the FastCGI hop itself can do. Answers whatever makes a connection readable with the bytes of FILE, and parses
 * nothing. FILE holds a worker's whole answer in FastCGI records, as bench/rig/fastcgi.py has recorded it. Started like a worker: by
 * spawn-fcgi and multiwatch, with the listening socket on descriptor 0.
 *
 * It relies on what nginx does with such small requests: one write each, and no next one before the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_FD STDIN_FILENO
#define ANSWER_MAX 65536
#define EVENTS_MAX 64

static size_t load(const char *path, uint8_t *bytes, size_t size)
{
	size_t len = 0;
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		return 0;
	len = fread(bytes, 1, size, f);
	if (ferror(f) || !feof(f))
		len = 0; /* unreadable, or larger than any answer */
	(void)fclose(f);
	return len;
}

static bool watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* One connection per wake-up, as the processes share the socket. */
static void accept_one(int epoll)
{
	int fd = accept4(LISTEN_FD, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0 && !watch(epoll, fd))
		(void)close(fd);
}

/* Closing takes the connection out of the epoll set. A socket buffer that does not take an answer whole is an error here. */
static void answer_one(int fd, const uint8_t *answer, size_t len)
{
	uint8_t request[8192];
	ssize_t n = recv(fd, request, sizeof(request), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || send(fd, answer, len, MSG_NOSIGNAL) != (ssize_t)len)
		(void)close(fd);
}

static int serve(int epoll, const uint8_t *answer, size_t len)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR) {
			perror("null_responder: epoll_wait");
			return 1;
		}
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == LISTEN_FD)
				accept_one(epoll);
			else
				answer_one(events[i].data.fd, answer, len);
		}
	}
}

int main(int argc, char **argv)
{
	static uint8_t answer[ANSWER_MAX];
	size_t len = argc == 2 ? load(argv[1], answer, sizeof(answer)) : 0;
	int flags = fcntl(LISTEN_FD, F_GETFL);
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (len == 0) {
		(void)fprintf(stderr, "null_responder: needs one file with an answer of at most %d bytes\n", ANSWER_MAX - 1);
		return 2;
	}
	/* multiwatch ends its children with USR1. */
	if (signal(SIGUSR1, SIG_DFL) == SIG_ERR || flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags | O_NONBLOCK) != 0 || epoll < 0 ||
	    !watch(epoll, LISTEN_FD)) {
		perror("null_responder: descriptor 0 must be a listening socket");
		return 1;
	}
	return serve(epoll, answer, len);
}
