#include "json.h"
#include "random.h"
#include "result.h"

#include <limits.h>

static struct body *body;

static void setup(void)
{
	body = body_new(0);
	ck_assert_ptr_nonnull(body);
}

static void teardown(void)
{
	body_unref(body);
}

/* json_write_string writes what jansson writes. */
static void string_is(const char *p, size_t len)
{
	body->len = 0;
	json_write_string(body, str_make(p, len));
	body_is_json(body, json_stringn(p, len));
}

START_TEST(every_code_point)
{
	char text[64];

	for (uint32_t c = 1; c < 0x110000; c += c < 0x10000 ? 1 : 0xfd) {
		size_t pad = c % 19;
		char *end;

		if (c >= 0xd800 && c < 0xe000)
			continue;
		string_is(text, (size_t)(utf8_put(text, c) - text));
		/* At every place in a word, with clean bytes around. */
		memset(text, 'x', sizeof(text));
		end = utf8_put(text + pad, c);
		string_is(text, (size_t)(end - text) + c % 11);
	}
	string_is("\xf4\x8f\xbf\xbf", 4);
}
END_TEST

START_TEST(escapes)
{
	json_write_string(body, str_of("\b\f\n\r\t\"\\/\x01\x1f\x7f</script>"));
	body_is(body, "\"\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\\u001F\x7f</script>\"");
}
END_TEST

START_TEST(every_length_and_place_of_an_escape)
{
	char text[40];

	for (size_t len = 0; len <= sizeof(text); len++) {
		for (size_t at = 0; at < len; at++) {
			memset(text, 'a', sizeof(text));
			text[at] = "\"\\\n\x01"[at % 4];
			string_is(text, len);
		}
		memset(text, 'a', sizeof(text));
		string_is(text, len);
	}
}
END_TEST

START_TEST(worst_case_fields)
{
	static const char *const worst[] = {"\x01", "\x1f", "\"", "\\", "\n", "\x7f", "é", "€", "😀", "\xf4\x8f\xbf\xbf"};
	char text[128 * 4];

	for (int i = 0; i < COUNT(worst); i++) {
		size_t len = strlen(worst[i]);

		for (size_t n = 0; n < 128; n++)
			memcpy(text + n * len, worst[i], len);
		string_is(text, 128 * len);
	}
}
END_TEST

START_TEST(long_strings)
{
	static char text[3 * 4096 + 8];

	/* Around the pieces that a long string is written in, with characters that straddle their borders. */
	for (size_t len = 4090; len <= sizeof(text); len += len % 4096 > 4 && len % 4096 < 4090 ? 4085 : 1) {
		for (size_t i = 0; i < len; i++)
			text[i] = i % 7 == 0 ? '\x02' : 'y';
		string_is(text, len);
		memset(text, 'x', len);
		string_is(text, len);
		for (size_t at = 4093; at < 4096 && at + 4 <= len; at++) {
			memset(text, 'x', len);
			utf8_put(text + at, 0x1f600);
			string_is(text, len);
		}
	}
}
END_TEST

START_TEST(random_strings)
{
	uint64_t state = random_seed();
	char text[4 * 100 + 1];

	for (int i = 0; i < 30000; i++) {
		random_text(&state, text, 100);
		string_is(text, strlen(text));
	}
}
END_TEST

static void int_is(int32_t value)
{
	body->len = 0;
	json_write_int(body, value);
	body_is_json(body, json_integer(value));
}

START_TEST(integers)
{
	uint64_t state = random_seed();

	for (int64_t power = 1; power <= INT_MAX; power *= 10) {
		for (int64_t value = power - 2; value <= power + 2; value++) {
			int_is((int32_t)value);
			int_is((int32_t)-value);
		}
	}
	for (int32_t value = -1100; value <= 1100; value++)
		int_is(value);
	int_is(INT_MAX);
	int_is(INT_MIN);
	int_is(INT_MIN + 1);
	for (int i = 0; i < 100000; i++)
		int_is((int32_t)((uint32_t)random_next(&state) >> random_below(&state, 31)));
	body->len = 0;
	json_write_int(body, INT_MIN);
	body_is(body, "-2147483648");
}
END_TEST

START_TEST(null)
{
	json_write_null(body);
	body_is_json(body, json_null());
}
END_TEST

START_TEST(members)
{
	json_member_string(body, str_of("{\"s\": "), str_of("a\"b"));
	json_member_int(body, str_of(", \"i\": "), -1);
	json_member_raw(body, str_of(", \"r\": "), str_of("true"));
	json_member_raw(body, str_of(""), str_of("}"));
	body_is_json(body, json_pack("{s:s, s:i, s:b}", "s", "a\"b", "i", -1, "r", 1));
}
END_TEST

START_TEST(timestamps_as_to_json_writes_them)
{
	/* Both columns come from PostgreSQL 15: t::text and to_json(t). */
	static const char *const pairs[][2] = {
		{"2026-01-02 03:04:05", "\"2026-01-02T03:04:05\""},
		{"2026-01-02 03:04:05.000002", "\"2026-01-02T03:04:05.000002\""},
		{"0001-01-01 00:00:00", "\"0001-01-01T00:00:00\""},
		{"12026-01-02 03:04:05", "\"12026-01-02T03:04:05\""},
		{"294276-12-31 23:59:59.999999", "\"294276-12-31T23:59:59.999999\""},
		{"0044-03-15 12:00:00 BC", "\"0044-03-15T12:00:00 BC\""},
		{"4713-01-01 00:00:00 BC", "\"4713-01-01T00:00:00 BC\""},
		{"infinity", "\"infinity\""},
		{"-infinity", "\"-infinity\""},
	};

	for (int i = 0; i < COUNT(pairs); i++) {
		body->len = 0;
		json_member_timestamp(body, str_of(""), str_of(pairs[i][0]));
		body_is(body, pairs[i][1]);
	}
	/* A space of the prefix is not the timestamp's. */
	body->len = 0;
	json_member_timestamp(body, str_of(", \"login at\": "), str_of("2026-01-02 03:04:05"));
	body_is(body, ", \"login at\": \"2026-01-02T03:04:05\"");
}
END_TEST

START_TEST(nothing_is_written_to_a_failed_body)
{
	static char text[10000];

	memset(text, ' ', sizeof(text));
	body_append(body, "kept", 4);
	body_fail(body);
	json_write_string(body, str_of("x"));
	json_write_string(body, str_make(text, sizeof(text)));
	json_write_int(body, 1);
	json_write_null(body);
	json_member_raw(body, str_of("a"), str_of("b"));
	json_member_timestamp(body, str_of(""), str_of("2026-01-02 03:04:05"));
	json_member_timestamp(body, str_of(""), str_make(text, sizeof(text)));
	ck_assert(str_equal(body_str(body), str_of("kept")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *tc = tcase_create("json");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, every_code_point);
	tcase_add_test(tc, escapes);
	tcase_add_test(tc, every_length_and_place_of_an_escape);
	tcase_add_test(tc, worst_case_fields);
	tcase_add_test(tc, long_strings);
	tcase_add_test(tc, random_strings);
	tcase_add_test(tc, integers);
	tcase_add_test(tc, null);
	tcase_add_test(tc, members);
	tcase_add_test(tc, timestamps_as_to_json_writes_them);
	tcase_add_test(tc, nothing_is_written_to_a_failed_body);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
