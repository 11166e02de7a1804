/*
 * connector: the helper thread that makes connections to PostgreSQL, since that is what can only block: libpq's blocking connect handles several
 * hosts, target_session_attrs, TLS, DNS and connect_timeout as documented; its asynchronous form blocks on DNS and stays with the first silent host.
 *
 * One attempt at a time. The connection comes ready for use: session settings made, encoding checked, non-blocking, in pipeline mode.
 */
#ifndef AGENTS_CONNECTOR_H
#define AGENTS_CONNECTOR_H

#include <ev.h>
#include <libpq-fe.h>
#include <stdbool.h>

struct connector;

/* Room for the reason of a failure. It may name host, user and database, never the password. */
#define CONNECTOR_REASON_BYTES 512

/* On the loop's thread: `conn` is the receiver's; NULL when the attempt failed for `reason`. */
typedef void connector_done(void *user, PGconn *conn, const char *reason);

/*
 * Starts the thread. `database` is a conninfo or URI ("" for the PG* variables; must outlive the connector), `statement_timeout_ms` what the server is
 * told. NULL, with errno, when there is no memory or no thread to be had.
 */
struct connector *connector_new(struct ev_loop *loop, const char *database, int statement_timeout_ms, connector_done *done,
				void *user);

/* Asks for one connection; done() follows. Must not be called again before it has. */
void connector_start(struct connector *c);

/* Ends the thread and frees everything; false, and nothing freed, when the thread is in the midst of an attempt, which cannot be interrupted. */
bool connector_free(struct connector *c);

/* The attempt itself, on the calling thread: what --check uses. `reason` has CONNECTOR_REASON_BYTES. */
PGconn *connector_connect(const char *database, int statement_timeout_ms, char *reason);

#endif
