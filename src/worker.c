#include "worker.h"

#include "clock.h"
#include "handlers.h"
#include "pool.h"
#include "reload.h"
#include "version.h"
#include "watchdog.h"

#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beyond the request deadline, for answers that are on their way when it comes. */
#define DRAIN_GRACE_S 1.0

/* A worker that has a successor may drain for this long, as the longest request might: for clients that still read an answer. */
#define DRAIN_MOST_S (60.0 + DRAIN_GRACE_S)

/* A process that cannot start waits before it exits, so that whoever respawns it cannot spin. */
#define START_FAILED_WAIT_S 1

/* Descriptors that connections of the web server must leave: standard streams, epoll, timers, pipes, the scoreboard, what a name look-up opens. */
#define SPARE_DESCRIPTORS 25U

/* Large blocks go back to the system when freed. */
#define MMAP_FROM_BYTES (256 * 1024)
#define TRIM_FROM_BYTES (512 * 1024)

/* Heap that a worker takes at its start, not under its first load. */
#define HEAP_FIRST_BYTES (192 * 1024)

bool worker_is_ready(const struct worker *w, char *reasons, size_t size)
{
	char schema[SCHEMA_MODELS * MODEL_REASON_BYTES];
	size_t len = 0;

	reasons[0] = '\0';
	if (w->draining)
		len += (size_t)snprintf(reasons, size, "draining; ");
	if (!db_is_up(&w->db))
		len += (size_t)snprintf(reasons + len, size - len, "database: %s; ", w->db.reason);
	else if (!schema_fits(&w->schema, schema, sizeof(schema)))
		len += (size_t)snprintf(reasons + len, size - len, "schema: %s; ", schema);
	if (len == 0)
		return true;
	reasons[len - 2] = '\0'; /* the last separator */
	return false;
}

/* --- what others see of it --- */

struct moment worker_now(const struct worker *w)
{
	return (struct moment){w->turned_us, (int64_t)(ev_now(w->loop) * 1e6)};
}

/* The text changes seldom, and is put together only while there is one. */
static void publish_readiness(struct worker *w, struct slot *s)
{
	char reasons[WORKER_REASON_BYTES];
	bool ready = worker_is_ready(w, reasons, sizeof(reasons));

	if (strcmp(reasons, w->unready) != 0) {
		(void)snprintf(w->unready, sizeof(w->unready), "%s", reasons);
		slot_text_set(&s->unready, str_of(reasons));
	}
	counter_set(&s->gauges.ready, ready);
}

static void publish_links(const struct db *db, struct gauges *g)
{
	uint64_t up = 0, in_flight = 0;

	for (int i = 0; i < db->settings.links; i++) {
		up += link_is_up(&db->links[i]);
		in_flight += db->links[i].job_count;
	}
	counter_set(&g->database_connections, up);
	counter_set(&g->queries_in_flight, in_flight);
}

void worker_publish(struct worker *w)
{
	struct slot *s = scoreboard_own(&w->scoreboard);
	struct gauges *g = &s->gauges;

	counter_set(&g->turned_us, (uint64_t)w->turned_us);
	counter_set(&g->in_flight, w->requests.in_flight);
	counter_set(&g->waiting, (uint64_t)w->flights.waiting);
	counter_set(&g->queries_waiting, w->db.waiting_count);
	counter_set(&g->connections, w->conns.count);
	publish_links(&w->db, g);
	publish_readiness(w, s);
}

/* What changes with the options, or never again. */
static void publish_settings(struct worker *w)
{
	struct gauges *g = &scoreboard_own(&w->scoreboard)->gauges;

	counter_set(&g->share, w->options->share);
	counter_set(&g->max_waiting, (uint64_t)w->options->max_waiting);
	counter_set(&g->database_connections_wanted, (uint64_t)w->options->db_connections);
	counter_set(&g->draining, w->draining);
}

/* The turn is over: how long it took, and what there is now. */
static void end_turn(struct worker *w)
{
	struct slot *s = scoreboard_own(&w->scoreboard);

	counter_add(&s->metrics.busy_us, (uint64_t)(clock_us() - w->turned_us));
	worker_publish(w);
	slot_snapshot(s, w->turned_us);
	log_suppressed(&w->log);
}

/* --- draining --- */

static void stop_when_empty(struct worker *w)
{
	if (w->draining && w->conns.count == 0)
		ev_break(w->loop, EVBREAK_ALL);
}

static double drain_s(const struct worker *w)
{
	return (double)w->options->request_timeout_ms / 1000.0 + DRAIN_GRACE_S;
}

static void end_drain_after(struct worker *w, double seconds)
{
	ev_timer_stop(w->loop, &w->drained);
	ev_timer_set(&w->drained, seconds, 0.);
	ev_timer_start(w->loop, &w->drained);
}

