#include "request.h"

#include "clock.h"
#include "flight.h"
#include "head.h"
#include "metrics.h"
#include "problem.h"
#include "route.h"
#include "worker.h"

#include <jansson.h>
#include <stdlib.h>

static const struct str no_etag = STR("");

/* A longer If-None-Match is not kept while its request waits; the answer is then the whole one, as for a client that sent none. */
#define IF_NONE_MATCH_MAX ((size_t)2048)

/* --- the end --- */

/* Answered, or gone: its deadline has nothing more to say. */
static void stop_waiting(struct request *r)
{
	if (list_empty(&r->by_deadline))
		return;
	list_remove(&r->by_deadline);
}

static enum metrics_path metrics_path(const struct request *r)
{
	return r->route != NULL ? r->route->metrics : METRICS_NO_PATH;
}

static bool is_public(const struct request *r)
{
	return metrics_path(r) != METRICS_ADMIN;
}

static void forget(struct request *r)
{
	stop_waiting(r);
	flight_leave(r);
	r->conn->request = NULL;
	if (is_public(r))
		r->worker->requests.in_flight--;
	free(r->trace);
	free(r->allow_origin);
	free(r->if_none_match);
	free(r);
}

static double ms_between(int64_t from_us, int64_t to_us)
{
	return (double)(to_us - from_us) / 1000.0;
}

/*
 * `detail` and `cause` may be NULL. Where the time went: waiting for the query to be sent, for its answer, for the writing of JSON, for the web server to take
 * it; the four are the whole.
 */
static void log_request(const struct request *r, enum log_level level, const char *event, const char *detail, const char *cause)
{
	struct log log = r->worker->log;
	int64_t now_us, replied_us, answered_us, sent_us;

	if (level > log.level)
		return;
	/* Whoever wants to see all requests does not mean most. */
	if (r->worker->requests.slow_us == 0 && r->status < 500)
		log.limit = NULL;
	now_us = clock_us();
	replied_us = r->replied_us != 0 ? r->replied_us : now_us;
	answered_us = r->query_answered_us != 0 ? r->query_answered_us : replied_us;
	sent_us = r->query_sent_us != 0 ? r->query_sent_us : answered_us;
	if (r->query_sent_us == 0 && r->flight == NULL && r->status < 500) /* it needed no query */
		sent_us = answered_us = r->arrived_us;
	log_event(&log, level, event, request_id(r), "{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:s*, s:s*, s:s*, s:s*}", "path",
		  r->route != NULL ? r->route->path.p : "-", "status", r->status, "ms", ms_between(r->arrived_us, now_us),
		  "waiting_ms", ms_between(r->arrived_us, sent_us), "query_ms", ms_between(sent_us, answered_us), "render_ms",
		  ms_between(answered_us, replied_us), "write_ms", ms_between(replied_us, now_us), "detail", detail, "cause",
		  cause, "trace_id", r->trace != NULL ? r->trace->trace_id : NULL, "parent_id",
		  r->trace != NULL ? r->trace->parent_id : NULL);
}

/* An answer that the kernel takes at once needs no second look at the clock. */
static bool was_slow(const struct request *r)
{
	const struct requests *rs = &r->worker->requests;
	int64_t end_us = rs->replying == r ? r->replied_us : clock_us();

	return end_us - r->arrived_us >= rs->slow_us;
}

