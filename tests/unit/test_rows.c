/* wrap: malloc calloc realloc free */
#include "alloc.h"
#include "csv.h"
#include "random.h"
#include "result.h"
#include "rows.h"

/* The columns of sql/queries/agents.sql. */
static const struct result_column agents_columns[] = {
	{"number", TYPE_VARCHAR}, {"extension", TYPE_VARCHAR},     {"context", TYPE_VARCHAR}, {"state_interface", TYPE_VARCHAR},
	{"status", TYPE_TEXT},    {"extension_status", TYPE_TEXT}, {"paused", TYPE_TEXT},
};

static struct body *render(const PGresult *r)
{
	struct body *b = body_new(0);

	ck_assert_ptr_nonnull(b);
	rows_render(r, b);
	return b;
}

static void renders_like_jansson(PGresult *r)
{
	struct body *b = render(r);

	body_is_json(b, result_json(r, NULL));
	body_unref(b);
	PQclear(r);
}

START_TEST(no_rows)
{
	const struct result_column column = {"a", TYPE_INT4};
	PGresult *r = result_new(&column, 1);
	struct body *b = render(r);

	body_is(b, "[]");
	body_unref(b);
	PQclear(r);
}
END_TEST

START_TEST(no_columns)
{
	PGresult *r = result_new(NULL, 0);
	struct body *b = render(r);

	body_is(b, "[]");
	body_unref(b);
	PQclear(r);
}
END_TEST

