#include "route.h"

#include "handlers.h"

static const struct route routes[] = {
	{STR("/index"), ROUTE_PUBLIC, METRICS_INDEX, handle_index},
	{STR("/agents"), ROUTE_PUBLIC, METRICS_AGENTS, handle_agents},
	{STR("/agents_with_orm"), ROUTE_PUBLIC, METRICS_AGENTS_WITH_ORM, handle_agents_with_orm},
	{STR("/agent_logins"), ROUTE_PUBLIC, METRICS_AGENT_LOGINS, handle_agent_logins},
	{STR("/health/live"), ROUTE_ADMIN, METRICS_ADMIN, handle_live},
	{STR("/health/ready"), ROUTE_ADMIN, METRICS_ADMIN, handle_ready},
	{STR("/metrics"), ROUTE_ADMIN, METRICS_ADMIN, handle_metrics},
	{STR("/status"), ROUTE_ADMIN, METRICS_ADMIN, handle_status},
	{STR("/status.json"), ROUTE_ADMIN, METRICS_ADMIN, handle_status_json},
};

const struct route *route_find(struct str path, enum route_listener listener)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (routes[i].listener == listener && str_equal(routes[i].path, path))
			return &routes[i];
	}
	return NULL;
}
