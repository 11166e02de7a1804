/*
 * scoreboard: a file in memory that the workers of a pool share: a slot for each, with what it counts and how it is, so that any of them can answer for all.
 *
 * The process manager gives its children no number, and those that drain overlap with their successors; so a worker claims the first slot that nobody has
 * locked. The lock (of an open file description, fcntl(2)) is the kernel's, and goes with the process, however that ends: the counters of a dead
 * worker stay, and the next to claim its slot goes on counting from there. There are more slots than a pool can have workers, old and new; slots that were
 * never claimed have no memory.
 *
 * Without a file, be it that none is wanted or that it cannot be had, a worker has a scoreboard of its own, with one slot.
 */
#ifndef AGENTS_SCOREBOARD_H
#define AGENTS_SCOREBOARD_H

#include "slot.h"

#define SCOREBOARD_SLOTS 2048

struct scoreboard {
	int fd;    /* -1: private */
	void *map; /* the file; NULL: private */
	char *slots;
	unsigned own;       /* index of ours */
	int64_t created_us; /* wall clock */
};

#define SCOREBOARD_REASON_BYTES 256

/*
 * Opens or makes the file and claims a slot in it. When that cannot be, `reason` says why, and the scoreboard is a private one; as it is when `path` is "",
 * and `reason` then "". False when there is no memory even for that.
 *
 * Refused: a file that is no scoreboard, one of another version or size that workers use (one that nobody uses is made anew), and whatever the file
 * system refuses. Waits up to a second for another worker that is at the same.
 */
bool scoreboard_open(struct scoreboard *b, const char *path, struct moment now, char reason[SCOREBOARD_REASON_BYTES]);

/*
 * Whether a worker could use the file now: it is there (`is_there`) and has a free slot, or one can be made, also in place of an old one. Else `reason` says
 * why not. No slot is claimed, no file is left or changed, and nothing is held that a worker would wait for.
 */
bool scoreboard_check(const char *path, bool *is_there, char reason[SCOREBOARD_REASON_BYTES]);

/* Gives the slot up: the worker has ended as it should. */
void scoreboard_close(struct scoreboard *b);

static inline bool scoreboard_is_shared(const struct scoreboard *b)
{
	return b->map != NULL;
}

/* The slot with that index: a reader's. */
struct slot *scoreboard_slot(const struct scoreboard *b, unsigned index);

static inline struct slot *scoreboard_own(const struct scoreboard *b)
{
	return scoreboard_slot(b, b->own);
}

/* Slots that have ever been claimed: [0, that many). */
unsigned scoreboard_used(const struct scoreboard *b);

/* Whether a worker has the slot. */
bool scoreboard_is_claimed(const struct scoreboard *b, unsigned index);

#endif
