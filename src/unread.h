/*
 * unread: the answers that their readers have yet to take, and the memory that their bodies keep, one that several share counted once.
 *
 * A reader that is slow but steady never stalls. What bounds the memory is this: beyond `most_bytes` the answer that has been read for longest has
 * to go, if that is longer than UNREAD_GRACE_US; a burst is no slowness.
 */
#ifndef AGENTS_UNREAD_H
#define AGENTS_UNREAD_H

#include "body.h"
#include "list.h"

#include <stdint.h>

#define UNREAD_GRACE_US 2000000

struct unread {
	struct list answers; /* longest first */
	size_t bytes;        /* of their bodies */
	size_t most_bytes;
};

struct unread_answer {
	struct list node; /* in no list: it is not being read slowly */
	struct body *body;
	int64_t since_us;
};

void unread_init(struct unread *u, size_t most_bytes);
void unread_answer_init(struct unread_answer *a);

/* The socket did not take all of it. `body` must stay until unread_remove; an answer without one (NULL) keeps no memory, and is not listed. */
void unread_add(struct unread *u, struct unread_answer *a, struct body *body);

/* It is taken, or given up. Harmless for one that is not there. */
void unread_remove(struct unread *u, struct unread_answer *a);

/* The answer that has to go now, or NULL. */
struct unread_answer *unread_excess(const struct unread *u);

/* Bytes in the socket that the peer has yet to read; -1 when the system does not say. */
int unread_in_socket(int fd);

#endif
