#include "utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

json_t *utf8_json(const char *p, size_t len)
{
	json_t *string = json_stringn(p, len);
	char *clean;
	size_t used = 0, n;

	if (string != NULL || len > SIZE_MAX / 3)
		return string;
	clean = malloc(3 * len);
	if (clean == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)p + i, len - i);
		if (n > 0) {
			memcpy(clean + used, p + i, n);
			used += n;
		} else {
			memcpy(clean + used, "\xEF\xBF\xBD", 3);
			used += 3;
			n = 1;
		}
	}
	string = json_stringn(clean, used);
	free(clean);
	return string;
}
