/*
 * handlers: what each path does: of the public ones in handlers.c, of the admin ones in admin.c.
 */
#ifndef AGENTS_HANDLERS_H
#define AGENTS_HANDLERS_H

#include "content.h"
#include "route.h"

route_handler handle_index;
route_handler handle_agents;
route_handler handle_agents_with_orm;
route_handler handle_agent_logins;
route_handler handle_live;
route_handler handle_ready;
route_handler handle_metrics;
route_handler handle_status;
route_handler handle_status_json;

/* The constant answer of /index, to be made once; its body is NULL when out of memory. */
struct content handlers_index_content(void);

#endif
