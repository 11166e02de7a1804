#include "option.h"

#include <ctype.h>
#include <stdarg.h>

#define FIELD(field) .offset = offsetof(struct options, field)
#define MINUTE_MS 60000

const struct option option_table[] = {
	{.name = "database",
	 FIELD(database),
	 .kind = OPTION_DATABASE,
	 .places = OPTION_EVERYWHERE,
	 .initial = "",
	 .help = "The database, as a libpq conninfo string or URI. Empty: what libpq's PG* variables say. Put a password\n"
		 "into the environment, the file or ~/.pgpass: on the command line, where every user can read it, it is "
		 "refused."},
	{.name = "db-connections",
	 FIELD(db_connections),
	 .kind = OPTION_INT,
	 .places = OPTION_EVERYWHERE,
	 .initial = "1",
	 .min = 1,
	 .max = 64,
	 .help = "Connections to the database that each worker keeps."},
	{.name = "share",
	 FIELD(share),
	 .kind = OPTION_BOOL,
	 .places = OPTION_EVERYWHERE,
	 .initial = "on",
	 .reloadable = true,
	 .help = "Requests that wait for the same query share one execution that begins after they have arrived.\n"
		 "off: every request has a query of its own."},
	{.name = "request-timeout",
	 FIELD(request_timeout_ms),
	 .kind = OPTION_DURATION,
	 .places = OPTION_EVERYWHERE,
	 .initial = "5s",
	 .min = 100,
	 .max = MINUTE_MS,
	 .help = "The time that a request gets. nginx's time-outs follow from it, so both are restarted to change it."},
	{.name = "max-waiting",
	 FIELD(max_waiting),
	 .kind = OPTION_INT,
	 .places = OPTION_EVERYWHERE,
	 .initial = "10000",
	 .min = 1,
	 .max = 100000,
	 .reloadable = true,
	 .help = "Requests that may wait for the database in each worker; one more is answered 503."},
	{.name = "max-unread",
	 FIELD(max_unread_mb),
	 .kind = OPTION_INT,
	 .places = OPTION_EVERYWHERE,
	 .initial = "64",
	 .min = 1,
	 .max = 100000,
	 .reloadable = true,
	 .help = "MiB of answers that each worker keeps for clients that read slowly. Beyond it the one that has been read\n"
		 "for longest, and for more than 2 s, is given up."},
	{.name = "slow-log",
	 FIELD(slow_log_ms),
	 .kind = OPTION_DURATION,
	 .places = OPTION_EVERYWHERE,
	 .initial = "1s",
	 .min = 0,
	 .max = MINUTE_MS,
	 .reloadable = true,
	 .help = "Requests that took longer are logged. 0ms: all are."},
	{.name = "log-level",
	 FIELD(log_level),
	 .kind = OPTION_LEVEL,
	 .places = OPTION_EVERYWHERE,
	 .initial = "info",
	 .reloadable = true,
	 .help = "The least grave level that is logged."},
	{.name = "cors-origin",
	 FIELD(cors_origin),
	 .kind = OPTION_ORIGINS,
	 .places = OPTION_EVERYWHERE,
	 .initial = "",
	 .reloadable = true,
	 .help = "Origins whose scripts may read the answers (CORS). Empty: none."},
	{.name = "scoreboard",
	 FIELD(scoreboard),
	 .kind = OPTION_PATH,
	 .places = OPTION_EVERYWHERE,
	 .initial = "",
	 .help = "A file that the workers of a pool share, so that each can answer /metrics, /status and /health/ready for all. "
		 "Put\n"
		 "it where memory is (/run), in a folder that they may write. Empty: each answers for itself."},
	{.name = "config",
	 FIELD(config),
	 .kind = OPTION_PATH,
	 .places = OPTION_ON_FLAG | OPTION_IN_ENV,
	 .initial = "",
	 .help = "A file of `name = value` lines; lines that begin with # are comments. Empty: no file."},
	{.name = "check",
	 FIELD(check),
	 .kind = OPTION_CHECK,
	 .places = OPTION_ON_FLAG,
	 .help = "Check the options, the listening socket on descriptor 0, the database and the scoreboard, say how each is, and "
		 "exit\n"
		 "(1: one failed; a scoreboard that cannot be used is a warning, because a worker serves without it)."},
	{.name = "print-config",
	 .kind = OPTION_PRINT,
	 .places = OPTION_ON_FLAG,
	 .help = "Print the values that would be used, as lines that --config accepts, with passwords hidden, and exit."},
	{.name = "version", .kind = OPTION_VERSION, .places = OPTION_ON_FLAG, .help = "Print the version and exit."},
	{.name = "help", .kind = OPTION_HELP, .places = OPTION_ON_FLAG, .help = "Print this text and exit."},
};