static void on_drain_timeout(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct worker *w = t->data;
	bool patient = w->has_successor;
	unsigned busy = conns_abandon(&w->conns, patient ? CONN_BUSY : CONN_SENDING);

	(void)revents;
	w->has_successor = false;
	if (busy > 0)
		log_event(&w->log, LOG_LEVEL_WARN, "drain_timeout", LOG_NO_REQUEST, "{s:i, s:i}", "abandoned", (int)busy, "left",
			  (int)w->conns.count);
	if (patient && w->conns.count > 0 && drain_s(w) < DRAIN_MOST_S)
		end_drain_after(w, DRAIN_MOST_S - drain_s(w));
	else
		ev_break(loop, EVBREAK_ALL);
}

/*
 * Stops accepting, lets what is in flight finish, closes idle connections. SIGUSR1 comes from an upgrade, which starts a successor: clients that are still
 * reading an answer at the deadline may go on. SIGTERM is for all workers, and nobody serves until they have ended.
 */
static void on_stop_signal(struct ev_loop *loop, ev_signal *s, int revents)
{
	struct worker *w = s->data;

	(void)loop;
	(void)revents;
	if (w->draining) {
		if (s->signum == SIGTERM && ev_timer_remaining(w->loop, &w->drained) > drain_s(w))
			end_drain_after(w, drain_s(w));
		w->has_successor = w->has_successor && s->signum != SIGTERM;
		return;
	}
	w->draining = true;
	w->has_successor = s->signum == SIGUSR1;
	publish_settings(w);
	log_event(&w->log, LOG_LEVEL_INFO, "draining", LOG_NO_REQUEST, "{s:i, s:i}", "signal", s->signum, "connections",
		  (int)w->conns.count);
	listener_stop(&w->listener);
	conns_drain(&w->conns);
	end_drain_after(w, drain_s(w));
}

/* --- reloading --- */

/* What the options that a reload can change decide. */
static void apply_options(struct worker *w)
{
	w->log.level = w->options->log_level;
	w->flights.share = w->options->share;
	w->flights.max_waiting = w->options->max_waiting;
	w->conns.unread.most_bytes = (size_t)w->options->max_unread_mb << 20;
	requests_configure(&w->requests);
	publish_settings(w);
}

static void on_reload_signal(struct ev_loop *loop, ev_signal *s, int revents)
{
	struct worker *w = s->data;

	(void)loop;
	(void)revents;
	if (reload_options(w->options, w->argc, w->argv, &w->log))
		apply_options(w);
}

/* --- the loop's turns --- */

/* Before any event's own watcher. */
static void on_after_sleep(struct ev_loop *loop, ev_check *c, int revents)
{
	(void)loop;
	(void)revents;
	((struct worker *)c->data)->turned_us = clock_us();
}

/* Everything that this turn has queued for the database goes out together. */
static void on_before_sleep(struct ev_loop *loop, ev_prepare *p, int revents)
{
	struct worker *w = p->data;

	(void)loop;
	(void)revents;
	db_flush(&w->db);
	conns_relieve(&w->conns);
	end_turn(w);
	stop_when_empty(w);
}

/*
 * Without a database, while others have one: what came here would wait for its deadline in vain. So with fewer connections than workers to be had, or
 * in the moment after a start.
 */
static bool stands_back(void *user)
{
	struct worker *w = user;

	return !db_is_up(&w->db) && pool_has_ready(&w->scoreboard, clock_us());
}

static void on_database_up(void *user)
{
	schema_check(&((struct worker *)user)->schema);
}

/* --- beginning and end --- */

#define SIGNALS 3

static sigset_t known_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigaddset(&set, SIGUSR2);
	return set;
}

