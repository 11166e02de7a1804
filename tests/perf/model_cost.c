/*
 * model_cost: renders the same twelve columns through the model and without it, for callgrind (model_cost.sh).
 *
 * `model_cost model|raw CSV` makes a result of the agents in CSV, which has a line of names and fields that hold no comma, renders it once and
 * prints the number of rows.
 */
#include "agent.h"
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 12, LINE_BYTES = 4096 };

static void die(const char *what)
{
	fprintf(stderr, "model_cost: %s\n", what);
	exit(EXIT_FAILURE);
}

static PGresult *empty_result(void)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[COLUMNS] = {0};

	for (int i = 0; i < COLUMNS; i++) {
		const struct model_column *c = &agentfeature_model.columns[i];

		attributes[i].name = (char *)c->name.p;
		attributes[i].typid = c->type == MODEL_INT4 ? 23 : 1043;
	}
	if (r == NULL || PQsetResultAttrs(r, COLUMNS, attributes) == 0)
		die("no memory for a result");
	return r;
}

/* Sets a field as COPY … CSV reads it: nothing is NULL, quotes go. The secret is '', as in model_select. */
static void set(PGresult *r, int row, int column, char *field)
{
	size_t len = strlen(field);
	int ok;

	if (agentfeature_model.columns[column].type == MODEL_SECRET)
		ok = PQsetvalue(r, row, column, field, 0);
	else if (len == 0)
		ok = PQsetvalue(r, row, column, NULL, -1);
	else if (field[0] == '"')
		ok = PQsetvalue(r, row, column, field + 1, (int)len - 2);
	else
		ok = PQsetvalue(r, row, column, field, (int)len);
	if (!ok)
		die("cannot set a field");
}

static PGresult *read_result(const char *path)
{
	PGresult *r = empty_result();
	FILE *f = fopen(path, "r");
	char line[LINE_BYTES];

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		die("cannot read the file");
	for (int row = 0; fgets(line, sizeof(line), f) != NULL; row++) {
		char *rest = line;

		line[strcspn(line, "\n")] = '\0';
		for (int i = 0; i < COLUMNS; i++) {
			char *field = strsep(&rest, ",");

			if (field == NULL)
				die("a line has too few fields");
			set(r, row, i, field);
		}
	}
	fclose(f);
	return r;
}

int main(int argc, char **argv)
{
	struct body *b = body_new((size_t)64 * 1024);
	char reason[MODEL_REASON_BYTES];
	PGresult *r;

	if (argc != 3 || b == NULL)
		die("usage: model_cost model|raw CSV");
	r = read_result(argv[2]);
	if (strcmp(argv[1], "raw") == 0)
		rows_render(r, b);
	else if (model_check_result(&agentfeature_model, r, reason))
		model_render(&agentfeature_model, r, b);
	else
		die(reason);
	if (body_failed(b) || b->len < 1000)
		die("nothing was rendered");
	printf("%d\n", PQntuples(r));
	PQclear(r);
	body_unref(b);
	return EXIT_SUCCESS;
}
