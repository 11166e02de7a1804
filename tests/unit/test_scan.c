#include "scan_fixture.h"

static void expect_bad(const struct wire *w, const char *reason)
{
	struct scan s = scan_exactly(w->bytes, w->len);

	ck_assert_int_eq(s.verdict, SCAN_BAD);
	ck_assert_str_eq(s.reason, reason);
}

/* Every shorter piece of a good request is PARTIAL, and what stands behind it is not judged. */
static void expect_whole(const struct wire *w)
{
	struct wire *more = malloc(sizeof(*more));
	struct scan s = scan_exactly(w->bytes, w->len);

	ck_assert_int_eq(s.verdict, SCAN_WHOLE);
	ck_assert_uint_eq(s.length, w->len);
	for (size_t cut = 0; cut < w->len; cut++)
		ck_assert_int_eq(scan_exactly(w->bytes, cut).verdict, SCAN_PARTIAL);
	ck_assert_ptr_nonnull(more);
	memcpy(more->bytes, w->bytes, w->len);
	memset(more->bytes + w->len, 0xFF, 9);
	s = scan_exactly(more->bytes, w->len + 9);
	ck_assert_int_eq(s.verdict, SCAN_WHOLE);
	ck_assert_uint_eq(s.length, w->len);
	free(more);
}

START_TEST(test_a_request_of_nginx_is_whole_and_partial_at_every_cut)
{
	struct wire w = {.len = 0};
	struct scan s;

	request_of_nginx(&w, 1);
	expect_whole(&w);
	s = scan_exactly(w.bytes, w.len);
	ck_assert_uint_eq(s.request_id, 1);
	ck_assert(s.keep_conn);
}
END_TEST

START_TEST(test_request_id_and_keep_conn_are_those_of_begin)
{
	struct wire w = {.len = 0};
	struct scan s;

	begin(&w, 0xABCD, 1, 0xFE); /* every flag but KEEP_CONN */
	record(&w, PARAMS, 0xABCD, NULL, 0, 0);
	record(&w, STDIN, 0xABCD, NULL, 0, 0);
	s = scan_exactly(w.bytes, w.len);
	ck_assert_int_eq(s.verdict, SCAN_WHOLE);
	ck_assert_uint_eq(s.request_id, 0xABCD);
	ck_assert(!s.keep_conn);
	expect_whole(&w);
}
END_TEST

START_TEST(test_pairs_may_span_records_at_every_byte)
{
	uint8_t pairs[1024];
	size_t len = pairs_of_nginx(pairs);

	len += put_pair(pairs + len, "LONG", "value", true);
	for (size_t cut = 1; cut < len; cut++) {
		struct wire w = {.len = 0};

		begin(&w, 7, 1, 1);
		record(&w, PARAMS, 7, pairs, cut, (unsigned)cut & 0xFF);
		record(&w, PARAMS, 7, pairs + cut, len - cut, 3);
		record(&w, PARAMS, 7, NULL, 0, 0);
		record(&w, STDIN, 7, NULL, 0, 0);
		ck_assert_int_eq(scan_exactly(w.bytes, w.len).verdict, SCAN_WHOLE);
	}
}
END_TEST

START_TEST(test_one_byte_records_and_content_of_stdin_are_allowed)
{
	struct wire w = {.len = 0};
	uint8_t pairs[1024];
	size_t len = pairs_of_nginx(pairs);

	begin(&w, 1, 1, 0);
	for (size_t i = 0; i < len; i++)
		record(&w, PARAMS, 1, pairs + i, 1, 1);
	record(&w, PARAMS, 1, NULL, 0, 0);
	record(&w, STDIN, 1, "some body", 9, 7);
	record(&w, STDIN, 1, "more", 4, 0);
	record(&w, STDIN, 1, NULL, 0, 0);
	expect_whole(&w);
}
END_TEST

