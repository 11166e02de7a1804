#include "pg.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Notices (implicit indexes, dropped things) are no news here. */
static void ignore_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

static PGconn *connect_to(const char *database)
{
	const char *const keys[] = {"dbname", "application_name", NULL};
	const char *const values[] = {database, "http-tests", NULL};
	PGconn *conn = PQconnectdbParams(keys, values, 0);

	ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "can't connect to the embedded cluster: %s", PQerrorMessage(conn));
	(void)PQsetNoticeReceiver(conn, ignore_notice, NULL);
	return conn;
}

PGconn *pg_connect(const struct pg *db)
{
	return connect_to(db->name);
}

void pg_exec(PGconn *conn, const char *sql)
{
	PGresult *r = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(r);

	ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s\nfailed: %s", sql, PQerrorMessage(conn));
	PQclear(r);
}

void pg_execf(PGconn *conn, const char *format, ...)
{
	char sql[2048];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(sql, sizeof sql, format, args);

	va_end(args);
	ck_assert(n > 0 && (size_t)n < sizeof sql);
	pg_exec(conn, sql);
}

long pg_long(PGconn *conn, const char *sql)
{
	PGresult *r = PQexec(conn, sql);

	ck_assert_msg(PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1, "%s\nfailed: %s", sql, PQerrorMessage(conn));
	long value = strtol(PQgetvalue(r, 0, 0), NULL, 10);

	PQclear(r);
	return value;
}

long pg_active(const struct pg *db)
{
	/* Within a transaction the view would stay as it was at the first look. */
	pg_exec(db->conn, "SELECT pg_stat_clear_snapshot()");
	return pg_long(db->conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
				 "application_name <> 'http-tests' AND state = 'active' AND backend_type = 'client backend'");
}

void pg_conninfo(const struct pg *db, const char *more, char out[512])
{
	int n = snprintf(out, 512, "host='%s' port='%s' dbname='%s' user='%s' %s", PQhost(db->conn), PQport(db->conn), db->name,
			 db->name, more);

	ck_assert(n > 0 && n < 512);
}

void pg_create_bare(struct pg *db, const char *clauses)
{
	static int made;
	PGconn *admin = connect_to(env_need("PGDATABASE"));

	*db = (struct pg){0};
	/* Process ids come again, and a test that failed has left its database. */
	(void)snprintf(db->name, sizeof db->name, "http_test_%d_%d_%lld", (int)getpid(), ++made, (long long)now_ms());
	pg_execf(admin, "CREATE DATABASE %s %s", db->name, clauses);
	pg_execf(admin, "CREATE ROLE %s LOGIN", db->name);
	PQfinish(admin);
	db->conn = pg_connect(db);
	pg_conninfo(db, "", db->conninfo);
}

void pg_load_schema(struct pg *db)
{
	BYTES path = {0};
	BYTES sql = {0};

	bytes_printf(&path, "%s/../../sql/schema.sql", env_need("DATA_DIR"));
	file_need(path.p, &sql);
	pg_exec(db->conn, sql.p);
	pg_execf(
		db->conn,
		"GRANT SELECT ON agent_login_status TO %s; "
		"GRANT SELECT (id, numgroup, firstname, lastname, number, context, language, autologoff, \"group\", description, "
		"preprocess_subroutine) ON agentfeatures TO %s",
		db->name, db->name);
}

void pg_create(struct pg *db)
{
	pg_create_bare(db, "");
	pg_load_schema(db);
}

void pg_load_csv(struct pg *db, const char *table, const char *file)
{
	BYTES path = {0};
	BYTES csv = {0};
	char sql[256];

	bytes_printf(&path, "%s/%s", env_need("DATA_DIR"), file);
	file_need(path.p, &csv);
	(void)snprintf(sql, sizeof sql, "COPY %s FROM STDIN (FORMAT csv, HEADER)", table);
	PGresult *r = PQexec(db->conn, sql);

	ck_assert_msg(PQresultStatus(r) == PGRES_COPY_IN, "%s", PQerrorMessage(db->conn));
	PQclear(r);
	ck_assert_int_eq(PQputCopyData(db->conn, csv.p, (int)csv.len), 1);
	ck_assert_int_eq(PQputCopyEnd(db->conn, NULL), 1);
	r = PQgetResult(db->conn);
	ck_assert_msg(PQresultStatus(r) == PGRES_COMMAND_OK, "%s", PQerrorMessage(db->conn));
	PQclear(r);
	ck_assert_ptr_null(PQgetResult(db->conn));
	pg_execf(db->conn, "ANALYZE %s", table);
}

void pg_create_default(struct pg *db)
{
	pg_create(db);
	pg_load_csv(db, "agentfeatures", "agents.csv");
	pg_exec(db->conn, "ANALYZE");
}

void pg_create_agents(struct pg *db, int count)
{
	pg_create(db);
	pg_execf(db->conn,
		 "INSERT INTO agentfeatures (numgroup, firstname, lastname, number, passwd, context, language, description) "
		 "SELECT 1, 'First' || n, 'Last' || n, (100000 + n)::text, 's3cret', 'default', 'en_US', 'made up' "
		 "FROM generate_series(1, %d) n; ANALYZE",
		 count);
}

void pg_drop(struct pg *db)
{
	PGconn *admin = connect_to(env_need("PGDATABASE"));

	PQfinish(db->conn);
	db->conn = NULL;
	pg_execf(admin, "DROP DATABASE %s WITH (FORCE)", db->name);
	pg_execf(admin, "DROP ROLE %s", db->name);
	PQfinish(admin);
}
