/*
 * rows: the result of any SQL query as a JSON array of objects, without a model: keys are the result's column names, in order;
 * smallint, integer and bigint are numbers, boolean true and false, NULL null, everything else a string of its text form.
 */
#ifndef AGENTS_ROWS_H
#define AGENTS_ROWS_H

#include "body.h"

#include <libpq-fe.h>

/* Text-format results only. `rows` stays the caller's. */
void rows_render(const PGresult *rows, struct body *b);

#endif
