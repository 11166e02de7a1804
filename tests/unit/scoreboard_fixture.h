/*
 * scoreboard_fixture: a path for a scoreboard, and workers that use it or find that they cannot. Two opens in one process are two open file descriptions:
 * as good as two processes.
 */
#ifndef TESTS_SCOREBOARD_FIXTURE_H
#define TESTS_SCOREBOARD_FIXTURE_H

#include "scoreboard.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_US 1700000000000000LL

/* The host has been up for as long. */
#define UP_US 1000000000LL

static const struct moment now = {UP_US, NOW_US};

static char dir[64];
static char path[80];
static char reason[SCOREBOARD_REASON_BYTES];

static inline void make_folder(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/scoreboard-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/board", dir);
}

static inline void teardown(void)
{
	(void)unlink(path);
	(void)rmdir(dir);
}

static inline void open_shared(struct scoreboard *b)
{
	ck_assert(scoreboard_open(b, path, now, reason));
	ck_assert_str_eq(reason, "");
	ck_assert(scoreboard_is_shared(b));
}

static inline unsigned entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

/* Opens it in vain: the worker has one of its own, knows why, and has left nothing open. */
static inline void open_in_vain(struct scoreboard *b, const char *why)
{
	unsigned descriptors = entries("/proc/self/fd");

	ck_assert(scoreboard_open(b, path, now, reason));
	ck_assert(!scoreboard_is_shared(b));
	ck_assert_str_ne(reason, "");
	ck_assert_msg(strstr(reason, why) != NULL, "%s", reason);
	ck_assert_uint_eq(scoreboard_used(b), 1);
	ck_assert(scoreboard_is_claimed(b, 0));
	counter_add(&scoreboard_own(b)->metrics.sent_bytes, 1);
	scoreboard_close(b);
	ck_assert_uint_eq(entries("/proc/self/fd"), descriptors);
}

static inline void write_file(const void *p, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, p, len, at), (ssize_t)len);
	(void)close(fd);
}

/* The layout's number stands behind the magic text. */
#define LAYOUT_AT 24

#endif
