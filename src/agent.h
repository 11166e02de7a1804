/*
 * agent: the models of the telephony database: the structs and their descriptors (sql/schema.sql has the tables).
 */
#ifndef AGENTS_AGENT_H
#define AGENTS_AGENT_H

#include "model.h"

struct agentfeature {
	struct model_int4 id;
	struct model_int4 numgroup;
	struct model_text firstname;
	struct model_text lastname;
	struct model_text number;
	struct model_secret passwd;
	struct model_text context;
	struct model_text language;
	struct model_int4 autologoff;
	struct model_text group;
	struct model_text description;
	struct model_text preprocess_subroutine;
};

struct agent_login {
	struct model_int4 agent_id;
	struct model_text agent_number;
	struct model_text extension;
	struct model_text context;
	struct model_text interface;
	struct model_text state_interface;
	struct model_timestamp login_at;
};

extern const struct model agentfeature_model;
extern const struct model agent_login_model;

#endif
