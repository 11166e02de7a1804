/*
 * Answers from other data than the default: the hard data set, empty tables, many rows, and roles that may not read everything.
 */
#include "pg.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static void assert_no_secret(const struct answer *a)
{
	ck_assert_uint_eq(count_of(a->body.p, "s3cret"), 0);
	ck_assert_uint_eq(count_of(a->head.p, "s3cret"), 0);
}

START_TEST(the_hard_data_set_comes_out_as_it_went_in)
{
	struct pg db;
	struct worker w;

	pg_create(&db);
	pg_load_csv(&db, "agentfeatures", "agents_hard.csv");
	pg_load_csv(&db, "agent_login_status", "logins_hard.csv");
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--log-level", "debug", "--slow-log", "0ms", NULL});
	ANSWER agents = worker_get(&w, "/agents");
	ANSWER orm = worker_get(&w, "/agents_with_orm");
	ANSWER logins = worker_get(&w, "/agent_logins");

	assert_status(agents, 200);
	assert_status(orm, 200);
	assert_status(logins, 200);
	assert_json_equal(agents, "agents_hard.json");
	assert_json_equal(orm, "agents_with_orm_hard.json");
	assert_json_equal(logins, "agent_logins_hard.json");
	assert_no_secret(&agents);
	assert_no_secret(&orm);
	assert_no_secret(&logins);
	ck_assert_uint_eq(count_of(orm.body.p, "\"passwd\": \"\""), 40);
	ck_assert(!worker_log_has(&w, "s3cret"));
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(the_default_data_set_gives_the_golden_bytes)
{
	struct pg db;
	struct worker w;

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, NULL);
	ANSWER agents = worker_get(&w, "/agents");
	ANSWER orm = worker_get(&w, "/agents_with_orm");

	assert_status(agents, 200);
	assert_golden(agents, "agents.json");
	assert_status(orm, 200);
	assert_golden(orm, "agents_with_orm.json");
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* The role of every private worker may not read passwd; this one may, and the secret still stays where it is. */
START_TEST(a_role_that_may_read_the_secret_does_not_show_it)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 5);
	ck_assert_int_eq(
		pg_long(db.conn, "SELECT has_column_privilege(current_database(), 'agentfeatures', 'passwd', 'SELECT')::int"), 0);
	pg_execf(db.conn, "GRANT SELECT ON agentfeatures TO %s", db.name);
	worker_start_ready(&w, db.conninfo, NULL);
	ANSWER a = worker_get(&w, "/agents_with_orm");

	assert_status(a, 200);
	assert_no_secret(&a);
	ck_assert_uint_eq(answer_rows(&a), 5);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(a_role_without_select_on_a_table_gets_503_for_that_path_only)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 5);
	pg_execf(db.conn, "REVOKE SELECT ON agent_login_status FROM %s", db.name);
	worker_start(&w, db.conninfo, NULL);
	worker_wait_status(&w, "/agents_with_orm", 200);
	ANSWER index = worker_get(&w, "/index");
	ANSWER logins = worker_get(&w, "/agent_logins");
	ANSWER agents = worker_get(&w, "/agents");

	assert_status(index, 200);
	assert_problem(logins, 503);
	assert_header(logins, "Retry-After", "1");
	/* The raw query joins both tables. */
	assert_problem(agents, 503);
	ck_assert_uint_eq(count_of(logins.body.p, "agent_login_status"), 0);
	WAIT_FOR(worker_log_has(&w, "agent_login_status"));
	pg_execf(db.conn, "GRANT SELECT ON agent_login_status TO %s", db.name);
	worker_wait_status(&w, "/agent_logins", 200);
	worker_wait_status(&w, "/agents", 200);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(empty_tables_give_empty_arrays)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm", "/agent_logins"};
	struct pg db;
	struct worker w;

	pg_create(&db);
	worker_start_ready(&w, db.conninfo, NULL);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		ANSWER a = worker_get(&w, paths[i]);

		assert_status(a, 200);
		assert_header(a, "Content-Type", "application/json");
		assert_body_text(a, "[]");
	}
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* Every number from 100001 to 100000 + count exactly once. */
static void assert_all_there(const struct answer *a, int count)
{
	json_t *rows = answer_json(a);
	size_t at;
	json_t *row;
	char *seen = calloc((size_t)count + 1, 1);

	ck_assert_ptr_nonnull(seen);
	ck_assert_uint_eq(json_array_size(rows), (size_t)count);
	json_array_foreach(rows, at, row)
	{
		long n = strtol(json_string_value(json_object_get(row, "number")), NULL, 10) - 100000;

		ck_assert(n >= 1 && n <= count && seen[n] == 0);
		seen[n] = 1;
	}
	free(seen);
	json_decref(rows);
}

