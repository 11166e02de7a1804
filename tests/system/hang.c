/*
 * Loaded before libc (LD_PRELOAD): the process whose id stands in $HANG_FILE hangs in its next recv, as a loop would that waits for something that never
 * comes. Signals still reach it. Where the file says "die", the first process that sends a large answer takes that out of it and is killed behind its sendmsg.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static bool is_meant(void)
{
	const char *name = getenv("HANG_FILE");
	FILE *f = name != NULL ? fopen(name, "r") : NULL;
	long pid = 0;

	if (f == NULL)
		return false;
	if (fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	(void)fclose(f);
	return pid == (long)getpid();
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "recv");
	while (is_meant())
		(void)pause();
	return real(fd, buffer, size, flags);
}

#define LARGE_BYTES 32768

static bool takes_order(void)
{
	const char *name = getenv("HANG_FILE");
	int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
	char order[8] = "";
	bool takes;

	if (fd < 0)
		return false;
	takes = flock(fd, LOCK_EX) == 0 && pread(fd, order, sizeof(order) - 1, 0) > 0 && strncmp(order, "die", 3) == 0 &&
		ftruncate(fd, 0) == 0;
	(void)close(fd);
	return takes;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static ssize_t (*real)(int, const struct msghdr *, int);
	ssize_t n;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
	n = real(fd, message, flags);
	if (n > LARGE_BYTES && takes_order())
		(void)kill(getpid(), SIGKILL);
	return n;
}
