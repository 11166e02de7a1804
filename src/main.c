#include "check.h"
#include "listener.h"
#include "options.h"
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* FastCGI: the process manager passes the listening socket as descriptor 0 (FastCGI Specification 1.0, §2.2). */
#define LISTEN_FD STDIN_FILENO

extern char **environ;

/* Says so, and waits a second: whoever respawns a process that cannot start must not spin. */
static int refuse_descriptor(const char *why)
{
	(void)fprintf(stderr,
		      "agents-fcgi: descriptor 0 must be a listening socket, but %s; start it as spawn-fcgi -n -s SOCKET -- "
		      "agents-fcgi, "
		      "or try its options with --check\n",
		      why);
	(void)sleep(1);
	return 1;
}

int main(int argc, char **argv)
{
	struct options options;
	const char *why = NULL;
	int status;

	/* A stop or a reload that comes while the worker starts waits until it has handlers. */
	worker_block_signals();
	/* A limit of file sizes is an error like a full disk: for the log, and for the scoreboard. */
	(void)signal(SIGXFSZ, SIG_IGN);

	switch (options_parse(&options, argc, argv, environ, stdout, stderr)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
	default:
		return 2;
	}
	if (options.check)
		status = check_run(&options, LISTEN_FD, stdout);
	else if (!listener_check(LISTEN_FD, &why))
		status = refuse_descriptor(why);
	else
		status = worker_run(&options, argc, argv, LISTEN_FD);
	options_free(&options);
	return status;
}
