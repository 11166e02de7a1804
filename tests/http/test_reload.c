/*
 * SIGUSR2: the file of --config is read again, and what may change in a running worker does.
 */
#include "pg.h"
#include "worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[128];

static void put_config(const char *text)
{
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/reload-%d.conf", env_need("RUN_DIR"), (int)getpid());
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void start(struct worker *w, const char *text)
{
	put_config(text);
	worker_start(w, "host=/nonexistent dbname=nothing user=nobody", (const char *const[]){"--config", path, NULL});
}

static void reload(const struct worker *w, const char *text)
{
	put_config(text);
	ck_assert_int_eq(kill(w->pid, SIGUSR2), 0);
}

static void end(struct worker *w)
{
	worker_end(w);
	(void)unlink(path);
}

/* How often the log says something. */
static size_t said(const struct worker *w, const char *text)
{
	BYTES log = {0};

	(void)file_read(w->log, &log);
	return count_of(log.p, text);
}

static const struct fastcgi_param from_a[] = {{"HTTP_ORIGIN", "https://a"}, {0}};

START_TEST(a_reload_changes_what_it_may_and_says_so)
{
	struct worker w;

	start(&w, "cors-origin = https://b\nslow-log = 60s\nmax-waiting = 10\n");
	ANSWER before = worker_call(&w, "GET", "/index", from_a);

	assert_no_header(before, "Access-Control-Allow-Origin");
	reload(&w, "cors-origin = https://a\nslow-log = 0ms\nmax-waiting = 10\nrequest-timeout = 7s\nscoreboard = /run/other\n");
	WAIT_FOR(said(&w, "\"reloaded\"") == 1);
	ANSWER after = worker_call(&w, "GET", "/index", from_a);

	assert_header(after, "Access-Control-Allow-Origin", "https://a");
	/* Old and new, each option that changed; a value that did not is not mentioned. */
	ck_assert_uint_eq(said(&w, "\"option_changed\""), 2);
	ck_assert_uint_eq(said(&w, "\"from\":\"cors-origin = https://b\",\"to\":\"cors-origin = https://a\""), 1);
	ck_assert_uint_eq(said(&w, "\"from\":\"slow-log = 60000ms\",\"to\":\"slow-log = 0ms\""), 1);
	/* What cannot change is named, and does not. */
	ck_assert_uint_eq(said(&w, "\"reload_needs_restart\""), 1);
	ck_assert_uint_eq(said(&w, "\"options\":\"request-timeout scoreboard\""), 1);
	WAIT_FOR(said(&w, "\"slow_request\"") >= 1);
	end(&w);
}
END_TEST

static const struct {
	const char *config;
	const char *names[2]; /* what the line must name */
} refused[] = {
	{"cors-origin = https://a\nmax-waiting = 0\n", {"max-waiting", "1 to 100000"}},
	{"cors-origin = https://a\nslow-log = soon\n", {"slow-log", "soon"}},
	{"cors-origin = https://a\nlog-levle = info\n", {"log-levle", "log-level"}},
	{"cors-origin = https://a\nnonsense\n", {"name = value", ":2"}},
};

/* One bad value, and nothing of that file is taken: half of a configuration is none that anybody wrote. */
START_TEST(a_bad_value_keeps_what_was)
{
	struct worker w;

	start(&w, "cors-origin = https://b\n");
	reload(&w, refused[_i].config);
	WAIT_FOR(said(&w, "\"reload_refused\"") == 1);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_ge(said(&w, refused[_i].names[i]), 1);
	ck_assert_uint_eq(said(&w, "\"option_changed\""), 0);
	ANSWER kept = worker_call(&w, "GET", "/index", from_a);

	assert_status(kept, 200);
	assert_no_header(kept, "Access-Control-Allow-Origin");
	/* Put right, it is taken. */
	reload(&w, "cors-origin = https://a\n");
	WAIT_FOR(said(&w, "\"reloaded\"") == 1);
	ANSWER after = worker_call(&w, "GET", "/index", from_a);

	assert_header(after, "Access-Control-Allow-Origin", "https://a");
	end(&w);
}
END_TEST

START_TEST(a_missing_file_keeps_what_was)
{
	struct worker w;

	start(&w, "cors-origin = https://a\n");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(kill(w.pid, SIGUSR2), 0);
	WAIT_FOR(said(&w, "\"reload_refused\"") == 1);
	ck_assert_uint_ge(said(&w, path), 1);
	ANSWER kept = worker_call(&w, "GET", "/index", from_a);

	assert_header(kept, "Access-Control-Allow-Origin", "https://a");
	end(&w);
}
END_TEST

/* The log says what changed, not what is secret. */
START_TEST(a_password_is_not_logged)
{
	struct worker w;

	start(&w, "max-waiting = 10\n");
	reload(&w, "max-waiting = 11\ndatabase = host=/nonexistent password=topsecret99\n");
	WAIT_FOR(said(&w, "\"reloaded\"") == 1);
	reload(&w, "database = host=/nonexistent password=topsecret99 nonsense\n");
	WAIT_FOR(said(&w, "\"reload_refused\"") == 1);
	ck_assert_uint_eq(said(&w, "topsecret99"), 0);
	end(&w);
}
END_TEST

/* No other answer has to begin for it: a slow reader has what is beyond the new bound for longer than its grace, and is given up. */
START_TEST(a_lower_bound_for_slow_readers_holds_for_those_there_are)
{
	struct pg db;
	struct worker w;
	struct fastcgi slow;
	BYTES request = {0};

	pg_create_agents(&db, 20000);
	put_config("max-unread = 64\nrequest-timeout = 60s\n");
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--config", path, NULL});
	ck_assert(fastcgi_open(&slow, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(send_all(slow.fd, request.p, request.len));
	ck_assert_int_gt(receive(slow.fd, &slow.in, PATIENCE_MS), 0);
	reload(&w, "max-unread = 1\nrequest-timeout = 60s\n");
	WAIT_FOR(said(&w, "\"answer_evicted\"") == 1);
	fastcgi_close(&slow);
	end(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reload");
	TCase *c = add_case(s, "reload");

	tcase_add_test(c, a_reload_changes_what_it_may_and_says_so);
	tcase_add_loop_test(c, a_bad_value_keeps_what_was, 0, (int)(sizeof refused / sizeof refused[0]));
	tcase_add_test(c, a_missing_file_keeps_what_was);
	tcase_add_test(c, a_password_is_not_logged);
	tcase_add_test(c, a_lower_bound_for_slow_readers_holds_for_those_there_are);
	return run_suite(s);
}
