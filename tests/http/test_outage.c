/*
 * PostgreSQL stopped, restarted, its backends ended, its queries cancelled, its tables locked: by deadline, and without failed requests where that is promised.
 */
#include "http.h"
#include "pg.h"
#include "readers.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static struct answer ask_worker(const void *target, const char *path)
{
	return worker_get(target, path);
}

static struct answer ask_nginx(const void *target, const char *path)
{
	(void)target;
	return http_get(path);
}

static void start_postgres(void)
{
	if (PQping("") != PQPING_OK)
		(void)shell(env_need("STACK_START_PG"));
}

static void stop_postgres(void)
{
	ck_assert_int_eq(shell(env_need("STACK_STOP_PG")), 0);
	WAIT_FOR(PQping("") == PQPING_NO_RESPONSE);
}

/* After a restart the connection of the fixture is gone too. */
static void reconnect(struct pg *db)
{
	WAIT_FOR(PQping("") == PQPING_OK);
	PQreset(db->conn);
	ck_assert_int_eq(PQstatus(db->conn), CONNECTION_OK);
}

static bool public_status(const char *path, int status)
{
	ANSWER a = http_get(path);

	return a.status == status;
}

static bool ready_status(int status)
{
	ANSWER a = http_admin("GET", "/health/ready");

	return a.status == status;
}

/* True when the pool's log has a line with that request id. */
static bool worker_said(const char *id)
{
	BYTES log = {0};

	return file_read(env_need("WORKER_LOG"), &log) && count_of(log.p, id) > 0;
}

START_TEST(while_postgres_is_stopped_only_its_paths_suffer)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm", "/agent_logins"};

	WAIT_FOR(ready_status(200));
	stop_postgres();
	ANSWER index = http_get("/index");
	/* It may wait for the database as long as its deadline lets it; test_database.c asks for the others with a shorter one. */
	ANSWER agents = http_get("/agents");

	assert_status(index, 200);
	assert_golden(index, "index.json");
	assert_problem(agents, 503);
	assert_header(agents, "Retry-After", "1");
	ck_assert_int_eq(answer_header_count(&agents, "X-Request-Id"), 1);
	WAIT_FOR(worker_said(answer_header(&agents, "X-Request-Id")));
	ANSWER ready = http_admin("GET", "/health/ready");
	ANSWER live = http_admin("GET", "/health/live");

	assert_problem(ready, 503);
	ck_assert_msg(strstr(ready.body.p, "database") != NULL, "%s", ready.body.p);
	assert_status(live, 200);
	ck_assert_int_eq(shell(env_need("STACK_START_PG")), 0);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		WAIT_FOR(public_status(paths[i], 200));
	WAIT_FOR(ready_status(200));
	ANSWER a = http_get("/agents");

	assert_golden(a, "agents.json");
}
END_TEST

/* The private worker's deadline is longer than any restart takes, so that no machine is too slow for the promise. */
START_TEST(a_restart_under_load_fails_no_request)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm", "/agent_logins", "/index", NULL};
	struct pg db;
	struct worker w;
	struct readers r;

	pg_create_agents(&db, 50);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	readers_start(&r, paths, ask_worker, &w, readers_only_200);
	readers_wait(&r, 100);
	stop_postgres();
	ck_assert_int_eq(shell(env_need("STACK_START_PG")), 0);
	readers_wait(&r, 100);
	worker_wait_ready(&w, 200);
	readers_end(&r);
	reconnect(&db);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

static bool only_200_or_503(const struct answer *a, const char *path)
{
	return a->status == 200 || (a->status == 503 && strcmp(path, "/index") != 0);
}

/* Through nginx the deadline is the stack's own: only a restart within it must go unnoticed. */
START_TEST(a_restart_under_load_behind_nginx)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm", "/agents", "/index", NULL};
	struct readers r;

	WAIT_FOR(ready_status(200));
	readers_start(&r, paths, ask_nginx, NULL, only_200_or_503);
	readers_wait(&r, 100);
	int64_t stopped_ms = now_ms();

	stop_postgres();
	ck_assert_int_eq(shell(env_need("STACK_START_PG")), 0);
	WAIT_FOR(public_status("/agents", 200));
	int64_t away_ms = now_ms() - stopped_ms;

	readers_wait(&r, 100);
	readers_end(&r);
	unsigned failed = atomic_load(&r.good) - atomic_load(&r.of_200);

	ck_assert_msg(failed == 0 || away_ms > 3000, "%u requests failed in a restart of %d ms", failed, (int)away_ms);
	WAIT_FOR(ready_status(200));
}
END_TEST