START_TEST(five_thousand_agents_are_all_there)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 5000);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	ANSWER agents = worker_get(&w, "/agents");
	ANSWER orm = worker_get(&w, "/agents_with_orm");
	ANSWER head = worker_call(&w, "HEAD", "/agents", NULL);
	char length[32];

	assert_status(agents, 200);
	assert_status(orm, 200);
	assert_all_there(&agents, 5000);
	assert_all_there(&orm, 5000);
	assert_no_secret(&orm);
	assert_status(head, 200);
	(void)snprintf(length, sizeof length, "%zu", agents.body.len);
	assert_header(head, "Content-Length", length);
	pg_exec(db.conn, "DELETE FROM agentfeatures WHERE id > 1");
	ANSWER less = worker_get(&w, "/agents");

	assert_status(less, 200);
	ck_assert_uint_eq(answer_rows(&less), 1);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(a_client_that_sent_a_tag_sees_a_change)
{
	struct pg db;
	struct worker w;
	char etag[64];

	pg_create_agents(&db, 3);
	worker_start_ready(&w, db.conninfo, NULL);
	ANSWER before = worker_get(&w, "/agents");

	assert_status(before, 200);
	(void)snprintf(etag, sizeof etag, "%s", answer_header(&before, "ETag"));
	const struct fastcgi_param condition[] = {{"HTTP_IF_NONE_MATCH", etag}, {0}};
	ANSWER same = worker_call(&w, "GET", "/agents", condition);

	assert_status(same, 304);
	assert_header(same, "ETag", etag);
	pg_exec(db.conn, "UPDATE agentfeatures SET number = '7' WHERE id = 1");
	ANSWER after = worker_call(&w, "GET", "/agents", condition);

	assert_status(after, 200);
	ck_assert_uint_eq(count_of(after.body.p, "\"number\": \"7\""), 1);
	ck_assert_str_ne(answer_header(&after, "ETag"), etag);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(a_request_is_logged_with_its_id)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 1);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--slow-log=0ms", NULL});
	ANSWER a = worker_get(&w, "/agents");
	BYTES log = {0};

	assert_status(a, 200);
	WAIT_FOR(worker_log_has(&w, FASTCGI_REQUEST_ID));
	file_need(w.log, &log);
	for (const char *line = log.p; *line != '\0'; line += strcspn(line, "\n") + 1) {
		json_t *object = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);

		ck_assert_msg(json_is_string(json_object_get(object, "time")) &&
				      json_is_string(json_object_get(object, "level")) &&
				      json_is_string(json_object_get(object, "event")),
			      "%.300s", line);
		json_decref(object);
	}
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data");
	TCase *c = add_case(s, "data");

	tcase_add_test(c, the_hard_data_set_comes_out_as_it_went_in);
	tcase_add_test(c, the_default_data_set_gives_the_golden_bytes);
	tcase_add_test(c, a_role_that_may_read_the_secret_does_not_show_it);
	tcase_add_test(c, a_role_without_select_on_a_table_gets_503_for_that_path_only);
	tcase_add_test(c, empty_tables_give_empty_arrays);
	tcase_add_test(c, five_thousand_agents_are_all_there);
	tcase_add_test(c, a_client_that_sent_a_tag_sees_a_change);
	tcase_add_test(c, a_request_is_logged_with_its_id);
	return run_suite(s);
}
