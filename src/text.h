/*
 * text: writes formatted text to a body, and any bytes as text of a format that has characters of its own.
 */
#ifndef AGENTS_TEXT_H
#define AGENTS_TEXT_H

#include "body.h"

/* Up to TEXT_PIECE_BYTES are written; longer pieces mark the body failed. */
#define TEXT_PIECE_BYTES 1024
void text_printf(struct body *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of a label in Prometheus' text format: backslash, double quote and line feed are escaped. */
void text_label(struct body *b, const char *s);

/* Text or the value of an attribute in HTML: & < > " ' are escaped, control characters and bytes beyond ASCII that are no UTF-8 replaced. */
void text_html(struct body *b, const char *s);

#endif
