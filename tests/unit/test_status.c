/*
 * How the pool is told of: Prometheus' text, JSON and HTML.
 */
#include "html.h"
#include "pool_fixture.h"
#include "prometheus.h"
#include "status.h"
#include "text.h"
#include "version.h"

#include <jansson.h>
#include <string.h>

/* --- Prometheus --- */

static char *prometheus(void)
{
	struct body *b = body_new(16);
	char *text;

	prometheus_render(&pool, b);
	ck_assert(!body_failed(b));
	text = strndup(b->data, b->len);
	body_unref(b);
	return text;
}

/* Leaves the text for promtool, when it is asked for. */
static void show(const char *text)
{
	const char *file = getenv("METRICS_TEXT");
	FILE *f = file != NULL ? fopen(file, "we") : NULL;

	if (f == NULL)
		return;
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* The value of a series, named as it stands in the text; -1: it is not there exactly once. */
static double value_of(const char *text, const char *series)
{
	char wanted[160];
	const char *at;

	(void)snprintf(wanted, sizeof(wanted), "\nagents_fcgi_%s ", series);
	at = strstr(text, wanted);
	if (at == NULL || strstr(at + 1, wanted) != NULL)
		return -1.;
	return strtod(at + strlen(wanted), NULL);
}

START_TEST(test_prometheus_says_what_was_counted)
{
	char *text;

	counter_add(&slot_of(0)->metrics.requests[METRICS_AGENTS][METRICS_200], 10);
	counter_add(&slot_of(2)->metrics.requests[METRICS_AGENTS][METRICS_200], 5);
	buckets_add_us(&slot_of(0)->metrics.durations[METRICS_AGENTS], 70);
	buckets_add_us(&slot_of(1)->metrics.durations[METRICS_AGENTS], 300);
	buckets_add_us(&slot_of(2)->metrics.durations[METRICS_AGENTS], 20000000);
	counter_add(&slot_of(1)->metrics.busy_us, 1500000);
	look();
	text = prometheus();
	show(text);
	ck_assert_double_eq(value_of(text, "requests_total{path=\"/agents\",code=\"200\"}"), 15.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_bucket{path=\"/agents\",le=\"5e-05\"}"), 0.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_bucket{path=\"/agents\",le=\"0.0001\"}"), 1.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_bucket{path=\"/agents\",le=\"0.0005\"}"), 2.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_bucket{path=\"/agents\",le=\"10\"}"), 2.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_bucket{path=\"/agents\",le=\"+Inf\"}"), 3.);
	ck_assert_double_eq(value_of(text, "request_duration_seconds_count{path=\"/agents\"}"), 3.);
	ck_assert_double_eq_tol(value_of(text, "request_duration_seconds_sum{path=\"/agents\"}"), 20.00037, 1e-6);
	ck_assert_double_eq(value_of(text, "flight_members_count"), 0.);
	ck_assert_double_eq(value_of(text, "workers{state=\"idle\"}"), 3.);
	ck_assert_double_eq(value_of(text, "workers_by_version{version=\"" AGENTS_FCGI_VERSION "\"}"), 3.);
	ck_assert_double_eq(value_of(text, "database_connections"), 3.);
	ck_assert_double_eq(value_of(text, "worker_busy_seconds_total"), 1.5);
	ck_assert_double_eq(value_of(text, "scoreboard_shared"), 1.);
	ck_assert_double_eq(value_of(text, "start_time_seconds"), 1700000000.);
	free(text);
}
END_TEST

/* In the midst of an upgrade, whoever answers; a label is escaped as each is. */
START_TEST(test_prometheus_has_the_workers_of_each_version)
{
	char *text;

	slot_text_set(&slot_of(1)->version, str_of("0.2\"beta\""));
	look();
	text = prometheus();
	ck_assert_double_eq(value_of(text, "workers_by_version{version=\"" AGENTS_FCGI_VERSION "\"}"), 2.);
	ck_assert_double_eq(value_of(text, "workers_by_version{version=\"0.2\\\"beta\\\"\"}"), 1.);
	free(text);
	scoreboard_close(&boards[1]);
	look();
	text = prometheus();
	ck_assert_ptr_null(strstr(text, "beta")); /* with its last worker */
	free(text);
	ck_assert(scoreboard_open(&boards[1], path, now, (char[SCOREBOARD_REASON_BYTES]){""}));
}
END_TEST

/* After years: none of the digits is lost, or a rate over a minute would be made of what is. */
START_TEST(test_prometheus_has_sums_to_the_last_digit)
{
	char *text;

	counter_set(&slot_of(0)->metrics.flight_members.sum, 9007199254740993U);
	counter_set(&slot_of(0)->metrics.durations[METRICS_AGENTS].sum, 123456789000045U);
	counter_set(&slot_of(0)->metrics.query_durations[QUERY_AGENTS].sum, 7U);
	look();
	text = prometheus();
	ck_assert_ptr_nonnull(strstr(text, "\nagents_fcgi_flight_members_sum 9007199254740993\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nagents_fcgi_request_duration_seconds_sum{path=\"/agents\"} 123456789.000045\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nagents_fcgi_query_duration_seconds_sum{query=\"agents\"} 0.000007\n"));
	free(text);
}
END_TEST

/* Each line is a comment or a sample, each name has its HELP and TYPE before its samples, and no series comes twice. */
START_TEST(test_prometheus_is_well_formed)
{
	char *text, *line, *rest, *seen;
	char family[80] = "";

	look();
	text = prometheus();
	seen = strdup(text);
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char name[80], *end;
		size_t len = strcspn(line, "{ ");

		if (sscanf(line, "# HELP %79s", family) == 1)
			continue;
		if (sscanf(line, "# TYPE %79s", name) == 1) {
			ck_assert_str_eq(name, family);
			continue;
		}
		ck_assert_msg(strncmp(line, family, strlen(family)) == 0 && len >= strlen(family), "%s", line);
		end = strrchr(line, ' ');
		ck_assert_ptr_nonnull(end);
		(void)strtod(end + 1, &end);
		ck_assert_msg(*end == '\0', "%s", line);
		*strrchr(line, ' ') = '\0';
		(void)value_of(seen, line + strlen("agents_fcgi_"));
		ck_assert_msg(value_of(seen, line + strlen("agents_fcgi_")) >= 0., "%s", line);
	}
	free(text);
	free(seen);
}
END_TEST

