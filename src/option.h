/*
 * option: the table of options, and reading and writing the value of one. options.c puts the sources together. Private to options*.c, option*.c
 * and conninfo.c.
 */
#ifndef AGENTS_OPTION_H
#define AGENTS_OPTION_H

#include "options.h"

enum option_kind {
	OPTION_DATABASE,
	OPTION_ORIGINS,
	OPTION_PATH,
	OPTION_INT,
	OPTION_DURATION,
	OPTION_BOOL,
	OPTION_LEVEL,
	OPTION_CHECK, /* from here on: flags without a value */
	OPTION_PRINT,
	OPTION_VERSION,
	OPTION_HELP,
	OPTION_KIND_MAX
};

/* Where an option may be given. */
enum option_place { OPTION_ON_FLAG = 1, OPTION_IN_ENV = 2, OPTION_IN_FILE = 4, OPTION_EVERYWHERE = 7 };

struct option {
	const char *name;
	const char *initial; /* its value when none is given, in the form in which it is given */
	const char *help;    /* lines of --help */
	size_t offset;       /* of its field in struct options */
	enum option_kind kind;
	unsigned places;
	int min, max;    /* of numbers; milliseconds for durations */
	bool reloadable; /* a reload changes it in a running worker */
};

#define OPTION_COUNT 13
extern const struct option option_table[OPTION_COUNT];

/* Where a value came from. */
struct option_source {
	const char *where;    /* for errors: "--share", "AGENTS_FCGI_SHARE", "/path:12: share" */
	bool on_command_line; /* where every user can read it */
	FILE *err;
};

/* NULL when there is no such option. */
const struct option *option_find(struct str name);

static inline bool option_takes_value(const struct option *option)
{
	return option->kind < OPTION_CHECK;
}

/* Room for any option's environment variable with its NUL, and the prefix of all. */
#define OPTION_ENV_BYTES 64
#define OPTION_ENV_PREFIX "AGENTS_FCGI_"

void option_env_name(const struct option *option, char out[OPTION_ENV_BYTES]);

/* Parses `value` into its field of `o`. False, and a line on from->err, when it is no value for this option. */
bool option_set(const struct option *option, struct options *o, const char *value, const struct option_source *from);

/* Writes `name = value`, as --config accepts it, with secrets hidden. */
void option_print(const struct option *option, const struct options *o, FILE *out);

/* Whether both have the same value for this option, which is no flag. */
bool option_same(const struct option *option, const struct options *a, const struct options *b);

void option_swap(const struct option *option, struct options *a, struct options *b);

/* The text of --help. */
void option_help(FILE *out);

/* Writes `agents-fcgi: where: …` as one line. */
void option_error(FILE *err, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "; did you mean …?" with the name nearest to `name`, or "" when none is near. `out` has OPTION_HINT_BYTES. */
#define OPTION_HINT_BYTES 96
void option_hint(struct str name, const char *prefix, char out[OPTION_HINT_BYTES]);

/* Insertions, deletions and replacements between two names (Levenshtein); NAME_DISTANCE_FAR for more than a typing error explains. */
#define NAME_DISTANCE_FAR 4
unsigned name_distance(struct str a, struct str b);

/* Reads the file of --config into `o`. False, and a line on `err`, when it can't be read or a line is wrong. */
bool options_file_read(struct options *o, const char *path, FILE *err);

#endif
