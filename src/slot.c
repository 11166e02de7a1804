#include "slot.h"

#include <string.h>

/* Longer than this a text is not being written: a turn of the reader's for each. */
#define TEXT_TRIES 1000

/* A slot that has been silent for longer has nothing recent. */
#define RECENT_MAX_US (3 * SLOT_SNAPSHOT_US)

void slot_text_set(struct slot_text *t, struct str s)
{
	size_t len = s.len < SLOT_TEXT_BYTES ? s.len : SLOT_TEXT_BYTES;
	uint64_t version = counter_read(&t->version) | 1; /* odd already: of a writer that has died at it */

	atomic_store_explicit(&t->version, version, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	counter_set(&t->len, len);
	for (size_t at = 0; at < len; at += 8) {
		uint64_t word = 0;

		memcpy(&word, s.p + at, len - at < 8 ? len - at : 8);
		counter_set(&t->words[at / 8], word);
	}
	atomic_store_explicit(&t->version, version + 1, memory_order_release);
}

static bool read_text(const struct slot_text *t, char out[SLOT_TEXT_BYTES + 1])
{
	uint64_t version = atomic_load_explicit(&t->version, memory_order_acquire);
	size_t len = counter_read(&t->len);

	if (len > SLOT_TEXT_BYTES)
		len = SLOT_TEXT_BYTES;
	for (size_t at = 0; at < len; at += 8) {
		uint64_t word = counter_read(&t->words[at / 8]);

		memcpy(out + at, &word, len - at < 8 ? len - at : 8);
	}
	out[len] = '\0';
	atomic_thread_fence(memory_order_acquire);
	return version % 2 == 0 && atomic_load_explicit(&t->version, memory_order_relaxed) == version;
}

void slot_text_get(const struct slot_text *t, char out[SLOT_TEXT_BYTES + 1])
{
	for (int i = 0; i < TEXT_TRIES; i++) {
		if (read_text(t, out))
			return;
	}
	out[0] = '\0';
}

static void take_snapshot(struct slot *s, unsigned place, int64_t now_us)
{
	metrics_copy(&s->snapshots[place].metrics, &s->metrics);
	counter_set(&s->snapshots[place].taken_us, (uint64_t)now_us);
}

void slot_vacate(struct slot *s)
{
	counter_set(&s->gauges.turned_us, 0);
}

void slot_begin(struct slot *s, uint64_t pid, struct moment now, const char *version)
{
	static const size_t gauges = sizeof(struct gauges) / sizeof(counter);

	/* Nobody was here before in a slot of zeroes. */
	if (counter_read(&s->gauges.pid) != 0 && counter_read(&s->ended_well) == 0)
		counter_add(&s->metrics.deaths, 1);
	for (size_t i = 0; i < gauges; i++)
		counter_set(&((counter *)(void *)&s->gauges)[i], 0);
	slot_text_set(&s->version, str_of(version));
	slot_text_set(&s->unready, str_make("", 0));
	if (counter_read(&s->last_error.version) % 2 != 0)
		slot_text_set(&s->last_error, str_make("", 0));
	counter_set(&s->gauges.started_us, (uint64_t)now.wall_us);
	counter_set(&s->gauges.pid, pid);
	counter_set(&s->ended_well, 0);
	take_snapshot(s, 0, now.us);
	take_snapshot(s, 1, now.us);
	counter_set(&s->newest, 0);
	counter_add(&s->metrics.starts, 1);
	counter_set(&s->gauges.turned_us, (uint64_t)now.us); /* last: from here on it is looked at */
}

void slot_forget_recent(struct slot *s)
{
	for (unsigned i = 0; i < SLOT_SNAPSHOTS; i++)
		counter_set(&s->snapshots[i].taken_us, 0);
}

void slot_snapshot(struct slot *s, int64_t now_us)
{
	unsigned newest = counter_read(&s->newest) % SLOT_SNAPSHOTS;
	unsigned oldest = (newest + 1) % SLOT_SNAPSHOTS;

	if (now_us - (int64_t)counter_read(&s->snapshots[newest].taken_us) < SLOT_SNAPSHOT_US)
		return;
	take_snapshot(s, oldest, now_us);
	counter_set(&s->newest, oldest);
}

int64_t slot_recent(const struct slot *s, int64_t now_us, struct metrics *recent)
{
	unsigned oldest = (counter_read(&s->newest) + 1) % SLOT_SNAPSHOTS;
	const struct snapshot *then = &s->snapshots[oldest];
	int64_t taken_us = (int64_t)counter_read(&then->taken_us);
	int64_t since_us = now_us - taken_us;

	memset(recent, 0, sizeof(*recent));
	if (taken_us == 0 || since_us <= 0 || since_us > RECENT_MAX_US)
		return 0;
	metrics_since(recent, &s->metrics, &then->metrics);
	return since_us;
}
