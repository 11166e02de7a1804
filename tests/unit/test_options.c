#include "options.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "hunter2"

/* What a parse said. */
static struct {
	char *out, *err;
	size_t out_len, err_len;
} said;

static char file_path[] = "/tmp/test_options.XXXXXX";

static void forget(void)
{
	free(said.out);
	free(said.err);
	memset(&said, 0, sizeof(said));
}

/* Parses arguments and environment, both ended by NULL, and keeps what was said. Nothing that it says may hold the secret. */
static enum options_result parse(struct options *o, char *const args[], char *const env[])
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
static enum options_result parse_args(struct options *o, const char *first, const char *second)
{
	char *const args[] = {"agents-fcgi", (char *)first, (char *)second, NULL}, *const env[] = {NULL};

	return parse(o, args, env);
}

static enum options_result parse_env(struct options *o, const char *variable)
{
	char *const args[] = {"agents-fcgi", NULL}, *const env[] = {"HOME=/", (char *)variable, "PATH=/bin", NULL};

	return parse(o, args, env);
}

static void put_file(const char *text, size_t len)
{
	int fd = open(file_path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	(void)close(fd);
}

static enum options_result parse_file(struct options *o, const char *text)
{
	put_file(text, strlen(text));
	return parse_args(o, "--config", file_path);
}

static void expect_error(enum options_result result, const char *text)
{
	ck_assert_int_eq(result, OPTIONS_ERROR);
	ck_assert_msg(strstr(said.err, text) != NULL, "\"%s\" is not in: %s", text, said.err);
}

static void make_file(void)
{
	int fd = mkstemp(file_path);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

static void remove_file(void)
{
	forget();
	(void)unlink(file_path);
	memcpy(strchr(file_path, '.') + 1, "XXXXXX", 6);
}

START_TEST(test_defaults)
{
	struct options o;

	ck_assert_int_eq(parse_args(&o, NULL, NULL), OPTIONS_RUN);
	ck_assert_str_eq(o.database, "");
	ck_assert_int_eq(o.db_connections, 1);
	ck_assert(o.share);
	ck_assert_int_eq(o.request_timeout_ms, 5000);
	ck_assert_int_eq(o.max_waiting, 10000);
	ck_assert_int_eq(o.slow_log_ms, 1000);
	ck_assert_int_eq(o.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(o.cors_origin, "");
	ck_assert_str_eq(o.config, "");
	ck_assert(!o.check);
	options_free(&o);
	options_free(&o); /* harmless */
}
END_TEST

START_TEST(test_both_forms_of_flags)
{
	char *const args[] = {"agents-fcgi", "--share", "off", "--max-waiting=7", "--check", "--database=dbname=a",
			      "--slow-log",  "0ms",     NULL},
		    *const env[] = {NULL};
	struct options o;

	ck_assert_int_eq(parse(&o, args, env), OPTIONS_RUN);
	ck_assert(!o.share);
	ck_assert_int_eq(o.max_waiting, 7);
	ck_assert(o.check);
	ck_assert_str_eq(o.database, "dbname=a");
	ck_assert_int_eq(o.slow_log_ms, 0);
	options_free(&o);
}
END_TEST

START_TEST(test_flags_win_over_environment_over_file_over_default)
{
	char config[64];
	char *const args[] = {"agents-fcgi", config, "--max-waiting=3", NULL}, *const env[] = {"AGENTS_FCGI_MAX_WAITING=2",
											       "AGENTS_FCGI_SLOW_LOG=2s", NULL};
	struct options o;

	(void)snprintf(config, sizeof(config), "--config=%s", file_path);
	put_file("max-waiting = 1\nslow-log = 1ms\nlog-level = debug\n", 49);
	ck_assert_int_eq(parse(&o, args, env), OPTIONS_RUN);
	ck_assert_int_eq(o.max_waiting, 3);
	ck_assert_int_eq(o.slow_log_ms, 2000);
	ck_assert_int_eq(o.log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(o.db_connections, 1);
	ck_assert_str_eq(o.config, file_path);
	options_free(&o);
}
END_TEST

START_TEST(test_the_last_flag_wins)
{
	struct options o;

	ck_assert_int_eq(parse_args(&o, "--share=off", "--share=on"), OPTIONS_RUN);
	ck_assert(o.share);
	options_free(&o);
}
END_TEST

START_TEST(test_a_bad_value_is_an_error_even_where_a_flag_wins)
{
	char *const args[] = {"agents-fcgi", "--share=on", NULL}, *const env[] = {"AGENTS_FCGI_SHARE=maybe", NULL};
	struct options o;

	expect_error(parse(&o, args, env), "AGENTS_FCGI_SHARE: \"maybe\" is neither on nor off");
}
END_TEST

START_TEST(test_the_environment_may_name_the_file)
{
	char variable[64];
	struct options o;

	put_file("share = off", 11); /* without an end of line */
	(void)snprintf(variable, sizeof(variable), "AGENTS_FCGI_CONFIG=%s", file_path);
	ck_assert_int_eq(parse_env(&o, variable), OPTIONS_RUN);
	ck_assert(!o.share);
	options_free(&o);
}
END_TEST

static const struct {
	const char *arg;
	const char *error;
} bad_values[] = {
	{"--request-timeout=5", "--request-timeout: \"5\" has no unit; give a duration such as 5s or 500ms (100ms to 60s)"},
	{"--request-timeout=99ms", "--request-timeout: \"99ms\" is out of range (100ms to 60s)"},
	{"--request-timeout=60001ms", "out of range (100ms to 60s)"},
	{"--request-timeout=61s", "out of range"},
	{"--request-timeout=99999999999999999999s", "out of range"},
	{"--request-timeout=1m", "is not a duration"},
	{"--request-timeout=1 s", "is not a duration"},
	{"--request-timeout=-1s", "is not a duration"},
	{"--request-timeout=1.5s", "is not a duration"},
	{"--request-timeout=", "\"\" is not a duration"},
	{"--slow-log=60001ms", "out of range (0ms to 60s)"},
	{"--db-connections=0", "--db-connections: \"0\" is out of range (1 to 64)"},
	{"--db-connections=65", "out of range (1 to 64)"},
	{"--db-connections=18446744073709551617", "out of range (1 to 64)"},
	{"--db-connections=1x", "\"1x\" is not a whole number (1 to 64)"},
	{"--db-connections=+1", "is not a whole number"},
	{"--db-connections= 1", "is not a whole number"},
	{"--db-connections=", "is not a whole number"},
	{"--max-waiting=100001", "out of range (1 to 100000)"},
	{"--share=yes", "\"yes\" is neither on nor off"},
	{"--share=ON", "\"ON\" is neither on nor off"},
	{"--log-level=loud", "\"loud\" is none of error, warn, info and debug"},
	{"--share=a\nb", "--share: holds a control character (byte 2)"},
	{"--database=host=a\x7F", "holds a control character (byte 7)"},
	{"--database=benchmarks", "not a connection string: a name without ="},
	{"--database=hots=localhost", "a parameter that libpq does not know; did you mean host?"},
	{"--database=host='a", "a ' without its partner"},
	{"--database=postgresql://a%zz/", "% without two hexadecimal digits"},
	{"--database=postgresql://[::1/", "IPv6"},
	{"--cors-origin=example.com", "\"example.com\" is not an origin; give * or scheme://host"},
	{"--cors-origin=https://a https://b/", "\"https://b/\" is not an origin"},
	{"--cors-origin=* https://a", "\"*\" is not an origin"},
	{"--cors-origin=https://A", "in lower case"},
	{"--cors-origin=https://", "is not an origin"},
	{"--cors-origin=https://a:", "is not an origin"},
	{"--cors-origin=https://a:x", "is not an origin"},
	{"--cors-origin=https://a:0", "has a port that is not 1 to 65535"},
	{"--cors-origin=https://a:65536", "has a port that is not 1 to 65535"},
	{"--cors-origin=https://a:443", "default port"},
	{"--cors-origin=http://a:80", "default port"},
	{"--cors-origin=https://[::1", "is not an origin"},
	{"--cors-origin=https://[::1]x", "is not an origin"},
	{"--cors-origin=null", "is not an origin"},
};

START_TEST(test_bad_values_name_option_value_and_range)
{
	struct options o;

	expect_error(parse_args(&o, bad_values[_i].arg, NULL), bad_values[_i].error);
}
END_TEST

START_TEST(test_good_limits)
{
	static const char *const good[] = {
		"--request-timeout=100ms",
		"--request-timeout=60s",
		"--request-timeout=60000ms",
		"--db-connections=64",
		"--max-waiting=1",
		"--slow-log=0s",
		"--log-level=error",
		"--cors-origin=*",
		"--cors-origin=",
		"--cors-origin=https://a.example http://localhost:3000 https://[::1]:8443 app+x://id",
		"--database=",
		"--database=postgresql://user@[::1]:5432,b/db?target_session_attrs=any",
		"--database=host=/tmp user='a b'",
		"--config=",
	};
	struct options o;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(parse_args(&o, good[i], NULL) == OPTIONS_RUN, "%s", said.err);
		options_free(&o);
	}
}
END_TEST

START_TEST(test_origins_are_kept_with_single_spaces)
{
	struct options o;

	ck_assert_int_eq(parse_args(&o, "--cors-origin", "  https://a   http://b:81 "), OPTIONS_RUN);
	ck_assert_str_eq(o.cors_origin, "https://a http://b:81");
	options_free(&o);
}
END_TEST

START_TEST(test_wrong_command_lines)
{
	struct options o;

	expect_error(parse_args(&o, "--requesttimeout", "5s"), "no option --requesttimeout; did you mean --request-timeout?");
	expect_error(parse_args(&o, "--colour=red", NULL), "no option --colour (");
	expect_error(parse_args(&o, "--share", NULL), "--share needs a value");
	expect_error(parse_args(&o, "--share", "--check"), "--share needs a value");
	expect_error(parse_args(&o, "--check=on", NULL), "--check takes no value");
	expect_error(parse_args(&o, "-h", NULL), "argument 1 is no --name");
	expect_error(parse_args(&o, "--", NULL), "argument 1 is no --name");
	expect_error(parse_args(&o, "--check", ""), "argument 2 is no --name");
	expect_error(parse_args(&o, "--shar", NULL), "no option --shar; did you mean --share?");
}
END_TEST

START_TEST(test_wrong_environment)
{
	struct options o;

	expect_error(parse_env(&o, "AGENTS_FCGI_SHAER=on"), "no option for AGENTS_FCGI_SHAER; did you mean AGENTS_FCGI_SHARE?");
	expect_error(parse_env(&o, "AGENTS_FCGI_share=on"), "no option for AGENTS_FCGI_share");
	expect_error(parse_env(&o, "AGENTS_FCGI_=on"), "no option for AGENTS_FCGI_");
	expect_error(parse_env(&o, "AGENTS_FCGI_CHECK=on"), "AGENTS_FCGI_CHECK: can't be set in the environment; give --check");
	expect_error(parse_env(&o, "AGENTS_FCGI_DB_CONNECTIONS=99"),
		     "AGENTS_FCGI_DB_CONNECTIONS: \"99\" is out of range (1 to 64)");
	ck_assert_int_eq(parse_env(&o, "AGENTS_FCGI"), OPTIONS_RUN);
	options_free(&o);
	ck_assert_int_eq(parse_env(&o, "AGENTS_OTHER=x"), OPTIONS_RUN);
	options_free(&o);
}
END_TEST

START_TEST(test_a_file_with_comments_spaces_and_crlf)
{
	struct options o;

	ck_assert_int_eq(parse_file(&o, "# a comment\r\n\r\n  share=off  \r\n\t log-level\t=\twarn\n  # another\ncors-origin =\n"
					"database = dbname=a user=b # no comment=c\n"),
			 OPTIONS_ERROR);
	expect_error(OPTIONS_ERROR, ":7: database: not a connection string");
	ck_assert_int_eq(parse_file(&o, "# a comment\r\n\r\n  share=off  \r\n\t log-level\t=\twarn\n  # another\ncors-origin =\n"
					"database = dbname=a user=b\n"),
			 OPTIONS_RUN);
	ck_assert(!o.share);
	ck_assert_int_eq(o.log_level, LOG_LEVEL_WARN);
	ck_assert_str_eq(o.database, "dbname=a user=b");
	options_free(&o);
	ck_assert_int_eq(parse_file(&o, ""), OPTIONS_RUN);
	options_free(&o);
}
END_TEST

START_TEST(test_wrong_files)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"share = on\nmax-waitng = 5\n", ":2: there is no option \"max-waitng\"; did you mean max-waiting?"},
		{"share on\n", ":1: not a line of the form name = value"},
		{"= on\n", ":1: not a line of the form name = value"},
		{"share\n", ":1: not a line of the form name = value"},
		{"share = on\n\nshare = on\n", ":3: share is set already on line 1"},
		{"config = /x\n", ":1: config can't be set in the file"},
		{"check = on\n", ":1: check can't be set in the file"},
		{"share = perhaps\n", ":1: share: \"perhaps\" is neither on nor off"},
		{"request-timeout = 1\n", ":1: request-timeout: \"1\" has no unit"},
		{"\xEF\xBB\xBFshare = on\n", ":1: not a line of the form name = value"},
		{"share = \x01\n", ":1: share: holds a control character (byte 1)"},
		{"database = host=a password='" SECRET "\n", ":1: database: not a connection string: a ' without"},
		{"password = " SECRET "\n", ":1: there is no option \"password\""},
		{"host=a " SECRET "\n", ":1: there is no option \"host\""},
		{":" SECRET " = x\n", ":1: not a line of the form name = value"},
	};
	struct options o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_error(parse_file(&o, cases[i].text), cases[i].error);
		expect_error(OPTIONS_ERROR, file_path);
	}
}
END_TEST

