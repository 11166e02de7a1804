/*
 * fake_pg: a server on the test's own event loop that speaks as much of PostgreSQL's protocol 3.0 (manual, chapter 55) as the worker uses, and
 * misbehaves as told. It listens on an abstract Unix socket, so it leaves nothing behind.
 */
#ifndef TESTS_FAKE_PG_H
#define TESTS_FAKE_PG_H

#include "list.h"

#include <ev.h>

enum fake_act {
	FAKE_ROWS,   /* one row of one text column: "statement parameter connection" */
	FAKE_ERROR,  /* ErrorResponse; what follows is skipped up to the Sync */
	FAKE_FATAL,  /* the same, then the end of the connection */
	FAKE_SILENT, /* no answer to this and anything that follows */
	FAKE_HALF,   /* half a message, then the end of the connection */
	FAKE_CLOSE,  /* the end of the connection */
};

struct fake_reply {
	enum fake_act act;
	const char *sqlstate;
};

#define FAKE_TEXT_BYTES 2048

struct fake_pg {
	struct ev_loop *loop;
	int fd;
	ev_io acceptable;
	ev_timer step; /* runs while answers are given one at a time */
	char host[64];
	char conninfo[128];
	struct list sessions;
	void *user;
	/* What to do with a Parse or an Execute (NULL: FAKE_ROWS); connections count from 1. `parameter` is "-" for none. */
	struct fake_reply (*on_parse)(void *user, int connection, const char *statement);
	struct fake_reply (*on_execute)(void *user, int connection, const char *statement, const char *parameter);
	const char *encoding;        /* server_encoding */
	const char *refused_setting; /* a SET with this text in it gives an error */
	bool mute_settings;          /* no answer to SET */
	bool holds;      /* answers nothing until told otherwise, then one message at a time, a turn of the loop each */
	int connections; /* accepted so far */
	int open;        /* now */
	int parses;
	int executions;
	int syncs;
	char startup[FAKE_TEXT_BYTES];  /* parameters of the last connection: " name=value name=value " */
	char settings[FAKE_TEXT_BYTES]; /* the last connection's SET commands */
	char log[FAKE_TEXT_BYTES];      /* of Parse and Execute: " P:statement E:statement" */
};

/* Listens; the fields above may be changed at any time. */
void fake_pg_start(struct fake_pg *f, struct ev_loop *loop);

/* Closes all connections. */
void fake_pg_drop(struct fake_pg *f);

/* Stops listening: connections are refused. What is open stays. */
void fake_pg_refuse(struct fake_pg *f);

/* Ends `holds`. */
void fake_pg_release(struct fake_pg *f);

void fake_pg_stop(struct fake_pg *f);

#endif