static void on_sent(void *user, struct conn *c, enum conn_sending how)
{
	struct worker *w = user;
	struct request *r = c->request;

	counter_add(&w->requests.metrics->sent_bytes, c->sent);
	if (how == CONN_STALLED)
		counter_add(&w->requests.metrics->answers_stalled, 1);
	else if (how == CONN_EVICTED)
		counter_add(&w->requests.metrics->answers_evicted, 1);
	else if (how == CONN_LEFT)
		counter_add(&w->requests.metrics->clients_left, 1);
	if (r == NULL) /* there was no memory for one */
		return;
	if (how == CONN_STALLED)
		log_request(r, LOG_LEVEL_WARN, "answer_stalled", NULL, NULL);
	else if (how == CONN_EVICTED)
		log_request(r, LOG_LEVEL_WARN, "answer_evicted", NULL, NULL);
	else if (how == CONN_LEFT)
		log_request(r, LOG_LEVEL_DEBUG, "client_left", NULL, NULL);
	else if (r->status < 500 && was_slow(r)) /* a failure has its line already */
		log_request(r, LOG_LEVEL_WARN, "slow_request", NULL, NULL);
	forget(r);
}

static void on_gone(void *user, struct conn *c)
{
	struct worker *w = user;

	counter_add(&w->requests.metrics->clients_left, 1);
	log_request(c->request, LOG_LEVEL_DEBUG, "client_left", NULL, NULL);
	forget(c->request);
}

/* --- the answer --- */

struct reply {
	int status;
	struct str content_type; /* empty: none, and no length either */
	struct body *body;       /* NULL: none */
	struct str etag;         /* empty: none; else the answer may be kept, and asked for again with If-None-Match */
	struct str more;         /* further header lines, each with its end */
};

static void add_cors(struct head *h, const struct request *r)
{
	if (r->allow_origin == NULL)
		return;
	head_field(h, (struct str)STR("Access-Control-Allow-Origin: "), str_of(r->allow_origin));
	if (r->method == REQUEST_OPTIONS)
		HEAD_ADD(h, "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Headers: If-None-Match\r\n"
			    "Access-Control-Max-Age: 600\r\n");
	else
		HEAD_ADD(h, "Access-Control-Expose-Headers: ETag, Retry-After, X-Request-Id\r\n");
}

/* The one way out: every answer is sent from here. */
static void reply(struct request *r, const struct reply *a)
{
	struct requests *rs = &r->worker->requests;
	struct body *body = r->method == REQUEST_HEAD ? NULL : a->body;
	struct head h;

	stop_waiting(r); /* the answer may take its time: a slow reader is conn's business */
	h.len = 0;
	r->status = a->status;
	HEAD_ADD(&h, "Status: ");
	head_add_size(&h, (size_t)a->status);
	HEAD_ADD(&h, " ");
	head_field(&h, str_of(problem_title(a->status)), str_make("", 0));
	if (a->content_type.len > 0) {
		head_field(&h, (struct str)STR("Content-Type: "), a->content_type);
		HEAD_ADD(&h, "Content-Length: ");
		head_add_size(&h, a->body != NULL ? a->body->len : 0);
		HEAD_ADD(&h, "\r\n");
	}
	if (a->etag.len > 0) {
		head_field(&h, (struct str)STR("ETag: "), a->etag);
		HEAD_ADD(&h, "Cache-Control: no-cache\r\n");
	} else {
		HEAD_ADD(&h, "Cache-Control: no-store\r\n");
	}
	if (cors_varies(&r->worker->requests.cors))
		HEAD_ADD(&h, "Vary: Accept-Encoding, Origin\r\n");
	else
		HEAD_ADD(&h, "Vary: Accept-Encoding\r\n");
	head_add(&h, a->more);
	add_cors(&h, r);
	HEAD_ADD(&h, "\r\n");
	/* Counted before the client can know of it: whoever has an answer finds it in the totals. */
	r->replied_us = clock_us();
	counter_add(&rs->metrics->requests[metrics_path(r)][metrics_status_of(a->status)], 1);
	buckets_add_us(&rs->metrics->durations[metrics_path(r)], r->replied_us - r->arrived_us);
	rs->replying = r;
	conn_answer(r->conn, head_str(&h), body);
	rs->replying = NULL;
}

