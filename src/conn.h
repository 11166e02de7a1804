/*
 * conn: the connections of the web server: reading until a whole request is there, handing it over, sending its answer, closing.
 *
 * A connection carries one request at a time (FCGI_MPXS_CONNS is 0) and is kept for the next when the web server asks for it.
 *
 *     IDLE ──whole request──> BUSY ──conn_answer──> SENDING ──all sent──> IDLE (kept) or closed
 *
 * A request that arrives in one piece is looked at with MSG_PEEK and parsed from the socket: two reads. Any other is collected in memory first,
 * since the sender of many small pieces is blocked until they are taken, and must be complete within the partial time-out.
 * One thread, one event loop.
 */
#ifndef AGENTS_CONN_H
#define AGENTS_CONN_H

#include "body.h"
#include "fcgi.h"
#include "list.h"
#include "log.h"
#include "scan.h"
#include "unread.h"

#include <ev.h>
#include <stdint.h>

struct conn;

/*
 * How the sending of an answer ended: all of it taken by the kernel, or given up because the client left, or took nothing for too long, or took so long that
 * newer answers need the memory.
 */
enum conn_sending { CONN_SENT, CONN_LEFT, CONN_STALLED, CONN_EVICTED, CONN_SENDING_MAX };

/* What the layer above does; `user` is conns_init's. */
struct conn_events {
	/*
	 * A whole request. `params` is good during the call, and NULL when there was no memory to parse them. conn_answer must follow once, now or
	 * later, unless the client leaves first.
	 */
	void (*request)(void *user, struct conn *c, const struct fcgi_params *params);
	/* The client has left, or broke the protocol, while its request was BUSY; the connection is closed after the call. */
	void (*gone)(void *user, struct conn *c);
	/* The answer is out of our hands; unless it was given up, the connection goes on. */
	void (*sent)(void *user, struct conn *c, enum conn_sending how);
};

struct conns {
	struct ev_loop *loop;
	const struct log *log;
	struct fcgi *fcgi;
	struct conn_events events;
	void *user;
	struct list all;
	unsigned count;
	double partial_timeout_s; /* a request must be whole this long after its first piece */
	double stall_timeout_s;   /* an answer of which the peer takes nothing for this long is given up */
	bool draining;
	struct unread unread; /* most_bytes is the layer above's to set */
	uint8_t peek[SCAN_MAX_BYTES + 1];
};

enum conn_state { CONN_IDLE, CONN_BUSY, CONN_SENDING };

/* Room for an answer's CGI header block. */
#define CONN_HEAD_BYTES 1536

struct conn {
	struct conns *conns;
	struct list node;
	int fd;
	enum conn_state state;
	bool keep;           /* the web server asked to keep the connection */
	bool deaf;           /* draining: we have shut its reading side, so the end that it shows is not the peer's */
	uint16_t request_id; /* FastCGI's, of the current request */
	void *request;       /* the layer above's; conn does not touch it */
	ev_io readable;
	ev_io writable;
	ev_timer timer; /* IDLE: the partial request; SENDING: the stalled answer */
	uint8_t *in;    /* bytes of an incomplete request; NULL when there is none */
	size_t in_len;
	struct body *body;           /* of the answer being sent; one reference, or NULL */
	struct unread_answer unread; /* its place among those that are read slowly */
	size_t sent;
	int unread_by_peer; /* SIOCOUTQ at the last look at a stalled answer */
	size_t head_len;
	char head[CONN_HEAD_BYTES];
};

void conns_init(struct conns *cs, struct ev_loop *loop, const struct log *log, struct fcgi *fcgi, struct conn_events events,
		void *user);

/* Takes over the connected, non-blocking socket `fd`. False (the socket is closed) when out of memory. */
bool conn_open(struct conns *cs, int fd);

/*
 * Answers the BUSY request: the CGI header block (copied, at most CONN_HEAD_BYTES; a short body may stand in it) and the body (NULL for none; its own
 * reference is taken). One sendmsg, when the socket takes all of it: an answer that fits its buffer is sent whole or not at all.
 */
void conn_answer(struct conn *c, struct str head, struct body *body);

/* Closes idle connections, now and as they become idle. A request that the kernel has already taken from the web server is still served. */
void conns_drain(struct conns *cs);

/*
 * Gives up answers that are read slowly, beyond what these may keep. To be called once a turn of the loop, outside of any connection's own doings:
 * it frees connections.
 */
void conns_relieve(struct conns *cs);

/* Closes every connection up to this state, in the order of enum conn_state, without ceremony; returns how many of them had a request. */
unsigned conns_abandon(struct conns *cs, enum conn_state last);

#endif
