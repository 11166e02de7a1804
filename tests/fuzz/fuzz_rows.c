/*
 * fuzz_rows: bytes become a PGresult, which model_render and rows_render write; jansson parses what they wrote, and every value is the one
 * that went in.
 *
 * Of the input the first byte chooses the model; then each field is a length byte (255: NULL) and as many bytes. Bytes that no PostgreSQL
 * sends (NUL, invalid UTF-8) are replaced first; a number or timestamp is made from the field's bytes.
 */
#include "agent.h"
#include "rows.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_COLUMNS = 12, MAX_ROWS = 64, FIELD_BYTES = 256, NULL_FIELD = 255 };

struct input {
	const uint8_t *p;
	size_t len;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fuzz_rows: %s\n", what);
		abort();
	}
}

static uint8_t take(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

/* Reads a field as text that PostgreSQL could send. False for NULL. */
static bool take_text(struct input *in, char text[FIELD_BYTES])
{
	uint8_t len = take(in);
	json_t *valid;

	if (len == NULL_FIELD)
		return false;
	for (uint8_t i = 0; i < len; i++)
		text[i] = (char)take(in);
	text[len] = '\0';
	valid = json_string(text);
	if (valid == NULL) {
		/* Not UTF-8: the low half of each byte's values is. */
		for (uint8_t i = 0; i < len; i++)
			text[i] = (char)(text[i] & 0x7f);
	}
	json_decref(valid);
	return true;
}

static void int_text(char text[FIELD_BYTES])
{
	uint32_t value = 0;

	for (size_t i = 0; i < 4 && text[i] != '\0'; i++)
		value = value << 8 | (uint8_t)text[i];
	snprintf(text, FIELD_BYTES, "%d", (int32_t)value);
}

static PGresult *result_of(const struct model *m, struct input *in)
{
	static const Oid types[MODEL_TYPE_MAX] = {23, 1043, 1114, 25};
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[MAX_COLUMNS] = {0};
	int count = (int)m->column_count;

	must(count <= MAX_COLUMNS, "more columns than expected");
	for (int i = 0; i < count; i++) {
		attributes[i].name = (char *)m->columns[i].name.p;
		attributes[i].typid = types[m->columns[i].type];
	}
	must(r != NULL && PQsetResultAttrs(r, count, attributes), "no memory");
	for (int row = 0; row < MAX_ROWS && in->len > 0; row++) {
		for (int i = 0; i < count; i++) {
			char text[FIELD_BYTES] = "";
			bool some = take_text(in, text);

			if (m->columns[i].type == MODEL_INT4)
				int_text(text);
			must(PQsetvalue(r, row, i, some ? text : NULL, some ? (int)strlen(text) : -1), "no memory");
		}
	}
	return r;
}

static bool same_text(const json_t *value, const char *text, bool timestamp)
{
	const char *found = json_string_value(value);
	const char *space = timestamp ? strchr(text, ' ') : NULL;
	size_t at;

	if (found == NULL || strlen(found) != strlen(text))
		return false;
	if (space == NULL)
		return strcmp(found, text) == 0;
	at = (size_t)(space - text);
	return memcmp(found, text, at) == 0 && found[at] == 'T' && strcmp(found + at + 1, space + 1) == 0;
}

static bool same_value(const json_t *value, const PGresult *r, int row, int i, enum model_type type)
{
	const char *text = PQgetvalue(r, row, i);

	if (type == MODEL_SECRET)
		return json_string_length(value) == 0 && json_is_string(value);
	if (PQgetisnull(r, row, i))
		return json_is_null(value);
	if (type == MODEL_INT4)
		return json_is_integer(value) && json_integer_value(value) == strtoll(text, NULL, 10);
	return same_text(value, text, type == MODEL_TIMESTAMP);
}

/* Without a model there are no timestamps and no secrets. */
static enum model_type raw_type(enum model_type type)
{
	return type == MODEL_INT4 ? MODEL_INT4 : MODEL_TEXT;
}

static void check(const struct body *b, const PGresult *r, const struct model *m, bool raw)
{
	json_t *rows;

	must(!body_failed(b), "out of memory");
	rows = json_loadb(b->data, b->len, JSON_REJECT_DUPLICATES, NULL);
	must(rows != NULL, "not JSON");
	must(json_array_size(rows) == (size_t)PQntuples(r), "another number of rows");
	for (int row = 0; row < PQntuples(r); row++) {
		const json_t *object = json_array_get(rows, (size_t)row);

		must(json_object_size(object) == m->column_count, "another number of members");
		for (int i = 0; i < PQnfields(r); i++) {
			enum model_type type = m->columns[i].type;

			must(same_value(json_object_get(object, PQfname(r, i)), r, row, i, raw ? raw_type(type) : type),
			     raw ? "rows_render: another value" : "model_render: another value");
		}
	}
	json_decref(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const struct model *m = take(&in) % 2 == 0 ? &agentfeature_model : &agent_login_model;
	PGresult *r = result_of(m, &in);
	struct body *b = body_new(0);
	char reason[MODEL_REASON_BYTES];

	must(b != NULL, "no memory");
	must(model_check_result(m, r, reason), "the model does not fit");
	model_render(m, r, b);
	check(b, r, m, false);
	b->len = 0;
	rows_render(r, b);
	check(b, r, m, true);
	body_unref(b);
	PQclear(r);
	return 0;
}
