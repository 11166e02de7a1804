#include "model.h"

#include "json.h"

#include <stdio.h>
#include <stdlib.h>

/* Type OIDs, fixed in PostgreSQL's pg_type.dat. */
enum { NAME_OID = 19, INT4_OID = 23, TEXT_OID = 25, BPCHAR_OID = 1042, VARCHAR_OID = 1043, TIMESTAMP_OID = 1114 };

static const struct {
	Oid oid;
	const char *name;
} type_names[] = {
	{16, "boolean"},
	{17, "bytea"},
	{18, "\"char\""},
	{NAME_OID, "name"},
	{20, "bigint"},
	{21, "smallint"},
	{INT4_OID, "integer"},
	{TEXT_OID, "text"},
	{26, "oid"},
	{114, "json"},
	{700, "real"},
	{701, "double precision"},
	{BPCHAR_OID, "character"},
	{VARCHAR_OID, "character varying"},
	{1082, "date"},
	{1083, "time without time zone"},
	{TIMESTAMP_OID, "timestamp without time zone"},
	{1184, "timestamp with time zone"},
	{1186, "interval"},
	{1700, "numeric"},
	{2950, "uuid"},
	{3802, "jsonb"},
};

/* A domain counts as its base type, as it does in results; a column that the role may not read as type 0. */
const char model_catalogue_sql[] =
	"SELECT a.attname::text,"
	" CASE WHEN pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')"
	" THEN CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END ELSE 0 END,"
	" CASE WHEN pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')"
	" THEN pg_catalog.format_type(a.atttypid, a.atttypmod) ELSE 'a column that this role may not SELECT' END"
	" FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
	" WHERE a.attrelid = pg_catalog.to_regclass(pg_catalog.quote_ident($1))"
	" AND a.attnum > 0 AND NOT a.attisdropped"
	" ORDER BY a.attnum";

static void identifier(FILE *f, const char *p, size_t len)
{
	putc('"', f);
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"')
			putc('"', f);
		putc(p[i], f);
	}
	putc('"', f);
}

