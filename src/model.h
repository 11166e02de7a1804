/*
 * model: one declarative table per SQL table ("ORM"). A column is named once, as the field of a plain struct; from it follow
 * the SELECT list, the check against the live catalogue, the decoding of a row into the struct, and the JSON of the struct.
 *
 * Results are in text format. Nothing here does I/O; the PGresults stay the caller's.
 */
#ifndef AGENTS_MODEL_H
#define AGENTS_MODEL_H

#include "body.h"

#include <libpq-fe.h>
#include <stdint.h>

/* The C types of columns. Every one of them can hold NULL. Text points into the PGresult it was decoded from. */
struct model_int4 {
	int32_t value;
	bool null;
};
struct model_text {
	struct str value;
	bool null;
};
/* timestamp without time zone, as PostgreSQL's text form in DateStyle ISO; written to JSON as to_json writes it. */
struct model_timestamp {
	struct str value;
	bool null;
};
/* A secret never leaves the database: the SELECT list has '' in its place, and the JSON has "". */
struct model_secret {
	char unused;
};

enum model_type { MODEL_INT4, MODEL_TEXT, MODEL_TIMESTAMP, MODEL_SECRET, MODEL_TYPE_MAX };

struct model_column {
	struct str name;   /* as in SQL, unquoted */
	struct str prefix; /* the JSON before its value: ", \"name\": " */
	enum model_type type;
	size_t offset; /* of the field in the struct */
};

struct model {
	const char *table; /* as in SQL, unquoted; found by search_path */
	const struct model_column *columns;
	size_t column_count;
	size_t row_bytes; /* sizeof the struct */
};

/* Longest reason that a check writes, with its NUL. */
#define MODEL_REASON_BYTES 512

#define MODEL_TYPE_OF(field)                                                                                                     \
	_Generic((field), struct model_int4                                                                                      \
		 : MODEL_INT4, struct model_text                                                                                 \
		 : MODEL_TEXT, struct model_timestamp                                                                            \
		 : MODEL_TIMESTAMP, struct model_secret                                                                          \
		 : MODEL_SECRET)

/* One entry of a column table: the field `column` of `struct_type`, which is also its name in SQL and in JSON. */
#define MODEL_COLUMN(struct_type, column)                                                                                        \
	{                                                                                                                        \
		.name = STR(#column), .prefix = STR(", \"" #column "\": "), .type = MODEL_TYPE_OF(((struct_type *)0)->column),   \
		.offset = offsetof(struct_type, column)                                                                          \
	}

/* `SELECT "a", '' AS "b", … FROM "table"`, NUL-terminated; the caller frees it. Exits when out of memory (start-up only). */
char *model_select(const struct model *m);

/*
 * The query of the live catalogue (pg_attribute, which unlike information_schema shows columns that the role may not read):
 * $1 is the table's name; rows are (attname text, type oid, its name in words). It takes no lock on the table.
 * No rows: the table does not exist or is not on the search_path.
 */
extern const char model_catalogue_sql[];

/*
 * Compares a result of model_catalogue_sql with the model. False where they differ: `reason` (MODEL_REASON_BYTES) then names the
 * table, the column, and both types. Columns that the model does not have are ignored; secret columns must exist, of any type.
 */
bool model_check_catalogue(const struct model *m, const PGresult *catalogue, char *reason);

/* The same for a result of model_select: number, order, names and types of its columns, before any row is decoded. */
bool model_check_result(const struct model *m, const PGresult *rows, char *reason);

/* Decodes row `row` of a result that model_check_result accepted into `out`, a struct of m->row_bytes. */
void model_decode(const struct model *m, const PGresult *rows, int row, void *out);

/* Writes the struct at `in` as a JSON object. */
void model_json(const struct model *m, const void *in, struct body *b);

/* All rows as a JSON array of objects: decode, then JSON, for each. */
void model_render(const struct model *m, const PGresult *rows, struct body *b);

#endif
