/*
 * The schedule and what is measured, with servers that are slow, stopped or gone.
 */
#include "pace.h"
#include "server.h"
#include "suite.h"
#include "wait.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Answers whose latency was at least this long. */
static int64_t answers_from(const struct pace *p, int64_t us)
{
	const json_t *buckets = json_object_get(json_object_get(p->json, "latency"), "buckets"), *bucket;
	int64_t count = 0;
	size_t i;

	json_array_foreach(buckets, i, bucket)
	{
		if (json_integer_value(json_array_get(bucket, 0)) >= us)
			count += json_integer_value(json_array_get(bucket, 1));
	}
	return count;
}

/* The server stands still for a second by this test's clock. With 4 connections, and 50 requests due meanwhile, only a generator that counts
 * from the intended start sees how many were hit. */
START_TEST(a_stopped_server_shows_in_the_tail)
{
	enum { RATE = 50 };
	struct server s;
	struct pace p;
	int64_t stopped_us, stop_us;

	server_start(&s, (struct plan){0});
	pace_start(&p, s.port, "-c 4 -R 50 -d 3s --timeout 60s");
	WAIT_FOR(s.counts->good >= 25);
	ck_assert_int_eq(kill(s.pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(s.pid, NULL, WUNTRACED), s.pid);
	stopped_us = now_us();
	pause_us(1000000);
	stop_us = now_us() - stopped_us;
	ck_assert_int_eq(kill(s.pid, SIGCONT), 0);
	pace_end(&p);
	ck_assert_msg(p.status == 0, "%s%s", p.out, p.err);
	ck_assert_int_eq(pace_count(&p, "answered"), 3 * RATE);
	/* The first that was due in the stop had to wait for all the rest of it. */
	ck_assert_int_ge(pace_count(&p, "latency.max_us"), stop_us - 1000000 / RATE);
	/* Half of those due in the stop were at least half of it late. */
	ck_assert_int_ge(answers_from(&p, stop_us / 2), stop_us / 2 * RATE / 1000000 - 1);
	ck_assert_int_gt(pace_count(&p, "waited_for_connection"), 0);
	/* From the send, only the few that had a connection look slow. */
	ck_assert_int_lt(pace_count(&p, "service.p75_us"), pace_count(&p, "latency.max_us"));
	pace_free(&p);
	server_stop(&s);
}
END_TEST

static volatile bool lateness_over;

/* How late this machine wakes a sleeper of 1 ms now; the largest of 99 %. */
static void *measure_lateness(void *p99_us)
{
	static int64_t late[100000];
	size_t n = 0;

	while (!lateness_over && n < 100000) {
		int64_t before = now_us();

		pause_us(1000);
		late[n++] = now_us() - before - 1000;
	}
	qsort(late, n, sizeof(late[0]), compare);
	*(int64_t *)p99_us = n > 0 ? late[n * 99 / 100] : 0;
	return NULL;
}

START_TEST(a_fixed_delay_is_the_median)
{
	struct server s;
	struct pace p;
	pthread_t sleeper;
	int64_t late_us = 0, delay_us, p50_us;

	server_start(&s, (struct plan){.delay_ms = 200});
	ck_assert_int_eq(pthread_create(&sleeper, NULL, measure_lateness, &late_us), 0);
	pace_run(&p, s.port, 0, "-c 20 -R 40 -d 2s --timeout 60s");
	lateness_over = true;
	ck_assert_int_eq(pthread_join(sleeper, NULL), 0);
	ck_assert_int_eq(pace_count(&p, "answered"), 80);
	ck_assert_uint_eq(s.counts->delays, 80);
	qsort(s.counts->delay_us, s.counts->delays, sizeof(int64_t), compare);
	delay_us = s.counts->delay_us[(s.counts->delays - 1) / 2];
	p50_us = pace_count(&p, "latency.p50_us");
	/* Each answer's time at the server lies within its latency. */
	ck_assert_int_ge(p50_us, delay_us);
	ck_assert_int_ge(pace_count(&p, "service.p50_us"), delay_us);
	ck_assert_msg(p50_us <= delay_us + delay_us / 20 + 2 * late_us + pace_count(&p, "send_lag.p99_us"),
		      "p50 %ld us, the server's median %ld us, lateness of this machine %ld us", (long)p50_us, (long)delay_us,
		      (long)late_us);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* 10 req/s for N seconds are 10 * N samples: every request that the server met, but those of a warm-up that was asked for. */
START_TEST(ten_per_second_gives_each_sample_from_the_first)
{
	static const struct {
		const char *times;
		int64_t samples;
		int64_t warm;
	} runs[] = {{"-d 1s", 10, 0}, {"-d 3s", 30, 0}, {"-d 2s --warmup 1s", 20, 10}};

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		struct server s;
		struct pace p;
		char words[100];

		server_start(&s, (struct plan){0});
		(void)snprintf(words, sizeof(words), "-c 10 -R 10 --timeout 60s %s", runs[i].times);
		pace_run(&p, s.port, 0, words);
		ck_assert_int_eq(pace_count(&p, "scheduled"), runs[i].samples);
		ck_assert_int_eq(pace_count(&p, "answered"), runs[i].samples);
		ck_assert_int_eq(pace_count(&p, "latency.count"), runs[i].samples);
		ck_assert_int_eq(pace_count(&p, "service.count"), runs[i].samples);
		ck_assert_int_eq(pace_count(&p, "send_lag.count"), runs[i].samples - pace_count(&p, "waited_for_connection"));
		ck_assert_int_eq(answers_from(&p, 0), runs[i].samples);
		ck_assert_int_eq(pace_count(&p, "warmup.sent"), runs[i].warm);
		ck_assert_uint_eq(s.counts->requests, (uint64_t)(runs[i].samples + runs[i].warm));
		/* One after the other, but over all connections, which stay open. */
		ck_assert_uint_eq(s.counts->connections, 10);
		ck_assert_uint_eq(s.counts->most_open, 10);
		ck_assert_int_eq(pace_count(&p, "reconnects"), 0);
		pace_free(&p);
		server_stop(&s);
	}
}
END_TEST

START_TEST(poisson_sends_what_the_schedule_holds)
{
	struct server s;
	struct pace p, again;

	server_start(&s, (struct plan){0});
	pace_run(&p, s.port, 0, "-c 10 -R 300 -d 1s --timeout 60s --poisson --seed 5");
	pace_run(&again, s.port, 0, "-c 10 -R 300 -d 1s --timeout 60s --poisson --seed 5");
	ck_assert_int_eq(pace_count(&p, "sent"), pace_count(&again, "sent"));
	ck_assert_int_ne(pace_count(&p, "sent"), 300);
	ck_assert_uint_eq(s.counts->requests, 2 * (uint64_t)pace_count(&p, "sent"));
	pace_free(&p);
	pace_free(&again);
	server_stop(&s);
}
END_TEST

/* 2 connections serve 2 / 0.5 s; 40 per second are due. */
START_TEST(too_few_connections)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.delay_ms = 500});
	pace_run(&p, s.port, 1, "-c 2 -R 40 -d 2s --timeout 1s");
	ck_assert_int_eq(pace_count(&p, "scheduled"), 80);
	ck_assert_uint_eq(s.counts->most_open, 2);
	/* The server takes half a second for each, so 2 connections cannot do more than this in 3 s. */
	ck_assert_int_le(pace_count(&p, "sent"), 2 * 7);
	ck_assert_int_ge(pace_count(&p, "unsent"), 80 - 14);
	WAIT_FOR(s.counts->requests == (uint64_t)pace_count(&p, "sent"));
	ck_assert_int_gt(pace_count(&p, "waited_for_connection"), 0);
	ck_assert_ptr_nonnull(strstr(p.out, "Never sent: "));
	/* The first that was never sent was due in the first half second, and the run went on for longer than two. */
	ck_assert_int_gt(pace_count(&p, "latency_max_with_failures_us"), 1500000);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* One connection, so that the server meets the requests in their order. */
