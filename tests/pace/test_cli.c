#include "cli.h"
#include "suite.h"

#include <string.h>
#include <unistd.h>

static char *out, *err;
static size_t out_len, err_len;

/* Parses words separated by single blanks; what was printed is in `out` and `err`. */
static enum cli_result parse(struct cli *cli, const char *words)
{
	static char text[40000];
	char *argv[64] = {"pace"};
	int argc = 1;
	FILE *o, *e;
	enum cli_result result;

	free(out);
	free(err);
	o = open_memstream(&out, &out_len);
	e = open_memstream(&err, &err_len);
	ck_assert_uint_lt(strlen(words), sizeof(text));
	memcpy(text, words, strlen(words) + 1);
	for (char *p = text, *word; (word = strsep(&p, " ")) != NULL;)
		argv[argc++] = word;
	result = cli_parse(cli, argc, argv, o, e);
	fclose(o);
	fclose(e);
	return result;
}

static struct cli good(const char *words)
{
	struct cli cli;

	ck_assert_msg(parse(&cli, words) == CLI_RUN, "%s: %s", words, err);
	ck_assert_uint_eq(err_len, 0);
	return cli;
}

static void bad(const char *words, const char *reason)
{
	struct cli cli;

	ck_assert_msg(parse(&cli, words) == CLI_WRONG, "%s is accepted", words);
	ck_assert_msg(strstr(err, reason) != NULL, "%s: %s", words, err);
	ck_assert_msg(strncmp(err, "pace: ", 6) == 0 && strchr(err, '\n') == err + err_len - 1, "%s", err);
	cli_free(&cli);
}

START_TEST(defaults_and_options)
{
	struct cli cli = good("-R 10 http://localhost");

	ck_assert_uint_eq(cli.connections, 10);
	ck_assert_int_eq(cli.duration_ns, INT64_C(10000000000));
	ck_assert_int_eq(cli.timeout_ns, INT64_C(2000000000));
	ck_assert(!cli.poisson && !cli.resend && !cli.latency && !cli.progress && !cli.head);
	ck_assert_ptr_null(cli.json);
	cli = good("-c 400 --rate=4000.5 -d5m --timeout 500ms --warmup 1.5s --poisson --seed 18446744073709551615 --resend "
		   "--latency --progress "
		   "--json - http://localhost");
	ck_assert_uint_eq(cli.connections, 400);
	ck_assert_double_eq(cli.rate, 4000.5);
	ck_assert_int_eq(cli.duration_ns, INT64_C(300000000000));
	ck_assert_int_eq(cli.timeout_ns, 500000000);
	ck_assert_int_eq(cli.warmup_ns, 1500000000);
	ck_assert_uint_eq(cli.seed, UINT64_MAX);
	ck_assert(cli.poisson && cli.resend && cli.latency && cli.progress && !cli.head);
	ck_assert_str_eq(cli.json, "-");
	ck_assert_int_eq(good("http://localhost -R 1 -d 30").duration_ns, INT64_C(30000000000));
	ck_assert_int_eq(good("-R .5 -d 24h http://localhost").duration_ns, INT64_C(86400000000000));
}
END_TEST

START_TEST(bad_numbers)
{
	static const char *const times[] = {"",    "s",     "-1s", "1x",   "1 s",
					    "0",   "0.1ms", "25h", "1e3s", "0x1s",
					    "inf", "nan",   "1s1", "1..",  "99999999999999999999999s"};
	static const char *const counts[] = {"", "0", "-1", "+1", "1.5", "ten", "100001", "99999999999999999999999", "1k"};
	static const char *const rates[] = {"", "0", "-1", "1e3", "0x10", "inf", "nan", "10/s", "0.0001", "1000001", "."};
	char words[200];

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		if (strchr(times[i], ' ') != NULL)
			continue;
		(void)snprintf(words, sizeof(words), "--duration=%s -R 1 http://localhost", times[i]);
		bad(words, "--duration must be a time from 1ms to 24h");
		(void)snprintf(words, sizeof(words), "--timeout=%s -R 1 http://localhost", times[i]);
		bad(words, "--timeout must be a time");
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		(void)snprintf(words, sizeof(words), "--connections=%s -R 1 http://localhost", counts[i]);
		bad(words, "--connections must be a number from 1 to 100000");
	}
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		(void)snprintf(words, sizeof(words), "--rate=%s http://localhost", rates[i]);
		bad(words, "--rate must be a number");
	}
	bad("--seed -1 -R 1 http://localhost", "--seed");
	bad("--seed 18446744073709551616 -R 1 http://localhost", "--seed");
	bad("--warmup x -R 1 http://localhost", "--warmup must be a time from 0s");
}
END_TEST