const struct option *option_find(struct str name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (str_equal(name, str_of(option_table[i].name)))
			return &option_table[i];
	return NULL;
}

void option_env_name(const struct option *option, char out[OPTION_ENV_BYTES])
{
	int n = snprintf(out, OPTION_ENV_BYTES, OPTION_ENV_PREFIX "%s", option->name);

	for (int i = 0; i < n && i < OPTION_ENV_BYTES; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

void option_error(FILE *err, const char *where, const char *format, ...)
{
	va_list args;

	(void)fprintf(err, "agents-fcgi: %s: ", where);
	va_start(args, format);
	(void)vfprintf(err, format, args);
	va_end(args);
	(void)fputc('\n', err);
}

unsigned name_distance(struct str a, struct str b)
{
	enum { NAME_BYTES = 40 };
	unsigned row[NAME_BYTES + 1];

	if (a.len == 0 || a.len > NAME_BYTES || b.len > NAME_BYTES)
		return NAME_DISTANCE_FAR;
	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = replaced < least ? replaced : least;
		}
	}
	/* More than half of a name is no typing error. */
	return 2 * row[b.len] > a.len || row[b.len] > NAME_DISTANCE_FAR ? NAME_DISTANCE_FAR : row[b.len];
}

void option_hint(struct str name, const char *prefix, char out[OPTION_HINT_BYTES])
{
	const struct option *nearest = NULL;
	unsigned best = NAME_DISTANCE_FAR;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		unsigned distance = name_distance(name, str_of(option_table[i].name));

		if (distance < best) {
			best = distance;
			nearest = &option_table[i];
		}
	}
	out[0] = '\0';
	if (nearest == NULL)
		return;
	if (strcmp(prefix, OPTION_ENV_PREFIX) == 0) {
		char env[OPTION_ENV_BYTES];

		option_env_name(nearest, env);
		(void)snprintf(out, OPTION_HINT_BYTES, "; did you mean %s?", env);
	} else {
		(void)snprintf(out, OPTION_HINT_BYTES, "; did you mean %s%s?", prefix, nearest->name);
	}
}

/* What stands for the value in --help. */
static const char *placeholder(enum option_kind kind)
{
	static const char *const placeholders[OPTION_KIND_MAX] = {
		[OPTION_DATABASE] = " CONNINFO|URI",
		[OPTION_ORIGINS] = " *|ORIGIN...",
		[OPTION_PATH] = " FILE",
		[OPTION_INT] = " NUMBER",
		[OPTION_DURATION] = " TIME",
		[OPTION_BOOL] = " on|off",
		[OPTION_LEVEL] = " error|warn|info|debug",
	};

	return placeholders[kind] == NULL ? "" : placeholders[kind];
}

static void print_range(const struct option *option, FILE *out)
{
	if (option->kind == OPTION_INT)
		(void)fprintf(out, "; %d to %d", option->min, option->max);
	else if (option->kind == OPTION_DURATION)
		(void)fprintf(out, "; %dms to %ds", option->min, option->max / 1000);
	else if (option->kind == OPTION_ORIGINS)
		(void)fputs("; * or scheme://host[:port], separated by spaces", out);
}

void option_help(FILE *out)
{
	(void)fputs("Usage: agents-fcgi [--NAME VALUE | --NAME=VALUE | --FLAG]...\n"
		    "Serves agents and their logins as JSON over FastCGI, from PostgreSQL. Descriptor 0 is the listening socket\n"
		    "(spawn-fcgi makes it). A flag wins over the environment, the environment over the file, the file over the "
		    "default.\n"
		    "SIGUSR2 reads the file again. SIGTERM and SIGUSR1 finish what is in flight and exit.\n\n",
		    out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &option_table[i];
		char env[OPTION_ENV_BYTES];

		(void)fprintf(out, "--%s%s\n", option->name, placeholder(option->kind));
		if (option_takes_value(option)) {
			option_env_name(option, env);
			(void)fprintf(out, "    [default %s", option->initial[0] == '\0' ? "empty" : option->initial);
			print_range(option, out);
			(void)fprintf(out, "; %s; a reload %s it]\n", env, option->reloadable ? "changes" : "does not change");
		}
		(void)fputs("    ", out);
		for (const char *c = option->help; *c != '\0'; c++) {
			(void)fputc(*c, out);
			if (*c == '\n')
				(void)fputs("    ", out);
		}
		(void)fputc('\n', out);
	}
}
