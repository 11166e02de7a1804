#include "unread.h"

#include "clock.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

void unread_init(struct unread *u, size_t most_bytes)
{
	list_init(&u->answers);
	u->bytes = 0;
	u->most_bytes = most_bytes;
}

void unread_answer_init(struct unread_answer *a)
{
	list_init(&a->node);
	a->body = NULL;
}

void unread_add(struct unread *u, struct unread_answer *a, struct body *body)
{
	if (body == NULL) /* giving it up would free nothing */
		return;
	a->body = body;
	a->since_us = clock_us();
	list_append(&u->answers, &a->node);
	if (body->unread++ == 0)
		u->bytes += body->cap;
}

void unread_remove(struct unread *u, struct unread_answer *a)
{
	list_remove(&a->node);
	if (a->body != NULL && --a->body->unread == 0)
		u->bytes -= a->body->cap;
	a->body = NULL;
}

struct unread_answer *unread_excess(const struct unread *u)
{
	struct unread_answer *longest = LIST_OBJECT(u->answers.next, struct unread_answer, node);

	if (u->bytes <= u->most_bytes || clock_us() - longest->since_us < UNREAD_GRACE_US)
		return NULL;
	return longest;
}

int unread_in_socket(int fd)
{
	int n = 0;

	return ioctl(fd, SIOCOUTQ, &n) == 0 ? n : -1;
}
