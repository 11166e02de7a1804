/*
 * Bytes on the socket that break the FastCGI protocol: the connection is closed, nothing crashes, and others are served meanwhile.
 */
#include "http.h"
#include "pg.h"
#include "readers.h"
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* No database is needed: what is refused never gets that far. */
static const char nowhere[] = "host=/nonexistent dbname=nothing user=nobody";

static void assert_serves(const struct worker *w)
{
	ANSWER a = worker_get(w, "/index");

	assert_status(a, 200);
	assert_golden(a, "index.json");
}

/* Sends the bytes on a connection of their own; it must be closed without an answer to a request. */
static void assert_refused(const struct worker *w, const struct bytes *b, const char *what)
{
	struct fastcgi f;

	ck_assert(fastcgi_open(&f, w->socket));
	(void)send_all(f.fd, b->p, b->len);
	ck_assert_msg(closed_by_peer(f.fd, &f.in, PATIENCE_MS), "%s: still open", what);
	ck_assert_msg(f.in.len == 0 || memchr(f.in.p, FASTCGI_STDOUT, f.in.len) == NULL, "%s: answered", what);
	fastcgi_close(&f);
	assert_serves(w);
}

static void begin(struct bytes *b)
{
	b->len = 0;
	fastcgi_begin(b, 1, FASTCGI_RESPONDER, FASTCGI_KEEP);
}

START_TEST(broken_records_close_the_connection)
{
	struct worker w;
	BYTES b = {0};

	worker_start(&w, nowhere, NULL);

	bytes_text(&b, "GET /index HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_refused(&w, &b, "HTTP");
	begin(&b);
	b.p[0] = 2;
	assert_refused(&w, &b, "version 2");
	begin(&b);
	b.p[0] = 0;
	assert_refused(&w, &b, "version 0");
	begin(&b);
	fastcgi_begin(&b, 1, FASTCGI_RESPONDER, FASTCGI_KEEP);
	assert_refused(&w, &b, "second BEGIN");
	begin(&b);
	fastcgi_begin(&b, 2, FASTCGI_RESPONDER, FASTCGI_KEEP);
	assert_refused(&w, &b, "BEGIN of another request");
	begin(&b);
	fastcgi_record(&b, FASTCGI_PARAMS, 2, "", 0);
	assert_refused(&w, &b, "another request's id");
	b.len = 0;
	fastcgi_record(&b, FASTCGI_PARAMS, 1, "", 0);
	assert_refused(&w, &b, "PARAMS before BEGIN");
	b.len = 0;
	fastcgi_record(&b, FASTCGI_STDIN, 1, "", 0);
	assert_refused(&w, &b, "STDIN before BEGIN");
	b.len = 0;
	fastcgi_record(&b, FASTCGI_BEGIN, 1, "\0\1", 2);
	assert_refused(&w, &b, "short BEGIN");
	b.len = 0;
	fastcgi_record_padded(&b, FASTCGI_BEGIN, 1, "\0\1\1\0\0\0\0\0", 8, 8);
	assert_refused(&w, &b, "padding behind BEGIN");
	begin(&b);
	fastcgi_record(&b, FASTCGI_STDOUT, 1, "x", 1);
	assert_refused(&w, &b, "STDOUT from a web server");
	begin(&b);
	fastcgi_record(&b, FASTCGI_END, 1, "\0\0\0\0\0\0\0\0", 8);
	assert_refused(&w, &b, "END_REQUEST from a web server");
	begin(&b);
	fastcgi_record(&b, 77, 1, "", 0);
	assert_refused(&w, &b, "unknown type");
	worker_end(&w);
}
END_TEST

START_TEST(lengths_that_claim_too_much_close_the_connection)
{
	static const unsigned char claims[][9] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'}, /* 0x7fffffff each: CVE-2025-23016 */
		{0xff, 0xff, 0xff, 0xff, 0x01, 'x', 'y', 'z', 'z'},    /* the name */
		{0x01, 0xff, 0xff, 0xff, 0xff, 'x', 'y', 'z', 'z'},    /* the value */
		{0x80, 0x00, 0x00, 0x09, 0x01, 'x', 'y', 'z', 'z'},    /* by a little */
		{0x04, 0x04, 'a', 'b', 'c', 'd', 'e', 'f', 'g'},       /* by one */
	};
	struct worker w;

	worker_start(&w, nowhere, NULL);
	for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
		BYTES b = {0};

		begin(&b);
		fastcgi_record(&b, FASTCGI_PARAMS, 1, claims[i], sizeof claims[i]);
		fastcgi_record(&b, FASTCGI_PARAMS, 1, "", 0);
		fastcgi_record(&b, FASTCGI_STDIN, 1, "", 0);
		assert_refused(&w, &b, "claimed lengths");
	}
	worker_end(&w);
}
END_TEST

