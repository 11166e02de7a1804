#include "prometheus.h"

#include "job.h"
#include "log.h"
#include "text.h"
#include "version.h"

#include <inttypes.h>
#include <libpq-fe.h>

_Static_assert(METRICS_LEVELS == LOG_LEVEL_MAX, "lines of the log are counted by level");
_Static_assert((int)JOB_ROWS == (int)METRICS_ROWS && (int)JOB_EXPIRED == (int)METRICS_EXPIRED,
	       "outcomes are counted in their order");

#define MICROSECONDS 1000000 /* make a second, the unit of every duration here */

static void head(struct body *b, const char *name, const char *type, const char *help)
{
	text_printf(b, "# HELP agents_fcgi_%s %s\n# TYPE agents_fcgi_%s %s\n", name, help, name, type);
}

static void number(struct body *b, const char *name, const char *type, const char *help, uint64_t value)
{
	head(b, name, type, help);
	text_printf(b, "agents_fcgi_%s %" PRIu64 "\n", name, value);
}

static void count(struct body *b, const char *name, const char *help, const counter *c)
{
	number(b, name, "counter", help, counter_read(c));
}

static void gauge(struct body *b, const char *name, const char *help, const counter *c)
{
	number(b, name, "gauge", help, counter_read(c));
}

static void seconds(struct body *b, const char *name, const char *type, const char *help, double value)
{
	head(b, name, type, help);
	text_printf(b, "agents_fcgi_%s %.6f\n", name, value);
}

/* One line of a metric with a label of its own. */
static void labelled(struct body *b, const char *name, const char *label, const char *value, uint64_t n)
{
	text_printf(b, "agents_fcgi_%s{%s=\"", name, label);
	text_label(b, value);
	text_printf(b, "\"} %" PRIu64 "\n", n);
}

