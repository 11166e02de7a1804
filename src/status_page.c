#include "status.h"
#include "text.h"
#include "version.h"

#include <inttypes.h>

#define SECOND_US 1000000

static const char style[] = "body { font: 15px/1.4 sans-serif; margin: 1.5em; max-width: 70em }\n"
			    "table { border-collapse: collapse; margin: .5em 0 1.5em }\n"
			    "th, td { padding: .15em .8em .15em 0; text-align: right; border-bottom: 1px solid #ddd }\n"
			    "th:first-child, td:first-child { text-align: left }\n"
			    "h2 { font-size: 1.1em; margin: 1em 0 0 }\n"
			    ".good { color: #060 } .bad { color: #b00; font-weight: bold }\n"
			    "pre { white-space: pre-wrap; background: #f4f4f4; padding: .6em }\n";

static void begin_table(struct body *b, const char *title, const char *const *columns)
{
	text_printf(b, "<h2>%s</h2>\n<table>\n<tr>", title);
	for (; *columns != NULL; columns++)
		text_printf(b, "<th>%s</th>", *columns);
	text_printf(b, "</tr>\n");
}

static void end_table(struct body *b)
{
	text_printf(b, "</table>\n");
}

static void cell(struct body *b, uint64_t n)
{
	text_printf(b, "<td>%" PRIu64 "</td>", n);
}

/* A number that should be 0. */
static void bad_cell(struct body *b, uint64_t n)
{
	text_printf(b, "<td%s>%" PRIu64 "</td>", n > 0 ? " class=\"bad\"" : "", n);
}

static void quantile_cell(struct body *b, const struct buckets *h, double q)
{
	bool above;
	double ms = buckets_quantile(h, buckets_durations_us, q, &above) / 1000.0;

	if (buckets_count(h) == 0)
		text_printf(b, "<td>&#8211;</td>");
	else
		text_printf(b, "<td>%s%.*f ms</td>", above ? "&gt; " : "", ms < 10. ? 2 : 0, ms);
}

static void write_verdict(const struct pool *p, struct body *b)
{
	char reasons[POOL_REASON_BYTES];

	if (pool_is_ready(p, reasons))
		text_printf(b, "<p class=\"good\">Ready: %u of %u workers serve every path.</p>\n", p->ready, p->workers);
	else
		text_printf(b, "<p class=\"bad\">Not ready: %u of %u workers serve every path.</p>\n", p->ready, p->workers);
	if (p->reasons.count > 0)
		text_printf(b, "<ul>\n");
	for (unsigned i = 0; i < p->reasons.count; i++) {
		text_printf(b, "<li>%u of %u workers: ", p->reasons.all[i].workers, p->workers);
		text_html(b, p->reasons.all[i].text);
		text_printf(b, "</li>\n");
	}
	if (p->reasons.count > 0)
		text_printf(b, "</ul>\n");
	if (!p->shared)
		text_printf(
			b,
			"<p class=\"bad\">There is no scoreboard (--scoreboard): these are the figures of one worker, not of the "
			"pool.</p>\n");
}

static void write_now(const struct pool *p, struct body *b)
{
	static const char *const columns[] = {"workers",
					      "idle",
					      "busy",
					      "draining",
					      "stuck",
					      "in flight",
					      "waiting",
					      "waiting limit",
					      "queries waiting",
					      "queries in flight",
					      "connections",
					      "database connections",
					      NULL};
	const struct gauges *g = &p->gauges;

	begin_table(b, "Now", columns);
	text_printf(b, "<tr>");
	cell(b, p->workers);
	cell(b, p->by_state[POOL_IDLE]);
	cell(b, p->by_state[POOL_BUSY]);
	cell(b, p->by_state[POOL_DRAINING]);
	bad_cell(b, p->by_state[POOL_STUCK]);
	cell(b, counter_read(&g->in_flight));
	cell(b, counter_read(&g->waiting));
	cell(b, counter_read(&g->max_waiting));
	cell(b, counter_read(&g->queries_waiting));
	cell(b, counter_read(&g->queries_in_flight));
	cell(b, counter_read(&g->connections));
	text_printf(b, "<td%s>%" PRIu64 " of %" PRIu64 "</td></tr>\n",
		    counter_read(&g->database_connections) < counter_read(&g->database_connections_wanted) ? " class=\"bad\""
													   : "",
		    counter_read(&g->database_connections), counter_read(&g->database_connections_wanted));
	end_table(b);
}

static void write_recent(const struct pool *p, struct body *b)
{
	static const char *const columns[] = {"requests/s", "errors", "median", "90 %", "99 %", "requests a query", "busy", NULL};
	struct buckets all;
	char title[64];

	pool_durations(&p->recent, &all);
	(void)snprintf(title, sizeof(title), "The last %.0f seconds", (double)p->recent_us / SECOND_US);
	begin_table(b, title, columns);
	text_printf(b, "<tr><td>%.1f</td>", p->recent_rate);
	bad_cell(b, metrics_requests(&p->recent, 500));
	quantile_cell(b, &all, 0.5);
	quantile_cell(b, &all, 0.9);
	quantile_cell(b, &all, 0.99);
	text_printf(b, "<td>%.2f</td><td>%.0f %%</td></tr>\n", pool_share_ratio(&p->recent), 100. * pool_utilization(p));
	end_table(b);
}

