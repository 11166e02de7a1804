/* wrap: malloc calloc realloc free worker_publish worker_now request_answer_as request_problem */
/*
 * The admin paths when memory runs out, at whichever allocation: each request has one answer, whole or 503, and nothing leaks.
 */
#include "alloc.h"
#include "handlers.h"
#include "request.h"
#include "suite.h"
#include "worker.h"

#include <check.h>
#include <jansson.h>
#include <string.h>

static struct worker worker;
static struct request request;
static unsigned answers;
static int status;
static struct body *answered; /* NULL: a problem */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void __wrap_worker_publish(struct worker *w);
struct moment __wrap_worker_now(const struct worker *w);
void __wrap_request_answer_as(struct request *r, struct str content_type, struct body *body);
void __wrap_request_problem(struct request *r, int problem, const char *detail);

void __wrap_worker_publish(struct worker *w)
{
	(void)w;
}

struct moment __wrap_worker_now(const struct worker *w)
{
	(void)w;
	return (struct moment){1000000, 1700000000000000};
}

void __wrap_request_answer_as(struct request *r, struct str content_type, struct body *body)
{
	(void)r;
	(void)content_type;
	answers++;
	status = 200;
	answered = body;
}

void __wrap_request_problem(struct request *r, int problem, const char *detail)
{
	(void)r;
	(void)detail;
	answers++;
	status = problem;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void setup(void)
{
	char reason[SCOREBOARD_REASON_BYTES];

	/* jansson's own allocations as well. */
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	ck_assert(scoreboard_open(&worker.scoreboard, "", (struct moment){1, 1700000000000000}, reason));
	counter_set(&scoreboard_own(&worker.scoreboard)->gauges.ready, 1);
	request.worker = &worker;
}

static void teardown(void)
{
	scoreboard_close(&worker.scoreboard);
}

static const struct {
	route_handler *handle;
	const char *begins, *ends; /* of a whole answer */
} paths[] = {
	{handle_live, "{\"status\": \"live\"", "}"},
	{handle_ready, "{\"status\": \"ready\"", "}"},
	{handle_metrics, "# HELP ", "\"} 1\n"},
	{handle_status, "<!DOCTYPE html>", "</html>\n"},
	{handle_status_json, "{", "}"},
};

static void ask(route_handler *handle, long until_failure)
{
	answers = 0;
	answered = NULL;
	alloc_watch(until_failure, SIZE_MAX);
	handle(&request);
	alloc_unwatch();
	ck_assert_uint_eq(answers, 1);
	ck_assert_int_eq(status, answered != NULL ? 200 : 503);
}

static void assert_is(struct str s, const char *begins, const char *ends)
{
	ck_assert_uint_ge(s.len, strlen(begins) + strlen(ends));
	ck_assert_int_eq(memcmp(s.p, begins, strlen(begins)), 0);
	ck_assert_int_eq(memcmp(s.p + s.len - strlen(ends), ends, strlen(ends)), 0);
}

START_TEST(without_memory_each_request_has_one_answer)
{
	struct slot *slot = scoreboard_own(&worker.scoreboard);
	unsigned refused = 0;
	bool failed = true;
	struct body *whole;

	counter_set(&slot->gauges.ready, paths[_i].handle != handle_status_json); /* which then has a reason to tell */
	counter_add(&slot->metrics.requests[METRICS_AGENTS][METRICS_200], 3);
	ask(paths[_i].handle, -1);
	whole = answered;
	assert_is(body_str(whole), paths[_i].begins, paths[_i].ends);
	for (long n = 0; failed; n++) {
		ask(paths[_i].handle, n);
		failed = alloc_failed > 0;
		ck_assert(failed || status == 200);
		refused += status == 503;
		ck_assert_msg(answered == NULL || str_equal(body_str(answered), body_str(whole)), "%.*s", (int)answered->len,
			      answered->data);
		alloc_watching = true;
		body_unref(answered);
		alloc_unwatch();
		ck_assert_int_eq(alloc_live, 0);
	}
	ck_assert_uint_ge(refused, 2); /* for the pool, and for the body */
	body_unref(whole);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, without_memory_each_request_has_one_answer, 0, sizeof(paths) / sizeof(paths[0]));
}

int main(void)
{
	return suite_run("admin", setup, teardown, add_tests);
}