static const struct {
	const char *text, *label, *html;
} escapes[] = {
	{"plain", "plain", "plain"},
	{"a\\b\"c\nd", "a\\\\b\\\"c\\nd", "a\\b&quot;c\nd"},
	{"<b>&'x'</b>", "<b>&'x'</b>", "&lt;b&gt;&amp;&#39;x&#39;&lt;/b&gt;"},
	{"\xc3\xa4\x01\xff", "\xc3\xa4\x01\xff", "\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"},
	{"", "", ""},
};

START_TEST(test_text_is_escaped)
{
	struct body *label = body_new(16), *html = body_new(16);

	text_label(label, escapes[_i].text);
	text_html(html, escapes[_i].text);
	ck_assert(str_equal(body_str(label), str_of(escapes[_i].label)));
	ck_assert(str_equal(body_str(html), str_of(escapes[_i].html)));
	body_unref(label);
	body_unref(html);
}
END_TEST

START_TEST(test_a_piece_that_is_too_long_is_no_silent_cut)
{
	char longer[TEXT_PIECE_BYTES + 1];
	struct body *b = body_new(16);

	memset(longer, 'x', TEXT_PIECE_BYTES);
	longer[TEXT_PIECE_BYTES] = '\0';
	text_printf(b, "%s", longer);
	ck_assert(body_failed(b));
	body_unref(b);
}
END_TEST

/* --- JSON and HTML --- */

/* The worst that a database may say. */
#define NASTY "database: </pre><script>alert(\"x\")</script> & 'more' \xff"

static json_t *status(void)
{
	json_t *o = status_json(&pool, &boards[0]);

	ck_assert_ptr_nonnull(o);
	return o;
}

