#include "sqlstate.h"

#include <check.h>
#include <stdlib.h>

/* PostgreSQL 15 manual, appendix A; the statuses are the contract's. */
static const struct {
	const char *sqlstate;
	enum sqlstate_advice advice;
} cases[] = {
	{NULL, SQLSTATE_REPEAT},         /* libpq's own: the connection is lost */
	{"", SQLSTATE_REPEAT},           /* the same */
	{"57014", SQLSTATE_REPEAT},      /* query_canceled */
	{"57P01", SQLSTATE_REPEAT},      /* admin_shutdown */
	{"57P02", SQLSTATE_REPEAT},      /* crash_shutdown */
	{"57P03", SQLSTATE_REPEAT},      /* cannot_connect_now */
	{"57P05", SQLSTATE_REPEAT},      /* idle_session_timeout */
	{"08006", SQLSTATE_REPEAT},      /* connection_failure */
	{"08P01", SQLSTATE_REPEAT},      /* protocol_violation */
	{"40001", SQLSTATE_REPEAT},      /* serialization_failure, also a recovery conflict */
	{"40P01", SQLSTATE_REPEAT},      /* deadlock_detected */
	{"55P03", SQLSTATE_REPEAT},      /* lock_not_available */
	{"0A000", SQLSTATE_PREPARE},     /* cached plan must not change result type */
	{"26000", SQLSTATE_PREPARE},     /* invalid_sql_statement_name */
	{"42P01", SQLSTATE_SCHEMA},      /* undefined_table */
	{"42703", SQLSTATE_SCHEMA},      /* undefined_column */
	{"42501", SQLSTATE_SCHEMA},      /* insufficient_privilege */
	{"3F000", SQLSTATE_SCHEMA},      /* invalid_schema_name */
	{"53300", SQLSTATE_UNAVAILABLE}, /* too_many_connections */
	{"53100", SQLSTATE_UNAVAILABLE}, /* disk_full */
	{"53200", SQLSTATE_UNAVAILABLE}, /* out_of_memory */
	{"22012", SQLSTATE_FAILED},      /* division_by_zero */
	{"57000", SQLSTATE_FAILED},      /* operator_intervention */
	{"55000", SQLSTATE_FAILED},      /* object_not_in_prerequisite_state */
	{"XX000", SQLSTATE_FAILED},      /* internal_error */
	{"0A", SQLSTATE_FAILED},         /* not a SQLSTATE at all */
};

#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

START_TEST(each_has_its_advice)
{
	ck_assert_int_eq(sqlstate_advice(cases[_i].sqlstate), cases[_i].advice);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sqlstate");
	TCase *tc = tcase_create("sqlstate");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, each_has_its_advice, 0, CASES);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
