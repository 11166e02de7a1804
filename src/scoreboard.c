#include "scoreboard.h"

#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "agents-fcgi board"
#define LAYOUT 2 /* changes when struct slot, or what stands in it, does */

struct header {
	char magic[24];
	uint32_t layout;
	uint32_t slot_bytes;
	uint32_t slots;
	uint32_t unused;
	int64_t created_us;
	counter used; /* slots that have been claimed */
};

#define PAGE ((size_t)4096)
#define SLOT_BYTES ((sizeof(struct slot) + PAGE - 1) / PAGE * PAGE)
#define FILE_BYTES (PAGE + SCOREBOARD_SLOTS * SLOT_BYTES)

_Static_assert(sizeof(struct header) <= PAGE, "the header has a page");
_Static_assert(_Alignof(struct slot) <= PAGE, "slots begin with a page");
_Static_assert(sizeof(counter) == sizeof(uint64_t) && ATOMIC_LLONG_LOCK_FREE == 2, "counters are plain words");

/* Another worker that makes the file, or claims a slot, needs no longer than this. */
#define LOCK_TRIES 200
#define LOCK_WAIT_NS 5000000L

static off_t slot_offset(unsigned index)
{
	return (off_t)(PAGE + index * SLOT_BYTES);
}

/* Locks bytes of the file for this open file description; false with errno EAGAIN when another has them. */
static bool lock_bytes(int fd, short type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, F_OFD_SETLK, &l) == 0;
}

/* Whether another open file description has any of the bytes locked. */
static bool is_locked(int fd, off_t start, off_t len)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* The header's first byte is the lock of whoever makes the file or claims a slot. */
static bool lock_header(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		const struct timespec wait = {.tv_nsec = LOCK_WAIT_NS};

		if (lock_bytes(fd, F_WRLCK, 0, 1))
			return true;
		if (errno != EAGAIN && errno != EACCES)
			return false;
		(void)nanosleep(&wait, NULL);
	}
	errno = ETIMEDOUT;
	return false;
}

/* errno in words. False, for the caller to return. */
static bool failed(char reason[SCOREBOARD_REASON_BYTES], const char *what)
{
	(void)snprintf(reason, SCOREBOARD_REASON_BYTES, "%s: %s", what, strerror(errno));
	return false;
}

static bool refused(char reason[SCOREBOARD_REASON_BYTES], const char *why)
{
	(void)snprintf(reason, SCOREBOARD_REASON_BYTES, "%s", why);
	return false;
}

/* Memory that cannot be had must be refused now: later, a write to it would be a SIGBUS. False with errno. */
static bool allocate(int fd, off_t start, size_t len)
{
	int error;

	do
		error = posix_fallocate(fd, start, (off_t)len);
	while (error == EINTR); /* stopped and continued meanwhile: memory's file systems give up for that */
	errno = error;
	return error == 0;
}

/* A new file, or an old one that is to be as new. The header comes last but one: a file that is cut short is seen to be. */
static bool make_file(int fd, int64_t wall_us, char reason[SCOREBOARD_REASON_BYTES])
{
	const struct header h = {
		.magic = MAGIC, .layout = LAYOUT, .slot_bytes = SLOT_BYTES, .slots = SCOREBOARD_SLOTS, .created_us = wall_us};

	if (ftruncate(fd, 0) != 0)
		return failed(reason, "cannot be emptied");
	if (!allocate(fd, 0, PAGE))
		return failed(reason, "has no room");
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return failed(reason, "cannot be written");
	if (ftruncate(fd, (off_t)FILE_BYTES) != 0)
		return failed(reason, "cannot be made as large as it has to be");
	return true;
}

/* A page without a bit set, and nothing else: whoever began to make the file was killed before the header stood in it. */
static bool is_half_made(int fd, off_t size)
{
	static const char zeroes[PAGE];
	char page[PAGE];

	return size == (off_t)PAGE && pread(fd, page, PAGE, 0) == (ssize_t)PAGE && memcmp(page, zeroes, PAGE) == 0;
}

