#include "sqlstate.h"

#include <stddef.h>
#include <string.h>

struct rule {
	const char *prefix; /* a class (two characters) or a whole SQLSTATE; the first that fits counts */
	enum sqlstate_advice advice;
};

static const struct rule rules[] = {
	{"57014", SQLSTATE_REPEAT},  /* query_canceled: statement_timeout, or an administrator's cancel */
	{"57P01", SQLSTATE_REPEAT},  /* admin_shutdown */
	{"57P02", SQLSTATE_REPEAT},  /* crash_shutdown */
	{"57P03", SQLSTATE_REPEAT},  /* cannot_connect_now */
	{"57P05", SQLSTATE_REPEAT},  /* idle_session_timeout */
	{"08", SQLSTATE_REPEAT},     /* connection exceptions */
	{"40", SQLSTATE_REPEAT},     /* serialization failure, deadlock; on a standby also a conflict with recovery */
	{"55P03", SQLSTATE_REPEAT},  /* lock_not_available */
	{"0A000", SQLSTATE_PREPARE}, /* cached plan must not change result type */
	{"26000", SQLSTATE_PREPARE}, /* the prepared statement does not exist */
	{"42",
	 SQLSTATE_SCHEMA}, /* undefined table, column or operator, insufficient privilege: the SQL is const, so the schema differs */
	{"3F000", SQLSTATE_SCHEMA},   /* invalid_schema_name */
	{"53", SQLSTATE_UNAVAILABLE}, /* insufficient resources */
};

enum sqlstate_advice sqlstate_advice(const char *sqlstate)
{
	if (sqlstate == NULL || sqlstate[0] == '\0')
		return SQLSTATE_REPEAT; /* libpq lost the connection */
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strncmp(sqlstate, rules[i].prefix, strlen(rules[i].prefix)) == 0)
			return rules[i].advice;
	}
	return SQLSTATE_FAILED;
}
