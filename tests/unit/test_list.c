#include "list.h"

#include <check.h>
#include <stdlib.h>

struct item {
	const char *before; /* so that the node is not the first field */
	struct list node;
	int value;
};

static struct list head;
static struct item items[5];

static void setup(void)
{
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i] = (struct item){.before = "x", .value = i};
		list_init(&items[i].node);
	}
}

/* The list holds these values, forwards and backwards. */
static void has(int count, const int *values)
{
	const struct list *n = head.next;

	for (int i = 0; i < count; i++, n = n->next) {
		ck_assert_ptr_ne(n, &head);
		ck_assert_int_eq(LIST_OBJECT(n, struct item, node)->value, values[i]);
		ck_assert_ptr_eq(n->next->prev, n);
		ck_assert_ptr_eq(n->prev->next, n);
	}
	ck_assert_ptr_eq(n, &head);
	ck_assert_int_eq(list_empty(&head), count == 0);
}

START_TEST(keeps_the_order_of_both_ends)
{
	has(0, NULL);
	list_append(&head, &items[1].node);
	list_append(&head, &items[2].node);
	list_prepend(&head, &items[0].node);
	list_append(&head, &items[3].node);
	has(4, (const int[]){0, 1, 2, 3});
	list_insert_before(&items[2].node, &items[4].node);
	has(5, (const int[]){0, 1, 4, 2, 3});
}
END_TEST

START_TEST(removes_anywhere_and_twice)
{
	for (int i = 0; i < 5; i++)
		list_append(&head, &items[i].node);
	list_remove(&items[2].node);
	has(4, (const int[]){0, 1, 3, 4});
	ck_assert(list_empty(&items[2].node)); /* in no list */
	list_remove(&items[2].node);
	has(4, (const int[]){0, 1, 3, 4});
	list_remove(&items[0].node);
	list_remove(&items[4].node);
	has(2, (const int[]){1, 3});
	list_prepend(&head, &items[2].node);
	has(3, (const int[]){2, 1, 3});
	while (!list_empty(&head))
		list_remove(head.next);
	has(0, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("list");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, keeps_the_order_of_both_ends);
	tcase_add_test(tc, removes_anywhere_and_twice);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
