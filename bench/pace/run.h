/*
 * run: one measurement: opens the connections, follows the schedule, waits for the last answers. One thread, one epoll loop that sleeps until the
 * next request is due or a socket has something.
 */
#ifndef PACE_RUN_H
#define PACE_RUN_H

#include "cli.h"
#include "figures.h"

/* Fills `figures`, which the caller frees. False: it could not be run, and why is printed to stderr. */
bool run(const struct cli *cli, struct figures *figures);

#endif