char *model_select(const struct model *m)
{
	char *sql = NULL;
	size_t len;
	FILE *f = open_memstream(&sql, &len);
	bool failed = f == NULL;

	if (!failed) {
		fputs("SELECT ", f);
		for (size_t i = 0; i < m->column_count; i++) {
			const struct model_column *c = &m->columns[i];

			fputs(i > 0 ? ", " : "", f);
			fputs(c->type == MODEL_SECRET ? "'' AS " : "", f);
			identifier(f, c->name.p, c->name.len);
		}
		fputs(" FROM ", f);
		identifier(f, m->table, strlen(m->table));
		failed = ferror(f) != 0;
		failed = fclose(f) != 0 || failed;
	}
	if (failed) {
		fputs("model: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return sql;
}

static bool type_fits(enum model_type type, Oid oid)
{
	switch (type) {
	case MODEL_INT4:
		return oid == INT4_OID;
	case MODEL_TEXT:
		return oid == TEXT_OID || oid == VARCHAR_OID || oid == BPCHAR_OID || oid == NAME_OID;
	case MODEL_TIMESTAMP:
		return oid == TIMESTAMP_OID;
	default:
		return type == MODEL_SECRET;
	}
}

static const char *expected_name(enum model_type type)
{
	static const char *const names[MODEL_TYPE_MAX] = {"integer", "text", "timestamp without time zone",
							  "a secret of any type"};

	return names[type];
}

static bool mismatch(const struct model *m, const struct model_column *c, const char *found, char *reason)
{
	snprintf(reason, MODEL_REASON_BYTES, "%s.%.*s: expected %s, found %s", m->table, (int)c->name.len, c->name.p,
		 expected_name(c->type), found);
	return false;
}

/* The catalogue's row for a column, or -1. */
static int catalogue_row(const PGresult *catalogue, struct str name)
{
	for (int row = 0; row < PQntuples(catalogue); row++) {
		if (str_equal(str_of(PQgetvalue(catalogue, row, 0)), name))
			return row;
	}
	return -1;
}

bool model_check_catalogue(const struct model *m, const PGresult *catalogue, char *reason)
{
	if (PQntuples(catalogue) == 0) {
		snprintf(reason, MODEL_REASON_BYTES, "%s: no such table", m->table);
		return false;
	}
	for (size_t i = 0; i < m->column_count; i++) {
		const struct model_column *c = &m->columns[i];
		int row = catalogue_row(catalogue, c->name);

		if (row < 0)
			return mismatch(m, c, "no such column", reason);
		if (!type_fits(c->type, (Oid)strtoul(PQgetvalue(catalogue, row, 1), NULL, 10)))
			return mismatch(m, c, PQgetvalue(catalogue, row, 2), reason);
	}
	return true;
}

static bool result_mismatch(const struct model *m, const struct model_column *c, Oid oid, char *reason)
{
	char other[32];

	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (type_names[i].oid == oid)
			return mismatch(m, c, type_names[i].name, reason);
	}
	snprintf(other, sizeof(other), "type oid %u", oid);
	return mismatch(m, c, other, reason);
}

bool model_check_result(const struct model *m, const PGresult *rows, char *reason)
{
	if (PQnfields(rows) != (int)m->column_count) {
		snprintf(reason, MODEL_REASON_BYTES, "%s: expected %zu columns, found %d", m->table, m->column_count,
			 PQnfields(rows));
		return false;
	}
	for (int i = 0; i < (int)m->column_count; i++) {
		const struct model_column *c = &m->columns[i];

		if (!str_equal(str_of(PQfname(rows, i)), c->name)) {
			snprintf(reason, MODEL_REASON_BYTES, "%s: expected column %.*s at position %d, found %s", m->table,
				 (int)c->name.len, c->name.p, i + 1, PQfname(rows, i));
			return false;
		}
		if (!type_fits(c->type, PQftype(rows, i)))
			return result_mismatch(m, c, PQftype(rows, i), reason);
		if (PQfformat(rows, i) != 0)
			return mismatch(m, c, "binary format", reason);
	}
	return true;
}

/* PostgreSQL's text form of an int4: an optional minus and digits. Unsigned, so that -2147483648 and garbage are both defined. */
static inline int32_t int4_of(const char *p)
{
	bool negative = *p == '-';
	uint32_t u = 0;

	for (p += negative; *p != '\0'; p++)
		u = u * 10 + (uint32_t)(*p - '0');
	return (int32_t)(negative ? -u : u);
}

static inline struct model_text text_of(const PGresult *rows, int row, int i)
{
	struct str value = str_make(PQgetvalue(rows, row, i), (size_t)PQgetlength(rows, row, i));

	/* The length of NULL is 0: only then is it worth asking. */
	return (struct model_text){value, value.len == 0 && PQgetisnull(rows, row, i)};
}

static inline void decode_field(enum model_type type, const PGresult *rows, int row, int i, void *field)
{
	switch (type) {
	case MODEL_INT4: {
		const char *p = PQgetvalue(rows, row, i);

		/* No integer is empty, but NULL is. */
		*(struct model_int4 *)field = (struct model_int4){int4_of(p), *p == '\0'};
		break;
	}
	case MODEL_TEXT:
		*(struct model_text *)field = text_of(rows, row, i);
		break;
	case MODEL_TIMESTAMP: {
		struct model_text t = text_of(rows, row, i);

		*(struct model_timestamp *)field = (struct model_timestamp){t.value, t.null};
		break;
	}
	case MODEL_SECRET:
	case MODEL_TYPE_MAX:
		break;
	}
}

static inline void field_json(enum model_type type, struct str prefix, const void *field, struct body *b)
{
	bool null = false;

	switch (type) {
	case MODEL_INT4: {
		const struct model_int4 *v = field;

		null = v->null;
		if (!null)
			json_member_int(b, prefix, v->value);
		break;
	}
	case MODEL_TEXT: {
		const struct model_text *v = field;

		null = v->null;
		if (!null)
			json_member_string(b, prefix, v->value);
		break;
	}
	case MODEL_TIMESTAMP: {
		const struct model_timestamp *v = field;

		null = v->null;
		if (!null)
			json_member_timestamp(b, prefix, v->value);
		break;
	}
	case MODEL_SECRET:
		json_member_raw(b, prefix, str_make("\"\"", 2));
		break;
	case MODEL_TYPE_MAX:
		break;
	}
	if (null)
		json_member_raw(b, prefix, str_make("null", 4));
}

/* The prefix of the first member loses the ", " before it. */
#define FIRST_SKIP ((size_t)2)

static inline struct str prefix_of(const struct model_column *c, size_t skip)
{
	return str_make(c->prefix.p + skip, c->prefix.len - skip);
}

void model_decode(const struct model *m, const PGresult *rows, int row, void *out)
{
	for (size_t i = 0; i < m->column_count; i++)
		decode_field(m->columns[i].type, rows, row, (int)i, (char *)out + m->columns[i].offset);
}

void model_json(const struct model *m, const void *in, struct body *b)
{
	size_t skip = FIRST_SKIP;

	body_append(b, "{", 1);
	for (size_t i = 0; i < m->column_count; i++, skip = 0) {
		const struct model_column *c = &m->columns[i];

		field_json(c->type, prefix_of(c, skip), (const char *)in + c->offset, b);
	}
	body_append(b, "}", 1);
}

/* One row: model_decode and model_json field by field, in one pass over the columns instead of two. */
static void row_json(const struct model *m, const PGresult *rows, int row, char *in, struct body *b)
{
	const struct model_column *c = m->columns;
	int count = (int)m->column_count;
	size_t skip = FIRST_SKIP;

	for (int i = 0; i < count; i++, c++, skip = 0) {
		enum model_type type = c->type;

		decode_field(type, rows, row, i, in + c->offset);
		field_json(type, prefix_of(c, skip), in + c->offset, b);
	}
}

void model_render(const struct model *m, const PGresult *rows, struct body *b)
{
	int row_count = PQntuples(rows);
	char *in = malloc(m->row_bytes);

	if (in == NULL) {
		body_fail(b);
		return;
	}
	for (int row = 0; row < row_count && !body_failed(b); row++) {
		body_append_str(b, str_of(row == 0 ? "[{" : "}, {"));
		row_json(m, rows, row, in, b);
	}
	body_append_str(b, str_of(row_count > 0 ? "}]" : "[]"));
	free(in);
}
