/*
 * The FastCGI protocol on a worker's own socket: requests in any pieces, kept connections, management records, aborts, clients that leave or do not read.
 * (test_bad_records.c has what breaks the protocol.)
 */
#include "pg.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static struct pg db;
static struct worker w;

/* One database and worker for each test; the lock keeps a query waiting for as long as a test wants. */
static void setup(void)
{
	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", "--max-waiting=1000", NULL});
	worker_wait_status(&w, "/agents", 200);
}

static void teardown(void)
{
	worker_end(&w);
	pg_drop(&db);
}

static void lock_agents(void)
{
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
}

static void unlock_agents(void)
{
	pg_exec(db.conn, "COMMIT");
}

static void assert_agents(const struct answer *a)
{
	assert_status(*a, 200);
	assert_golden(*a, "agents.json");
}

/* Sends bytes in pieces of `step`, each read by the worker before the next goes. */
static void send_pieces(int fd, const struct bytes *b, size_t step)
{
	for (size_t at = 0; at < b->len; at += step) {
		size_t n = b->len - at < step ? b->len - at : step;

		ck_assert(send_all(fd, b->p + at, n));
		if (at + n < b->len)
			WAIT_FOR(all_read_by_peer(fd));
	}
}

START_TEST(a_request_in_one_piece)
{
	ANSWER a = worker_get(&w, "/agents");

	assert_agents(&a);
}
END_TEST

START_TEST(a_request_byte_by_byte)
{
	struct fastcgi f;
	BYTES request = {0};

	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	for (int i = 0; i < 2; i++) {
		send_pieces(f.fd, &request, 1);
		ANSWER a = fastcgi_answer(&f, 1, false);

		assert_agents(&a);
	}
	fastcgi_close(&f);
}
END_TEST

START_TEST(a_request_split_at_every_place)
{
	struct fastcgi f;
	BYTES request = {0};

	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/index", NULL);
	for (size_t cut = 1; cut < request.len; cut++) {
		ck_assert(send_all(f.fd, request.p, cut));
		WAIT_FOR(all_read_by_peer(f.fd));
		ck_assert(send_all(f.fd, request.p + cut, request.len - cut));
		ANSWER a = fastcgi_answer(&f, 1, false);

		assert_status(a, 200);
		assert_golden(a, "index.json");
	}
	fastcgi_close(&f);
}
END_TEST

START_TEST(a_request_split_at_the_borders_of_its_records)
{
	struct fastcgi f;
	BYTES request = {0};

	ck_assert(fastcgi_open(&f, w.socket));
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	for (size_t at = 0; at < request.len;) {
		const unsigned char *h = (const unsigned char *)request.p + at;
		size_t n = 8 + (size_t)(h[4] << 8 | h[5]) + h[6];

		ck_assert(send_all(f.fd, request.p + at, n));
		at += n;
		if (at < request.len)
			WAIT_FOR(all_read_by_peer(f.fd));
	}
	ANSWER a = fastcgi_answer(&f, 1, false);

	assert_agents(&a);
	fastcgi_close(&f);
}
END_TEST

/* The stream of parameters in records of `step` bytes, with padding, so that pairs and lengths lie across their borders. */
START_TEST(parameters_across_records)
{
	struct fastcgi f;
	BYTES params = {0};
	BYTES request = {0};
	char text[301];
	size_t step = (size_t)_i;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	fastcgi_pair(&params, "HTTP_X_LONG", text);
	fastcgi_pair(&params, "REQUEST_METHOD", "GET");
	fastcgi_pair(&params, "DOCUMENT_URI", "/agents");
	fastcgi_pair(&params, "EMPTY", "");
	fastcgi_begin(&request, 1, FASTCGI_RESPONDER, FASTCGI_CLOSE);
	for (size_t at = 0; at < params.len; at += step) {
		size_t n = params.len - at < step ? params.len - at : step;

		fastcgi_record_padded(&request, FASTCGI_PARAMS, 1, params.p + at, n, (8 - n % 8) % 8);
	}
	fastcgi_record(&request, FASTCGI_PARAMS, 1, "", 0);
	fastcgi_record(&request, FASTCGI_STDIN, 1, "", 0);
	ck_assert(fastcgi_open(&f, w.socket));
	ck_assert(send_all(f.fd, request.p, request.len));
	ANSWER a = fastcgi_answer(&f, 1, false);

	assert_agents(&a);
	fastcgi_close(&f);
}
END_TEST

