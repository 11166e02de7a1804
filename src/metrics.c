#include "metrics.h"

const char *const metrics_path_names[METRICS_PATH_MAX] = {"/index",        "/agents", "/agents_with_orm",
							  "/agent_logins", "admin",   "other"};
const int metrics_statuses[METRICS_STATUS_MAX] = {200, 204, 304, 404, 405, 500, 503, 504};
const char *const metrics_refusal_names[METRICS_REFUSAL_MAX] = {"too_late", "full", "no_memory"};
const char *const metrics_outcome_names[METRICS_OUTCOME_MAX] = {"rows", "unavailable", "failed", "expired"};

enum metrics_status metrics_status_of(int status)
{
	for (unsigned i = 0; i < METRICS_STATUS_MAX; i++) {
		if (metrics_statuses[i] == status)
			return i;
	}
	return METRICS_500;
}

#define COUNTERS (sizeof(struct metrics) / sizeof(counter))

static counter *counters(struct metrics *m)
{
	return (counter *)(void *)m;
}

static const counter *const_counters(const struct metrics *m)
{
	return (const counter *)(const void *)m;
}

void metrics_sum(struct metrics *sum, const struct metrics *m)
{
	for (size_t i = 0; i < COUNTERS; i++)
		counter_add(&counters(sum)[i], counter_read(&const_counters(m)[i]));
}

void metrics_since(struct metrics *since, const struct metrics *now, const struct metrics *then)
{
	for (size_t i = 0; i < COUNTERS; i++) {
		uint64_t a = counter_read(&const_counters(now)[i]);
		uint64_t b = counter_read(&const_counters(then)[i]);

		counter_set(&counters(since)[i], a > b ? a - b : 0);
	}
}

void metrics_copy(struct metrics *to, const struct metrics *from)
{
	for (size_t i = 0; i < COUNTERS; i++)
		counter_set(&counters(to)[i], counter_read(&const_counters(from)[i]));
}

uint64_t metrics_requests(const struct metrics *m, int least)
{
	uint64_t n = 0;

	for (unsigned p = 0; p < METRICS_PATH_MAX; p++) {
		for (unsigned s = 0; p != METRICS_ADMIN && s < METRICS_STATUS_MAX; s++)
			n += metrics_statuses[s] >= least ? counter_read(&m->requests[p][s]) : 0;
	}
	return n;
}