START_TEST(the_warm_up_is_in_no_figure)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.fault = FAULT_500, .every = 10});
	pace_run(&p, s.port, 1, "-c 1 -R 100 -d 1s --warmup 500ms --timeout 60s");
	ck_assert_int_eq(pace_count(&p, "scheduled"), 100);
	ck_assert_int_eq(pace_count(&p, "errors.non_2xx"), 10);
	ck_assert_int_eq(pace_count(&p, "warmup.sent"), 50);
	ck_assert_int_eq(pace_count(&p, "warmup.errors.non_2xx"), 5);
	ck_assert_int_eq(pace_count(&p, "warmup.answered"), 45);
	ck_assert_uint_eq(s.counts->requests, 150);
	ck_assert_ptr_nonnull(strstr(p.out, "Warm-up: Non-2xx or 3xx responses: 5\n"));
	pace_free(&p);
	server_stop(&s);
}
END_TEST

START_TEST(an_interrupted_run_shows_what_it_has)
{
	static const int numbers[] = {SIGINT, SIGTERM};

	for (int i = 0; i < 2; i++) {
		struct server s;
		struct pace p;

		server_start(&s, (struct plan){0});
		pace_start(&p, s.port, "-c 4 -R 100 -d 1h");
		WAIT_FOR(s.counts->good >= 20);
		ck_assert_int_eq(kill(p.pid, numbers[i]), 0);
		pace_end(&p);
		ck_assert_int_eq(p.status, 1);
		ck_assert(json_is_true(json_object_get(p.json, "interrupted")));
		ck_assert_int_ge(pace_count(&p, "answered"), 20);
		WAIT_FOR(s.counts->requests == (uint64_t)pace_count(&p, "sent"));
		ck_assert_ptr_nonnull(strstr(p.out, "INTERRUPTED after "));
		pace_free(&p);
		server_stop(&s);
	}
}
END_TEST

