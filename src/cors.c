#include "cors.h"

void cors_init(struct cors *c, const char *option)
{
	c->count = 0;
	c->any = strcmp(option, "*") == 0;
	if (c->any)
		return;
	while (*(option += strspn(option, " ")) != '\0' && c->count < CORS_ORIGINS_MAX) {
		size_t len = strcspn(option, " ");

		c->origins[c->count++] = str_make(option, len);
		option += len;
	}
}

struct str cors_allow(const struct cors *c, struct str origin)
{
	if (c->any)
		return str_of("*");
	for (size_t i = 0; i < c->count; i++) {
		if (str_equal(c->origins[i], origin))
			return c->origins[i];
	}
	return str_of("");
}
