#include "db.h"

#include "clock.h"
#include "sqlstate.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

/* Waits between attempts to connect: full jitter up to a bound that doubles from the first to the last. */
#define RETRY_FIRST_MS 50U
#define RETRY_LAST_MS 1000U

/* A job with less than this part of a request's time left is not sent. */
#define LEAST_PART 50

/* After a result that took this much memory, free memory goes back to the system once things are quiet. */
#define LARGE_RESULT_BYTES ((size_t)1 << 20)
#define TRIM_DELAY_S 0.5

static void on_connected(void *user, PGconn *conn, const char *reason);
static void on_result(void *user, struct link *l, struct job *j, const PGresult *result);
static void on_lost(void *user, struct link *l, struct list *jobs, const char *reason);
static void on_retry(struct ev_loop *loop, ev_timer *w, int revents);
static void on_expiry(struct ev_loop *loop, ev_timer *w, int revents);
static void on_trim(struct ev_loop *loop, ev_timer *w, int revents);

static struct job *job_at(struct list *node)
{
	return LIST_OBJECT(node, struct job, node);
}

/* --- connecting --- */

static struct link *link_down(const struct db *db)
{
	for (int i = 0; i < db->settings.links; i++) {
		if (!link_is_up(&db->links[i]))
			return &db->links[i];
	}
	return NULL;
}

bool db_is_up(const struct db *db)
{
	for (int i = 0; i < db->settings.links; i++) {
		if (link_is_up(&db->links[i]))
			return true;
	}
	return false;
}

bool db_is_reachable(const struct db *db)
{
	return db->gave_up || db_is_up(db);
}

/* Sees to it that another connection is being made, or will be, while one is missing. */
static void connect_missing(struct db *db)
{
	unsigned bound_ms = RETRY_LAST_MS;
	unsigned failures = db->failures + db->silent;

	if (db->connecting || ev_is_active(&db->retry) || link_down(db) == NULL)
		return;
	if (failures == 0) {
		db->connecting = true;
		connector_start(db->connector);
		return;
	}
	if (failures < 6 && RETRY_FIRST_MS << (failures - 1) < RETRY_LAST_MS)
		bound_ms = RETRY_FIRST_MS << (failures - 1);
	ev_timer_set(&db->retry, arc4random_uniform(bound_ms * 1000) * 1e-6, 0.);
	ev_timer_start(db->loop, &db->retry);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	db->connecting = true;
	connector_start(db->connector);
}

static void connect_failed(struct db *db, const char *reason)
{
	bool news = strcmp(db->reason, reason) != 0;

	counter_add(&db->settings.metrics->database_connect_failures, 1);
	db->failures++;
	db->gave_up = false;
	/* The same reason again and again is one line a while, not twenty a second from each worker. */
	log_event(db->log, news || db->failures % 60 == 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "database_unreachable",
		  LOG_NO_REQUEST, "{s:s, s:i}", "error", reason, "attempts", (int)db->failures);
	db->broken_before = true;
	if (!db_is_up(db))
		(void)snprintf(db->reason, sizeof(db->reason), "%s", reason);
}

static void on_connected(void *user, PGconn *conn, const char *reason)
{
	struct db *db = user;
	bool first = !db_is_up(db);

	db->connecting = false;
	if (conn == NULL) {
		connect_failed(db, reason);
		connect_missing(db);
		return;
	}
	log_event(db->log, db->broken_before ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "database_connected", LOG_NO_REQUEST,
		  "{s:i, s:i}", "backend_pid", PQbackendPID(conn), "attempts", (int)db->failures + 1);
	counter_add(&db->settings.metrics->database_connects, 1);
	db->broken_before = false;
	db->reason[0] = '\0';
	link_up(link_down(db), conn);
	db->failures = 0;
	db->gave_up = false;
	if (first && db->on_up != NULL)
		db->on_up(db->user);
	connect_missing(db);
}

/* --- the waiting room --- */

static void enter_line(struct db *db, struct job *j, struct list *before)
{
	j->state = JOB_WAITING;
	list_insert_before(before, &j->node);
	db->waiting_count++;
}

/* A job that was sent goes back to the front, behind those that were sent before it and are back already. */
static void enter_line_again(struct db *db, struct job *j)
{
	struct list *place = db->waiting.next;

	while (place != &db->waiting && job_at(place)->sent_us != 0 && job_at(place)->sent_us <= j->sent_us)
		place = place->next;
	enter_line(db, j, place);
}

static void leave_line(struct db *db, struct job *j)
{
	list_remove(&j->node);
	j->state = JOB_IDLE;
	db->waiting_count--;
}

void db_submit(struct db *db, struct job *j)
{
	j->attempts = 0;
	j->sent_us = j->answered_us = 0;
	j->unwanted = false;
	enter_line(db, j, &db->waiting);
}

void db_withdraw(struct db *db, struct job *j)
{
	leave_line(db, j);
}

