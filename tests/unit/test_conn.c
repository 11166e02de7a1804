/* wrap: recv sendmsg send FCGX_Accept_r fcgi_has_memory */
/*
 * From requests in any pieces to their answers; the client while its request is served; other records than those of a request.
 */
#include "conn_fixture.h"

/* --- requests --- */

START_TEST(request_in_one_piece)
{
	peer_send_request(WIRE_KEEP, "/agents");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_str_eq(above.path, "/agents");
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
	ck_assert_uint_eq(send_calls, 1); /* an answer that fits goes out whole or not at all */
	peer_has_answer();
	is_open();
}
END_TEST

START_TEST(request_byte_by_byte)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < w.len; i++) {
			ck_assert_uint_eq(above.requests, (unsigned)round);
			peer_write(w.bytes + i, 1);
			loop_turn(loop);
		}
		ck_assert_uint_eq(above.requests, (unsigned)round + 1);
		ck_assert_str_eq(above.path, "/agents");
		peer_has_answer();
		is_open();
	}
	wire_free(&w);
	serves_one();
}
END_TEST

START_TEST(request_cut_anywhere)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	for (size_t cut = 1; cut < w.len; cut++) {
		peer_write(w.bytes, cut);
		loop_turn(loop);
		ck_assert_uint_eq(above.requests, cut - 1);
		peer_has_nothing();
		peer_write(w.bytes + cut, w.len - cut);
		loop_turn(loop);
		ck_assert_uint_eq(above.requests, cut);
		ck_assert_str_eq(above.path, "/agents");
		peer_has_answer();
		is_open();
	}
	wire_free(&w);
}
END_TEST

START_TEST(kept_connection_is_used_again)
{
	char path[32];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(path, sizeof(path), "/agents/%d", i);
		peer_send_request(WIRE_KEEP, path);
		loop_turn(loop);
		ck_assert_str_eq(above.path, path);
		peer_has_answer();
		is_open();
	}
	ck_assert_uint_eq(above.requests, 100);
	ck_assert_uint_eq(above.sent[CONN_SENT], 100);
}
END_TEST

START_TEST(connection_that_is_not_kept_closes_behind_the_answer)
{
	above.answers = _i == 0;
	peer_send_request(WIRE_CLOSE, "/agents");
	loop_turn(loop);
	if (_i == 1)
		answer();
	peer_has_answer();
	is_closed();
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
}
END_TEST

START_TEST(content_of_stdin_is_dropped)
{
	const char *const pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", "/b", "REQUEST_ID", "0123456789abcdef", NULL};
	struct wire w = {NULL, 0, 0};
	static const char content[20000];

	wire_begin(&w, 1, 1, WIRE_KEEP);
	wire_params(&w, 1, pairs);
	wire_record(&w, WIRE_STDIN, 1, content, sizeof(content));
	wire_record(&w, WIRE_STDIN, 1, content, 1);
	wire_record(&w, WIRE_STDIN, 1, NULL, 0);
	for (int round = 0; round < 2; round++) {
		peer_write(w.bytes, round == 0 ? w.len : 100);
		loop_turn(loop);
		if (round == 1) {
			peer_write(w.bytes + 100, w.len - 100);
			loop_turn(loop);
		}
		peer_has_answer();
		serves_one();
	}
	wire_free(&w);
}
END_TEST

START_TEST(request_of_the_most_bytes_is_served_and_one_more_refused)
{
	const char *pairs[] = {"REQUEST_METHOD", "GET", "DOCUMENT_URI", "/x", "REQUEST_ID", "0123456789abcdef", "X", NULL, NULL};
	struct wire w = {NULL, 0, 0};
	size_t len = SCAN_MAX_BYTES - 8 * 4 - 8 - 80 - 10 + (size_t)_i;
	char *filling = calloc(1, len + 1);

	ck_assert_ptr_nonnull(filling);
	memset(filling, 'x', len);
	pairs[7] = filling;
	for (;; filling[--len] = '\0') {
		w.len = 0;
		wire_begin(&w, 1, 1, WIRE_KEEP);
		wire_params(&w, 1, pairs);
		wire_record(&w, WIRE_STDIN, 1, NULL, 0);
		if (w.len <= SCAN_MAX_BYTES + (size_t)_i)
			break;
	}
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	if (w.len <= SCAN_MAX_BYTES) {
		ck_assert_uint_eq(above.requests, 1);
		peer_has_answer();
		serves_one();
	} else {
		ck_assert_uint_eq(above.requests, 0);
		ck_assert_uint_eq(cs->count, 0);
	}
	free(filling);
	wire_free(&w);
}
END_TEST

/* --- the client while its request is served --- */

START_TEST(client_that_leaves_is_reported_once)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	if (_i == 0)
		(void)shutdown(peer.fd, SHUT_WR);
	else
		(void)close(peer.fd);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 1);
	ck_assert_uint_eq(cs->count, 0);
	if (_i == 0) {
		peer_has_nothing();
		is_closed();
	} else {
		peer.fd = -1;
	}
	ck_assert_uint_eq(above.sent[CONN_SENT] + above.sent[CONN_LEFT], 0);
}
END_TEST

START_TEST(bytes_before_the_answer_break_the_protocol)
{
	struct wire w = {NULL, 0, 0};

	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	if (_i == 0)
		wire_record(&w, WIRE_ABORT, 1, NULL, 0);
	else
		wire_request(&w, 1, WIRE_KEEP, "/next");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_uint_eq(above.gone, 1);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(two_requests_at_once_break_the_protocol)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/a");
	wire_request(&w, 1, WIRE_KEEP, "/b");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 0);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

