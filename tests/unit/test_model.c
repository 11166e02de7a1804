/* wrap: malloc calloc realloc free */
#include "agent.h"
#include "alloc.h"
#include "csv.h"
#include "random.h"
#include "result.h"

#include <limits.h>

static struct body *render(const struct model *m, const PGresult *r)
{
	struct body *b = body_new(0);
	char reason[MODEL_REASON_BYTES] = "";

	ck_assert_ptr_nonnull(b);
	ck_assert_msg(model_check_result(m, r, reason), "%s", reason);
	model_render(m, r, b);
	return b;
}

static void renders_like_jansson(const struct model *m, PGresult *r)
{
	struct body *b = render(m, r);

	body_is_json(b, result_json(r, m));
	body_unref(b);
	PQclear(r);
}

/* What model_select gives over the data of a file: secrets are ''. */
static PGresult *result_of_csv(const struct model *m, const char *path)
{
	static struct csv csv;
	PGresult *r = result_of_model(m);

	csv_read(&csv, path);
	ck_assert_int_eq(csv.column_count, (int)m->column_count);
	for (int row = 1; row < csv.row_count; row++) {
		for (int i = 0; i < csv.column_count; i++) {
			char *value = csv.cells[row][i];

			/* PostgreSQL's text form has no fraction that is zero, and no zeros behind one. */
			if (value != NULL && m->columns[i].type == MODEL_TIMESTAMP) {
				size_t len = strlen(value);

				while (value[len - 1] == '0' && strchr(value, '.') != NULL)
					value[--len] = '\0';
				if (value[len - 1] == '.')
					value[--len] = '\0';
			}
			result_set(r, row - 1, i, m->columns[i].type == MODEL_SECRET ? "" : value);
		}
	}
	free(csv.text);
	return r;
}

START_TEST(select_lists)
{
	char *sql = model_select(&agentfeature_model);

	ck_assert_str_eq(sql,
			 "SELECT \"id\", \"numgroup\", \"firstname\", \"lastname\", \"number\", '' AS \"passwd\", \"context\", "
			 "\"language\", \"autologoff\", \"group\", \"description\", \"preprocess_subroutine\" "
			 "FROM \"agentfeatures\"");
	free(sql);
	sql = model_select(&agent_login_model);
	ck_assert_str_eq(sql,
			 "SELECT \"agent_id\", \"agent_number\", \"extension\", \"context\", \"interface\", \"state_interface\", "
			 "\"login_at\" FROM \"agent_login_status\"");
	free(sql);
}
END_TEST

START_TEST(identifiers_are_quoted)
{
	const struct model_column columns[] = {{.name = STR("a\"b"), .prefix = STR(", \"a\\\"b\": "), .type = MODEL_SECRET}};
	const struct model m = {.table = "t\"\"; --", .columns = columns, .column_count = 1, .row_bytes = 1};
	char *sql = model_select(&m);

	ck_assert_str_eq(sql, "SELECT '' AS \"a\"\"b\" FROM \"t\"\"\"\"; --\"");
	free(sql);
}
END_TEST

START_TEST(published_agents)
{
	PGresult *r = result_of_csv(&agentfeature_model, "data/agents.csv");
	struct body *b = render(&agentfeature_model, r);
	char *golden = test_file("golden/agents_with_orm.json");

	ck_assert_uint_eq(b->len, 10928);
	body_is(b, golden);
	free(golden);
	body_unref(b);
	PQclear(r);
}
END_TEST

START_TEST(hard_agents)
{
	PGresult *r = result_of_csv(&agentfeature_model, "data/agents_hard.csv");
	struct body *b = render(&agentfeature_model, r);

	body_is_like_file(b, test_file("golden/agents_with_orm_hard.json"));
	body_unref(b);
	renders_like_jansson(&agentfeature_model, r);
}
END_TEST

START_TEST(hard_logins)
{
	PGresult *r = result_of_csv(&agent_login_model, "data/logins_hard.csv");
	struct body *b = render(&agent_login_model, r);

	body_is_like_file(b, test_file("golden/agent_logins_hard.json"));
	body_unref(b);
	renders_like_jansson(&agent_login_model, r);
}
END_TEST

START_TEST(null_of_every_type)
{
	PGresult *r = result_of_model(&agentfeature_model);
	struct body *b;

	for (int i = 0; i < 12; i++)
		result_set(r, 0, i, NULL);
	b = render(&agentfeature_model, r);
	body_is(b, "[{\"id\": null, \"numgroup\": null, \"firstname\": null, \"lastname\": null, \"number\": null, \"passwd\": "
		   "\"\", "
		   "\"context\": null, \"language\": null, \"autologoff\": null, \"group\": null, \"description\": null, "
		   "\"preprocess_subroutine\": null}]");
	body_unref(b);
	PQclear(r);
	r = result_of_model(&agent_login_model);
	for (int i = 0; i < 7; i++)
		result_set(r, 0, i, NULL);
	renders_like_jansson(&agent_login_model, r);
}
END_TEST

