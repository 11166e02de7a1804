#include "run.h"

#include "pool.h"
#include "schedule.h"
#include "wake.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define START_NS (SECOND_NS / 1000)
#define EVENTS_MAX 64
#define BUFFER_SIZE 65536

struct run {
	const struct cli *cli;
	struct figures *f;
	struct pool pool;
	struct schedule schedule;
	struct wake wake;
	int64_t now_ns;
	int64_t next_progress_ns;
	struct rusage usage_at_begin;
	bool usage_taken;
	bool stopped; /* by a signal: nothing is sent any more */
	size_t under_way;
	char buffer[BUFFER_SIZE];
};

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t); /* cannot fail with these clocks */
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* --- what happens to a request and its connection ----------------------------------------------------------------------------- */

static void end_request(struct run *r, struct conn *c, enum outcome outcome)
{
	figures_done(r->f, &c->request, outcome, c->response.state == RESPONSE_DONE ? c->response.status : 0, r->now_ns);
	c->has_request = false;
	r->under_way--;
}

static void count_connect_error(struct run *r)
{
	figures_counts(r->f, r->now_ns < r->f->begin_ns)->connect_errors++;
}

static void note_tried(struct run *r, struct conn *c)
{
	if (c->tried)
		r->f->reconnects++;
	else
		r->pool.untried--;
	c->tried = true;
}

static void connect_failed(struct run *r, struct conn *c, enum outcome outcome)
{
	note_tried(r, c);
	count_connect_error(r);
	if (c->has_request)
		end_request(r, c, outcome);
	pool_reopen(&r->pool, c, false, r->now_ns);
}

/* The connection is gone with a request on it. RFC 9112, 9.3.1: a server may close a connection that it has kept open at any time, also while a
 * request is on its way; sent again on a new connection, that is no fault. */
static void connection_lost(struct run *r, struct conn *c, enum outcome outcome)
{
	if (r->cli->resend && !c->request.resent && c->answers > 0 && c->request.bytes == 0 && !r->stopped) {
		c->request.resent = true;
		figures_counts(r->f, c->request.warm)->resent++;
	} else {
		end_request(r, c, outcome);
	}
	pool_reopen(&r->pool, c, true, r->now_ns);
}

/* `waited`: for EPOLLOUT, since the socket did not take all of it. */
static void write_request(struct run *r, struct conn *c, bool waited)
{
	ssize_t n = send(c->fd, r->cli->request + c->written, r->cli->request_len - c->written, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		connection_lost(r, c, OUTCOME_WRITE);
		return;
	}
	c->written += n > 0 ? (size_t)n : 0;
	if (c->written < r->cli->request_len || waited)
		(void)pool_watch(&r->pool, c, EPOLL_CTL_MOD, EPOLLIN | (c->written < r->cli->request_len ? EPOLLOUT : 0));
}

static void send_request(struct run *r, struct conn *c)
{
	c->written = 0;
	response_init(&c->response, r->cli->head, r->cli->expected);
	pool_move(&r->pool, c, CONN_BUSY, r->now_ns + r->cli->timeout_ns);
	write_request(r, c, false);
}

/* Sends what is due while there are free connections; the rest waits as times in the schedule. */
static void send_due(struct run *r)
{
	struct conn *c;

	while (r->schedule.next_ns <= (r->now_ns = clock_ns(CLOCK_MONOTONIC)) && !r->stopped &&
	       (c = pool_first(&r->pool, CONN_FREE)) != NULL) {
		int64_t due = schedule_take(&r->schedule);

		c->request = (struct request){.intended_ns = due, .sent_ns = r->now_ns, .warm = due < r->f->begin_ns};
		c->has_request = true;
		r->under_way++;
		figures_sent(r->f, &c->request, c->free_since_ns <= due);
		send_request(r, c);
	}
}

static void set_free(struct run *r, struct conn *c)
{
	c->free_since_ns = r->now_ns;
	pool_move(&r->pool, c, CONN_FREE, 0);
}

static void answered(struct run *r, struct conn *c)
{
	bool keep = c->response.keep_alive && c->written == r->cli->request_len;

	c->answers++;
	end_request(r, c,
		    c->response.status >= 400 ? OUTCOME_NON_2XX
		    : c->response.mismatch    ? OUTCOME_MISMATCH
					      : OUTCOME_ANSWERED);
	if (keep)
		set_free(r, c);
	else
		pool_reopen(&r->pool, c, true, r->now_ns);
}

/* --- events ------------------------------------------------------------------------------------------------------------------- */

static void on_connected(struct run *r, struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0 ||
	    !pool_watch(&r->pool, c, EPOLL_CTL_MOD, EPOLLIN)) {
		connect_failed(r, c, OUTCOME_READ);
		return;
	}
	note_tried(r, c);
	if (c->has_request)
		send_request(r, c);
	else
		set_free(r, c);
}