START_TEST(test_files_that_cannot_be_read)
{
	char *big = malloc(70000);
	struct options o;

	ck_assert_ptr_nonnull(big);
	expect_error(parse_args(&o, "--config", "/nonexistent/file"),
		     "/nonexistent/file: cannot read the file of --config: No such file");
	expect_error(parse_args(&o, "--config", "/"), "it is a directory");
	expect_error(parse_args(&o, "--config", "/dev/zero"), "it is no regular file");
	put_file("share = on\0\n", 12);
	expect_error(parse_args(&o, "--config", file_path), ":1: the line holds a NUL byte");
	memset(big, '#', 70000);
	put_file(big, 70000);
	expect_error(parse_args(&o, "--config", file_path), "larger than 64 KiB");
	put_file(big, 4097);
	expect_error(parse_args(&o, "--config", file_path), ":1: the line is longer than 4096 bytes");
	put_file(big, 4096);
	ck_assert_int_eq(parse_args(&o, "--config", file_path), OPTIONS_RUN);
	options_free(&o);
	free(big);
}
END_TEST

static const char *const with_password[] = {
	"host=a password=" SECRET,
	"password = '" SECRET "'",
	"postgresql://user:" SECRET "@host/db",
	"postgres://:" SECRET "@/",
	"postgresql://host/db?password=" SECRET,
	"postgresql://host/db?sslpassword=" SECRET,
	"sslpassword=" SECRET,
	"dbname='host=a password=" SECRET "'",
	"dbname=postgresql://user:" SECRET "@host/db",
	"postgresql://user:%68unter2@host/db", /* h */
};

