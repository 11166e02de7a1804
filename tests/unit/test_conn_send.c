/* wrap: recv sendmsg send FCGX_Accept_r fcgi_has_memory */
/*
 * Answers to clients that leave, read slowly, or do not read at all.
 */
#include "conn_fixture.h"

START_TEST(answer_survives_short_writes)
{
	send_fault = (enum fault)_i;
	peer_send_request(WIRE_KEEP, "/index");
	for (int i = 0; i < 2000 && above.sent[CONN_SENT] == 0; i++) {
		(void)ev_run(loop, EVRUN_NOWAIT);
		peer_read(SIZE_MAX); /* small pieces fill a socket's buffer soon */
	}
	ck_assert_uint_eq(above.sent[CONN_SENT], 1);
	ck_assert_uint_gt(send_calls, 100);
	peer_has_answer();
	is_open();
	send_fault = FAULT_NONE;
	serves_one();
}
END_TEST

START_TEST(client_that_left_before_the_answer)
{
	send_fault = FAULT_EPIPE;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert_uint_eq(above.gone, 0);
	is_closed();
}
END_TEST

static bool is_sent(void *arg)
{
	peer_read(1 + random_below(arg, 20000));
	return above.sent[CONN_SENT] > 0;
}

START_TEST(large_answer_reaches_a_slow_reader_whole)
{
	uint64_t state = random_seed();

	body_make(1 << 20);
	peer_send_request(_i == 0 ? WIRE_KEEP : WIRE_CLOSE, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert(loop_until(loop, is_sent, &state));
	peer_has_answer();
	if (_i == 0) {
		is_open();
		body_make(10);
		serves_one();
	} else {
		is_closed();
	}
}
END_TEST

START_TEST(answer_without_a_body_and_with_the_longest_head)
{
	static char longest[CONN_HEAD_BYTES];
	struct wire w = {NULL, 0, 0};
	struct str s = str_make(longest, sizeof(longest));

	memset(longest, 'h', sizeof(longest));
	above.answers = false;
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	conn_answer(above.conn, s, NULL);
	wire_answer(&w, 1, s, str_make("", 0));
	peer_has(&w);
	wire_free(&w);
	is_open();
}
END_TEST

START_TEST(client_leaves_in_the_midst_of_the_answer)
{
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_int_eq(above.conn->state, CONN_SENDING);
	(void)close(peer.fd);
	peer.fd = -1;
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT], 0);
	ck_assert_uint_eq(cs->count, 0);
}
END_TEST

/* --- readers that stall --- */

START_TEST(reader_that_stalls_is_given_up)
{
	cs->stall_timeout_s = 0.05;
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert(loop_until(loop, is_empty, NULL));
	ck_assert_uint_eq(above.sent[CONN_STALLED], 1);
	ck_assert_uint_eq(above.sent[CONN_SENT] + above.sent[CONN_LEFT] + above.gone, 0);
}
END_TEST

/* The timer is fired by hand: a busy machine must not decide this. */
START_TEST(reader_that_is_slow_is_not_given_up)
{
	cs->stall_timeout_s = 1000;
	body_make(1 << 20);
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	for (int i = 0; i < 3; i++) {
		peer_read(40000); /* too little for the kernel to call the socket writable */
		ev_invoke(loop, &above.conn->timer, EV_TIMER);
		ck_assert_uint_eq(cs->count, 1);
		ck_assert(ev_is_active(&above.conn->timer));
	}
	ev_invoke(loop, &above.conn->timer, EV_TIMER); /* nothing has been taken since */
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(above.sent[CONN_STALLED], 1);
}
END_TEST

/* A second client has `peer`'s place from now on; returns the first one's socket. */
static int another_peer_asks(void)
{
	int first = peer.fd;

	peer_open();
	peer_send_request(WIRE_KEEP, "/index");
	loop_turn(loop);
	ck_assert_uint_eq(above.requests, 2);
	return first;
}

START_TEST(answer_that_is_read_for_longest_makes_room)
{
	struct conn *first = asks_and_reads_nothing();
	int fd;

	cs->unread.most_bytes = (1 << 20) + (1 << 19);
	first->unread.since_us -= UNREAD_GRACE_US;
	body_make(1 << 20);
	fd = another_peer_asks();
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0); /* not from within another's answer */
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 1);
	ck_assert_ptr_eq(LIST_OBJECT(cs->all.next, struct conn, node), above.conn);
	ck_assert(loop_until(loop, is_sent, &(uint64_t){1}));
	peer_has_answer();
	ck_assert_uint_eq(cs->unread.bytes, 0);
	(void)close(fd);
}
END_TEST

START_TEST(answers_of_one_body_and_young_ones_make_no_room)
{
	struct conn *first = asks_and_reads_nothing();
	int fd;

	cs->unread.most_bytes = (1 << 20) + (1 << 19);
	if (_i == 0)
		first->unread.since_us -= UNREAD_GRACE_US; /* of the same body as the second */
	else
		body_make(1 << 20); /* young */
	fd = another_peer_asks();
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0);
	ck_assert_uint_eq(cs->count, 2);
	(void)close(fd);
	loop_turn(loop);
	ck_assert_uint_eq(above.sent[CONN_LEFT], 1);
	ck_assert_uint_eq(cs->unread.bytes, body->cap); /* of the second alone */
}
END_TEST

START_TEST(bound_that_becomes_lower_needs_no_further_answer)
{
	struct conn *first = asks_and_reads_nothing();

	cs->unread.most_bytes = 1 << 19;
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 0); /* young */
	first->unread.since_us -= UNREAD_GRACE_US;
	conns_relieve(cs);
	ck_assert_uint_eq(above.sent[CONN_EVICTED], 1);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert_uint_eq(cs->unread.bytes, 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, answer_survives_short_writes, FAULT_ONE_BYTE, FAULT_EPIPE);
	tcase_add_test(tc, client_that_left_before_the_answer);
	tcase_add_loop_test(tc, large_answer_reaches_a_slow_reader_whole, 0, 2);
	tcase_add_test(tc, answer_without_a_body_and_with_the_longest_head);
	tcase_add_test(tc, client_leaves_in_the_midst_of_the_answer);
	tcase_add_test(tc, reader_that_stalls_is_given_up);
	tcase_add_test(tc, reader_that_is_slow_is_not_given_up);
	tcase_add_test(tc, answer_that_is_read_for_longest_makes_room);
	tcase_add_loop_test(tc, answers_of_one_body_and_young_ones_make_no_room, 0, 2);
	tcase_add_test(tc, bound_that_becomes_lower_needs_no_further_answer);
}

int main(void)
{
	return suite_run("conn_send", setup, teardown, add_tests);
}
