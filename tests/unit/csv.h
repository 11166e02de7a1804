/*
 * csv: reads the CSV files of tests/data, in the form that PostgreSQL's COPY … CSV reads: a field without quotes that is empty is NULL, quotes
 * are doubled within quotes, line breaks are allowed there. For tests: exits on any fault.
 */
#ifndef TESTS_CSV_H
#define TESTS_CSV_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CSV_MAX_COLUMNS 16
#define CSV_MAX_ROWS 128

/* Cells point into text; NULL is NULL. Row 0 holds the names. */
struct csv {
	char *text;
	char *cells[CSV_MAX_ROWS][CSV_MAX_COLUMNS];
	int row_count;
	int column_count;
};

/* The content of a file below tests/ (its path from there), NUL-terminated; the caller frees it. */
static inline char *test_file(const char *path)
{
	char full[4096];
	const char *here = __FILE__;
	const char *slash = strrchr(here, '/');
	char *text = calloc(1, 1 << 20);
	FILE *f;

	snprintf(full, sizeof(full), "%.*s/../%s", slash == NULL ? 1 : (int)(slash - here), slash == NULL ? "." : here, path);
	f = fopen(full, "rb");
	if (f == NULL || text == NULL) {
		perror(full);
		exit(EXIT_FAILURE);
	}
	if (fread(text, 1, (1 << 20) - 1, f) == 0 || ferror(f) || fclose(f) != 0) {
		fprintf(stderr, "%s: cannot read\n", full);
		exit(EXIT_FAILURE);
	}
	return text;
}

/* Reads one field at *p, unquoted in place; *p then stands behind its separator. True when the field ended its row. */
static inline bool csv_field(char **p, char **cell)
{
	char *in = *p;
	char *out = in;
	bool quoted = *in == '"';
	char end;

	*cell = in;
	if (quoted) {
		for (in++; *in != '\0'; *out++ = *in++) {
			if (*in == '"' && *++in != '"')
				break;
		}
	} else {
		in += strcspn(in, ",\n");
		out = in;
		if (*cell == in)
			*cell = NULL;
	}
	end = *in;
	if (end != ',' && end != '\n' && end != '\0') {
		fprintf(stderr, "csv: text behind a quoted field: %.20s\n", in);
		exit(EXIT_FAILURE);
	}
	*out = '\0';
	*p = end == '\0' ? in : in + 1;
	return end != ',';
}

/* The caller frees csv->text. */
static inline void csv_read(struct csv *csv, const char *path)
{
	char *p;

	memset(csv, 0, sizeof(*csv));
	csv->text = p = test_file(path);
	while (*p != '\0') {
		int column = 0;

		if (csv->row_count == CSV_MAX_ROWS)
			abort();
		do {
			if (column == CSV_MAX_COLUMNS)
				abort();
		} while (!csv_field(&p, &csv->cells[csv->row_count][column++]));
		if (csv->row_count++ == 0)
			csv->column_count = column;
		if (column != csv->column_count) {
			fprintf(stderr, "csv: row %d has %d fields, expected %d\n", csv->row_count, column, csv->column_count);
			exit(EXIT_FAILURE);
		}
	}
}

#endif
