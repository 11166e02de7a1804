#include "json_body.h"

#define HINT_BYTES 256

static int append(const char *p, size_t len, void *b)
{
	body_append(b, p, len);
	return body_failed(b) ? -1 : 0;
}

struct body *json_body(json_t *value, size_t flags)
{
	struct body *b = value != NULL ? body_new(HINT_BYTES) : NULL;

	if (b != NULL && json_dump_callback(value, append, b, flags) != 0) {
		body_unref(b);
		b = NULL;
	}
	json_decref(value);
	return b;
}
