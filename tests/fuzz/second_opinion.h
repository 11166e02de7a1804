/*
 * second_opinion: has the installed libfcgi parse bytes from a file, where a read that goes too far sees the end instead of blocking.
 */
#ifndef TESTS_SECOND_OPINION_H
#define TESTS_SECOND_OPINION_H

#include <fcgiapp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* A memory file for second_opinion; the caller closes it. -1 on failure. */
static inline int second_opinion_open(void)
{
	return FCGX_Init() == 0 ? memfd_create("request", MFD_CLOEXEC) : -1;
}

/* What is amiss when libfcgi takes the bytes for one whole request, NULL when nothing is. `pairs` (or NULL) gets the parameters it found. */
static inline const char *second_opinion(int file, const uint8_t *bytes, size_t len, unsigned *pairs)
{
	const char *amiss = NULL;
	FCGX_Request r;
	unsigned n = 0;
	char sink[512];
	int fd;

	if (ftruncate(file, 0) != 0 || pwrite(file, bytes, len, 0) != (ssize_t)len || lseek(file, 0, SEEK_SET) != 0)
		return "the file could not be written";
	fd = dup(file); /* libfcgi closes it when the request is bad */
	if (fd < 0 || FCGX_InitRequest(&r, -1, 0) != 0)
		return "no request";
	r.ipcFd = fd;
	r.keepConnection = 1;
	if (FCGX_Accept_r(&r) != 0)
		return "FCGX_Accept_r refused it";
	while (FCGX_GetStr(sink, sizeof(sink), r.in) > 0)
		;
	if (FCGX_GetError(r.in) != 0)
		amiss = "STDIN ended with an error";
	else if (lseek(file, 0, SEEK_CUR) != (off_t)len)
		amiss = "the request ended before its bytes did";
	while (r.envp[n] != NULL)
		n++;
	if (pairs != NULL)
		*pairs = n - 1; /* it adds FCGI_ROLE */
	FCGX_Free(&r, 0);
	(void)close(fd);
	return amiss;
}

#endif
