/*
 * What a scan calls whole, libfcgi reads as it stands there.
 */
#include "../fuzz/second_opinion.h"
#include "random.h"
#include "scan_fixture.h"

#include <unistd.h>

/* A valid request of random shape. */
static void random_request(struct wire *w, uint64_t *state)
{
	static const unsigned sizes[] = {2, 40, 127, 128, 300, 3000};
	unsigned id = 1 + random_below(state, 3), size = sizes[random_below(state, 6)];
	/* Content that is none of these pairs is an earlier request's: that, too, repeats with the seed. */
	static uint8_t stream[16384];
	size_t len = 0, at = 0;

	for (unsigned n = random_below(state, 6); n > 0 && len < 8000; n--) {
		size_t name = random_below(state, size), value = random_below(state, size);

		len += put_length(stream + len, name, random_below(state, 4) == 0);
		len += put_length(stream + len, value, random_below(state, 4) == 0);
		for (size_t i = 0; i < name + value; i++)
			stream[len++] = (uint8_t)random_next(state);
	}
	begin(w, id, 1, random_below(state, 2));
	while (at < len) {
		size_t piece = random_below(state, 2) ? len - at : 1 + random_below(state, (uint32_t)(len - at));

		record(w, PARAMS, id, stream + at, piece,
		       random_below(state, 2) ? (unsigned)(-piece & 7) : random_below(state, 256));
		at += piece;
	}
	record(w, PARAMS, id, NULL, 0, 0);
	if (random_below(state, 4) == 0)
		record(w, STDIN, id, stream, 1 + random_below(state, 2000), random_below(state, 9));
	record(w, STDIN, id, NULL, 0, 0);
}

static void mutate(struct wire *w, uint64_t *state)
{
	/* Half of the time near the front, where the headers are. */
	size_t at = random_below(state, (uint32_t)(random_below(state, 2) && w->len > 64 ? 64 : w->len)), n;

	switch (random_below(state, 5)) {
	case 0:
		w->bytes[at] ^= (uint8_t)(1U << random_below(state, 8));
		break;
	case 1:
		w->bytes[at] = (uint8_t) "\0\1\2\3\4\5\7\10\11\177\200\377"[random_below(state, 12)];
		break;
	case 2:
		n = 1 + random_below(state, 16);
		n = n > w->len - at ? w->len - at : n;
		memmove(w->bytes + at, w->bytes + at + n, w->len - at - n);
		w->len -= n;
		break;
	case 3:
		n = 1 + random_below(state, 16);
		memmove(w->bytes + at + n, w->bytes + at, w->len - at);
		w->len += n;
		break;
	default:
		w->bytes[at] = (uint8_t)random_next(state);
		break;
	}
}

#define MUTATIONS 200000

START_TEST(test_libfcgi_parses_whatever_is_called_whole)
{
	uint64_t state = random_seed();
	unsigned seen[SCAN_BAD + 1] = {0};
	struct wire *w = calloc(1, sizeof(*w));
	int file = second_opinion_open();

	ck_assert_ptr_nonnull(w);
	ck_assert_int_ge(file, 0);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		const char *amiss;
		struct scan s, shorter;
		size_t cut;

		w->len = 0;
		random_request(w, &state);
		for (unsigned n = random_below(&state, 4); n > 0 && w->len > 0; n--)
			mutate(w, &state);
		s = scan_exactly(w->bytes, w->len);
		seen[s.verdict]++;
		/* A verdict other than PARTIAL stands, whatever follows. */
		cut = random_below(&state, (uint32_t)w->len + 1);
		shorter = scan_exactly(w->bytes, cut);
		if (shorter.verdict != SCAN_PARTIAL)
			ck_assert_int_eq(shorter.verdict, s.verdict);
		if (s.verdict != SCAN_WHOLE)
			continue;
		amiss = second_opinion(file, w->bytes, s.length, NULL);
		ck_assert_msg(amiss == NULL, "round %u: %s", i, amiss);
	}
	printf("whole %u, partial %u, management %u, abort %u, role %u, bad %u\n", seen[0], seen[1], seen[2], seen[3], seen[4],
	       seen[5]);
	for (unsigned v = 0; v <= SCAN_BAD; v++)
		ck_assert_uint_gt(seen[v], 0);
	(void)close(file);
	free(w);
}
END_TEST

START_TEST(test_libfcgi_finds_every_pair)
{
	int file = second_opinion_open();
	struct wire w = {.len = 0};
	unsigned pairs = 0;

	request_of_nginx(&w, 1);
	ck_assert_ptr_null(second_opinion(file, w.bytes, w.len, &pairs));
	ck_assert_uint_eq(pairs, 5);
	/* The oracle itself can say no: the same with the last record missing. */
	ck_assert_ptr_nonnull(second_opinion(file, w.bytes, w.len - 8, NULL));
	(void)close(file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scan_libfcgi");
	TCase *libfcgi = tcase_create("libfcgi");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(libfcgi, 300);
	tcase_add_test(libfcgi, test_libfcgi_finds_every_pair);
	tcase_add_test(libfcgi, test_libfcgi_parses_whatever_is_called_whole);
	suite_add_tcase(suite, libfcgi);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
