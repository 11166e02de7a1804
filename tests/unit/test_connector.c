/* wrap: poll clock_gettime pthread_create */
#include "connector.h"
#include "fake_pg.h"
#include "loop.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_llong skipped_us; /* time that passed without anyone's waiting for it */
static atomic_bool skips;       /* a poll in which nothing happens for a while counts as waited to its end */
static atomic_bool no_threads;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int n;

	if (!atomic_load(&skips) || timeout_ms < 100)
		return __real_poll(fds, count, timeout_ms);
	n = __real_poll(fds, count, 100);
	if (n == 0)
		atomic_fetch_add(&skipped_us, (timeout_ms - 100) * CLOCK_MS);
	return n;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int result = __real_clock_gettime(clock, t);
	long long us = atomic_load(&skipped_us) + t->tv_nsec / 1000;

	t->tv_sec += us / CLOCK_S;
	t->tv_nsec = us % CLOCK_S * 1000 + t->tv_nsec % 1000;
	return result;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return atomic_load(&no_threads) ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static struct ev_loop *loop;
static struct fake_pg server;
static struct connector *connector;
static PGconn *conn;
static char reason[CONNECTOR_REASON_BYTES];
static int done_count;

static void on_done(void *user, PGconn *c, const char *why)
{
	ck_assert_ptr_eq(user, &server);
	ck_assert((c == NULL) == (why != NULL));
	done_count++;
	conn = c;
	(void)snprintf(reason, sizeof(reason), "%s", why != NULL ? why : "");
}

static void setup(void)
{
	atomic_store(&skipped_us, 0);
	atomic_store(&skips, false);
	atomic_store(&no_threads, false);
	(void)unsetenv("PGCONNECT_TIMEOUT");
	(void)unsetenv("PGTARGETSESSIONATTRS");
	done_count = 0;
	conn = NULL;
	loop = ev_loop_new(EVFLAG_AUTO);
	ck_assert_ptr_nonnull(loop);
	fake_pg_start(&server, loop);
	connector = NULL;
}

static void start(const char *database)
{
	connector = connector_new(loop, database, 4321, on_done, &server);
	ck_assert_ptr_nonnull(connector);
}

static void teardown(void)
{
	PQfinish(conn);
	if (connector != NULL)
		ck_assert(connector_free(connector));
	fake_pg_stop(&server);
	ev_loop_destroy(loop);
}

static bool is_done(void *count)
{
	return done_count >= *(const int *)count;
}

static void attempt(void)
{
	int expected = done_count + 1;

	connector_start(connector);
	ck_assert(loop_until(loop, is_done, &expected));
	ck_assert_int_eq(done_count, expected);
}

static void says(const char *words)
{
	ck_assert_ptr_null(conn);
	ck_assert_msg(strstr(reason, words) != NULL, "\"%s\" has no \"%s\"", reason, words);
	ck_assert_ptr_null(strchr(reason, '\n'));
}

static void has(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" has no \"%s\"", text, words);
}

/* --- success --- */

START_TEST(connection_comes_ready_for_use)
{
	start(server.conninfo);
	attempt();
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
	ck_assert_int_eq(PQisnonblocking(conn), 1);
	ck_assert_int_eq(PQpipelineStatus(conn), PQ_PIPELINE_ON);
	has(server.startup, " user=tester");
	has(server.startup, " database=fake");
	has(server.startup, " client_encoding=UTF8");
	has(server.startup, " application_name=agents-fcgi");
	has(server.settings, "default_transaction_read_only = on");
	has(server.settings, "default_transaction_isolation = 'read committed'");
	has(server.settings, "statement_timeout = 4321");
	has(server.settings, "client_connection_check_interval = ");
}
END_TEST

START_TEST(conninfo_may_name_the_application_but_not_the_encoding)
{
	char database[256];

	(void)snprintf(database, sizeof(database), "%s application_name=mine client_encoding=LATIN1", server.conninfo);
	start(database);
	attempt();
	ck_assert_ptr_nonnull(conn);
	has(server.startup, " client_encoding=UTF8");
	ck_assert_ptr_null(strstr(server.startup, "LATIN1"));
	has(server.startup, " application_name=mine");
}
END_TEST

START_TEST(uri_and_several_hosts)
{
	char database[256];

	(void)snprintf(database, sizeof(database), "postgresql://tester@/fake?host=@agents-no-such-host,%s&port=5432,5432",
		       server.host);
	start(database);
	attempt();
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(server.connections, 1);
	ck_assert_str_eq(PQhost(conn), server.host);
}
END_TEST

START_TEST(one_thread_makes_many_connections)
{
	start(server.conninfo);
	for (int i = 0; i < 20; i++) {
		attempt();
		ck_assert_ptr_nonnull(conn);
		PQfinish(conn);
		conn = NULL;
	}
	ck_assert_int_eq(server.connections, 20);
}
END_TEST

START_TEST(server_without_the_check_of_connections_is_good_enough)
{
	server.refused_setting = "client_connection_check_interval";
	start(server.conninfo);
	attempt();
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(PQpipelineStatus(conn), PQ_PIPELINE_ON);
}
END_TEST

/* --- failure --- */

START_TEST(refused_connection)
{
	fake_pg_refuse(&server);
	start(server.conninfo);
	for (int i = 0; i < 3; i++) {
		attempt();
		says(server.host);
	}
}
END_TEST

