/*
 * option: the table of options, their names and --help. Private to options, as option_value and options_file are.
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

#define OPTION_COUNT 14
extern const struct option option_table[OPTION_COUNT];

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

#endif
