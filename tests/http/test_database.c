/*
 * What a worker does when its database is not as it should be: away, refusing, of the wrong shape or encoding. (test_outage.c stops and starts it.)
 */
#include "pg.h"
#include "readers.h"
#include "worker.h"

#include <string.h>

static const char *const quick[] = {"--request-timeout=500ms", NULL};

/* What the public may see of any trouble: a problem with Retry-After and no names of ours. */
static void assert_unavailable(const struct answer *a, const struct pg *db)
{
	static const char *const names[] = {"agentfeatures", "agent_login_status", "autologoff", "PGSQL", "bigint"};

	assert_problem(*a, 503);
	assert_header(*a, "Retry-After", "1");
	assert_no_header(*a, "ETag");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_msg(count_of(a->body.p, names[i]) == 0, "%s is in %s", names[i], a->body.p);
	if (db != NULL)
		ck_assert_uint_eq(count_of(a->body.p, db->name), 0);
}

/* The worker serves /index, and says 503 for all else, naming the database as the reason on the admin listener. */
static void assert_without_database(const struct worker *w, const char *in_log)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm", "/agent_logins"};

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		ANSWER a = worker_get(w, paths[i]);

		assert_unavailable(&a, NULL);
	}
	ANSWER index = worker_get(w, "/index");
	ANSWER live = worker_admin(w, "/health/live");
	ANSWER ready = worker_admin(w, "/health/ready");

	assert_status(index, 200);
	assert_golden(index, "index.json");
	assert_status(live, 200);
	assert_problem(ready, 503);
	ck_assert_msg(strstr(ready.body.p, "database") != NULL, "%s", ready.body.p);
	WAIT_FOR(worker_log_has(w, in_log));
}

START_TEST(nobody_listens)
{
	struct worker w;

	worker_start(&w, "host=/nonexistent dbname=nothing user=nobody", quick);
	assert_without_database(&w, "/nonexistent");
	worker_end(&w);
}
END_TEST

