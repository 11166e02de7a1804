/*
 * fuzz_scan: any bytes as the records of a connection. Whatever the walk calls a whole request, the installed libfcgi has to parse to its last byte.
 */
#include "scan.h"
#include "second_opinion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	(void)fprintf(stderr, "fuzz_scan: %s\n", what);
	abort();
}

/* On a copy of exactly that length, so that AddressSanitizer sees every read beyond it. */
static struct scan scan_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct scan s;

	if (copy == NULL)
		abort();
	memcpy(copy + 1, data, size);
	s = scan_request(copy + 1, size);
	if (s.verdict == SCAN_MANAGEMENT) {
		uint8_t out[SCAN_REPLY_BYTES];
		size_t n = scan_management_reply(copy + 1, s.length, UINT32_MAX, out);

		if (n < 8 || n > sizeof(out) || n != 8U + out[5])
			fail("a management reply of the wrong length");
	}
	free(copy);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int file = -1;
	struct scan s, half;
	const char *amiss;

	if (file < 0 && (file = second_opinion_open()) < 0)
		abort();
	if (size == 0)
		return 0;
	s = scan_copy(data, size);
	if (s.length > size || (s.verdict == SCAN_BAD) != (s.reason != NULL))
		fail("a verdict without its length or reason");
	half = scan_copy(data, size / 2);
	if (half.verdict != SCAN_PARTIAL && half.verdict != s.verdict)
		fail("a verdict that changes with what follows");
	if (s.verdict != SCAN_WHOLE)
		return 0;
	if (scan_copy(data, s.length - 1).verdict != SCAN_PARTIAL)
		fail("a whole request that is whole without its last byte");
	amiss = second_opinion(file, data, s.length, NULL);
	if (amiss != NULL)
		fail(amiss);
	return 0;
}