static void write_paths(const struct pool *p, struct body *b)
{
	static const char *const columns[] = {"path", "requests", "304", "4xx", "500", "503", "504", "median", "99 %", NULL};

	begin_table(b, "Paths (counts since the start, times of the last while)", columns);
	for (unsigned i = 0; i < METRICS_PATH_MAX; i++) {
		const counter *r = p->metrics.requests[i];
		uint64_t all = 0;

		for (unsigned s = 0; s < METRICS_STATUS_MAX; s++)
			all += counter_read(&r[s]);
		text_printf(b, "<tr><td>%s</td>", metrics_path_names[i]);
		cell(b, all);
		cell(b, counter_read(&r[METRICS_304]));
		cell(b, counter_read(&r[METRICS_404]) + counter_read(&r[METRICS_405]));
		bad_cell(b, counter_read(&r[METRICS_500]));
		bad_cell(b, counter_read(&r[METRICS_503]));
		bad_cell(b, counter_read(&r[METRICS_504]));
		quantile_cell(b, &p->recent.durations[i], 0.5);
		quantile_cell(b, &p->recent.durations[i], 0.99);
		text_printf(b, "</tr>\n");
	}
	end_table(b);
}

static void write_since(const struct pool *p, struct body *b)
{
	static const char *const columns[] = {"worker starts",
					      "worker deaths",
					      "refused: too late",
					      "refused: full, no memory",
					      "clients left",
					      "stalled",
					      "evicted",
					      "queries resent",
					      "connects",
					      "failed connects",
					      "connections lost",
					      "requests a query",
					      NULL};
	const struct metrics *m = &p->metrics;

	begin_table(b, "Since the start", columns);
	text_printf(b, "<tr>");
	cell(b, counter_read(&m->starts));
	bad_cell(b, counter_read(&m->deaths));
	bad_cell(b, counter_read(&m->refused[METRICS_TOO_LATE]));
	bad_cell(b, counter_read(&m->refused[METRICS_FULL]) + counter_read(&m->refused[METRICS_NO_MEMORY]));
	cell(b, counter_read(&m->clients_left));
	cell(b, counter_read(&m->answers_stalled));
	cell(b, counter_read(&m->answers_evicted));
	cell(b, counter_read(&m->queries_resent));
	cell(b, counter_read(&m->database_connects));
	bad_cell(b, counter_read(&m->database_connect_failures));
	bad_cell(b, counter_read(&m->database_connections_lost));
	text_printf(b, "<td>%.2f</td></tr>\n", pool_share_ratio(m));
	end_table(b);
}

static void write_worker(const struct pool_worker *w, int64_t time_us, struct body *b)
{
	const struct gauges *g = &w->slot->gauges;
	bool ready = counter_read(&g->ready) != 0;
	char version[SLOT_TEXT_BYTES + 1];

	slot_text_get(&w->slot->version, version);
	text_printf(b, "<tr><td>%" PRIu64 "</td><td%s>%s</td><td%s>%s</td>", counter_read(&g->pid),
		    w->state == POOL_STUCK ? " class=\"bad\"" : "", pool_state_names[w->state], ready ? "" : " class=\"bad\"",
		    ready ? "yes" : "no");
	text_printf(b, "<td>%.0f s</td>", (double)(time_us - (int64_t)counter_read(&g->started_us)) / SECOND_US);
	cell(b, counter_read(&g->in_flight));
	cell(b, counter_read(&g->waiting));
	cell(b, counter_read(&g->connections));
	cell(b, counter_read(&g->database_connections));
	cell(b, metrics_requests(&w->slot->metrics, 0));
	text_printf(b, "<td>");
	text_html(b, version);
	text_printf(b, "</td></tr>\n");
}

static void write_workers(const struct pool *p, const struct scoreboard *board, struct body *b)
{
	static const char *const columns[] = {"worker",          "state",   "ready",       "up",
					      "in flight",       "waiting", "connections", "database connections",
					      "requests (slot)", "version", NULL};
	unsigned used = scoreboard_used(board);

	begin_table(b, "Workers", columns);
	for (unsigned i = 0; i < used; i++) {
		struct pool_worker w;

		if (pool_worker(board, i, p->now_us, &w))
			write_worker(&w, p->time_us, b);
	}
	end_table(b);
}

void status_page(const struct pool *p, const struct scoreboard *b, struct body *out)
{
	char now[STATUS_TIME_BYTES], since[STATUS_TIME_BYTES];

	status_time(p->time_us, now);
	status_time(p->created_us, since);
	text_printf(out,
		    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta http-equiv=\"refresh\" "
		    "content=\"5\"/>\n"
		    "<title>agents-fcgi</title>\n<style>\n%s</style>\n</head>\n<body>\n",
		    style);
	text_printf(out, "<h1>agents-fcgi %s</h1>\n<p>%s, counting since %s</p>\n", AGENTS_FCGI_VERSION, now, since);
	write_verdict(p, out);
	write_now(p, out);
	write_recent(p, out);
	write_paths(p, out);
	write_since(p, out);
	text_printf(out, "<h2>Last error or warning in the log</h2>\n<pre>");
	text_html(out, p->last_error[0] != '\0' ? p->last_error : "none");
	text_printf(out, "</pre>\n");
	write_workers(p, b, out);
	text_printf(out, "<p><a href=\"/status.json\">status.json</a> <a href=\"/metrics\">metrics</a> "
			 "<a href=\"/health/ready\">health/ready</a></p>\n</body>\n</html>\n");
}
