/*
 * How a worker starts, refuses to start, and ends: options, --check, the listening socket, drain.
 */
#include "pg.h"
#include "series.h"
#include "team.h"
#include "worker.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct refusal {
	const char *args[4];
	const char *variable; /* of the environment; NULL: none */
	const char *names[3]; /* what the one line on stderr must name */
};

static const struct refusal refusals[] = {
	{{"--nonsense=1"}, NULL, {"nonsense"}},
	{{"--request-timout", "1s"}, NULL, {"request-timout", "request-timeout"}},
	{{"--request-timeout=1ms"}, NULL, {"request-timeout", "1ms", "100ms"}},
	{{"--request-timeout=61s"}, NULL, {"request-timeout", "61s", "60s"}},
	{{"--request-timeout=abc"}, NULL, {"request-timeout", "abc"}},
	{{"--request-timeout="}, NULL, {"request-timeout"}},
	{{"--db-connections=0"}, NULL, {"db-connections", "0", "64"}},
	{{"--db-connections=65"}, NULL, {"db-connections", "65", "64"}},
	{{"--db-connections=99999999999999999999"}, NULL, {"db-connections", "64"}},
	{{"--max-waiting=-1"}, NULL, {"max-waiting", "-1"}},
	{{"--share=maybe"}, NULL, {"share", "maybe", "off"}},
	{{"--log-level=loud"}, NULL, {"log-level", "loud", "debug"}},
	{{"--slow-log=1h"}, NULL, {"slow-log", "1h"}},
	{{"--cors-origin=nonsense"}, NULL, {"cors-origin", "nonsense"}},
	{{"--share"}, NULL, {"share"}},
	{{"word"}, NULL, {"--help"}},
	{{"--database=nonsense"}, NULL, {"database"}},
	{{"--database=host=x nonsense=y"}, NULL, {"database", "parameter"}},
	{{"--database=postgresql://[::1/x"}, NULL, {"database"}},
	{{"--config=/nonexistent/file"}, NULL, {"/nonexistent/file"}},
	{{NULL}, "AGENTS_FCGI_NONSENSE=1", {"AGENTS_FCGI_NONSENSE"}},
	{{NULL}, "AGENTS_FCGI_REQUEST_TIMEOUT=1ms", {"AGENTS_FCGI_REQUEST_TIMEOUT", "1ms", "100ms"}},
	{{NULL}, "AGENTS_FCGI_DATABASE=host=x nonsense=y", {"AGENTS_FCGI_DATABASE"}},
};
#define REFUSALS ((int)(sizeof refusals / sizeof refusals[0]))

START_TEST(a_wrong_option_is_a_clear_error)
{
	const struct refusal *e = &refusals[_i];
	RUN r = worker_run(-1, (const char *const[]){e->variable, NULL}, e->args);

	ck_assert_msg(r.status == 2, "status %d: %s", r.status, r.err.p);
	ck_assert_uint_eq(r.out.len, 0);
	ck_assert_msg(count_of(r.err.p, "\n") == 1, "not one line: %s", r.err.p);
	for (int i = 0; i < 3 && e->names[i] != NULL; i++)
		ck_assert_msg(strstr(r.err.p, e->names[i]) != NULL, "%s is not named: %s", e->names[i], r.err.p);
}
END_TEST

START_TEST(a_password_on_the_command_line_is_refused_and_not_echoed)
{
	static const char *const databases[] = {"host=/x dbname=y password=topsecret99", "postgresql://user:topsecret99@host/db",
						"postgresql://user@host/db?password=topsecret99"};
	BYTES flag = {0};

	bytes_printf(&flag, "--database=%s", databases[_i]);
	RUN joined = worker_run(-1, NULL, (const char *const[]){flag.p, NULL});
	RUN apart = worker_run(-1, NULL, (const char *const[]){"--database", databases[_i], NULL});

	ck_assert_int_eq(joined.status, 2);
	ck_assert_int_eq(apart.status, 2);
	ck_assert_uint_eq(count_of(joined.err.p, "topsecret99") + count_of(apart.err.p, "topsecret99"), 0);
	ck_assert_msg(strstr(joined.err.p, "password") != NULL && strstr(joined.err.p, "AGENTS_FCGI_DATABASE") != NULL, "%s",
		      joined.err.p);
}
END_TEST

