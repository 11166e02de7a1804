/*
 * options_file: the file of --config: one `name = value` a line, # comments.
 */
#ifndef AGENTS_OPTIONS_FILE_H
#define AGENTS_OPTIONS_FILE_H

#include "options.h"

/* Reads the file of --config into `o`. False, and a line on `err`, when it can't be read or a line is wrong. */
bool options_file_read(struct options *o, const char *path, FILE *err);

#endif