/* Whether the file is a scoreboard of ours, or may become one: `is_ours` says which. Changes nothing. */
static bool judge_file(int fd, bool *is_ours, char reason[SCOREBOARD_REASON_BYTES])
{
	struct header h = {0};
	struct stat st;

	*is_ours = false;
	if (fstat(fd, &st) != 0)
		return failed(reason, "cannot be examined");
	if (!S_ISREG(st.st_mode))
		return refused(reason, "is no regular file");
	if (st.st_size == 0 || is_half_made(fd, st.st_size))
		return true;
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || memcmp(h.magic, MAGIC, sizeof(MAGIC)) != 0)
		return refused(reason, "is another program's file; it was left as it is");
	*is_ours = h.layout == LAYOUT && h.slot_bytes == SLOT_BYTES && h.slots == SCOREBOARD_SLOTS &&
		   st.st_size == (off_t)FILE_BYTES;
	if (!*is_ours && is_locked(fd, (off_t)PAGE, 0))
		return refused(reason, "is of another version, whose workers still use it; restart the whole pool");
	return true;
}

/* Sees to it that the file is a scoreboard of ours. The header is locked. */
static bool check_file(int fd, int64_t wall_us, char reason[SCOREBOARD_REASON_BYTES])
{
	bool is_ours;

	return judge_file(fd, &is_ours, reason) && (is_ours || make_file(fd, wall_us, reason));
}

static struct header *header_of(const struct scoreboard *b)
{
	return b->map;
}

/* A pool begins. The header is locked. */
static void forget_recent(const struct scoreboard *b)
{
	for (unsigned i = 0; i < scoreboard_used(b); i++)
		slot_forget_recent(scoreboard_slot(b, i));
}

/* Gives the first slot that is free memory, and locks it. The header is locked, so nobody else does. */
static bool claim(struct scoreboard *b, char reason[SCOREBOARD_REASON_BYTES])
{
	for (b->own = 0; b->own < SCOREBOARD_SLOTS; b->own++) {
		if (is_locked(b->fd, slot_offset(b->own), 1))
			continue;
		if (!allocate(b->fd, slot_offset(b->own), SLOT_BYTES))
			return failed(reason, "has no room");
		slot_vacate(scoreboard_own(b)); /* before the lock says that it is a worker's */
		if (!lock_bytes(b->fd, F_WRLCK, slot_offset(b->own), 1))
			return failed(reason, "cannot be locked");
		if (b->own >= counter_read(&header_of(b)->used))
			counter_set(&header_of(b)->used, b->own + 1);
		return true;
	}
	return refused(reason, "has no free slot");
}

static bool map_file(struct scoreboard *b, char reason[SCOREBOARD_REASON_BYTES])
{
	b->map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	if (b->map == MAP_FAILED) {
		b->map = NULL;
		return failed(reason, "cannot be mapped");
	}
	b->slots = (char *)b->map + PAGE;
	return true;
}

#define OPEN_FLAGS (O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

static bool open_file(struct scoreboard *b, const char *path, int64_t wall_us, char reason[SCOREBOARD_REASON_BYTES])
{
	b->fd = open(path, OPEN_FLAGS | O_CREAT, 0600);
	if (b->fd < 0)
		return failed(reason, "cannot be opened");
	if (!lock_header(b->fd))
		return failed(reason, "cannot be locked");
	if (!check_file(b->fd, wall_us, reason))
		return false;
	if (!map_file(b, reason))
		return false;
	b->created_us = header_of(b)->created_us;
	if (!is_locked(b->fd, (off_t)PAGE, 0))
		forget_recent(b);
	if (!claim(b, reason))
		return false;
	return lock_bytes(b->fd, F_UNLCK, 0, 1) || failed(reason, "cannot be unlocked");
}

