#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 64

/* The child's environment: ours without settings of the worker, and with `more`. `keep` owns nothing. */
static void make_environment(const char *const *more, const char *out[], size_t max)
{
	size_t n = 0;

	for (char **e = environ; *e != NULL; e++) {
		if (strncmp(*e, "AGENTS_FCGI_", strlen("AGENTS_FCGI_")) != 0) {
			ck_assert_uint_lt(n, max - 1);
			out[n++] = *e;
		}
	}
	for (; more != NULL && *more != NULL; more++) {
		ck_assert_uint_lt(n, max - 1);
		out[n++] = *more;
	}
	out[n] = NULL;
}

/* Starts the binary with these descriptors as 0, 1 and 2. All other descriptors are closed in it. */
static pid_t spawn(int in, int out, int err, const char *const *env, const char *const *args)
{
	const char *binary = env_need("WORKER_BIN");
	const char *words[MAX_WORDS] = {binary};
	const char *environment[1024];
	size_t n = 1;

	for (; args != NULL && *args != NULL; args++) {
		ck_assert_uint_lt(n, MAX_WORDS - 1);
		words[n++] = *args;
	}
	make_environment(env, environment, sizeof environment / sizeof environment[0]);
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR || dup2(in, 0) < 0 ||
		    dup2(out, 1) < 0 || dup2(err, 2) < 0 || close_range(3, ~0U, 0) != 0)
			_exit(126);
		/* execve does not change the strings; its prototype is older than const. */
		(void)execve(binary, (char *const *)(uintptr_t)words, (char *const *)(uintptr_t)environment);
		_exit(127);
	}
	return pid;
}

static void make_place(struct worker *w)
{
	int n = snprintf(w->dir, sizeof w->dir, "%s/http-XXXXXX", env_need("RUN_DIR"));

	ck_assert_msg(n > 0 && (size_t)n < sizeof w->dir, "RUN_DIR is too long for a socket's path");
	ck_assert_msg(mkdtemp(w->dir) != NULL, "mkdtemp %s: %s", w->dir, strerror(errno));
	(void)snprintf(w->socket, sizeof w->socket, "%s/worker.sock", w->dir);
	(void)snprintf(w->log, sizeof w->log, "%s/worker.log", w->dir);
}

void worker_start(struct worker *w, const char *database, const char *const *options)
{
	BYTES variable = {0};

	*w = (struct worker){0};
	make_place(w);
	bytes_printf(&variable, "AGENTS_FCGI_DATABASE=%s", database);
	int listener = unix_listen(w->socket);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = open(w->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ck_assert(listener >= 0 && null >= 0 && log >= 0);
	w->pid = spawn(listener, null, log, (const char *const[]){variable.p, NULL}, options);
	(void)close(listener);
	(void)close(null);
	(void)close(log);
	/* The socket listens before the worker does, so the request waits in the backlog: one is enough, unless the worker dies. */
	ANSWER a = worker_get(w, "/index");

	if (a.status != 200) {
		BYTES text = {0};

		(void)file_read(w->log, &text);
		ck_abort_msg("the worker does not answer: %s; its log: %s", a.error, text.p);
	}
}

void worker_start_ready(struct worker *w, const char *database, const char *const *options)
{
	worker_start(w, database, options);
	worker_wait_ready(w, 200);
}

int worker_wait(struct worker *w)
{
	int status = 0;
	pid_t ended = 0;

	WAIT_FOR((ended = waitpid(w->pid, &status, WNOHANG)) != 0);
	ck_assert_int_eq(ended, w->pid);
	w->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void worker_remove_files(const struct worker *w)
{
	(void)unlink(w->socket);
	(void)unlink(w->log);
	(void)rmdir(w->dir);
}

void worker_end(struct worker *w)
{
	ck_assert_int_eq(kill(w->pid, SIGTERM), 0);
	int status = worker_wait(w);

	if (status != 0) {
		BYTES text = {0};

		(void)file_read(w->log, &text);
		ck_abort_msg("the worker ended with %d; its log: %s", status,
			     text.len > 3000 ? text.p + text.len - 3000 : text.p);
	}
	worker_remove_files(w);
}

struct answer worker_call(const struct worker *w, const char *method, const char *path, const struct fastcgi_param *more)
{
	return fastcgi_call(w->socket, method, path, more);
}

struct answer worker_get(const struct worker *w, const char *path)
{
	return fastcgi_call(w->socket, "GET", path, NULL);
}

struct answer worker_admin(const struct worker *w, const char *path)
{
	return fastcgi_call(w->socket, "GET", path, (const struct fastcgi_param[]){{"AGENTS_LISTENER", "admin"}, {0}});
}

static bool has_status(const struct worker *w, const char *path, bool admin, int status, const char *text)
{
	ANSWER a = admin ? worker_admin(w, path) : worker_get(w, path);

	return a.status == status && (text == NULL || (a.body.p != NULL && strstr(a.body.p, text) != NULL));
}

void worker_wait_status(const struct worker *w, const char *path, int status)
{
	WAIT_FOR(has_status(w, path, false, status, NULL));
}

void worker_wait_ready(const struct worker *w, int status)
{
	WAIT_FOR(has_status(w, "/health/ready", true, status, NULL));
}

void worker_wait_reason(const struct worker *w, const char *text)
{
	WAIT_FOR(has_status(w, "/health/ready", true, 503, text));
}

int worker_descriptors(const struct worker *w)
{
	char path[64];
	int n = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/fd", (int)w->pid);
	DIR *dir = opendir(path);

	ck_assert_msg(dir != NULL, "%s: %s", path, strerror(errno));
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n - 2;
}

bool worker_log_has(const struct worker *w, const char *text)
{
	BYTES log = {0};

	return file_read(w->log, &log) && count_of(log.p, text) > 0;
}

void worker_send(const struct worker *w, struct fastcgi *f, const char *path)
{
	BYTES request = {0};

	ck_assert(fastcgi_open(f, w->socket));
	ANSWER first = fastcgi_exchange(f, FASTCGI_KEEP, "GET", "/index", NULL);

	assert_status(first, 200);
	fastcgi_request(&request, 1, FASTCGI_KEEP, "GET", path, NULL);
	ck_assert(send_all(f->fd, request.p, request.len));
	WAIT_FOR(all_read_by_peer(f->fd));
}

void run_free(struct run *r)
{
	bytes_free(&r->out);
	bytes_free(&r->err);
}

struct run worker_run(int descriptor, const char *const *env, const char *const *args)
{
	struct run r = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int out[2];
	int err[2];

	ck_assert(null >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	struct worker w = {.pid = spawn(descriptor < 0 ? null : descriptor, out[1], err[1], env, args)};

	(void)close(out[1]);
	(void)close(err[1]);
	(void)close(null);
	r.status = worker_wait(&w);
	char block[4096];
	ssize_t n;

	/* What it printed fits a pipe, so it could end before anyone read. */
	while ((n = read(out[0], block, sizeof block)) > 0)
		bytes_append(&r.out, block, (size_t)n);
	while ((n = read(err[0], block, sizeof block)) > 0)
		bytes_append(&r.err, block, (size_t)n);
	bytes_append(&r.out, "", 0);
	bytes_append(&r.err, "", 0);
	(void)close(out[0]);
	(void)close(err[0]);
	return r;
}