START_TEST(test_json_says_what_there_is)
{
	const char *state, *reason, *event;
	int ready, total, list_ready, workers;
	json_int_t errors, evicted;
	json_t *o;

	counter_add(&slot_of(0)->metrics.answers_evicted, 17);
	counter_add(&slot_of(1)->metrics.requests[METRICS_AGENTS][METRICS_504], 4);
	not_ready(1, NASTY);
	slot_text_set(&slot_of(1)->last_error, str_of("{\"time\":\"2026\",\"event\":\"lost\"}"));
	look();
	o = status();
	ck_assert_int_eq(json_unpack(o, "{s:b, s:{s:i}, s:[{s:i, s:s}], s:{s:I, s:{s:I}}, s:{s:s}, s:[{s:s, s:b}]}", "ready",
				     &ready, "workers", "total", &total, "reasons", "workers", &workers, "reason", &reason,
				     "requests", "errors", &errors, "unsent", "evicted", &evicted, "last_error", "event", &event,
				     "worker_list", "state", &state, "ready", &list_ready),
			 0);
	ck_assert(ready && list_ready);
	ck_assert_int_eq(total, 3);
	ck_assert_int_eq(workers, 1);
	ck_assert_int_eq(errors, 4);
	ck_assert_int_eq(evicted, 17);
	ck_assert_str_eq(event, "lost");
	ck_assert_str_eq(state, "idle");
	ck_assert_ptr_nonnull(strstr(reason, "alert"));
	ck_assert_uint_eq(json_array_size(json_object_get(o, "worker_list")), 3);
	json_decref(o);
}
END_TEST

/* A slot without a worker is not among them. */
START_TEST(test_json_lists_workers_only)
{
	json_t *o;

	scoreboard_close(&boards[1]);
	look();
	o = status();
	ck_assert_uint_eq(json_array_size(json_object_get(o, "worker_list")), 2);
	json_decref(o);
	ck_assert(scoreboard_open(&boards[1], path, now, (char[SCOREBOARD_REASON_BYTES]){""}));
}
END_TEST

/* A line that the slot had no room for is no JSON any more. */
START_TEST(test_json_of_a_cut_line_is_a_string)
{
	json_t *o;

	look();
	o = status();
	ck_assert(json_is_null(json_object_get(o, "last_error")));
	json_decref(o);
	slot_text_set(&slot_of(0)->last_error, str_of("{\"time\":\"2026\",\"error\":\"half \xff"));
	look();
	o = status();
	ck_assert(json_is_string(json_object_get(o, "last_error")));
	json_decref(o);
}
END_TEST

START_TEST(test_the_page_is_well_formed_whatever_is_said)
{
	struct body *b = body_new(16);
	char reason[HTML_REASON_BYTES] = "";

	not_ready(1, NASTY);
	slot_text_set(&slot_of(2)->last_error, str_of(NASTY));
	slot_text_set(&slot_of(2)->version, str_of(NASTY));
	look();
	status_page(&pool, &boards[0], b);
	ck_assert(!body_failed(b));
	ck_assert_msg(html_is_well_formed(body_str(b), reason), "%s", reason);
	ck_assert_ptr_null(memmem(b->data, b->len, "<script", 7));
	ck_assert_ptr_nonnull(memmem(b->data, b->len, "&lt;script&gt;", 14));
	body_unref(b);
}
END_TEST

static unsigned times(const char *from, const char *end, const char *what)
{
	unsigned n = 0;

	while ((from = strstr(from, what)) != NULL && from++ < end)
		n++;
	return n;
}

/* Each number stands below its name: a row has as many cells as its table has columns. */
START_TEST(test_the_page_s_rows_fill_their_columns)
{
	struct body *b = body_new(16);
	unsigned tables = 0;
	const char *at;

	counter_add(&slot_of(0)->metrics.answers_stalled, 1616);
	counter_add(&slot_of(0)->metrics.answers_evicted, 1717);
	look();
	status_page(&pool, &boards[0], b);
	body_append(b, "", 1);
	ck_assert_ptr_nonnull(strstr(b->data, "<th>stalled</th><th>evicted</th>"));
	ck_assert_ptr_nonnull(strstr(b->data, "<td>1616</td><td>1717</td>"));
	for (at = b->data; (at = strstr(at, "<table")) != NULL; tables++) {
		const char *end = strstr(at, "</table>"), *row = strstr(at, "</tr>");
		unsigned columns = times(at, row, "<th>");

		ck_assert_uint_gt(columns, 1);
		for (at = row + 1; (row = strstr(at, "</tr>")) != NULL && row < end; at = row + 1)
			ck_assert_uint_eq(times(at, row, "<td"), columns);
	}
	ck_assert_uint_eq(tables, 5);
	body_unref(b);
}
END_TEST

