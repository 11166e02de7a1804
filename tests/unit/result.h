/*
 * result: makes PGresults without a server, and what jansson says they look like as JSON. For tests.
 */
#ifndef TESTS_RESULT_H
#define TESTS_RESULT_H

#include "body.h"
#include "model.h"

#include <check.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Type OIDs of pg_type. */
enum {
	TYPE_BOOL = 16,
	TYPE_NAME = 19,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_TEXT = 25,
	TYPE_OID = 26,
	TYPE_BPCHAR = 1042,
	TYPE_VARCHAR = 1043,
	TYPE_TIMESTAMP = 1114,
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

struct result_column {
	const char *name;
	Oid type;
};

static inline PGresult *result_new(const struct result_column *columns, int count)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc *attributes = calloc((size_t)count + 1, sizeof(*attributes));

	ck_assert_ptr_nonnull(r);
	ck_assert_ptr_nonnull(attributes);
	for (int i = 0; i < count; i++) {
		attributes[i].name = (char *)columns[i].name;
		attributes[i].typid = columns[i].type;
		attributes[i].typlen = -1;
		attributes[i].atttypmod = -1;
	}
	if (count > 0)
		ck_assert_int_ne(PQsetResultAttrs(r, count, attributes), 0);
	free(attributes);
	return r;
}

/* NULL is NULL. */
static inline void result_set(PGresult *r, int row, int column, const char *value)
{
	char *bytes = (char *)value;

	ck_assert_int_ne(PQsetvalue(r, row, column, bytes, value == NULL ? -1 : (int)strlen(value)), 0);
}

/* The type that a result of model_select has for a column. */
static inline Oid result_type(enum model_type type)
{
	static const Oid types[MODEL_TYPE_MAX] = {TYPE_INT4, TYPE_VARCHAR, TYPE_TIMESTAMP, TYPE_TEXT};

	return types[type];
}

/* An empty result with the columns of the model. */
static inline PGresult *result_of_model(const struct model *m)
{
	struct result_column columns[64];

	ck_assert_uint_le(m->column_count, 64);
	for (size_t i = 0; i < m->column_count; i++)
		columns[i] = (struct result_column){m->columns[i].name.p, result_type(m->columns[i].type)};
	return result_new(columns, (int)m->column_count);
}

/* What a cell is in JSON when no model says otherwise. */
static inline json_t *result_cell(const PGresult *r, int row, int column)
{
	const char *value = PQgetvalue(r, row, column);

	if (PQgetisnull(r, row, column))
		return json_null();
	switch (PQftype(r, column)) {
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
		return json_integer(strtoll(value, NULL, 10));
	case TYPE_BOOL:
		return json_boolean(*value == 't');
	default:
		return json_stringn(value, (size_t)PQgetlength(r, row, column));
	}
}

/* The same with the model's view of timestamps and secrets. */
static inline json_t *result_model_cell(const PGresult *r, int row, int column, enum model_type type)
{
	char text[64];
	char *space;

	if (type == MODEL_SECRET)
		return json_string("");
	if (type != MODEL_TIMESTAMP || PQgetisnull(r, row, column))
		return result_cell(r, row, column);
	snprintf(text, sizeof(text), "%s", PQgetvalue(r, row, column));
	space = strchr(text, ' ');
	if (space != NULL)
		*space = 'T';
	return json_string(text);
}

/* All rows, as jansson sees them; `m` may be NULL. Column names must differ. */
static inline json_t *result_json(const PGresult *r, const struct model *m)
{
	json_t *rows = json_array();

	for (int row = 0; row < PQntuples(r); row++) {
		json_t *object = json_object();

		for (int i = 0; i < PQnfields(r); i++) {
			json_t *cell = m == NULL ? result_cell(r, row, i) : result_model_cell(r, row, i, m->columns[i].type);

			ck_assert_int_eq(json_object_set_new(object, PQfname(r, i), cell), 0);
		}
		ck_assert_int_eq(json_array_append_new(rows, object), 0);
	}
	return rows;
}

/* The body equals `expected`, byte for byte. */
static inline void body_is(const struct body *b, const char *expected)
{
	ck_assert(!body_failed(b));
	if (b->len != strlen(expected) || memcmp(b->data, expected, b->len) != 0)
		ck_abort_msg("expected %s\nfound %.*s", expected, (int)b->len, b->data);
}

/* The body equals what jansson writes for `value`, whose reference is given up. */
static inline void body_is_json(const struct body *b, json_t *value)
{
	char *expected = json_dumps(value, JSON_ENCODE_ANY);

	ck_assert_ptr_nonnull(expected);
	body_is(b, expected);
	free(expected);
	json_decref(value);
}

/* The body, parsed, equals the JSON of a file below tests/. */
static inline void body_is_like_file(const struct body *b, char *text)
{
	json_t *found = json_loadb(b->data, b->len, 0, NULL);
	json_t *expected = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(found);
	ck_assert_ptr_nonnull(expected);
	ck_assert_int_eq(json_equal(found, expected), 1);
	json_decref(found);
	json_decref(expected);
	free(text);
}

#endif