/* --- other records --- */

static void get_values(struct wire *w)
{
	struct wire pairs = {NULL, 0, 0};

	wire_pair(&pairs, "FCGI_MPXS_CONNS", "");
	wire_record(w, WIRE_GET_VALUES, 0, pairs.bytes, pairs.len);
	wire_free(&pairs);
}

START_TEST(management_records_are_answered_before_and_between_requests)
{
	struct wire w = {NULL, 0, 0};

	get_values(&w);
	for (int i = 0; i < 3; i++) {
		peer_write(w.bytes, w.len);
		loop_turn(loop);
		peer_read(SIZE_MAX);
		ck_assert_uint_ge(peer.in.len, 8 + 2 + 15 + 1);
		ck_assert_uint_eq(peer.in.bytes[1], 10);
		peer.in.len = 0;
		is_open();
		serves_one();
	}
	get_values(&w); /* two of them and a request in one piece */
	wire_request(&w, 1, WIRE_KEEP, "/index");
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 4);
	is_open();
	wire_free(&w);
}
END_TEST

START_TEST(peer_that_takes_no_small_answer_is_closed)
{
	struct wire w = {NULL, 0, 0};

	get_values(&w);
	small_sends_fail = true;
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has_nothing();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(abort_of_a_request_that_is_not_whole)
{
	unsigned flags = _i % 2 == 0 ? WIRE_KEEP : WIRE_CLOSE;
	struct wire expected = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};

	wire_begin(&w, 1, 1, flags);
	wire_record(&w, WIRE_ABORT, 1, NULL, 0);
	wire_end(&expected, 1, 0);
	if (_i < 2) {
		peer_write(w.bytes, w.len);
	} else {
		peer_write(w.bytes, 16);
		loop_turn(loop);
		peer_write(w.bytes + 16, w.len - 16);
	}
	loop_turn(loop);
	peer_has(&expected);
	ck_assert_uint_eq(above.requests + above.gone, 0);
	if (flags == WIRE_KEEP)
		serves_one();
	else
		is_closed();
	wire_free(&expected);
	wire_free(&w);
}
END_TEST

START_TEST(role_that_is_no_responder_is_refused)
{
	struct wire expected = {NULL, 0, 0};
	struct wire w = {NULL, 0, 0};

	wire_begin(&w, 1, 2, WIRE_KEEP);
	wire_end(&expected, 1, 3); /* FCGI_UNKNOWN_ROLE */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has(&expected);
	is_closed();
	wire_free(&expected);
	wire_free(&w);
}
END_TEST

START_TEST(garbage_closes)
{
	peer_write("GET / HTTP/1.1\r\n\r\n", 18);
	loop_turn(loop);
	peer_has_nothing();
	is_closed();
	ck_assert_uint_eq(above.requests + above.gone, 0);
}
END_TEST

/* --- time --- */

START_TEST(request_must_be_whole_in_time)
{
	cs->partial_timeout_s = 0.05;
	peer_write("\1\1\0\1\0", 5);
	ck_assert(loop_until(loop, is_empty, NULL));
	is_closed();
	ck_assert_uint_eq(above.requests + above.gone, 0);
}
END_TEST

START_TEST(time_for_a_whole_request_ends_with_it)
{
	struct wire w = {NULL, 0, 0};

	above.answers = false;
	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 30);
	loop_turn(loop);
	peer_write(w.bytes + 30, w.len - 30);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert(!ev_is_active(&above.conn->timer));
	answer();
	ck_assert(!ev_is_active(&above.conn->timer));
	peer_has_answer();
	wire_free(&w);
}
END_TEST

START_TEST(idle_connection_has_no_timer)
{
	struct conn *c;

	loop_turn(loop);
	c = LIST_OBJECT(cs->all.next, struct conn, node);
	ck_assert(!ev_is_active(&c->timer));
	serves_one();
	ck_assert(!ev_is_active(&c->timer));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, request_in_one_piece);
	tcase_add_test(tc, request_byte_by_byte);
	tcase_add_test(tc, request_cut_anywhere);
	tcase_add_test(tc, kept_connection_is_used_again);
	tcase_add_loop_test(tc, connection_that_is_not_kept_closes_behind_the_answer, 0, 2);
	tcase_add_test(tc, content_of_stdin_is_dropped);
	tcase_add_loop_test(tc, request_of_the_most_bytes_is_served_and_one_more_refused, 0, 2);
	tcase_add_loop_test(tc, client_that_leaves_is_reported_once, 0, 2);
	tcase_add_loop_test(tc, bytes_before_the_answer_break_the_protocol, 0, 2);
	tcase_add_test(tc, two_requests_at_once_break_the_protocol);
	tcase_add_test(tc, management_records_are_answered_before_and_between_requests);
	tcase_add_test(tc, peer_that_takes_no_small_answer_is_closed);
	tcase_add_loop_test(tc, abort_of_a_request_that_is_not_whole, 0, 4);
	tcase_add_test(tc, role_that_is_no_responder_is_refused);
	tcase_add_test(tc, garbage_closes);
	tcase_add_test(tc, request_must_be_whole_in_time);
	tcase_add_test(tc, time_for_a_whole_request_ends_with_it);
	tcase_add_test(tc, idle_connection_has_no_timer);
}

int main(void)
{
	return suite_run("conn", setup, teardown, add_tests);
}
