#include "handlers.h"

#include "json_body.h"
#include "request.h"
#include "worker.h"

struct content handlers_index_content(void)
{
	struct body *b = json_body(json_pack("{s:s}", "hello", "world"), 0);

	return b != NULL ? content_make(b) : (struct content){NULL, ""};
}

void handle_index(struct request *r)
{
	request_answer(r, &r->worker->index);
}

static void refuse(struct request *r, enum metrics_refusal why, const char *detail)
{
	counter_add(&r->worker->requests.metrics->refused[why], 1);
	request_problem(r, 503, detail);
}

/* The request joins a flight of the query; when it lands, flight answers. */
static void answer_with(struct request *r, enum query_id id)
{
	switch (flight_join(&r->worker->flights, r, id)) {
	case FLIGHT_JOINED:
		return;
	case FLIGHT_TOO_LATE:
		refuse(r, METRICS_TOO_LATE, "Too many requests are waiting to be served in time.");
		return;
	case FLIGHT_FULL:
		refuse(r, METRICS_FULL, "Too many requests are waiting.");
		return;
	case FLIGHT_NO_MEMORY:
	default:
		refuse(r, METRICS_NO_MEMORY, "Out of memory.");
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
