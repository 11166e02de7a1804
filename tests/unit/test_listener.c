/* wrap: accept4 calloc malloc realloc free */
#include "alloc.h"
#include "listener.h"
#include "loop.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int accept_error; /* of the next `accept_errors` calls */
static unsigned accept_errors;
static unsigned accept_calls;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	accept_calls++;
	if (accept_errors > 0) {
		accept_errors--;
		errno = accept_error;
		return -1;
	}
	return __real_accept4(fd, address, len, flags);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* --- listener_check --- */

static void refuses(int fd, const char *expected)
{
	const char *why = NULL;

	ck_assert(!listener_check(fd, &why));
	ck_assert_str_eq(why, expected);
}

START_TEST(check_says_what_a_descriptor_is)
{
	FILE *file = tmpfile();
	const char *why = NULL;
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0);
	int pair[2];
	int pipes[2];

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	refuses(fileno(file), "it is no socket");
	refuses(pipes[0], "it is no socket");
	refuses(-1, "it is closed");
	refuses(pair[0], "it is a socket that does not listen");
	refuses(tcp, "it is a socket that does not listen");
	refuses(udp, "it is a socket that does not listen");
	ck_assert_int_eq(listen(tcp, 1), 0);
	ck_assert(listener_check(tcp, &why));
	(void)close(tcp);
	refuses(tcp, "it is closed");
	(void)close(udp);
	for (int i = 0; i < 2; i++) {
		(void)close(pair[i]);
		(void)close(pipes[i]);
	}
	(void)fclose(file);
}
END_TEST

START_TEST(check_refuses_a_listening_socket_of_packets)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct sockaddr_un any = {.sun_family = AF_UNIX};

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0); /* the kernel picks a name */
	ck_assert_int_eq(listen(fd, 1), 0);
	refuses(fd, "it is no stream socket");
	(void)close(fd);
}
END_TEST

/* --- accepting --- */

#define CLIENTS 200

static struct ev_loop *loop;
static struct conns *cs;
static struct listener listener;
static const struct log quiet = {.fd = -1, .level = LOG_LEVEL_ERROR};
static int listening_fd;
static int clients[CLIENTS];
static unsigned client_count;
static struct sockaddr_un address;
static socklen_t address_len;

static void setup(void)
{
	accept_errors = accept_calls = client_count = 0;
	loop = ev_loop_new(EVFLAG_AUTO);
	cs = calloc(1, sizeof(*cs));
	ck_assert_ptr_nonnull(loop);
	ck_assert_ptr_nonnull(cs);
	conns_init(cs, loop, &quiet, NULL, (struct conn_events){NULL, NULL, NULL}, NULL);
	listening_fd = socket(AF_UNIX, SOCK_STREAM, 0); /* blocking: start must change that */
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	ck_assert_int_eq(bind(listening_fd, (const struct sockaddr *)&address, sizeof(address.sun_family)), 0);
	address_len = sizeof(address);
	ck_assert_int_eq(getsockname(listening_fd, (struct sockaddr *)&address, &address_len), 0);
	ck_assert_int_eq(listen(listening_fd, CLIENTS), 0);
	listener_start(&listener, cs, listening_fd, 0);
}

static void teardown(void)
{
	listener_stop(&listener);
	(void)conns_abandon(cs, CONN_SENDING);
	for (unsigned i = 0; i < client_count; i++)
		(void)close(clients[i]);
	(void)close(listening_fd);
	free(cs);
	ev_loop_destroy(loop);
}

static void connect_clients(unsigned count)
{
	while (count-- > 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, address_len), 0);
		clients[client_count++] = fd;
	}
}

static bool has_all(void *arg)
{
	(void)arg;
	return cs->count == client_count;
}

/* What has to open something while all connections stay must still be able to. */
START_TEST(descriptors_are_left_for_others)
{
	struct rlimit files;

	listener_stop(&listener);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	listener_start(&listener, cs, listening_fd, (unsigned)files.rlim_cur - 3);
	connect_clients(5);
	for (int64_t end_us = clock_us() + 50 * CLOCK_MS; clock_us() < end_us;)
		loop_turn(loop);
	ck_assert_uint_eq(cs->count, 3);
	/* When connections end, others take their place. */
	listener.most = 5;
	ck_assert(loop_until(loop, has_all, NULL));
}
END_TEST

START_TEST(accepts_all_that_are_pending)
{
	connect_clients(CLIENTS);
	ck_assert(loop_until(loop, has_all, NULL));
	ck_assert_uint_eq(cs->count, CLIENTS);
}
END_TEST

