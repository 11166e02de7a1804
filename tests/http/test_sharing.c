/*
 * Sharing by "seal, then send": requests share a query only while it has not been sent, so no answer is older than its request.
 */
#include "proxy.h"
#include "readers.h"
#include "worker.h"

#include <string.h>

#define MANY 20

static void insert(PGconn *conn, int n)
{
	pg_execf(conn,
		 "INSERT INTO agentfeatures (numgroup, number, passwd, context, language, description) VALUES (1, 'new-%d', '', "
		 "'', '', '')",
		 n);
}

static bool has_agent(const struct answer *a, int n)
{
	char text[64];

	(void)snprintf(text, sizeof text, "\"number\": \"new-%d\"", n);
	return count_of(a->body.p, text) == 1;
}

static const char *const on[] = {"--share=on", "--request-timeout=60s", NULL};
static const char *const off[] = {"--share=off", "--request-timeout=60s", NULL};

/* A database, a proxy before it, and a worker that has answered everything once. */
static void start(struct pg *db, struct proxy *p, struct worker *w, const char *const *options)
{
	pg_create_agents(db, 3);
	proxy_start(p, db);
	worker_start_ready(w, p->conninfo, options);
	worker_wait_status(w, "/agents", 200);
	worker_wait_status(w, "/agents_with_orm", 200);
}

static void end(struct pg *db, struct proxy *p, struct worker *w)
{
	worker_end(w);
	proxy_stop(p);
	pg_drop(db);
}

/* Sends a request and waits until PostgreSQL has run its query, whose answer the proxy keeps. */
static void send_and_hold(struct proxy *p, const struct worker *w, struct fastcgi *f, const char *path)
{
	atomic_store(&p->hold, true);
	worker_send(w, f, path);
	WAIT_FOR(atomic_load(&p->answers_waiting) > 0);
}

/*
 * The heart of it. A's query has been sent and has even run when the row is committed and B arrives: an answer that A and B share would lack the row.
 */
START_TEST(a_request_does_not_join_a_query_already_sent)
{
	static const char *const paths[] = {"/agents", "/agents_with_orm"};
	struct pg db;
	struct proxy p;
	struct worker w;
	struct fastcgi a;
	struct fastcgi b;

	start(&db, &p, &w, on);
	send_and_hold(&p, &w, &a, paths[_i]);
	insert(db.conn, 1);
	worker_send(&w, &b, paths[_i]);
	atomic_store(&p.hold, false);
	ANSWER first = fastcgi_answer(&a, 1, false);
	ANSWER second = fastcgi_answer(&b, 1, false);

	assert_status(first, 200);
	assert_status(second, 200);
	ck_assert(!has_agent(&first, 1));
	ck_assert_msg(has_agent(&second, 1), "the answer is older than its request: %s", second.body.p);
	ck_assert_uint_eq(answer_rows(&first), 3);
	ck_assert_uint_eq(answer_rows(&second), 4);
	fastcgi_close(&a);
	fastcgi_close(&b);
	end(&db, &p, &w);
}
END_TEST

/* MANY requests while A's answer is held; the queries that PostgreSQL saw for all of them, A's own counted. */
static unsigned queries_of_many(const char *const *options)
{
	struct pg db;
	struct proxy p;
	struct worker w;
	struct fastcgi a;
	struct fastcgi many[MANY];

	start(&db, &p, &w, options);
	unsigned before = atomic_load(&p.executes);

	send_and_hold(&p, &w, &a, "/agents");
	for (int i = 0; i < MANY; i++) {
		insert(db.conn, i);
		worker_send(&w, &many[i], "/agents");
	}
	atomic_store(&p.hold, false);
	ANSWER first = fastcgi_answer(&a, 1, false);

	assert_status(first, 200);
	ck_assert_uint_eq(answer_rows(&first), 3);
	for (int i = 0; i < MANY; i++) {
		ANSWER each = fastcgi_answer(&many[i], 1, false);

		assert_status(each, 200);
		for (int n = 0; n <= i; n++)
			ck_assert_msg(has_agent(&each, n), "request %d does not see row %d", i, n);
		fastcgi_close(&many[i]);
	}
	fastcgi_close(&a);
	unsigned queries = atomic_load(&p.executes) - before;

	end(&db, &p, &w);
	return queries;
}

START_TEST(those_who_wait_share_one_query)
{
	ck_assert_uint_eq(queries_of_many(on), 2);
}
END_TEST

START_TEST(without_sharing_each_has_its_own_query)
{
	ck_assert_uint_eq(queries_of_many(off), 1 + MANY);
}
END_TEST

START_TEST(different_paths_do_not_share)
{
	struct pg db;
	struct proxy p;
	struct worker w;
	struct fastcgi a;
	struct fastcgi b;
	struct fastcgi c;

	start(&db, &p, &w, on);
	send_and_hold(&p, &w, &a, "/agents");
	worker_send(&w, &b, "/agents_with_orm");
	worker_send(&w, &c, "/agent_logins");
	atomic_store(&p.hold, false);
	ANSWER agents = fastcgi_answer(&a, 1, false);
	ANSWER orm = fastcgi_answer(&b, 1, false);
	ANSWER logins = fastcgi_answer(&c, 1, false);

	assert_status(agents, 200);
	assert_status(orm, 200);
	assert_status(logins, 200);
	ck_assert_uint_eq(count_of(agents.body.p, "extension_status"), 3);
	ck_assert_uint_eq(count_of(orm.body.p, "numgroup"), 3);
	assert_body_text(logins, "[]");
	fastcgi_close(&a);
	fastcgi_close(&b);
	fastcgi_close(&c);
	end(&db, &p, &w);
}
END_TEST

