/*
 * Servers that are wrong in one way each: what pace counts is what the server has counted.
 */
#include "pace.h"
#include "server.h"
#include "suite.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char expect_option[100], expect_path[64];

static void expect_body(void)
{
	FILE *f;

	(void)snprintf(expect_path, sizeof(expect_path), "%.40s/pace-body.%d",
		       getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR"), getpid());
	f = fopen(expect_path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(server_body, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	(void)snprintf(expect_option, sizeof(expect_option), "--expect %s", expect_path);
}

/* 8, and those opened again, as far as pace has seen them before it ended. */
static void assert_connections(const struct server *s, const struct pace *p)
{
	uint64_t seen = 8 + (uint64_t)pace_count(p, "reconnects");

	WAIT_FOR(s->counts->connections >= seen);
	ck_assert_uint_le(s->counts->connections, seen + 8);
}

/* 200 requests, of which every 5th meets the fault, must end as 160 answers and 40 times `error`; NULL: all are answers. */
static struct pace faulty(enum fault fault, const char *error, const char *more)
{
	struct server s;
	struct pace p;
	char words[300];

	expect_body();
	server_start(&s, (struct plan){.fault = fault, .every = 5});
	(void)snprintf(words, sizeof(words), "-c 8 -R 400 -d 500ms --timeout 20s %s%s%s", expect_option, *more == '\0' ? "" : " ",
		       more);
	pace_run(&p, s.port, error == NULL ? 0 : 1, words);
	ck_assert_int_eq(pace_count(&p, "scheduled"), 200);
	ck_assert_uint_eq(s.counts->requests, 200);
	ck_assert_uint_eq(s.counts->faulty, 40);
	ck_assert_int_eq(pace_count(&p, "answered"), error == NULL ? 200 : 160);
	if (error != NULL)
		ck_assert_int_eq(pace_count(&p, error), 40);
	ck_assert_int_eq(pace_count(&p, "errors.connect"), 0);
	assert_connections(&s, &p);
	server_stop(&s);
	unlink(expect_path);
	return p;
}

START_TEST(drops)
{
	struct pace p = faulty(FAULT_DROP, "errors.read", "");

	ck_assert_ptr_nonnull(strstr(p.out, "Socket errors: connect 0, read 40, write 0, timeout 0\n"));
	pace_free(&p);
}
END_TEST

START_TEST(resets)
{
	struct pace p = faulty(FAULT_RESET, "errors.read", "");

	pace_free(&p);
}
END_TEST

START_TEST(truncated_answers)
{
	struct pace p = faulty(FAULT_TRUNCATE, "errors.read", "--resend");

	/* Bytes of an answer have come: never sent again. */
	ck_assert_int_eq(pace_count(&p, "resent"), 0);
	pace_free(&p);
}
END_TEST

START_TEST(answers_500)
{
	struct pace p = faulty(FAULT_500, "errors.non_2xx", "");

	ck_assert_int_eq(pace_count(&p, "statuses.200"), 160);
	ck_assert_int_eq(pace_count(&p, "statuses.500"), 40);
	ck_assert_int_eq(pace_count(&p, "reconnects"), 0);
	ck_assert_ptr_nonnull(strstr(p.out, "Non-2xx or 3xx responses: 40\n"));
	ck_assert_ptr_nonnull(strstr(p.out, "Statuses: 200: 160 500: 40\n"));
	pace_free(&p);
}
END_TEST

START_TEST(wrong_bodies)
{
	struct pace p = faulty(FAULT_WRONG_BODY, "errors.mismatch", "");

	ck_assert_int_eq(pace_count(&p, "statuses.200"), 200);
	ck_assert_int_eq(pace_count(&p, "reconnects"), 0);
	pace_free(&p);
}
END_TEST

START_TEST(more_bytes_than_the_length_says)
{
	struct pace p = faulty(FAULT_LONG_BODY, "errors.malformed", "");

	pace_free(&p);
}
END_TEST

START_TEST(garbage)
{
	struct pace p = faulty(FAULT_GARBAGE, "errors.malformed", "");

	pace_free(&p);
}
END_TEST

START_TEST(endless_headers)
{
	struct pace p = faulty(FAULT_ENDLESS_HEADERS, "errors.malformed", "--timeout 60s");

	pace_free(&p);
}
END_TEST

START_TEST(chunked_answers)
{
	struct pace p = faulty(FAULT_CHUNKED, NULL, "");

	ck_assert_int_eq(pace_count(&p, "reconnects"), 0);
	pace_free(&p);
}
END_TEST

START_TEST(answers_that_end_with_the_connection)
{
	struct pace p;
	struct server s;

	server_start(&s, (struct plan){.fault = FAULT_TO_CLOSE, .every = 5});
	pace_run(&p, s.port, 0, "-c 8 -R 200 -d 1s --timeout 20s");
	ck_assert_int_eq(pace_count(&p, "answered"), 200);
	assert_connections(&s, &p);
	ck_assert_int_ge(pace_count(&p, "reconnects"), 32);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

START_TEST(slow_bytes)
{
	struct pace p = faulty(FAULT_SLOW, NULL, "--timeout 60s");

	pace_free(&p);
}
END_TEST

/* Those that are never answered time out; the others have all the time they need. */
START_TEST(no_answers)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.fault = FAULT_SILENT, .every = 1});
	pace_run(&p, s.port, 1, "-c 4 -R 20 -d 1s --timeout 300ms");
	ck_assert_int_eq(pace_count(&p, "scheduled"), 20);
	ck_assert_int_eq(pace_count(&p, "answered"), 0);
	WAIT_FOR(s.counts->requests == (uint64_t)pace_count(&p, "errors.timeout"));
	ck_assert_int_gt(pace_count(&p, "errors.timeout"), 0);
	/* A hang cannot hide. */
	ck_assert_int_eq(pace_count(&p, "latency.max_us"), 0);
	ck_assert_int_ge(pace_count(&p, "latency_max_with_failures_us"), 300000);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* 4 connections, closed by the server on the 4th request of each: a quarter of the requests comes twice. */
START_TEST(reused_connections_that_close)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.fault = FAULT_CLOSE_LATE, .every = 3});
	pace_run(&p, s.port, 0, "-c 4 -R 100 -d 1s --timeout 20s --resend");
	ck_assert_int_eq(pace_count(&p, "answered"), 100);
	ck_assert_uint_ge(s.counts->faulty, 20);
	ck_assert_int_eq(pace_count(&p, "resent"), (int64_t)s.counts->faulty);
	ck_assert_uint_eq(s.counts->requests, 100 + s.counts->faulty);
	pace_free(&p);
	server_stop(&s);

	server_start(&s, (struct plan){.fault = FAULT_CLOSE_LATE, .every = 3});
	pace_run(&p, s.port, 1, "-c 4 -R 100 -d 1s --timeout 20s");
	ck_assert_int_eq(pace_count(&p, "resent"), 0);
	ck_assert_int_eq(pace_count(&p, "errors.read"), (int64_t)s.counts->faulty);
	ck_assert_int_eq(pace_count(&p, "answered"), (int64_t)s.counts->good);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

/* A connection that is closed before it ever was reused is not sent on again. */
START_TEST(first_requests_are_not_sent_again)
{
	struct server s;
	struct pace p;

	server_start(&s, (struct plan){.fault = FAULT_DROP, .every = 1});
	pace_run(&p, s.port, 1, "-c 4 -R 50 -d 1s --timeout 20s --resend");
	ck_assert_int_eq(pace_count(&p, "resent"), 0);
	ck_assert_int_eq(pace_count(&p, "errors.read"), 50);
	ck_assert_uint_eq(s.counts->requests, 50);
	pace_free(&p);
	server_stop(&s);
}
END_TEST

int main(void)
{
	return SUITE("faults", 180, drops, resets, truncated_answers, answers_500, wrong_bodies, more_bytes_than_the_length_says,
		     garbage, endless_headers, chunked_answers, answers_that_end_with_the_connection, slow_bytes, no_answers,
		     reused_connections_that_close, first_requests_are_not_sent_again);
}