static void finish(struct db *db, struct job *j, enum job_outcome outcome, const PGresult *result, const char *sqlstate,
		   const char *message)
{
	struct job_result r = {outcome, result, sqlstate != NULL ? sqlstate : "", message != NULL ? message : ""};

	counter_add(&db->settings.metrics->queries[j->query->id][outcome], 1);
	if (outcome == JOB_ROWS || outcome == JOB_EXPIRED)
		buckets_add_us(&db->settings.metrics->query_durations[j->query->id],
			       (j->answered_us != 0 ? j->answered_us : clock_us()) - j->sent_us);
	j->state = JOB_IDLE;
	j->done(j, &r);
}

/* Back into the line, unless it has had its attempts or is of no use. */
static bool send_again(struct db *db, struct job *j)
{
	if (j->attempts >= JOB_ATTEMPTS || j->unwanted)
		return false;
	counter_add(&db->settings.metrics->queries_resent, 1);
	enter_line_again(db, j);
	return true;
}

/* --- sending --- */

static struct link *freest_link(const struct db *db)
{
	struct link *best = NULL;

	for (int i = 0; i < db->settings.links; i++) {
		struct link *l = &db->links[i];

		if (link_has_room(l) && (best == NULL || l->job_count < best->job_count))
			best = l;
	}
	return best;
}

static void watch_expiry(struct db *db, int64_t deadline_us)
{
	int64_t left_us = deadline_us - clock_us();
	double left_s = left_us > 0 ? (double)left_us * 1e-6 : 0.;

	if (ev_is_active(&db->expiry) && ev_timer_remaining(db->loop, &db->expiry) <= left_s)
		return;
	ev_timer_stop(db->loop, &db->expiry);
	ev_timer_set(&db->expiry, left_s, 0.);
	ev_timer_start(db->loop, &db->expiry);
}

static bool send_job(struct db *db, struct link *l, struct job *j)
{
	int64_t end_us;

	leave_line(db, j);
	j->attempts++;
	if (j->sealed != NULL)
		j->sealed(j);
	j->sent_us = clock_us();
	j->answered_us = 0; /* an answer to an earlier attempt is none to this one */
	j->state = JOB_SENT;
	if (!link_queue(l, j)) {
		enter_line_again(db, j); /* not sent after all: the link broke while it was queued */
		return false;
	}
	end_us = j->sent_us + db->settings.timeout_ms * CLOCK_MS;
	watch_expiry(db, j->deadline_us < end_us ? j->deadline_us : end_us);
	return true;
}

/* What is left of its time is too short for an answer, by all that is known. */
static bool is_too_late(const struct db *db, const struct link *l, const struct job *j)
{
	/* A lone job is always sent: what is known of the past must not keep it from being proved wrong. */
	int64_t needed_us = l->job_count > 0 ? (l->job_count + 1) * db->service_us : 0;
	int64_t least_us = db->settings.timeout_ms * CLOCK_MS / LEAST_PART;

	return j->deadline_us - clock_us() < (needed_us > least_us ? needed_us : least_us);
}

void db_flush(struct db *db)
{
	struct link *l;

	while (!list_empty(&db->waiting) && (l = freest_link(db)) != NULL) {
		struct job *j = job_at(db->waiting.next);

		if (is_too_late(db, l, j)) {
			leave_line(db, j);
			finish(db, j, JOB_UNAVAILABLE, NULL, NULL, "its turn came too late for an answer by its deadline");
		} else {
			(void)send_job(db, l, j);
		}
	}
	for (int i = 0; i < db->settings.links; i++)
		link_flush(&db->links[i]);
}

/* --- answers --- */

static void note_service_time(struct db *db, const struct link *l)
{
	int64_t sample_us = l->last_took_us;
	int64_t most_us = 2 * db->service_us + CLOCK_MS;

	/* One stall says little about the next query: a sample counts for at most twice what was known. */
	if (sample_us > most_us)
		sample_us = most_us;
	db->service_us += (sample_us - db->service_us) / 8;
}

static void server_error(struct db *db, struct link *l, struct job *j, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	enum sqlstate_advice advice = sqlstate_advice(sqlstate);

	if (advice == SQLSTATE_PREPARE)
		link_forget_statement(l, j->query->id);
	if ((advice == SQLSTATE_PREPARE || advice == SQLSTATE_REPEAT) && send_again(db, j))
		return;
	log_event(db->log, LOG_LEVEL_ERROR, "query_failed", LOG_NO_REQUEST, "{s:s, s:s, s:s}", "query", j->query->name,
		  "sqlstate", sqlstate != NULL ? sqlstate : "", "error",
		  message != NULL ? message : PQresultErrorMessage(result));
	if ((advice == SQLSTATE_SCHEMA || advice == SQLSTATE_PREPARE) && db->on_schema_error != NULL)
		db->on_schema_error(db->user);
	finish(db, j, advice == SQLSTATE_FAILED ? JOB_FAILED : JOB_UNAVAILABLE, NULL, sqlstate, message);
}