static void on_readable(struct run *r, struct conn *c)
{
	ssize_t n = recv(c->fd, r->buffer, sizeof(r->buffer), 0);
	size_t used;

	r->now_ns = clock_ns(CLOCK_MONOTONIC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (c->state == CONN_FREE) {
		r->f->stray += n > 0;
		pool_reopen(&r->pool, c, c->answers > 0, r->now_ns);
	} else if (n <= 0) {
		if (n == 0 && response_close(&c->response))
			answered(r, c);
		else
			connection_lost(r, c, OUTCOME_READ);
	} else {
		c->request.bytes += (uint64_t)n;
		used = response_feed(&c->response, r->buffer, (size_t)n);
		if (c->response.state == RESPONSE_MALFORMED || used < (size_t)n) {
			c->response.state = RESPONSE_MALFORMED;
			end_request(r, c, OUTCOME_MALFORMED);
			pool_reopen(&r->pool, c, true, r->now_ns);
		} else if (c->response.state == RESPONSE_DONE) {
			answered(r, c);
		}
	}
}

static void on_event(struct run *r, struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING)
		on_connected(r, c);
	else if (c->state == CONN_BUSY && (events & EPOLLOUT) != 0 && (events & (EPOLLERR | EPOLLHUP)) == 0)
		write_request(r, c, true);
	else if (c->state == CONN_BUSY || c->state == CONN_FREE)
		on_readable(r, c);
}

/* --- time --------------------------------------------------------------------------------------------------------------------- */

static struct conn *first_expired(const struct run *r, unsigned state)
{
	struct conn *c = pool_first(&r->pool, state);

	return c != NULL && c->deadline_ns <= r->now_ns ? c : NULL;
}

static void expire(struct run *r)
{
	struct conn *c;

	while ((c = first_expired(r, CONN_BUSY)) != NULL) {
		end_request(r, c, OUTCOME_TIMEOUT);
		pool_reopen(&r->pool, c, true, r->now_ns);
	}
	while ((c = first_expired(r, CONN_CONNECTING)) != NULL)
		connect_failed(r, c, OUTCOME_TIMEOUT);
	for (unsigned level = 0; level < POOL_RETRY_LEVELS; level++)
		while ((c = first_expired(r, CONN_RETRY + level)) != NULL)
			pool_move(&r->pool, c, CONN_WANTED, 0);
}

static void open_wanted(struct run *r)
{
	struct conn *c;
	bool failed;

	while ((c = pool_open_next(&r->pool, r->now_ns, &failed)) != NULL)
		if (failed)
			connect_failed(r, c, OUTCOME_READ);
}

static int64_t next_wake(const struct run *r)
{
	int64_t wake = r->now_ns < r->f->end_ns ? r->f->end_ns : r->f->finish_ns;
	const struct conn *c;

	if (!r->stopped && r->schedule.next_ns < wake && pool_first(&r->pool, CONN_FREE) != NULL)
		wake = r->schedule.next_ns;
	if (r->next_progress_ns < wake)
		wake = r->next_progress_ns;
	for (unsigned state = 0; state < CONN_STATE_MAX; state++) {
		if (state == CONN_WANTED || state == CONN_FREE || (c = pool_first(&r->pool, state)) == NULL)
			continue;
		if (c->deadline_ns < wake)
			wake = c->deadline_ns;
	}
	return wake;
}

static bool is_over(const struct run *r)
{
	return r->now_ns >= r->f->finish_ns ||
	       (r->now_ns >= r->f->end_ns && r->under_way == 0 && (r->stopped || r->schedule.next_ns == SCHEDULE_OVER));
}

/* Sleeps until the next thing to do, and does what the sockets have. False: epoll failed. */
static bool turn(struct run *r)
{
	struct epoll_event events[EVENTS_MAX];
	sigset_t none;
	int64_t wake_ns;
	bool sleeps;
	int n;

	send_due(r);
	expire(r);
	open_wanted(r);
	/* The end may have come since the caller looked. */
	wake_ns = is_over(r) ? r->now_ns : next_wake(r);
	sleeps = wake_ns > r->now_ns;
	if (sleeps && !wake_set(&r->wake, wake_ns, r->now_ns))
		return false;
	(void)sigemptyset(&none);
	n = epoll_pwait(r->pool.epoll, events, EVENTS_MAX, sleeps ? -1 : 0, &none);
	r->now_ns = clock_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < n; i++) {
		if (r->schedule.next_ns <= r->now_ns)
			send_due(r);
		if (events[i].data.ptr == NULL)
			wake_came(&r->wake);
		else
			on_event(r, events[i].data.ptr, events[i].events);
	}
	return n >= 0 || errno == EINTR;
}

static void show_progress(struct run *r)
{
	const struct figures *f = r->f;
	int64_t second = (r->now_ns - f->begin_ns) / SECOND_NS;

	if (r->now_ns < r->next_progress_ns)
		return;
	r->next_progress_ns += SECOND_NS;
	if (second < 1) {
		(void)fprintf(stderr, "warming up: %lu sent\n", (unsigned long)f->warmup.sent);
	} else if ((size_t)second <= f->seconds) {
		const struct second *last = &f->series[second - 1];

		(void)fprintf(stderr, "%4ld s: %lu answered, %lu errors, at most %.3f ms; %zu under way\n", (long)second,
			      (unsigned long)last->answered, (unsigned long)last->errors, (double)last->max_us / 1000,
			      r->under_way);
	}
}

