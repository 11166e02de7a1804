#include "link.h"

#include "clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STATEMENT_NAME_BYTES 64

/* Jobs whose time is over may hold a silent connection for this part of a request's time. */
#define PATIENCE_PART 10

static void on_readable(struct ev_loop *loop, ev_io *w, int revents);
static void on_writable(struct ev_loop *loop, ev_io *w, int revents);

void link_init(struct link *l, struct ev_loop *loop, struct link_events events, void *user)
{
	memset(l, 0, sizeof(*l));
	l->loop = loop;
	l->events = events;
	l->user = user;
	list_init(&l->jobs);
}

void link_up(struct link *l, PGconn *conn)
{
	l->conn = conn;
	l->unsynced = false;
	l->first = 0;
	l->entry_count = 0;
	memset(l->generation, 0, sizeof(l->generation));
	l->answered = false;
	l->last_result_us = clock_us();
	ev_io_init(&l->readable, on_readable, PQsocket(conn), EV_READ);
	ev_io_init(&l->writable, on_writable, PQsocket(conn), EV_WRITE);
	l->readable.data = l;
	l->writable.data = l;
	ev_io_start(l->loop, &l->readable);
}

static void take_down(struct link *l)
{
	ev_io_stop(l->loop, &l->readable);
	ev_io_stop(l->loop, &l->writable);
	PQfinish(l->conn);
	l->conn = NULL;
	l->entry_count = 0;
	l->job_count = 0;
}

void link_break(struct link *l, const char *reason)
{
	char copy[256]; /* `reason` may be libpq's, and go with the connection */
	struct list jobs;

	(void)snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(reason, "\n"), reason);
	list_init(&jobs);
	while (!list_empty(&l->jobs)) {
		struct list *node = l->jobs.next;

		list_remove(node);
		list_append(&jobs, node);
	}
	take_down(l);
	l->events.lost(l->user, l, &jobs, copy);
}

void link_close(struct link *l)
{
	if (l->conn == NULL)
		return;
	while (!list_empty(&l->jobs))
		list_remove(l->jobs.next);
	take_down(l);
}

static void push(struct link *l, enum entry_kind kind, struct job *j)
{
	assert(l->entry_count < LINK_ENTRIES);
	l->entries[(l->first + l->entry_count) % LINK_ENTRIES] = (struct entry){kind, j};
	l->entry_count++;
}

static struct entry pop(struct link *l)
{
	struct entry e = l->entries[l->first];

	l->first = (l->first + 1) % LINK_ENTRIES;
	l->entry_count--;
	return e;
}

static void statement_name(const struct link *l, const struct query *q, char out[STATEMENT_NAME_BYTES])
{
	(void)snprintf(out, STATEMENT_NAME_BYTES, "%s_%u", q->name, l->generation[q->id]);
}

static bool send_prepare(struct link *l, struct job *j)
{
	char name[STATEMENT_NAME_BYTES];

	l->generation[j->query->id] = ++l->last_generation;
	statement_name(l, j->query, name);
	if (PQsendPrepare(l->conn, name, j->query->sql, 0, NULL) != 1)
		return false;
	push(l, ENTRY_PREPARE, j);
	return true;
}

bool link_queue(struct link *l, struct job *j)
{
	const char *values[1] = {j->parameter};
	char name[STATEMENT_NAME_BYTES];

	if (l->generation[j->query->id] == 0 && !send_prepare(l, j)) {
		link_break(l, PQerrorMessage(l->conn));
		return false;
	}
	statement_name(l, j->query, name);
	if (PQsendQueryPrepared(l->conn, name, j->parameter != NULL ? 1 : 0, values, NULL, NULL, 0) != 1) {
		link_break(l, PQerrorMessage(l->conn));
		return false;
	}
	push(l, ENTRY_EXECUTE, j);
	list_append(&l->jobs, &j->node);
	l->job_count++;
	l->unsynced = true;
	return true;
}

/* Writes what libpq still holds; the rest when the socket takes it. */
static void flush_output(struct link *l)
{
	int left = PQflush(l->conn);

	if (left < 0)
		link_break(l, PQerrorMessage(l->conn));
	else if (left > 0)
		ev_io_start(l->loop, &l->writable);
	else
		ev_io_stop(l->loop, &l->writable);
}

