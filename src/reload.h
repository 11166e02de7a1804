/*
 * reload: reads the options again, on SIGUSR2, and changes what can be changed in a running worker.
 */
#ifndef AGENTS_RELOAD_H
#define AGENTS_RELOAD_H

#include "log.h"
#include "options.h"

/*
 * Reads command line, environment and file as at the start; each change is logged as old and new. A value that is refused changes nothing, and is
 * logged, too. True when `o` has changed. The strings that it had before are freed: nothing may point to them.
 */
bool reload_options(struct options *o, int argc, char *const argv[], const struct log *log);

#endif