START_TEST(test_records_out_of_order_are_bad)
{
	static const struct {
		unsigned first, second;
		const char *reason;
	} cases[] = {
		{BEGIN, 0, "second_begin"},      {STDIN, 0, "stdin_before_params_end"},
		{PARAMS, BEGIN, "second_begin"}, {PARAMS, PARAMS, "params_after_end"},
		{PARAMS, DATA, "record_type"},   {DATA, 0, "record_type"},
		{END, 0, "record_type"},         {STDOUT, 0, "record_type"},
		{GET_VALUES, 0, "record_type"},  {UNKNOWN, 0, "record_type"},
		{0xFF, 0, "record_type"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire w = {.len = 0};

		begin(&w, 1, 1, 1);
		record(&w, cases[i].first, 1, NULL, 0, 0);
		if (cases[i].second != 0)
			record(&w, cases[i].second, 1, NULL, 0, 0);
		expect_bad(&w, cases[i].reason);
		/* The type alone says so, and so do all bytes of the header. */
		for (size_t missing = 1; missing <= 6; missing++)
			ck_assert_int_eq(scan_exactly(w.bytes, w.len - missing).verdict, SCAN_BAD);
		ck_assert_int_eq(scan_exactly(w.bytes, w.len - 7).verdict, SCAN_PARTIAL);
	}
}
END_TEST

START_TEST(test_records_before_begin_are_bad)
{
	static const unsigned types[] = {ABORT, PARAMS, STDIN};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct wire w = {.len = 0};

		record(&w, types[i], 1, NULL, 0, 0);
		expect_bad(&w, "record_before_begin");
	}
}
END_TEST

START_TEST(test_another_version_is_bad_from_its_first_byte)
{
	const uint8_t http[] = "GET / HTTP/1.1\r\n", version_2[] = {2};

	ck_assert_str_eq(scan_exactly(http, 1).reason, "version");
	ck_assert_str_eq(scan_exactly(http, sizeof(http)).reason, "version");
	ck_assert_str_eq(scan_exactly(version_2, 1).reason, "version");
	ck_assert_int_eq(scan_exactly(http, 0).verdict, SCAN_PARTIAL);
}
END_TEST

START_TEST(test_another_request_id_is_bad)
{
	struct wire w = {.len = 0};

	begin(&w, 1, 1, 1);
	record(&w, PARAMS, 2, NULL, 0, 0);
	expect_bad(&w, "request_id_changed");
	ck_assert_int_eq(scan_exactly(w.bytes, 16 + 4).verdict, SCAN_BAD);
	w.len = 0;
	begin(&w, 0, 1, 1);
	expect_bad(&w, "request_id_missing");
}
END_TEST

START_TEST(test_lengths_and_padding_that_libfcgi_misreads_are_bad)
{
	const uint8_t role[16] = {0, 1};
	struct wire w = {.len = 0};

	record(&w, BEGIN, 1, role, 7, 0);
	expect_bad(&w, "begin_length");
	w.len = 0;
	record(&w, BEGIN, 1, role, 16, 0);
	expect_bad(&w, "begin_length");
	w.len = 0;
	record(&w, BEGIN, 1, role, 8, 1);
	expect_bad(&w, "padding");
	w.len = 0;
	begin(&w, 1, 1, 1);
	record(&w, PARAMS, 1, NULL, 0, 8);
	expect_bad(&w, "padding");
	w.len = 16;
	record(&w, PARAMS, 1, NULL, 0, 0);
	record(&w, STDIN, 1, NULL, 0, 255);
	expect_bad(&w, "padding");
	w.len = 16;
	record(&w, ABORT, 1, role, 1, 0);
	expect_bad(&w, "abort_length");
	/* In each, the bad byte is one of the header's, which is enough. */
	ck_assert_int_eq(scan_exactly(w.bytes, 16 + 8).verdict, SCAN_BAD);
}
END_TEST

