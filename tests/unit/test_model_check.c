#include "agent.h"
#include "result.h"

static const struct result_column catalogue_columns[] = {
	{"attname", TYPE_TEXT}, {"atttypid", TYPE_OID}, {"format_type", TYPE_TEXT}};

/* The catalogue's rows of agent_login_status, with one column changed: NULL name for a missing one. */
static PGresult *catalogue(const char *column, const char *name, const char *oid, const char *type)
{
	static const char *const rows[][3] = {
		{"agent_id", "23", "integer"},
		{"agent_number", "1043", "character varying(40)"},
		{"extension", "25", "text"},
		{"context", "1042", "character(80)"},
		{"interface", "19", "name"},
		{"state_interface", "1043", "character varying"},
		{"login_at", "1114", "timestamp without time zone"},
		{"one more", "20", "bigint"},
	};
	PGresult *r = result_new(catalogue_columns, COUNT(catalogue_columns));

	for (int i = 0; i < COUNT(rows); i++) {
		bool changed = column != NULL && strcmp(column, rows[i][0]) == 0;
		int row = PQntuples(r);

		if (changed && name == NULL)
			continue;
		result_set(r, row, 0, changed ? name : rows[i][0]);
		result_set(r, row, 1, changed ? oid : rows[i][1]);
		result_set(r, row, 2, changed ? type : rows[i][2]);
	}
	return r;
}

static void catalogue_gives(PGresult *r, const struct model *m, const char *expected)
{
	char reason[MODEL_REASON_BYTES] = "";

	ck_assert_int_eq(model_check_catalogue(m, r, reason), expected == NULL);
	ck_assert_str_eq(reason, expected == NULL ? "" : expected);
	PQclear(r);
}

START_TEST(catalogue_that_fits)
{
	catalogue_gives(catalogue(NULL, NULL, NULL, NULL), &agent_login_model, NULL);
}
END_TEST

START_TEST(catalogue_that_differs)
{
	const struct model *m = &agent_login_model;

	catalogue_gives(result_new(catalogue_columns, 3), m, "agent_login_status: no such table");
	catalogue_gives(catalogue("agent_id", "agent_id", "20", "bigint"), m,
			"agent_login_status.agent_id: expected integer, found bigint");
	catalogue_gives(catalogue("login_at", "login_at", "1184", "timestamp with time zone"), m,
			"agent_login_status.login_at: expected timestamp without time zone, found timestamp with time zone");
	catalogue_gives(catalogue("context", "context", "3802", "jsonb"), m,
			"agent_login_status.context: expected text, found jsonb");
	catalogue_gives(catalogue("interface", NULL, NULL, NULL), m,
			"agent_login_status.interface: expected text, found no such column");
	catalogue_gives(catalogue("interface", "interface2", "25", "text"), m,
			"agent_login_status.interface: expected text, found no such column");
}
END_TEST

START_TEST(secret_must_exist_of_any_type)
{
	const struct model_column columns[] = {{.name = STR("passwd"), .prefix = STR(", \"passwd\": "), .type = MODEL_SECRET}};
	const struct model m = {.table = "t", .columns = columns, .column_count = 1, .row_bytes = 1};
	PGresult *r = result_new(catalogue_columns, 3);

	result_set(r, 0, 0, "passwd");
	result_set(r, 0, 1, "17");
	result_set(r, 0, 2, "bytea");
	catalogue_gives(r, &m, NULL);
	catalogue_gives(catalogue(NULL, NULL, NULL, NULL), &m, "t.passwd: expected a secret of any type, found no such column");
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
	char type[2 * MODEL_REASON_BYTES];
	char reason[MODEL_REASON_BYTES];
	PGresult *r;

	memset(type, 'x', sizeof(type));
	type[sizeof(type) - 1] = '\0';
	r = catalogue("context", "context", "99999", type);
	ck_assert(!model_check_catalogue(&agent_login_model, r, reason));
	ck_assert_uint_eq(strlen(reason), MODEL_REASON_BYTES - 1);
	PQclear(r);
}
END_TEST

static void result_gives(struct result_column change, int at, int count, const char *expected)
{
	struct result_column columns[] = {
		{"agent_id", TYPE_INT4},      {"agent_number", TYPE_VARCHAR},
		{"extension", TYPE_TEXT},     {"context", TYPE_BPCHAR},
		{"interface", TYPE_NAME},     {"state_interface", TYPE_VARCHAR},
		{"login_at", TYPE_TIMESTAMP}, {"more", TYPE_TEXT},
	};
	char reason[MODEL_REASON_BYTES] = "";
	PGresult *r;

	if (at >= 0)
		columns[at] = change;
	r = result_new(columns, count);
	ck_assert_int_eq(model_check_result(&agent_login_model, r, reason), expected == NULL);
	ck_assert_str_eq(reason, expected == NULL ? "" : expected);
	PQclear(r);
}

START_TEST(results_are_checked)
{
	const struct result_column none = {"", 0};

	result_gives(none, -1, 7, NULL);
	result_gives(none, -1, 8, "agent_login_status: expected 7 columns, found 8");
	result_gives(none, -1, 0, "agent_login_status: expected 7 columns, found 0");
	result_gives((struct result_column){"agent_id", TYPE_INT8}, 0, 7,
		     "agent_login_status.agent_id: expected integer, found bigint");
	result_gives((struct result_column){"agent_id", TYPE_TEXT}, 0, 7,
		     "agent_login_status.agent_id: expected integer, found text");
	result_gives((struct result_column){"context", TYPE_BOOL}, 3, 7,
		     "agent_login_status.context: expected text, found boolean");
	result_gives((struct result_column){"login_at", 424242}, 6, 7,
		     "agent_login_status.login_at: expected timestamp without time zone, found type oid 424242");
	result_gives((struct result_column){"Context", TYPE_TEXT}, 3, 7,
		     "agent_login_status: expected column context at position 4, found Context");
}
END_TEST

START_TEST(binary_results_are_refused)
{
	PGresAttDesc attributes[1] = {{.name = (char[]){"id"}, .format = 1, .typid = TYPE_INT4, .typlen = 4, .atttypmod = -1}};
	const struct model_column columns[] = {{.name = STR("id"), .prefix = STR(", \"id\": "), .type = MODEL_INT4}};
	const struct model m = {.table = "t", .columns = columns, .column_count = 1, .row_bytes = sizeof(struct model_int4)};
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char reason[MODEL_REASON_BYTES];

	ck_assert_int_ne(PQsetResultAttrs(r, 1, attributes), 0);
	ck_assert(!model_check_result(&m, r, reason));
	ck_assert_str_eq(reason, "t.id: expected integer, found binary format");
	PQclear(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("model_check");
	TCase *tc = tcase_create("model_check");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, catalogue_that_fits);
	tcase_add_test(tc, catalogue_that_differs);
	tcase_add_test(tc, secret_must_exist_of_any_type);
	tcase_add_test(tc, a_long_reason_is_cut);
	tcase_add_test(tc, results_are_checked);
	tcase_add_test(tc, binary_results_are_refused);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