START_TEST(test_a_password_on_the_command_line_is_refused)
{
	struct options o;

	expect_error(parse_args(&o, "--database", with_password[_i]), "--database: holds a password");
	expect_error(OPTIONS_ERROR, "AGENTS_FCGI_DATABASE");
}
END_TEST

START_TEST(test_a_password_from_environment_or_file_is_used_and_never_printed)
{
	char text[200];
	struct options o;
	char *const args[] = {"agents-fcgi", "--print-config", NULL}, *const env[] = {text, NULL};

	(void)snprintf(text, sizeof(text), "AGENTS_FCGI_DATABASE=%s", with_password[_i]);
	ck_assert_int_eq(parse_env(&o, text), OPTIONS_RUN);
	ck_assert_str_eq(o.database, with_password[_i]);
	options_free(&o);
	ck_assert_int_eq(parse(&o, args, env), OPTIONS_DONE);
	ck_assert_ptr_nonnull(strstr(said.out, "='********'"));
	ck_assert_ptr_null(strstr(said.out, "unter2"));
	(void)snprintf(text, sizeof(text), "database = %s\n", with_password[_i]);
	ck_assert_int_eq(parse_file(&o, text), OPTIONS_RUN);
	ck_assert_str_eq(o.database, with_password[_i]);
	options_free(&o);
}
END_TEST