START_TEST(requests_one_after_another_on_a_kept_connection)
{
	struct fastcgi f;

	ck_assert(fastcgi_open(&f, w.socket));
	for (int i = 0; i < 50; i++) {
		ANSWER index = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/index", NULL);
		ANSWER agents = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/agents", NULL);
		ANSWER head = fastcgi_exchange(&f, FASTCGI_KEEP, "HEAD", "/agents", NULL);
		ANSWER missing = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/nowhere", NULL);

		assert_status(index, 200);
		assert_agents(&agents);
		assert_status(head, 200);
		assert_problem(missing, 404);
		ck_assert_uint_eq(count_of(missing.body.p, FASTCGI_REQUEST_ID), 1);
	}
	ck_assert_uint_eq(f.in.len, 0);
	fastcgi_close(&f);
}
END_TEST

START_TEST(without_keep_conn_the_connection_closes_after_the_answer)
{
	static const char *const paths[] = {"/index", "/agents", "/nowhere"};
	struct fastcgi f;

	ck_assert(fastcgi_open(&f, w.socket));
	ANSWER kept = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/index", NULL);
	ANSWER last = fastcgi_exchange(&f, FASTCGI_CLOSE, "GET", paths[_i], NULL);

	assert_status(kept, 200);
	ck_assert_int_ne(last.status, 0);
	ck_assert(closed_by_peer(f.fd, &f.in, PATIENCE_MS));
	ck_assert_uint_eq(f.in.len, 0);
	fastcgi_close(&f);
}
END_TEST

START_TEST(the_answer_has_the_request_s_id)
{
	static const int ids[] = {1, 2, 255, 256, 513, 65535};
	struct fastcgi f;

	ck_assert(fastcgi_open(&f, w.socket));
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		BYTES request = {0};

		fastcgi_request(&request, ids[i], FASTCGI_KEEP, "GET", "/agents", NULL);
		ck_assert(send_all(f.fd, request.p, request.len));
		ANSWER a = fastcgi_answer(&f, ids[i], false);

		assert_agents(&a);
	}
	fastcgi_close(&f);
}
END_TEST

START_TEST(content_of_stdin_is_dropped)
{
	struct fastcgi f;
	BYTES request = {0};
	char content[3000];

	memset(content, 1, sizeof content);
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	request.len -= 8;
	for (int i = 0; i < 5; i++)
		fastcgi_record_padded(&request, FASTCGI_STDIN, 1, content, sizeof content, 5);
	fastcgi_record(&request, FASTCGI_STDIN, 1, "", 0);
	ck_assert(fastcgi_open(&f, w.socket));
	for (int i = 0; i < 3; i++) {
		ck_assert(send_all(f.fd, request.p, request.len));
		ANSWER a = fastcgi_answer(&f, 1, false);

		assert_agents(&a);
	}
	fastcgi_close(&f);
}
END_TEST

/* The value of a name in the answer to GET_VALUES; all lengths are short. -1 when it is not there. */
static long value_of(const struct bytes *content, const char *name)
{
	for (size_t at = 0; at + 2 <= content->len;) {
		size_t name_len = (unsigned char)content->p[at];
		size_t value_len = (unsigned char)content->p[at + 1];

		ck_assert_uint_le(at + 2 + name_len + value_len, content->len);
		if (name_len == strlen(name) && memcmp(content->p + at + 2, name, name_len) == 0) {
			char value[32];

			ck_assert_uint_lt(value_len, sizeof value);
			(void)snprintf(value, sizeof value, "%.*s", (int)value_len, content->p + at + 2 + name_len);
			return strtol(value, NULL, 10);
		}
		at += 2 + name_len + value_len;
	}
	return -1;
}