START_TEST(test_the_page_says_when_it_is_of_one_worker)
{
	struct scoreboard own;
	struct body *b = body_new(16);

	ck_assert(scoreboard_open(&own, "", now, (char[SCOREBOARD_REASON_BYTES]){""}));
	pool_read(&pool, &own, now);
	ck_assert_uint_eq(pool.workers, 1);
	status_page(&pool, &own, b);
	ck_assert_ptr_nonnull(memmem(b->data, b->len, "no scoreboard", 13));
	scoreboard_close(&own);
	body_unref(b);
}
END_TEST

/* An hour forward or back: nobody is stuck for it, and what was recent still is. */
START_TEST(test_a_step_of_the_wall_clock_changes_nothing)
{
	int64_t step_us = (_i == 0 ? 3600 : -3600) * SECOND_US;
	char time[STATUS_TIME_BYTES];
	json_t *o;

	counter_add(&slot_of(0)->metrics.requests[METRICS_AGENTS][METRICS_200], 10);
	pool_read(&pool, &boards[0], (struct moment){UP_US + SECOND_US, NOW_US + SECOND_US + step_us});
	ck_assert_uint_eq(pool.by_state[POOL_IDLE], WORKERS);
	ck_assert_int_eq(pool.recent_us, SECOND_US);
	ck_assert_uint_eq(metrics_requests(&pool.recent, 0), 10);
	o = status_json(&pool, &boards[0]);
	status_time(NOW_US + SECOND_US + step_us, time);
	ck_assert_str_eq(json_string_value(json_object_get(o, "time")), time);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_str_eq(
			json_string_value(json_object_get(json_array_get(json_object_get(o, "worker_list"), i), "state")),
			"idle");
	json_decref(o);
}
END_TEST

/* The judge itself. */
static const struct {
	const char *page;
	bool good;
} pages[] = {
	{"<!DOCTYPE html>\n<html><p class=\"x\">a &amp; b<br/></p></html>\n", true},
	{"<!DOCTYPE html>\n<html><p>a</html>", false},
	{"<!DOCTYPE html>\n<html><p>a</b></html>", false},
	{"<!DOCTYPE html>\n<html>a & b</html>", false},
	{"<!DOCTYPE html>\n<html><p class=x>a</p></html>", false},
	{"<!DOCTYPE html>\n<html>", false},
	{"<html></html>", false},
	{"<!DOCTYPE html>\n<html></html>more", false},
	{"<!DOCTYPE html>\n<html>\xff</html>", false},
};

START_TEST(test_the_judge_of_pages)
{
	char reason[HTML_REASON_BYTES];

	ck_assert_int_eq(html_is_well_formed(str_of(pages[_i].page), reason), pages[_i].good);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("status");
	TCase *tc = tcase_create("status");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_prometheus_says_what_was_counted);
	tcase_add_test(tc, test_prometheus_has_the_workers_of_each_version);
	tcase_add_test(tc, test_prometheus_has_sums_to_the_last_digit);
	tcase_add_test(tc, test_prometheus_is_well_formed);
	tcase_add_loop_test(tc, test_text_is_escaped, 0, sizeof(escapes) / sizeof(escapes[0]));
	tcase_add_test(tc, test_a_piece_that_is_too_long_is_no_silent_cut);
	tcase_add_test(tc, test_json_says_what_there_is);
	tcase_add_test(tc, test_json_lists_workers_only);
	tcase_add_test(tc, test_json_of_a_cut_line_is_a_string);
	tcase_add_test(tc, test_the_page_is_well_formed_whatever_is_said);
	tcase_add_test(tc, test_the_page_s_rows_fill_their_columns);
	tcase_add_test(tc, test_the_page_says_when_it_is_of_one_worker);
	tcase_add_loop_test(tc, test_a_step_of_the_wall_clock_changes_nothing, 0, 2);
	tcase_add_loop_test(tc, test_the_judge_of_pages, 0, sizeof(pages) / sizeof(pages[0]));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