START_TEST(a_secret_never_shows)
{
	PGresult *r = result_of_model(&agentfeature_model);
	struct body *b;

	/* Even if a server sent one. */
	for (int i = 0; i < 12; i++)
		result_set(r, 0, i, i == 5 ? "s3cret" : "1");
	b = render(&agentfeature_model, r);
	ck_assert_ptr_null(memmem(b->data, b->len, "s3cret", 6));
	ck_assert_ptr_nonnull(memmem(b->data, b->len, "\"passwd\": \"\"", 12));
	body_unref(b);
	PQclear(r);
}
END_TEST

START_TEST(integers_are_decoded)
{
	static const char *const values[] = {"0", "-1", "9", "10", "2147483647", "-2147483648", "-2147483647", "1000000000"};
	static const int32_t expected[] = {0, -1, 9, 10, INT_MAX, INT_MIN, INT_MIN + 1, 1000000000};
	PGresult *r = result_of_model(&agentfeature_model);
	struct agentfeature agent;

	for (int row = 0; row < COUNT(values); row++) {
		for (int i = 0; i < 12; i++)
			result_set(r, row, i, i == 8 ? NULL : values[row]);
		model_decode(&agentfeature_model, r, row, &agent);
		ck_assert_int_eq(agent.id.value, expected[row]);
		ck_assert(!agent.id.null);
		ck_assert(agent.autologoff.null);
		ck_assert(!agent.firstname.null);
		ck_assert(str_equal(agent.firstname.value, str_of(values[row])));
	}
	PQclear(r);
}
END_TEST

START_TEST(json_of_a_struct)
{
	const struct agent_login login = {
		.agent_id = {.value = 7},
		.agent_number = {.value = STR("1006")},
		.extension = {.null = true},
		.context = {.value = STR("")},
		.interface = {.value = STR("SIP/\"é")},
		.state_interface = {.value = STR("Local/7")},
		.login_at = {.value = STR("2026-01-02 03:04:05.000006")},
	};
	struct body *b = body_new(0);

	model_json(&agent_login_model, &login, b);
	body_is(b, "{\"agent_id\": 7, \"agent_number\": \"1006\", \"extension\": null, \"context\": \"\", \"interface\": "
		   "\"SIP/\\\"é\", "
		   "\"state_interface\": \"Local/7\", \"login_at\": \"2026-01-02T03:04:05.000006\"}");
	body_unref(b);
}
END_TEST

static void random_cell(uint64_t *state, enum model_type type, char *text, size_t bytes)
{
	uint32_t fraction = random_below(state, 1000000);

	if (type == MODEL_INT4)
		snprintf(text, bytes, "%d", (int32_t)((uint32_t)random_next(state) >> random_below(state, 31)));
	else if (type == MODEL_TIMESTAMP)
		snprintf(text, bytes, "%04u-%02u-%02u %02u:%02u:%02u.%06u%s", random_below(state, 20000),
			 random_below(state, 12) + 1, random_below(state, 28) + 1, random_below(state, 24),
			 random_below(state, 60), random_below(state, 60), fraction, fraction % 5 == 0 ? " BC" : "");
	else
		random_text(state, text, 40);
}

START_TEST(random_rows)
{
	static const struct model *const models[] = {&agentfeature_model, &agent_login_model};
	uint64_t state = random_seed();

	for (int round = 0; round < 500; round++) {
		const struct model *m = models[round % 2];
		PGresult *r = result_of_model(m);
		int rows = (int)random_below(&state, 100);

		for (int row = 0; row < rows; row++) {
			for (int i = 0; i < (int)m->column_count; i++) {
				char text[4 * 40 + 1];

				random_cell(&state, m->columns[i].type, text, sizeof(text));
				result_set(r, row, i, random_below(&state, 8) == 0 ? NULL : text);
			}
		}
		renders_like_jansson(m, r);
	}
}
END_TEST

START_TEST(no_memory_fails_the_body_and_leaks_nothing)
{
	PGresult *r = result_of_csv(&agentfeature_model, "data/agents_hard.csv");
	struct body *whole = render(&agentfeature_model, r);
	struct body *b;
	long n;

	for (n = 0;; n++) {
		b = body_new(0);
		alloc_watch(n, SIZE_MAX);
		model_render(&agentfeature_model, r, b);
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
	model_render(&agentfeature_model, r, b);
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
	Suite *s = suite_create("model");
	TCase *tc = tcase_create("model");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, select_lists);
	tcase_add_test(tc, identifiers_are_quoted);
	tcase_add_test(tc, published_agents);
	tcase_add_test(tc, hard_agents);
	tcase_add_test(tc, hard_logins);
	tcase_add_test(tc, null_of_every_type);
	tcase_add_test(tc, a_secret_never_shows);
	tcase_add_test(tc, integers_are_decoded);
	tcase_add_test(tc, json_of_a_struct);
	tcase_add_test(tc, random_rows);
	tcase_add_test(tc, no_memory_fails_the_body_and_leaks_nothing);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
