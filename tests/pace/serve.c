/*
 * serve [PORT]: the tests' server, answering well, for trying and measuring pace by hand. Prints the port and serves until it is ended.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static struct server_counts counts;
	int port;
	int listener = server_listen(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, &port);

	if (listener < 0) {
		perror("serve");
		return 1;
	}
	printf("%d\n", port);
	fflush(stdout);
	server_run(listener, (struct plan){0}, &counts);
	return 1;
}