START_TEST(test_pairs_that_claim_too_much_are_bad)
{
	static const struct {
		uint8_t pairs[12];
		size_t len;
		const char *reason;
	} cases[] = {
		{{5, 0, 'a', 'b'}, 4, "pair_cut_off"},
		{{1}, 1, "pair_cut_off"},
		{{0x80, 0, 0}, 3, "pair_cut_off"},
		{{1, 0x80, 0, 0}, 4, "pair_cut_off"},
		{{0, 1}, 2, "pair_cut_off"},
		{{0x80, 0xFF, 0xFF, 0xFF}, 4, "pair_too_long"},
		{{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 8, "pair_too_long"},
		{{1, 0xFF, 0xFF, 0xFF, 0xFF, 'a'}, 6, "pair_too_long"},
		{{0x80, 1, 0, 0, 0x80, 1, 0, 0}, 8, "pair_too_long"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire w = {.len = 0};

		begin(&w, 1, 1, 1);
		record(&w, PARAMS, 1, cases[i].pairs, cases[i].len, 0);
		record(&w, PARAMS, 1, NULL, 0, 0);
		record(&w, STDIN, 1, NULL, 0, 0);
		expect_bad(&w, cases[i].reason);
	}
}
END_TEST

START_TEST(test_a_request_may_have_64_kib_and_no_byte_more)
{
	static uint8_t zeros[70000];
	struct wire *w = calloc(1, sizeof(*w));

	ck_assert_ptr_nonnull(w);
	for (unsigned more = 0; more < 2; more++) {
		size_t content = SCAN_MAX_BYTES - 16 - 8 - 8 - 8 + more;

		w->len = 0;
		begin(w, 1, 1, 1);
		record(w, PARAMS, 1, zeros, content & ~(size_t)1, (unsigned)(content & 1)); /* empty names with empty values */
		record(w, PARAMS, 1, NULL, 0, 0);
		record(w, STDIN, 1, NULL, 0, 0);
		ck_assert_uint_eq(w->len, SCAN_MAX_BYTES + more);
		if (more == 0)
			ck_assert_int_eq(scan_exactly(w->bytes, w->len).verdict, SCAN_WHOLE);
		else
			expect_bad(w, "request_too_large");
	}
	/* A header that announces more than may come is enough; a caller's buffer that is full never waits for more. */
	w->len = 0;
	begin(w, 1, 1, 1);
	record(w, PARAMS, 1, zeros, 65535, 255);
	ck_assert_str_eq(scan_exactly(w->bytes, 16 + 8).reason, "request_too_large");
	w->len = 16;
	record(w, PARAMS, 1, zeros, SCAN_MAX_BYTES - 16 - 8, 0);
	ck_assert_uint_eq(w->len, SCAN_MAX_BYTES);
	expect_bad(w, "request_too_large");
	free(w);
}
END_TEST

START_TEST(test_another_role_is_said_when_begin_is_whole)
{
	for (unsigned role = 0; role < 0x102; role++) {
		struct wire w = {.len = 0};
		struct scan s;

		if (role == 1)
			continue;
		begin(&w, 3, role, 1);
		ck_assert_int_eq(scan_exactly(w.bytes, 15).verdict, SCAN_PARTIAL);
		record(&w, PARAMS, 3, NULL, 0, 0);
		s = scan_exactly(w.bytes, w.len);
		ck_assert_int_eq(s.verdict, SCAN_ROLE);
		ck_assert_uint_eq(s.length, 16);
		ck_assert_uint_eq(s.request_id, 3);
		ck_assert(s.keep_conn);
	}
}
END_TEST

START_TEST(test_an_abort_of_the_request_that_has_begun_is_said)
{
	/* Behind BEGIN, behind content of PARAMS, behind the end of PARAMS, behind content of STDIN. */
	for (unsigned step = 0; step < 4; step++) {
		struct wire w = {.len = 0};
		struct scan s;
		size_t len;

		begin(&w, 9, 1, 1);
		if (step >= 1)
			record(&w, PARAMS, 9, "\1\1ab\5", 5, 3); /* even within a pair */
		if (step >= 2) {
			record(&w, PARAMS, 9, "\0valid", 6, 0);
			record(&w, PARAMS, 9, NULL, 0, 0);
		}
		if (step >= 3)
			record(&w, STDIN, 9, "x", 1, 0);
		record(&w, ABORT, 9, NULL, 0, 0);
		len = w.len;
		request_of_nginx(&w, 9);
		ck_assert_int_eq(scan_exactly(w.bytes, len - 1).verdict, SCAN_PARTIAL);
		s = scan_exactly(w.bytes, w.len);
		ck_assert_int_eq(s.verdict, SCAN_ABORT);
		ck_assert_uint_eq(s.length, len);
		ck_assert_uint_eq(s.request_id, 9);
	}
}
END_TEST

START_TEST(test_management_records_stand_only_between_requests)
{
	static const unsigned good[] = {GET_VALUES, 12, 255, 0},
			      bad[] = {BEGIN, ABORT, PARAMS, STDIN, DATA, GET_VALUES_RESULT, UNKNOWN};
	struct wire w = {.len = 0};
	struct scan s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		w.len = 0;
		record(&w, good[i], 0, "\1\0a", 3, 5);
		for (size_t cut = 0; cut < w.len; cut++)
			ck_assert_int_eq(scan_exactly(w.bytes, cut).verdict, SCAN_PARTIAL);
		request_of_nginx(&w, 1);
		s = scan_exactly(w.bytes, w.len);
		ck_assert_int_eq(s.verdict, SCAN_MANAGEMENT);
		ck_assert_uint_eq(s.length, 16);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w.len = 0;
		record(&w, bad[i], 0, NULL, 0, 0);
		expect_bad(&w, bad[i] <= DATA ? "request_id_missing" : "record_type");
	}
	w.len = 0;
	begin(&w, 1, 1, 1);
	record(&w, GET_VALUES, 0, NULL, 0, 0);
	expect_bad(&w, "management_within_request");
	w.len = 0;
	record(&w, GET_VALUES, 0, "\5\0a", 3, 0);
	expect_bad(&w, "pair_too_long");
}
END_TEST

static size_t reply_to(const struct wire *w, unsigned max_conns, uint8_t out[SCAN_REPLY_BYTES])
{
	struct scan s = scan_exactly(w->bytes, w->len);
	uint8_t *copy = malloc(s.length);
	size_t len;

	ck_assert_int_eq(s.verdict, SCAN_MANAGEMENT);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, w->bytes, s.length);
	len = scan_management_reply(copy, s.length, max_conns, out);
	free(copy);
	return len;
}

