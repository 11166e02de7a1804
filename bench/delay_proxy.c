/*
 * delay_proxy [-d MILLISECONDS] LISTEN SERVER: stands before a server on a Unix socket, and holds back what that sends, as a network of this
 * length would: a round trip takes so much longer, and as much may be on its way as before. Each piece waits from its own arrival, so it is
 * a delay line, and no stop-and-wait. What clients send is passed on at once; connecting takes no longer.
 *
 * A line is bounded: while it is full nothing more is read. With Linux's buffers on both sides that is the window of this network, so the
 * most that one connection carries is about HELD_MAX per delay. Half-closes travel like data. For libpq, LISTEN is FOLDER/.s.PGSQL.5432.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)
#define DELAY_MAX_MS 10000
#define BACKLOG 1024
#define EVENTS_MAX 64
#define READ_MAX 65536
#define HELD_MAX ((size_t)1 << 20) /* of a line: with as much or more in it, nothing is read */

/* What one recv() returned, or the end of a stream (no bytes). */
struct piece {
	TAILQ_ENTRY(piece) in_line;
	TAILQ_ENTRY(piece) in_time; /* while `waits` */
	struct side *from;
	int64_t due_ns;
	size_t len;
	size_t sent;
	bool waits;
	char bytes[];
};
TAILQ_HEAD(pieces, piece);

/* One end of a connection, and the line of what it has sent to the other. */
struct side {
	struct pair *pair;
	int fd;
	uint32_t watched; /* events; 0: not in the epoll set */
	struct pieces line;
	size_t held;  /* bytes in the line */
	bool blocked; /* the other's socket buffer is full */
	bool ended;   /* this end will send no more */
	bool over;    /* its end has been passed on, or the other takes nothing any more: what still comes is thrown away */
};

struct pair {
	TAILQ_ENTRY(pair) next;
	struct side client;
	struct side server;
	bool dead;
};
TAILQ_HEAD(pairs, pair);

struct proxy {
	int64_t delay_ns;
	struct sockaddr_un at;
	struct sockaddr_un to;
	int listener;
	int epoll;
	bool listens;            /* the listener is in the epoll set */
	int64_t listen_again_ns; /* while it is not */
	bool complained;         /* about the server, since the last connection to it */
	struct pieces in_time;   /* of all lines; all wait equally long, so the first is due first */
	struct pairs pairs;
	struct pairs dead; /* events of this turn may still name them */
	char buffer[READ_MAX];
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static struct side *other(struct side *s)
{
	return s == &s->pair->client ? &s->pair->server : &s->pair->client;
}

/* --- the line ----------------------------------------------------------------------------------------------------------------- */

static void *allocate(const struct proxy *p, size_t size)
{
	void *memory = malloc(size);

	if (memory == NULL) {
		(void)unlink(p->at.sun_path);
		err(EXIT_FAILURE, NULL);
	}
	return memory;
}

static void append(struct proxy *p, struct side *from, size_t len)
{
	struct piece *piece = allocate(p, sizeof(*piece) + len);

	*piece = (struct piece){.from = from, .len = len, .waits = p->delay_ns > 0 && from == &from->pair->server};
	memcpy(piece->bytes, p->buffer, len);
	from->held += sizeof(*piece) + len;
	TAILQ_INSERT_TAIL(&from->line, piece, in_line);
	if (piece->waits) {
		/* From now on, not from the begin of the turn: it may have come since. */
		piece->due_ns = now_ns() + p->delay_ns;
		TAILQ_INSERT_TAIL(&p->in_time, piece, in_time);
	}
}

static void take_out(struct proxy *p, struct piece *piece)
{
	struct side *s = piece->from;

	if (piece->waits)
		TAILQ_REMOVE(&p->in_time, piece, in_time);
	TAILQ_REMOVE(&s->line, piece, in_line);
	s->held -= sizeof(*piece) + piece->len;
	free(piece);
}

static void empty(struct proxy *p, struct side *s)
{
	struct piece *piece;

	while ((piece = TAILQ_FIRST(&s->line)) != NULL)
		take_out(p, piece);
	s->blocked = false;
}

/* Passes on what no longer waits, in order, until the other end's socket buffer is full. */
static void flush(struct proxy *p, struct side *s)
{
	struct piece *piece;

	while ((piece = TAILQ_FIRST(&s->line)) != NULL && !piece->waits) {
		int to = other(s)->fd;
		ssize_t n = piece->len == 0 ? shutdown(to, SHUT_WR)
					    : send(to, piece->bytes + piece->sent, piece->len - piece->sent, MSG_NOSIGNAL);

		s->blocked = n < 0 && (errno == EAGAIN || errno == EINTR);
		if (s->blocked)
			return;
		if (n < 0 || piece->len == 0) {
			s->over = true;
			empty(p, s);
			return;
		}
		piece->sent += (size_t)n;
		if (piece->sent == piece->len)
			take_out(p, piece);
	}
}

/* One recv() a turn, so that no connection keeps the others from theirs. */
static void fill(struct proxy *p, struct side *s)
{
	ssize_t n = recv(s->fd, p->buffer, READ_MAX, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An error means that the end is gone; what it sent before is passed on first. */
	s->ended = n <= 0;
	if (!s->over)
		append(p, s, n > 0 ? (size_t)n : 0);
	flush(p, s);
}

/* --- connections -------------------------------------------------------------------------------------------------------------- */

/* Ends and errors are always reported, so a side that waits for nothing is out of the set. */
static bool watch(const struct proxy *p, struct side *s)
{
	bool room = s->over || s->held < HELD_MAX;
	uint32_t events = (room && !s->ended ? EPOLLIN : 0) | (other(s)->blocked ? EPOLLOUT : 0);
	int action = s->watched == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	bool same = events == s->watched;

	s->watched = events;
	return same || epoll_ctl(p->epoll, action, s->fd, &(struct epoll_event){.events = events, .data.ptr = s}) == 0;
}

static void end_pair(struct proxy *p, struct pair *pair)
{
	empty(p, &pair->client);
	empty(p, &pair->server);
	(void)close(pair->client.fd);
	(void)close(pair->server.fd);
	pair->dead = true;
	TAILQ_REMOVE(&p->pairs, pair, next);
	TAILQ_INSERT_TAIL(&p->dead, pair, next);
}

static void settle(struct proxy *p, struct pair *pair)
{
	if ((pair->client.over && pair->server.over) || !watch(p, &pair->client) || !watch(p, &pair->server))
		end_pair(p, pair);
}

static void on_event(struct proxy *p, struct side *s, uint32_t events)
{
	if (s->pair->dead)
		return;
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && (s->watched & EPOLLIN) != 0)
		fill(p, s);
	if ((events & ~(uint32_t)EPOLLIN) != 0 && other(s)->blocked)
		flush(p, other(s));
	settle(p, s->pair);
}

static void pass_on_due(struct proxy *p)
{
	int64_t now = now_ns();
	struct piece *piece;

	while ((piece = TAILQ_FIRST(&p->in_time)) != NULL && piece->due_ns <= now) {
		struct side *s = piece->from;

		TAILQ_REMOVE(&p->in_time, piece, in_time);
		piece->waits = false;
		flush(p, s);
		settle(p, s->pair);
	}
}

/* Clients wait in the listener's backlog meanwhile, as they would in the server's. */
static void pause_listening(struct proxy *p, const char *why)
{
	if (!p->complained)
		warnx("new connections have to wait: %s", why);
	p->complained = true;
	p->listens = epoll_ctl(p->epoll, EPOLL_CTL_DEL, p->listener, NULL) != 0;
	p->listen_again_ns = now_ns() + 10 * MS_NS;
}

static void listen_again(struct proxy *p)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	if (!p->listens && p->listen_again_ns <= now_ns())
		p->listens = epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->listener, &event) == 0;
}

