#include "log_limit.h"

#include "clock.h"

#include <string.h>

#define WINDOW_US CLOCK_S

static struct log_limit_event *find(struct log_limit *l, const char *event)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (strcmp(l->events[i].name, event) == 0)
			return &l->events[i];
	}
	if (l->count == LOG_LIMIT_EVENTS)
		return NULL;
	l->events[l->count] = (struct log_limit_event){.name = event};
	return &l->events[l->count++];
}

/* A new second: what was suppressed in the last one is told now. */
static unsigned begin(struct log_limit_event *e, int64_t now_us)
{
	unsigned suppressed = e->suppressed;

	e->since_us = now_us;
	e->lines = 0;
	e->suppressed = 0;
	return suppressed;
}

bool log_limit_take(struct log_limit *l, const char *event, enum log_level level, int64_t now_us, unsigned *suppressed)
{
	struct log_limit_event *e = find(l, event);

	*suppressed = 0;
	if (e == NULL)
		return true;
	if (e->lines == 0 || now_us - e->since_us >= WINDOW_US)
		*suppressed = begin(e, now_us);
	if (e->lines >= LOG_LIMIT_LINES) {
		if (e->suppressed++ == 0 || level < e->gravest)
			e->gravest = level;
		l->any_suppressed = true;
		return false;
	}
	e->lines++;
	return true;
}

const char *log_limit_next(struct log_limit *l, int64_t now_us, enum log_level *level, unsigned *suppressed)
{
	l->any_suppressed = false;
	for (unsigned i = 0; i < l->count; i++) {
		struct log_limit_event *e = &l->events[i];

		if (e->suppressed == 0)
			continue;
		l->any_suppressed = true;
		if (now_us - e->since_us < WINDOW_US)
			continue;
		*level = e->gravest;
		*suppressed = begin(e, now_us);
		return e->name;
	}
	return NULL;
}
