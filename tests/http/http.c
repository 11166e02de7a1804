#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void http_open(struct http *h)
{
	*h = (struct http){.curl = curl_easy_init()};
	if (h->curl == NULL)
		abort();
}

void http_close(struct http *h)
{
	curl_easy_cleanup(h->curl);
	h->curl = NULL;
}

static size_t take_body(char *p, size_t size, size_t count, void *arg)
{
	struct answer *a = arg;

	bytes_append(&a->body, p, size * count);
	return size * count;
}

static size_t take_head(char *p, size_t size, size_t count, void *arg)
{
	struct answer *a = arg;
	size_t len = size * count;

	if (len > 5 && memcmp(p, "HTTP/", 5) == 0)
		bytes_free(&a->head);
	else if (len > 2)
		bytes_append(&a->head, p, len);
	return len;
}

struct answer http_exchange(struct http *h, const char *method, const char *url, const char *const *headers)
{
	struct answer a = {0};
	struct curl_slist *list = NULL;
	char error[CURL_ERROR_SIZE] = "";
	long status = 0;

	for (; headers != NULL && *headers != NULL; headers++)
		list = curl_slist_append(list, *headers);
	curl_easy_reset(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_URL, url);
	curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(h->curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(h->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(h->curl, CURLOPT_ACCEPT_ENCODING, h->decode ? "gzip" : NULL);
	curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(h->curl, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &a);
	curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, &a);
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, error);

	CURLcode code = curl_easy_perform(h->curl);

	if (code != CURLE_OK)
		(void)snprintf(a.error, sizeof a.error, "%s (%s)", curl_easy_strerror(code), error);
	else if (curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
		a.status = (int)status;
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(list);
	return a;
}

long http_connects(const struct http *h)
{
	long n = -1;

	return curl_easy_getinfo(h->curl, CURLINFO_NUM_CONNECTS, &n) == CURLE_OK ? n : -1;
}

static struct answer once(const char *base, const char *method, const char *path, const char *const *headers)
{
	struct http h;
	BYTES url = {0};

	bytes_printf(&url, "%s%s", base, path);
	http_open(&h);
	struct answer a = http_exchange(&h, method, url.p, headers);

	http_close(&h);
	return a;
}

struct answer http_public(const char *method, const char *path, const char *const *headers)
{
	return once(env_need("BASE_URL"), method, path, headers);
}

struct answer http_get(const char *path)
{
	return http_public("GET", path, NULL);
}

struct answer http_admin(const char *method, const char *path)
{
	return once(env_need("ADMIN_URL"), method, path, NULL);
}

int http_connect(void)
{
	char host[256];
	const char *at = env_need("BASE_URL");
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int fd = -1;

	at = strstr(at, "://") == NULL ? at : strstr(at, "://") + 3;
	(void)snprintf(host, sizeof host, "%.*s", (int)strcspn(at, "/"), at);
	char *port = strrchr(host, ':');

	if (port != NULL)
		*port++ = '\0';
	if (getaddrinfo(host, port == NULL ? "80" : port, &hints, &found) != 0)
		return -1;
	fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* Splits what has arrived, once the blank line and the promised length are there. False when more is needed. */
static bool split(struct bytes *in, bool head, struct answer *a)
{
	char *blank = in->p == NULL ? NULL : strstr(in->p, "\r\n\r\n");

	if (blank == NULL || strncmp(in->p, "HTTP/1.", 7) != 0)
		return false;
	size_t head_len = (size_t)(blank - in->p) + 4;
	char *lines = strstr(in->p, "\r\n") + 2;
	int status = (int)strtol(in->p + 9, NULL, 10);

	bytes_free(&a->head);
	bytes_append(&a->head, lines, head_len - 2 - (size_t)(lines - in->p));
	const char *length = answer_header(a, "Content-Length");
	size_t body_len = length == NULL || head || status == 204 || status == 304 ? 0 : strtoul(length, NULL, 10);

	if (in->len < head_len + body_len)
		return false;
	a->status = status;
	bytes_append(&a->body, in->p + head_len, body_len);
	bytes_consume(in, head_len + body_len);
	return true;
}

struct answer http_receive(int fd, struct bytes *in, bool head)
{
	struct answer a = {0};

	while (!split(in, head, &a)) {
		ssize_t n = receive(fd, in, PATIENCE_MS);

		if (n <= 0) {
			(void)snprintf(a.error, sizeof a.error, "connection ended before the answer: %s",
				       n == 0 ? "closed" : strerror(errno));
			break;
		}
	}
	return a;
}

struct answer http_raw(const char *text, size_t len)
{
	struct answer a = {0};
	BYTES in = {0};
	int fd = http_connect();

	if (fd < 0) {
		(void)snprintf(a.error, sizeof a.error, "can't connect: %s", strerror(errno));
		return a;
	}
	/* A server may answer and close before all is sent: what it answered still counts. */
	(void)send_all(fd, text, len);
	a = http_receive(fd, &in, false);
	(void)close(fd);
	return a;
}
