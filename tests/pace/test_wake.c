/*
 * No bound on how late it comes: only that it does, not before its time, and not for a time that was taken back.
 */
#include "suite.h"
#include "wait.h"
#include "wake.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MS_NS INT64_C(1000000)
#define HOUR_NS (3600000 * MS_NS)

static struct wake w;
static int epoll;

static int64_t now_ns(void)
{
	struct timespec t;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return t.tv_sec * 1000 * MS_NS + t.tv_nsec;
}

static void begin(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	ck_assert_int_ge(epoll, 0);
	ck_assert(wake_init(&w, epoll));
}

static void end(void)
{
	wake_free(&w);
	close(epoll);
}

/* The number of events there are by then, which are the wake's own; 0 ms: now. */
static int events(int timeout_ms)
{
	struct epoll_event event = {.data.ptr = &w};
	int n = epoll_wait(epoll, &event, 1, timeout_ms);

	ck_assert_int_ge(n, 0);
	if (n > 0)
		ck_assert_ptr_null(event.data.ptr);
	return n;
}

/* What is left until it comes, by the kernel. */
static int64_t left_ns(void)
{
	struct itimerspec left;

	ck_assert_int_eq(timerfd_gettime(w.fd, &left), 0);
	return left.it_value.tv_sec * 1000 * MS_NS + left.it_value.tv_nsec;
}

START_TEST(it_comes_once_and_not_before_its_time)
{
	begin();
	for (int i = 0; i < 20; i++) {
		int64_t at_ns = now_ns() + i * MS_NS / 10;

		ck_assert(wake_set(&w, at_ns, at_ns - MS_NS));
		ck_assert_int_eq(events((int)(PATIENCE_US / 1000)), 1);
		ck_assert_int_ge(now_ns(), at_ns);
		wake_came(&w);
		ck_assert_int_eq(events(0), 0);
	}
	end();
}
END_TEST

START_TEST(an_earlier_time_stays_and_a_later_one_gives_way)
{
	int64_t now = now_ns();

	begin();
	ck_assert(wake_set(&w, now + 2 * HOUR_NS, now));
	ck_assert_int_gt(left_ns(), HOUR_NS);
	ck_assert(wake_set(&w, now + HOUR_NS, now));
	ck_assert_int_le(left_ns(), HOUR_NS);
	ck_assert(wake_set(&w, now + 3 * HOUR_NS, now));
	ck_assert_int_le(left_ns(), HOUR_NS);
	ck_assert_int_eq(events(0), 0);
	ck_assert(wake_set(&w, now + MS_NS, now));
	ck_assert_int_eq(events((int)(PATIENCE_US / 1000)), 1);
	end();
}
END_TEST

/* Its time is over by the caller's clock, but its event has not been fetched. */
START_TEST(setting_it_anew_takes_back_what_is_pending)
{
	int64_t now = now_ns();
	struct pollfd p;

	begin();
	p = (struct pollfd){.fd = w.fd, .events = POLLIN};
	ck_assert(wake_set(&w, now + MS_NS, now));
	ck_assert_int_eq(poll(&p, 1, (int)(PATIENCE_US / 1000)), 1);
	now = now_ns();
	ck_assert(wake_set(&w, now + HOUR_NS, now));
	ck_assert_int_eq(events(0), 0);
	ck_assert_int_gt(left_ns(), 0);
	end();
}
END_TEST

/* Once its event was fetched it can be set again, even by a caller whose clock was read before. */
START_TEST(after_it_came_any_time_is_new)
{
	int64_t now = now_ns();

	begin();
	ck_assert(wake_set(&w, now + MS_NS, now));
	ck_assert_int_eq(events((int)(PATIENCE_US / 1000)), 1);
	wake_came(&w);
	ck_assert(wake_set(&w, now + HOUR_NS, now));
	ck_assert_int_gt(left_ns(), 0);
	ck_assert_int_eq(events(0), 0);
	end();
}
END_TEST

/* For ever is a time, too. */
START_TEST(the_end_of_time)
{
	begin();
	ck_assert(wake_set(&w, INT64_MAX, now_ns()));
	ck_assert_int_gt(left_ns(), HOUR_NS);
	ck_assert_int_eq(events(0), 0);
	end();
}
END_TEST

int main(void)
{
	return SUITE("wake", 180, it_comes_once_and_not_before_its_time, an_earlier_time_stays_and_a_later_one_gives_way,
		     setting_it_anew_takes_back_what_is_pending, after_it_came_any_time_is_new, the_end_of_time);
}
