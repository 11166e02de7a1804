/*
 * Loaded before libc (LD_PRELOAD): the process whose id stands in $HANG_FILE hangs in its next recv, as a loop would that waits for something that never
 * comes. Signals still reach it.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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
