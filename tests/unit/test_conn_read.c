/* wrap: recv sendmsg send malloc calloc realloc free FCGX_Accept_r fcgi_has_memory */
/*
 * Reading a request when the socket, memory or libfcgi says no.
 */
#include "alloc.h"
#include "conn_fixture.h"

START_TEST(interrupted_reads_are_repeated)
{
	static const int errors[] = {EINTR, EAGAIN};
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	recv_fails(errors[_i], -1); /* the first look */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	peer_has_answer();
	recv_fails(0, errors[_i]); /* the look goes well, taking it does not */
	peer_write(w.bytes, 20);
	loop_turn(loop);
	recv_fails(errors[_i], errors[_i]); /* the rest */
	peer_write(w.bytes + 20, w.len - 20);
	loop_turn(loop);
	peer_has_answer();
	above.answers = false; /* while the request is served */
	peer_write(w.bytes, w.len);
	loop_turn(loop);
	recv_fails(errors[_i], 0);
	ev_feed_event(loop, &above.conn->readable, EV_READ);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 0);
	answer();
	peer_has_answer();
	is_open();
	wire_free(&w);
}
END_TEST

START_TEST(reset_ends_the_connection)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	if (_i == 0) {
		recv_fails(ECONNRESET, -1);
		peer_write(w.bytes, w.len);
	} else if (_i == 1) {
		recv_fails(0, ECONNRESET);
		peer_write(w.bytes, 20);
	} else {
		above.answers = false;
		peer_write(w.bytes, w.len);
		loop_turn(loop);
		recv_fails(ECONNRESET, -1);
		ev_feed_event(loop, &above.conn->readable, EV_READ);
	}
	loop_turn(loop);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.requests, _i == 2 ? 1 : 0);
	ck_assert_uint_eq(above.gone, _i == 2 ? 1 : 0);
	wire_free(&w);
}
END_TEST

START_TEST(no_memory_to_collect_a_request_ends_only_its_connection)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 20);
	alloc_watch(-1, SCAN_MAX_BYTES);
	loop_turn(loop);
	alloc_unwatch();
	ck_assert_int_eq(alloc_failed, 1);
	is_closed();
	ck_assert_uint_eq(above.requests, 0);
	(void)close(peer.fd);
	peer_open();
	serves_one();
	wire_free(&w);
}
END_TEST

START_TEST(no_memory_for_a_connection_closes_its_socket)
{
	int fds[2];
	bool opened;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	alloc_watch(0, SIZE_MAX);
	opened = conn_open(cs, fds[1]);
	alloc_unwatch();
	ck_assert(!opened);
	ck_assert_int_eq(__real_recv(fds[0], &byte, 1, MSG_DONTWAIT), 0);
	ck_assert_uint_eq(cs->count, 1);
	(void)close(fds[0]);
}
END_TEST

/* For /agents: from the socket, or collected in memory, since it comes in two pieces. */
static void peer_asks(bool in_pieces)
{
	struct wire w = {NULL, 0, 0};
	size_t first;

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	first = in_pieces ? 20 : w.len;
	peer_write(w.bytes, first);
	loop_turn(loop);
	if (in_pieces)
		peer_write(w.bytes + first, w.len - first);
	loop_turn(loop);
	wire_free(&w);
}

START_TEST(request_without_memory_to_parse_it_is_taken_and_answered)
{
	libfcgi_lacks_memory = true;
	peer_asks(_i == 1);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
	peer_has_answer();
	libfcgi_lacks_memory = false;
	serves_one();
}
END_TEST

START_TEST(request_that_libfcgi_refuses_ends_its_connection)
{
	libfcgi_refuses = true;
	peer_asks(_i == 1);
	peer_read(SIZE_MAX);
	ck_assert(peer.eof || peer.reset);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.requests + above.gone, 0);
	libfcgi_refuses = false;
	(void)close(peer.fd);
	peer_open();
	serves_one();
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, interrupted_reads_are_repeated, 0, 2);
	tcase_add_loop_test(tc, reset_ends_the_connection, 0, 3);
	tcase_add_test(tc, no_memory_to_collect_a_request_ends_only_its_connection);
	tcase_add_test(tc, no_memory_for_a_connection_closes_its_socket);
	tcase_add_loop_test(tc, request_without_memory_to_parse_it_is_taken_and_answered, 0, 2);
	tcase_add_loop_test(tc, request_that_libfcgi_refuses_ends_its_connection, 0, 2);
}

int main(void)
{
	return suite_run("conn_read", setup, teardown, add_tests);
}