static void on_result(void *user, struct link *l, struct job *j, const PGresult *result)
{
	struct db *db = user;

	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
		db->silent = 0;
		note_service_time(db, l);
		if (PQresultMemorySize(result) > LARGE_RESULT_BYTES)
			ev_timer_again(db->loop, &db->trim);
		finish(db, j, JOB_ROWS, result, NULL, NULL);
		break;
	case PGRES_PIPELINE_ABORTED: /* one before it failed; it was never looked at */
		j->attempts--;
		if (!send_again(db, j))
			finish(db, j, JOB_EXPIRED, NULL, NULL, NULL);
		break;
	default:
		server_error(db, l, j, result);
		break;
	}
}

static void on_trim(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(loop, w);
	(void)malloc_trim(0);
}

/* --- the end of a connection --- */

static bool is_over(const struct job *j, int64_t now_us)
{
	return j->unwanted || j->deadline_us <= now_us;
}

static void on_lost(void *user, struct link *l, struct list *jobs, const char *reason)
{
	struct db *db = user;
	int64_t now_us = clock_us();

	counter_add(&db->settings.metrics->database_connections_lost, 1);
	log_event(db->log, LOG_LEVEL_WARN, "database_connection_lost", LOG_NO_REQUEST, "{s:s}", "error", reason);
	db->broken_before = true;
	db->silent = l->answered ? 0 : db->silent + 1;
	if (!db_is_up(db))
		(void)snprintf(db->reason, sizeof(db->reason), "%s", reason);
	while (!list_empty(jobs)) {
		struct job *j = job_at(jobs->next);

		list_remove(&j->node);
		/* Closed by us: not the fault of those that were not looked at yet. */
		if (db->gave_up)
			j->attempts--;
		if (is_over(j, now_us))
			finish(db, j, JOB_EXPIRED, NULL, NULL, NULL);
		else if (!send_again(db, j))
			finish(db, j, JOB_UNAVAILABLE, NULL, NULL, reason);
	}
	connect_missing(db);
}

/* --- slowness --- */

static void on_expiry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db *db = w->data;
	int64_t next_us = INT64_MAX;

	(void)loop;
	(void)revents;
	for (int i = 0; i < db->settings.links; i++) {
		struct link *l = &db->links[i];
		int64_t end_us;

		if (!link_is_up(l) || l->job_count == 0)
			continue;
		end_us = link_patience_end_us(l, db->settings.timeout_ms * CLOCK_MS);
		if (end_us <= clock_us()) {
			db->gave_up = true;
			link_break(l, "queries had no answer by their deadline, so their connection was closed");
		} else if (end_us < next_us) {
			next_us = end_us;
		}
	}
	if (next_us != INT64_MAX)
		watch_expiry(db, next_us);
}

int64_t db_estimate_us(const struct db *db)
{
	int64_t jobs = db->waiting_count + 1;
	int64_t oldest_us = 0;
	int64_t now_us = clock_us();
	int up = 0;

	for (int i = 0; i < db->settings.links; i++) {
		const struct link *l = &db->links[i];

		if (!link_is_up(l))
			continue;
		up++;
		if (l->job_count > 0) {
			jobs += l->job_count;
			if (now_us - link_silent_since_us(l) > oldest_us)
				oldest_us = now_us - link_silent_since_us(l);
		}
	}
	return up == 0 || jobs == 1 ? 0 : oldest_us + jobs * db->service_us / up;
}

/* --- beginning and end --- */

bool db_init(struct db *db, struct ev_loop *loop, const struct log *log, struct db_settings settings)
{
	static const struct link_events events = {on_result, on_lost};

	memset(db, 0, sizeof(*db));
	db->loop = loop;
	db->log = log;
	db->settings = settings;
	list_init(&db->waiting);
	ev_init(&db->retry, on_retry);
	ev_init(&db->expiry, on_expiry);
	ev_timer_init(&db->trim, on_trim, 0., TRIM_DELAY_S);
	db->retry.data = db;
	db->expiry.data = db;
	(void)snprintf(db->reason, sizeof(db->reason), "not connected yet");
	db->links = calloc((size_t)settings.links, sizeof(*db->links));
	if (db->links == NULL)
		return false;
	for (int i = 0; i < settings.links; i++)
		link_init(&db->links[i], loop, events, db);
	db->connector = connector_new(loop, settings.database, settings.timeout_ms, on_connected, db);
	if (db->connector == NULL) {
		free(db->links);
		return false;
	}
	connect_missing(db);
	return true;
}

bool db_close(struct db *db)
{
	ev_timer_stop(db->loop, &db->retry);
	ev_timer_stop(db->loop, &db->expiry);
	ev_timer_stop(db->loop, &db->trim);
	for (int i = 0; i < db->settings.links; i++)
		link_close(&db->links[i]);
	if (!connector_free(db->connector))
		return false;
	free(db->links);
	return true;
}
