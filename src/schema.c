#include "schema.h"

#include "agent.h"
#include "clock.h"

#include <stdio.h>

#define RECHECK_S 1.0

static void start(struct schema_check *c)
{
	if (c->job.state == JOB_SENT) { /* perhaps before what there is to see */
		c->again = true;
		return;
	}
	c->again = false;
	c->job.deadline_us = clock_us() + c->schema->timeout_us; /* also of one that has waited for a connection */
	if (c->job.state == JOB_IDLE)
		db_submit(c->schema->db, &c->job);
}

static void compare(struct schema_check *c, const PGresult *catalogue)
{
	char reason[MODEL_REASON_BYTES] = "";
	bool differs = !model_check_catalogue(c->model, catalogue, reason);

	if (differs && (!c->differs || strcmp(reason, c->reason) != 0))
		log_event(c->schema->log, LOG_LEVEL_ERROR, "schema_differs", LOG_NO_REQUEST, "{s:s}", "reason", reason);
	else if (!differs && c->differs)
		log_event(c->schema->log, LOG_LEVEL_INFO, "schema_restored", LOG_NO_REQUEST, "{s:s}", "table", c->model->table);
	c->known = true;
	c->differs = differs;
	memcpy(c->reason, reason, sizeof(reason));
}

static void say_ready_once(struct schema *s)
{
	char reasons[SCHEMA_MODELS * MODEL_REASON_BYTES];

	if (s->was_ready || !schema_fits(s, reasons, sizeof(reasons)))
		return;
	s->was_ready = true;
	log_event(s->log, LOG_LEVEL_INFO, "ready", LOG_NO_REQUEST, NULL);
}

static void on_done(struct job *j, const struct job_result *result)
{
	struct schema_check *c = LIST_OBJECT(j, struct schema_check, job);

	if (result->outcome == JOB_ROWS)
		compare(c, result->result);
	say_ready_once(c->schema);
	if (c->again)
		start(c);
	else if (!c->known || c->differs)
		ev_timer_again(c->schema->db->loop, &c->schema->recheck);
}

static void on_recheck(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(loop, w);
	schema_check(w->data);
}

void schema_init(struct schema *s, struct db *db, const struct log *log, const struct queries *queries, int64_t timeout_us)
{
	static const struct model *const models[SCHEMA_MODELS] = {&agentfeature_model, &agent_login_model};

	memset(s, 0, sizeof(*s));
	s->db = db;
	s->log = log;
	s->timeout_us = timeout_us;
	ev_timer_init(&s->recheck, on_recheck, 0., RECHECK_S);
	s->recheck.data = s;
	for (int i = 0; i < SCHEMA_MODELS; i++) {
		struct schema_check *c = &s->checks[i];

		c->schema = s;
		c->model = models[i];
		c->job.query = &queries->all[QUERY_CATALOGUE];
		c->job.parameter = models[i]->table;
		c->job.done = on_done;
		list_init(&c->job.node);
	}
}

void schema_close(struct schema *s)
{
	ev_timer_stop(s->db->loop, &s->recheck);
}

void schema_check(struct schema *s)
{
	for (int i = 0; i < SCHEMA_MODELS; i++)
		start(&s->checks[i]);
}

bool schema_fits(const struct schema *s, char *reasons, size_t size)
{
	size_t used = 0;

	reasons[0] = '\0';
	for (int i = 0; i < SCHEMA_MODELS; i++) {
		const struct schema_check *c = &s->checks[i];
		const char *reason = c->reason;

		if (c->known && !c->differs)
			continue;
		if (!c->known)
			reason = "not compared with the catalogue yet";
		if (used < size)
			used += (size_t)snprintf(reasons + used, size - used, "%s%s", used > 0 ? "; " : "", reason);
	}
	return used == 0;
}
