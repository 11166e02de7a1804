/*
 * Large answers on a worker's own socket: their frames, and clients that read them slowly or not at all.
 */
#include "pg.h"
#include "worker.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define AGENTS 20000

START_TEST(a_large_answer_is_framed_well)
{
	struct pg db;
	struct worker w;
	struct fastcgi f;
	struct fastcgi_header h;
	BYTES request = {0};
	BYTES out = {0};
	int stdouts = 0;
	bool ended = false;

	pg_create_agents(&db, AGENTS);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 513, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(send_all(f.fd, request.p, request.len));
	for (;;) {
		BYTES content = {0};

		ck_assert(fastcgi_receive(&f, &h, &content, PATIENCE_MS));
		ck_assert_int_eq(h.id, 513);
		if (h.type == FASTCGI_END) {
			ck_assert_uint_eq(content.len, 8);
			ck_assert_int_eq(memcmp(content.p, "\0\0\0\0\0", 5), 0);
			break;
		}
		ck_assert_int_eq(h.type, FASTCGI_STDOUT);
		ck_assert_uint_le(h.len, 65535);
		ck_assert(!ended);
		ended = h.len == 0;
		stdouts += h.len > 0;
		bytes_append(&out, content.p, content.len);
	}
	ck_assert(ended);
	/* As few records as their size allows. */
	ck_assert_int_le(stdouts, (int)(out.len / 65000 + 3));
	ck_assert_uint_eq(count_of(out.p, "\"number\": "), AGENTS);
	fastcgi_close(&f);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(slow_readers_hold_nobody)
{
	enum { SLOW = 10 };
	struct pg db;
	struct worker w;
	struct fastcgi slow[SLOW];
	BYTES request = {0};

	pg_create_agents(&db, AGENTS);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=2s", NULL});
	worker_wait_status(&w, "/agents", 200);
	int before = worker_descriptors(&w);

	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	for (int i = 0; i < SLOW; i++) {
		ck_assert(fastcgi_open(&slow[i], w.socket));
		ck_assert(send_all(slow[i].fd, request.p, request.len));
	}
	for (int i = 0; i < 20; i++) {
		ANSWER index = worker_get(&w, "/index");

		assert_status(index, 200);
		worker_wait_status(&w, "/agent_logins", 200);
	}
	/* They are closed at their deadline, though their ends here stay open. */
	WAIT_FOR(worker_descriptors(&w) <= before);
	for (int i = 0; i < SLOW; i++) {
		BYTES got = {0};

		ck_assert(closed_by_peer(slow[i].fd, &got, PATIENCE_MS));
		ck_assert_uint_lt(count_of(got.p, "\"number\": "), AGENTS);
		fastcgi_close(&slow[i]);
	}
	worker_wait_status(&w, "/agents", 200);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* One that reads slowly but steadily gets all of it. */
START_TEST(a_steady_reader_gets_all)
{
	struct pg db;
	struct worker w;
	struct fastcgi f;
	BYTES request = {0};

	pg_create_agents(&db, AGENTS);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=10s", NULL});
	worker_wait_status(&w, "/agents", 200);
	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(send_all(f.fd, request.p, request.len));
	for (int i = 0; i < 5; i++) {
		ck_assert_int_gt(receive(f.fd, &f.in, PATIENCE_MS), 0);
		ANSWER index = worker_get(&w, "/index");

		assert_status(index, 200);
	}
	ANSWER a = fastcgi_answer(&f, 1, false);

	assert_status(a, 200);
	ck_assert_uint_eq(answer_rows(&a), AGENTS);
	fastcgi_close(&f);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* Takes a little of the answer; false at its end. */
static bool drip(struct fastcgi *f)
{
	char some[512];
	ssize_t n = recv(f->fd, some, sizeof(some), 0);

	if (n > 0)
		bytes_append(&f->in, some, (size_t)n);
	return n > 0;
}

/* Who reads an answer gets all of it from a worker that is replaced, and what there is by the deadline from one that is stopped, or is told to after all. */
START_TEST(an_answer_that_is_read_outlives_a_worker_with_a_successor)
{
	struct pg db;
	struct worker w;
	struct fastcgi f;
	BYTES request = {0};
	int64_t began_ms;

	pg_create_agents(&db, AGENTS);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=3s", NULL});
	worker_wait_status(&w, "/agents", 200);
	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(send_all(f.fd, request.p, request.len));
	began_ms = now_ms();
	ck_assert(drip(&f));
	if (_i != 1)
		ck_assert_int_eq(kill(w.pid, SIGUSR1), 0);
	if (_i != 0)
		ck_assert_int_eq(kill(w.pid, SIGTERM), 0);
	if (_i == 0) {
		WAIT_FOR(!drip(&f) || now_ms() > began_ms + 5000); /* behind the first deadline */
		ANSWER a = fastcgi_answer(&f, 1, false);

		assert_status(a, 200);
		ck_assert_uint_eq(answer_rows(&a), AGENTS);
	} else {
		WAIT_FOR(!drip(&f));
		ck_assert_uint_lt(count_of(f.in.p, "\"number\": "), AGENTS);
	}
	ck_assert_int_eq(worker_wait(&w), 0);
	fastcgi_close(&f);
	worker_remove_files(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("large");
	TCase *c = add_case(s, "large");

	tcase_add_test(c, a_large_answer_is_framed_well);
	tcase_add_test(c, slow_readers_hold_nobody);
	tcase_add_test(c, a_steady_reader_gets_all);
	tcase_add_loop_test(c, an_answer_that_is_read_outlives_a_worker_with_a_successor, 0, 3);
	return run_suite(s);
}
