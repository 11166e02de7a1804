/*
 * suite: the main of a test program with one case.
 */
#ifndef TESTS_PACE_SUITE_H
#define TESTS_PACE_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int suite_run(const char *name, const TTest *const *tests, size_t count, double timeout_s)
{
	Suite *s = suite_create(name);
	TCase *c = tcase_create(name);
	SRunner *runner = srunner_create(s);
	int failed;

	if (timeout_s > 0)
		tcase_set_timeout(c, timeout_s);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SUITE("name", timeout or 0, test, test …) is the whole of a main. */
#define SUITE(name, timeout_s, ...)                                                                                              \
	suite_run(name, (const TTest *const[]){__VA_ARGS__}, sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *),      \
		  timeout_s)

#endif
