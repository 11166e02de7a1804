/*
 * db-load FILE…: runs SQL files, all or nothing, on the empty database that the environment's DATABASE_URL names.
 *
 * psql takes a connection string from its command line only, where every user of the machine can read the password; hence this.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *file_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	if (f == NULL) {
		fprintf(stderr, "db-load: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	/* SQL text holds no NUL, so this is the whole file. */
	n = getdelim(&text, &cap, '\0', f);
	if (n <= 0) {
		fprintf(stderr, "db-load: %s: %s\n", path, ferror(f) ? strerror(errno) : "is empty");
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static bool run(PGconn *conn, const char *sql, const char *what)
{
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

	if (!ok) {
		fprintf(stderr, "db-load: %s: %sdb-load: nothing was changed\n", what, PQerrorMessage(conn));
	}
	PQclear(result);
	return ok;
}

static bool is_empty(PGconn *conn)
{
	PGresult *result = PQexec(conn, "SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c"
					" WHERE c.relname IN ('agentfeatures', 'agent_login_status')"
					" AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%')");
	bool empty = false;

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "db-load: %s", PQerrorMessage(conn));
	} else if (!PQgetisnull(result, 0, 0)) {
		fprintf(stderr,
			"db-load: database \"%s\" already has %s; nothing was changed. Drop them first, or name an empty "
			"database\n",
			PQdb(conn), PQgetvalue(result, 0, 0));
	} else {
		empty = true;
	}
	PQclear(result);
	return empty;
}

static bool load(PGconn *conn, int files, char **paths)
{
	if (!run(conn, "BEGIN", "BEGIN")) {
		return false;
	}
	for (int i = 0; i < files; i++) {
		char *sql = file_read(paths[i]);
		bool ok = sql != NULL && run(conn, sql, paths[i]);

		free(sql);
		if (!ok) {
			return false;
		}
	}
	return run(conn, "COMMIT", "COMMIT");
}

int main(int argc, char **argv)
{
	const char *url = getenv("DATABASE_URL");
	int status = EXIT_FAILURE;
	PGconn *conn;

	if (url == NULL || *url == '\0') {
		fputs("db-load: DATABASE_URL is empty: name the database to load, as in "
		      "DATABASE_URL=postgresql://asterisk@dbhost/benchmarks\n",
		      stderr);
		return EXIT_FAILURE;
	}
	if (argc < 2) {
		fputs("usage: db-load FILE…\n", stderr);
		return EXIT_FAILURE;
	}
	conn = PQconnectdb(url);
	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "db-load: DATABASE_URL: %s", PQerrorMessage(conn));
	} else if (is_empty(conn) && load(conn, argc - 1, argv + 1)) {
		printf("loaded into database \"%s\"\n", PQdb(conn));
		status = EXIT_SUCCESS;
	}
	PQfinish(conn);
	return status;
}
