#include "check.h"

#include "agent.h"
#include "connector.h"
#include "listener.h"
#include "scoreboard.h"

#include <sys/stat.h>

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool check_listener(int fd, FILE *out)
{
	const char *why = NULL;

	if (!is_socket(fd)) {
		(void)fprintf(out,
			      "skipped: descriptor %d is no socket; under spawn-fcgi it is the listening one, and is checked\n",
			      fd);
		return true;
	}
	if (listener_check(fd, &why)) {
		(void)fprintf(out, "ok: descriptor %d listens\n", fd);
		return true;
	}
	(void)fprintf(out, "failed: descriptor %d must be a listening socket, but %s\n", fd, why);
	return false;
}

/* PQgetResult of the pipeline-mode connection, for one statement and one Sync. */
static bool check_model(PGconn *conn, const struct model *m, FILE *out)
{
	const char *values[1] = {m->table};
	char reason[MODEL_REASON_BYTES];
	PGresult *rows = PQexecParams(conn, model_catalogue_sql, 1, NULL, values, NULL, NULL, 0);
	bool ok = false;

	if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
		(void)fprintf(out, "failed: the catalogue cannot be read: %s", PQerrorMessage(conn));
	} else if (!model_check_catalogue(m, rows, reason)) {
		(void)fprintf(out, "failed: %s\n", reason);
	} else {
		(void)fprintf(out, "ok: table %s is as expected\n", m->table);
		ok = true;
	}
	PQclear(rows);
	return ok;
}

static bool check_database(const struct options *o, FILE *out)
{
	char reason[CONNECTOR_REASON_BYTES];
	PGconn *conn = connector_connect(o->database, o->request_timeout_ms, reason);
	bool ok;

	if (conn == NULL) {
		(void)fprintf(out, "failed: %s\n", reason);
		return false;
	}
	(void)fprintf(out, "ok: connected to database %s, PostgreSQL %s\n", PQdb(conn),
		      PQparameterStatus(conn, "server_version"));
	/* A connection comes for the event loop; here it is to block. */
	ok = PQexitPipelineMode(conn) == 1 && PQsetnonblocking(conn, 0) == 0;
	ok = ok && check_model(conn, &agentfeature_model, out);
	ok = check_model(conn, &agent_login_model, out) && ok;
	PQfinish(conn);
	return ok;
}

/* A worker serves without one, too, as the first of an upgrade may have to: that fails no check. */
static void check_scoreboard(const char *path, FILE *out)
{
	char reason[SCOREBOARD_REASON_BYTES];
	bool is_there;

	if (path[0] == '\0') /* none is wanted */
		return;
	if (!scoreboard_check(path, &is_there, reason))
		(void)fprintf(out,
			      "warning: scoreboard %s %s; a worker would serve, and answer /metrics and /status for itself\n",
			      path, reason);
	else
		(void)fprintf(out, "ok: scoreboard %s %s\n", path, is_there ? "has a slot for a worker" : "can be made");
}

int check_run(const struct options *o, int fd, FILE *out)
{
	bool listens = check_listener(fd, out);
	bool serves = check_database(o, out);

	check_scoreboard(o->scoreboard, out);
	return listens && serves ? 0 : 1;
}
