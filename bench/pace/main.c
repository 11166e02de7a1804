/*
 * pace [options] --rate N URL: an open-loop HTTP load generator. See pace.1.
 */
#include "report.h"
#include "run.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define EXIT_ERRORS 1
#define EXIT_NOT_RUN 2
#define DESCRIPTORS_BESIDE 16

/* The soft limit on descriptors is raised as far as it may be. */
static bool ensure_descriptors(unsigned connections)
{
	rlim_t needed = (rlim_t)connections + DESCRIPTORS_BESIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return true;
	if (limit.rlim_max < needed) {
		(void)fprintf(
			stderr,
			"pace: %u connections need %lu file descriptors, and the hard limit here is %lu: raise it as root, by "
			"'ulimit -Hn %lu' in the shell or LimitNOFILE= in the unit, or use fewer --connections\n",
			connections, (unsigned long)needed, (unsigned long)limit.rlim_max, (unsigned long)needed);
		return false;
	}
	if (limit.rlim_cur < needed) {
		limit.rlim_cur = needed;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	return true;
}

static FILE *open_json(const char *path)
{
	FILE *f = path == NULL ? NULL : strcmp(path, "-") == 0 ? stdout : fopen(path, "we");

	if (path != NULL && f == NULL)
		(void)fprintf(stderr, "pace: --json %s: %s\n", path, strerror(errno));
	return f;
}

static bool report(const struct cli *cli, const struct figures *f, int argc, char **argv, FILE *json)
{
	bool good = true;

	if (json != stdout)
		good = report_text(cli, f, stdout);
	if (json != NULL)
		good = report_json(cli, f, argc, argv, json) && good;
	if (!good)
		(void)fprintf(stderr, "pace: the figures could not be written: %s\n", strerror(errno));
	return good;
}

int main(int argc, char **argv)
{
	static struct cli cli;
	static struct figures figures;
	FILE *json = NULL;
	int status = EXIT_NOT_RUN;

	switch (cli_parse(&cli, argc, argv, stdout, stderr)) {
	case CLI_DONE:
		return fflush(stdout) == 0 ? 0 : EXIT_NOT_RUN;
	case CLI_WRONG:
		goto out;
	case CLI_RUN:
		break;
	}
	if (!ensure_descriptors(cli.connections))
		goto out;
	json = open_json(cli.json);
	if (cli.json != NULL && json == NULL)
		goto out;
	if (run(&cli, &figures) && report(&cli, &figures, argc, argv, json))
		status = figures_good(&figures) ? 0 : EXIT_ERRORS;
	if (json != NULL && json != stdout && fclose(json) != 0) {
		(void)fprintf(stderr, "pace: --json %s: %s\n", cli.json, strerror(errno));
		status = EXIT_NOT_RUN;
	}
	figures_free(&figures);
out:
	cli_free(&cli);
	return status;
}
