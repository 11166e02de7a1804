/*
 * prometheus: the pool's metrics in Prometheus' text format 0.0.4. What each one means stands in its HELP line, and in the README.
 */
#ifndef AGENTS_PROMETHEUS_H
#define AGENTS_PROMETHEUS_H

#include "body.h"
#include "pool.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void prometheus_render(const struct pool *p, struct body *b);

#endif