/* HEAD, conditions and GET of one path may share a query; each still gets its own kind of answer. */
START_TEST(sharers_get_each_their_own_kind_of_answer)
{
	struct pg db;
	struct proxy p;
	struct worker w;
	struct fastcgi a;
	struct fastcgi get;
	struct fastcgi head;
	struct fastcgi condition;
	BYTES request = {0};

	start(&db, &p, &w, on);
	send_and_hold(&p, &w, &a, "/agents");
	worker_send(&w, &get, "/agents");
	ck_assert(fastcgi_open(&head, w.socket) && fastcgi_open(&condition, w.socket));
	fastcgi_request(&request, 7, FASTCGI_KEEP, "HEAD", "/agents", NULL);
	ck_assert(send_all(head.fd, request.p, request.len));
	request.len = 0;
	fastcgi_request(&request, 513, FASTCGI_KEEP, "GET", "/agents",
			(const struct fastcgi_param[]){{"HTTP_IF_NONE_MATCH", "*"}, {0}});
	ck_assert(send_all(condition.fd, request.p, request.len));
	WAIT_FOR(all_read_by_peer(head.fd) && all_read_by_peer(condition.fd));
	atomic_store(&p.hold, false);
	ANSWER first = fastcgi_answer(&a, 1, false);
	ANSWER of_get = fastcgi_answer(&get, 1, false);
	ANSWER of_head = fastcgi_answer(&head, 7, true);
	ANSWER of_condition = fastcgi_answer(&condition, 513, true);

	assert_status(first, 200);
	assert_status(of_get, 200);
	ck_assert_uint_eq(answer_rows(&of_get), 3);
	assert_status(of_head, 200);
	assert_header(of_head, "ETag", answer_header(&of_get, "ETag"));
	assert_status(of_condition, 304);
	fastcgi_close(&a);
	fastcgi_close(&get);
	fastcgi_close(&head);
	fastcgi_close(&condition);
	end(&db, &p, &w);
}
END_TEST

/* One who leaves takes nobody along. */
START_TEST(a_sharer_that_leaves_does_not_hurt_the_others)
{
	struct pg db;
	struct proxy p;
	struct worker w;
	struct fastcgi f[4];

	start(&db, &p, &w, on);
	send_and_hold(&p, &w, &f[0], "/agents");
	for (int i = 1; i < 4; i++)
		worker_send(&w, &f[i], "/agents");
	fastcgi_close(&f[0]);
	fastcgi_close(&f[2]);
	atomic_store(&p.hold, false);
	for (int i = 1; i < 4; i += 2) {
		ANSWER a = fastcgi_answer(&f[i], 1, false);

		assert_status(a, 200);
		ck_assert_uint_eq(answer_rows(&a), 3);
		fastcgi_close(&f[i]);
	}
	end(&db, &p, &w);
}
END_TEST

static struct answer ask_worker(const void *target, const char *path)
{
	return worker_get(target, path);
}

/* A writer that commits, then reads through the service, sees what it wrote, whatever others read meanwhile. */
START_TEST(every_read_sees_the_write_before_it)
{
	struct pg db;
	struct worker w;
	struct readers r;
	struct fastcgi f;

	pg_create_agents(&db, 3);
	worker_start_ready(&w, db.conninfo, _i == 0 ? on : off);
	readers_start(&r, (const char *const[]){"/agents", "/agents_with_orm", "/agents", "/agents", NULL}, ask_worker, &w,
		      readers_only_200);
	readers_wait(&r, 20);
	ck_assert(fastcgi_open(&f, w.socket));
	for (int n = 0; n < 300; n++) {
		pg_execf(db.conn, "UPDATE agentfeatures SET number = 'new-%d' WHERE id = 1", n);
		ANSWER a = fastcgi_exchange(&f, FASTCGI_KEEP, "GET", n % 2 == 0 ? "/agents" : "/agents_with_orm", NULL);

		assert_status(a, 200);
		ck_assert_msg(has_agent(&a, n), "write %d is not in: %s", n, a.body.p);
	}
	fastcgi_close(&f);
	readers_end(&r);
	worker_end(&w);
	pg_drop(&db);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sharing");
	TCase *c = add_case(s, "sharing");

	tcase_add_loop_test(c, a_request_does_not_join_a_query_already_sent, 0, 2);
	tcase_add_test(c, those_who_wait_share_one_query);
	tcase_add_test(c, without_sharing_each_has_its_own_query);
	tcase_add_test(c, different_paths_do_not_share);
	tcase_add_test(c, sharers_get_each_their_own_kind_of_answer);
	tcase_add_test(c, a_sharer_that_leaves_does_not_hurt_the_others);
	tcase_add_loop_test(c, every_read_sees_the_write_before_it, 0, 2);
	return run_suite(s);
}
