/*
 * suite: the main of a test program, most of which have one case.
 */
#ifndef TESTS_PACE_SUITE_H
#define TESTS_PACE_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline TCase *suite_add(Suite *s, const char *name, const TTest *const *tests, size_t count, double timeout_s)
{
	TCase *c = tcase_create(name);

	if (timeout_s > 0)
		tcase_set_timeout(c, timeout_s);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	return c;
}

static inline int suite_run(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline int suite_of_one(const char *name, const TTest *const *tests, size_t count, double timeout_s)
{
	Suite *s = suite_create(name);

	(void)suite_add(s, name, tests, count, timeout_s);
	return suite_run(s);
}

/* SUITE_ADD(suite, "name", timeout or 0, test, test …) is the new case of these tests. */
#define SUITE_ADD(s, name, timeout_s, ...)                                                                                       \
	suite_add(s, name, (const TTest *const[]){__VA_ARGS__}, sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *),   \
		  timeout_s)

/* SUITE("name", timeout or 0, test, test …) is the whole of a main. */
#define SUITE(name, timeout_s, ...)                                                                                              \
	suite_of_one(name, (const TTest *const[]){__VA_ARGS__}, sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *),   \
		     timeout_s)

#endif