START_TEST(test_a_password_without_a_value_is_none)
{
	struct options o;

	ck_assert_int_eq(parse_args(&o, "--database", "host=a password=''"), OPTIONS_RUN);
	options_free(&o);
}
END_TEST

/* However wrong the command line is, no part of what may be a password comes back (parse looks for it in all output). */
START_TEST(test_errors_never_show_a_secret)
{
	static const char *const args[][2] = {
		{"--database", "host=a passwrod=" SECRET},
		{"--database", "host=a password=x " SECRET},
		{"--database", "host=a password='" SECRET},
		{"--database", "password=a " SECRET "=b"},
		{"--database", "postgresql://u:" SECRET "@h:x@y/%"},
		{"--database", "postgresql://h/?" SECRET "=1"},
		{"--database", "postgresql://h/?" SECRET},
		{"--database", "postgresql://u:" SECRET "@[::1"},
		{"--databse=host=a password=" SECRET, NULL},
		{"--check", "password=" SECRET},
		{"--cors-origin", "postgresql://u:" SECRET "@h/"},
		{"--share", "password=" SECRET},
		{"--config", "/nonexistent"},
	};
	struct options o;

	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		ck_assert_int_eq(parse_args(&o, args[i][0], args[i][1]), OPTIONS_ERROR);
	ck_assert_int_eq(parse_env(&o, "AGENTS_FCGI_DATABSE=host=a password=" SECRET), OPTIONS_ERROR);
	ck_assert_int_eq(parse_env(&o, "AGENTS_FCGI_DATABASE=host=a password=x " SECRET), OPTIONS_ERROR);
}
END_TEST

