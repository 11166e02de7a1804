#include "wake.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

bool wake_init(struct wake *w, int epoll)
{
	/* Edge-triggered: there is nothing to read before it is set again. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

	*w = (struct wake){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
	return w->fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &event) == 0;
}

void wake_free(struct wake *w)
{
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
}

bool wake_set(struct wake *w, int64_t at_ns, int64_t now_ns)
{
	struct itimerspec at = {.it_value = {at_ns / SECOND_NS, at_ns % SECOND_NS}};

	if (w->at_ns > now_ns && w->at_ns <= at_ns)
		return true;
	w->at_ns = at_ns;
	return timerfd_settime(w->fd, TFD_TIMER_ABSTIME, &at, NULL) == 0;
}

void wake_came(struct wake *w)
{
	w->at_ns = 0;
}
