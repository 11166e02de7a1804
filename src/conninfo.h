/*
 * conninfo: looks into a libpq connection string (conninfo or URI; PostgreSQL 15 manual, section 34.1.1) without connecting. Nothing that
 * these functions write holds a secret, nor any other part of a string that may hold one.
 */
#ifndef AGENTS_CONNINFO_H
#define AGENTS_CONNINFO_H

#include <stdbool.h>
#include <stdio.h>

/* Longest reason, with its NUL. */
#define CONNINFO_REASON_BYTES 160

/* Whether libpq can parse it ("" can be parsed), and no value but a secret has control characters. Where not, `reason` says what is wrong, in words of our own: libpq's message quotes the string. */
bool conninfo_check(const char *conninfo, char reason[CONNINFO_REASON_BYTES]);

/* Whether it has a value for password or sslpassword, in whatever form. True as well for a string within it that can't be parsed. */
bool conninfo_has_secret(const char *conninfo);

/* Writes it as it is when it has no secret and no space at its ends, else in the form name='value' with ******** for each secret. */
void conninfo_print(const char *conninfo, FILE *out);

#endif