START_TEST(get_values_is_answered)
{
	struct fastcgi f;
	struct fastcgi_header h;
	BYTES names = {0};
	BYTES request = {0};
	BYTES content = {0};

	fastcgi_pair(&names, "FCGI_MAX_CONNS", "");
	fastcgi_pair(&names, "FCGI_MAX_REQS", "");
	fastcgi_pair(&names, "FCGI_MPXS_CONNS", "");
	fastcgi_pair(&names, "FCGI_NOTHING", "");
	fastcgi_record(&request, FASTCGI_GET_VALUES, 0, names.p, names.len);
	ck_assert(fastcgi_open(&f, w.socket));
	ck_assert(send_all(f.fd, request.p, request.len));
	ck_assert(fastcgi_receive(&f, &h, &content, PATIENCE_MS));
	ck_assert_int_eq(h.type, FASTCGI_GET_VALUES_RESULT);
	ck_assert_int_eq(h.id, 0);
	ck_assert_int_gt(value_of(&content, "FCGI_MAX_CONNS"), 0);
	ck_assert_int_gt(value_of(&content, "FCGI_MAX_REQS"), 0);
	ck_assert_int_eq(value_of(&content, "FCGI_MPXS_CONNS"), 0);
	ck_assert_int_eq(value_of(&content, "FCGI_NOTHING"), -1);
	ANSWER a = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/agents", NULL);

	assert_agents(&a);
	fastcgi_close(&f);
}
END_TEST

/* Four of one name overflow libfcgi's buffer: ours answers each name once. */
START_TEST(management_records_then_a_request)
{
	struct fastcgi f;
	struct fastcgi_header h;
	BYTES names = {0};
	BYTES request = {0};

	for (int i = 0; i < 40; i++)
		fastcgi_pair(&names, "FCGI_MAX_CONNS", "");
	for (int i = 0; i < 5; i++) {
		fastcgi_record(&request, FASTCGI_GET_VALUES, 0, names.p, names.len);
		fastcgi_record_padded(&request, 99, 0, "what", 4, 4);
	}
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", "/agents", NULL);
	ck_assert(fastcgi_open(&f, w.socket));
	ck_assert(send_all(f.fd, request.p, request.len));
	for (int i = 0; i < 10; i++) {
		BYTES content = {0};

		ck_assert(fastcgi_receive(&f, &h, &content, PATIENCE_MS));
		ck_assert_int_eq(h.id, 0);
		ck_assert_int_eq(h.type, i % 2 == 0 ? FASTCGI_GET_VALUES_RESULT : FASTCGI_UNKNOWN_TYPE);
		if (i % 2 == 0) {
			ck_assert_int_gt(value_of(&content, "FCGI_MAX_CONNS"), 0);
		} else {
			ck_assert_uint_eq(content.len, 8);
			ck_assert_int_eq(content.p[0], 99);
		}
	}
	ANSWER a = fastcgi_answer(&f, 1, false);

	assert_agents(&a);
	fastcgi_close(&f);
}
END_TEST

START_TEST(an_unknown_role_is_refused)
{
	struct fastcgi f;
	struct fastcgi_header h;
	BYTES request = {0};
	BYTES content = {0};

	fastcgi_begin(&request, 3, FASTCGI_AUTHORIZER, FASTCGI_KEEP);
	ck_assert(fastcgi_open(&f, w.socket));
	ck_assert(send_all(f.fd, request.p, request.len));
	ck_assert(fastcgi_receive(&f, &h, &content, PATIENCE_MS));
	ck_assert_int_eq(h.type, FASTCGI_END);
	ck_assert_int_eq(h.id, 3);
	ck_assert_uint_eq(content.len, 8);
	ck_assert_int_eq(content.p[4], FASTCGI_UNKNOWN_ROLE);
	ck_assert(closed_by_peer(f.fd, NULL, PATIENCE_MS));
	fastcgi_close(&f);
}
END_TEST