static void begin_pair(struct proxy *p, int client, int server)
{
	struct pair *pair = allocate(p, sizeof(*pair));

	*pair = (struct pair){.client = {.pair = pair, .fd = client}, .server = {.pair = pair, .fd = server}};
	TAILQ_INIT(&pair->client.line);
	TAILQ_INIT(&pair->server.line);
	TAILQ_INSERT_TAIL(&p->pairs, pair, next);
	settle(p, pair);
}

/* The server first: a client is accepted when there is a place for it. Where no server listens, it is sent away. */
static void accept_pair(struct proxy *p)
{
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool connected = server >= 0 && connect(server, (const struct sockaddr *)&p->to, sizeof(p->to)) == 0;
	bool wait = server < 0 || (!connected && errno == EAGAIN);
	int error = errno;
	int client = wait ? -1 : accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (wait || (client < 0 && (errno == EMFILE || errno == ENFILE)))
		pause_listening(p, strerror(wait ? error : errno));
	if (connected && client >= 0) {
		p->complained = false;
		begin_pair(p, client, server);
		return;
	}
	if (!wait && !connected && !p->complained) {
		warnx("%s: %s", p->to.sun_path, strerror(error));
		p->complained = true;
	}
	if (client >= 0)
		(void)close(client);
	if (server >= 0)
		(void)close(server);
}

/* -1: nothing waits. */
static int64_t next_wake(const struct proxy *p)
{
	const struct piece *first = TAILQ_FIRST(&p->in_time);
	int64_t due_ns = first != NULL ? first->due_ns : -1;

	return !p->listens && (due_ns < 0 || p->listen_again_ns < due_ns) ? p->listen_again_ns : due_ns;
}