/* --- the run ------------------------------------------------------------------------------------------------------------------ */

static void stop(struct run *r)
{
	int64_t grace_ns = signals > 1 ? 0 : r->cli->timeout_ns < SECOND_NS ? r->cli->timeout_ns : SECOND_NS;
	struct figures *f = r->f;

	if (!r->stopped) {
		r->stopped = f->interrupted = true;
		f->end_ns = r->now_ns < f->end_ns ? r->now_ns : f->end_ns;
		f->begin_ns = f->begin_ns < f->end_ns ? f->begin_ns : f->end_ns;
		schedule_end(&r->schedule, f->end_ns);
	}
	if (r->now_ns + grace_ns < f->finish_ns)
		f->finish_ns = r->now_ns + grace_ns;
}

static bool begin(struct run *r)
{
	int64_t begin_ns = clock_ns(CLOCK_MONOTONIC) + START_NS;
	int64_t measured_ns = begin_ns + r->cli->warmup_ns;
	int64_t end_ns = measured_ns + r->cli->duration_ns;

	r->f->begin_unix_us = (clock_ns(CLOCK_REALTIME) + START_NS + r->cli->warmup_ns) / 1000;
	if (!figures_init(r->f, measured_ns, end_ns, end_ns + r->cli->timeout_ns))
		return false;
	schedule_init(&r->schedule, r->cli->rate, r->cli->poisson, r->cli->seed, begin_ns, end_ns);
	r->next_progress_ns = r->cli->progress && isatty(STDERR_FILENO) ? begin_ns + SECOND_NS : INT64_MAX;
	return true;
}

static double seconds_between(struct timeval from, struct timeval to)
{
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_usec - from.tv_usec) / 1e6;
}

/* Nobody waits any longer: what is under way has timed out, what is due was never sent. */
static void finish(struct run *r)
{
	struct rusage usage;

	r->f->finish_ns = r->now_ns;
	for (size_t i = 0; i < r->pool.count; i++)
		if (r->pool.conns[i].has_request)
			end_request(r, &r->pool.conns[i], OUTCOME_TIMEOUT);
	while (r->schedule.next_ns != SCHEDULE_OVER) {
		int64_t due = schedule_take(&r->schedule);

		figures_unsent(r->f, due, due < r->f->begin_ns);
	}
	(void)getrusage(RUSAGE_SELF, &usage);
	r->f->user_s = seconds_between(r->usage_at_begin.ru_utime, usage.ru_utime);
	r->f->system_s = seconds_between(r->usage_at_begin.ru_stime, usage.ru_stime);
}

static bool measure(struct run *r)
{
	while (!is_over(r)) {
		if (!turn(r))
			return false;
		if (signals > 0)
			stop(r);
		if (!r->usage_taken && r->now_ns >= r->f->begin_ns)
			r->usage_taken = getrusage(RUSAGE_SELF, &r->usage_at_begin) == 0;
		show_progress(r);
	}
	finish(r);
	return true;
}

/* All connections are tried once before the first request. */
static bool open_all(struct run *r)
{
	r->schedule.next_ns = SCHEDULE_OVER;
	r->next_progress_ns = r->f->end_ns = r->f->finish_ns = INT64_MAX;
	r->now_ns = clock_ns(CLOCK_MONOTONIC);
	while (r->pool.untried > 0 && signals == 0)
		if (!turn(r))
			return false;
	if (signals > 0)
		errno = EINTR;
	return signals == 0;
}

static bool set_up(struct run *r, int fd)
{
	struct sigaction action = {.sa_handler = count_signal};
	sigset_t both;

	/* Signals come only while the loop sleeps. */
	return pool_init(&r->pool, r->cli->connections, fd) && wake_init(&r->wake, r->pool.epoll) && sigemptyset(&both) == 0 &&
	       sigaddset(&both, SIGINT) == 0 && sigaddset(&both, SIGTERM) == 0 && sigprocmask(SIG_BLOCK, &both, NULL) == 0 &&
	       sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0;
}

bool run(const struct cli *cli, struct figures *figures)
{
	static struct run r;
	const char *reason;
	int fd;
	bool good;

	r = (struct run){.cli = cli, .f = figures, .pool.epoll = -1, .wake.fd = -1};
	reason = pool_connect_first(&r.pool, cli->url.host, cli->url.port, cli->timeout_ns, &fd);
	if (reason != NULL) {
		(void)fprintf(stderr, "pace: no connection to %s, port %s: %s\n", cli->url.host, cli->url.port, reason);
		return false;
	}
	good = set_up(&r, fd) && open_all(&r) && begin(&r) && measure(&r);
	if (!good && errno == EINTR)
		(void)fprintf(stderr, "pace: interrupted before the first request\n");
	else if (!good)
		(void)fprintf(stderr, "pace: %s\n", strerror(errno));
	wake_free(&r.wake);
	pool_free(&r.pool);
	return good;
}
