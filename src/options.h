/*
 * options: the one table of options (options.c) and its parser. Flags win over environment (AGENTS_FCGI_…), environment over the
 * file of --config (one `name = value` a line, # comments), file over default.
 *
 * --help, --print-config, the README's table and the sample file follow from the table, or are checked against it (make lint).
 */
#ifndef AGENTS_OPTIONS_H
#define AGENTS_OPTIONS_H

#include "log.h"

#include <stdio.h>

struct options {
	char *database;           /* conninfo or URI; "" means libpq's PG* variables */
	int db_connections;       /* per worker, 1 … 64, default 1 */
	bool share;               /* on | off, default on */
	int request_timeout_ms;   /* "5s", "500ms"; 100ms … 60s, default 5s */
	int max_waiting;          /* requests that wait for the database, per worker; 1 … 100000, default 10000 */
	int max_unread_mb;        /* of answers kept for slow readers, per worker; 1 … 100000, default 64 */
	int slow_log_ms;          /* "1s"; requests that took longer are logged; 0 … 60s (0ms: all), default 1s */
	enum log_level log_level; /* error | warn | info | debug, default info */
	char *cors_origin;        /* "" (none), "*", or origins separated by spaces (RFC 6454 §6.1: scheme://host[:port]) */
	char *scoreboard;         /* path of the file that the pool's workers share, "" for none */
	char *config;             /* path of the file, "" for none; flag and environment only */
	bool check;               /* --check: check options, socket, database and scoreboard, then exit; flag only */
};

enum options_result {
	OPTIONS_RUN,   /* go on */
	OPTIONS_DONE,  /* --help, --version or --print-config was answered on `out`: exit 0 */
	OPTIONS_ERROR, /* one clear line on `err` names option, value and range, and where it came from: exit 2 */
};

/*
 * Fills `o`, whose strings are then its own (options_free). `env` is in the form of environ. Refuses, as options_result says: an unknown option
 * (with the nearest name as a hint), a value out of range, an unknown name in the file (with its line number), AGENTS_FCGI_… variables that name no option,
 * a database that PQconninfoParse refuses, and a password in --database on the command line, where every user can read it (accepted from file and environment).
 * Secrets are never printed: --print-config writes effective values as `name = value` lines that --config accepts, and hides a password as ********.
 */
enum options_result options_parse(struct options *o, int argc, char *const argv[], char *const env[], FILE *out, FILE *err);

/*
 * Takes over from `fresh`, which options_parse has just filled, the values that a reload changes (the rest of `o` stays; what it replaces goes to `fresh`,
 * still to be freed). Returns how many changed. `later` gets the names of options that differ but need a restart, separated by spaces, as far as they fit.
 */
unsigned options_reload(struct options *o, struct options *fresh, char *later, size_t later_bytes);

/* Frees the strings. Does nothing to options that were freed, or whose parse did not end in OPTIONS_RUN. */
void options_free(struct options *o);

#endif
