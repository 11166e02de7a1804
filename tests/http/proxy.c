#include "proxy.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PAIRS 64

/* One connection. The walk over the frontend's messages: a start-up packet without a type byte, then type and length each. */
struct proxy_pair {
	int client; /* the worker; -1: the pair is free */
	int server;
	unsigned char head[5];
	size_t have;
	size_t skip;
	bool started;
};

static void count_messages(struct proxy *p, struct proxy_pair *pair, const unsigned char *at, size_t len)
{
	while (len > 0) {
		if (pair->skip > 0) {
			size_t n = pair->skip < len ? pair->skip : len;

			pair->skip -= n;
			at += n;
			len -= n;
			continue;
		}
		/* The start-up packet has no type: leave its place empty. */
		if (pair->have == 0 && !pair->started)
			pair->head[pair->have++] = 0;
		pair->head[pair->have++] = *at++;
		len--;
		if (pair->have == sizeof pair->head) {
			const unsigned char *h = pair->head;

			pair->skip = ((size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4]) - 4;
			pair->have = 0;
			pair->started = true;
			if (h[0] == 'E' || h[0] == 'Q')
				atomic_fetch_add(&p->executes, 1);
		}
	}
}

static void end_pair(struct proxy_pair *pair)
{
	(void)close(pair->client);
	(void)close(pair->server);
	*pair = (struct proxy_pair){.client = -1, .server = -1};
}

static void accept_pair(struct proxy *p)
{
	int client = accept(p->listener, NULL, NULL);

	if (client < 0)
		return;
	for (int i = 0; i < MAX_PAIRS; i++) {
		struct proxy_pair *pair = &p->pairs[i];
		int server = pair->client >= 0 ? -1 : unix_connect(p->target);

		if (server >= 0) {
			*pair = (struct proxy_pair){.client = client, .server = server};
			return;
		}
	}
	(void)close(client);
}

/* False when the pair has ended. */
static bool carry(struct proxy *p, struct proxy_pair *pair, bool to_server)
{
	char block[65536];
	ssize_t n = recv(to_server ? pair->client : pair->server, block, sizeof block, 0);

	if (n > 0 && to_server)
		count_messages(p, pair, (const unsigned char *)block, (size_t)n);
	if (n <= 0 || !send_all(to_server ? pair->server : pair->client, block, (size_t)n)) {
		end_pair(pair);
		return false;
	}
	return true;
}

static void turn(struct proxy *p)
{
	struct pollfd fds[1 + 2 * MAX_PAIRS] = {{.fd = p->listener, .events = POLLIN}};
	bool hold = atomic_load(&p->hold);
	unsigned waiting = 0;

	for (int i = 0; i < MAX_PAIRS; i++) {
		const struct proxy_pair *pair = &p->pairs[i];

		fds[1 + 2 * i] = (struct pollfd){.fd = pair->client, .events = POLLIN};
		fds[2 + 2 * i] = (struct pollfd){.fd = hold ? -1 : pair->server, .events = POLLIN};
		waiting += hold && pair->server >= 0 && poll(&(struct pollfd){.fd = pair->server, .events = POLLIN}, 1, 0) > 0;
	}
	atomic_store(&p->answers_waiting, waiting);
	/* The short wait is for a change of `hold` and `stop`. */
	if (poll(fds, sizeof fds / sizeof fds[0], 5) <= 0)
		return;
	for (int i = 0; i < MAX_PAIRS; i++) {
		struct proxy_pair *pair = &p->pairs[i];
		bool alive = fds[1 + 2 * i].revents == 0 || carry(p, pair, true);

		/* The order matters: a hold that began meanwhile counts from the next turn on, and the test waits for answers_waiting. */
		if (alive && fds[2 + 2 * i].revents != 0)
			(void)carry(p, pair, false);
	}
	if (fds[0].revents != 0)
		accept_pair(p);
}

static void *run(void *arg)
{
	struct proxy *p = arg;

	while (!atomic_load(&p->stop))
		turn(p);
	for (int i = 0; i < MAX_PAIRS; i++)
		if (p->pairs[i].client >= 0)
			end_pair(&p->pairs[i]);
	return NULL;
}

void proxy_start(struct proxy *p, const struct pg *db)
{
	char path[108];
	char more[128];

	*p = (struct proxy){0};
	int n = snprintf(p->dir, sizeof p->dir, "%s/proxy-XXXXXX", env_need("RUN_DIR"));

	ck_assert(n > 0 && (size_t)n < sizeof p->dir);
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	(void)snprintf(path, sizeof path, "%s/.s.PGSQL.5432", p->dir);
	n = snprintf(p->target, sizeof p->target, "%s/.s.PGSQL.%s", PQhost(db->conn), PQport(db->conn));
	ck_assert(n > 0 && (size_t)n < sizeof p->target);
	(void)snprintf(more, sizeof more, "host='%s' port=5432", p->dir);
	pg_conninfo(db, more, p->conninfo);
	p->listener = unix_listen(path);
	ck_assert_int_ge(p->listener, 0);
	p->pairs = calloc(MAX_PAIRS, sizeof *p->pairs);
	ck_assert_ptr_nonnull(p->pairs);
	for (int i = 0; i < MAX_PAIRS; i++)
		p->pairs[i].client = p->pairs[i].server = -1;
	ck_assert_int_eq(pthread_create(&p->thread, NULL, run, p), 0);
}

void proxy_stop(struct proxy *p)
{
	char path[108];

	atomic_store(&p->stop, true);
	ck_assert_int_eq(pthread_join(p->thread, NULL), 0);
	(void)close(p->listener);
	free(p->pairs);
	p->pairs = NULL;
	(void)snprintf(path, sizeof path, "%s/.s.PGSQL.5432", p->dir);
	(void)unlink(path);
	(void)rmdir(p->dir);
}
