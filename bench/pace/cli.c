#include "cli.h"

#include "version.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS (3600 * SECOND_NS)
#define EXPECT_MAX (1L << 30)

enum { EXPECT = 256, JSON, HEAD, LATENCY, POISSON, PROGRESS, RESEND, SEED, TIMEOUT, WARMUP, VERSION };

static const struct {
	int id; /* its letter, when it has one */
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
} options[] = {
	{'c', "connections", "N", "connections, all opened before the first request (10)"},
	{'R', "rate", "N", "requests per second over all connections; may have a fraction (required)"},
	{'d', "duration", "TIME", "how long requests are started, like 500ms, 30s, 5m, 1h (10s)"},
	{WARMUP, "warmup", "TIME", "time before the duration whose requests are in no figure (0s)"},
	{TIMEOUT, "timeout", "TIME", "the longest wait for an answer, for a connection, and at the end (2s)"},
	{'H', "header", "LINE", "a header to send, like 'Accept: text/html'; may be repeated"},
	{HEAD, "head", NULL, "send HEAD, not GET"},
	{POISSON, "poisson", NULL, "random gaps (exponential, a Poisson process), not uniform ones"},
	{SEED, "seed", "N", "of the random gaps (1)"},
	{EXPECT, "expect", "FILE", "the body that each 200 must have; others are errors (mismatch)"},
	{RESEND, "resend", NULL, "send once more what a reused connection was closed on without a byte of an answer"},
	{LATENCY, "latency", NULL, "print the whole percentile spectrum, too"},
	{JSON, "json", "FILE", "write the figures to FILE as JSON; - for stdout, in place of the text"},
	{PROGRESS, "progress", NULL, "a line per second on stderr when that is a terminal"},
	{'h', "help", NULL, "print this text and exit"},
	{VERSION, "version", NULL, "print the version and exit"},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void print_help(FILE *out)
{
	(void)fprintf(out, "usage: pace [options] --rate N URL\n"
			   "Sends HTTP requests at a fixed rate, and measures each from the time it was meant to start. URL is "
			   "http://HOST[:PORT]/…\n\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		char name[40];

		(void)snprintf(name, sizeof(name), "--%s%s%s", options[i].name, options[i].value == NULL ? "" : " ",
			       options[i].value == NULL ? "" : options[i].value);
		if (options[i].id < EXPECT)
			(void)fprintf(out, "  -%c, %-18s %s\n", options[i].id, name, options[i].help);
		else
			(void)fprintf(out, "      %-18s %s\n", name, options[i].help);
	}
	(void)fprintf(out, "\nExit status: 0 every request was answered well, 1 some were not, or the run was interrupted, 2 it "
			   "could not be run.\n");
}

__attribute__((format(printf, 2, 3))) static bool wrong(FILE *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("pace: ", err);
	(void)vfprintf(err, format, args);
	(void)fputs(" (pace --help lists the options)\n", err);
	va_end(args);
	return false;
}

/* A plain decimal number, with an optional fraction; `end` is behind it. strtod would also take inf, nan, 0x1p3 and blanks. */
static bool parse_decimal(const char *text, const char **end, double *value)
{
	size_t digits = strspn(text, "0123456789");
	size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
	char *stop;

	*value = strtod(text, &stop);
	*end = text + digits + (text[digits] == '.' ? 1 + fraction : 0);
	return digits + fraction > 0 && stop == *end && digits + fraction < 20;
}

static bool parse_time(const char *text, int64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"", 1e9}};
	const char *unit;
	double number;

	if (!parse_decimal(text, &unit, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].unit) == 0) {
			if (number * units[i].ns > 1e15)
				return false;
			*ns = llround(number * units[i].ns);
			return true;
		}
	}
	return false;
}

static bool parse_whole(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && *value <= max;
}

static bool append(struct cli *cli, const char *text, size_t len)
{
	if (len >= sizeof(cli->request) - cli->request_len)
		return false;
	memcpy(cli->request + cli->request_len, text, len);
	cli->request_len += len;
	cli->request[cli->request_len] = '\0';
	return true;
}

static bool append_text(struct cli *cli, const char *text)
{
	return append(cli, text, strlen(text));
}

