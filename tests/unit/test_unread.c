#include "unread.h"

#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct unread unread;
static struct unread_answer answers[4];
static struct body *bodies[2];

static void setup(void)
{
	unread_init(&unread, 1500);
	for (int i = 0; i < 4; i++)
		unread_answer_init(&answers[i]);
	for (int i = 0; i < 2; i++)
		bodies[i] = body_new(1000);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++)
		body_unref(bodies[i]);
}

static void add(int i, struct body *b)
{
	unread_add(&unread, &answers[i], b);
}

static void age(int i)
{
	answers[i].since_us -= UNREAD_GRACE_US;
}

START_TEST(a_shared_body_counts_once)
{
	add(0, bodies[0]);
	add(1, bodies[0]);
	ck_assert_uint_eq(unread.bytes, bodies[0]->cap);
	add(2, bodies[1]);
	ck_assert_uint_eq(unread.bytes, bodies[0]->cap + bodies[1]->cap);
	unread_remove(&unread, &answers[0]);
	ck_assert_uint_eq(unread.bytes, bodies[0]->cap + bodies[1]->cap);
	unread_remove(&unread, &answers[1]);
	unread_remove(&unread, &answers[2]);
	ck_assert_uint_eq(unread.bytes, 0);
}
END_TEST

START_TEST(an_answer_without_a_body_counts_nothing)
{
	add(0, NULL);
	ck_assert_uint_eq(unread.bytes, 0);
	unread_remove(&unread, &answers[0]);
}
END_TEST

START_TEST(removing_what_is_not_there_is_harmless)
{
	unread_remove(&unread, &answers[0]);
	add(0, bodies[0]);
	unread_remove(&unread, &answers[0]);
	unread_remove(&unread, &answers[0]);
	ck_assert_uint_eq(unread.bytes, 0);
	ck_assert_uint_eq(bodies[0]->unread, 0);
}
END_TEST

START_TEST(nobody_goes_below_the_bound)
{
	ck_assert_ptr_null(unread_excess(&unread));
	add(0, bodies[0]);
	age(0);
	ck_assert_ptr_null(unread_excess(&unread));
	unread.most_bytes = bodies[0]->cap;
	ck_assert_ptr_null(unread_excess(&unread));
}
END_TEST

START_TEST(the_one_that_is_read_for_longest_goes)
{
	add(0, bodies[0]);
	add(1, bodies[1]);
	age(0);
	age(1);
	ck_assert_ptr_eq(unread_excess(&unread), &answers[0]);
	unread_remove(&unread, &answers[0]);
	ck_assert_ptr_null(unread_excess(&unread));
}
END_TEST

START_TEST(a_burst_is_no_slowness)
{
	add(0, bodies[0]);
	add(1, bodies[1]);
	ck_assert_ptr_null(unread_excess(&unread));
	age(0);
	ck_assert_ptr_eq(unread_excess(&unread), &answers[0]);
}
END_TEST

START_TEST(all_that_share_a_body_go_until_it_is_free)
{
	add(0, bodies[0]);
	add(1, bodies[0]);
	add(2, bodies[1]);
	for (int i = 0; i < 2; i++)
		age(i);
	for (int i = 0; i < 2; i++) {
		ck_assert_ptr_eq(unread_excess(&unread), &answers[i]);
		unread_remove(&unread, &answers[i]);
	}
	ck_assert_ptr_null(unread_excess(&unread));
}
END_TEST

START_TEST(an_answer_without_a_body_is_never_given_up)
{
	add(0, NULL);
	age(0);
	add(1, bodies[0]);
	age(1);
	add(2, bodies[1]);
	ck_assert_ptr_eq(unread_excess(&unread), &answers[1]);
	unread_remove(&unread, &answers[0]);
	ck_assert_ptr_eq(unread_excess(&unread), &answers[1]);
}
END_TEST

START_TEST(bytes_in_a_socket_are_those_not_read_yet)
{
	char buffer[100] = "";
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(unread_in_socket(fds[0]), 0);
	ck_assert_int_eq(write(fds[0], buffer, sizeof(buffer)), sizeof(buffer));
	ck_assert_int_gt(unread_in_socket(fds[0]), 0);
	ck_assert_int_eq(read(fds[1], buffer, sizeof(buffer)), sizeof(buffer));
	ck_assert_int_eq(unread_in_socket(fds[0]), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	ck_assert_int_eq(unread_in_socket(-1), -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unread");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_shared_body_counts_once);
	tcase_add_test(tc, an_answer_without_a_body_counts_nothing);
	tcase_add_test(tc, removing_what_is_not_there_is_harmless);
	tcase_add_test(tc, nobody_goes_below_the_bound);
	tcase_add_test(tc, the_one_that_is_read_for_longest_goes);
	tcase_add_test(tc, a_burst_is_no_slowness);
	tcase_add_test(tc, all_that_share_a_body_go_until_it_is_free);
	tcase_add_test(tc, an_answer_without_a_body_is_never_given_up);
	tcase_add_test(tc, bytes_in_a_socket_are_those_not_read_yet);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