START_TEST(terminated_backends_under_load_fail_no_request)
{
	struct pg db;
	struct worker w;
	struct readers r;

	pg_create_agents(&db, 500);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	readers_start(&r, (const char *const[]){"/agents", "/agents_with_orm", "/agent_logins", NULL}, ask_worker, &w,
		      readers_only_200);
	for (int i = 0; i < 20; i++) {
		readers_wait(&r, 20);
		pg_exec(db.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
				 "pid <> pg_backend_pid()");
	}
	readers_wait(&r, 50);
	readers_end(&r);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

/* 57014 under load: whoever it hits is served again, or told that there was no time; nobody gets 500. */
static bool not_an_error_of_ours(const struct answer *a, const char *path)
{
	(void)path;
	return a->status == 200 || a->status == 503 || a->status == 504;
}

START_TEST(cancelled_queries_give_nobody_500)
{
	struct pg db;
	struct worker w;
	struct readers r;

	pg_create_agents(&db, 500);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	PGconn *locker = pg_connect(&db);

	readers_start(&r, (const char *const[]){"/agents", "/agents_with_orm", "/agents", NULL}, ask_worker, &w,
		      not_an_error_of_ours);
	for (int i = 0; i < 5; i++) {
		readers_wait(&r, 10);
		pg_exec(locker, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
		WAIT_FOR(pg_active(&db) > 0);
		pg_exec(db.conn, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
				 "application_name <> 'http-tests'");
		pg_exec(locker, "COMMIT");
	}
	readers_wait(&r, 10);
	readers_end(&r);
	PQfinish(locker);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(a_locked_table_gives_504_by_the_deadline)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 50);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=1s", NULL});
	PGconn *locker = pg_connect(&db);

	pg_exec(locker, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	struct fastcgi waiting;

	worker_send(&w, &waiting, "/agents");
	ANSWER index = worker_get(&w, "/index");
	ANSWER late = fastcgi_answer(&waiting, 1, false);

	assert_status(index, 200);
	assert_problem(late, 504);
	ck_assert_uint_eq(count_of(late.body.p, "agentfeatures"), 0);
	/* The server notices that the client has gone, and ends the query. */
	WAIT_FOR(pg_active(&db) == 0);
	ANSWER again = worker_get(&w, "/agents_with_orm");

	ck_assert_msg(again.status == 504 || again.status == 503, "%d", again.status);
	pg_exec(locker, "COMMIT");
	worker_wait_status(&w, "/agents", 200);
	worker_wait_status(&w, "/agents_with_orm", 200);
	fastcgi_close(&waiting);
	PQfinish(locker);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(paths_that_need_no_locked_table_are_served)
{
	struct pg db;
	struct worker w;

	pg_create_agents(&db, 50);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=1s", NULL});
	PGconn *locker = pg_connect(&db);

	pg_exec(locker, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	ANSWER locked = worker_get(&w, "/agents_with_orm");

	assert_problem(locked, 504);
	/* One connection serves all paths: the blocked query is ended at its deadline, and what waits behind it moves on. */
	worker_wait_status(&w, "/agent_logins", 200);
	pg_exec(locker, "COMMIT");
	worker_wait_status(&w, "/agents_with_orm", 200);
	PQfinish(locker);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("outage");
	TCase *c = add_case(s, "outage");

	/* Runs in the runner itself, also behind a test that failed half-way: the next one needs its PostgreSQL. */
	tcase_add_unchecked_fixture(c, NULL, start_postgres);
	tcase_add_test(c, a_locked_table_gives_504_by_the_deadline);
	tcase_add_test(c, paths_that_need_no_locked_table_are_served);
	tcase_add_test(c, terminated_backends_under_load_fail_no_request);
	tcase_add_test(c, cancelled_queries_give_nobody_500);
	tcase_add_test(c, while_postgres_is_stopped_only_its_paths_suffer);
	tcase_add_test(c, a_restart_under_load_fails_no_request);
	tcase_add_test(c, a_restart_under_load_behind_nginx);
	return run_suite(s);
}
