/* wrap: open faccessat fcntl ftruncate posix_fallocate pwrite mmap calloc */
/*
 * What the system may refuse a worker that opens its scoreboard: it serves without, says why, and spoils nothing for the next.
 */
#include "scoreboard_fixture.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum call { NO_CALL, FTRUNCATE, FALLOCATE, PWRITE, MMAP, LOCK, CALLOC };

static enum call failing;
static int calls_left; /* of it, before the one that fails */
static int failure;    /* errno; 0: it does half of what it should */
static bool no_unnamed_files;
static int no_access; /* errno */

static bool fails(enum call call)
{
	if (failing != call || calls_left-- != 0)
		return false;
	errno = failure;
	return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the names that ld --wrap wants */
int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __real_faccessat(int fd, const char *name, int mode, int flags);
int __wrap_faccessat(int fd, const char *name, int mode, int flags);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_posix_fallocate(int fd, off_t offset, off_t len);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len);
ssize_t __real_pwrite(int fd, const void *p, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t at);
void *__real_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

int __wrap_open(const char *name, int flags, ...)
{
	if (no_unnamed_files && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_open(name, flags, 0600);
}

int __wrap_faccessat(int fd, const char *name, int mode, int flags)
{
	if (no_access == 0)
		return __real_faccessat(fd, name, mode, flags);
	errno = no_access;
	return -1;
}

int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	void *lock;

	va_start(args, command);
	lock = va_arg(args, void *);
	va_end(args);
	return command == F_OFD_SETLK && fails(LOCK) ? -1 : __real_fcntl(fd, command, lock);
}

int __wrap_ftruncate(int fd, off_t len)
{
	return fails(FTRUNCATE) ? -1 : __real_ftruncate(fd, len);
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t len)
{
	return fails(FALLOCATE) ? failure : __real_posix_fallocate(fd, offset, len);
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t at)
{
	if (!fails(PWRITE))
		return __real_pwrite(fd, p, len, at);
	return failure == 0 ? __real_pwrite(fd, p, len / 2, at) : -1;
}

