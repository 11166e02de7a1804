#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* U+FFFD, the replacement character, and the bytes it takes. */
#define REPLACEMENT "\xEF\xBF\xBD"
#define REPLACEMENT_BYTES ((size_t)3)

size_t utf8_sequence(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		n = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		n = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

static bool is_valid(const char *p, size_t len)
{
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)p + i, len - i);
		if (n == 0)
			return false;
	}
	return true;
}

json_t *utf8_json(const char *p, size_t len)
{
	json_t *string;
	char *clean;
	size_t used = 0, n;

	if (is_valid(p, len))
		return json_stringn_nocheck(p, len);
	clean = len <= SIZE_MAX / REPLACEMENT_BYTES ? malloc(REPLACEMENT_BYTES * len) : NULL;
	if (clean == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)p + i, len - i);
		if (n > 0) {
			memcpy(clean + used, p + i, n);
			used += n;
		} else {
			memcpy(clean + used, REPLACEMENT, REPLACEMENT_BYTES);
			used += REPLACEMENT_BYTES;
			n = 1;
		}
	}
	string = json_stringn_nocheck(clean, used);
	free(clean);
	return string;
}
