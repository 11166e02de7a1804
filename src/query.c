#include "query.h"

#include "agent.h"
#include "sql.h"

#include <stdlib.h>

static void set(struct queries *qs, enum query_id id, const char *name, const char *sql)
{
	qs->all[id] = (struct query){id, name, sql, NULL};
	qs->built[id] = NULL;
}

static void set_model(struct queries *qs, enum query_id id, const struct model *m)
{
	qs->built[id] = model_select(m);
	qs->all[id] = (struct query){id, m->table, qs->built[id], m};
}

void queries_init(struct queries *qs)
{
	set(qs, QUERY_AGENTS, "agents", sql_agents);
	set_model(qs, QUERY_AGENTFEATURES, &agentfeature_model);
	set_model(qs, QUERY_AGENT_LOGINS, &agent_login_model);
	set(qs, QUERY_CATALOGUE, "catalogue", model_catalogue_sql);
}

void queries_free(struct queries *qs)
{
	for (int i = 0; i < QUERY_MAX; i++)
		free(qs->built[i]);
}