/* False: epoll failed. */
static bool turn(struct proxy *p)
{
	int64_t wake_ns = next_wake(p);
	int64_t wait_ns = wake_ns - now_ns();
	struct timespec pause = {wait_ns > 0 ? wait_ns / SECOND_NS : 0, wait_ns > 0 ? wait_ns % SECOND_NS : 0};
	struct epoll_event events[EVENTS_MAX];
	sigset_t none;
	int n;

	(void)sigemptyset(&none);
	n = epoll_pwait2(p->epoll, events, EVENTS_MAX, wake_ns < 0 ? NULL : &pause, &none);
	if (n < 0 && errno != EINTR) {
		warn("epoll_pwait2");
		return false;
	}
	for (int i = 0; i < n; i++) {
		pass_on_due(p);
		if (events[i].data.ptr != NULL)
			on_event(p, events[i].data.ptr, events[i].events);
		else
			accept_pair(p);
	}
	pass_on_due(p);
	listen_again(p);
	for (struct pair *pair; (pair = TAILQ_FIRST(&p->dead)) != NULL; free(pair))
		TAILQ_REMOVE(&p->dead, pair, next);
	return true;
}

/* --- begin and end ------------------------------------------------------------------------------------------------------------ */

static bool parse_delay(const char *text, int64_t *ns)
{
	size_t digits = strspn(text, "0123456789");
	size_t more = text[digits] == '.' ? 1 + strspn(text + digits + 1, "0123456789") : 0;
	double ms = strtod(text, NULL);

	*ns = (int64_t)(ms * (double)MS_NS);
	return digits > 0 && digits + more < 20 && text[digits + more] == '\0' && ms <= DELAY_MAX_MS;
}

static struct sockaddr_un parse_path(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(address.sun_path))
		errx(2, "'%s': the path of a socket has 1 to %zu bytes", path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, len);
	return address;
}

static const char help[] =
	"usage: delay_proxy [-d MILLISECONDS] LISTEN SERVER\n"
	"Makes the Unix socket LISTEN, and passes what connects there on to that of SERVER. What the server sends arrives so "
	"much later, in\n"
	"its order and at its pace. For PostgreSQL: LISTEN is FOLDER/.s.PGSQL.5432, and clients say host=FOLDER.\n\n"
	"  -d, --delay MILLISECONDS  0 to 10000, may have a fraction (5)\n"
	"  -h, --help                print this text and exit\n\n"
	"Runs until SIGTERM or SIGINT, and removes LISTEN then. Exit status: 0 ended so, 1 it failed, 2 bad arguments.\n";

static void parse(int argc, char **argv, struct proxy *p)
{
	static const struct option options[] = {
		{"delay", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;

	p->delay_ns = 5 * MS_NS;
	while ((option = getopt_long(argc, argv, "d:h", options, NULL)) != -1) {
		if (option != 'd') {
			(void)fputs(help, option == 'h' ? stdout : stderr);
			exit(option == 'h' ? 0 : 2);
		}
		if (!parse_delay(optarg, &p->delay_ns))
			errx(2, "--delay %s: must be milliseconds from 0 to %d, as in -d 5", optarg, DELAY_MAX_MS);
	}
	if (argc - optind != 2)
		errx(2, "needs two sockets, LISTEN and SERVER (delay_proxy --help says more)");
	p->at = parse_path(argv[optind]);
	p->to = parse_path(argv[optind + 1]);
}

/* Signals are blocked but while it waits, so that none is lost between a look at `stopped` and the wait. */
static bool handle_signals(void)
{
	struct sigaction action = {.sa_handler = stop};
	sigset_t both;

	(void)sigemptyset(&both);
	(void)sigaddset(&both, SIGTERM);
	(void)sigaddset(&both, SIGINT);
	return sigprocmask(SIG_BLOCK, &both, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0 &&
	       sigaction(SIGINT, &action, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

static void begin_listening(struct proxy *p)
{
	struct rlimit files;
	struct stat server;

	if (stat(p->to.sun_path, &server) != 0 || !S_ISSOCK(server.st_mode))
		errx(EXIT_FAILURE, "%s: is no socket; does its server run?", p->to.sun_path);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)umask(0); /* as PostgreSQL's own: the folder keeps strangers out */
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->listener < 0 || p->epoll < 0 || prctl(PR_SET_TIMERSLACK, 1UL) != 0 || !handle_signals())
		err(EXIT_FAILURE, NULL);
	if (bind(p->listener, (const struct sockaddr *)&p->at, sizeof(p->at)) != 0)
		err(EXIT_FAILURE, "%s%s", p->at.sun_path, errno == EADDRINUSE ? " (remove it when nothing listens there)" : "");
	if (listen(p->listener, BACKLOG) == 0)
		listen_again(p);
	if (!p->listens) {
		(void)unlink(p->at.sun_path);
		err(EXIT_FAILURE, "%s", p->at.sun_path);
	}
}

int main(int argc, char **argv)
{
	static struct proxy p;
	bool well = true;

	parse(argc, argv, &p);
	TAILQ_INIT(&p.in_time);
	TAILQ_INIT(&p.pairs);
	TAILQ_INIT(&p.dead);
	begin_listening(&p);
	(void)printf("listening on %s, %g ms before %s\n", p.at.sun_path, (double)p.delay_ns / (double)MS_NS, p.to.sun_path);
	(void)fflush(stdout);
	while (!stopped && well)
		well = turn(&p);
	(void)unlink(p.at.sun_path);
	return well ? EXIT_SUCCESS : EXIT_FAILURE;
}
