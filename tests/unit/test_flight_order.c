/* wrap: db_submit db_withdraw db_estimate_us request_wait request_answer request_fail schema_check calloc */
/*
 * Joining, leaving, sending and answering in any order.
 */
#include "flight_fixture.h"
#include "random.h"

#define MEMBERS 3000
#define STEPS 20000

static struct member crowd[MEMBERS];

/* The one query that has been sent at least once and has not landed. */
struct sent {
	struct job *job; /* NULL: none */
	bool on_its_way_back;
	long first_sent; /* when it was sealed */
};

static void send_at(struct sent *s, long now)
{
	struct job *j = send_first();

	if (s->job != NULL)
		ck_assert_ptr_eq(s->job, j);
	else
		s->first_sent = now;
	s->job = j;
	s->on_its_way_back = false;
}

static void leave(struct sent *s, struct member *m)
{
	last_withdrawn = NULL;
	flight_leave(&m->request);
	if (s->job != NULL && last_withdrawn == s->job)
		s->job = NULL;
}

static void step(struct sent *s, uint64_t *state, int *joined, long now)
{
	bool under_way = s->job != NULL && !s->on_its_way_back;
	unsigned what = now > STEPS ? 6 + random_below(state, 4) : random_below(state, 10);

	if (what < 3 && *joined < MEMBERS) {
		join(&crowd[*joined], *joined, QUERY_AGENTS);
		crowd[(*joined)++].joined_at = now;
	} else if (what == 3 && *joined > 0) {
		leave(s, &crowd[random_below(state, (uint32_t)*joined)]);
	} else if (what == 4 && under_way) {
		send_back(s->job);
		s->on_its_way_back = true;
	} else if (what < 8 && !list_empty(&line)) {
		ck_assert(!under_way);
		send_at(s, now);
	} else if (what >= 8 && under_way) {
		struct job *j = s->job;

		s->job = NULL;
		answer(j, s->first_sent);
	}
}

/* With sharing at most one execution of a query is under way, and whatever a request gets was sent after it had come. */
START_TEST(no_answer_is_older_than_its_request)
{
	uint64_t state = random_seed();
	struct sent sent = {NULL, false, 0};
	int joined = 0;
	int answers = 0;

	start(true);
	for (long now = 1; now <= STEPS || flights.waiting > 0 || sent.job != NULL; now++)
		step(&sent, &state, &joined, now);
	ck_assert_int_eq(joined, MEMBERS);
	for (int i = 0; i < joined; i++) {
		if (crowd[i].status == 0)
			continue;
		ck_assert_int_eq(crowd[i].status, 200);
		ck_assert_int_gt(strtol(crowd[i].content + strlen("[{\"at\": "), NULL, 10), crowd[i].joined_at);
		answers++;
	}
	ck_assert_int_gt(answers, MEMBERS / 4);
	stop();
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, no_answer_is_older_than_its_request);
}

int main(void)
{
	return suite_run("flight_order", NULL, NULL, add_tests);
}
