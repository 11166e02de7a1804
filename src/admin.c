#include "handlers.h"
#include "json_body.h"
#include "pool.h"
#include "prometheus.h"
#include "request.h"
#include "status.h"
#include "worker.h"

#include <stdlib.h>

/* About what /metrics and /status have. */
#define PAGE_BYTES ((size_t)48 * 1024)

static void answer_body(struct request *r, struct str content_type, struct body *b)
{
	if (b != NULL && !body_failed(b)) {
		request_answer_as(r, content_type, b);
		return;
	}
	body_unref(b);
	request_problem(r, 503, "Out of memory.");
}

/* Takes over the reference to `value`, which may be NULL. */
static void answer_json(struct request *r, json_t *value, size_t flags)
{
	answer_body(r, (struct str)STR("application/json"), json_body(value, flags));
}

/* The pool as it is now, this worker included. NULL, and the request answered, when there is no memory. */
static struct pool *look(struct request *r)
{
	struct worker *w = r->worker;
	struct pool *p = malloc(sizeof(*p));

	if (p == NULL) {
		request_problem(r, 503, "Out of memory.");
		return NULL;
	}
	worker_publish(w);
	pool_read(p, &w->scoreboard, worker_now(w));
	return p;
}

/* A worker answers, so the pool lives. */
void handle_live(struct request *r)
{
	struct pool *p = look(r);

	if (p == NULL)
		return;
	answer_json(r, json_pack("{s:s, s:i}", "status", "live", "workers", (int)p->workers), 0);
	free(p);
}

/* Ready: every path can be served. The reasons may name tables and hosts. */
void handle_ready(struct request *r)
{
	struct pool *p = look(r);
	char reasons[POOL_REASON_BYTES];

	if (p == NULL)
		return;
	if (pool_is_ready(p, reasons))
		answer_json(r,
			    json_pack("{s:s, s:i, s:i}", "status", "ready", "workers", (int)p->workers, "ready", (int)p->ready),
			    0);
	else
		request_problem(r, 503, reasons);
	free(p);
}

void handle_metrics(struct request *r)
{
	struct pool *p = look(r);
	struct body *b;

	if (p == NULL)
		return;
	b = body_new(PAGE_BYTES);
	if (b != NULL)
		prometheus_render(p, b);
	answer_body(r, (struct str)STR(PROMETHEUS_CONTENT_TYPE), b);
	free(p);
}

void handle_status(struct request *r)
{
	struct pool *p = look(r);
	struct body *b;

	if (p == NULL)
		return;
	b = body_new(PAGE_BYTES);
	if (b != NULL)
		status_page(p, &r->worker->scoreboard, b);
	answer_body(r, (struct str)STR("text/html; charset=utf-8"), b);
	free(p);
}

void handle_status_json(struct request *r)
{
	struct pool *p = look(r);

	if (p == NULL)
		return;
	answer_json(r, status_json(p, &r->worker->scoreboard), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	free(p);
}