START_TEST(the_role_may_not_log_in)
{
	struct pg db;
	struct worker w;

	pg_create(&db);
	pg_execf(db.conn, "ALTER ROLE %s NOLOGIN", db.name);
	worker_start(&w, db.conninfo, quick);
	assert_without_database(&w, "not permitted to log in");
	pg_execf(db.conn, "ALTER ROLE %s LOGIN", db.name);
	worker_wait_ready(&w, 200);
	worker_wait_status(&w, "/agents", 200);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(the_database_does_not_exist)
{
	struct pg db;
	struct worker w;
	char conninfo[512];

	pg_create(&db);
	pg_conninfo(&db, "dbname=not_there", conninfo);
	worker_start(&w, conninfo, quick);
	assert_without_database(&w, "not_there");
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* Puts lines in front of pg_hba.conf and has the server read it. The server itself writes the file: the test may be another user. */
static void require_password(const struct pg *db)
{
	pg_execf(db->conn,
		 "CREATE TEMP TABLE hba AS SELECT n, line FROM (SELECT 0 AS n, 'local %s %s scram-sha-256' AS line UNION ALL "
		 "SELECT n, line FROM regexp_split_to_table(pg_read_file(current_setting('hba_file')), E'\\n') WITH ORDINALITY "
		 "AS t(line, n)) x",
		 db->name, db->name);
	pg_exec(db->conn, "DO $$ BEGIN EXECUTE format('COPY (SELECT line FROM hba ORDER BY n) TO %L', "
			  "current_setting('hba_file')); END $$");
	pg_exec(db->conn, "SELECT pg_reload_conf()");
	WAIT_FOR(pg_long(db->conn, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256' AND "
				   "database = ARRAY[current_database()::text]") == 1);
}

static bool refused(const char *conninfo)
{
	PGconn *probe = PQconnectdb(conninfo);
	bool bad = PQstatus(probe) == CONNECTION_BAD;

	PQfinish(probe);
	return bad;
}

START_TEST(the_database_refuses_the_password)
{
	struct pg db;
	struct worker w;
	char wrong[512];
	char right[512];

	pg_create(&db);
	pg_execf(db.conn, "ALTER ROLE %s PASSWORD 'right-one-8472'", db.name);
	require_password(&db);
	pg_conninfo(&db, "password=wrong-one-5519", wrong);
	pg_conninfo(&db, "password=right-one-8472", right);
	/* The server may still work by the old file for a moment after it was told. */
	WAIT_FOR(refused(wrong));
	worker_start(&w, wrong, quick);
	assert_without_database(&w, "password authentication failed");
	ck_assert(!worker_log_has(&w, "wrong-one-5519"));
	worker_end(&w);
	worker_start_ready(&w, right, NULL);
	worker_wait_status(&w, "/agents", 200);
	ck_assert(!worker_log_has(&w, "right-one-8472"));
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(a_sql_ascii_database_is_refused)
{
	struct pg db;
	struct worker w;

	pg_create_bare(&db, "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	pg_load_schema(&db);
	worker_start(&w, db.conninfo, quick);
	assert_without_database(&w, "SQL_ASCII");
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(another_encoding_is_served_as_utf8)
{
	struct pg db;
	struct worker w;

	pg_create_bare(&db, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	pg_load_schema(&db);
	pg_exec(db.conn, "SET client_encoding = 'UTF8'");
	pg_exec(db.conn, "INSERT INTO agentfeatures (numgroup, number, passwd, context, language, description) VALUES (1, "
			 "'ébène', '', '', '', '')");
	worker_start_ready(&w, db.conninfo, NULL);
	ANSWER a = worker_get(&w, "/agents");

	assert_status(a, 200);
	ck_assert_uint_eq(count_of(a.body.p, "\"number\": \"ébène\""), 1);
	ck_assert_uint_eq(answer_rows(&a), 1);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(without_the_tables)
{
	struct pg db;
	struct worker w;

	pg_create_bare(&db, "");
	worker_start(&w, db.conninfo, NULL);
	worker_wait_reason(&w, "agentfeatures");
	worker_wait_reason(&w, "agent_login_status");
	ANSWER index = worker_get(&w, "/index");
	ANSWER agents = worker_get(&w, "/agents");
	ANSWER orm = worker_get(&w, "/agents_with_orm");
	ANSWER logins = worker_get(&w, "/agent_logins");

	assert_status(index, 200);
	assert_unavailable(&agents, &db);
	assert_unavailable(&orm, &db);
	assert_unavailable(&logins, &db);
	pg_load_schema(&db);
	worker_wait_ready(&w, 200);
	worker_wait_status(&w, "/agents", 200);
	worker_wait_status(&w, "/agents_with_orm", 200);
	worker_wait_status(&w, "/agent_logins", 200);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* `changed` while the worker runs (when it starts, with `before`), and `back`. */
static void column_of_another_type(bool before)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 5);
	if (before) {
		pg_exec(db.conn, "ALTER TABLE agentfeatures ALTER autologoff TYPE bigint");
		worker_start(&w, db.conninfo, NULL);
	} else {
		worker_start_ready(&w, db.conninfo, NULL);
		worker_wait_status(&w, "/agents_with_orm", 200);
		pg_exec(db.conn, "ALTER TABLE agentfeatures ALTER autologoff TYPE bigint");
	}
	worker_wait_status(&w, "/agents", 200);
	worker_wait_status(&w, "/agents_with_orm", 503);
	worker_wait_reason(&w, "autologoff");
	ANSWER orm = worker_get(&w, "/agents_with_orm");
	ANSWER agents = worker_get(&w, "/agents");
	ANSWER logins = worker_get(&w, "/agent_logins");
	ANSWER ready = worker_admin(&w, "/health/ready");

	assert_unavailable(&orm, &db);
	assert_status(agents, 200);
	assert_status(logins, 200);
	assert_problem(ready, 503);
	ck_assert_msg(strstr(ready.body.p, "autologoff") != NULL && strstr(ready.body.p, "bigint") != NULL &&
			      strstr(ready.body.p, "integer") != NULL,
		      "%s", ready.body.p);
	WAIT_FOR(worker_log_has(&w, "autologoff"));
	pg_exec(db.conn, "ALTER TABLE agentfeatures ALTER autologoff TYPE integer");
	worker_wait_status(&w, "/agents_with_orm", 200);
	worker_wait_ready(&w, 200);
	worker_end(&w);
	pg_drop(&db);
}

START_TEST(a_column_of_another_type_at_the_start)
{
	column_of_another_type(true);
}
END_TEST

START_TEST(a_column_of_another_type_while_running)
{
	column_of_another_type(false);
}
END_TEST

static struct answer ask_worker(const void *target, const char *path)
{
	return worker_get(target, path);
}

/* 200 with the data as it is, or the model's clear 503. */
static bool as_it_is_or_503(const struct answer *a, const char *path)
{
	if (a->status == 503)
		return answer_header(a, "Retry-After") != NULL;
	if (a->status != 200 || a->body.p == NULL)
		return false;
	bool orm = strcmp(path, "/agents_with_orm") == 0;

	return count_of(a->body.p, "\"number\": \"10000") == 3 && count_of(a->body.p, "\"number\": ") == 3 &&
	       count_of(a->body.p, orm ? "\"description\": \"made up\"" : "\"status\": \"offline\"") == 3;
}

START_TEST(the_schema_changes_under_load)
{
	static const char *const changes[] = {
		"ALTER TABLE agentfeatures ADD COLUMN more text DEFAULT 'x'",
		"ALTER TABLE agentfeatures DROP COLUMN more",
		"ALTER TABLE agentfeatures RENAME COLUMN description TO about",
		"ALTER TABLE agentfeatures RENAME COLUMN about TO description",
		"ALTER TABLE agentfeatures ALTER autologoff TYPE bigint",
		"ALTER TABLE agentfeatures ALTER autologoff TYPE integer",
		"ALTER TABLE agentfeatures ALTER number TYPE text",
		"ALTER TABLE agentfeatures ALTER number TYPE varchar(40)",
		"ALTER TABLE agentfeatures RENAME COLUMN number TO no",
		"ALTER TABLE agentfeatures RENAME COLUMN no TO number",
		"ALTER TABLE agent_login_status RENAME TO logins",
		"ALTER TABLE logins RENAME TO agent_login_status",
		"DROP TABLE agent_login_status; CREATE TABLE agent_login_status (LIKE saved INCLUDING ALL)",
		"ALTER TABLE agentfeatures DROP COLUMN preprocess_subroutine",
		"ALTER TABLE agentfeatures ADD COLUMN preprocess_subroutine varchar(40)",
	};
	struct pg db;
	struct worker w;
	struct readers r;

	pg_create_agents(&db, 3);
	pg_exec(db.conn, "CREATE TABLE saved (LIKE agent_login_status INCLUDING ALL)");
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	readers_start(&r, (const char *const[]){"/agents", "/agents_with_orm", NULL}, ask_worker, &w, as_it_is_or_503);
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		pg_exec(db.conn, changes[i]);
		pg_execf(db.conn, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s", db.name);
		readers_wait(&r, 40);
	}
	readers_end(&r);
	worker_wait_ready(&w, 200);
	worker_wait_status(&w, "/agents_with_orm", 200);
	worker_wait_status(&w, "/agents", 200);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(as_many_connections_as_the_option_says)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 1);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--db-connections=3", NULL});
	WAIT_FOR(pg_long(db.conn,
			 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = datname") == 3);
	worker_end(&w);
	WAIT_FOR(pg_long(db.conn,
			 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = datname") == 0);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("database");
	TCase *c = add_case(s, "database");

	tcase_add_test(c, nobody_listens);
	tcase_add_test(c, the_role_may_not_log_in);
	tcase_add_test(c, the_database_does_not_exist);
	tcase_add_test(c, the_database_refuses_the_password);
	tcase_add_test(c, a_sql_ascii_database_is_refused);
	tcase_add_test(c, another_encoding_is_served_as_utf8);
	tcase_add_test(c, without_the_tables);
	tcase_add_test(c, a_column_of_another_type_at_the_start);
	tcase_add_test(c, a_column_of_another_type_while_running);
	tcase_add_test(c, the_schema_changes_under_load);
	tcase_add_test(c, as_many_connections_as_the_option_says);
	return run_suite(s);
}
