/*
 * check: --check: would a worker with these options be able to serve? For operators, and for upgrades before they touch the running pool.
 */
#ifndef AGENTS_CHECK_H
#define AGENTS_CHECK_H

#include "options.h"

/*
 * Examines the descriptor, the database and the scoreboard, prints a line for each check on `out`. 0 when all passed, else 1; a scoreboard that cannot be used
 * is a warning, because a worker serves without it.
 */
int check_run(const struct options *o, int fd, FILE *out);

#endif