START_TEST(accepted_sockets_do_not_block)
{
	connect_clients(3);
	ck_assert(loop_until(loop, has_all, NULL));
	for (const struct list *n = cs->all.next; n != &cs->all; n = n->next) {
		int fd = LIST_OBJECT(n, struct conn, node)->fd;

		ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	}
	ck_assert_int_ne(fcntl(listening_fd, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

/* One connection a wake-up leaves the others of a pool their part. */
START_TEST(takes_one_and_rests)
{
	connect_clients(10);
	(void)ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(cs->count, 1);
	ck_assert(ev_is_active(&listener.rest));
	ck_assert(!ev_is_active(&listener.readable));
}
END_TEST

START_TEST(takes_more_while_the_queue_stays_full)
{
	unsigned before = 0;
	unsigned most = 0;

	connect_clients(CLIENTS);
	while (cs->count < CLIENTS) {
		(void)ev_run(loop, EVRUN_ONCE);
		most = cs->count - before > most ? cs->count - before : most;
		before = cs->count;
	}
	ck_assert_uint_ge(most, 32);
	ck_assert_uint_le(most, 64);
	while (ev_is_active(&listener.rest)) /* the queue is empty: back to one */
		(void)ev_run(loop, EVRUN_ONCE);
	ck_assert_uint_eq(listener.batch, 1);
	ck_assert(ev_is_active(&listener.readable));
}
END_TEST

START_TEST(pauses_without_descriptors_and_recovers)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};

	connect_clients(5);
	accept_error = errors[_i];
	accept_errors = 1;
	(void)ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(accept_calls, 1);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert(!ev_is_active(&listener.readable)); /* which would be called again at once */
	ck_assert(ev_is_active(&listener.rest));
	ck_assert(ev_timer_remaining(loop, &listener.rest) > 0.5);
	if (_i == 0) { /* the whole second once, a shorter one for the others */
		ck_assert(loop_until(loop, has_all, NULL));
		return;
	}
	ev_timer_stop(loop, &listener.rest);
	ev_invoke(loop, &listener.rest, EV_TIMER);
	ck_assert(loop_until(loop, has_all, NULL));
}
END_TEST

START_TEST(connections_that_ended_early_are_skipped)
{
	static const int errors[] = {ECONNABORTED, EINTR};

	connect_clients(1);
	accept_error = errors[_i];
	accept_errors = 3;
	(void)ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(accept_calls, 4);
	ck_assert_uint_eq(cs->count, 1);
}
END_TEST

START_TEST(another_worker_was_faster)
{
	connect_clients(1);
	accept_error = EAGAIN;
	accept_errors = 1;
	(void)ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert(ev_is_active(&listener.readable));
	ck_assert(loop_until(loop, has_all, NULL));
}
END_TEST

START_TEST(no_memory_for_a_connection_pauses)
{
	connect_clients(2);
	alloc_watch(0, SIZE_MAX);
	(void)ev_run(loop, EVRUN_NOWAIT);
	alloc_unwatch();
	ck_assert_int_eq(alloc_failed, 1);
	ck_assert_uint_eq(cs->count, 0);
	ck_assert(ev_timer_remaining(loop, &listener.rest) > 0.5);
	ev_timer_stop(loop, &listener.rest);
	ev_invoke(loop, &listener.rest, EV_TIMER);
	ck_assert_uint_eq(cs->count, 1); /* the other one; the first was closed */
}
END_TEST

static bool others_can(void *user)
{
	ck_assert_ptr_eq(user, &listener);
	return client_count == 3;
}

START_TEST(who_stands_back_leaves_what_is_pending_and_looks_again)
{
	listener.stands_back = others_can;
	listener.user = &listener;
	connect_clients(3);
	for (int i = 0; i < 3; i++) {
		(void)ev_run(loop, EVRUN_ONCE);
		ck_assert_uint_eq(accept_calls, 0);
		ck_assert(ev_is_active(&listener.rest));
		ck_assert(!ev_is_active(&listener.readable));
	}
	connect_clients(1);
	ck_assert(loop_until(loop, has_all, NULL));
	listener.stands_back = NULL;
}
END_TEST

START_TEST(what_nobody_takes_is_taken_in_the_end)
{
	listener.stands_back = others_can;
	listener.user = &listener;
	connect_clients(3);
	for (int i = 0; cs->count == 0; i++) {
		ck_assert_int_lt(i, 20);
		ck_assert(i == 9 || accept_calls == 0);
		(void)ev_run(loop, EVRUN_ONCE);
	}
	ck_assert_uint_eq(cs->count, 1);
	ck_assert(loop_until(loop, has_all, NULL)); /* and the others, in their time */
	listener.stands_back = NULL;
}
END_TEST

START_TEST(stopped_listener_accepts_no_more)
{
	connect_clients(1);
	ck_assert(loop_until(loop, has_all, NULL));
	listener_stop(&listener);
	connect_clients(1);
	loop_turn(loop);
	ck_assert_uint_eq(cs->count, 1);
	ck_assert(!ev_is_active(&listener.rest));
	ck_assert(!ev_is_active(&listener.readable));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("listener");
	TCase *check = tcase_create("check");
	TCase *accepting = tcase_create("accepting");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(accepting, descriptors_are_left_for_others);
	tcase_add_test(check, check_says_what_a_descriptor_is);
	tcase_add_test(check, check_refuses_a_listening_socket_of_packets);
	tcase_set_timeout(accepting, 60);
	tcase_add_checked_fixture(accepting, setup, teardown);
	tcase_add_test(accepting, accepts_all_that_are_pending);
	tcase_add_test(accepting, accepted_sockets_do_not_block);
	tcase_add_test(accepting, takes_one_and_rests);
	tcase_add_test(accepting, takes_more_while_the_queue_stays_full);
	tcase_add_loop_test(accepting, pauses_without_descriptors_and_recovers, 0, 4);
	tcase_add_loop_test(accepting, connections_that_ended_early_are_skipped, 0, 2);
	tcase_add_test(accepting, another_worker_was_faster);
	tcase_add_test(accepting, no_memory_for_a_connection_pauses);
	tcase_add_test(accepting, who_stands_back_leaves_what_is_pending_and_looks_again);
	tcase_add_test(accepting, what_nobody_takes_is_taken_in_the_end);
	tcase_add_test(accepting, stopped_listener_accepts_no_more);
	suite_add_tcase(s, check);
	suite_add_tcase(s, accepting);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
