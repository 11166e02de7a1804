/*
 * handlers: what each path does.
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

/* The constant answer of /index, to be made once; its body is NULL when out of memory. */
struct content handlers_index_content(void);

#endif
