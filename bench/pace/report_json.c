#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

/* jansson passes a failed allocation through to json_dumpf, which then fails: looking once, at the end, is enough. */

static void set_count(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void set_real(json_t *object, const char *name, double value)
{
	(void)json_object_set_new(object, name, json_real(value));
}

static json_t *of_histogram(const struct histogram *h)
{
	static const struct {
		const char *name;
		double percentile;
	} percentiles[] = {{"p50", 50}, {"p75", 75}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}};
	json_t *o = json_object();
	json_t *buckets = json_array();

	set_count(o, "count", h->count);
	set_real(o, "mean_us", h->mean_us);
	set_real(o, "stdev_us", histogram_stdev(h));
	set_count(o, "min_us", (uint64_t)h->min_us);
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%s_us", percentiles[i].name);
		set_count(o, name, (uint64_t)histogram_percentile(h, percentiles[i].percentile));
	}
	set_count(o, "max_us", (uint64_t)h->max_us);
	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++)
		if (h->cells[cell] > 0)
			(void)json_array_append_new(
				buckets, json_pack("[I, I]", (json_int_t)histogram_cell_high(cell), (json_int_t)h->cells[cell]));
	(void)json_object_set_new(o, "buckets", buckets);
	return o;
}

static json_t *of_counts(const struct counts *c)
{
	json_t *o = json_object();
	json_t *errors = json_object();

	set_count(o, "scheduled", c->sent + c->unsent);
	set_count(o, "sent", c->sent);
	set_count(o, "answered", c->outcomes[OUTCOME_ANSWERED]);
	set_count(o, "unsent", c->unsent);
	set_count(o, "resent", c->resent);
	set_count(o, "waited_for_connection", c->waited);
	set_count(errors, "connect", c->connect_errors);
	for (int i = OUTCOME_ANSWERED + 1; i < OUTCOME_MAX; i++)
		set_count(errors, outcome_names[i], c->outcomes[i]);
	(void)json_object_set_new(o, "errors", errors);
	return o;
}

static json_t *of_statuses(const struct figures *f)
{
	json_t *o = json_object();

	for (int i = 0; i < 600; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		if (f->statuses[i] > 0)
			set_count(o, name, f->statuses[i]);
	}
	return o;
}

static json_t *of_series(const struct figures *f)
{
	json_t *series = json_array();
	size_t seconds = (size_t)((f->finish_ns - f->begin_ns) / 1000000000) + 1;

	/* As far as the schedule reaches, and what came after it. */
	for (size_t i = 0; i < f->seconds && i < seconds; i++) {
		const struct second *s = &f->series[i];

		if ((double)i < figures_duration_s(f) || s->answered + s->errors > 0)
			(void)json_array_append_new(series, json_pack("[I, I, I, I]", (json_int_t)i, (json_int_t)s->answered,
								      (json_int_t)s->errors, (json_int_t)s->max_us));
	}
	return series;
}

static json_t *of_command(int argc, char **argv)
{
	json_t *command = json_array();

	for (int i = 0; i < argc; i++) {
		json_t *word = json_string(argv[i]);

		/* A file name need not be UTF-8. */
		(void)json_array_append_new(command, word != NULL ? word : json_string("(not UTF-8)"));
	}
	return command;
}

bool report_json(const struct cli *cli, const struct figures *f, int argc, char **argv, FILE *out)
{
	double duration_s = figures_duration_s(f);
	json_t *o = of_counts(&f->measured);
	bool good;

	set_count(o, "schema", REPORT_SCHEMA);
	(void)json_object_set_new(o, "command", of_command(argc, argv));
	(void)json_object_set_new(o, "url", json_string(cli->url_text));
	set_count(o, "connections", cli->connections);
	(void)json_object_set_new(o, "schedule", json_string(cli->poisson ? "poisson" : "uniform"));
	set_count(o, "seed", cli->seed & INT64_MAX);
	set_real(o, "rate_asked", cli->rate);
	set_real(o, "rate_achieved", duration_s > 0 ? (double)f->answered_in_time / duration_s : 0);
	set_real(o, "duration_s", duration_s);
	set_real(o, "warmup_s", (double)cli->warmup_ns / 1e9);
	set_real(o, "timeout_s", (double)cli->timeout_ns / 1e9);
	set_count(o, "start_unix_us", (uint64_t)f->begin_unix_us);
	(void)json_object_set_new(o, "interrupted", json_boolean(f->interrupted));
	set_count(o, "bytes", f->bytes);
	set_count(o, "reconnects", f->reconnects);
	set_count(o, "stray", f->stray);
	(void)json_object_set_new(o, "statuses", of_statuses(f));
	(void)json_object_set_new(o, "warmup", of_counts(&f->warmup));
	(void)json_object_set_new(o, "latency", of_histogram(&f->latency));
	set_count(o, "latency_max_with_failures_us", (uint64_t)f->max_with_failures_us);
	(void)json_object_set_new(o, "service", of_histogram(&f->service));
	(void)json_object_set_new(o, "send_lag", of_histogram(&f->send_lag));
	(void)json_object_set_new(o, "series", of_series(f));
	(void)json_object_set_new(
		o, "cpu",
		json_pack("{s:f, s:f, s:f}", "seconds", f->user_s + f->system_s, "user_s", f->user_s, "system_s", f->system_s));
	good = json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(12)) == 0 && fputc('\n', out) != EOF && fflush(out) == 0;
	json_decref(o);
	return good && !ferror(out);
}
