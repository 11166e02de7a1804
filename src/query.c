#include "query.h"

#include "agent.h"
#include "sql.h"

#include <stdlib.h>

const char *const query_names[QUERY_MAX] = {"agents", "agentfeatures", "agent_login_status", "catalogue"};

static void set(struct queries *qs, enum query_id id, const char *sql)
{
	qs->all[id] = (struct query){id, query_names[id], sql, NULL};
	qs->built[id] = NULL;
}

static void set_model(struct queries *qs, enum query_id id, const struct model *m)
{
	qs->built[id] = model_select(m);
	qs->all[id] = (struct query){id, query_names[id], qs->built[id], m};
}

void queries_init(struct queries *qs)
{
	set(qs, QUERY_AGENTS, sql_agents);
	set_model(qs, QUERY_AGENTFEATURES, &agentfeature_model);
	set_model(qs, QUERY_AGENT_LOGINS, &agent_login_model);
	set(qs, QUERY_CATALOGUE, model_catalogue_sql);
}

void queries_free(struct queries *qs)
{
	for (int i = 0; i < QUERY_MAX; i++)
		free(qs->built[i]);
}
