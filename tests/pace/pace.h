/*
 * pace: runs the program under test ($PACE) and reads its figures.
 */
#ifndef TESTS_PACE_PACE_H
#define TESTS_PACE_PACE_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct pace {
	pid_t pid;
	int status; /* exit status, -1: it was ended by a signal */
	json_t *json;
	char *out;
	char *err;
	int out_fd;
	int err_fd;
	char json_path[64];
};

/* Starts it with these words, `--json FILE` (unless they say where to) and http://127.0.0.1:PORT/x. Asserts. */
void pace_start(struct pace *p, int port, const char *words);
/* Waits for its end, and reads all that it has written. */
void pace_end(struct pace *p);
/* Both; asserts the exit status, and that the counts add up. */
void pace_run(struct pace *p, int port, int status, const char *words);
void pace_free(struct pace *p);

/* A number by its path: "errors.read"; asserts that it is there. */
int64_t pace_count(const struct pace *p, const char *path);

#endif
