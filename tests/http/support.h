/*
 * support: what every test here needs: growable bytes, time, waits with a deadline, files, the environment that tests/run gives.
 *
 * Nothing here asserts unless it says so, so that helper threads may call it (a Check assertion must stay on the test's own thread).
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How long a condition may take on a busy machine before a test gives up. Never the time that a test is expected to take. */
#define PATIENCE_MS 60000
#define CASE_TIMEOUT_SECONDS 180

/* Bytes that grow; p[len] is always NUL once anything was appended. Zero-initialised is empty. */
struct bytes {
	char *p;
	size_t len;
	size_t cap;
};

void bytes_append(struct bytes *b, const void *p, size_t len);
void bytes_text(struct bytes *b, const char *z);
void bytes_printf(struct bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `len` bytes. */
void bytes_consume(struct bytes *b, size_t len);
void bytes_free(struct bytes *b);
#define BYTES __attribute__((cleanup(bytes_free))) struct bytes

int64_t now_ms(void);
void pause_ms(int ms);

/* Waits until `condition` holds, looking every few milliseconds; fails the test after PATIENCE_MS. */
#define WAIT_FOR(condition)                                                                                                      \
	for (int64_t wait_until_ms = now_ms() + PATIENCE_MS; !(condition); pause_ms(5))                                          \
		ck_assert_msg(now_ms() < wait_until_ms, "waited in vain for: %s", #condition);

/* A variable of the environment; ends the test where it is missing. */
const char *env_need(const char *name);

/* A file's content, appended to `b`. False when it can't be read. */
bool file_read(const char *path, struct bytes *b);
/* The same; asserts. */
void file_need(const char *path, struct bytes *b);
size_t file_size(const char *path);
/* A file below the folders that tests/run names: "agents.json" in $GOLDEN_DIR. Asserts. */
void golden_read(const char *name, struct bytes *b);

/* Runs a shell command; its exit status. */
int shell(const char *command);

/* Sockets. Each returns -1 or false on failure, with errno set. */
int unix_connect(const char *path);
int unix_listen(const char *path);
bool send_all(int fd, const void *p, size_t len);
/* Appends what arrives next. Bytes read; 0 at the end of the stream; -1 with errno (ETIMEDOUT after `timeout_ms`). */
ssize_t receive(int fd, struct bytes *in, int timeout_ms);
/* True when the peer closes the connection (or resets it) by the deadline; what it sent before is appended to `in` (may be NULL). */
bool closed_by_peer(int fd, struct bytes *in, int timeout_ms);
/* True when the peer of a Unix socket has read everything that was sent. */
bool all_read_by_peer(int fd);

/* Number of occurrences of `needle` in a text. */
size_t count_of(const char *text, const char *needle);

/* Runs one suite as the only one of the program, as CK_… variables say; the exit status of main. */
int run_suite(Suite *suite);

/* One test case with one timeout for all its tests, added to the suite. */
TCase *add_case(Suite *suite, const char *name);

#endif
