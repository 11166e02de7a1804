/*
 * worker: a worker of a test's own: $WORKER_BIN on a private listening socket, with options and a database of the test's choice.
 *
 * Every function asserts, save worker_get and worker_call, which helper threads may use.
 */
#ifndef TEST_WORKER_H
#define TEST_WORKER_H

#include "fastcgi.h"

#include <sys/types.h>

struct worker {
	pid_t pid;
	char dir[80];
	char socket[108];
	char log[108];
};

/*
 * Starts a worker and waits until it answers /index. `database` goes by environment; `options` is NULL or ended by NULL. It dies with the
 * test that started it.
 */
void worker_start(struct worker *w, const char *database, const char *const *options);

/* The same, and waits until /health/ready says 200. */
void worker_start_ready(struct worker *w, const char *database, const char *const *options);

/* Ends it by SIGTERM, asserts that it exits with 0, and removes its files. */
void worker_end(struct worker *w);

/* Its exit status once it has ended, which must be soon; -1 when a signal ended it. */
int worker_wait(struct worker *w);
void worker_remove_files(const struct worker *w);

struct answer worker_call(const struct worker *w, const char *method, const char *path, const struct fastcgi_param *more);
struct answer worker_get(const struct worker *w, const char *path);
/* An admin path, GET. */
struct answer worker_admin(const struct worker *w, const char *path);

/* Waits until the path answers with that status. */
void worker_wait_status(const struct worker *w, const char *path, int status);
/* Waits until /health/ready answers with that status. */
void worker_wait_ready(const struct worker *w, int status);
/* Waits until /health/ready answers 503 with that text in its detail. */
void worker_wait_reason(const struct worker *w, const char *text);

/* Open descriptors of the process. */
int worker_descriptors(const struct worker *w);
bool worker_log_has(const struct worker *w, const char *text);

/* A kept connection on which /index has been answered, with a request sent that the worker has read and not yet answered. */
void worker_send(const struct worker *w, struct fastcgi *f, const char *path);

/* The result of running the worker's binary to its end, for options that make it end. */
struct run {
	int status; /* exit status; -1 when a signal ended it */
	struct bytes out;
	struct bytes err;
};

void run_free(struct run *r);
#define RUN __attribute__((cleanup(run_free))) struct run

/* `descriptor` becomes descriptor 0 (-1: /dev/null); `env` are more variables, NULL or ended by NULL; `args` without the program's name. */
struct run worker_run(int descriptor, const char *const *env, const char *const *args);

#endif