START_TEST(test_version_and_help)
{
	static const char *const names[] = {
		"database",    "db-connections", "share",  "request-timeout", "max-waiting",  "slow-log", "log-level",
		"cors-origin", "scoreboard",     "config", "check",           "print-config", "version",  "help"};
	struct options o;

	ck_assert_int_eq(parse_args(&o, "--version", NULL), OPTIONS_DONE);
	ck_assert_int_eq(strncmp(said.out, "agents-fcgi ", 12), 0);
	ck_assert_int_eq(parse_args(&o, "--help", "--nonsense"), OPTIONS_DONE);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char line[40];

		(void)snprintf(line, sizeof(line), "\n--%s", names[i]);
		ck_assert_msg(strstr(said.out, line) != NULL, "%s", names[i]);
	}
	ck_assert_ptr_nonnull(
		strstr(said.out, "[default 5s; 100ms to 60s; AGENTS_FCGI_REQUEST_TIMEOUT; a reload does not change it]"));
	ck_assert_ptr_nonnull(strstr(said.out, "[default on; AGENTS_FCGI_SHARE; a reload changes it]"));
}
END_TEST

START_TEST(test_print_config_is_a_file_that_config_accepts)
{
	char *const args[] = {"agents-fcgi",
			      "--print-config",
			      "--share=off",
			      "--cors-origin=https://a http://b:81",
			      "--request-timeout=7s",
			      "--log-level=debug",
			      "--database=host=x dbname='it\\'s'",
			      "--db-connections=3",
			      "--scoreboard=/run/x/board",
			      NULL},
		    *const env[] = {"AGENTS_FCGI_SLOW_LOG=0ms", NULL};
	struct options o;
	char *printed;

	ck_assert_int_eq(parse(&o, args, env), OPTIONS_DONE);
	ck_assert_str_eq(said.out,
			 "database = host=x dbname='it\\'s'\ndb-connections = 3\nshare = off\nrequest-timeout = 7000ms\n"
			 "max-waiting = 10000\nslow-log = 0ms\nlog-level = debug\ncors-origin = https://a http://b:81\n"
			 "scoreboard = /run/x/board\n");
	printed = strdup(said.out);
	put_file(printed, strlen(printed));
	ck_assert_int_eq(parse_args(&o, "--config", file_path), OPTIONS_RUN);
	options_free(&o);
	ck_assert_int_eq(parse_args(&o, "--print-config", NULL), OPTIONS_DONE);
	ck_assert_ptr_nonnull(strstr(said.out, "\nrequest-timeout = 5000ms\n"));
	free(printed);
}
END_TEST

START_TEST(test_print_config_hides_a_password_in_a_line_that_config_accepts)
{
	char *const args[] = {"agents-fcgi", "--print-config", NULL}, *const env[] = {
									      "AGENTS_FCGI_DATABASE=postgresql://it's:" SECRET
									      "@h/a%5Cb",
									      NULL};
	struct options o;
	char *printed;

	ck_assert_int_eq(parse(&o, args, env), OPTIONS_DONE);
	printed = strdup(said.out);
	put_file(printed, strlen(printed));
	ck_assert_int_eq(parse_args(&o, "--config", file_path), OPTIONS_RUN);
	ck_assert_str_eq(o.database, "user='it\\'s' password='********' dbname='a\\\\b' host='h'");
	options_free(&o);
	free(printed);
}
END_TEST

