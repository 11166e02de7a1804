/*
 * pool: the connections. Each is in the one list of its state, and moves by pool_move only. One that ends is opened again: at once, and, when it
 * keeps ending before it was of use, after a growing pause of at most about a second.
 */
#ifndef PACE_POOL_H
#define PACE_POOL_H

#include "figures.h"
#include "list.h"
#include "response.h"

#include <sys/socket.h>

#define POOL_RETRY_LEVELS 11   /* pauses of 1 ms, 2 ms … 1,024 ms */
#define POOL_CONNECTING_MAX 64 /* at once, so that no listener's backlog overflows */

enum conn_state {
	CONN_WANTED, /* to be opened */
	CONN_CONNECTING,
	CONN_FREE, /* the one that has been so for longest comes first */
	CONN_BUSY,
	CONN_RETRY, /* the first of POOL_RETRY_LEVELS */
	CONN_STATE_MAX = CONN_RETRY + POOL_RETRY_LEVELS
};

struct conn {
	struct list node;
	int fd; /* -1: none */
	unsigned state;
	int64_t deadline_ns; /* in all states but WANTED and FREE; lists are in its order, as each has one length of wait */
	int64_t free_since_ns;
	uint64_t answers;   /* on this connection */
	unsigned fruitless; /* connections in a row that were of no use */
	bool tried;         /* has been opened, or failed to, once */
	bool has_request;   /* under way, or to be sent again */
	size_t written;     /* of the request */
	struct request request;
	struct response response;
};

struct pool {
	struct conn *conns;
	size_t count;
	struct list lists[CONN_STATE_MAX];
	size_t connecting;
	size_t untried;
	int epoll;
	int64_t timeout_ns;
	struct sockaddr_storage address;
	socklen_t address_len;
};

/* Looks the host up and opens the first connection, to the first address that takes it; returns NULL, or what went wrong (static text). */
const char *pool_connect_first(struct pool *p, const char *host, const char *port, int64_t timeout_ns, int *fd);

/* `fd` becomes the first connection; the others are WANTED. False with errno set: no memory, no epoll. */
bool pool_init(struct pool *p, size_t count, int fd);
void pool_free(struct pool *p);

/* The first of a list; NULL: empty. */
struct conn *pool_first(const struct pool *p, unsigned state);
void pool_move(struct pool *p, struct conn *c, unsigned state, int64_t deadline_ns);

/* Begins to connect the next WANTED one, if there is one and not too many are CONNECTING. *failed: it could not even begin. NULL: nothing to do. */
struct conn *pool_open_next(struct pool *p, int64_t now_ns, bool *failed);

/* Closes it and has it opened again; one that carries a request comes first. `of_use`: no pause. */
void pool_reopen(struct pool *p, struct conn *c, bool of_use, int64_t now_ns);

/* What epoll shall tell about it. */
bool pool_watch(struct pool *p, struct conn *c, int operation, uint32_t events);

#endif
