#include "fcgi.h"

#include <fcgiapp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct fcgi {
	FCGX_Request request;
	int memory_fd; /* for requests that were read into memory: libfcgi takes its input from a descriptor; -1 when it took that with it */
};

static int new_memory(void)
{
	return memfd_create("fcgi-request", MFD_CLOEXEC);
}

struct fcgi *fcgi_new(void)
{
	struct fcgi *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	/* Now: when a request needs it, there may be no descriptor left. */
	f->memory_fd = new_memory();
	/* Listen socket -1: should libfcgi ever want another connection, its accept fails at once instead of blocking. */
	if (FCGX_Init() != 0 || FCGX_InitRequest(&f->request, -1, 0) != 0) {
		fcgi_free(f);
		return NULL;
	}
	return f;
}

void fcgi_free(struct fcgi *f)
{
	if (f == NULL)
		return;
	if (f->memory_fd >= 0)
		(void)close(f->memory_fd);
	free(f);
}

/* Reads STDIN to its end: what is left of it would stand before the connection's next request. */
static void drain_stdin(FCGX_Request *r)
{
	char scrap[4096];

	while (FCGX_GetStr(scrap, sizeof(scrap), r->in) > 0)
		;
}

static struct str param(const FCGX_Request *r, const char *name)
{
	return str_of(FCGX_GetParam(name, r->envp));
}

static bool parse(struct fcgi *f, int fd, struct fcgi_params *params)
{
	FCGX_Request *r = &f->request;

	/*
	 * FCGX_Accept_r first finishes "the last request", which closes ipcFd unless keepConnection is set; then it reads from ipcFd, where
	 * that is a connection, instead of accepting one. Detached, its close on a protocol error does not wait up to 2 s for the peer.
	 */
	r->ipcFd = fd;
	r->keepConnection = 1;
	r->detached = 1;
	if (FCGX_Accept_r(r) != 0) {
		r->ipcFd = -1;
		return false;
	}
	drain_stdin(r);
	params->method = param(r, "REQUEST_METHOD");
	params->path = param(r, "DOCUMENT_URI");
	params->request_id = param(r, "REQUEST_ID");
	params->if_none_match = param(r, "HTTP_IF_NONE_MATCH");
	params->origin = param(r, "HTTP_ORIGIN");
	params->listener = param(r, "AGENTS_LISTENER");
	return true;
}

bool fcgi_parse_socket(struct fcgi *f, int fd, struct fcgi_params *params)
{
	return parse(f, fd, params);
}

/* Makes the memory file hold exactly these bytes, to be read from the start. */
static bool fill_memory(struct fcgi *f, const uint8_t *bytes, size_t len)
{
	if (f->memory_fd < 0)
		f->memory_fd = new_memory();
	return f->memory_fd >= 0 && ftruncate(f->memory_fd, 0) == 0 && pwrite(f->memory_fd, bytes, len, 0) == (ssize_t)len &&
	       lseek(f->memory_fd, 0, SEEK_SET) == 0;
}

bool fcgi_parse_bytes(struct fcgi *f, const uint8_t *bytes, size_t len, struct fcgi_params *params)
{
	if (!fill_memory(f, bytes, len))
		return false;
	if (!parse(f, f->memory_fd, params)) {
		f->memory_fd = new_memory(); /* libfcgi closed it */
		return false;
	}
	return true;
}

void fcgi_done(struct fcgi *f)
{
	FCGX_Free(&f->request, 0);
	f->request.ipcFd = -1;
}