/* `labels` is empty, or name="value" with a comma behind it. `parts` of the histogram's values make 1 of the metric's: 1, or a million µs. */
static void histogram(struct body *b, const char *name, const char *labels, const struct buckets *h, const uint64_t *bounds,
		      unsigned parts)
{
	int len = (int)strlen(labels);
	uint64_t sum = counter_read(&h->sum);
	uint64_t below = 0;
	char total[40];

	for (unsigned i = 0; i < BUCKETS_BOUNDS; i++) {
		below += counter_read(&h->in[i]);
		text_printf(b, "agents_fcgi_%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, labels, (double)bounds[i] / parts,
			    below);
	}
	below += counter_read(&h->in[BUCKETS_BOUNDS]);
	text_printf(b, "agents_fcgi_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, below);
	/* To the last digit: a rate is the difference of two of them. */
	if (parts == 1)
		(void)snprintf(total, sizeof(total), "%" PRIu64, sum);
	else
		(void)snprintf(total, sizeof(total), "%" PRIu64 ".%06" PRIu64, sum / parts, sum % parts);
	if (len > 0) {
		text_printf(b, "agents_fcgi_%s_sum{%.*s} %s\n", name, len - 1, labels, total);
		text_printf(b, "agents_fcgi_%s_count{%.*s} %" PRIu64 "\n", name, len - 1, labels, below);
	} else {
		text_printf(b, "agents_fcgi_%s_sum %s\n", name, total);
		text_printf(b, "agents_fcgi_%s_count %" PRIu64 "\n", name, below);
	}
}

static void write_requests(const struct metrics *m, struct body *b)
{
	char labels[64];

	head(b, "requests_total", "counter",
	     "Requests answered, by path (admin: all paths of the admin listener; other: no path of ours) and HTTP status.");
	for (unsigned p = 0; p < METRICS_PATH_MAX; p++) {
		for (unsigned s = 0; s < METRICS_STATUS_MAX; s++) {
			text_printf(b, "agents_fcgi_requests_total{path=\"%s\",code=\"%d\"} %" PRIu64 "\n", metrics_path_names[p],
				    metrics_statuses[s], counter_read(&m->requests[p][s]));
		}
	}
	head(b, "request_duration_seconds", "histogram",
	     "Time from a request's arrival at the worker until its answer was ready, by path.");
	for (unsigned p = 0; p < METRICS_PATH_MAX; p++) {
		(void)snprintf(labels, sizeof(labels), "path=\"%s\",", metrics_path_names[p]);
		histogram(b, "request_duration_seconds", labels, &m->durations[p], buckets_durations_us, MICROSECONDS);
	}
	head(b, "requests_refused_total", "counter",
	     "Requests answered 503 at once (too_late: their answer would take more than 4/5 of request-timeout, by what the "
	     "line is now; full: max-waiting are waiting; no_memory: for the request).");
	for (unsigned i = 0; i < METRICS_REFUSAL_MAX; i++)
		labelled(b, "requests_refused_total", "reason", metrics_refusal_names[i], counter_read(&m->refused[i]));
	count(b, "sent_bytes_total", "Bytes sent to the web server, FastCGI records counted.", &m->sent_bytes);
	count(b, "clients_left_total", "Requests whose client left before the answer was all sent.", &m->clients_left);
	count(b, "answers_stalled_total", "Answers given up because nobody took them.", &m->answers_stalled);
	count(b, "answers_evicted_total", "Answers given up because they were read slowly, beyond max-unread.",
	      &m->answers_evicted);
}

static void write_queries(const struct metrics *m, struct body *b)
{
	char labels[64];

	head(b, "flight_members", "histogram", "Requests that one execution of a query answered.");
	histogram(b, "flight_members", "", &m->flight_members, buckets_counts, 1);
	head(b, "queries_total", "counter",
	     "Queries that are over, by query and outcome (unavailable: no connection, or the server says so, or it was not "
	     "sent, because its turn came too late).");
	for (unsigned q = 0; q < QUERY_MAX; q++) {
		for (unsigned o = 0; o < METRICS_OUTCOME_MAX; o++) {
			text_printf(b, "agents_fcgi_queries_total{query=\"%s\",outcome=\"%s\"} %" PRIu64 "\n", query_names[q],
				    metrics_outcome_names[o], counter_read(&m->queries[q][o]));
		}
	}
	head(b, "query_duration_seconds", "histogram",
	     "Time from sending a query until its rows had arrived or, of an expired one, until it was given up.");
	for (unsigned q = 0; q < QUERY_MAX; q++) {
		(void)snprintf(labels, sizeof(labels), "query=\"%s\",", query_names[q]);
		histogram(b, "query_duration_seconds", labels, &m->query_durations[q], buckets_durations_us, MICROSECONDS);
	}
	count(b, "queries_resent_total", "Queries sent again, because their connection broke or the server asked for it.",
	      &m->queries_resent);
	count(b, "database_connects_total", "Connections made to the database.", &m->database_connects);
	count(b, "database_connect_failures_total", "Attempts to connect to the database that failed.",
	      &m->database_connect_failures);
	count(b, "database_connections_lost_total", "Connections to the database that broke, or were given up for their silence.",
	      &m->database_connections_lost);
}

static void write_state(const struct pool *p, struct body *b)
{
	const struct gauges *g = &p->gauges;

	head(b, "workers", "gauge",
	     "Workers by state (stuck: the event loop does not turn; busy: requests to public paths in flight).");
	for (unsigned i = 0; i < POOL_STATE_MAX; i++)
		labelled(b, "workers", "state", pool_state_names[i], p->by_state[i]);
	head(b, "workers_by_version", "gauge", "Workers by the version of the program that they run.");
	for (unsigned i = 0; i < p->versions.count; i++)
		labelled(b, "workers_by_version", "version", p->versions.all[i].text, p->versions.all[i].workers);
	number(b, "workers_ready", "gauge", "Workers that accept requests and can serve every path.", p->ready);
	count(b, "worker_starts_total", "Workers started.", &p->metrics.starts);
	count(b, "worker_deaths_total", "Workers that ended without draining: killed, or crashed.", &p->metrics.deaths);
	seconds(b, "worker_busy_seconds_total", "counter", "Time in which event loops were not asleep, all workers together.",
		(double)counter_read(&p->metrics.busy_us) * 1e-6);
	gauge(b, "requests_in_flight", "Requests to public paths without an answer yet, or with one that is not all sent.",
	      &g->in_flight);
	gauge(b, "requests_waiting", "Requests that wait for a query.", &g->waiting);
	gauge(b, "requests_waiting_limit", "Requests that may wait (max-waiting, all workers together).", &g->max_waiting);
	gauge(b, "queries_waiting", "Queries that wait to be sent.", &g->queries_waiting);
	gauge(b, "queries_in_flight", "Queries sent and not answered.", &g->queries_in_flight);
	gauge(b, "connections", "Open connections of the web server.", &g->connections);
	gauge(b, "database_connections", "Connections to the database that are up.", &g->database_connections);
	gauge(b, "database_connections_wanted", "Connections to the database that the workers are to have.",
	      &g->database_connections_wanted);
}

static void write_rest(const struct pool *p, struct body *b)
{
	int libpq = PQlibVersion();

	head(b, "log_lines_total", "counter", "Lines of the log, suppressed ones counted, by level.");
	for (unsigned i = 0; i < METRICS_LEVELS; i++)
		labelled(b, "log_lines_total", "level", log_level_names[i], counter_read(&p->metrics.log_lines[i]));
	count(b, "log_lines_suppressed_total", "Lines of the log that were left out because the same event came too often.",
	      &p->metrics.log_lines_suppressed);
	number(b, "scoreboard_shared", "gauge", "1: these are the pool's figures; 0: no scoreboard, one worker's.", p->shared);
	seconds(b, "start_time_seconds", "gauge", "When counting began, in seconds since 1970.", (double)p->created_us * 1e-6);
	head(b, "build_info", "gauge", "1, with the version of the one worker that answered, and of its libpq.");
	text_printf(b, "agents_fcgi_build_info{version=\"");
	text_label(b, AGENTS_FCGI_VERSION);
	text_printf(b, "\",libpq=\"%d.%d\"} 1\n", libpq / 10000, libpq % 10000);
}

void prometheus_render(const struct pool *p, struct body *b)
{
	write_state(p, b);
	write_requests(&p->metrics, b);
	write_queries(&p->metrics, b);
	write_rest(p, b);
}