START_TEST(test_get_values_is_answered_for_the_names_it_asks_for)
{
	static const char expected[] = "\1\12\0\0\0\65\0\0\16\2FCGI_MAX_CONNS64\15\2FCGI_MAX_REQS64\17\1FCGI_MPXS_CONNS0";
	uint8_t pairs[256], out[SCAN_REPLY_BYTES];
	struct wire w = {.len = 0};
	size_t len = 0, n;

	len += put_pair(pairs + len, "FCGI_MPXS_CONNS", "", true);
	len += put_pair(pairs + len, "FCGI_OTHER", "ignored", false);
	len += put_pair(pairs + len, "FCGI_MAX_CONNS", "", false);
	len += put_pair(pairs + len, "FCGI_MAX_REQS", "", false);
	record(&w, GET_VALUES, 0, pairs, len, 4);
	n = reply_to(&w, 64, out);
	ck_assert_uint_eq(n, sizeof(expected) - 1);
	ck_assert_mem_eq(out, expected, n);

	w.len = 0;
	record(&w, GET_VALUES, 0, "\15\0FCGI_MAX_REQS", 15, 0);
	n = reply_to(&w, 1, out);
	ck_assert_uint_eq(n, 8 + 16);
	ck_assert_mem_eq(out, "\1\12\0\0\0\20\0\0\15\1FCGI_MAX_REQS1", n);

	w.len = 0;
	record(&w, GET_VALUES, 0, "\12\0FCGI_OTHER", 12, 0);
	n = reply_to(&w, 64, out);
	ck_assert_uint_eq(n, 8);
	ck_assert_mem_eq(out, "\1\12\0\0\0\0\0\0", 8);
}
END_TEST