START_TEST(a_password_from_the_environment_is_hidden)
{
	RUN r = worker_run(-1, (const char *const[]){"AGENTS_FCGI_DATABASE=host=/x dbname=y password=topsecret99", NULL},
			   (const char *const[]){"--print-config", NULL});

	ck_assert_msg(r.status == 0, "%s", r.err.p);
	ck_assert_uint_eq(count_of(r.out.p, "topsecret99"), 0);
	ck_assert_uint_eq(count_of(r.out.p, "********"), 1);
}
END_TEST

START_TEST(help_version_and_configuration)
{
	static const char *const names[] = {"database",   "db-connections", "share",     "request-timeout", "max-waiting",
					    "max-unread", "slow-log",       "log-level", "cors-origin"};
	RUN help = worker_run(-1, NULL, (const char *const[]){"--help", NULL});
	RUN version = worker_run(-1, NULL, (const char *const[]){"--version", NULL});
	RUN config = worker_run(-1, NULL, (const char *const[]){"--request-timeout=7s", "--print-config", NULL});

	ck_assert_int_eq(help.status, 0);
	ck_assert_int_eq(version.status, 0);
	ck_assert_int_eq(config.status, 0);
	ck_assert_uint_eq(help.err.len + version.err.len + config.err.len, 0);
	ck_assert_msg(strncmp(version.out.p, "agents-fcgi ", 12) == 0 && count_of(version.out.p, "\n") == 1, "%s", version.out.p);
	ck_assert_uint_eq(count_of(config.out.p, "request-timeout = 7000ms\n"), 1);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		BYTES flag = {0};
		BYTES line = {0};

		bytes_printf(&flag, "--%s", names[i]);
		bytes_printf(&line, "%s =", names[i]);
		ck_assert_msg(strstr(help.out.p, flag.p) != NULL, "--help lacks %s", names[i]);
		ck_assert_msg(strstr(config.out.p, line.p) != NULL, "--print-config lacks %s", names[i]);
	}
}
END_TEST

