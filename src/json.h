/*
 * json: writes JSON values (RFC 8259) to a body, for rows; everything else in the worker uses jansson.
 *
 * The output equals what jansson's JSON_ENCODE_ANY writes for the same value: UTF-8 as it is, short escapes where JSON has
 * them (\b \f \n \r \t \" \\), \u00XX with capital hexadecimal digits for other control characters.
 * Errors: see body.h (sticky). Input strings are valid UTF-8 without NUL: PostgreSQL guarantees both with client_encoding=UTF8.
 */
#ifndef AGENTS_JSON_H
#define AGENTS_JSON_H

#include "body.h"

#include <stdint.h>

/* A quoted and escaped string. */
void json_string(struct body *b, struct str s);

void json_int(struct body *b, int32_t value);

void json_null(struct body *b);

#endif
