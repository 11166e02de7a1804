/*
 * list: an intrusive doubly linked list. A node that is in no list points to itself, so that removing it twice is harmless.
 */
#ifndef AGENTS_LIST_H
#define AGENTS_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev;
	struct list *next;
};

/* The object of `type` whose field `member` is the node at `node`. */
#define LIST_OBJECT(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* For both the head of a list and a node. */
static inline void list_init(struct list *l)
{
	l->prev = l;
	l->next = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_before(struct list *place, struct list *node)
{
	node->prev = place->prev;
	node->next = place;
	place->prev->next = node;
	place->prev = node;
}

static inline void list_append(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}

static inline void list_prepend(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#endif
