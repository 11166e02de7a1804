/*
 * route: the const table of paths.
 */
#ifndef AGENTS_ROUTE_H
#define AGENTS_ROUTE_H

#include "metrics.h"
#include "str.h"

struct request;

/* Which of the web server's listeners a path exists on. */
enum route_listener { ROUTE_PUBLIC, ROUTE_ADMIN };

/* A GET or HEAD. The request must be answered, now or later. */
typedef void route_handler(struct request *r);

struct route {
	struct str path;
	enum route_listener listener;
	enum metrics_path metrics; /* what its requests are counted by */
	route_handler *handler;
};

/* NULL: no such path on that listener. */
const struct route *route_find(struct str path, enum route_listener listener);

#endif
