/*
 * cli: the command line, checked, and the request that follows from it.
 */
#ifndef PACE_CLI_H
#define PACE_CLI_H

#include "response.h"
#include "url.h"

#include <stdio.h>

#define CLI_CONNECTIONS_MAX 100000
#define CLI_RATE_MAX 1e6
#define CLI_REQUEST_MAX 16384

enum cli_result { CLI_RUN, CLI_DONE, CLI_WRONG };

struct cli {
	struct url url;
	const char *url_text;
	unsigned connections;
	double rate; /* requests per second, over all connections */
	int64_t duration_ns;
	int64_t warmup_ns; /* before the duration */
	int64_t timeout_ns;
	uint64_t seed;
	bool poisson;
	bool head;
	bool resend;
	bool latency;
	bool progress;
	struct expected_body expected; /* its bytes are owned here */
	const char *json;              /* file, "-" for stdout, NULL for none */
	size_t request_len;
	char request[CLI_REQUEST_MAX];
};

/* CLI_DONE: --help or --version were asked for and printed to `out`. CLI_WRONG: what is wrong was printed to `err`. */
enum cli_result cli_parse(struct cli *cli, int argc, char **argv, FILE *out, FILE *err);
void cli_free(struct cli *cli);

#endif
