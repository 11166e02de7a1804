/*
 * json: writes JSON values (RFC 8259) to a body, for rows; everything else in the worker uses jansson.
 *
 * The output equals what jansson's JSON_ENCODE_ANY writes for the same value: UTF-8 as it is, short escapes where JSON has
 * them (\b \f \n \r \t \" \\), \u00XX with capital hexadecimal digits for other control characters.
 * Its names keep clear of jansson's, which has json_string and json_null of its own and is in the same process.
 * Errors: see body.h (sticky). Input strings are valid UTF-8 without NUL: PostgreSQL guarantees both with client_encoding=UTF8.
 */
#ifndef AGENTS_JSON_H
#define AGENTS_JSON_H

#include "body.h"

#include <stdint.h>

/* A quoted and escaped string. */
void json_write_string(struct body *b, struct str s);

void json_write_int(struct body *b, int32_t value);

void json_write_null(struct body *b);

/*
 * The same behind `prefix`, which is JSON already: a member's name with its colon, and what stands before it. One look for room does for
 * both; this is how rows are written.
 */
void json_member_string(struct body *b, struct str prefix, struct str s);
void json_member_int(struct body *b, struct str prefix, int32_t value);

/* `value` is JSON already, too. */
void json_member_raw(struct body *b, struct str prefix, struct str value);

/* `text`, PostgreSQL's ISO form of a timestamp, as its to_json writes it: the first space is a T. */
void json_member_timestamp(struct body *b, struct str prefix, struct str text);

#endif