void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	return fails(MMAP) ? MAP_FAILED : __real_mmap(at, len, protection, flags, fd, offset);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails(CALLOC) ? NULL : __real_calloc(count, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void setup(void)
{
	failing = NO_CALL;
	no_unnamed_files = false;
	no_access = 0;
	make_folder();
}

static const struct fault {
	enum call call;
	int before; /* calls that succeed */
	int failure;
	const char *why;
	bool by_lock; /* of these, a look needs only that of a slot */
} faults[] = {
	{FTRUNCATE, 0, EPERM, "cannot be emptied: Operation not permitted", false},
	{FALLOCATE, 0, ENOSPC, "has no room: No space left on device", false},
	{PWRITE, 0, EIO, "cannot be written: Input/output error", false},
	{PWRITE, 0, 0, "cannot be written", false},
	{FTRUNCATE, 1, EFBIG, "cannot be made as large as it has to be: File too large", false},
	{MMAP, 0, ENOMEM, "cannot be mapped: Cannot allocate memory", false},
	{FALLOCATE, 1, ENOSPC, "has no room: No space left on device", false},
	{LOCK, 0, ENOLCK, "cannot be locked: No locks available", true},   /* the header */
	{LOCK, 1, ENOLCK, "cannot be locked: No locks available", true},   /* the slot */
	{LOCK, 2, ENOLCK, "cannot be unlocked: No locks available", true}, /* the header again */
};
#define FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static void prepare(const struct fault *f)
{
	failing = f->call;
	calls_left = f->before;
	failure = f->failure;
}

/* The file did not exist, or is an old one. */
START_TEST(a_fault_costs_the_scoreboard_only_while_it_lasts)
{
	const struct fault *f = &faults[_i % FAULTS];
	static const uint32_t other = 99;
	struct scoreboard b;
	bool is_there, usable;

	if (_i >= FAULTS) {
		open_shared(&b);
		scoreboard_close(&b);
		write_file(&other, sizeof(other), LAYOUT_AT);
	}
	prepare(f);
	open_in_vain(&b, f->why);
	if (_i < FAULTS) {
		ck_assert_int_eq(unlink(path), 0);
		prepare(f);
		usable = f->by_lock && f->before != 0;
		ck_assert_int_eq(scoreboard_check(path, &is_there, reason), usable);
		if (!usable)
			ck_assert_msg(strstr(reason, f->why) != NULL, "%s", reason);
	}
	failing = NO_CALL;
	open_shared(&b);
	ck_assert_uint_eq(b.own, 0);
	ck_assert_uint_eq(scoreboard_used(&b), 1);
	scoreboard_close(&b);
}
END_TEST

/* A signal that comes while the kernel looks for memory is no lack of it. */
START_TEST(an_interrupted_call_is_made_again)
{
	struct scoreboard b;

	prepare(&(struct fault){.call = FALLOCATE, .before = _i, .failure = EINTR});
	open_shared(&b);
	ck_assert_int_lt(calls_left, 0);
	scoreboard_close(&b);
}
END_TEST

/* A limit of the process, as ulimit -f sets it; the signal is ignored by then (main.c). */
START_TEST(a_limit_of_file_sizes_is_a_fault)
{
	const struct rlimit small = {1 << 20, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
	struct scoreboard b;
	bool is_there;

	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert(!scoreboard_check(path, &is_there, reason));
	ck_assert_ptr_nonnull(strstr(reason, "File too large"));
	open_in_vain(&b, "cannot be made as large as it has to be: File too large");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	open_shared(&b);
	scoreboard_close(&b);
}
END_TEST

/* The pool's user may not write the file, or make one in its folder. 0, or the line of what went wrong. */
static int denied_as_nobody(void)
{
	struct scoreboard b;
	bool is_there;

	if (geteuid() == 0 && setuid(65534) != 0)
		return __LINE__;
	if (!scoreboard_open(&b, path, now, reason) || scoreboard_is_shared(&b) ||
	    strcmp(reason, "cannot be opened: Permission denied") != 0)
		return __LINE__;
	scoreboard_close(&b);
	if (scoreboard_check(path, &is_there, reason) || strcmp(reason, "cannot be opened: Permission denied") != 0)
		return __LINE__;
	return 0;
}

START_TEST(a_file_or_folder_that_may_not_be_written)
{
	struct scoreboard b;
	int status;
	pid_t pid;

	if (_i == 0) {
		open_shared(&b);
		scoreboard_close(&b);
		ck_assert_int_eq(chmod(path, 0444), 0);
	}
	ck_assert_int_eq(chmod(dir, 0555), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(denied_as_nobody() & 0xff);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(chmod(dir, 0700), 0);
}
END_TEST

/* Not even memory for one slot: the worker cannot start. */
START_TEST(without_memory_there_is_none)
{
	struct scoreboard b;

	failing = CALLOC;
	calls_left = 0;
	ck_assert(!scoreboard_open(&b, "", now, reason));
}
END_TEST

/* Where the file system has no files without a name, the folder's mode must do. */
START_TEST(a_check_without_unnamed_files)
{
	unsigned before = entries(dir);
	bool is_there;

	no_unnamed_files = true;
	ck_assert(scoreboard_check(path, &is_there, reason));
	ck_assert(!is_there);
	no_access = EROFS;
	ck_assert(!scoreboard_check(path, &is_there, reason));
	ck_assert_str_eq(reason, "cannot be opened: Read-only file system");
	ck_assert_uint_eq(entries(dir), before);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, a_fault_costs_the_scoreboard_only_while_it_lasts, 0, 2 * FAULTS);
	tcase_add_loop_test(tc, an_interrupted_call_is_made_again, 0, 2);
	tcase_add_test(tc, a_limit_of_file_sizes_is_a_fault);
	tcase_add_loop_test(tc, a_file_or_folder_that_may_not_be_written, 0, 2);
	tcase_add_test(tc, without_memory_there_is_none);
	tcase_add_test(tc, a_check_without_unnamed_files);
}

int main(void)
{
	return suite_run("scoreboard_faults", setup, teardown, add_tests);
}