/* Also gives up what was locked. */
static void close_file(struct scoreboard *b)
{
	if (b->map != NULL)
		(void)munmap(b->map, FILE_BYTES);
	if (b->fd >= 0)
		(void)close(b->fd);
	b->map = NULL;
	b->fd = -1;
}

bool scoreboard_open(struct scoreboard *b, const char *path, struct moment now, char reason[SCOREBOARD_REASON_BYTES])
{
	*b = (struct scoreboard){.fd = -1, .created_us = now.wall_us};
	reason[0] = '\0';
	if (path[0] == '\0' || !open_file(b, path, now.wall_us, reason)) {
		close_file(b);
		b->own = 0;
		b->created_us = now.wall_us;
		b->slots = calloc(1, SLOT_BYTES);
		if (b->slots == NULL)
			return false;
	}
	slot_begin(scoreboard_own(b), (uint64_t)getpid(), now, AGENTS_FCGI_VERSION);
	return true;
}

/* --- without a worker --- */

/* Waits as long as a worker would, but holds nothing. */
static bool header_is_free(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		const struct timespec wait = {.tv_nsec = LOCK_WAIT_NS};

		if (!is_locked(fd, 0, 1))
			return true;
		(void)nanosleep(&wait, NULL);
	}
	errno = ETIMEDOUT;
	return false;
}

static bool has_free_slot(int fd)
{
	unsigned i = 0;

	while (i < SCOREBOARD_SLOTS && is_locked(fd, slot_offset(i), 1))
		i++;
	return i < SCOREBOARD_SLOTS;
}

static bool check_existing(struct scoreboard *b, bool *is_there, char reason[SCOREBOARD_REASON_BYTES])
{
	if (!header_is_free(b->fd))
		return failed(reason, "cannot be locked");
	if (!judge_file(b->fd, is_there, reason))
		return false;
	if (!has_free_slot(b->fd))
		return refused(reason, "has no free slot");
	return map_file(b, reason);
}

/* Makes one that has no name and is gone when it is closed, with room for a worker. */
static bool check_new(struct scoreboard *b, const char *path, char reason[SCOREBOARD_REASON_BYTES])
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";

	if (slash != NULL)
		(void)snprintf(folder, sizeof(folder), "%.*s", slash > path ? (int)(slash - path) : 1, path);
	b->fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (b->fd >= 0)
		return make_file(b->fd, 0, reason) && map_file(b, reason) && claim(b, reason);
	/* Not every file system has such files. */
	if (errno == EOPNOTSUPP && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	return failed(reason, "cannot be opened");
}

bool scoreboard_check(const char *path, bool *is_there, char reason[SCOREBOARD_REASON_BYTES])
{
	struct scoreboard b = {.fd = open(path, OPEN_FLAGS)};
	bool usable;

	*is_there = false;
	reason[0] = '\0';
	if (b.fd >= 0)
		usable = check_existing(&b, is_there, reason);
	else if (errno == ENOENT)
		usable = check_new(&b, path, reason);
	else
		usable = failed(reason, "cannot be opened");
	close_file(&b);
	return usable;
}

/* --- the end --- */

void scoreboard_close(struct scoreboard *b)
{
	counter_set(&scoreboard_own(b)->ended_well, 1);
	if (scoreboard_is_shared(b))
		close_file(b);
	else
		free(b->slots);
	b->slots = NULL;
}

struct slot *scoreboard_slot(const struct scoreboard *b, unsigned index)
{
	return (struct slot *)(void *)(b->slots + index * SLOT_BYTES);
}

unsigned scoreboard_used(const struct scoreboard *b)
{
	uint64_t used = scoreboard_is_shared(b) ? counter_read(&header_of(b)->used) : 1;

	return used < SCOREBOARD_SLOTS ? (unsigned)used : SCOREBOARD_SLOTS;
}

bool scoreboard_is_claimed(const struct scoreboard *b, unsigned index)
{
	/* The kernel does not tell of our own lock. */
	return index == b->own || is_locked(b->fd, slot_offset(index), 1);
}
