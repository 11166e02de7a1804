/*
 * schema: compares the models with the live catalogue: at connect, and again when a query or its result says that something has changed. While they
 * differ, it looks once a second, so that readiness comes back by itself.
 *
 * The first time that all fit is logged as `ready`: from then on this worker can serve every path, and an upgrade may go on to the next.
 *
 * It only reports: each result is checked before a row of it is decoded, whatever this module believes.
 */
#ifndef AGENTS_SCHEMA_H
#define AGENTS_SCHEMA_H

#include "db.h"

#define SCHEMA_MODELS 2

struct schema_check {
	struct job job;
	struct schema *schema;
	const struct model *model;
	bool again; /* asked for while under way */
	bool known; /* has been compared at least once */
	bool differs;
	char reason[MODEL_REASON_BYTES];
};

struct schema {
	struct db *db;
	const struct log *log;
	int64_t timeout_us;
	ev_timer recheck;
	bool was_ready; /* said so */
	struct schema_check checks[SCHEMA_MODELS];
};

void schema_init(struct schema *s, struct db *db, const struct log *log, const struct queries *queries, int64_t timeout_us);
void schema_close(struct schema *s);

/* Compares all models again, soon. */
void schema_check(struct schema *s);

/* True when all models fit the catalogue; else `reasons` gets why not, model by model, separated by "; ", as far as they fit. */
bool schema_fits(const struct schema *s, char *reasons, size_t size);

#endif
