#include "flight.h"

#include "agent.h"
#include "clock.h"
#include "request.h"
#include "rows.h"
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The part of a request's time that an estimate must leave, for what it cannot know: else an overload would fill the line up to the deadline, and who was
 * let in would be answered just in time, or just too late.
 */
#define SPARE_PART 5

struct flight {
	struct job job;
	struct flights *flights;
	struct list members; /* requests */
	unsigned size;
};

static struct flight *flight_of(struct job *j)
{
	return LIST_OBJECT(j, struct flight, job);
}

static void on_sealed(struct job *j)
{
	struct flight *f = flight_of(j);
	struct flights *fs = f->flights;

	if (fs->shared[j->query->id].gathering != f) /* sent again, or not shared */
		return;
	fs->shared[j->query->id].gathering = NULL;
	fs->shared[j->query->id].under_way = f;
}

/* A flight is over: the next may go. */
static void end(struct flight *f)
{
	struct flights *fs = f->flights;
	enum query_id id = f->job.query->id;
	struct flight *next = fs->shared[id].gathering;

	if (fs->shared[id].under_way == f) {
		fs->shared[id].under_way = NULL;
		if (next != NULL && next->job.state == JOB_IDLE)
			db_submit(fs->db, &next->job);
	}
	if (next == f)
		fs->shared[id].gathering = NULL;
	free(f);
}

/* What the request's time has gone into, for the log. */
static void note_times(const struct flight *f, struct request *r)
{
	r->query_sent_us = f->job.sent_us;
	r->query_answered_us = f->job.answered_us;
}

/* The next member, out of the flight, or NULL. */
static struct request *take_member(struct flight *f)
{
	struct request *r;

	if (list_empty(&f->members))
		return NULL;
	r = LIST_OBJECT(f->members.next, struct request, member);
	list_remove(&r->member);
	r->flight = NULL;
	f->flights->waiting--;
	note_times(f, r);
	return r;
}

/* `cause` is for the log; NULL: nobody named one. */
static void refuse_all(struct flight *f, int status, const char *detail, const char *cause)
{
	struct request *r;

	while ((r = take_member(f)) != NULL)
		request_fail(r, status, detail, cause);
}

/* The body of a result, or NULL when memory has run out. */
static struct body *render(struct flights *fs, const struct query *q, const PGresult *result)
{
	struct body *b = body_new(fs->size_hint[q->id]);

	if (b == NULL)
		return NULL;
	if (q->model != NULL)
		model_render(q->model, result, b);
	else
		rows_render(result, b);
	if (body_failed(b)) {
		body_unref(b);
		return NULL;
	}
	fs->size_hint[q->id] = b->len;
	return b;
}

static void land(struct flight *f, const PGresult *result)
{
	const struct query *q = f->job.query;
	char reason[MODEL_REASON_BYTES];
	struct content content;
	struct request *r;
	struct body *body;

	if (list_empty(&f->members)) /* all have left */
		return;
	if (q->model != NULL && !model_check_result(q->model, result, reason)) {
		schema_check(f->flights->schema);
		refuse_all(f, 503, "The database's schema is not the one that this service reads.", reason);
		return;
	}
	body = render(f->flights, q, result);
	if (body == NULL) {
		refuse_all(f, 503, "Out of memory.", NULL);
		return;
	}
	content = content_make(body);
	buckets_add(&f->flights->metrics->flight_members, buckets_counts, f->size);
	while ((r = take_member(f)) != NULL)
		request_answer(r, &content);
	body_unref(body);
}

static void on_done(struct job *j, const struct job_result *result)
{
	struct flight *f = flight_of(j);
	char text[256] = "";
	const char *cause;

	if (result->outcome != JOB_ROWS)
		(void)snprintf(text, sizeof(text), "%s%s%s", result->sqlstate, result->sqlstate[0] != '\0' ? ": " : "",
			       result->message);
	cause = text[0] != '\0' ? text : NULL;

	switch (result->outcome) {
	case JOB_ROWS:
		land(f, result->result);
		break;
	case JOB_UNAVAILABLE:
		refuse_all(f, 503, "The database cannot serve this now.", cause);
		break;
	case JOB_EXPIRED:
		refuse_all(f, 504, "The database did not answer in time.", cause);
		break;
	case JOB_FAILED:
	default:
		refuse_all(f, 500, "The query failed.", cause);
		break;
	}
	end(f);
}

static struct flight *new_flight(struct flights *fs, enum query_id id)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->flights = fs;
	f->job.query = &fs->queries->all[id];
	f->job.sealed = on_sealed;
	f->job.done = on_done;
	list_init(&f->job.node);
	list_init(&f->members);
	return f;
}

/* The flight that a new request may join: not sent yet. */
static struct flight *open_flight(struct flights *fs, enum query_id id)
{
	struct flight *f = fs->share ? fs->shared[id].gathering : NULL;

	if (f != NULL)
		return f;
	f = new_flight(fs, id);
	if (f == NULL)
		return NULL;
	if (fs->share)
		fs->shared[id].gathering = f;
	if (!fs->share || fs->shared[id].under_way == NULL)
		db_submit(fs->db, &f->job);
	return f;
}

enum flight_joining flight_join(struct flights *fs, struct request *r, enum query_id id)
{
	struct flight *f;

	if (fs->waiting >= fs->max_waiting)
		return FLIGHT_FULL;
	if (db_estimate_us(fs->db) > fs->timeout_us - fs->timeout_us / SPARE_PART)
		return FLIGHT_TOO_LATE;
	f = open_flight(fs, id);
	if (f == NULL)
		return FLIGHT_NO_MEMORY;
	request_wait(r);
	r->flight = f;
	list_append(&f->members, &r->member);
	f->size++;
	f->job.deadline_us = r->deadline_us; /* the last member's: deadlines only grow */
	fs->waiting++;
	return FLIGHT_JOINED;
}

void flight_leave(struct request *r)
{
	struct flight *f = r->flight;

	if (f == NULL)
		return;
	list_remove(&r->member);
	r->flight = NULL;
	f->flights->waiting--;
	f->size--;
	note_times(f, r);
	if (!list_empty(&f->members))
		return;
	/* A query that no one waits for is not sent, or not again. */
	if (f->job.state == JOB_SENT) {
		f->job.unwanted = true;
		return;
	}
	if (f->job.state == JOB_WAITING)
		db_withdraw(f->flights->db, &f->job);
	end(f);
}