START_TEST(an_abort_before_the_request_is_whole)
{
	struct fastcgi f;
	struct fastcgi_header h;
	BYTES request = {0};
	BYTES content = {0};

	fastcgi_begin(&request, 1, FASTCGI_RESPONDER, FASTCGI_KEEP);
	fastcgi_record(&request, FASTCGI_ABORT, 1, "", 0);
	ck_assert(fastcgi_open(&f, w.socket));
	ck_assert(send_all(f.fd, request.p, request.len));
	ck_assert(fastcgi_receive(&f, &h, &content, PATIENCE_MS));
	ck_assert_int_eq(h.type, FASTCGI_END);
	ck_assert_int_eq(h.id, 1);
	ck_assert_int_eq(content.p[4], FASTCGI_COMPLETE);
	/* The connection goes on, where the web server asked for that. */
	ANSWER a = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", "/agents", NULL);

	assert_agents(&a);
	fastcgi_close(&f);
}
END_TEST

/* Whether END_REQUEST or a closed connection answers it, the request is over, and it hurts nobody else. */
START_TEST(an_abort_while_the_database_works)
{
	struct fastcgi f;
	struct fastcgi other;
	BYTES abort_record = {0};

	fastcgi_record(&abort_record, FASTCGI_ABORT, 1, "", 0);
	lock_agents();
	worker_send(&w, &other, "/agents");
	worker_send(&w, &f, "/agents");
	ck_assert(send_all(f.fd, abort_record.p, abort_record.len));
	struct fastcgi_header h = {0};
	BYTES content = {0};

	if (fastcgi_receive(&f, &h, &content, PATIENCE_MS)) {
		ck_assert_int_eq(h.type, FASTCGI_END);
		ck_assert_int_eq(h.id, 1);
	} else {
		ck_assert(closed_by_peer(f.fd, NULL, PATIENCE_MS));
	}
	unlock_agents();
	ANSWER a = fastcgi_answer(&other, 1, false);

	assert_agents(&a);
	fastcgi_close(&f);
	fastcgi_close(&other);
}
END_TEST

START_TEST(clients_that_leave_in_the_middle_of_a_query)
{
	struct fastcgi stays;
	int before = worker_descriptors(&w);

	lock_agents();
	worker_send(&w, &stays, "/agents");
	for (int i = 0; i < 200; i++) {
		struct fastcgi f;

		worker_send(&w, &f, i % 2 == 0 ? "/agents" : "/agents_with_orm");
		fastcgi_close(&f);
	}
	ANSWER index = worker_get(&w, "/index");

	assert_status(index, 200);
	/* All but the one that stays are forgotten while the query still waits. */
	WAIT_FOR(worker_descriptors(&w) <= before + 1);
	unlock_agents();
	ANSWER a = fastcgi_answer(&stays, 1, false);

	assert_agents(&a);
	fastcgi_close(&stays);
	WAIT_FOR(worker_descriptors(&w) <= before);
	WAIT_FOR(pg_active(&db) == 0);
	ANSWER last = worker_get(&w, "/agents");

	assert_agents(&last);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fastcgi");
	TCase *c = add_case(s, "fastcgi");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_request_in_one_piece);
	tcase_add_test(c, a_request_byte_by_byte);
	tcase_add_test(c, a_request_split_at_every_place);
	tcase_add_test(c, a_request_split_at_the_borders_of_its_records);
	tcase_add_loop_test(c, parameters_across_records, 1, 6);
	tcase_add_test(c, requests_one_after_another_on_a_kept_connection);
	tcase_add_loop_test(c, without_keep_conn_the_connection_closes_after_the_answer, 0, 3);
	tcase_add_test(c, the_answer_has_the_request_s_id);
	tcase_add_test(c, content_of_stdin_is_dropped);
	tcase_add_test(c, get_values_is_answered);
	tcase_add_test(c, management_records_then_a_request);
	tcase_add_test(c, an_unknown_role_is_refused);
	tcase_add_test(c, an_abort_before_the_request_is_whole);
	tcase_add_test(c, an_abort_while_the_database_works);
	tcase_add_test(c, clients_that_leave_in_the_middle_of_a_query);
	return run_suite(s);
}
