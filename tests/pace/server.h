/*
 * server: a small HTTP server, in one thread, that answers well or is wrong in one of many ways, and counts what it did in memory that its parent
 * shares. The tests run it in a child process, so that it can be stopped.
 */
#ifndef TESTS_PACE_SERVER_H
#define TESTS_PACE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_DELAYS_MAX 4096

enum fault {
	FAULT_NONE,
	FAULT_DROP,            /* closes without an answer */
	FAULT_RESET,           /* the same, by a reset */
	FAULT_TRUNCATE,        /* closes in the middle of the body */
	FAULT_500,             /* a well-formed answer, and the connection stays */
	FAULT_WRONG_BODY,      /* as long as the right one */
	FAULT_LONG_BODY,       /* more bytes than Content-Length says */
	FAULT_GARBAGE,         /* not HTTP */
	FAULT_ENDLESS_HEADERS, /* until the client closes */
	FAULT_SILENT,          /* never answers */
	FAULT_CHUNKED,         /* no fault: a chunked body */
	FAULT_TO_CLOSE,        /* no fault: a body that ends with the connection */
	FAULT_SLOW,            /* no fault: a byte at a time */
	FAULT_CLOSE_LATE,      /* no fault: answers, and closes when the next request comes on the same connection */
	FAULT_MAX
};

struct server_counts {
	uint64_t connections;
	uint64_t open; /* now */
	uint64_t most_open;
	uint64_t requests;
	uint64_t good;   /* right answers sent */
	uint64_t faulty; /* requests met with the fault */
	uint64_t delays;
	int64_t delay_us[SERVER_DELAYS_MAX]; /* from a request to its answer, by the server's own clock */
};

struct server {
	pid_t pid;
	int port;
	int listener;
	struct server_counts *counts;
};

/* What to do: the fault for each `every`th request (0: none), and the answer only after `delay_ms`. */
struct plan {
	enum fault fault;
	uint64_t every;
	int delay_ms;
};

extern const char server_body[];

/* Starts a child on a free port of 127.0.0.1. Asserts. */
void server_start(struct server *s, struct plan plan);
void server_stop(struct server *s);

/* Ends the child; its port refuses connections from now on. */
void server_kill(struct server *s);
/* Another child on the same port, with the same counts. */
void server_again(struct server *s, struct plan plan);

/* A listening socket on 127.0.0.1; port 0: a free one. -1 with errno set. */
int server_listen(int port, int *bound);

/* Serves for ever. */
void server_run(int listener, struct plan plan, struct server_counts *counts);

#endif
