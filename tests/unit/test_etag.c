#include "etag.h"

#include <check.h>
#include <stdlib.h>

#define TAG "\"0123456789abcdef\""

static bool matches(const char *if_none_match)
{
	return etag_matches(str_of(if_none_match), str_of(TAG));
}

START_TEST(strong_form)
{
	char tag[ETAG_BYTES];

	/* The XXH3 specification's hash of no bytes. */
	etag_make(str_of(""), tag);
	ck_assert_str_eq(tag, "\"2d06800538d394c2\"");
}
END_TEST

START_TEST(every_byte_counts)
{
	char content[300];
	char first[ETAG_BYTES];
	char tag[ETAG_BYTES];

	memset(content, 'a', sizeof(content));
	etag_make(str_make(content, sizeof(content)), first);
	ck_assert_uint_eq(strlen(first), ETAG_BYTES - 1);
	for (size_t i = 0; i < sizeof(content); i++) {
		content[i] = 'b';
		etag_make(str_make(content, sizeof(content)), tag);
		ck_assert_str_ne(tag, first);
		content[i] = 'a';
		etag_make(str_make(content, i), tag);
		ck_assert_str_ne(tag, first);
	}
	etag_make(str_make(content, sizeof(content)), tag);
	ck_assert_str_eq(tag, first);
}
END_TEST

START_TEST(matching_fields)
{
	static const char *const fields[] = {
		TAG,
		"W/" TAG,
		"  " TAG "\t ",
		"\"x\", " TAG,
		"\"x\"," TAG ",\"y\"",
		TAG ", \"x\"",
		"W/\"x\" , W/" TAG,
		", ,, " TAG,
		TAG ",",
		"\"\", " TAG,
		"\"a,b\", " TAG,
		"\"a,\xc3\xa9\" , " TAG,
		/* obs-text and every other byte that an opaque tag may hold */
		"\"!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\x80\xff\"," TAG,
		"*",
		" \t* ",
		/* a fault behind the match */
		TAG " \"x\"",
		TAG "x",
		TAG ", broken",
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		ck_assert_msg(matches(fields[i]), "%s", fields[i]);
}
END_TEST

START_TEST(fields_that_do_not_match)
{
	static const char *const fields[] = {
		"",
		" ",
		",",
		"\"0123456789abcdeF\"",
		"\"0123456789abcde\"",
		"\"0123456789abcdef0\"",
		"0123456789abcdef",
		"\"0123456789abcdef",
		"0123456789abcdef\"",
		"w/" TAG,
		"W /" TAG,
		"W/ " TAG,
		"W/W/" TAG,
		"W/",
		"W",
		"\"",
		"\"\"",
		"**",
		"*, \"x\"",
		"*" TAG,
		"\"x\", *",
		/* a tag within a tag's text is none */
		"\"x, 0123456789abcdef\"",
		"\"," TAG ",\"",
		/* a fault before the match */
		"broken, " TAG,
		"\"x\" " TAG,
		"\"a b\", " TAG,
		"\"a\x7f\", " TAG,
		"\"a\tb\", " TAG,
		"\"x\"; " TAG,
		"\"x\", W/, " TAG,
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		ck_assert_msg(!matches(fields[i]), "%s", fields[i]);
}
END_TEST

START_TEST(reads_no_byte_beyond_the_field)
{
	static const char field[] = "\"x\", W/" TAG;

	/* Every prefix in memory of just its length, for the sanitizer's eyes; only the whole matches. */
	for (size_t len = 0; len < sizeof(field); len++) {
		char *copy = malloc(len + 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy + 1, field, len);
		ck_assert_int_eq(etag_matches(str_make(copy + 1, len), str_of(TAG)), len == sizeof(field) - 1);
		free(copy);
	}
}
END_TEST

START_TEST(many_members)
{
	size_t count = 3000;
	char *field = malloc(count * 8 + sizeof(TAG));
	char *p = field;

	ck_assert_ptr_nonnull(field);
	for (size_t i = 0; i < count; i++) {
		memcpy(p, "W/\"ab\", ", 8);
		p += 8;
	}
	ck_assert(!etag_matches(str_make(field, (size_t)(p - field)), str_of(TAG)));
	memcpy(p, TAG, sizeof(TAG));
	ck_assert(etag_matches(str_of(field), str_of(TAG)));
	free(field);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("etag");
	TCase *tc = tcase_create("etag");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, strong_form);
	tcase_add_test(tc, every_byte_counts);
	tcase_add_test(tc, matching_fields);
	tcase_add_test(tc, fields_that_do_not_match);
	tcase_add_test(tc, reads_no_byte_beyond_the_field);
	tcase_add_test(tc, many_members);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
