#include "scoreboard_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* Opens it in vain; whoever only looks is told the same. */
static void open_refused(struct scoreboard *b, const char *why)
{
	bool is_there;

	ck_assert(!scoreboard_check(path, &is_there, reason));
	ck_assert(!is_there || strstr(why, "slot") != NULL);
	ck_assert_msg(strstr(reason, why) != NULL, "%s", reason);
	open_in_vain(b, why);
}

START_TEST(test_without_a_file_it_is_private)
{
	struct scoreboard a, b;

	ck_assert(scoreboard_open(&a, "", now, reason));
	ck_assert_str_eq(reason, "");
	ck_assert(scoreboard_open(&b, "", now, reason));
	ck_assert(!scoreboard_is_shared(&a));
	ck_assert_uint_eq(scoreboard_used(&a), 1);
	counter_add(&scoreboard_own(&a)->metrics.sent_bytes, 7);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&b)->metrics.sent_bytes), 0);
	scoreboard_close(&a);
	scoreboard_close(&b);
}
END_TEST

/* Two opens in one process are two open file descriptions: as good as two processes. */
START_TEST(test_each_has_a_slot_that_the_others_see)
{
	struct scoreboard b[3];
	struct stat st;

	for (unsigned i = 0; i < 3; i++) {
		open_shared(&b[i]);
		ck_assert_uint_eq(b[i].own, i);
		counter_add(&scoreboard_own(&b[i])->metrics.sent_bytes, 10 + i);
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(scoreboard_used(&b[i]), 3);
		ck_assert_int_eq(b[i].created_us, NOW_US);
		for (unsigned j = 0; j < 3; j++) {
			ck_assert(scoreboard_is_claimed(&b[i], j));
			ck_assert_uint_eq(counter_read(&scoreboard_slot(&b[i], j)->metrics.sent_bytes), 10 + j);
		}
		ck_assert(!scoreboard_is_claimed(&b[i], 3));
	}
	/* Nobody else may read it, and slots that no one has had take no room. */
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_lt(st.st_blocks * 512, 16 * 16384);
	scoreboard_close(&b[1]);
	ck_assert(!scoreboard_is_claimed(&b[0], 1));
	open_shared(&b[1]);
	ck_assert_uint_eq(b[1].own, 1);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&b[1])->metrics.sent_bytes), 11);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&b[1])->metrics.deaths), 0);
	for (unsigned i = 0; i < 3; i++)
		scoreboard_close(&b[i]);
}
END_TEST

START_TEST(test_a_dead_owner_s_slot_is_free_and_its_counters_stay)
{
	struct scoreboard b, successor;
	int ready[2], status;
	char byte;
	pid_t owner;

	open_shared(&b);
	ck_assert_int_eq(pipe(ready), 0);
	owner = fork();
	ck_assert_int_ge(owner, 0);
	if (owner == 0) {
		struct scoreboard own;

		if (!scoreboard_open(&own, path, now, reason) || own.own != 1)
			_exit(1);
		counter_add(&scoreboard_own(&own)->metrics.sent_bytes, 42);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert(scoreboard_is_claimed(&b, 1));
	ck_assert_uint_eq(counter_read(&scoreboard_slot(&b, 1)->gauges.pid), (uint64_t)owner);
	ck_assert_int_eq(kill(owner, SIGKILL), 0);
	ck_assert_int_eq(waitpid(owner, &status, 0), owner);
	ck_assert(!scoreboard_is_claimed(&b, 1));
	ck_assert_uint_eq(counter_read(&scoreboard_slot(&b, 1)->ended_well), 0);
	open_shared(&successor);
	ck_assert_uint_eq(successor.own, 1);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&successor)->metrics.sent_bytes), 42);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&successor)->metrics.deaths), 1);
	scoreboard_close(&successor);
	scoreboard_close(&b);
}
END_TEST

/* Many at once, each from its first instruction: nobody shares a slot. */
START_TEST(test_workers_that_start_together)
{
	enum { WORKERS = 24 };
	int slots[2], go[2];
	bool taken[WORKERS] = {false};
	pid_t pids[WORKERS];
	unsigned own;

	ck_assert(pipe(slots) == 0 && pipe(go) == 0);
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0) {
			struct scoreboard b;
			char byte;

			(void)close(go[1]);
			/* Its end starts all. */
			if (read(go[0], &byte, 1) != 0 || !scoreboard_open(&b, path, now, reason))
				_exit(1);
			own = scoreboard_is_shared(&b) ? b.own : WORKERS;
			if (write(slots[1], &own, sizeof(own)) != (ssize_t)sizeof(own))
				_exit(1);
			for (;;)
				(void)pause();
		}
	}
	(void)close(go[0]);
	(void)close(go[1]);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(read(slots[0], &own, sizeof(own)), sizeof(own));
		ck_assert_uint_lt(own, WORKERS);
		ck_assert(!taken[own]);
		taken[own] = true;
	}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
		ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
	}
}
END_TEST

