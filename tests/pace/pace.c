#include "pace.h"

#include "wait.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int scratch_file(char *path)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	(void)snprintf(path, 64, "%.40s/pace.XXXXXX", folder == NULL ? "/tmp" : folder);
	fd = mkostemp(path, O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static char *read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

void pace_start(struct pace *p, int port, const char *words)
{
	static char text[4096], url[64];
	const char *program = getenv("PACE");
	char *argv[64] = {"pace"}, path[64];
	int argc = 1;

	ck_assert_msg(program != NULL, "PACE names the program under test");
	*p = (struct pace){.status = -1};
	close(scratch_file(p->json_path));
	p->out_fd = scratch_file(path);
	unlink(path);
	p->err_fd = scratch_file(path);
	unlink(path);
	(void)snprintf(text, sizeof(text), "%s", words);
	for (char *at = text, *word; (word = strsep(&at, " ")) != NULL;)
		argv[argc++] = word;
	if (strstr(words, "--json") == NULL) {
		argv[argc++] = "--json";
		argv[argc++] = p->json_path;
	}
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", port);
	argv[argc++] = url;
	p->pid = fork();
	ck_assert_int_ge(p->pid, 0);
	if (p->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(p->out_fd, STDOUT_FILENO) >= 0 && dup2(p->err_fd, STDERR_FILENO) >= 0)
			execv(program, argv);
		_exit(99);
	}
}

void pace_end(struct pace *p)
{
	json_error_t error;
	int status;

	ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	p->out = read_all(p->out_fd);
	p->err = read_all(p->err_fd);
	p->json = json_load_file(p->json_path, 0, &error);
	unlink(p->json_path);
	ck_assert_msg(p->status == 2 || p->json != NULL, "no JSON (%s), status %d: %s", error.text, p->status, p->err);
}

int64_t pace_count(const struct pace *p, const char *path)
{
	const json_t *at = p->json;
	char text[64], *rest = text, *name;

	(void)snprintf(text, sizeof(text), "%s", path);
	while ((name = strsep(&rest, ".")) != NULL)
		at = json_object_get(at, name);
	ck_assert_msg(json_is_integer(at), "no number %s", path);
	return json_integer_value(at);
}

/* What the man page promises of every run. */
static void assert_adds_up(const struct pace *p)
{
	int64_t errors = 0, buckets = 0, series = 0, failed = 0;
	const json_t *value;
	const char *name;
	size_t i;

	json_object_foreach(json_object_get(p->json, "errors"), name, value)
	{
		if (strcmp(name, "connect") != 0)
			errors += json_integer_value(value);
	}
	ck_assert_int_eq(pace_count(p, "scheduled"), pace_count(p, "sent") + pace_count(p, "unsent"));
	ck_assert_int_eq(pace_count(p, "sent"), pace_count(p, "answered") + errors);
	ck_assert_int_eq(pace_count(p, "latency.count"), pace_count(p, "answered"));
	ck_assert_int_eq(pace_count(p, "service.count"), pace_count(p, "answered"));
	ck_assert_int_eq(pace_count(p, "send_lag.count"), pace_count(p, "sent") - pace_count(p, "waited_for_connection"));
	ck_assert_int_ge(pace_count(p, "latency_max_with_failures_us"), pace_count(p, "latency.max_us"));
	json_array_foreach(json_object_get(json_object_get(p->json, "latency"), "buckets"), i, value) buckets +=
		json_integer_value(json_array_get(value, 1));
	ck_assert_int_eq(buckets, pace_count(p, "answered"));
	json_array_foreach(json_object_get(p->json, "series"), i, value)
	{
		series += json_integer_value(json_array_get(value, 1));
		failed += json_integer_value(json_array_get(value, 2));
	}
	ck_assert_int_eq(series, pace_count(p, "answered"));
	ck_assert_int_eq(failed, errors);
}

void pace_run(struct pace *p, int port, int status, const char *words)
{
	int64_t begin_us = now_us();

	pace_start(p, port, words);
	pace_end(p);
	/* Runs of at most three seconds: it must end with the last answer, and not wait until a time-out of 60 s is over. */
	ck_assert_int_lt(now_us() - begin_us, PATIENCE_US);
	ck_assert_msg(p->status == status, "exit status %d\n%s%s", p->status, p->out, p->err);
	if (p->json != NULL)
		assert_adds_up(p);
}

void pace_free(struct pace *p)
{
	json_decref(p->json);
	free(p->out);
	free(p->err);
}
