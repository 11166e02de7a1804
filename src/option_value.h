/*
 * option_value: reads and writes the value of one option.
 */
#ifndef AGENTS_OPTION_VALUE_H
#define AGENTS_OPTION_VALUE_H

#include "option.h"

/* Longest value, as it is given and as it is printed. */
#define OPTION_VALUE_BYTES 4096

/* Where a value came from. */
struct option_source {
	const char *where;    /* for errors: "--share", "AGENTS_FCGI_SHARE", "/path:12: share" */
	bool on_command_line; /* where every user can read it */
	FILE *err;
};

/* Parses `value` into its field of `o`. False, and a line on from->err, when it is no value for this option. */
bool option_set(const struct option *option, struct options *o, const char *value, const struct option_source *from);

/* Writes `name = value`, as --config accepts it, with secrets hidden. */
void option_print(const struct option *option, const struct options *o, FILE *out);

/* Whether both have the same value for this option, which is no flag. */
bool option_same(const struct option *option, const struct options *a, const struct options *b);

void option_swap(const struct option *option, struct options *a, struct options *b);

#endif