START_TEST(test_another_version_in_use_is_left_alone)
{
	static const uint32_t other = 99;
	struct scoreboard old, b;

	open_shared(&old);
	write_file(&other, sizeof(other), LAYOUT_AT);
	counter_add(&scoreboard_own(&old)->metrics.sent_bytes, 3);
	open_refused(&b, "another version");
	ck_assert_uint_eq(counter_read(&scoreboard_own(&old)->metrics.sent_bytes), 3);
	scoreboard_close(&old);
	/* Nobody uses it any more. */
	open_shared(&b);
	ck_assert_uint_eq(counter_read(&scoreboard_own(&b)->metrics.sent_bytes), 0);
	scoreboard_close(&b);
}
END_TEST

START_TEST(test_another_size_in_use_is_left_alone)
{
	struct scoreboard old, b;
	struct stat st;

	open_shared(&old);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size + 4096), 0);
	open_refused(&b, "another version");
	scoreboard_close(&old);
	open_shared(&b);
	scoreboard_close(&b);
	ck_assert_int_eq(truncate(path, 4096), 0);
	open_shared(&b);
	scoreboard_close(&b);
}
END_TEST

/* A path given by mistake costs nobody a file. */
START_TEST(test_a_file_of_others_is_left_alone)
{
	static const char content[] = "precious";
	char kept[sizeof(content)] = "";
	struct scoreboard b;
	int fd;

	write_file(content, sizeof(content), 0);
	open_refused(&b, "another program's");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, kept, sizeof(kept)), sizeof(kept));
	ck_assert_str_eq(kept, content);
	(void)close(fd);
}
END_TEST

START_TEST(test_what_cannot_be_opened)
{
	struct scoreboard b;

	ck_assert_int_eq(mkdir(path, 0700), 0);
	open_refused(&b, "cannot be opened: Is a directory");
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	open_refused(&b, "no regular file");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/tmp/elsewhere", path), 0);
	open_refused(&b, "cannot be opened");
	ck_assert_int_eq(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/missing/board", dir);
	open_refused(&b, "cannot be opened: No such file");
	(void)snprintf(path, sizeof(path), "/proc/version"); /* read-only; root finds out when it writes */
	open_in_vain(&b, "");
}
END_TEST

/* Opens it while somebody else holds bytes of it; `len` 0: all from there on. */
static void open_refused_while_held(off_t start, off_t len, const char *why)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	struct scoreboard b;
	int fd;

	open_shared(&b);
	scoreboard_close(&b);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &l), 0);
	open_refused(&b, why);
	(void)close(fd);
}

/* Somebody holds the header and does not let go (a stopped process): starting must not hang. */
START_TEST(test_a_held_header_is_not_waited_for_long)
{
	open_refused_while_held(0, 1, "cannot be locked");
}
END_TEST

START_TEST(test_all_slots_taken)
{
	open_refused_while_held(4096, 0, "no free slot");
}
END_TEST

/* Killed between getting room for the header and writing it. */
START_TEST(test_a_file_that_was_not_finished_is_made_anew)
{
	static const char zeroes[4096];
	struct scoreboard b;

	write_file(zeroes, sizeof(zeroes), 0);
	open_shared(&b);
	scoreboard_close(&b);
	ck_assert_int_eq(unlink(path), 0);
	write_file("x", 1, sizeof(zeroes) - 1); /* somebody's all the same */
	open_refused(&b, "another program's");
	ck_assert_int_eq(unlink(path), 0);
	write_file(zeroes, sizeof(zeroes), sizeof(zeroes));
	open_refused(&b, "another program's");
}
END_TEST

/* The file may be older than the host's boot, with which monotonic time begins anew: a time in it may then be any. */
START_TEST(test_a_pool_that_begins_has_nothing_recent)
{
	struct scoreboard b[2];
	struct metrics m;

	for (unsigned i = 0; i < 2; i++) {
		open_shared(&b[i]);
		counter_add(&scoreboard_own(&b[i])->metrics.requests[METRICS_AGENTS][METRICS_200], 5);
	}
	scoreboard_close(&b[1]);
	ck_assert_int_eq(slot_recent(scoreboard_slot(&b[0], 1), UP_US + 1, &m), 1);
	open_shared(&b[1]); /* while the first is at work nothing is forgotten: of its own slot neither */
	ck_assert_int_eq(slot_recent(scoreboard_slot(&b[1], 0), UP_US + 1, &m), 1);
	ck_assert_uint_eq(metrics_requests(&m, 0), 5);
	for (unsigned i = 0; i < 2; i++)
		scoreboard_close(&b[i]);
	open_shared(&b[0]);
	ck_assert_int_eq(slot_recent(scoreboard_slot(&b[0], 0), UP_US + 1, &m), 1);
	ck_assert_uint_eq(metrics_requests(&m, 0), 0);
	ck_assert_int_eq(slot_recent(scoreboard_slot(&b[0], 1), UP_US + 1, &m), 0);
	ck_assert_uint_eq(counter_read(&scoreboard_slot(&b[0], 1)->metrics.requests[METRICS_AGENTS][METRICS_200]), 5);
	scoreboard_close(&b[0]);
}
END_TEST

