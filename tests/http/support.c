#include "support.h"

#include <curl/curl.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void bytes_append(struct bytes *b, const void *p, size_t len)
{
	if (b->len + len + 1 > b->cap) {
		size_t cap = (b->len + len + 1) * 2;
		char *grown = realloc(b->p, cap);

		if (grown == NULL)
			abort();
		b->p = grown;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
	b->p[b->len] = '\0';
}

void bytes_text(struct bytes *b, const char *z)
{
	bytes_append(b, z, strlen(z));
}

void bytes_printf(struct bytes *b, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	bytes_text(b, text);
	free(text);
}

void bytes_consume(struct bytes *b, size_t len)
{
	if (len > 0) {
		memmove(b->p, b->p + len, b->len - len + 1);
		b->len -= len;
	}
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

int64_t now_ms(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
		abort();
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void pause_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR) {
	}
}

const char *env_need(const char *name)
{
	const char *value = getenv(name);

	ck_assert_msg(value != NULL && value[0] != '\0', "%s is not set: start these tests with tests/run", name);
	return value;
}

bool file_read(const char *path, struct bytes *b)
{
	FILE *f = fopen(path, "rbe");
	char block[8192];
	size_t n;

	if (f == NULL)
		return false;
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		bytes_append(b, block, n);
	bool good = !ferror(f);

	(void)fclose(f);
	bytes_append(b, "", 0);
	return good;
}

void file_need(const char *path, struct bytes *b)
{
	ck_assert_msg(file_read(path, b), "can't read %s: %s", path, strerror(errno));
}

size_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

void golden_read(const char *name, struct bytes *b)
{
	BYTES path = {0};

	bytes_printf(&path, "%s/%s", env_need("GOLDEN_DIR"), name);
	file_need(path.p, b);
}

int shell(const char *command)
{
	int status = system(command); /* NOLINT(cert-env33-c): the stack's own commands, handed over by tests/run */

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool unix_address(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address->sun_path) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(address->sun_path, path, strlen(path) + 1);
	return true;
}

int unix_connect(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_address(path, &address) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int unix_listen(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_address(path, &address) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

	if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool send_all(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

ssize_t receive(int fd, struct bytes *in, int timeout_ms)
{
	char block[65536];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t end_ms = now_ms() + timeout_ms;

	for (;;) {
		int64_t left_ms = end_ms - now_ms();
		int ready = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);

		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (ready > 0)
			break;
		if (errno != EINTR)
			return -1;
	}
	ssize_t n = recv(fd, block, sizeof block, 0);

	if (n > 0 && in != NULL)
		bytes_append(in, block, (size_t)n);
	return n;
}

bool closed_by_peer(int fd, struct bytes *in, int timeout_ms)
{
	int64_t end_ms = now_ms() + timeout_ms;
	ssize_t n;

	do {
		int64_t left_ms = end_ms - now_ms();

		n = receive(fd, in, left_ms > 0 ? (int)left_ms : 0);
	} while (n > 0);
	return n == 0 || errno == ECONNRESET || errno == EPIPE;
}

bool all_read_by_peer(int fd)
{
	int unread = -1;

	return ioctl(fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

size_t count_of(const char *text, const char *needle)
{
	size_t n = 0;

	if (text == NULL)
		return 0;
	for (const char *at = strstr(text, needle); at != NULL; at = strstr(at + strlen(needle), needle))
		n++;
	return n;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	(void)signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_FAILURE;
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	int ran = srunner_ntests_run(runner);

	srunner_free(runner);
	curl_global_cleanup();
	return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

TCase *add_case(Suite *suite, const char *name)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, CASE_TIMEOUT_SECONDS);
	suite_add_tcase(suite, c);
	return c;
}
