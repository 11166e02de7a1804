/*
 * query: the statements that the worker runs; the SQL comes from sql/queries or from a model, never from input.
 */
#ifndef AGENTS_QUERY_H
#define AGENTS_QUERY_H

#include "model.h"

enum query_id { QUERY_AGENTS, QUERY_AGENTFEATURES, QUERY_AGENT_LOGINS, QUERY_CATALOGUE, QUERY_MAX };

struct query {
	enum query_id id;
	const char *name;
	const char *sql;           /* with $1 where a job has a parameter */
	const struct model *model; /* that decodes the rows; NULL: rows.h writes them as they are */
};

/* What logs, prepared statements and metrics call them. */
extern const char *const query_names[QUERY_MAX];

struct queries {
	struct query all[QUERY_MAX];
	char *built[QUERY_MAX]; /* SQL made from models, to be freed */
};

void queries_init(struct queries *qs);
void queries_free(struct queries *qs);

#endif