START_TEST(types)
{
	static const struct result_column columns[] = {
		{"int2", TYPE_INT2}, {"int4", TYPE_INT4}, {"int8", TYPE_INT8}, {"bool", TYPE_BOOL},
		{"text", TYPE_TEXT}, {"name", TYPE_NAME}, {"oid", TYPE_OID},   {"timestamp", TYPE_TIMESTAMP},
	};
	static const char *const values[][COUNT(columns)] = {
		{"-32768", "-2147483648", "-9223372036854775808", "t", "", "n", "16384", "2026-01-02 03:04:05"},
		{"32767", "2147483647", "9223372036854775807", "f", "-1", "", "0", "infinity"},
		{NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
		{"0", "0", "0", "t", "null", "true", "1", "0044-03-15 12:00:00 BC"},
	};
	PGresult *r = result_new(columns, COUNT(columns));
	struct body *b;

	for (int row = 0; row < COUNT(values); row++) {
		for (int i = 0; i < COUNT(columns); i++)
			result_set(r, row, i, values[row][i]);
	}
	b = render(r);
	body_is(b, "[{\"int2\": -32768, \"int4\": -2147483648, \"int8\": -9223372036854775808, \"bool\": true, \"text\": \"\", "
		   "\"name\": \"n\", \"oid\": \"16384\", \"timestamp\": \"2026-01-02 03:04:05\"}, "
		   "{\"int2\": 32767, \"int4\": 2147483647, \"int8\": 9223372036854775807, \"bool\": false, \"text\": \"-1\", "
		   "\"name\": \"\", \"oid\": \"0\", \"timestamp\": \"infinity\"}, "
		   "{\"int2\": null, \"int4\": null, \"int8\": null, \"bool\": null, \"text\": null, "
		   "\"name\": null, \"oid\": null, \"timestamp\": null}, "
		   "{\"int2\": 0, \"int4\": 0, \"int8\": 0, \"bool\": true, \"text\": \"null\", "
		   "\"name\": \"true\", \"oid\": \"1\", \"timestamp\": \"0044-03-15 12:00:00 BC\"}]");
	body_unref(b);
	renders_like_jansson(r);
}
END_TEST

START_TEST(names_are_escaped)
{
	static const struct result_column columns[] = {
		{"", TYPE_INT4},
		{"we\"ird\\\n", TYPE_TEXT},
		{"Łukasz 😀", TYPE_TEXT},
		{"?column?", TYPE_BOOL},
	};
	PGresult *r = result_new(columns, COUNT(columns));

	for (int row = 0; row < 3; row++) {
		result_set(r, row, 0, "1");
		result_set(r, row, 1, "\"");
		result_set(r, row, 2, NULL);
		result_set(r, row, 3, "f");
	}
	renders_like_jansson(r);
}
END_TEST

START_TEST(many_columns)
{
	/* As many as PostgreSQL allows, so that the fragments move while they grow. */
	static struct result_column columns[1664];
	static char names[COUNT(columns)][64];
	PGresult *r;

	for (int i = 0; i < COUNT(columns); i++) {
		snprintf(names[i], sizeof(names[i]), "%060d", i);
		columns[i] = (struct result_column){names[i], i % 2 == 0 ? TYPE_INT4 : TYPE_TEXT};
	}
	r = result_new(columns, COUNT(columns));
	for (int row = 0; row < 2; row++) {
		for (int i = 0; i < COUNT(columns); i++)
			result_set(r, row, i, i % 3 == 0 ? NULL : "17");
	}
	renders_like_jansson(r);
}
END_TEST

START_TEST(a_huge_field)
{
	const struct result_column column = {"description", TYPE_TEXT};
	size_t len = (size_t)5 * 1024 * 1024;
	char *text = malloc(len + 1);
	PGresult *r = result_new(&column, 1);

	ck_assert_ptr_nonnull(text);
	memset(text, '"', len);
	text[len] = '\0';
	result_set(r, 0, 0, text);
	memset(text, 'x', len);
	result_set(r, 1, 0, text);
	free(text);
	renders_like_jansson(r);
}
END_TEST

/* The result of sql/queries/agents.sql over the data of the files: agentfeatures left join agent_login_status. */
static PGresult *agents_result(const char *agents_path, const char *logins_path)
{
	static struct csv agents;
	static struct csv logins;
	PGresult *r = result_new(agents_columns, COUNT(agents_columns));

	csv_read(&agents, agents_path);
	if (logins_path != NULL)
		csv_read(&logins, logins_path);
	for (int row = 1; row < agents.row_count; row++) {
		const char *values[COUNT(agents_columns)] = {agents.cells[row][4], NULL, NULL, NULL, "offline", "-1", "0"};

		for (int i = 1; i < logins.row_count; i++) {
			if (str_equal(str_of(logins.cells[i][0]), str_of(agents.cells[row][0]))) {
				values[1] = logins.cells[i][2];
				values[2] = logins.cells[i][3];
				values[3] = logins.cells[i][5];
			}
		}
		for (int i = 0; i < COUNT(agents_columns); i++)
			result_set(r, row - 1, i, values[i]);
	}
	free(agents.text);
	free(logins.text);
	return r;
}

START_TEST(published_agents)
{
	PGresult *r = agents_result("data/agents.csv", NULL);
	struct body *b = render(r);
	char *golden = test_file("golden/agents.json");

	ck_assert_uint_eq(b->len, 7100);
	body_is(b, golden);
	free(golden);
	body_unref(b);
	PQclear(r);
}
END_TEST

START_TEST(hard_agents)
{
	PGresult *r = agents_result("data/agents_hard.csv", "data/logins_hard.csv");
	struct body *b = render(r);

	body_is_like_file(b, test_file("golden/agents_hard.json"));
	body_unref(b);
	renders_like_jansson(r);
}
END_TEST

START_TEST(random_rows)
{
	static const struct result_column columns[] = {
		{"a", TYPE_TEXT}, {"b", TYPE_INT4}, {"c", TYPE_INT8}, {"d", TYPE_BOOL}, {"e", TYPE_VARCHAR},
	};
	uint64_t state = random_seed();

	for (int round = 0; round < 300; round++) {
		PGresult *r = result_new(columns, COUNT(columns));
		int rows = (int)random_below(&state, 100);

		for (int row = 0; row < rows; row++) {
			char text[4 * 40 + 1];

			for (int i = 0; i < COUNT(columns); i++) {
				if (columns[i].type == TYPE_INT4)
					snprintf(text, sizeof(text), "%d", (int32_t)random_next(&state));
				else if (columns[i].type == TYPE_INT8)
					snprintf(text, sizeof(text), "%lld", (long long)random_next(&state));
				else if (columns[i].type == TYPE_BOOL)
					snprintf(text, sizeof(text), "%c", random_below(&state, 2) ? 't' : 'f');
				else
					random_text(&state, text, 40);
				result_set(r, row, i, random_below(&state, 8) == 0 ? NULL : text);
			}
		}
		renders_like_jansson(r);
	}
}
END_TEST

START_TEST(no_memory_fails_the_body_and_leaks_nothing)
{
	PGresult *r = agents_result("data/agents_hard.csv", "data/logins_hard.csv");
	struct body *whole = render(r);
	struct body *b;
	long n;

	for (n = 0;; n++) {
		b = body_new(0);
		alloc_watch(n, SIZE_MAX);
		rows_render(r, b);
		alloc_unwatch();
		ck_assert_int_eq(alloc_live, 0);
		ck_assert_int_eq(body_failed(b), alloc_failed > 0);
		ck_assert_uint_le(b->len, whole->len);
		ck_assert_mem_eq(b->data, whole->data, b->len);
		body_unref(b);
		if (alloc_failed == 0)
			break;
	}
	ck_assert_int_gt(n, 5);
	/* Every large buffer refused. */
	b = body_new(0);
	alloc_watch(-1, 4096);
	rows_render(r, b);
	alloc_unwatch();
	ck_assert_int_eq(alloc_live, 0);
	ck_assert(body_failed(b));
	ck_assert_mem_eq(b->data, whole->data, b->len);
	body_unref(b);
	body_unref(whole);
	PQclear(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rows");
	TCase *tc = tcase_create("rows");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, no_rows);
	tcase_add_test(tc, no_columns);
	tcase_add_test(tc, types);
	tcase_add_test(tc, names_are_escaped);
	tcase_add_test(tc, many_columns);
	tcase_add_test(tc, a_huge_field);
	tcase_add_test(tc, published_agents);
	tcase_add_test(tc, hard_agents);
	tcase_add_test(tc, random_rows);
	tcase_add_test(tc, no_memory_fails_the_body_and_leaks_nothing);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
