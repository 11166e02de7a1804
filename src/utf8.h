/*
 * utf8: any bytes as text.
 */
#ifndef AGENTS_UTF8_H
#define AGENTS_UTF8_H

#include <jansson.h>
#include <stddef.h>

/* Bytes of the UTF-8 sequence at `p`, where `len` bytes are (RFC 3629 §4); 0 when it is not valid. */
size_t utf8_sequence(const unsigned char *p, size_t len);

/* A JSON string of any bytes: U+FFFD stands for each one that is not valid UTF-8. NULL when out of memory. */
json_t *utf8_json(const char *p, size_t len);

#endif
