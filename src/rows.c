#include "rows.h"

#include "json.h"

#include <stdlib.h>

/* Type OIDs, fixed in PostgreSQL's pg_type.dat. */
enum { BOOL_OID = 16, INT8_OID = 20, INT2_OID = 21, INT4_OID = 23 };

enum kind { KIND_STRING, KIND_NUMBER, KIND_BOOL };

struct column {
	struct str prefix; /* `"name": ` of the first, `, "name": ` of the others */
	enum kind kind;
};

static enum kind kind_of(Oid type)
{
	switch (type) {
	case INT2_OID:
	case INT4_OID:
	case INT8_OID:
		return KIND_NUMBER;
	case BOOL_OID:
		return KIND_BOOL;
	default:
		return KIND_STRING;
	}
}

/* Writes the prefixes of all columns to `text`, and fills `columns`, which then point into it. */
static void columns_init(struct column *columns, int count, const PGresult *rows, struct body *text)
{
	const char *p;

	for (int i = 0; i < count; i++) {
		size_t start = text->len;

		json_member_string(text, str_of(i == 0 ? "" : ", "), str_of(PQfname(rows, i)));
		body_append(text, ": ", 2);
		columns[i] = (struct column){.prefix.len = text->len - start, .kind = kind_of(PQftype(rows, i))};
	}
	/* The text moves while it grows: pointers only now. */
	p = text->data;
	for (int i = 0; i < count; i++) {
		columns[i].prefix.p = p;
		p += columns[i].prefix.len;
	}
}

static inline void field(const struct column *c, const PGresult *rows, int row, int i, struct body *b)
{
	const char *p = PQgetvalue(rows, row, i);
	struct str value = str_make(p, (size_t)PQgetlength(rows, row, i));

	/* The length of NULL is 0: only then is it worth asking. */
	if (value.len == 0 && PQgetisnull(rows, row, i))
		json_member_raw(b, c->prefix, str_make("null", 4));
	else if (c->kind == KIND_STRING)
		json_member_string(b, c->prefix, value);
	else if (c->kind == KIND_NUMBER)
		json_member_raw(b, c->prefix, value);
	else
		json_member_raw(b, c->prefix, *p == 't' ? str_make("true", 4) : str_make("false", 5));
}

static void array(const struct column *columns, int column_count, const PGresult *rows, struct body *b)
{
	int row_count = PQntuples(rows);

	for (int row = 0; row < row_count && !body_failed(b); row++) {
		body_append_str(b, str_of(row == 0 ? "[{" : "}, {"));
		for (int i = 0; i < column_count; i++)
			field(&columns[i], rows, row, i, b);
	}
	body_append_str(b, str_of(row_count > 0 ? "}]" : "[]"));
}

void rows_render(const PGresult *rows, struct body *b)
{
	int column_count = PQnfields(rows);
	struct column *columns = calloc((size_t)column_count + 1, sizeof(*columns));
	struct body *text = body_new(0);

	if (columns == NULL || text == NULL) {
		body_fail(b);
		goto out;
	}
	columns_init(columns, column_count, rows, text);
	if (body_failed(text))
		body_fail(b);
	else
		array(columns, column_count, rows, b);
out:
	body_unref(text);
	free(columns);
}
