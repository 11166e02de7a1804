#include "report.h"

#include <inttypes.h>
#include <math.h>

#define SECOND_US 1e6
#define TICKS_PER_HALF 5
#define COLUMN 10

/* 1.47ms: as wrk writes times. */
static const char *time_text(double us, char text[static 32])
{
	static const struct {
		double us;
		const char *unit;
	} units[] = {{3600 * SECOND_US, "h"}, {60 * SECOND_US, "m"}, {SECOND_US, "s"}, {1000, "ms"}, {0, "us"}};
	size_t i = 0;

	while (us < units[i].us)
		i++;
	(void)snprintf(text, 32, "%.2f%s", us / (units[i].us > 0 ? units[i].us : 1), units[i].unit);
	return text;
}

static const char *bytes_text(double bytes, char text[static 32])
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	size_t i = 0;

	while (bytes >= 1024 && i < 4) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(text, 32, "%.2f%s", bytes, units[i]);
	return text;
}

static void print_stats(FILE *out, const char *name, const struct histogram *h)
{
	char mean[32], stdev[32], max[32];

	(void)fprintf(out, "    %-9s %*s %*s %*s %8.2f%%\n", name, COLUMN, time_text(h->mean_us, mean), COLUMN,
		      time_text(histogram_stdev(h), stdev), COLUMN, time_text((double)h->max_us, max),
		      histogram_within_stdev(h) * 100);
}

/* Answers in each whole second of the schedule. */
static void print_rates(FILE *out, const struct figures *f)
{
	size_t n = (size_t)figures_duration_s(f);
	double sum = 0, squares = 0, max = 0, within = 0, mean, stdev;

	for (size_t i = 0; i < n; i++) {
		sum += (double)f->series[i].answered;
		max = fmax(max, (double)f->series[i].answered);
	}
	if (n == 0)
		return;
	mean = sum / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += pow((double)f->series[i].answered - mean, 2);
	stdev = sqrt(squares / (double)n);
	for (size_t i = 0; i < n; i++)
		within += fabs((double)f->series[i].answered - mean) <= stdev;
	(void)fprintf(out, "    %-9s %*.2f %*.2f %*.2f %8.2f%%\n", "Req/Sec", COLUMN, mean, COLUMN, stdev, COLUMN, max,
		      within / (double)n * 100);
}

static void print_distribution(FILE *out, const struct histogram *h)
{
	static const double percentiles[] = {50, 75, 90, 99, 99.9, 99.99, 99.999, 100};
	char text[32];

	(void)fprintf(out, "  Latency Distribution (HdrHistogram - Recorded Latency)\n");
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		(void)fprintf(out, "%7.3f%% %*s\n", percentiles[i], COLUMN,
			      time_text((double)histogram_percentile(h, percentiles[i]), text));
}

/* One line for each cell that holds the next of the percentiles 0, 10 … 50, 55 … 75, 77.5 …: steps that halve with each half of what is left. */
static void print_spectrum(FILE *out, const struct histogram *h)
{
	double wanted = 0;
	uint64_t seen = 0;

	(void)fprintf(out, "\n  Detailed Percentile spectrum:\n       Value   Percentile   TotalCount 1/(1-Percentile)\n\n");
	for (size_t cell = 0; cell < HISTOGRAM_CELLS && seen < h->count; cell++) {
		int64_t high = histogram_cell_high(cell);
		double value_ms = (double)(high < h->max_us ? high : h->max_us) / 1000;
		double reached;

		seen += h->cells[cell];
		reached = (double)seen / (double)h->count;
		while (h->cells[cell] > 0 && wanted <= reached && wanted < 1) {
			double halves = floor(log2(1 / (1 - wanted))) + 1;

			(void)fprintf(out, "%12.3f %14.12f %10" PRIu64 " %14.2f\n", value_ms, wanted, seen, 1 / (1 - wanted));
			wanted += 1 / (TICKS_PER_HALF * exp2(halves));
			/* Once the last value is in, finer steps say nothing new. */
			if (seen == h->count && (1 - wanted) * (double)h->count < 1)
				wanted = 1;
		}
	}
	(void)fprintf(out, "%12.3f %14.12f %10" PRIu64 " %14s\n", (double)h->max_us / 1000, 1.0, h->count, "inf");
	(void)fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", h->mean_us / 1000, histogram_stdev(h) / 1000);
	(void)fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)h->max_us / 1000, h->count);
	(void)fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_SHIFTS, 2 * HISTOGRAM_HALF);
}