START_TEST(wrong_words)
{
	bad("http://localhost", "--rate is missing");
	bad("-R 1", "the URL is missing");
	bad("-R 1 http://localhost http://other", "one URL only: 'http://other'");
	bad("--rat", "needs a value");
	bad("-R", "-R needs a value");
	bad("--nonsense -R 1 http://localhost", "no option --nonsense");
	bad("--poisson=1 -R 1 http://localhost", "--poisson=1, or it takes no value");
	bad("--json= -R 1 http://localhost", "--json needs a file");
	bad("--expect /nonexistent/body -R 1 http://localhost", "--expect /nonexistent/body cannot be read: No such file");
	bad("--expect /tmp -R 1 http://localhost", "--expect /tmp cannot be read");
}
END_TEST

START_TEST(good_urls)
{
	static const struct {
		const char *text, *host, *port, *authority, *first_line;
	} urls[] = {
		{"http://localhost", "localhost", "80", "localhost", "GET / HTTP/1.1\r\n"},
		{"HTTP://a.example:8004/agents?x=1&y=2", "a.example", "8004", "a.example:8004",
		 "GET /agents?x=1&y=2 HTTP/1.1\r\n"},
		{"http://127.0.0.1:80/a#fragment", "127.0.0.1", "80", "127.0.0.1", "GET /a HTTP/1.1\r\n"},
		{"http://[::1]:8080?q", "::1", "8080", "[::1]:8080", "GET /?q HTTP/1.1\r\n"},
		{"http://[::1]/", "::1", "80", "[::1]", "GET / HTTP/1.1\r\n"},
		{"http://host:/", "host", "80", "host", "GET / HTTP/1.1\r\n"},
	};
	char words[300];

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct cli cli;

		(void)snprintf(words, sizeof(words), "-R 1 %s", urls[i].text);
		cli = good(words);
		ck_assert_str_eq(cli.url.host, urls[i].host);
		ck_assert_str_eq(cli.url.port, urls[i].port);
		(void)snprintf(words, sizeof(words), "%sHost: %s\r\n\r\n", urls[i].first_line, urls[i].authority);
		ck_assert_str_eq(cli.request, words);
		ck_assert_uint_eq(cli.request_len, strlen(words));
	}
}
END_TEST

START_TEST(wrong_urls)
{
	char words[700];

	bad("-R 1 https://localhost/", "https is not supported");
	bad("-R 1 localhost:80", "must begin with http://");
	bad("-R 1 ", "must begin with http://");
	bad("-R 1 http://", "host is missing");
	bad("-R 1 http://:80/", "host is missing");
	bad("-R 1 http://[]/", "host is missing");
	bad("-R 1 http://[::1/", "brackets");
	bad("-R 1 http://[::1]x/", "brackets");
	bad("-R 1 http://::1/", "IPv6 address stands in brackets");
	bad("-R 1 http://host:0/", "port must be a number");
	bad("-R 1 http://host:65536/", "port must be a number");
	bad("-R 1 http://host:8x/", "port must be a number");
	bad("-R 1 http://host:-1/", "port must be a number");
	bad("-R 1 http://host:123456/", "port must be a number");
	bad("-R 1 http://user@host/", "user and password");
	bad("-R 1 http://host/a\tb", "percent-encoded");
	bad("-R 1 http://host/\xc3\xa4", "percent-encoded");
	(void)snprintf(words, sizeof(words), "-R 1 http://%0300d/", 1);
	bad(words, "too long");
}
END_TEST

