/*
 * slot: what one worker tells of itself in the scoreboard. It is the only writer; the others read without a lock, so every number is a counter, and
 * every text is written between two changes of a version.
 */
#ifndef AGENTS_SLOT_H
#define AGENTS_SLOT_H

#include "clock.h"
#include "metrics.h"
#include "str.h"

#define SLOT_TEXT_WORDS 192
#define SLOT_TEXT_BYTES (SLOT_TEXT_WORDS * 8)

/* A text that changes seldom. */
struct slot_text {
	counter version; /* odd while it is being written */
	counter len;
	counter words[SLOT_TEXT_WORDS];
};

/* What a worker is and has now. Of a slot without a worker they mean nothing. */
struct gauges {
	counter pid;
	counter started_us;      /* wall clock, the only one here */
	counter turned_us;       /* clock_us() when the loop began its last turn, at least every 2 s; 0: it has yet to begin */
	counter draining;        /* 0 or 1, as the next two */
	counter ready;           /* every path can be served; else `unready` says why not */
	counter share;           /* the option */
	counter in_flight;       /* requests to public paths that have no answer yet, or not all of it is sent */
	counter waiting;         /* of these, those that wait for a query */
	counter max_waiting;     /* the option */
	counter queries_waiting; /* not sent yet */
	counter queries_in_flight;
	counter connections; /* of the web server */
	counter database_connections;
	counter database_connections_wanted; /* the option */
};

#define SLOT_SNAPSHOTS 2

/* The counters as they were, so that a reader can tell what has happened since. */
struct snapshot {
	counter taken_us; /* clock_us(); 0: not of this pool */
	struct metrics metrics;
};

struct slot {
	counter ended_well; /* 0 while a worker has it, and when that was killed */
	counter newest;     /* snapshot */
	struct gauges gauges;
	struct metrics metrics;
	struct snapshot snapshots[SLOT_SNAPSHOTS];
	struct slot_text version; /* of the program */
	struct slot_text unready;
	struct slot_text last_error; /* a line of the log */
};

/* What is longer is cut. */
void slot_text_set(struct slot_text *t, struct str s);

/* The text, NUL-terminated. Empty when there is none, or when it is being written for so long that its writer must have died. */
void slot_text_get(const struct slot_text *t, char out[SLOT_TEXT_BYTES + 1]);

/* A worker is about to have the slot. Until it begins, the slot is as the one before left it. */
void slot_vacate(struct slot *s);

/* A worker takes the slot over from one that has ended: counters stay, all else begins anew. */
void slot_begin(struct slot *s, uint64_t pid, struct moment now, const char *version);

/* Nobody is at work, and the host may have been booted since somebody was: times in the slot mean nothing any more, so what was recent is not. */
void slot_forget_recent(struct slot *s);

/* Takes a snapshot when the last one is old enough. To be called now and then. */
#define SLOT_SNAPSHOT_US 30000000LL
void slot_snapshot(struct slot *s, int64_t now_us);

/* What was counted since the older of the snapshots, and how long that is; 0 (and nothing counted) for a slot in which nobody has worked for long. */
int64_t slot_recent(const struct slot *s, int64_t now_us, struct metrics *recent);

#endif