START_TEST(more_than_64_kib_closes_the_connection)
{
	struct worker w;
	BYTES b = {0};
	static char content[32768];

	worker_start(&w, nowhere, NULL);
	begin(&b);
	for (int i = 0; i < 3; i++)
		fastcgi_record(&b, FASTCGI_STDIN, 1, content, sizeof content);
	fastcgi_record(&b, FASTCGI_STDIN, 1, "", 0);
	assert_refused(&w, &b, "too large, without PARAMS");

	b.len = 0;
	fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/index", NULL);
	b.len -= 8;
	for (int i = 0; i < 3; i++)
		fastcgi_record(&b, FASTCGI_STDIN, 1, content, sizeof content);
	fastcgi_record(&b, FASTCGI_STDIN, 1, "", 0);
	assert_refused(&w, &b, "too large a body");
	worker_end(&w);
}
END_TEST

START_TEST(garbage_behind_a_request_closes_the_connection)
{
	struct worker w;
	struct fastcgi f;
	BYTES b = {0};

	worker_start(&w, nowhere, NULL);
	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/index", NULL);
	bytes_text(&b, "garbage, of more than eight bytes");
	ck_assert(send_all(f.fd, b.p, b.len));
	ck_assert(closed_by_peer(f.fd, &f.in, PATIENCE_MS));
	fastcgi_close(&f);
	assert_serves(&w);
	worker_end(&w);
}
END_TEST