START_TEST(a_run_interrupted_in_its_warm_up_has_no_figures)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){0});
	pace_start(&p, s.port, "-c 4 -R 100 -d 1s --warmup 1h");
	WAIT_FOR(s.counts->good >= 20);
	ck_assert_int_eq(kill(p.pid, SIGINT), 0);
	pace_end(&p);
	ck_assert_int_eq(p.status, 1);
	ck_assert_int_eq(pace_count(&p, "scheduled"), 0);
	ck_assert_int_eq(pace_count(&p, "latency.count"), 0);
	ck_assert_double_eq(json_real_value(json_object_get(p.json, "rate_achieved")), 0);
	WAIT_FOR(s.counts->requests == (uint64_t)pace_count(&p, "warmup.sent"));
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* Requests that are never answered are waited for; a second signal ends that. */
START_TEST(a_second_signal_ends_the_waiting)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.fault = FAULT_SILENT, .every = 1});
	pace_start(&p, s.port, "-c 4 -R 100 -d 1h --timeout 1h");
	WAIT_FOR(s.counts->requests == 4);
	ck_assert_int_eq(kill(p.pid, SIGINT), 0);
	ck_assert_int_eq(kill(p.pid, SIGTERM), 0);
	pace_end(&p);
	ck_assert_int_eq(pace_count(&p, "errors.timeout"), 4);
	ck_assert_int_eq(pace_count(&p, "sent"), 4);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* The port is free again, and nobody listens; what cannot connect says so. */
START_TEST(what_cannot_be_run)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){0});
	server_stop(&s);
	pace_run(&p, s.port, 2, "-R 10 -d 1s");
	ck_assert_ptr_nonnull(strstr(p.err, "pace: no connection to 127.0.0.1, port "));
	ck_assert_ptr_nonnull(strstr(p.err, "Connection refused\n"));
	ck_assert_str_eq(p.out, "");
	pace_free(&p);
	pace_run(&p, s.port, 2, "-R 10 --json /nonexistent/file");
	ck_assert_ptr_nonnull(strstr(p.err, "pace: --json /nonexistent/file: No such file or directory\n"));
	pace_free(&p);
}
END_TEST

START_TEST(a_hard_limit_that_is_too_low)
{
	struct pace p;
	struct rlimit few = {20, 20};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	pace_run(&p, 1, 2, "-R 10 -c 10");
	ck_assert_ptr_nonnull(strstr(p.err, "10 connections need 26 file descriptors, and the hard limit here is 20: raise it"));
	pace_free(&p);
}
END_TEST