START_TEST(headers)
{
	char words[CLI_REQUEST_MAX + 100];
	struct cli cli = good("-R 1 -H Accept:text/html --header=X-A:b --head http://localhost/x");

	ck_assert_str_eq(cli.request, "HEAD /x HTTP/1.1\r\nHost: localhost\r\nAccept:text/html\r\nX-A:b\r\n\r\n");
	cli = good("-R 1 -H X-A:b -H hOST:other http://localhost/x");
	ck_assert_str_eq(cli.request, "GET /x HTTP/1.1\r\nX-A:b\r\nhOST:other\r\n\r\n");
	bad("-R 1 -H nonsense http://localhost", "does not look like 'Name: value'");
	bad("-R 1 -H :x http://localhost", "does not look like");
	bad("-R 1 -H X-A:b\r\nEvil:1 http://localhost", "control character");
	bad("-R 1 -H Content-Length:5 http://localhost", "where the request ends");
	bad("-R 1 -H transfer-encoding:chunked http://localhost", "where the request ends");
	(void)snprintf(words, sizeof(words), "-R 1 -H X:%0*d http://localhost", CLI_REQUEST_MAX - 4, 1);
	bad(words, "the headers are longer");
	(void)snprintf(words, sizeof(words), "-R 1 -H X:%0*d http://localhost", CLI_REQUEST_MAX - 12, 1);
	bad(words, "the request is longer");
}
END_TEST

START_TEST(expected_bodies_are_read_as_they_are)
{
	char path[] = "/tmp/pace-expect.XXXXXX", words[200];
	int fd = mkstemp(path);
	struct cli cli;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "a\0b\n", 4), 4);
	close(fd);
	(void)snprintf(words, sizeof(words), "-R 1 --expect %s http://localhost", path);
	cli = good(words);
	unlink(path);
	ck_assert_uint_eq(cli.expected.len, 4);
	ck_assert_mem_eq(cli.expected.p, "a\0b\n", 4);
	cli_free(&cli);
	cli = good("-R 1 --expect /dev/null http://localhost");
	ck_assert_ptr_nonnull(cli.expected.p);
	ck_assert_uint_eq(cli.expected.len, 0);
	cli_free(&cli);
}
END_TEST

/* Every option of --help is in the man page, and the other way round. */
START_TEST(the_man_page_has_every_option)
{
	FILE *f = fopen("bench/pace/pace.1", "r");
	struct cli cli;
	static char man[60000], name[40], line[60];
	int options = 0;

	ck_assert_ptr_nonnull(f);
	man[fread(man, 1, sizeof(man) - 1, f)] = '\0';
	fclose(f);
	ck_assert_int_eq(parse(&cli, "--help"), CLI_DONE);
	for (const char *p = out; (p = strstr(p, "  --")) != NULL || (p = NULL); options++) {
		(void)sscanf(p, " --%39[a-z-]", name);
		(void)snprintf(line, sizeof(line), "Fl -%s", name);
		ck_assert_msg(strstr(man, line) != NULL, "pace.1 lacks --%s", name);
		p += 4;
	}
	for (const char *p = out; (p = strstr(p, ", --")) != NULL; options++) {
		(void)sscanf(p, ", --%39[a-z-]", name);
		(void)snprintf(line, sizeof(line), "Fl -%s", name);
		ck_assert_msg(strstr(man, line) != NULL, "pace.1 lacks --%s", name);
		p += 4;
	}
	ck_assert_int_eq(options, 16);
	for (const char *p = man; (p = strstr(p, ".It Fl ")) != NULL; options--)
		p += 7;
	ck_assert_int_eq(options, 0);
	ck_assert_int_eq(parse(&cli, "--version"), CLI_DONE);
	ck_assert_int_eq(strncmp(out, "pace ", 5), 0);
}
END_TEST

int main(void)
{
	return SUITE("cli", 0, defaults_and_options, bad_numbers, wrong_words, good_urls, wrong_urls, headers,
		     expected_bodies_are_read_as_they_are, the_man_page_has_every_option);
}