void request_answer(struct request *r, const struct content *c)
{
	struct str etag = str_of(c->etag);

	if (r->if_none_match != NULL && etag_matches(str_of(r->if_none_match), etag))
		reply(r, &(struct reply){.status = 304, .etag = etag});
	else
		reply(r, &(struct reply){.status = 200, .content_type = STR("application/json"), .body = c->body, .etag = etag});
}

void request_answer_as(struct request *r, struct str content_type, struct body *body)
{
	reply(r, &(struct reply){.status = 200, .content_type = content_type, .body = body, .etag = no_etag});
	body_unref(body);
}

void request_answer_options(struct request *r)
{
	reply(r, &(struct reply){.status = 204, .more = STR("Allow: GET, HEAD, OPTIONS\r\n")});
}

void request_problem(struct request *r, int status, const char *detail)
{
	request_fail(r, status, detail, NULL);
}

void request_fail(struct request *r, int status, const char *detail, const char *cause)
{
	struct reply a = {.status = status, .content_type = STR("application/problem+json")};

	if (status == 503)
		a.more = (struct str)STR("Retry-After: 1\r\n");
	else if (status == 405)
		a.more = (struct str)STR("Allow: GET, HEAD, OPTIONS\r\n");
	a.body = problem_body(status, detail, request_id(r)); /* NULL, out of memory: the status alone must do */
	r->status = status;
	if (status >= 500) /* who asks whether all is well is told; the log has said why already */
		log_request(r, is_public(r) ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "request_failed", detail, cause);
	/* reply() frees the request; the body's reference is ours until then. */
	reply(r, &a);
	body_unref(a.body);
}

/* --- the beginning --- */

static enum request_method method_of(struct str name)
{
	if (str_equal(name, (struct str)STR("GET")))
		return REQUEST_GET;
	if (str_equal(name, (struct str)STR("HEAD")))
		return REQUEST_HEAD;
	if (str_equal(name, (struct str)STR("OPTIONS")))
		return REQUEST_OPTIONS;
	return REQUEST_OTHER;
}

/* A copy of a string of libfcgi's or the options'; NULL when it is empty, or there is no memory: the answer is then one that lacks the extra. */
static char *copy(struct str s)
{
	return s.len > 0 ? strndup(s.p, s.len) : NULL;
}

/* Most requests have none; NULL also when there is no memory. */
static struct trace *new_trace(struct str traceparent)
{
	struct trace t, *copied;

	if (traceparent.len == 0 || !trace_parse(traceparent, &t))
		return NULL;
	copied = malloc(sizeof(t));
	if (copied != NULL)
		*copied = t;
	return copied;
}

static struct request *new_request(struct worker *w, struct conn *c, const struct fcgi_params *p)
{
	struct request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->worker = w;
	r->conn = c;
	c->request = r;
	list_init(&r->by_deadline);
	list_init(&r->member);
	r->arrived_us = clock_us();
	r->deadline_us = r->arrived_us + w->requests.timeout_us;
	r->method = method_of(p->method);
	r->id_len = p->request_id.len < REQUEST_ID_MAX ? p->request_id.len : REQUEST_ID_MAX;
	memcpy(r->id, p->request_id.p, r->id_len);
	r->trace = new_trace(p->traceparent);
	r->allow_origin = copy(cors_allow(&w->requests.cors, p->origin));
	if (p->if_none_match.len <= IF_NONE_MATCH_MAX)
		r->if_none_match = copy(p->if_none_match);
	return r;
}

/*
 * There is not even memory for a request, or to parse one (`p` is NULL: nobody knows its path): it is answered all the same, without an allocation,
 * and counted, save how long it took.
 */
