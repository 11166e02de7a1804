#include "connector.h"

#include "clock.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For each host, unless the conninfo or PGCONNECT_TIMEOUT says otherwise. libpq takes 1 as 2. */
#define CONNECT_TIMEOUT_S "2"

/* For the session settings, once connected: a server that accepts and then says nothing must not hold the thread. */
#define SETTINGS_TIMEOUT_US (5 * CLOCK_S)

enum state { STATE_IDLE, STATE_WANTED, STATE_CONNECTING, STATE_DONE, STATE_QUIT };

struct connector {
	struct ev_loop *loop;
	const char *database;
	int statement_timeout_ms;
	connector_done *done;
	void *user;
	ev_async wake_loop;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	enum state state; /* below: guarded by mutex */
	PGconn *result;
	char reason[CONNECTOR_REASON_BYTES];
};

static void copy_reason(char *reason, const char *text)
{
	size_t used = 0;

	/* libpq's lines: one for each host that was tried, and hints below them. */
	reason[0] = '\0';
	for (const char *line = text; *line != '\0' && used < CONNECTOR_REASON_BYTES - 1; line += strspn(line, "\n\t ")) {
		size_t len = strcspn(line, "\n");

		used += (size_t)snprintf(reason + used, CONNECTOR_REASON_BYTES - used, "%s%.*s", used > 0 ? "; " : "", (int)len,
					 line);
		line += len;
	}
}

static void ignore_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

/* PQexec with a deadline. True when the command succeeded. */
static bool execute(PGconn *conn, const char *sql, int64_t deadline_us, char *reason)
{
	PGresult *res;
	bool ok = true;

	if (PQsendQuery(conn, sql) != 1) {
		copy_reason(reason, PQerrorMessage(conn));
		return false;
	}
	for (;;) {
		struct pollfd p = {PQsocket(conn), POLLIN, 0};
		int64_t left_us = deadline_us - clock_us();

		if (PQconsumeInput(conn) != 1) {
			copy_reason(reason, PQerrorMessage(conn));
			return false;
		}
		if (PQisBusy(conn)) {
			if (left_us <= 0) {
				copy_reason(reason, "the server accepted the connection but did not answer");
				return false;
			}
			(void)poll(&p, 1, (int)(left_us / CLOCK_MS) + 1);
			continue;
		}
		res = PQgetResult(conn);
		if (res == NULL)
			return ok;
		if (ok && PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
			copy_reason(reason, PQresultErrorMessage(res));
			ok = false;
		}
		PQclear(res);
	}
}

/* SQL_ASCII means that the server does not know what its bytes mean: they need not be UTF-8, which JSON must be. */
static bool check_encoding(const PGconn *conn, char *reason)
{
	const char *encoding = PQparameterStatus(conn, "server_encoding");

	if (encoding != NULL && strcmp(encoding, "SQL_ASCII") != 0)
		return true;
	(void)snprintf(
		reason, CONNECTOR_REASON_BYTES,
		"database \"%s\" has encoding SQL_ASCII, which cannot be served as UTF-8; use a database with encoding UTF8",
		PQdb(conn));
	return false;
}

static bool prepare_session(PGconn *conn, int statement_timeout_ms, char *reason)
{
	int64_t deadline_us = clock_us() + SETTINGS_TIMEOUT_US;
	char sql[256];
	char scrap[CONNECTOR_REASON_BYTES];

	if (!check_encoding(conn, reason))
		return false;
	(void)snprintf(sql, sizeof(sql),
		       "SET default_transaction_read_only = on; SET default_transaction_isolation = 'read committed'; "
		       "SET datestyle = 'ISO'; SET statement_timeout = %d",
		       statement_timeout_ms);
	if (!execute(conn, sql, deadline_us, reason))
		return false;
	/* PostgreSQL 14 and later, on systems that can: the server stops working for a connection that is gone. Without it, statement_timeout does. */
	if (!execute(conn, "SET client_connection_check_interval = 500", deadline_us, scrap) && PQstatus(conn) != CONNECTION_OK) {
		copy_reason(reason, scrap);
		return false;
	}
	if (PQsetnonblocking(conn, 1) != 0 || PQenterPipelineMode(conn) != 1) {
		copy_reason(reason, PQerrorMessage(conn));
		return false;
	}
	return true;
}