/* --- looked at without a worker --- */

/* The first bytes of the file, which hold its header and first slots, and the room that it takes. */
struct look {
	char bytes[65536];
	struct stat st;
};

static void look_at_file(struct look *l)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(l, 0, sizeof(*l));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(pread(fd, l->bytes, sizeof(l->bytes), 0), 0);
	ck_assert_int_eq(fstat(fd, &l->st), 0);
	(void)close(fd);
}

/* It could be used, and is as it was before. */
static void check_finds(bool there)
{
	static struct look before, after;
	unsigned descriptors = entries("/proc/self/fd");
	bool is_there;

	look_at_file(&before);
	ck_assert_msg(scoreboard_check(path, &is_there, reason), "%s", reason);
	ck_assert_str_eq(reason, "");
	ck_assert_int_eq(is_there, there);
	look_at_file(&after);
	ck_assert_int_eq(memcmp(before.bytes, after.bytes, sizeof(before.bytes)), 0);
	ck_assert_int_eq(after.st.st_size, before.st.st_size);
	ck_assert_int_eq(after.st.st_blocks, before.st.st_blocks);
	ck_assert_uint_eq(entries("/proc/self/fd"), descriptors);
}

START_TEST(test_a_check_leaves_no_file)
{
	bool is_there = true;
	unsigned before = entries(dir);

	ck_assert_msg(scoreboard_check(path, &is_there, reason), "%s", reason);
	ck_assert_str_eq(reason, "");
	ck_assert(!is_there);
	ck_assert_uint_eq(entries(dir), before);
	/* A name alone is one in this folder. */
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_msg(scoreboard_check("board", &is_there, reason), "%s", reason);
	ck_assert_uint_eq(entries(dir), before);
}
END_TEST

START_TEST(test_a_check_takes_no_slot_of_a_pool)
{
	struct scoreboard b[2];

	open_shared(&b[0]);
	check_finds(true);
	ck_assert_uint_eq(scoreboard_used(&b[0]), 1);
	open_shared(&b[1]);
	ck_assert_uint_eq(b[1].own, 1);
	scoreboard_close(&b[1]);
	scoreboard_close(&b[0]);
	check_finds(true); /* nor of one that is to come */
	open_shared(&b[0]);
	ck_assert_uint_eq(b[0].own, 0);
	scoreboard_close(&b[0]);
}
END_TEST

START_TEST(test_a_check_leaves_an_old_file_to_the_worker)
{
	static const uint32_t other = 99;
	static const char zeroes[4096];
	struct scoreboard b;

	open_shared(&b);
	scoreboard_close(&b);
	write_file(&other, sizeof(other), LAYOUT_AT);
	check_finds(false);
	ck_assert_int_eq(unlink(path), 0);
	write_file(zeroes, sizeof(zeroes), 0);
	check_finds(false);
	ck_assert_int_eq(truncate(path, 0), 0);
	check_finds(false);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_without_a_file_it_is_private);
	tcase_add_test(tc, test_each_has_a_slot_that_the_others_see);
	tcase_add_test(tc, test_a_dead_owner_s_slot_is_free_and_its_counters_stay);
	tcase_add_test(tc, test_workers_that_start_together);
	tcase_add_test(tc, test_another_version_in_use_is_left_alone);
	tcase_add_test(tc, test_another_size_in_use_is_left_alone);
	tcase_add_test(tc, test_a_file_of_others_is_left_alone);
	tcase_add_test(tc, test_what_cannot_be_opened);
	tcase_add_test(tc, test_a_held_header_is_not_waited_for_long);
	tcase_add_test(tc, test_all_slots_taken);
	tcase_add_test(tc, test_a_file_that_was_not_finished_is_made_anew);
	tcase_add_test(tc, test_a_pool_that_begins_has_nothing_recent);
	tcase_add_test(tc, test_a_check_leaves_no_file);
	tcase_add_test(tc, test_a_check_takes_no_slot_of_a_pool);
	tcase_add_test(tc, test_a_check_leaves_an_old_file_to_the_worker);
}

int main(void)
{
	return suite_run("scoreboard", make_folder, teardown, add_tests);
}
