/*
 * fuzz_options: arguments, environment and file. The input is three parts, divided by bytes FF: arguments, environment variables (without their
 * prefix), each ended by a NUL, and the content of the file. What is accepted has to be within its range, and to read the same when it is printed
 * and read again; what is refused gets one line. The first part is also tried as a connection string with a password in it: no error may show that.
 */
#include "options.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIST_MAX 20
#define SECRET "hunter2"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct said {
	char *out, *err;
	size_t out_len, err_len;
};

static void fail(const char *what, const char *text)
{
	(void)fprintf(stderr, "fuzz_options: %s: %s\n", what, text);
	abort();
}

static enum options_result parse(struct options *o, char *const args[], char *const env[], struct said *said)
{
	FILE *out, *err;
	enum options_result result;
	int argc = 0;

	out = open_memstream(&said->out, &said->out_len);
	err = open_memstream(&said->err, &said->err_len);
	if (out == NULL || err == NULL)
		abort();
	while (args[argc] != NULL)
		argc++;
	result = options_parse(o, argc, args, env, out, err);
	(void)fclose(out);
	(void)fclose(err);
	if (result == OPTIONS_ERROR && (said->err_len == 0 || strchr(said->err, '\n') != said->err + said->err_len - 1))
		fail("not one line", said->err);
	if (result != OPTIONS_ERROR && said->err_len != 0)
		fail("an error without consequence", said->err);
	return result;
}

static void said_free(struct said *said)
{
	free(said->out);
	free(said->err);
}

static void check_ranges(const struct options *o)
{
	if (o->db_connections < 1 || o->db_connections > 64 || o->request_timeout_ms < 100 || o->request_timeout_ms > 60000 ||
	    o->max_waiting < 1 || o->max_waiting > 100000 || o->max_unread_mb < 1 || o->max_unread_mb > 100000 ||
	    o->slow_log_ms < 0 || o->slow_log_ms > 60000 || o->log_level >= LOG_LEVEL_MAX)
		fail("out of range", "accepted");
	if (o->database == NULL || o->cors_origin == NULL || o->config == NULL || strpbrk(o->cors_origin, "\r\n") != NULL)
		fail("a string that is none", "accepted");
}

static void put_file(int file, const void *p, size_t len)
{
	if (ftruncate(file, 0) != 0 || pwrite(file, p, len, 0) != (ssize_t)len)
		abort();
}

/* Prints what was given, reads that as a file, and prints it again. */
static void round_trip(int file, char *const path, char *args[], size_t argc, char *const env[])
{
	char *const from_file[] = {"agents-fcgi", "--print-config", "--config", path, NULL}, *const no_env[] = {NULL};
	struct said first = {0}, second = {0};
	struct options o;

	args[argc] = "--print-config";
	args[argc + 1] = NULL;
	if (parse(&o, args, env, &first) != OPTIONS_DONE)
		fail("no longer accepted", first.err);
	put_file(file, first.out, first.out_len);
	if (parse(&o, from_file, no_env, &second) != OPTIONS_DONE)
		fail("printed, but not accepted", second.err);
	if (strcmp(first.out, second.out) != 0)
		fail("printed differently", second.out);
	said_free(&first);
	said_free(&second);
}

/* A database's value comes back in no error, so a secret at any place of it does not either. */
static void hide_secret(const char *around)
{
	char given[600];
	char *const args[] = {"agents-fcgi", "--database", given, NULL}, *const no_env[] = {NULL};
	size_t half = strlen(around) / 2;
	struct said said = {0};
	struct options o;

	if (strlen(around) > 500 || strstr(around, SECRET) != NULL)
		return;
	(void)snprintf(given, sizeof(given), "%.*s" SECRET "%s", (int)half, around, around + half);
	if (parse(&o, args, no_env, &said) == OPTIONS_RUN)
		options_free(&o);
	if (strstr(said.err, SECRET) != NULL)
		fail("a secret in", said.err);
	said_free(&said);
}

/* The strings between NULs as a list with a NULL behind it. */
static size_t split(char *p, const char *end, char *list[LIST_MAX])
{
	size_t n = 0;

	for (; p < end && n < LIST_MAX - 3; p += strlen(p) + 1)
		list[n++] = p;
	list[n] = NULL;
	return n;
}

/* The three parts of the input, each NUL-terminated; `end` is behind the NUL of the last. */
struct input {
	char *args, *env, *file, *end;
};

/* NUL instead of the next FF; what stands behind it. */
static char *cut(char *p, char *end)
{
	char *found = memchr(p, 0xFF, (size_t)(end - p));

	if (found == NULL)
		return end;
	*found = '\0';
	return found + 1;
}

static void try_parse(int file, const struct input *in)
{
	char path[40], *args[LIST_MAX + 3] = {"agents-fcgi", "--config", path}, *env[LIST_MAX];
	size_t argc = 3 + split(in->args, in->env - 1, args + 3), n = split(in->env, in->file - 1, env);
	struct said said = {0};
	struct options o;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	put_file(file, in->file, (size_t)(in->end - in->file));
	for (size_t i = 0; i < n; i++) {
		char *variable = NULL;

		if (asprintf(&variable, "AGENTS_FCGI_%s", env[i]) < 0)
			abort();
		env[i] = variable;
	}
	if (parse(&o, args, env, &said) == OPTIONS_RUN) {
		check_ranges(&o);
		options_free(&o);
		round_trip(file, path, args, argc, env);
	}
	said_free(&said);
	for (size_t i = 0; i < n; i++)
		free(env[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int file = -1;
	char *text = calloc(1, size + 3); /* room for two empty parts and the last NUL */
	struct input in;

	if (file < 0)
		file = memfd_create("options", MFD_CLOEXEC);
	if (file < 0 || text == NULL)
		abort();
	memcpy(text, data, size);
	in.args = text;
	in.end = text + size;
	in.env = cut(in.args, in.end);
	if (in.env == in.end)
		in.env = in.end = in.end + 1;
	in.file = cut(in.env, in.end);
	if (in.file == in.end)
		in.file = in.end = in.end + 1;
	try_parse(file, &in);
	hide_secret(text);
	free(text);
	return 0;
}
