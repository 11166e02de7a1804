/*
 * options_fixture: parses options, keeps what was said, and sees to it that nothing of it holds the secret.
 */
#ifndef TESTS_OPTIONS_FIXTURE_H
#define TESTS_OPTIONS_FIXTURE_H

#include "options.h"
#include "suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "hunter2"

/* What a parse said. */
static struct {
	char *out, *err;
	size_t out_len, err_len;
} said;

static char file_path[] = "/tmp/test_options.XXXXXX";

static inline void forget(void)
{
	free(said.out);
	free(said.err);
	memset(&said, 0, sizeof(said));
}

/* Parses arguments and environment, both ended by NULL, and keeps what was said. Nothing that it says may hold the secret. */
static inline enum options_result parse(struct options *o, char *const args[], char *const env[])
{
	FILE *out, *err;
	enum options_result result;
	int argc = 0;

	forget();
	out = open_memstream(&said.out, &said.out_len);
	err = open_memstream(&said.err, &said.err_len);
	ck_assert(out != NULL && err != NULL);
	while (args[argc] != NULL)
		argc++;
	result = options_parse(o, argc, args, env, out, err);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(fclose(err), 0);
	ck_assert_msg(strstr(said.out, SECRET) == NULL, "%s", said.out);
	ck_assert_msg(strstr(said.err, SECRET) == NULL, "%s", said.err);
	if (result == OPTIONS_ERROR) { /* one line */
		ck_assert_uint_gt(said.err_len, 0);
		ck_assert_ptr_eq(strchr(said.err, '\n'), said.err + said.err_len - 1);
		ck_assert_int_eq(strncmp(said.err, "agents-fcgi: ", 13), 0);
		ck_assert_uint_eq(said.out_len, 0);
	} else {
		ck_assert_str_eq(said.err, "");
	}
	return result;
}

/* Up to two arguments. */
static inline enum options_result parse_args(struct options *o, const char *first, const char *second)
{
	char *const args[] = {"agents-fcgi", (char *)first, (char *)second, NULL}, *const env[] = {NULL};

	return parse(o, args, env);
}

static inline enum options_result parse_env(struct options *o, const char *variable)
{
	char *const args[] = {"agents-fcgi", NULL}, *const env[] = {"HOME=/", (char *)variable, "PATH=/bin", NULL};

	return parse(o, args, env);
}

static inline void put_file(const char *text, size_t len)
{
	int fd = open(file_path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	(void)close(fd);
}

static inline enum options_result parse_file(struct options *o, const char *text)
{
	put_file(text, strlen(text));
	return parse_args(o, "--config", file_path);
}

static inline void expect_error(enum options_result result, const char *text)
{
	ck_assert_int_eq(result, OPTIONS_ERROR);
	ck_assert_msg(strstr(said.err, text) != NULL, "\"%s\" is not in: %s", text, said.err);
}

static inline void make_file(void)
{
	int fd = mkstemp(file_path);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

static inline void remove_file(void)
{
	forget();
	(void)unlink(file_path);
	memcpy(strchr(file_path, '.') + 1, "XXXXXX", 6);
}

#endif