static void answer_without_memory(struct worker *w, struct conn *c, const struct fcgi_params *p, const struct route *route)
{
	static const struct str problem = STR("{\"type\": \"about:blank\", \"title\": \"Service Unavailable\", \"status\": 503, "
					      "\"detail\": \"There is no memory to serve this now.\"}");
	enum metrics_path path = route != NULL ? route->metrics : METRICS_NO_PATH;
	struct metrics *m = w->requests.metrics;
	struct head h;

	counter_add(&m->requests[path][METRICS_503], 1);
	if (path != METRICS_ADMIN)
		counter_add(&m->refused[METRICS_NO_MEMORY], 1);
	log_event(&w->log, LOG_LEVEL_ERROR, "out_of_memory", p != NULL ? p->request_id : LOG_NO_REQUEST, NULL);
	h.len = 0;
	HEAD_ADD(&h, "Status: 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: ");
	head_add_size(&h, problem.len);
	HEAD_ADD(&h, "\r\nCache-Control: no-store\r\nVary: Accept-Encoding\r\nRetry-After: 1\r\n\r\n");
	head_add(&h, problem);
	conn_answer(c, head_str(&h), NULL);
}

static const struct route *route_of(const struct fcgi_params *p)
{
	static const struct str admin = STR("admin");

	return route_find(p->path, str_equal(p->listener, admin) ? ROUTE_ADMIN : ROUTE_PUBLIC);
}

static void on_request(void *user, struct conn *c, const struct fcgi_params *p)
{
	struct worker *w = user;
	const struct route *route = p != NULL ? route_of(p) : NULL;
	struct request *r = p != NULL ? new_request(w, c, p) : NULL;

	if (r == NULL) {
		answer_without_memory(w, c, p, route);
		return;
	}
	r->route = route;
	if (is_public(r))
		w->requests.in_flight++;
	if (r->route == NULL)
		request_problem(r, 404, "There is nothing at this path.");
	else if (r->method == REQUEST_OPTIONS)
		request_answer_options(r);
	else if (r->method == REQUEST_OTHER)
		request_problem(r, 405, "This path answers GET, HEAD and OPTIONS.");
	else
		r->route->handler(r);
}

const struct conn_events request_events = {on_request, on_gone, on_sent};

/* --- waiting --- */

static void watch_deadline(struct requests *rs)
{
	const struct request *first = LIST_OBJECT(rs->waiting.next, struct request, by_deadline);
	int64_t left_us = first->deadline_us - clock_us();

	ev_timer_set(&rs->expiry, left_us > 0 ? (double)left_us * 1e-6 : 0., 0.);
	ev_timer_start(rs->worker->loop, &rs->expiry);
}

void request_wait(struct request *r)
{
	struct requests *rs = &r->worker->requests;

	list_append(&rs->waiting, &r->by_deadline);
	if (!ev_is_active(&rs->expiry))
		watch_deadline(rs);
}

static void expire(struct request *r)
{
	if (db_is_reachable(&r->worker->db))
		request_problem(r, 504, "The database did not answer in time.");
	else
		request_problem(r, 503, "The database cannot be reached.");
}

/* One timer for all: when it fires, the first may have been answered long ago, and it is set for the one that is first by then. */
static void on_expiry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct requests *rs = w->data;
	int64_t now_us = clock_us();

	(void)loop;
	(void)revents;
	while (!list_empty(&rs->waiting)) {
		struct request *r = LIST_OBJECT(rs->waiting.next, struct request, by_deadline);

		if (r->deadline_us > now_us) {
			watch_deadline(rs);
			return;
		}
		flight_leave(r);
		expire(r);
	}
}

void requests_init(struct requests *rs, struct worker *w)
{
	rs->worker = w;
	rs->metrics = &scoreboard_own(&w->scoreboard)->metrics;
	list_init(&rs->waiting);
	rs->timeout_us = w->options->request_timeout_ms * CLOCK_MS;
	ev_init(&rs->expiry, on_expiry);
	rs->expiry.data = rs;
	requests_configure(rs);
}

void requests_configure(struct requests *rs)
{
	rs->slow_us = rs->worker->options->slow_log_ms * CLOCK_MS;
	cors_init(&rs->cors, rs->worker->options->cors_origin);
}
