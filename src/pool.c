#include "pool.h"

#include <stdio.h>
#include <string.h>

const char *const pool_state_names[POOL_STATE_MAX] = {"stuck", "draining", "busy", "idle"};

bool pool_worker(const struct scoreboard *b, unsigned index, int64_t now_us, struct pool_worker *w)
{
	const struct slot *s = scoreboard_slot(b, index);
	int64_t turned_us;

	if (!scoreboard_is_claimed(b, index))
		return false;
	turned_us = (int64_t)counter_read(&s->gauges.turned_us);
	if (turned_us == 0)
		return false;
	w->slot = s;
	if (now_us - turned_us > POOL_STUCK_US)
		w->state = POOL_STUCK;
	else if (counter_read(&s->gauges.draining) != 0)
		w->state = POOL_DRAINING;
	else
		w->state = counter_read(&s->gauges.in_flight) > 0 ? POOL_BUSY : POOL_IDLE;
	return true;
}

bool pool_has_ready(const struct scoreboard *b, int64_t now_us)
{
	unsigned used = scoreboard_used(b);
	struct pool_worker w;

	for (unsigned i = 0; i < used; i++)
		if (pool_worker(b, i, now_us, &w) && (w.state == POOL_BUSY || w.state == POOL_IDLE) &&
		    counter_read(&w.slot->gauges.ready) != 0)
			return true;
	return false;
}

static void add_gauges(struct gauges *sum, const struct gauges *g)
{
	for (size_t i = 0; i < sizeof(*sum) / sizeof(counter); i++)
		counter_add(&((counter *)(void *)sum)[i], counter_read(&((const counter *)(const void *)g)[i]));
}

/* The last place is for the rest. */
static void add_saying(struct pool_sayings *s, const char *text, const char *rest)
{
	unsigned i = 0;

	while (i < s->count && strcmp(s->all[i].text, text) != 0)
		i++;
	if (i >= POOL_SAYINGS - 1) {
		i = POOL_SAYINGS - 1;
		text = rest;
	}
	if (i >= s->count) {
		s->count = i + 1;
		s->all[i].workers = 0;
		(void)snprintf(s->all[i].text, sizeof(s->all[i].text), "%s", text);
	}
	s->all[i].workers++;
}

static void add_reason(struct pool *p, const char *text)
{
	add_saying(&p->reasons, text, "other reasons");
}

static void add_worker(struct pool *p, const struct pool_worker *w)
{
	char text[SLOT_TEXT_BYTES + 1];

	p->workers++;
	slot_text_get(&w->slot->version, text);
	add_saying(&p->versions, text, "others");
	p->by_state[w->state]++;
	add_gauges(&p->gauges, &w->slot->gauges);
	if (w->state == POOL_STUCK) {
		add_reason(p, "stuck: the event loop does not turn");
		return;
	}
	if (w->state != POOL_DRAINING)
		p->accepting++;
	if (counter_read(&w->slot->gauges.ready) != 0) {
		p->ready += w->state != POOL_DRAINING;
		return;
	}
	slot_text_get(&w->slot->unready, text);
	add_reason(p, text[0] != '\0' ? text : "starting");
}

static void add_counters(struct pool *p, const struct slot *s)
{
	struct metrics recent;
	int64_t recent_us = slot_recent(s, p->now_us, &recent);

	metrics_sum(&p->metrics, &s->metrics);
	metrics_sum(&p->recent, &recent);
	p->recent_worker_s += (double)recent_us * 1e-6;
	if (recent_us > 0)
		p->recent_rate += (double)metrics_requests(&recent, 0) * 1e6 / (double)recent_us;
	if (recent_us > p->recent_us)
		p->recent_us = recent_us;
}

/* Lines of the log begin with their time, so the later one is the greater. */
static void look_at_error(struct pool *p, const struct slot *s)
{
	char line[SLOT_TEXT_BYTES + 1];

	slot_text_get(&s->last_error, line);
	if (strcmp(line, p->last_error) > 0)
		memcpy(p->last_error, line, sizeof(line));
}

void pool_read(struct pool *p, const struct scoreboard *b, struct moment now)
{
	unsigned used = scoreboard_used(b);

	memset(p, 0, sizeof(*p));
	p->shared = scoreboard_is_shared(b);
	p->now_us = now.us;
	p->time_us = now.wall_us;
	p->created_us = b->created_us;
	for (unsigned i = 0; i < used; i++) {
		const struct slot *s = scoreboard_slot(b, i);
		struct pool_worker w;

		if (pool_worker(b, i, now.us, &w))
			add_worker(p, &w);
		else if (counter_read(&s->gauges.pid) != 0 && counter_read(&s->ended_well) == 0)
			counter_add(&p->metrics.deaths, 1); /* nobody has taken its place yet */
		add_counters(p, s);
		look_at_error(p, s);
	}
}

bool pool_is_ready(const struct pool *p, char reasons[POOL_REASON_BYTES])
{
	size_t used = 0;

	reasons[0] = '\0';
	if (2 * p->ready > p->accepting)
		return true;
	for (unsigned i = 0; i < p->reasons.count && used < POOL_REASON_BYTES; i++) {
		const struct pool_saying *r = &p->reasons.all[i];

		used += (size_t)snprintf(reasons + used, POOL_REASON_BYTES - used, "%s%s", i > 0 ? "; " : "", r->text);
		if (p->workers > 1 && used < POOL_REASON_BYTES)
			used += (size_t)snprintf(reasons + used, POOL_REASON_BYTES - used, " (%u of %u workers)", r->workers,
						 p->workers);
	}
	return false;
}

double pool_share_ratio(const struct metrics *m)
{
	uint64_t flights = buckets_count(&m->flight_members);

	return flights > 0 ? (double)counter_read(&m->flight_members.sum) / (double)flights : 0.;
}

double pool_utilization(const struct pool *p)
{
	return p->recent_worker_s > 0. ? (double)counter_read(&p->recent.busy_us) * 1e-6 / p->recent_worker_s : 0.;
}

void pool_durations(const struct metrics *m, struct buckets *all)
{
	memset(all, 0, sizeof(*all));
	for (unsigned p = 0; p < METRICS_PATH_MAX; p++) {
		for (unsigned i = 0; p != METRICS_ADMIN && i <= BUCKETS_BOUNDS; i++)
			counter_add(&all->in[i], counter_read(&m->durations[p].in[i]));
		if (p != METRICS_ADMIN)
			counter_add(&all->sum, counter_read(&m->durations[p].sum));
	}
}