START_TEST(without_a_listening_socket_it_says_so)
{
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	int64_t start_ms = now_ms();
	RUN null = worker_run(-1, NULL, NULL);

	/* It waits before it ends, so that respawning cannot spin. */
	ck_assert_int_ge(now_ms() - start_ms, 900);
	ck_assert_int_eq(null.status, 1);
	ck_assert_msg(strstr(null.err.p, "socket") != NULL, "%s", null.err.p);
	RUN of_pipe = worker_run(pair[0], NULL, NULL);

	ck_assert_int_eq(of_pipe.status, 1);
	ck_assert_msg(strstr(of_pipe.err.p, "socket") != NULL, "%s", of_pipe.err.p);
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

/* --check with a listening socket and that database. */
static struct run check(const char *database)
{
	BYTES path = {0};
	BYTES variable = {0};

	bytes_printf(&path, "%s/check-%d.sock", env_need("RUN_DIR"), (int)getpid());
	bytes_printf(&variable, "AGENTS_FCGI_DATABASE=%s", database);
	(void)unlink(path.p);
	int fd = unix_listen(path.p);

	ck_assert_int_ge(fd, 0);
	struct run r = worker_run(fd, (const char *const[]){variable.p, NULL}, (const char *const[]){"--check", NULL});

	(void)close(fd);
	(void)unlink(path.p);
	return r;
}

static bool said(const struct run *r, const char *text)
{
	return count_of(r->out.p, text) + count_of(r->err.p, text) > 0;
}

START_TEST(check_tells_good_from_bad)
{
	struct pg db;

	pg_create(&db);
	RUN good = check(db.conninfo);

	ck_assert_msg(good.status == 0, "%s%s", good.out.p, good.err.p);
	ck_assert(said(&good, "ok") && !said(&good, "failed"));

	pg_exec(db.conn, "ALTER TABLE agentfeatures ALTER autologoff TYPE bigint");
	RUN type = check(db.conninfo);

	ck_assert_int_eq(type.status, 1);
	ck_assert_msg(said(&type, "failed:") && said(&type, "autologoff") && said(&type, "bigint") && said(&type, "integer"),
		      "%s", type.out.p);

	pg_exec(db.conn, "DROP TABLE agentfeatures");
	RUN table = check(db.conninfo);

	ck_assert_int_eq(table.status, 1);
	ck_assert_msg(said(&table, "failed:") && said(&table, "agentfeatures"), "%s", table.out.p);

	pg_execf(db.conn, "ALTER ROLE %s NOLOGIN", db.name);
	RUN role = check(db.conninfo);

	ck_assert_int_eq(role.status, 1);
	ck_assert_msg(said(&role, "failed:") && said(&role, "log in"), "%s", role.out.p);
	pg_drop(&db);
}
END_TEST

START_TEST(check_refuses_sql_ascii_and_nowhere)
{
	struct pg db;

	pg_create_bare(&db, "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	pg_load_schema(&db);
	RUN ascii = check(db.conninfo);

	ck_assert_int_eq(ascii.status, 1);
	ck_assert_msg(said(&ascii, "failed:") && said(&ascii, "SQL_ASCII"), "%s", ascii.out.p);
	RUN nowhere = check("host=/nonexistent dbname=x");

	ck_assert_int_eq(nowhere.status, 1);
	ck_assert_msg(said(&nowhere, "failed:") && said(&nowhere, "/nonexistent"), "%s", nowhere.out.p);
	pg_drop(&db);
}
END_TEST

/* Without any socket it is a look at the rest, from a shell; with one, it has to be the listening one. */
START_TEST(check_wants_the_socket_to_listen)
{
	struct pg db;
	BYTES variable = {0};
	int pair[2];

	pg_create(&db);
	bytes_printf(&variable, "AGENTS_FCGI_DATABASE=%s", db.conninfo);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	RUN connected = worker_run(pair[0], (const char *const[]){variable.p, NULL}, (const char *const[]){"--check", NULL});
	RUN none = worker_run(-1, (const char *const[]){variable.p, NULL}, (const char *const[]){"--check", NULL});

	ck_assert_int_eq(connected.status, 1);
	ck_assert_msg(said(&connected, "failed:") && said(&connected, "listening"), "%s%s", connected.out.p, connected.err.p);
	ck_assert_int_eq(none.status, 0);
	ck_assert_msg(said(&none, "skipped:") && said(&none, "socket"), "%s%s", none.out.p, none.err.p);
	(void)close(pair[0]);
	(void)close(pair[1]);
	pg_drop(&db);
}
END_TEST

/* --check with that scoreboard, from a shell. */
static struct run check_scoreboard(const struct pg *db, const char *file)
{
	BYTES variable = {0};
	BYTES option = {0};

	bytes_printf(&variable, "AGENTS_FCGI_DATABASE=%s", db->conninfo);
	bytes_printf(&option, "--scoreboard=%s", file);
	return worker_run(-1, (const char *const[]){variable.p, NULL}, (const char *const[]){"--check", option.p, NULL});
}

/* It could be used, or a worker would serve without: neither fails the check. What a pool has is left as it is. */
START_TEST(check_looks_at_the_scoreboard)
{
	struct pg db;
	struct team t;
	BYTES missing = {0};

	pg_create(&db);
	team_begin(&t);
	RUN unset = check_scoreboard(&db, "");
	RUN made = check_scoreboard(&db, t.board);

	ck_assert_int_eq(unset.status, 0);
	ck_assert(!said(&unset, "scoreboard"));
	ck_assert_msg(made.status == 0 && said(&made, "ok: scoreboard ") && said(&made, " can be made"), "%s", made.out.p);
	ck_assert_int_ne(access(t.board, F_OK), 0);
	(void)team_add(&t, NOWHERE, NULL);
	RUN used = check_scoreboard(&db, t.board);

	ck_assert_msg(used.status == 0 && said(&used, "ok: scoreboard ") && said(&used, " has a slot"), "%s", used.out.p);
	(void)team_add(&t, NOWHERE, NULL);
	WAIT_FOR(metric(&t.w[0], "workers{state=\"idle\"}") == 2.);
	assert_metric(&t.w[0], "worker_starts_total", 2.);
	assert_metric(&t.w[0], "worker_deaths_total", 0.);
	team_end(&t);
	bytes_printf(&missing, "%s/missing/board", env_need("RUN_DIR"));
	RUN nowhere = check_scoreboard(&db, missing.p);

	ck_assert_int_eq(nowhere.status, 0);
	ck_assert(!said(&nowhere, "ok: scoreboard") && !said(&nowhere, "failed"));
	ck_assert_msg(said(&nowhere, "warning: scoreboard ") && said(&nowhere, missing.p) &&
			      said(&nowhere, " cannot be opened: No such file or directory; "),
		      "%s", nowhere.out.p);
	pg_drop(&db);
}
END_TEST

static const int drain_signals[] = {SIGTERM, SIGUSR1};

/* A slow query is in flight, another connection is idle: the one is answered, the other closed, and the worker ends well. */
START_TEST(drain_answers_what_is_in_flight)
{
	struct pg db;
	struct worker w;
	struct fastcgi idle;
	struct fastcgi waiting;

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=60s", NULL});
	ck_assert(fastcgi_open(&idle, w.socket));
	ANSWER index = fastcgi_exchange(&idle, FASTCGI_KEEP, "GET", "/index", NULL);

	assert_status(index, 200);
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	worker_send(&w, &waiting, "/agents");
	WAIT_FOR(pg_active(&db) > 0);
	ck_assert_int_eq(kill(w.pid, drain_signals[_i]), 0);
	ck_assert(closed_by_peer(idle.fd, &idle.in, PATIENCE_MS));
	ck_assert_uint_eq(idle.in.len, 0);
	ck_assert_int_eq(kill(w.pid, 0), 0);
	pg_exec(db.conn, "COMMIT");
	ANSWER a = fastcgi_answer(&waiting, 1, false);

	assert_status(a, 200);
	assert_golden(a, "agents.json");
	ck_assert(closed_by_peer(waiting.fd, NULL, PATIENCE_MS));
	ck_assert_int_eq(worker_wait(&w), 0);
	fastcgi_close(&idle);
	fastcgi_close(&waiting);
	worker_remove_files(&w);
	pg_drop(&db);
}
END_TEST

/* What can't be finished is bounded by the deadline. */
START_TEST(drain_ends_by_the_deadline)
{
	struct pg db;
	struct worker w;
	struct fastcgi waiting;

	pg_create_default(&db);
	worker_start_ready(&w, db.conninfo, (const char *const[]){"--request-timeout=1s", NULL});
	pg_exec(db.conn, "BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE");
	worker_send(&w, &waiting, "/agents");
	ck_assert_int_eq(kill(w.pid, drain_signals[_i]), 0);
	ANSWER a = fastcgi_answer(&waiting, 1, false);

	assert_problem(a, 504);
	ck_assert_int_eq(worker_wait(&w), 0);
	pg_exec(db.conn, "COMMIT");
	fastcgi_close(&waiting);
	worker_remove_files(&w);
	pg_drop(&db);
}
END_TEST

START_TEST(drain_without_a_database)
{
	struct worker w;

	worker_start(&w, "host=/nonexistent dbname=nothing user=nobody", NULL);
	ck_assert_int_eq(kill(w.pid, drain_signals[_i]), 0);
	ck_assert_int_eq(worker_wait(&w), 0);
	ck_assert_int_eq(unix_connect(w.socket), -1);
	worker_remove_files(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("start");
	TCase *c = add_case(s, "start");

	tcase_add_loop_test(c, a_wrong_option_is_a_clear_error, 0, REFUSALS);
	tcase_add_loop_test(c, a_password_on_the_command_line_is_refused_and_not_echoed, 0, 3);
	tcase_add_test(c, a_password_from_the_environment_is_hidden);
	tcase_add_test(c, help_version_and_configuration);
	tcase_add_test(c, without_a_listening_socket_it_says_so);
	tcase_add_test(c, check_tells_good_from_bad);
	tcase_add_test(c, check_refuses_sql_ascii_and_nowhere);
	tcase_add_test(c, check_wants_the_socket_to_listen);
	tcase_add_test(c, check_looks_at_the_scoreboard);
	tcase_add_loop_test(c, drain_answers_what_is_in_flight, 0, 2);
	tcase_add_loop_test(c, drain_ends_by_the_deadline, 0, 2);
	tcase_add_loop_test(c, drain_without_a_database, 0, 2);
	return run_suite(s);
}
