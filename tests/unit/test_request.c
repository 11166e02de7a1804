/* wrap: calloc conn_answer */
/*
 * What a worker does about a request for which there is no memory.
 */
#include "request.h"
#include "suite.h"
#include "worker.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool no_memory;
static char answered[512];

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_conn_answer(struct conn *c, struct str head, struct body *body);

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

void __wrap_conn_answer(struct conn *c, struct str head, struct body *body)
{
	(void)c;
	ck_assert_ptr_null(body);
	ck_assert_str_eq(answered, "");
	(void)snprintf(answered, sizeof(answered), "%.*s", (int)head.len, head.p);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static struct worker worker;
static struct metrics metrics;
static struct conn conn;

static void setup(void)
{
	worker.requests.metrics = &metrics;
	worker.log = (struct log){.fd = -1, .level = LOG_LEVEL_ERROR};
}

static const struct {
	const char *listener, *path;
	enum metrics_path counted_by;
	unsigned refused;
} asked[] = {
	{"", "/agents", METRICS_AGENTS, 1},
	{"", "/nothing", METRICS_NO_PATH, 1},
	{"admin", "/metrics", METRICS_ADMIN, 0}, /* who looks is no client */
	{NULL, NULL, METRICS_NO_PATH, 1},        /* there was no memory to parse it */
};

/* The body, of the length that the head says. */
static void is_problem(void)
{
	const char *body = strstr(answered, "\r\n\r\n") + 4, *length = strstr(answered, "\r\nContent-Length: ");
	json_t *problem = json_loads(body, 0, NULL);

	ck_assert_ptr_nonnull(length);
	ck_assert_uint_eq(strtoul(length + strlen("\r\nContent-Length: "), NULL, 10), strlen(body));
	ck_assert_int_eq(json_integer_value(json_object_get(problem, "status")), 503);
	ck_assert_str_eq(json_string_value(json_object_get(problem, "title")), "Service Unavailable");
	json_decref(problem);
}

/* Whoever looks for failures in the totals finds it. */
START_TEST(without_memory_it_is_answered_and_counted)
{
	bool parsed = asked[_i].path != NULL;
	const struct fcgi_params p = {.method = STR("GET"),
				      .path = str_of(parsed ? asked[_i].path : ""),
				      .listener = str_of(parsed ? asked[_i].listener : "")};
	uint64_t all = 0;

	no_memory = parsed;
	request_events.request(&worker, &conn, parsed ? &p : NULL);
	no_memory = false;
	ck_assert_ptr_nonnull(strstr(answered, "Status: 503 "));
	ck_assert_ptr_nonnull(strstr(answered, "\r\nRetry-After: 1\r\n"));
	is_problem();
	ck_assert_uint_eq(counter_read(&metrics.requests[asked[_i].counted_by][METRICS_503]), 1);
	ck_assert_uint_eq(counter_read(&metrics.refused[METRICS_NO_MEMORY]), asked[_i].refused);
	for (size_t path = 0; path < METRICS_PATH_MAX; path++)
		for (size_t status = 0; status < METRICS_STATUS_MAX; status++)
			all += counter_read(&metrics.requests[path][status]);
	ck_assert_uint_eq(all, 1);
	ck_assert_uint_eq(worker.requests.in_flight, 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, without_memory_it_is_answered_and_counted, 0, sizeof(asked) / sizeof(asked[0]));
}

int main(void)
{
	return suite_run("request", setup, NULL, add_tests);
}
