#include "options.h"

#include "option_value.h"
#include "options_file.h"
#include "version.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

/* The command line as it was read, before any value is looked at. */
struct command_line {
	const char *given[OPTION_COUNT]; /* the value of each option, NULL when it isn't there; the last one wins */
	bool check;
	bool print;
};

/* Bytes of what can be an option's name: what else stands in its place may be part of a password, and is not printed. */
static int name_length(const char *p)
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n < 40 ? (int)n : 40;
}

static enum options_result unknown_flag(const char *arg, FILE *err)
{
	int n = name_length(arg + 2);
	char hint[OPTION_HINT_BYTES];

	option_hint(str_make(arg + 2, (size_t)n), "--", hint);
	option_error(err, "command line", "there is no option --%.*s%s (see --help)", n, arg + 2, hint);
	return OPTIONS_ERROR;
}

/* A flag without a value. */
static enum options_result read_flag(const struct option *option, struct command_line *line, FILE *out)
{
	switch (option->kind) {
	case OPTION_HELP:
		option_help(out);
		return OPTIONS_DONE;
	case OPTION_VERSION:
		(void)fputs("agents-fcgi " AGENTS_FCGI_VERSION "\n", out);
		return OPTIONS_DONE;
	case OPTION_PRINT:
		line->print = true;
		return OPTIONS_RUN;
	default:
		line->check = true;
		return OPTIONS_RUN;
	}
}

static enum options_result read_command_line(struct command_line *line, int argc, char *const argv[], FILE *out, FILE *err)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option *option;
		enum options_result result;

		if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
			option_error(err, "command line",
				     "argument %d is no --name of an option; a value with spaces has to be quoted (see --help)",
				     i);
			return OPTIONS_ERROR;
		}
		value = strchr(arg, '=');
		option = option_find(str_make(arg + 2, value == NULL ? strlen(arg + 2) : (size_t)(value - arg - 2)));
		if (option == NULL)
			return unknown_flag(arg, err);
		if (!option_takes_value(option)) {
			if (value != NULL) {
				option_error(err, "command line", "--%s takes no value", option->name);
				return OPTIONS_ERROR;
			}
			result = read_flag(option, line, out);
			if (result != OPTIONS_RUN)
				return result;
			continue;
		}
		if (value != NULL) {
			value++;
		} else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) {
			value = argv[++i];
		} else {
			option_error(err, "command line", "--%s needs a value", option->name);
			return OPTIONS_ERROR;
		}
		line->given[option - option_table] = value;
	}
	return OPTIONS_RUN;
}

/* The option of an environment variable that begins with our prefix; NULL, and an error said, when there is none. */
static const struct option *find_env(const char *variable, size_t len, FILE *err)
{
	char name[OPTION_ENV_BYTES], hint[OPTION_HINT_BYTES];
	const char *rest = variable + strlen(OPTION_ENV_PREFIX);
	int n = name_length(rest);

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		option_env_name(&option_table[i], name);
		if (!str_equal(str_of(name), str_make(variable, len)))
			continue;
		if ((option_table[i].places & OPTION_IN_ENV) != 0)
			return &option_table[i];
		option_error(err, name, "can't be set in the environment; give --%s", option_table[i].name);
		return NULL;
	}
	for (int i = 0; i < n; i++)
		name[i] = rest[i] == '_' ? '-' : (char)tolower((unsigned char)rest[i]);
	option_hint(str_make(name, (size_t)n), OPTION_ENV_PREFIX, hint);
	option_error(err, "environment", "there is no option for " OPTION_ENV_PREFIX "%.*s%s", n, rest, hint);
	return NULL;
}

/* Sets what the environment gives. With `only`, that option alone; errors of others are then left for the next time. */
static bool read_environment(struct options *o, char *const env[], const struct option *only, FILE *err)
{
	for (; env != NULL && *env != NULL; env++) {
		const char *value = strchr(*env, '=');
		struct option_source from = {.err = err};
		const struct option *option = only;
		char name[OPTION_ENV_BYTES];

		if (value == NULL || strncmp(*env, OPTION_ENV_PREFIX, strlen(OPTION_ENV_PREFIX)) != 0)
			continue;
		if (only == NULL)
			option = find_env(*env, (size_t)(value - *env), err);
		if (option == NULL)
			return false;
		option_env_name(option, name);
		if (!str_equal(str_of(name), str_make(*env, (size_t)(value - *env))))
			continue;
		from.where = name;
		if (!option_set(option, o, value + 1, &from))
			return false;
	}
	return true;
}

static bool set_given(struct options *o, const struct command_line *line, const struct option *option, FILE *err)
{
	const char *value = line->given[option - option_table];
	struct option_source from = {.on_command_line = true, .err = err};
	char where[OPTION_ENV_BYTES];

	if (value == NULL)
		return true;
	(void)snprintf(where, sizeof(where), "--%s", option->name);
	from.where = where;
	return option_set(option, o, value, &from);
}

/* From the weakest source to the strongest; every value is checked, even where a stronger source wins. */
static bool read_sources(struct options *o, const struct command_line *line, char *const env[], FILE *err)
{
	const struct option *config = option_find((struct str)STR("config"));
	struct option_source defaults = {.where = "default", .err = err};

	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_takes_value(&option_table[i]) && !option_set(&option_table[i], o, option_table[i].initial, &defaults))
			return false;
	o->check = line->check;
	if (!read_environment(o, env, config, err) || !set_given(o, line, config, err))
		return false;
	if (o->config[0] != '\0' && !options_file_read(o, o->config, err))
		return false;
	if (!read_environment(o, env, NULL, err))
		return false;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (!set_given(o, line, &option_table[i], err))
			return false;
	return true;
}

enum options_result options_parse(struct options *o, int argc, char *const argv[], char *const env[], FILE *out, FILE *err)
{
	struct command_line line = {0};
	enum options_result result;

	memset(o, 0, sizeof(*o));
	result = read_command_line(&line, argc, argv, out, err);
	if (result != OPTIONS_RUN)
		return result;
	if (!read_sources(o, &line, env, err)) {
		options_free(o);
		return OPTIONS_ERROR;
	}
	if (!line.print)
		return OPTIONS_RUN;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if ((option_table[i].places & OPTION_IN_FILE) != 0)
			option_print(&option_table[i], o, out);
	options_free(o);
	return OPTIONS_DONE;
}

unsigned options_reload(struct options *o, struct options *fresh, char *later, size_t later_bytes)
{
	size_t used = 0;
	unsigned changed = 0;

	assert(later_bytes > 0);
	later[0] = '\0';
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (!option_takes_value(option) || option_same(option, o, fresh))
			continue;
		if (option->reloadable) {
			option_swap(option, o, fresh);
			changed++;
		} else if (used < later_bytes) {
			used += (size_t)snprintf(later + used, later_bytes - used, "%s%s", used == 0 ? "" : " ", option->name);
		}
	}
	return changed;
}

void options_free(struct options *o)
{
	free(o->database);
	free(o->cors_origin);
	free(o->scoreboard);
	free(o->config);
	memset(o, 0, sizeof(*o));
}
