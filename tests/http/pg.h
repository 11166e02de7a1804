/*
 * pg: throw-away databases in the embedded cluster, for private workers. Every function asserts; use it on the test's own thread.
 *
 * A worker connects as the database's role, which may read every column but agentfeatures.passwd.
 */
#ifndef TEST_PG_H
#define TEST_PG_H

#include "support.h"

#include <libpq-fe.h>

struct pg {
	char name[64];      /* of the database and of its role */
	char conninfo[512]; /* for the worker: its role, no password */
	PGconn *conn;       /* superuser's, in that database */
};

/* An empty database. `clauses` goes behind CREATE DATABASE (may be ""). */
void pg_create_bare(struct pg *db, const char *clauses);
/* A database with sql/schema.sql, and nothing in its tables. */
void pg_create(struct pg *db);
/* The same with the 50 default agents, analyzed: its answers equal the golden files. */
void pg_create_default(struct pg *db);
/* The same with `count` agents made up: agent number n has the number 100000 + n. */
void pg_create_agents(struct pg *db, int count);
void pg_drop(struct pg *db);

/* sql/schema.sql, and the role's rights. */
void pg_load_schema(struct pg *db);
/* A file of $DATA_DIR into a table. */
void pg_load_csv(struct pg *db, const char *table, const char *file);

/* Another superuser connection into the database. */
PGconn *pg_connect(const struct pg *db);
void pg_exec(PGconn *conn, const char *sql);
void pg_execf(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The one value of a query, as an integer. */
long pg_long(PGconn *conn, const char *sql);
/* Backends of other sessions in this database that run a query right now. */
long pg_active(const struct pg *db);

/* A conninfo for the worker with another role, host, … : `more` overrides what stands before it. */
void pg_conninfo(const struct pg *db, const char *more, char out[512]);

#endif
