#include "text.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>

void text_printf(struct body *b, const char *format, ...)
{
	char piece[TEXT_PIECE_BYTES];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(piece, sizeof(piece), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(piece))
		body_fail(b);
	else
		body_append(b, piece, (size_t)len);
}

void text_label(struct body *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n')
			body_append(b, "\\n", 2);
		else if (*s == '\\' || *s == '"')
			text_printf(b, "\\%c", *s);
		else
			body_append(b, s, 1);
	}
}

static const char *html_entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void text_html(struct body *b, const char *s)
{
	size_t left = strlen(s), n;

	for (; left > 0; s += n, left -= n) {
		const char *entity = html_entity(*s);
		bool control = ((unsigned char)*s < ' ' && *s != '\n' && *s != '\t') || *s == 0x7F;

		n = utf8_sequence((const unsigned char *)s, left);
		if (entity != NULL)
			body_append_str(b, str_of(entity));
		else if (n == 0 || control)
			body_append_str(b, (struct str)STR("\xEF\xBF\xBD"));
		else
			body_append(b, s, n);
		if (n == 0)
			n = 1;
	}
}