void worker_block_signals(void)
{
	sigset_t set = known_signals();

	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void watch_signals(struct worker *w, ev_signal signals[SIGNALS])
{
	sigset_t set = known_signals();

	(void)signal(SIGPIPE, SIG_IGN);
	ev_signal_init(&signals[0], on_stop_signal, SIGTERM);
	ev_signal_init(&signals[1], on_stop_signal, SIGUSR1);
	ev_signal_init(&signals[2], on_reload_signal, SIGUSR2);
	for (int i = 0; i < SIGNALS; i++) {
		signals[i].data = w;
		ev_signal_start(w->loop, &signals[i]);
	}
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool start_database(struct worker *w)
{
	struct db_settings settings = {w->options->database, w->options->db_connections, w->options->request_timeout_ms,
				       &scoreboard_own(&w->scoreboard)->metrics};

	if (!db_init(&w->db, w->loop, &w->log, settings))
		return false;
	w->db.on_up = on_database_up;
	w->db.on_schema_error = on_database_up;
	w->db.user = w;
	schema_init(&w->schema, &w->db, &w->log, &w->queries, w->options->request_timeout_ms * CLOCK_MS);
	w->flights.db = &w->db;
	w->flights.log = &w->log;
	w->flights.queries = &w->queries;
	w->flights.schema = &w->schema;
	w->flights.metrics = settings.metrics;
	w->flights.timeout_us = w->options->request_timeout_ms * CLOCK_MS;
	return true;
}

/* Serving goes on without a scoreboard; who looks for one finds out why there is none. */
static bool start_scoreboard(struct worker *w)
{
	char reason[SCOREBOARD_REASON_BYTES];

	if (!scoreboard_open(&w->scoreboard, w->options->scoreboard, worker_now(w), reason))
		return false;
	if (reason[0] != '\0')
		log_event(&w->log, LOG_LEVEL_ERROR, "scoreboard_unusable", LOG_NO_REQUEST, "{s:s, s:s}", "file",
			  w->options->scoreboard, "error", reason);
	w->log.slot = scoreboard_own(&w->scoreboard);
	w->log.limit = &w->log_limit;
	return true;
}

static bool start(struct worker *w, int fd)
{
	w->loop = ev_default_loop(EVFLAG_AUTO);
	w->turned_us = clock_us();
	w->fcgi = fcgi_new();
	w->index = handlers_index_content();
	queries_init(&w->queries);
	if (w->loop == NULL || w->fcgi == NULL || w->index.body == NULL || !start_scoreboard(w))
		return false;
	requests_init(&w->requests, w);
	conns_init(&w->conns, w->loop, &w->log, w->fcgi, request_events, w);
	w->conns.partial_timeout_s = (double)w->options->request_timeout_ms / 1000.0;
	w->conns.stall_timeout_s = 2.0 * w->conns.partial_timeout_s; /* 10 s by default, as nginx gives its clients */
	if (!start_database(w))
		return false;
	apply_options(w);
	ev_prepare_init(&w->before_sleep, on_before_sleep);
	w->before_sleep.data = w;
	ev_prepare_start(w->loop, &w->before_sleep);
	ev_check_init(&w->after_sleep, on_after_sleep);
	ev_set_priority(&w->after_sleep, EV_MAXPRI);
	w->after_sleep.data = w;
	ev_check_start(w->loop, &w->after_sleep);
	ev_init(&w->drained, on_drain_timeout);
	w->drained.data = w;
	w->listener.stands_back = stands_back;
	w->listener.user = w;
	listener_start(&w->listener, &w->conns, fd, SPARE_DESCRIPTORS + (unsigned)w->options->db_connections);
	return true;
}

/* Frees everything, for the leak checkers; by the kernel, when the helper thread cannot be stopped because it is connecting. */
static void finish(struct worker *w)
{
	bool freed;

	schema_close(&w->schema);
	freed = db_close(&w->db);
	scoreboard_close(&w->scoreboard); /* says that we end well */
	if (!freed)
		_exit(0);
	queries_free(&w->queries);
	body_unref(w->index.body);
	fcgi_free(w->fcgi);
	ev_loop_destroy(w->loop);
}

/* The pool's memory is many times one worker's: one arena, and what is taken at the start is what an ordinary load needs. */
static void prepare_heap(void)
{
	void *first;

	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, TRIM_FROM_BYTES);
	first = malloc(HEAP_FIRST_BYTES);
	if (first != NULL)
		explicit_bzero(first, HEAP_FIRST_BYTES); /* pages exist once they are written */
	free(first);
}

int worker_run(struct options *options, int argc, char *const argv[], int fd)
{
	struct worker *w = calloc(1, sizeof(*w));
	ev_signal signals[SIGNALS];

	if (w == NULL)
		return 1;
	w->options = options;
	w->argc = argc;
	w->argv = argv;
	w->log = (struct log){.fd = STDERR_FILENO, .level = options->log_level};
	prepare_heap();
	if (!start(w, fd)) {
		log_event(&w->log, LOG_LEVEL_ERROR, "start_failed", LOG_NO_REQUEST, "{s:s}", "error",
			  "out of memory, threads or descriptors");
		(void)sleep(START_FAILED_WAIT_S);
		return 1;
	}
	watch_signals(w, signals); /* after libfcgi, which sets its own */
	watchdog_start(w->loop);
	log_event(&w->log, LOG_LEVEL_INFO, "started", LOG_NO_REQUEST, "{s:s, s:b}", "version", AGENTS_FCGI_VERSION, "share",
		  (int)options->share);
	(void)ev_run(w->loop, 0);
	watchdog_stop(w->loop);
	log_event(&w->log, LOG_LEVEL_INFO, "stopped", LOG_NO_REQUEST, NULL);
	finish(w);
	free(w);
	return 0;
}