START_TEST(test_many_duplicate_names_are_answered_once)
{
	uint8_t pairs[60000], out[SCAN_REPLY_BYTES];
	struct wire *w = calloc(1, sizeof(*w));
	size_t len = 0, n;

	ck_assert_ptr_nonnull(w);
	while (len < sizeof(pairs) - 100) {
		len += put_pair(pairs + len, "FCGI_MAX_CONNS", "", false);
		len += put_pair(pairs + len, "FCGI_MAX_REQS", "", false);
		len += put_pair(pairs + len, "FCGI_MPXS_CONNS", "", false);
	}
	record(w, GET_VALUES, 0, pairs, len, 0);
	n = reply_to(w, UINT32_MAX, out);
	ck_assert_uint_eq(n, 8 + 3 * 2 + 14 + 13 + 15 + 10 + 10 + 1);
	ck_assert_uint_le(n, SCAN_REPLY_BYTES);
	free(w);
}
END_TEST

START_TEST(test_an_unknown_management_type_is_answered_as_such)
{
	uint8_t out[SCAN_REPLY_BYTES];
	struct wire w = {.len = 0};

	record(&w, 77, 0, "whatever", 8, 0);
	ck_assert_uint_eq(reply_to(&w, 1, out), 16);
	ck_assert_mem_eq(out, "\1\13\0\0\0\10\0\0\115\0\0\0\0\0\0\0", 16);
}
END_TEST

START_TEST(test_end_request_has_id_and_status)
{
	uint8_t out[SCAN_END_REQUEST_BYTES];

	scan_end_request(0x1234, 3, out);
	ck_assert_mem_eq(out, "\1\3\22\64\0\10\0\0\0\0\0\0\3\0\0\0", 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scan");
	TCase *verdicts = tcase_create("verdicts"), *replies = tcase_create("replies");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(verdicts, 60);
	tcase_add_test(verdicts, test_a_request_of_nginx_is_whole_and_partial_at_every_cut);
	tcase_add_test(verdicts, test_request_id_and_keep_conn_are_those_of_begin);
	tcase_add_test(verdicts, test_pairs_may_span_records_at_every_byte);
	tcase_add_test(verdicts, test_one_byte_records_and_content_of_stdin_are_allowed);
	tcase_add_test(verdicts, test_records_out_of_order_are_bad);
	tcase_add_test(verdicts, test_records_before_begin_are_bad);
	tcase_add_test(verdicts, test_another_version_is_bad_from_its_first_byte);
	tcase_add_test(verdicts, test_another_request_id_is_bad);
	tcase_add_test(verdicts, test_lengths_and_padding_that_libfcgi_misreads_are_bad);
	tcase_add_test(verdicts, test_pairs_that_claim_too_much_are_bad);
	tcase_add_test(verdicts, test_a_request_may_have_64_kib_and_no_byte_more);
	tcase_add_test(verdicts, test_another_role_is_said_when_begin_is_whole);
	tcase_add_test(verdicts, test_an_abort_of_the_request_that_has_begun_is_said);
	tcase_add_test(verdicts, test_management_records_stand_only_between_requests);
	suite_add_tcase(suite, verdicts);
	tcase_add_test(replies, test_get_values_is_answered_for_the_names_it_asks_for);
	tcase_add_test(replies, test_many_duplicate_names_are_answered_once);
	tcase_add_test(replies, test_an_unknown_management_type_is_answered_as_such);
	tcase_add_test(replies, test_end_request_has_id_and_status);
	suite_add_tcase(suite, replies);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