START_TEST(the_soft_limit_is_raised)
{
	struct server s;
	struct pace p;
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	server_start(&s, (struct plan){0});
	limit.rlim_cur = 20;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	pace_run(&p, s.port, 0, "-c 100 -R 100 -d 500ms --timeout 60s");
	ck_assert_uint_eq(s.counts->most_open, 100);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* The server goes in the middle of the run: connect errors, pauses that grow, and no spinning. It comes back, and so do the answers. */
START_TEST(a_server_that_goes_and_comes)
{
	struct server s;
	struct pace p;
	uint64_t before;

	server_start(&s, (struct plan){0});
	pace_start(&p, s.port, "-c 4 -R 100 -d 3s --timeout 60s");
	WAIT_FOR(s.counts->good >= 50);
	server_kill(&s);
	before = s.counts->good;
	pause_us(500000);
	server_again(&s, (struct plan){0});
	WAIT_FOR(s.counts->good >= before + 50);
	pace_end(&p);
	ck_assert_int_eq(p.status, 1);
	ck_assert_int_gt(pace_count(&p, "errors.connect"), 0);
	/* Each of the 4 pauses 1, 2, 4 … 1,024 ms: about 10 in half a second; a busy machine makes it fewer. */
	ck_assert_int_le(pace_count(&p, "errors.connect"), 4 * 14);
	ck_assert_int_eq(pace_count(&p, "scheduled"), 300);
	/* Those due meanwhile waited, and were answered; only what was under way is lost. */
	ck_assert_int_le(pace_count(&p, "errors.read") + pace_count(&p, "errors.write"), 4);
	ck_assert_int_eq(pace_count(&p, "errors.timeout"), 0);
	ck_assert_int_eq(pace_count(&p, "unsent"), 0);
	ck_assert_int_ge(pace_count(&p, "latency.max_us"), 400000);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* Some text goes to stdout in place of a file, a spectrum follows the distribution, and the terminal gets a line each second. */
START_TEST(text_and_terminal)
{
	struct server s;
	struct pace p;
	char port[64], seen[4096];
	size_t len = 0;
	int terminal;
	pid_t pid;

	server_start(&s, (struct plan){0});
	pace_run(&p, s.port, 0, "-c 2 -R 50 -d 1s --timeout 60s --latency --progress");
	ck_assert_ptr_nonnull(strstr(p.out, "Running 1.00s test @ http://127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(p.out, "  1 threads and 2 connections\n"));
	ck_assert_ptr_nonnull(strstr(p.out, "Latency Distribution (HdrHistogram - Recorded Latency)\n 50.000% "));
	ck_assert_ptr_nonnull(
		strstr(p.out, "  Detailed Percentile spectrum:\n       Value   Percentile   TotalCount 1/(1-Percentile)\n\n"));
	ck_assert_ptr_nonnull(strstr(p.out, " 1.000000000000         50            inf\n#[Mean "));
	ck_assert_ptr_nonnull(strstr(p.out, "\n  50 requests in 1.00s, "));
	ck_assert_str_eq(p.err, ""); /* no terminal */
	pace_free(&p);

	(void)snprintf(port, sizeof(port), "http://127.0.0.1:%d/", s.port);
	pid = forkpty(&terminal, NULL, NULL, NULL);
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		execl(getenv("PACE"), "pace", "-R", "20", "-d", "2s", "--timeout", "20s", "--progress", "--json", "-", port,
		      NULL);
		_exit(99);
	}
	for (ssize_t n; len < sizeof(seen) - 1 && (n = read(terminal, seen + len, sizeof(seen) - 1 - len)) > 0;)
		len += (size_t)n;
	seen[len] = '\0';
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(terminal);
	ck_assert_ptr_nonnull(strstr(seen, " under way"));
	ck_assert_ptr_nonnull(strstr(seen, "\"schema\":1,"));
	ck_assert_ptr_null(strstr(seen, "Requests/sec"));
	server_stop(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("run");
	TCase *limits;

	(void)SUITE_ADD(s, "run", 180, a_stopped_server_shows_in_the_tail, a_fixed_delay_is_the_median,
			ten_per_second_gives_each_sample_from_the_first, poisson_sends_what_the_schedule_holds,
			too_few_connections, the_warm_up_is_in_no_figure, an_interrupted_run_shows_what_it_has,
			a_run_interrupted_in_its_warm_up_has_no_figures, a_second_signal_ends_the_waiting, what_cannot_be_run,
			a_server_that_goes_and_comes, text_and_terminal);
	limits = SUITE_ADD(s, "limits", 180, a_hard_limit_that_is_too_low, the_soft_limit_is_raised);
	tcase_set_tags(limits, "no-valgrind"); /* limits of descriptors, of which valgrind takes some for itself */
	return suite_run(s);
}