PGconn *connector_connect(const char *database, int statement_timeout_ms, char *reason)
{
	/* Later entries win: connect_timeout and application_name are defaults, client_encoding is not to be changed. */
	const char *keywords[8];
	const char *values[8];
	int n = 0;
	PGconn *conn;

	if (getenv("PGCONNECT_TIMEOUT") == NULL) {
		keywords[n] = "connect_timeout";
		values[n++] = CONNECT_TIMEOUT_S;
	}
	keywords[n] = "fallback_application_name";
	values[n++] = "agents-fcgi";
	if (database[0] != '\0') {
		keywords[n] = "dbname";
		values[n++] = database;
	}
	keywords[n] = "client_encoding";
	values[n++] = "UTF8";
	keywords[n] = NULL;
	values[n] = NULL;
	conn = PQconnectdbParams(keywords, values, 1);
	if (conn == NULL) {
		copy_reason(reason, "out of memory");
		return NULL;
	}
	if (PQstatus(conn) != CONNECTION_OK) {
		copy_reason(reason, PQerrorMessage(conn));
	} else {
		PQsetNoticeReceiver(conn, ignore_notice, NULL);
		if (prepare_session(conn, statement_timeout_ms, reason))
			return conn;
	}
	PQfinish(conn);
	return NULL;
}

static void *run(void *arg)
{
	struct connector *c = arg;
	char reason[CONNECTOR_REASON_BYTES];
	PGconn *conn;

	(void)pthread_mutex_lock(&c->mutex);
	for (;;) {
		while (c->state != STATE_WANTED && c->state != STATE_QUIT)
			(void)pthread_cond_wait(&c->changed, &c->mutex);
		if (c->state == STATE_QUIT)
			break;
		c->state = STATE_CONNECTING;
		(void)pthread_mutex_unlock(&c->mutex);
		reason[0] = '\0';
		conn = connector_connect(c->database, c->statement_timeout_ms, reason);
		(void)pthread_mutex_lock(&c->mutex);
		c->result = conn;
		memcpy(c->reason, reason, sizeof(reason));
		c->state = STATE_DONE;
		ev_async_send(c->loop, &c->wake_loop);
	}
	(void)pthread_mutex_unlock(&c->mutex);
	return NULL;
}

static void on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
	struct connector *c = w->data;
	char reason[CONNECTOR_REASON_BYTES];
	PGconn *conn;

	(void)loop;
	(void)revents;
	(void)pthread_mutex_lock(&c->mutex);
	if (c->state != STATE_DONE) {
		(void)pthread_mutex_unlock(&c->mutex);
		return;
	}
	conn = c->result;
	c->result = NULL;
	memcpy(reason, c->reason, sizeof(reason));
	c->state = STATE_IDLE;
	(void)pthread_mutex_unlock(&c->mutex);
	c->done(c->user, conn, conn == NULL ? reason : NULL);
}

/* Signals are the loop's: none may be delivered to the helper. */
static int start_thread(struct connector *c)
{
	sigset_t all;
	sigset_t before;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&c->thread, NULL, run, c);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct connector *connector_new(struct ev_loop *loop, const char *database, int statement_timeout_ms, connector_done *done,
				void *user)
{
	struct connector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = loop;
	c->database = database;
	c->statement_timeout_ms = statement_timeout_ms;
	c->done = done;
	c->user = user;
	(void)pthread_mutex_init(&c->mutex, NULL);
	(void)pthread_cond_init(&c->changed, NULL);
	ev_async_init(&c->wake_loop, on_wake);
	c->wake_loop.data = c;
	ev_async_start(loop, &c->wake_loop);
	if (start_thread(c) != 0) {
		ev_async_stop(loop, &c->wake_loop);
		free(c);
		return NULL;
	}
	return c;
}

void connector_start(struct connector *c)
{
	(void)pthread_mutex_lock(&c->mutex);
	c->state = STATE_WANTED;
	(void)pthread_cond_signal(&c->changed);
	(void)pthread_mutex_unlock(&c->mutex);
}

bool connector_free(struct connector *c)
{
	bool busy;

	(void)pthread_mutex_lock(&c->mutex);
	busy = c->state == STATE_WANTED || c->state == STATE_CONNECTING;
	if (!busy) {
		c->state = STATE_QUIT;
		(void)pthread_cond_signal(&c->changed);
	}
	(void)pthread_mutex_unlock(&c->mutex);
	if (busy)
		return false;
	(void)pthread_join(c->thread, NULL);
	ev_async_stop(c->loop, &c->wake_loop);
	PQfinish(c->result);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->mutex);
	free(c);
	return true;
}