/* While a request waits for the database, its connection has nothing to say; whatever it says is an error, and never a second request. */
START_TEST(data_behind_a_waiting_request_closes_the_connection)
{
	struct pg db;
	struct worker w;
	struct fastcgi f;
	struct fastcgi other;
	BYTES b = {0};

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	worker_send(&w, &other, "/agents");
	worker_send(&w, &f, "/agents");
	fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(send_all(f.fd, b.p, b.len));
	ck_assert(closed_by_peer(f.fd, &f.in, PATIENCE_MS));
	ck_assert_uint_eq(f.in.len, 0);
	assert_serves(&w);
	pg_exec(db.conn, "COMMIT");
	ANSWER a = fastcgi_answer(&other, 1, false);

	assert_status(a, 200);
	assert_golden(a, "agents.json");
	fastcgi_close(&f);
	fastcgi_close(&other);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(half_a_request_is_closed_by_the_deadline)
{
	struct worker w;
	struct fastcgi silent;
	struct fastcgi half;
	BYTES b = {0};

	worker_start(&w, nowhere, (const char *const[]){"--request-timeout=500ms", NULL});
	fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/index", NULL);
	ck_assert(fastcgi_open(&silent, w.socket) && fastcgi_open(&half, w.socket));
	int64_t start_ms = now_ms();

	ck_assert(send_all(half.fd, b.p, b.len / 2));
	ck_assert(closed_by_peer(half.fd, &half.in, PATIENCE_MS));
	ck_assert_uint_eq(half.in.len, 0);
	ck_assert_int_ge(now_ms() - start_ms, 450);
	/* A connection that has not begun a request is kept: nginx keeps idle ones. */
	ANSWER a = fastcgi_exchange(&silent, FASTCGI_KEEP, "GET", "/index", NULL);

	assert_status(a, 200);
	/* The same on a connection that was kept. */
	ck_assert(send_all(silent.fd, b.p, b.len - 1));
	ck_assert(closed_by_peer(silent.fd, &silent.in, PATIENCE_MS));
	fastcgi_close(&silent);
	fastcgi_close(&half);
	assert_serves(&w);
	worker_end(&w);
}
END_TEST

START_TEST(a_thousand_half_requests_and_a_good_one)
{
	enum { HALVES = 1000 };
	static int fds[HALVES];
	struct worker w;
	BYTES b = {0};

	worker_start(&w, nowhere, (const char *const[]){"--request-timeout=60s", NULL});
	int before = worker_descriptors(&w);

	fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/index", NULL);
	for (int i = 0; i < HALVES; i++) {
		fds[i] = unix_connect(w.socket);
		ck_assert_msg(fds[i] >= 0, "connection %d: %s", i, strerror(errno));
		ck_assert(send_all(fds[i], b.p, 1 + (size_t)i % (b.len - 1)));
	}
	assert_serves(&w);
	for (int i = 0; i < HALVES; i++)
		(void)close(fds[i]);
	WAIT_FOR(worker_descriptors(&w) <= before);
	assert_serves(&w);
	worker_end(&w);
}
END_TEST

/* Random bytes, but the same on every run; each connection must end or be ended, and none may hurt the worker. */
START_TEST(noise_does_no_harm)
{
	struct worker w;
	uint32_t state = 2463534242U;

	worker_start(&w, nowhere, (const char *const[]){"--request-timeout=500ms", NULL});
	int before = worker_descriptors(&w);

	for (int round = 0; round < 300; round++) {
		BYTES b = {0};
		struct fastcgi f;

		fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/index", NULL);
		for (int i = 0; i < 1 + round % 8; i++) {
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
			b.p[state % b.len] = (char)(state >> 24);
		}
		ck_assert(fastcgi_open(&f, w.socket));
		(void)send_all(f.fd, b.p, b.len);
		fastcgi_close(&f);
	}
	WAIT_FOR(worker_descriptors(&w) <= before);
	assert_serves(&w);
	worker_end(&w);
}
END_TEST

static struct answer ask_nginx(const void *target, const char *path)
{
	(void)target;
	return http_get(path);
}

/* The same on the socket of the real pool, beside clients of nginx: they notice nothing. */
START_TEST(noise_on_the_pool_s_socket_disturbs_no_client)
{
	struct readers r;

	readers_start(&r, (const char *const[]){"/agents", "/index", NULL}, ask_nginx, NULL, readers_only_200);
	for (int round = 0; round < 200; round++) {
		BYTES b = {0};
		int fd = unix_connect(env_need("FCGI_SOCKET"));

		ck_assert_msg(fd >= 0, "%s", strerror(errno));
		fastcgi_request(&b, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
		if (round % 2 == 0)
			b.p[(size_t)round * 7 % b.len] = (char)round;
		(void)send_all(fd, b.p, round % 3 == 0 ? b.len / 2 : b.len);
		(void)close(fd);
	}
	readers_wait(&r, 50);
	readers_end(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bad_records");
	TCase *c = add_case(s, "bad_records");

	tcase_add_test(c, broken_records_close_the_connection);
	tcase_add_test(c, lengths_that_claim_too_much_close_the_connection);
	tcase_add_test(c, more_than_64_kib_closes_the_connection);
	tcase_add_test(c, garbage_behind_a_request_closes_the_connection);
	tcase_add_test(c, data_behind_a_waiting_request_closes_the_connection);
	tcase_add_test(c, half_a_request_is_closed_by_the_deadline);
	tcase_add_test(c, a_thousand_half_requests_and_a_good_one);
	tcase_add_test(c, noise_does_no_harm);
	tcase_add_test(c, noise_on_the_pool_s_socket_disturbs_no_client);
	return run_suite(s);
}