void link_flush(struct link *l)
{
	if (l->conn == NULL || !l->unsynced)
		return;
	l->unsynced = false;
	if (PQpipelineSync(l->conn) != 1) { /* writes at once */
		link_break(l, PQerrorMessage(l->conn));
		return;
	}
	push(l, ENTRY_SYNC, NULL);
	flush_output(l);
}

void link_forget_statement(struct link *l, enum query_id id)
{
	l->generation[id] = 0;
}

int64_t link_silent_since_us(const struct link *l)
{
	const struct job *head = LIST_OBJECT(l->jobs.next, struct job, node);

	return head->sent_us > l->last_result_us ? head->sent_us : l->last_result_us;
}

int64_t link_patience_end_us(const struct link *l, int64_t time_us)
{
	int64_t since_us = link_silent_since_us(l);
	int64_t all_over_us = since_us + time_us / PATIENCE_PART;

	for (const struct list *n = l->jobs.next; n != &l->jobs; n = n->next) {
		const struct job *j = LIST_OBJECT(n, struct job, node);

		if (!j->unwanted && j->deadline_us > all_over_us)
			all_over_us = j->deadline_us;
	}
	return all_over_us < since_us + time_us ? all_over_us : since_us + time_us;
}

static void answer_job(struct link *l, struct job *j, const PGresult *result)
{
	int64_t now_us = clock_us();

	l->answered = true;
	l->last_took_us = now_us - link_silent_since_us(l); /* answers come in order: the job is the first */
	list_remove(&j->node);
	l->job_count--;
	j->answered_us = now_us;
	l->last_result_us = now_us; /* from here on the next job waits, also while this one is rendered */
	l->events.result(l->user, l, j, result);
}

/* The statement could not be prepared: its job has that error for an answer, and its execution, which the server skips, none. */
static void prepare_failed(struct link *l, struct job *j, const PGresult *result)
{
	link_forget_statement(l, j->query->id);
	for (unsigned i = 0; i < l->entry_count; i++) {
		struct entry *e = &l->entries[(l->first + i) % LINK_ENTRIES];

		if (e->job == j)
			e->job = NULL;
	}
	answer_job(l, j, result);
}

static void take_result(struct link *l, const PGresult *result)
{
	struct entry e = pop(l);
	ExecStatusType status = PQresultStatus(result);

	if (e.kind == ENTRY_EXECUTE && e.job != NULL)
		answer_job(l, e.job, result);
	else if (e.kind == ENTRY_PREPARE && status == PGRES_PIPELINE_ABORTED)
		link_forget_statement(l, e.job->query->id); /* its execution is aborted too */
	else if (e.kind == ENTRY_PREPARE && status != PGRES_COMMAND_OK)
		prepare_failed(l, e.job, result);
}

/* The server ends the session with this answer: what is sent now would be lost, and its jobs' attempts with it. */
static bool ends_session(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* True when the server's next answer was taken; false when there is none yet or the link has gone down. */
static bool take_next(struct link *l)
{
	PGresult *result;
	bool sync;

	if (l->entry_count == 0 || PQisBusy(l->conn))
		return false;
	result = PQgetResult(l->conn);
	sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC; /* of NULL: PGRES_FATAL_ERROR */
	if (result == NULL || sync != (l->entries[l->first].kind == ENTRY_SYNC)) {
		PQclear(result);
		link_break(l, result == NULL ? "the pipeline is out of step" : PQerrorMessage(l->conn));
		return false;
	}
	if (sync) {
		(void)pop(l);
		PQclear(result);
		return true;
	}
	/*
	 * A NULL ends the results of each query. It is there already, and is taken before anything else is done: a query sent in between makes
	 * libpq 15 lose count.
	 */
	if (PQgetResult(l->conn) != NULL) {
		PQclear(result);
		link_break(l, "a statement gave two results");
		return false;
	}
	take_result(l, result);
	if (ends_session(result)) {
		link_break(l, PQresultErrorMessage(result));
		PQclear(result);
		return false;
	}
	PQclear(result);
	return true;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct link *l = w->data;

	(void)loop;
	(void)revents;
	/* Of an encrypted record libpq 15 may keep a part that the socket does not show; the second call has room for the rest. */
	if (PQconsumeInput(l->conn) != 1 || ((PQsslInUse(l->conn) || PQgssEncInUse(l->conn)) && PQconsumeInput(l->conn) != 1)) {
		link_break(l, PQerrorMessage(l->conn));
		return;
	}
	while (take_next(l))
		;
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	(void)revents;
	flush_output(w->data);
}
