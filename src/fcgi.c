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

/* The parameters and where they go. All names are of different lengths, so most are told apart by that. */
static const struct {
	struct str name;
	size_t offset;
} known[] = {
	{STR("REQUEST_METHOD"), offsetof(struct fcgi_params, method)},
	{STR("DOCUMENT_URI"), offsetof(struct fcgi_params, path)},
	{STR("REQUEST_ID"), offsetof(struct fcgi_params, request_id)},
	{STR("HTTP_IF_NONE_MATCH"), offsetof(struct fcgi_params, if_none_match)},
	{STR("HTTP_ORIGIN"), offsetof(struct fcgi_params, origin)},
	{STR("AGENTS_LISTENER"), offsetof(struct fcgi_params, listener)},
	{STR("HTTP_TRACEPARENT"), offsetof(struct fcgi_params, traceparent)},
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

static struct str *param_at(struct fcgi_params *params, size_t i)
{
	return (struct str *)(void *)((char *)params + known[i].offset);
}

/* One walk for all of them; of a name that comes twice, the first counts, as for FCGX_GetParam. */
static void find_params(char *const *env, struct fcgi_params *params)
{
	for (size_t i = 0; i < KNOWN; i++)
		*param_at(params, i) = str_make(NULL, 0);
	for (; *env != NULL; env++) {
		const char *end = strchr(*env, '=');
		struct str name = str_make(*env, end != NULL ? (size_t)(end - *env) : 0);

		for (size_t i = 0; i < KNOWN; i++) {
			if (str_equal(name, known[i].name) && param_at(params, i)->p == NULL)
				*param_at(params, i) = str_of(end + 1);
		}
	}
	for (size_t i = 0; i < KNOWN; i++) {
		if (param_at(params, i)->p == NULL)
			*param_at(params, i) = str_make("", 0);
	}
}

/*
 * What libfcgi allocates for a request: buffers of 8 KB for what it reads and for what it would write, and some small things; for each parameter a piece
 * of its length, of 32 bytes at least, and a pointer in an array that doubles as it grows. An empty parameter is 2 bytes on the wire. Over MANY_BYTES
 * malloc maps what is asked for here, and may want that much more (MMAP_AS_MORECORE_SIZE) for the small pieces.
 */
#define BUFFERS_BYTES (20 * (size_t)1024)
#define BYTES_PER_BYTE ((size_t)28)
#define MANY_BYTES (128 * (size_t)1024)
#define MORE_BYTES ((size_t)1 << 20)

bool fcgi_has_memory(size_t len)
{
	size_t bytes = BUFFERS_BYTES + len * BYTES_PER_BYTE;
	void *volatile room =
		malloc(bytes < MANY_BYTES ? bytes : bytes + MORE_BYTES); /* volatile: or the compiler leaves both calls out */
	bool has = room != NULL;

	free(room);
	return has;
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
	find_params(r->envp, params);
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
