#include "figures.h"

#include <stdlib.h>

#define SECOND_NS INT64_C(1000000000)

const char *const outcome_names[OUTCOME_MAX] = {
	[OUTCOME_ANSWERED] = "answered",   [OUTCOME_READ] = "read",       [OUTCOME_WRITE] = "write",
	[OUTCOME_TIMEOUT] = "timeout",     [OUTCOME_NON_2XX] = "non_2xx", [OUTCOME_MISMATCH] = "mismatch",
	[OUTCOME_MALFORMED] = "malformed",
};

static int64_t to_us(int64_t ns)
{
	return (ns + 500) / 1000;
}

bool figures_init(struct figures *f, int64_t begin_ns, int64_t end_ns, int64_t finish_ns)
{
	f->begin_ns = begin_ns;
	f->end_ns = end_ns;
	f->finish_ns = finish_ns;
	f->seconds = (size_t)((finish_ns - begin_ns) / SECOND_NS) + 1;
	f->series = calloc(f->seconds, sizeof(*f->series));
	return f->series != NULL;
}

void figures_free(struct figures *f)
{
	free(f->series);
	f->series = NULL;
}

struct counts *figures_counts(struct figures *f, bool warm)
{
	return warm ? &f->warmup : &f->measured;
}

static void note_worst(struct figures *f, int64_t us)
{
	if (us > f->max_with_failures_us)
		f->max_with_failures_us = us;
}

void figures_sent(struct figures *f, const struct request *r, bool connection_was_free)
{
	struct counts *c = figures_counts(f, r->warm);

	c->sent++;
	c->waited += !connection_was_free;
	if (connection_was_free && !r->warm)
		histogram_add(&f->send_lag, to_us(r->sent_ns - r->intended_ns));
}

void figures_done(struct figures *f, const struct request *r, enum outcome outcome, int status, int64_t now_ns)
{
	int64_t latency_us = to_us(now_ns - r->intended_ns);
	struct second *second;
	size_t index;

	figures_counts(f, r->warm)->outcomes[outcome]++;
	if (r->warm)
		return;
	index = (size_t)((now_ns - f->begin_ns) / SECOND_NS);
	second = &f->series[index < f->seconds ? index : f->seconds - 1];
	f->statuses[status] += status > 0;
	f->bytes += r->bytes;
	note_worst(f, latency_us);
	if (outcome != OUTCOME_ANSWERED) {
		second->errors++;
		return;
	}
	second->answered++;
	if (latency_us > second->max_us)
		second->max_us = latency_us;
	f->answered_in_time += now_ns <= f->end_ns;
	histogram_add(&f->latency, latency_us);
	histogram_add(&f->service, to_us(now_ns - r->sent_ns));
}

void figures_unsent(struct figures *f, int64_t intended_ns, bool warm)
{
	figures_counts(f, warm)->unsent++;
	if (!warm)
		note_worst(f, to_us(f->finish_ns - intended_ns));
}

uint64_t counts_errors(const struct counts *c)
{
	uint64_t errors = 0;

	for (int i = OUTCOME_ANSWERED + 1; i < OUTCOME_MAX; i++)
		errors += c->outcomes[i];
	return errors;
}

bool figures_good(const struct figures *f)
{
	return counts_errors(&f->measured) == 0 && f->measured.unsent == 0 && f->measured.connect_errors == 0 && !f->interrupted;
}

double figures_duration_s(const struct figures *f)
{
	return (double)(f->end_ns - f->begin_ns) / (double)SECOND_NS;
}
