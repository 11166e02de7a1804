#include "reload.h"

#include "option_value.h"

#include <jansson.h>
#include <stdlib.h>

extern char **environ;

#define TEXT_BYTES 512

/* `name = value`, as --print-config has it, without the end of the line. */
static void print_option(const struct option *option, const struct options *o, char text[TEXT_BYTES])
{
	FILE *f = fmemopen(text, TEXT_BYTES, "w");

	text[0] = '\0';
	if (f == NULL)
		return;
	option_print(option, o, f);
	(void)fclose(f);
	text[TEXT_BYTES - 1] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static void log_change(const struct option *option, const struct options *from, const struct options *to, const struct log *log)
{
	char before[TEXT_BYTES];
	char after[TEXT_BYTES];

	print_option(option, from, before);
	print_option(option, to, after);
	log_event(log, LOG_LEVEL_INFO, "option_changed", LOG_NO_REQUEST, "{s:s, s:s}", "from", before, "to", after);
}

/* What options_parse would print for a person is one line for the log. */
static bool parse(struct options *fresh, int argc, char *const argv[], const struct log *log)
{
	char *message = NULL;
	size_t len = 0;
	FILE *err = open_memstream(&message, &len);
	bool ok;

	if (err == NULL)
		return false;
	ok = options_parse(fresh, argc, argv, environ, err, err) == OPTIONS_RUN;
	(void)fclose(err);
	if (!ok)
		log_event(log, LOG_LEVEL_ERROR, "reload_refused", LOG_NO_REQUEST, "{s:s}", "error",
			  message != NULL ? message : "");
	free(message);
	return ok;
}

bool reload_options(struct options *o, int argc, char *const argv[], const struct log *log)
{
	struct options fresh;
	char later[TEXT_BYTES];
	unsigned changed;

	if (!parse(&fresh, argc, argv, log))
		return false;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];

		if (option->reloadable && !option_same(option, o, &fresh))
			log_change(option, o, &fresh, log);
	}
	changed = options_reload(o, &fresh, later, sizeof(later));
	options_free(&fresh);
	if (later[0] != '\0')
		log_event(log, LOG_LEVEL_WARN, "reload_needs_restart", LOG_NO_REQUEST, "{s:s}", "options", later);
	log_event(log, LOG_LEVEL_INFO, "reloaded", LOG_NO_REQUEST, "{s:i}", "changed", (int)changed);
	return changed > 0;
}
