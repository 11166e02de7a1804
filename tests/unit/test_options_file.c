/*
 * Options in a file, and as --print-config writes them into one.
 */
#include "options_fixture.h"

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
	put_file(big, 65536);
	ck_assert_int_eq(parse_args(&o, "--config", file_path), OPTIONS_RUN);
	options_free(&o);
	free(big);
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
	ck_assert_str_eq(
		said.out,
		"database = host=x dbname='it\\'s'\ndb-connections = 3\nshare = off\nrequest-timeout = 7000ms\n"
		"max-waiting = 10000\nmax-unread = 64\nslow-log = 0ms\nlog-level = debug\ncors-origin = https://a http://b:81\n"
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

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_the_environment_may_name_the_file);
	tcase_add_test(tc, test_a_file_with_comments_spaces_and_crlf);
	tcase_add_test(tc, test_wrong_files);
	tcase_add_test(tc, test_files_that_cannot_be_read);
	tcase_add_test(tc, test_print_config_is_a_file_that_config_accepts);
	tcase_add_test(tc, test_print_config_keeps_space_that_belongs_to_a_uri);
	tcase_add_test(tc, test_a_reload_takes_over_what_it_may_and_names_the_rest);
}

int main(void)
{
	return suite_run("options_file", make_file, remove_file, add_tests);
}
