/*
 * random: repeatable random numbers and strings for tests. TEST_SEED in the environment is another seed; it is printed.
 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t random_seed(void)
{
	const char *text = getenv("TEST_SEED");
	uint64_t seed = text == NULL ? 20260102 : strtoull(text, NULL, 10);

	printf("TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(random_next(state) % limit);
}

/* Writes the UTF-8 form of a code point, at most 4 bytes; returns its end. */
static inline char *utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | (c >> 6));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | (c >> 12));
		*out++ = (char)(0x80 | ((c >> 6) & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | (c >> 18));
		*out++ = (char)(0x80 | ((c >> 12) & 0x3f));
		*out++ = (char)(0x80 | ((c >> 6) & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* Any code point but NUL and surrogates; half of them ASCII, many of those in need of an escape. */
static inline uint32_t random_code_point(uint64_t *state)
{
	switch (random_below(state, 8)) {
	case 0:
		return 1 + random_below(state, 0x1f);
	case 1:
		return "\"\\/\x7f"[random_below(state, 4)];
	case 2:
	case 3:
	case 4:
		return 0x20 + random_below(state, 0x60);
	case 5:
		return 0x80 + random_below(state, 0x780);
	case 6:
		return random_below(state, 2) ? 0x800 + random_below(state, 0xd000) : 0xe000 + random_below(state, 0x2000);
	default:
		return 0x10000 + random_below(state, 0x100000);
	}
}

/* Fills `out` with up to `limit` code points and a NUL: room for 4 * limit + 1 bytes. */
static inline void random_text(uint64_t *state, char *out, uint32_t limit)
{
	for (uint32_t n = random_below(state, limit + 1); n > 0; n--)
		out = utf8_put(out, random_code_point(state));
	*out = '\0';
}

#endif
