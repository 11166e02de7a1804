#include "handlers.h"
#include "route.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *path;
	enum route_listener listener;
	route_handler *handler;
} routes[] = {
	{"/index", ROUTE_PUBLIC, handle_index},
	{"/agents", ROUTE_PUBLIC, handle_agents},
	{"/agents_with_orm", ROUTE_PUBLIC, handle_agents_with_orm},
	{"/agent_logins", ROUTE_PUBLIC, handle_agent_logins},
	{"/health/live", ROUTE_ADMIN, handle_live},
	{"/health/ready", ROUTE_ADMIN, handle_ready},
	{"/metrics", ROUTE_ADMIN, handle_metrics},
	{"/status", ROUTE_ADMIN, handle_status},
	{"/status.json", ROUTE_ADMIN, handle_status_json},
};

#define ROUTES ((int)(sizeof(routes) / sizeof(routes[0])))

START_TEST(path_exists_on_its_listener_only)
{
	struct str path = str_of(routes[_i].path);
	enum route_listener other = routes[_i].listener == ROUTE_PUBLIC ? ROUTE_ADMIN : ROUTE_PUBLIC;
	const struct route *r = route_find(path, routes[_i].listener);

	ck_assert_ptr_nonnull(r);
	ck_assert(str_equal(r->path, path));
	ck_assert(r->handler == routes[_i].handler);
	ck_assert_ptr_null(route_find(path, other));
	/* Each public path is counted apart, under its own name. */
	if (routes[_i].listener == ROUTE_PUBLIC)
		ck_assert_str_eq(metrics_path_names[r->metrics], routes[_i].path);
	else
		ck_assert_int_eq(r->metrics, METRICS_ADMIN);
}
END_TEST

START_TEST(nearly_is_not_enough)
{
	static const char *const paths[] = {"",         "/",       "agents",   "/agents/",     "/Agents",
					    "/agents?", "/agent",  "//agents", "/agents_with", "/health",
					    "/health/", "/indexx", "/inde",    "/agents%20",   "/agents\t"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		ck_assert_ptr_null(route_find(str_of(paths[i]), ROUTE_PUBLIC));
		ck_assert_ptr_null(route_find(str_of(paths[i]), ROUTE_ADMIN));
	}
	ck_assert_ptr_null(route_find(str_make("/agents\0x", 9), ROUTE_PUBLIC));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *tc = tcase_create("route");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, path_exists_on_its_listener_only, 0, ROUTES);
	tcase_add_test(tc, nearly_is_not_enough);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