static void print_line(FILE *out, const char *name, const struct histogram *h)
{
	char p50[32], p99[32], max[32];

	(void)fprintf(out, "  %s: p50 %s, p99 %s, max %s (%" PRIu64 ")\n", name,
		      time_text((double)histogram_percentile(h, 50), p50), time_text((double)histogram_percentile(h, 99), p99),
		      time_text((double)h->max_us, max), h->count);
}

static void print_errors(FILE *out, const char *where, const struct counts *c)
{
	const uint64_t *n = c->outcomes;

	if (c->connect_errors + n[OUTCOME_READ] + n[OUTCOME_WRITE] + n[OUTCOME_TIMEOUT] > 0)
		(void)fprintf(
			out, "  %sSocket errors: connect %" PRIu64 ", read %" PRIu64 ", write %" PRIu64 ", timeout %" PRIu64 "\n",
			where, c->connect_errors, n[OUTCOME_READ], n[OUTCOME_WRITE], n[OUTCOME_TIMEOUT]);
	if (n[OUTCOME_NON_2XX] > 0)
		(void)fprintf(out, "  %sNon-2xx or 3xx responses: %" PRIu64 "\n", where, n[OUTCOME_NON_2XX]);
	if (n[OUTCOME_MISMATCH] > 0)
		(void)fprintf(out, "  %sOther bodies than expected: %" PRIu64 "\n", where, n[OUTCOME_MISMATCH]);
	if (n[OUTCOME_MALFORMED] > 0)
		(void)fprintf(out, "  %sMalformed responses: %" PRIu64 "\n", where, n[OUTCOME_MALFORMED]);
	if (c->unsent > 0)
		(void)fprintf(out, "  %sNever sent: %" PRIu64 "\n", where, c->unsent);
}

static void print_counts(FILE *out, const struct figures *f)
{
	const struct counts *c = &f->measured;
	char worst[32];

	(void)fprintf(out,
		      "  Requests: scheduled %" PRIu64 ", sent %" PRIu64 ", unsent %" PRIu64 ", resent %" PRIu64 "; %" PRIu64
		      " waited for a connection\n",
		      c->sent + c->unsent, c->sent, c->unsent, c->resent, c->waited);
	print_errors(out, "", c);
	print_errors(out, "Warm-up: ", &f->warmup);
	if (counts_errors(c) > 0) {
		(void)fputs("  Statuses:", out);
		for (int i = 0; i < 600; i++)
			if (f->statuses[i] > 0)
				(void)fprintf(out, " %d: %" PRIu64, i, f->statuses[i]);
		(void)fputs("\n", out);
	}
	if (counts_errors(c) + c->unsent > 0)
		(void)fprintf(out, "  Longest latency, failures included: %s\n",
			      time_text((double)f->max_with_failures_us, worst));
}

bool report_text(const struct cli *cli, const struct figures *f, FILE *out)
{
	double duration_s = figures_duration_s(f);
	double per_second = duration_s > 0 ? 1 / duration_s : 0;
	char text[32], read[32];

	(void)fprintf(out, "Running %s test @ %s\n  1 threads and %u connections\n",
		      time_text((double)cli->duration_ns / 1000, text), cli->url_text, cli->connections);
	(void)fprintf(out, "  %.10g requests/s, %s\n", cli->rate, cli->poisson ? "random gaps" : "uniform");
	(void)fprintf(out, "  Thread Stats %*s %*s %*s %9s\n", COLUMN, "Avg", COLUMN, "Stdev", COLUMN, "Max", "+/- Stdev");
	print_stats(out, "Latency", &f->latency);
	print_rates(out, f);
	print_distribution(out, &f->latency);
	if (cli->latency)
		print_spectrum(out, &f->latency);
	(void)fprintf(out, "----------------------------------------------------------\n");
	print_line(out, "Service time (from the send)", &f->service);
	print_line(out, "Send lag (a connection was free)", &f->send_lag);
	(void)fprintf(out, "  CPU of pace: %.1f %% of one core\n", (f->user_s + f->system_s) * per_second * 100);
	if (f->interrupted)
		(void)fprintf(out, "  INTERRUPTED after %s of %s\n", time_text(duration_s * SECOND_US, read), text);
	(void)fprintf(out, "  %" PRIu64 " requests in %s, %s read\n", f->measured.outcomes[OUTCOME_ANSWERED],
		      time_text(duration_s * SECOND_US, text), bytes_text((double)f->bytes, read));
	print_counts(out, f);
	(void)fprintf(out, "Requests/sec: %*.2f\nTransfer/sec: %*s\n", COLUMN, (double)f->answered_in_time * per_second, COLUMN,
		      bytes_text((double)f->bytes * per_second, text));
	return fflush(out) == 0 && !ferror(out);
}
