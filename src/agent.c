#include "agent.h"

static const struct model_column agentfeature_columns[] = {
	MODEL_COLUMN(struct agentfeature, id),          MODEL_COLUMN(struct agentfeature, numgroup),
	MODEL_COLUMN(struct agentfeature, firstname),   MODEL_COLUMN(struct agentfeature, lastname),
	MODEL_COLUMN(struct agentfeature, number),      MODEL_COLUMN(struct agentfeature, passwd),
	MODEL_COLUMN(struct agentfeature, context),     MODEL_COLUMN(struct agentfeature, language),
	MODEL_COLUMN(struct agentfeature, autologoff),  MODEL_COLUMN(struct agentfeature, group),
	MODEL_COLUMN(struct agentfeature, description), MODEL_COLUMN(struct agentfeature, preprocess_subroutine),
};

static const struct model_column agent_login_columns[] = {
	MODEL_COLUMN(struct agent_login, agent_id),  MODEL_COLUMN(struct agent_login, agent_number),
	MODEL_COLUMN(struct agent_login, extension), MODEL_COLUMN(struct agent_login, context),
	MODEL_COLUMN(struct agent_login, interface), MODEL_COLUMN(struct agent_login, state_interface),
	MODEL_COLUMN(struct agent_login, login_at),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct model agentfeature_model = {
	.table = "agentfeatures",
	.columns = agentfeature_columns,
	.column_count = COUNT(agentfeature_columns),
	.row_bytes = sizeof(struct agentfeature),
};

const struct model agent_login_model = {
	.table = "agent_login_status",
	.columns = agent_login_columns,
	.column_count = COUNT(agent_login_columns),
	.row_bytes = sizeof(struct agent_login),
};
