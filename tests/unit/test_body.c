/* wrap: malloc calloc realloc free */
#include "alloc.h"
#include "body.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

START_TEST(starts_empty_and_grows_keeping_its_bytes)
{
	struct body *b = body_new(0);

	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_nonnull(b->data);
	ck_assert_uint_eq(body_str(b).len, 0);
	for (int i = 0; i < 100000; i++)
		body_append(b, (const char *)&i, sizeof(i));
	ck_assert(!body_failed(b));
	ck_assert_uint_eq(b->len, 100000 * sizeof(int));
	for (int i = 0; i < 100000; i++)
		ck_assert_mem_eq(b->data + (size_t)i * sizeof(i), &i, sizeof(i));
	body_unref(b);
}
END_TEST

START_TEST(grows_geometrically)
{
	struct body *b = body_new(1);
	size_t moves = 0;

	for (size_t cap = b->cap; b->len < 16 * 1024 * 1024; body_append(b, "0123456789abcdef", 16)) {
		moves += b->cap != cap;
		cap = b->cap;
	}
	ck_assert_uint_le(moves, 24);
	body_unref(b);
}
END_TEST

START_TEST(hint_and_reserve_make_room)
{
	struct body *b = body_new(1000);
	const char *data;

	ck_assert_uint_ge(b->cap, 1000);
	ck_assert(body_reserve(b, 5000));
	data = b->data;
	for (int i = 0; i < 5000; i++)
		body_append(b, "x", 1);
	ck_assert_ptr_eq(b->data, data);
	ck_assert(body_reserve(b, 0));
	body_unref(b);
}
END_TEST

START_TEST(last_reference_frees)
{
	struct body *b;
	struct body *same;
	long live;

	alloc_watch(-1, SIZE_MAX);
	b = body_new(0);
	same = body_ref(b);
	body_unref(b);
	body_append(b, "still here", 10);
	live = alloc_live;
	alloc_unwatch();
	ck_assert_ptr_eq(same, b);
	ck_assert(str_equal(body_str(b), str_of("still here")));
	ck_assert_int_gt(live, 0);
	alloc_watch(-1, SIZE_MAX);
	body_unref(b);
	alloc_unwatch();
	ck_assert_int_eq(alloc_live, -live);
	body_unref(NULL);
}
END_TEST

START_TEST(no_memory_for_a_new_body_is_null)
{
	for (int n = 0; n < 2; n++) {
		struct body *b;

		alloc_watch(n, SIZE_MAX);
		b = body_new(4096);
		alloc_unwatch();
		ck_assert_ptr_null(b);
		ck_assert_int_eq(alloc_failed, 1);
		ck_assert_int_eq(alloc_live, 0);
	}
}
END_TEST

START_TEST(failure_is_sticky_and_keeps_what_was_there)
{
	struct body *b = body_new(0);
	bool reserved;

	body_append(b, "kept", 4);
	alloc_watch(0, SIZE_MAX);
	reserved = body_reserve(b, 4096);
	alloc_unwatch();
	ck_assert(!reserved);
	ck_assert_int_eq(alloc_failed, 1);
	ck_assert(body_failed(b));
	/* There is memory again, and there was room for these bytes all along: they are ignored all the same. */
	body_append(b, "x", 1);
	body_append_str(b, str_of("ignored"));
	ck_assert(!body_reserve(b, 1));
	ck_assert(str_equal(body_str(b), str_of("kept")));
	body_unref(b);
}
END_TEST

START_TEST(large_buffers_that_are_refused_fail_the_body)
{
	static const char line[] = "0123456789abcdef0123456789abcdef";
	struct body *b;

	alloc_watch(-1, 1024 * 1024);
	b = body_new(0);
	for (int i = 0; i < 100000; i++)
		body_append(b, line, 32);
	alloc_unwatch();
	ck_assert_int_eq(alloc_failed, 1);
	ck_assert(body_failed(b));
	ck_assert_uint_gt(b->len, 0);
	ck_assert_uint_le(b->len, 1024 * 1024);
	ck_assert_mem_eq(b->data + b->len - 32, line, 32);
	body_unref(b);
}
END_TEST

START_TEST(sizes_that_overflow_fail)
{
	const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 4};

	for (size_t i = 0; i < 3; i++) {
		struct body *b = body_new(0);
		bool reserved;

		body_append(b, "kept", 4);
		alloc_watch(-1, SIZE_MAX / 4);
		reserved = body_reserve(b, sizes[i]);
		alloc_unwatch();
		ck_assert(!reserved);
		ck_assert(body_failed(b));
		ck_assert_uint_eq(b->len, 4);
		body_unref(b);
	}
}
END_TEST

START_TEST(owner_can_fail_it)
{
	struct body *b = body_new(0);

	body_append(b, "kept", 4);
	body_fail(b);
	ck_assert(body_failed(b));
	ck_assert(!body_reserve(b, 1));
	ck_assert(str_equal(body_str(b), str_of("kept")));
	body_unref(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("body");
	TCase *tc = tcase_create("body");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, starts_empty_and_grows_keeping_its_bytes);
	tcase_add_test(tc, grows_geometrically);
	tcase_add_test(tc, hint_and_reserve_make_room);
	tcase_add_test(tc, last_reference_frees);
	tcase_add_test(tc, no_memory_for_a_new_body_is_null);
	tcase_add_test(tc, failure_is_sticky_and_keeps_what_was_there);
	tcase_add_test(tc, large_buffers_that_are_refused_fail_the_body);
	tcase_add_test(tc, sizes_that_overflow_fail);
	tcase_add_test(tc, owner_can_fail_it);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