/* The headers stand in cli->request until the URL is known. */
static bool take_header(struct cli *cli, const char *line, FILE *err)
{
	static const char *const framing[] = {"content-length:", "transfer-encoding:", "upgrade:"};
	size_t name = strcspn(line, ": \t");

	if (name == 0 || line[name] != ':')
		return wrong(err, "--header '%s' does not look like 'Name: value'", line);
	for (const char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return wrong(err, "--header %.*s has a control character", (int)name, line);
	for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
		if (strncasecmp(line, framing[i], strlen(framing[i])) == 0)
			return wrong(err, "--header %.*s would change where the request ends; requests have no body here",
				     (int)name, line);
	if (!append_text(cli, line) || !append_text(cli, "\r\n"))
		return wrong(err, "the headers are longer than %d bytes", CLI_REQUEST_MAX);
	return true;
}

static bool build_request(struct cli *cli, FILE *err)
{
	char headers[CLI_REQUEST_MAX];
	size_t len = cli->request_len;
	const char *host = strncasecmp(cli->request, "host:", 5) == 0 ? cli->request : strcasestr(cli->request, "\r\nhost:");
	bool fits;

	memcpy(headers, cli->request, len);
	cli->request_len = 0;
	fits = append_text(cli, cli->head ? "HEAD " : "GET ") &&
	       append_text(cli, cli->url.target_len == 0 || *cli->url.target != '/' ? "/" : "") &&
	       append(cli, cli->url.target, cli->url.target_len) && append_text(cli, " HTTP/1.1\r\n");
	/* One of the caller's replaces ours. */
	if (host == NULL)
		fits = fits && append_text(cli, "Host: ") && append_text(cli, cli->url.authority) && append_text(cli, "\r\n");
	fits = fits && append(cli, headers, len) && append_text(cli, "\r\n");
	return fits || wrong(err, "the request is longer than %d bytes", CLI_REQUEST_MAX);
}

static bool load_expected(struct cli *cli, const char *path, FILE *err)
{
	FILE *f = fopen(path, "rb");
	char *bytes = NULL;
	long size = -1;

	if (f != NULL && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size < 0 || size > EXPECT_MAX || fseek(f, 0, SEEK_SET) != 0)
		goto failed;
	bytes = malloc((size_t)size + 1);
	if (bytes == NULL || fread(bytes, 1, (size_t)size, f) != (size_t)size)
		goto failed;
	(void)fclose(f);
	free((char *)cli->expected.p);
	cli->expected = (struct expected_body){bytes, (size_t)size};
	return true;
failed:
	(void)wrong(err, "--expect %s cannot be read: %s", path, size > EXPECT_MAX ? "larger than 1 GiB" : strerror(errno));
	free(bytes);
	if (f != NULL)
		(void)fclose(f);
	return false;
}

static bool take_time(int64_t *ns, const char *name, const char *text, int64_t min_ns, FILE *err)
{
	if (parse_time(text, ns) && *ns >= min_ns && *ns <= 24 * HOUR_NS)
		return true;
	return wrong(err, "--%s must be a time from %s to 24h, like 500ms, 30s or 5m, not '%s'", name, min_ns > 0 ? "1ms" : "0s",
		     text);
}

static bool take_option(struct cli *cli, int id, const char *value, FILE *err)
{
	uint64_t number = 0;
	const char *end;

	switch (id) {
	case 'c':
		if (!parse_whole(value, CLI_CONNECTIONS_MAX, &number) || number == 0)
			return wrong(err, "--connections must be a number from 1 to %d, not '%s'", CLI_CONNECTIONS_MAX, value);
		cli->connections = (unsigned)number;
		return true;
	case 'R':
		if (!parse_decimal(value, &end, &cli->rate) || *end != '\0' || cli->rate < 0.001 || cli->rate > CLI_RATE_MAX)
			return wrong(err, "--rate must be a number from 0.001 to %.0f, not '%s'", CLI_RATE_MAX, value);
		return true;
	case 'd':
		return take_time(&cli->duration_ns, "duration", value, SECOND_NS / 1000, err);
	case WARMUP:
		return take_time(&cli->warmup_ns, "warmup", value, 0, err);
	case TIMEOUT:
		return take_time(&cli->timeout_ns, "timeout", value, SECOND_NS / 1000, err);
	case 'H':
		return take_header(cli, value, err);
	case SEED:
		return parse_whole(value, UINT64_MAX, &cli->seed) || wrong(err, "--seed must be a whole number, not '%s'", value);
	case EXPECT:
		return load_expected(cli, value, err);
	case JSON:
		cli->json = value;
		return *value != '\0' || wrong(err, "--json needs a file, or - for stdout");
	default:
		*(id == HEAD       ? &cli->head
		  : id == LATENCY  ? &cli->latency
		  : id == POISSON  ? &cli->poisson
		  : id == PROGRESS ? &cli->progress
				   : &cli->resend) = true;
		return true;
	}
}

static bool finish(struct cli *cli, int argc, char **argv, FILE *err)
{
	const char *reason;

	if (optind == argc)
		return wrong(err, "the URL is missing");
	if (optind + 1 < argc)
		return wrong(err, "one URL only: '%s' is one argument too many", argv[optind + 1]);
	cli->url_text = argv[optind];
	reason = url_parse(&cli->url, cli->url_text);
	if (reason != NULL)
		return wrong(err, "the URL '%s': %s", cli->url_text, reason);
	if (cli->rate <= 0)
		return wrong(err, "--rate is missing: how many requests per second?");
	return build_request(cli, err);
}

enum cli_result cli_parse(struct cli *cli, int argc, char **argv, FILE *out, FILE *err)
{
	struct option table[OPTIONS + 1] = {0};
	int id;

	for (size_t i = 0; i < OPTIONS; i++)
		table[i] = (struct option){options[i].name, options[i].value != NULL, NULL, options[i].id};
	*cli = (struct cli){.connections = 10, .duration_ns = 10 * SECOND_NS, .timeout_ns = 2 * SECOND_NS, .seed = 1};
	optind = 0; /* glibc's way to begin anew */
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":c:R:d:H:h", table, NULL)) != -1) {
		if (id == 'h' || id == VERSION) {
			if (id == 'h')
				print_help(out);
			else
				(void)fprintf(out, "pace %s\n", AGENTS_FCGI_VERSION);
			return CLI_DONE;
		}
		if (id == ':')
			(void)wrong(err, "%s needs a value", argv[optind - 1]);
		else if (id == '?')
			(void)wrong(err, "there is no option %s, or it takes no value", argv[optind - 1]);
		if (id == ':' || id == '?' || !take_option(cli, id, optarg, err))
			return CLI_WRONG;
	}
	return finish(cli, argc, argv, err) ? CLI_RUN : CLI_WRONG;
}

void cli_free(struct cli *cli)
{
	free((char *)cli->expected.p);
	cli->expected.p = NULL;
}