START_TEST(test_print_config_keeps_space_that_belongs_to_a_uri)
{
	char *const args[] = {"agents-fcgi", "--print-config", "--database=postgresql://h/a ", NULL}, *const env[] = {NULL};
	struct options o;

	ck_assert_int_eq(parse(&o, args, env), OPTIONS_DONE);
	ck_assert_int_eq(strncmp(said.out, "database = dbname='a ' host='h'\n", 32), 0);
}
END_TEST

START_TEST(test_a_reload_takes_over_what_it_may_and_names_the_rest)
{
	struct options o, fresh;
	char later[100];

	ck_assert_int_eq(parse_file(&o, "share = on\ncors-origin = https://a\nmax-waiting = 5\n"), OPTIONS_RUN);
	ck_assert_int_eq(
		parse_file(&fresh,
			   "share = off\ncors-origin = https://b\nmax-waiting = 5\ndb-connections = 2\ndatabase = host=b\n"),
		OPTIONS_RUN);
	ck_assert_uint_eq(options_reload(&o, &fresh, later, sizeof(later)), 2);
	options_free(&fresh);
	ck_assert(!o.share);
	ck_assert_str_eq(o.cors_origin, "https://b");
	ck_assert_int_eq(o.max_waiting, 5);
	ck_assert_int_eq(o.db_connections, 1);
	ck_assert_str_eq(o.database, "");
	ck_assert_str_eq(later, "database db-connections");

	ck_assert_int_eq(
		parse_file(&fresh,
			   "share = off\ncors-origin = https://b\nmax-waiting = 5\nlog-level = error\ndatabase = host=b\n"),
		OPTIONS_RUN);
	ck_assert_uint_eq(options_reload(&o, &fresh, later, 5), 1); /* the names are cut, no more */
	ck_assert_str_eq(later, "data");
	ck_assert_int_eq(o.log_level, LOG_LEVEL_ERROR);
	options_free(&fresh);
	options_free(&o);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *values = tcase_create("values"), *secrets = tcase_create("secrets");
	SRunner *runner = srunner_create(suite);
	int failed, passwords = sizeof(with_password) / sizeof(with_password[0]);

	tcase_add_checked_fixture(values, make_file, remove_file);
	tcase_add_test(values, test_defaults);
	tcase_add_test(values, test_both_forms_of_flags);
	tcase_add_test(values, test_flags_win_over_environment_over_file_over_default);
	tcase_add_test(values, test_the_last_flag_wins);
	tcase_add_test(values, test_a_bad_value_is_an_error_even_where_a_flag_wins);
	tcase_add_test(values, test_the_environment_may_name_the_file);
	tcase_add_loop_test(values, test_bad_values_name_option_value_and_range, 0, sizeof(bad_values) / sizeof(bad_values[0]));
	tcase_add_test(values, test_good_limits);
	tcase_add_test(values, test_origins_are_kept_with_single_spaces);
	tcase_add_test(values, test_wrong_command_lines);
	tcase_add_test(values, test_wrong_environment);
	tcase_add_test(values, test_a_file_with_comments_spaces_and_crlf);
	tcase_add_test(values, test_wrong_files);
	tcase_add_test(values, test_files_that_cannot_be_read);
	tcase_add_test(values, test_version_and_help);
	tcase_add_test(values, test_print_config_is_a_file_that_config_accepts);
	tcase_add_test(values, test_print_config_keeps_space_that_belongs_to_a_uri);
	tcase_add_test(values, test_a_reload_takes_over_what_it_may_and_names_the_rest);
	suite_add_tcase(suite, values);
	tcase_add_checked_fixture(secrets, make_file, remove_file);
	tcase_add_loop_test(secrets, test_a_password_on_the_command_line_is_refused, 0, passwords);
	tcase_add_loop_test(secrets, test_a_password_from_environment_or_file_is_used_and_never_printed, 0, passwords);
	tcase_add_test(secrets, test_a_password_without_a_value_is_none);
	tcase_add_test(secrets, test_errors_never_show_a_secret);
	tcase_add_test(secrets, test_print_config_hides_a_password_in_a_line_that_config_accepts);
	suite_add_tcase(suite, secrets);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