START_TEST(sql_ascii_is_refused)
{
	server.encoding = "SQL_ASCII";
	start(server.conninfo);
	attempt();
	says("database \"fake\" has encoding SQL_ASCII");
	says("UTF8"); /* what would help */
	loop_turn(loop);
	ck_assert_int_eq(server.open, 0);
}
END_TEST

START_TEST(refused_setting)
{
	server.refused_setting = "statement_timeout";
	start(server.conninfo);
	attempt();
	says("the server's words about 42704");
	loop_turn(loop);
	ck_assert_int_eq(server.open, 0);
}
END_TEST

START_TEST(server_that_never_answers_the_settings)
{
	server.mute_settings = true;
	atomic_store(&skips, true);
	start(server.conninfo);
	attempt();
	says("the server accepted the connection but did not answer");
	ck_assert_int_ge(atomic_load(&skipped_us), 4 * CLOCK_S); /* not given up at once, either */
	server.mute_settings = false;
	attempt();
	ck_assert_ptr_nonnull(conn);
}
END_TEST

static bool has_settings(void *arg)
{
	(void)arg;
	return server.settings[0] != '\0';
}

START_TEST(server_that_closes_instead_of_an_answer)
{
	int expected = 1;

	server.mute_settings = true;
	start(server.conninfo);
	connector_start(connector);
	ck_assert(loop_until(loop, has_settings, NULL));
	fake_pg_drop(&server);
	ck_assert(loop_until(loop, is_done, &expected));
	says("server closed the connection");
}
END_TEST

START_TEST(password_is_in_no_reason)
{
	char database[256];

	(void)snprintf(database, sizeof(database), "%s password=hunter2", server.conninfo);
	start(database);
	server.encoding = "SQL_ASCII";
	attempt();
	says("SQL_ASCII");
	ck_assert_ptr_null(strstr(reason, "hunter2"));
	fake_pg_stop(&server);
	attempt();
	says("fake-pg");
	ck_assert_ptr_null(strstr(reason, "hunter2"));
}
END_TEST

/* --- on the calling thread, as --check does --- */

START_TEST(calling_thread_may_connect_itself)
{
	char why[CONNECTOR_REASON_BYTES] = "";

	fake_pg_refuse(&server);
	ck_assert_ptr_null(connector_connect(server.conninfo, 1000, why));
	ck_assert_ptr_nonnull(strstr(why, server.host));
	ck_assert_ptr_null(connector_connect("host=@agents-no-such-host nonsense=1", 1000, why));
	ck_assert_ptr_nonnull(strstr(why, "nonsense"));
}
END_TEST

/* --- the end --- */

START_TEST(idle_thread_ends)
{
	start(server.conninfo);
	ck_assert(connector_free(connector));
	connector = NULL;
}
END_TEST

START_TEST(no_thread_to_be_had)
{
	atomic_store(&no_threads, true);
	ck_assert_ptr_null(connector_new(loop, server.conninfo, 1000, on_done, &server));
}
END_TEST

static bool is_accepted(void *arg)
{
	(void)arg;
	return server.settings[0] != '\0' && strstr(server.settings, "check_interval") != NULL;
}

START_TEST(connection_that_nobody_took_is_closed)
{
	int64_t deadline_us;

	start(server.conninfo);
	connector_start(connector);
	ck_assert(loop_until(loop, is_accepted, NULL));
	deadline_us = clock_us() + LOOP_DEADLINE_US;
	while (!connector_free(connector)) { /* the loop, which would hand it over, does not turn any more */
		ck_assert_int_lt(clock_us(), deadline_us);
		(void)usleep(1000);
	}
	connector = NULL;
	loop_turn(loop);
	ck_assert_int_eq(server.open, 0);
}
END_TEST

START_TEST(thread_in_an_attempt_is_not_waited_for)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) { /* the loop does not turn, so the server does not answer */
		connector = connector_new(loop, server.conninfo, 1000, on_done, &server);
		if (connector == NULL)
			_exit(2);
		connector_start(connector);
		_exit(connector_free(connector) ? 1 : 0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, connection_comes_ready_for_use);
	tcase_add_test(tc, conninfo_may_name_the_application_but_not_the_encoding);
	tcase_add_test(tc, uri_and_several_hosts);
	tcase_add_test(tc, one_thread_makes_many_connections);
	tcase_add_test(tc, server_without_the_check_of_connections_is_good_enough);
	tcase_add_test(tc, refused_connection);
	tcase_add_test(tc, sql_ascii_is_refused);
	tcase_add_test(tc, refused_setting);
	tcase_add_test(tc, server_that_never_answers_the_settings);
	tcase_add_test(tc, server_that_closes_instead_of_an_answer);
	tcase_add_test(tc, password_is_in_no_reason);
	tcase_add_test(tc, calling_thread_may_connect_itself);
	tcase_add_test(tc, idle_thread_ends);
	tcase_add_test(tc, no_thread_to_be_had);
	tcase_add_test(tc, connection_that_nobody_took_is_closed);
	tcase_add_test(tc, thread_in_an_attempt_is_not_waited_for);
}

int main(void)
{
	return suite_run("connector", setup, teardown, add_tests);
}
