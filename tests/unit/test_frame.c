#include "frame.h"
#include "random.h"
#include "wire.h"

static char bytes[1 << 20];

/* A frame of the first `head` and the next `body` bytes of a fixed random sequence. */
static struct frame frame_of(size_t head, size_t body, uint16_t id)
{
	uint64_t state = 7;

	for (size_t i = 0; bytes[0] == 0 && i < sizeof(bytes); i++)
		bytes[i] = (char)(1 + random_below(&state, 255));
	ck_assert_uint_le(head + body, sizeof(bytes));
	return (struct frame){{bytes, head}, {bytes + head, body}, id};
}

/* From `offset` on, what the calls of frame_iov describe is the rest of `all`, and no iovec is empty. */
static void check_tail(const struct frame *f, const struct wire *all, size_t offset)
{
	struct frame_scratch scratch;
	size_t at = offset;
	int count;

	while ((count = frame_iov(f, at, &scratch)) > 0) {
		ck_assert_int_le(count, FRAME_IOVS);
		for (int i = 0; i < count; i++) {
			size_t len = scratch.iov[i].iov_len;

			ck_assert_uint_gt(len, 0);
			ck_assert_uint_le(len, all->len - at);
			ck_assert(memcmp(scratch.iov[i].iov_base, all->bytes + at, len) == 0);
			at += len;
		}
	}
	ck_assert_uint_eq(at, all->len);
}

static const struct {
	size_t head, body;
} sizes[] = {
	{0, 0},           {1, 0},         {0, 1},         {40, 18},          {200, 7100},        {1536, 10928},   {100, 65428},
	{100, 65429},     {65528, 0},     {65529, 0},     {65527, 1},        {65528, 1},         {0, 65528},      {0, 65529},
	{100, 2 * 65528}, {0, 3 * 65528}, {1536, 400000}, {200, 15 * 65528}, {0, sizeof(bytes)}, {65530, 300000},
};

#define SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

START_TEST(describes_exactly_the_reference_encoding)
{
	const uint16_t ids[] = {1, 0xABCD};

	for (size_t i = 0; i < 2; i++) {
		struct frame f = frame_of(sizes[_i].head, sizes[_i].body, ids[i]);
		struct wire all = {NULL, 0, 0};

		wire_answer(&all, ids[i], f.head, f.body);
		ck_assert_uint_eq(frame_length(&f), all.len);
		check_tail(&f, &all, 0);
		wire_free(&all);
	}
}
END_TEST

START_TEST(resumes_at_every_offset)
{
	struct frame f = frame_of(sizes[_i].head, sizes[_i].body, 0xABCD);
	struct wire all = {NULL, 0, 0};
	uint64_t state = 20260102;

	wire_answer(&all, 0xABCD, f.head, f.body);
	if (all.len < 1000) {
		for (size_t offset = 0; offset <= all.len; offset++)
			check_tail(&f, &all, offset);
	} else {
		for (int i = 0; i < 300; i++)
			check_tail(&f, &all, random_below(&state, (uint32_t)all.len + 1));
		/* Around every border between records, and around the end of the head. */
		for (size_t border = 0; border <= all.len; border += FRAME_RECORD_BYTES + FRAME_CONTENT_MAX)
			for (size_t offset = border < 10 ? 0 : border - 10; offset < border + 10; offset++)
				check_tail(&f, &all, offset < all.len ? offset : all.len);
		for (size_t offset = f.head.len; offset < f.head.len + 20 && offset < all.len; offset++)
			check_tail(&f, &all, offset);
		for (size_t back = 0; back < 40; back++)
			check_tail(&f, &all, all.len - back);
	}
	wire_free(&all);
}
END_TEST

START_TEST(nothing_is_left_at_and_behind_the_end)
{
	struct frame f = frame_of(sizes[_i].head, sizes[_i].body, 1);
	struct frame_scratch scratch;

	ck_assert_int_eq(frame_iov(&f, frame_length(&f), &scratch), 0);
	ck_assert_int_eq(frame_iov(&f, frame_length(&f) + 1, &scratch), 0);
	ck_assert_int_eq(frame_iov(&f, SIZE_MAX, &scratch), 0);
}
END_TEST

/* The records, read as a web server does, without the reference's help. */
START_TEST(records_are_well_formed)
{
	struct frame f = frame_of(1536, 400000, 0xABCD);
	struct wire all = {NULL, 0, 0};
	struct frame_scratch scratch;
	size_t content = 0;
	size_t at = 0;
	int count;

	while ((count = frame_iov(&f, all.len, &scratch)) > 0)
		for (int i = 0; i < count; i++)
			wire_add(&all, scratch.iov[i].iov_base, scratch.iov[i].iov_len);
	ck_assert_ptr_nonnull(all.bytes);
	for (;;) {
		const uint8_t *r = all.bytes + at;
		size_t len = (size_t)r[4] << 8 | r[5];

		ck_assert_uint_le(at + 8 + len, all.len);
		ck_assert_uint_eq(r[0], 1);
		ck_assert_uint_eq((unsigned)r[2] << 8 | r[3], 0xABCD);
		ck_assert_uint_eq(r[6], 0);
		at += 8 + len;
		if (r[1] == WIRE_END) {
			ck_assert_uint_eq(len, 8);
			ck_assert(memcmp(r + 8, "\0\0\0\0\0", 5) == 0); /* application status 0, FCGI_REQUEST_COMPLETE */
			break;
		}
		ck_assert_uint_eq(r[1], WIRE_STDOUT);
		content += len;
	}
	ck_assert_uint_eq(at, all.len);
	ck_assert_uint_eq(content, 1536 + 400000);
	wire_free(&all);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frame");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, describes_exactly_the_reference_encoding, 0, SIZES);
	tcase_add_loop_test(tc, resumes_at_every_offset, 0, SIZES);
	tcase_add_loop_test(tc, nothing_is_left_at_and_behind_the_end, 0, SIZES);
	tcase_add_test(tc, records_are_well_formed);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
