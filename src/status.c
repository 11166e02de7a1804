#include "status.h"

#include "utf8.h"
#include "version.h"

#include <string.h>
#include <time.h>

void status_time(int64_t us, char out[STATUS_TIME_BYTES])
{
	time_t s = us / 1000000;
	struct tm tm;

	if (gmtime_r(&s, &tm) == NULL || strftime(out, STATUS_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
}

static json_t *time_of(int64_t us)
{
	char text[STATUS_TIME_BYTES];

	status_time(us, text);
	return json_string(text);
}

static json_t *integer(const counter *c)
{
	return json_integer((json_int_t)counter_read(c));
}

/* The array with one value more, as the next the object with one member more; NULL, and all of it freed, when there is no memory: no half of an answer. */
static json_t *with(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) == 0)
		return array;
	json_decref(array);
	return NULL;
}

static json_t *with_member(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) == 0)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *quantile(const struct buckets *h, double q)
{
	bool above;

	/* Of what is above the last bound, that is all that is known. */
	return json_real(buckets_quantile(h, buckets_durations_us, q, &above) / 1000.0);
}

static json_t *latency(const struct buckets *h)
{
	return json_pack("{s:o, s:o, s:o}", "p50", quantile(h, 0.5), "p90", quantile(h, 0.9), "p99", quantile(h, 0.99));
}

static json_t *workers(const struct pool *p)
{
	json_t *o = json_pack("{s:i}", "total", (int)p->workers);

	for (unsigned i = 0; i < POOL_STATE_MAX; i++)
		o = with_member(o, pool_state_names[i], json_integer((json_int_t)p->by_state[i]));
	o = with_member(o, "ready", json_integer((json_int_t)p->ready));
	o = with_member(o, "starts", integer(&p->metrics.starts));
	return with_member(o, "deaths", integer(&p->metrics.deaths));
}

static json_t *requests(const struct pool *p)
{
	const struct metrics *m = &p->metrics;

	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:{s:o, s:o, s:o}, s:{s:o, s:o, s:o}}", "in_flight",
			 integer(&p->gauges.in_flight), "waiting", integer(&p->gauges.waiting), "waiting_limit",
			 integer(&p->gauges.max_waiting), "total", (json_int_t)metrics_requests(m, 0), "errors",
			 (json_int_t)metrics_requests(m, 500), "refused", "too_late", integer(&m->refused[METRICS_TOO_LATE]),
			 "full", integer(&m->refused[METRICS_FULL]), "no_memory", integer(&m->refused[METRICS_NO_MEMORY]),
			 "unsent", "client_left", integer(&m->clients_left), "stalled", integer(&m->answers_stalled), "evicted",
			 integer(&m->answers_evicted));
}

static json_t *database(const struct pool *p)
{
	const struct metrics *m = &p->metrics;
	const struct gauges *g = &p->gauges;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "connections", integer(&g->database_connections),
			 "connections_wanted", integer(&g->database_connections_wanted), "queries_waiting",
			 integer(&g->queries_waiting), "queries_in_flight", integer(&g->queries_in_flight), "connects",
			 integer(&m->database_connects), "connect_failures", integer(&m->database_connect_failures),
			 "connections_lost", integer(&m->database_connections_lost), "queries_resent",
			 integer(&m->queries_resent));
}

static json_t *recent(const struct pool *p)
{
	struct buckets all;

	pool_durations(&p->recent, &all);
	return json_pack("{s:f, s:I, s:f, s:I, s:f, s:f, s:o}", "seconds", (double)p->recent_us * 1e-6, "requests",
			 (json_int_t)metrics_requests(&p->recent, 0), "requests_per_second", p->recent_rate, "errors",
			 (json_int_t)metrics_requests(&p->recent, 500), "share_ratio", pool_share_ratio(&p->recent),
			 "utilization", pool_utilization(p), "latency_ms", latency(&all));
}

static json_t *paths(const struct pool *p)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < METRICS_PATH_MAX; i++) {
		json_t *by_code = json_object();
		char code[8];

		for (unsigned s = 0; s < METRICS_STATUS_MAX; s++) {
			if (counter_read(&p->metrics.requests[i][s]) == 0)
				continue;
			(void)snprintf(code, sizeof(code), "%d", metrics_statuses[s]);
			by_code = with_member(by_code, code, integer(&p->metrics.requests[i][s]));
		}
		array = with(array, json_pack("{s:s, s:o, s:o}", "path", metrics_path_names[i], "requests", by_code,
					      "recent_latency_ms", latency(&p->recent.durations[i])));
	}
	return array;
}

static json_t *reasons(const struct pool *p)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < p->reasons.count; i++) {
		const struct pool_saying *r = &p->reasons.all[i];

		array = with(array,
			     json_pack("{s:i, s:o}", "workers", (int)r->workers, "reason", utf8_json(r->text, strlen(r->text))));
	}
	return array;
}

static json_t *worker_list(const struct pool *p, const struct scoreboard *b)
{
	unsigned used = scoreboard_used(b);
	json_t *array = json_array();

	for (unsigned i = 0; i < used; i++) {
		char version[SLOT_TEXT_BYTES + 1];
		const struct gauges *g;
		struct pool_worker w;

		if (!pool_worker(b, i, p->now_us, &w))
			continue;
		g = &w.slot->gauges;
		slot_text_get(&w.slot->version, version);
		array = with(array,
			     json_pack("{s:o, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "pid", integer(&g->pid),
				       "state", pool_state_names[w.state], "ready", counter_read(&g->ready) != 0, "share",
				       counter_read(&g->share) != 0, "started", time_of((int64_t)counter_read(&g->started_us)),
				       "in_flight", integer(&g->in_flight), "waiting", integer(&g->waiting), "connections",
				       integer(&g->connections), "database_connections", integer(&g->database_connections),
				       "slot_requests", (json_int_t)metrics_requests(&w.slot->metrics, 0), "version",
				       utf8_json(version, strlen(version))));
	}
	return array;
}

/* A line of the log; as a string where it was cut, or there is no memory for more. */
static json_t *last_error(const struct pool *p)
{
	json_t *line;

	if (p->last_error[0] == '\0')
		return json_null();
	line = json_loads(p->last_error, 0, NULL);
	return line != NULL ? line : utf8_json(p->last_error, strlen(p->last_error));
}

json_t *status_json(const struct pool *p, const struct scoreboard *b)
{
	char unready[POOL_REASON_BYTES];

	return json_pack("{s:o, s:s, s:b, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "time",
			 time_of(p->time_us), "version", AGENTS_FCGI_VERSION, "shared", (int)p->shared, "since",
			 time_of(p->created_us), "ready", (int)pool_is_ready(p, unready), "reasons", reasons(p), "workers",
			 workers(p), "requests", requests(p), "connections", integer(&p->gauges.connections), "database",
			 database(p), "share_ratio", pool_share_ratio(&p->metrics), "recent", recent(p), "paths", paths(p),
			 "last_error", last_error(p), "worker_list", worker_list(p, b));
}
