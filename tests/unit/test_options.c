/*
 * Options of command line and environment: which wins, which values are good, what is said about others.
 */
#include "options_fixture.h"

START_TEST(test_defaults)
{
	struct options o;

	ck_assert_int_eq(parse_args(&o, NULL, NULL), OPTIONS_RUN);
	ck_assert_str_eq(o.database, "");
	ck_assert_int_eq(o.db_connections, 1);
	ck_assert(o.share);
	ck_assert_int_eq(o.request_timeout_ms, 5000);
	ck_assert_int_eq(o.max_waiting, 10000);
	ck_assert_int_eq(o.max_unread_mb, 64);
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
	{"--max-unread=0", "out of range (1 to 100000)"},
	{"--share=yes", "\"yes\" is neither on nor off"},
	{"--share=ON", "\"ON\" is neither on nor off"},
	{"--log-level=loud", "\"loud\" is none of error, warn, info and debug"},
	{"--scoreboard=/run/board ", "--scoreboard: begins or ends with a space"},
	{"--scoreboard= /run/board", "--scoreboard: begins or ends with a space"},
	{"--share=a\nb", "--share: holds a control character (byte 2)"},
	{"--database=host=a\x7F", "holds a control character (byte 7)"},
	{"--database=postgresql://%1ec@ ", "--database: not a connection string: a control character in its user"},
	{"--database=postgresql://h/d%0Aworkers", "--database: not a connection string: a control character in its dbname"},
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
		"--max-unread=1",
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

/* Wherever it comes from, so that what is printed can be read from a file. */
START_TEST(test_the_longest_value)
{
	static char text[sizeof("AGENTS_FCGI_SCOREBOARD=") + 4097];
	struct options o;

	(void)snprintf(text, sizeof(text), "AGENTS_FCGI_SCOREBOARD=/%04095d", 0);
	ck_assert_int_eq(parse_env(&o, text), OPTIONS_RUN);
	ck_assert_uint_eq(strlen(o.scoreboard), 4096);
	options_free(&o);
	(void)snprintf(text, sizeof(text), "AGENTS_FCGI_SCOREBOARD=/%04096d", 0);
	expect_error(parse_env(&o, text), "AGENTS_FCGI_SCOREBOARD: is longer than 4096 bytes");
	expect_error(parse_args(&o, "--scoreboard", text), "--scoreboard: is longer than 4096 bytes");
	(void)snprintf(text, sizeof(text), "scoreboard=/%04096d", 0);
	expect_error(parse_file(&o, text), ":1: scoreboard: is longer than 4096 bytes");
	/* Printed as user='000...' host='a' port='1' password='********'. */
	(void)snprintf(text, sizeof(text), "AGENTS_FCGI_DATABASE=postgresql://%04060d:x@a:1", 0);
	expect_error(parse_env(&o, text), "AGENTS_FCGI_DATABASE: is longer than 4096 bytes");
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

START_TEST(test_version_and_help)
{
	static const char *const names[] = {"database",   "db-connections", "share",        "request-timeout", "max-waiting",
					    "max-unread", "slow-log",       "log-level",    "cors-origin",     "scoreboard",
					    "config",     "check",          "print-config", "version",         "help"};
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

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_both_forms_of_flags);
	tcase_add_test(tc, test_flags_win_over_environment_over_file_over_default);
	tcase_add_test(tc, test_the_last_flag_wins);
	tcase_add_test(tc, test_a_bad_value_is_an_error_even_where_a_flag_wins);
	tcase_add_loop_test(tc, test_bad_values_name_option_value_and_range, 0, sizeof(bad_values) / sizeof(bad_values[0]));
	tcase_add_test(tc, test_good_limits);
	tcase_add_test(tc, test_the_longest_value);
	tcase_add_test(tc, test_origins_are_kept_with_single_spaces);
	tcase_add_test(tc, test_wrong_command_lines);
	tcase_add_test(tc, test_wrong_environment);
	tcase_add_test(tc, test_version_and_help);
}

int main(void)
{
	return suite_run("options", make_file, remove_file, add_tests);
}
