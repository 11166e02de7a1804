/*
 * The admin paths of the stack, through its nginx.
 */
#include "http.h"
#include "series.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char *const admin_paths[] = {"/metrics", "/status", "/status.json", "/health/live", "/health/ready"};

START_TEST(admin_paths_through_nginx)
{
	ANSWER a = http_admin("GET", admin_paths[_i]);
	ANSWER head = http_admin("HEAD", admin_paths[_i]);
	ANSWER post = http_admin("POST", admin_paths[_i]);
	ANSWER public = http_get(admin_paths[_i]);

	assert_status(a, 200);
	assert_header(a, "Cache-Control", "no-store");
	ck_assert_int_eq(answer_header_count(&a, "X-Request-Id"), 1);
	ck_assert_int_eq(answer_header_count(&a, "X-Frame-Options"), 1);
	ck_assert_int_eq(answer_header_count(&a, "Content-Security-Policy"), 1);
	/* Only the page may have a style of its own. */
	ck_assert_int_eq(strstr(answer_header(&a, "Content-Security-Policy"), "style-src") != NULL, _i == 1);
	assert_status(head, 200);
	assert_body(head, "", 0);
	assert_problem(post, 405);
	assert_problem(public, 404);
}
END_TEST

/* Prometheus' own judge, where it is installed. */
START_TEST(promtool_accepts_the_metrics)
{
	BYTES file = {0};
	BYTES command = {0};
	FILE *f;

	if (shell("command -v promtool >/dev/null") != 0) {
		(void)puts("promtool is not installed, so the metrics were not shown to it");
		return;
	}
	ANSWER index = http_get("/agents");
	ANSWER a = http_admin("GET", "/metrics");

	assert_status(index, 200);
	assert_status(a, 200);
	bytes_printf(&file, "%s/metrics-%d", env_need("RUN_DIR"), (int)getpid());
	f = fopen(file.p, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(a.body.p, 1, a.body.len, f), a.body.len);
	ck_assert_int_eq(fclose(f), 0);
	bytes_printf(&command, "promtool check metrics <'%s' >&2", file.p);
	ck_assert_int_eq(shell(command.p), 0);
	(void)unlink(file.p);
}
END_TEST

static double pool_metric(const char *series)
{
	ANSWER a = http_admin("GET", "/metrics");

	return in_metrics(a.body.p, series);
}

/* One of the stack's workers; 0 for none. */
static pid_t some_worker(void)
{
	ANSWER a = http_admin("GET", "/status.json");
	json_t *o = answer_json(&a);
	json_t *list = json_object_get(o, "worker_list");
	pid_t pid = (pid_t)json_integer_value(json_object_get(json_array_get(list, 0), "pid"));

	json_decref(o);
	return pid;
}

START_TEST(the_stack_s_pool_counts_over_deaths)
{
	static const char series[] = "requests_total{path=\"/index\",code=\"200\"}";
	double before, deaths = pool_metric("worker_deaths_total");
	struct http h;
	pid_t pid;

	WAIT_FOR(pool_metric("workers_ready") == 4.);
	before = pool_metric(series);
	http_open(&h);
	for (int i = 0; i < 50; i++) {
		/* Now and then on a new connection. */
		ANSWER a = i % 10 == 0 ? http_get("/index") : (struct answer){0};
		BYTES url = {0};

		bytes_printf(&url, "%s/index", env_need("BASE_URL"));
		ANSWER b = http_exchange(&h, "GET", url.p, NULL);

		ck_assert(a.status == 200 || i % 10 != 0);
		assert_status(b, 200);
	}
	http_close(&h);
	ck_assert_double_eq(pool_metric(series), before + 55.);
	pid = some_worker();
	ck_assert_int_gt(pid, 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	WAIT_FOR(kill(pid, 0) != 0); /* or nginx may send it one more request, and log that */
	WAIT_FOR(pool_metric("worker_deaths_total") == deaths + 1.);
	WAIT_FOR(pool_metric("workers_ready") == 4.);
	ck_assert_double_eq(pool_metric("worker_deaths_total"), deaths + 1.);
	ck_assert_double_eq(pool_metric(series), before + 55.);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admin_nginx");
	TCase *c = add_case(s, "admin_nginx");

	tcase_add_loop_test(c, admin_paths_through_nginx, 0, (int)(sizeof admin_paths / sizeof admin_paths[0]));
	tcase_add_test(c, promtool_accepts_the_metrics);
	tcase_add_test(c, the_stack_s_pool_counts_over_deaths);
	return run_suite(s);
}
