/*
 * Passwords: where they may stand, and that nobody prints them.
 */
#include "options_fixture.h"

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

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, test_a_password_on_the_command_line_is_refused, 0,
			    sizeof(with_password) / sizeof(with_password[0]));
	tcase_add_loop_test(tc, test_a_password_from_environment_or_file_is_used_and_never_printed, 0,
			    sizeof(with_password) / sizeof(with_password[0]));
	tcase_add_test(tc, test_a_password_without_a_value_is_none);
	tcase_add_test(tc, test_errors_never_show_a_secret);
	tcase_add_test(tc, test_print_config_hides_a_password_in_a_line_that_config_accepts);
}

int main(void)
{
	return suite_run("options_secret", make_file, remove_file, add_tests);
}
