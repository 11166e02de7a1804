/* wrap: recv sendmsg send FCGX_Accept_r fcgi_has_memory */
/*
 * The end of connections: drained in good order, or abandoned.
 */
#include "conn_fixture.h"

START_TEST(draining_closes_idle_connections)
{
	serves_one();
	conns_drain(cs);
	is_closed();
}
END_TEST

START_TEST(draining_serves_what_is_in_the_socket_already)
{
	peer_send_request(WIRE_KEEP, "/agents");
	conns_drain(cs);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	peer_has_answer();
	is_closed();
}
END_TEST

START_TEST(draining_refuses_later_requests_visibly)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/agents");
	loop_turn(loop);
	conns_drain(cs);
	is_open();
	answer();
	peer_has_answer();
	is_closed();
	ck_assert_int_eq(__real_send(peer.fd, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

/* The end of the stream that a drained connection shows is our own doing, not the client's. */
START_TEST(draining_waits_for_the_answer_to_what_it_has_read)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/agents");
	conns_drain(cs);
	for (int i = 0; i < 5; i++)
		loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	ck_assert_uint_eq(above.gone, 0);
	is_open();
	answer();
	peer_has_answer();
	is_closed();
}
END_TEST

START_TEST(draining_lets_a_half_request_become_whole)
{
	struct wire w = {NULL, 0, 0};

	wire_request(&w, 1, WIRE_KEEP, "/agents");
	peer_write(w.bytes, 30);
	loop_turn(loop);
	conns_drain(cs);
	loop_turn(loop);
	peer_write(w.bytes + 30, w.len - 30);
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 1);
	peer_has_answer();
	is_closed();
	wire_free(&w);
}
END_TEST

START_TEST(abandoning_counts_those_with_a_request)
{
	int fds[4];

	for (int i = 0; i < 4; i++) { /* idle, half a request, busy, sending */
		if (i > 0)
			peer_open();
		fds[i] = peer.fd;
		above.answers = i == 3;
		if (i == 1)
			peer_write("\1\1\0\1\0", 5);
		if (i == 3)
			body_make(1 << 20);
		if (i >= 2)
			peer_send_request(WIRE_KEEP, "/index");
		loop_turn(loop);
	}
	ck_assert_uint_eq(cs->count, 4);
	ck_assert_uint_eq(conns_abandon(cs, CONN_BUSY), 1);
	ck_assert_uint_eq(cs->count, 1); /* the one that is sending */
	ck_assert_uint_eq(above.gone, 1);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 0);
	ck_assert_uint_eq(conns_abandon(cs, CONN_SENDING), 1);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
}
END_TEST

/* Events that were fetched together with one that freed their connection do not reach it; ASan would tell. */
START_TEST(events_of_a_freed_connection_do_not_reach_it)
{
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ev_feed_event(loop, &above.conn->readable, EV_READ);
	ev_feed_event(loop, &above.conn->writable, EV_WRITE);
	ev_feed_event(loop, &above.conn->timer, EV_TIMER);
	(void)conns_abandon(cs, CONN_SENDING);
	loop_turn(loop);
	ck_assert_uint_eq(above.gone, 1);
}
END_TEST

/* The one that would have to make room stands behind the one that is drained, and answered while it is: it must still be there. ASan would tell. */
START_TEST(draining_frees_no_connection_but_the_one_it_looks_at)
{
	struct conn *idle = LIST_OBJECT(cs->all.next, struct conn, node);
	int fd = peer.fd;
	struct conn *slow;

	peer_open();
	slow = asks_and_reads_nothing();
	ck_assert_ptr_eq(idle->node.next, &slow->node);
	slow->unread.since_us -= UNREAD_GRACE_US;
	cs->unread.most_bytes = 1;
	body_make(1 << 20);
	(void)close(peer.fd);
	peer.fd = fd;
	peer_send_request(WIRE_KEEP, "/index");
	conns_drain(cs);
	ck_assert_uint_eq(above.requests, 2);
	ck_assert_int_eq(idle->state, CONN_SENDING);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0);
	ck_assert_uint_eq(cs->count, 2);
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 1);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, draining_closes_idle_connections);
	tcase_add_test(tc, draining_serves_what_is_in_the_socket_already);
	tcase_add_test(tc, draining_refuses_later_requests_visibly);
	tcase_add_test(tc, draining_waits_for_the_answer_to_what_it_has_read);
	tcase_add_test(tc, draining_lets_a_half_request_become_whole);
	tcase_add_test(tc, abandoning_counts_those_with_a_request);
	tcase_add_test(tc, events_of_a_freed_connection_do_not_reach_it);
	tcase_add_test(tc, draining_frees_no_connection_but_the_one_it_looks_at);
}

int main(void)
{
	return suite_run("conn_drain", setup, teardown, add_tests);
}
