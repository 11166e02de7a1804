#include "handlers.h"

#include "request.h"
#include "worker.h"

#include <jansson.h>
#include <stdio.h>

/* jansson's default separators are those of the contract: ", " and ": ". */
static struct body *json_body(json_t *value)
{
	char *text = value != NULL ? json_dumps(value, JSON_PRESERVE_ORDER) : NULL;
	struct body *b = text != NULL ? body_new(strlen(text)) : NULL;

	if (b != NULL)
		body_append_str(b, str_of(text));
	free(text);
	json_decref(value);
	return b;
}

struct content handlers_index_content(void)
{
	struct body *b = json_body(json_pack("{s:s}", "hello", "world"));

	return b != NULL ? content_make(b) : (struct content){NULL, ""};
}

void handle_index(struct request *r)
{
	request_answer(r, &r->worker->index);
}

/* The request joins a flight of the query; when it lands, flight answers. */
static void answer_with(struct request *r, enum query_id id)
{
	switch (flight_join(&r->worker->flights, r, id)) {
	case FLIGHT_JOINED:
		return;
	case FLIGHT_TOO_LATE:
		request_problem(r, 503, "Too many requests are waiting to be served in time.");
		return;
	case FLIGHT_FULL:
		request_problem(r, 503, "Too many requests are waiting.");
		return;
	case FLIGHT_NO_MEMORY:
	default:
		request_problem(r, 503, "Out of memory.");
		return;
	}
}

void handle_agents(struct request *r)
{
	answer_with(r, QUERY_AGENTS);
}

void handle_agents_with_orm(struct request *r)
{
	answer_with(r, QUERY_AGENTFEATURES);
}

void handle_agent_logins(struct request *r)
{
	answer_with(r, QUERY_AGENT_LOGINS);
}

static void answer_status(struct request *r, const char *status)
{
	struct body *b = json_body(json_pack("{s:s}", "status", status));

	if (b == NULL)
		request_problem(r, 503, "Out of memory.");
	else
		request_answer_json(r, b);
}

/* The worker answers, so it lives. */
void handle_live(struct request *r)
{
	answer_status(r, "live");
}

/* Ready: every path can be served. On the admin listener the reasons may name tables and hosts. */
void handle_ready(struct request *r)
{
	const struct worker *w = r->worker;
	char reasons[WORKER_REASON_BYTES];

	if (worker_is_ready(w, reasons, sizeof(reasons)))
		answer_status(r, "ready");
	else
		request_problem(r, 503, reasons);
}
