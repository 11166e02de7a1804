/*
 * report: the figures as text in the shape of wrk2, and as JSON. Both return false with errno set when they could not be written.
 */
#ifndef PACE_REPORT_H
#define PACE_REPORT_H

#include "cli.h"
#include "figures.h"

#define REPORT_SCHEMA 1

bool report_text(const struct cli *cli, const struct figures *f, FILE *out);

/* `argv`: the command line, which is part of it. pace.1 describes its members. */
bool report_json(const struct cli *cli, const struct figures *f, int argc, char **argv, FILE *out);

#endif
