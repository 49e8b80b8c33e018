/*
 * A crowd for bench/reload: visitors who come and go at a fixed rate, and
 * sessions that stay and speak now and then, through a relay to a backend in
 * this very process. Every byte either way is compared with what was sent: the
 * stream of a direction follows from the session's number, so both ends know
 * what has to come, and neither echoes.
 *
 * The backend listens on a free port of all of 127/8, which is the first line
 * printed. Commands are lines on standard input, each is answered by one:
 *
 *	door PORT plain|tls	clients go there, in turns with other doors
 *	hold COUNT		so many sessions more, answered when all speak
 *	rate N			visitors per second from now on
 *	stat			the counters
 *	finish			all end in good order; then the counters
 *
 * The counters are "visits N held N refused N reset N short N wrong N late N
 * local N bytes N": short is an end before all bytes had come, late 15 s
 * without an answer, local a failure of this program's own.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define DOORS		16
#define PIECE		4096
#define EVENTS_MAX	256
#define LATE		15000000000U	/* ns */
#define PERIOD		4000000000U	/* between two words of a held one */
#define VISIT_MAX	4000
#define HELD_SIZE	64
#define LINE_SIZE	128
#define NUMBER		8		/* bytes, in front of the first */

enum outcome { REFUSED, RESET, SHORT, WRONG, TARDY, LOCAL, OUTCOMES };

static const char *const outcomes[] = { "refused", "reset", "short", "wrong",
    "late", "local" };

enum step { CONNECT, HANDSHAKE, TALK, END };

/* Freed at the end of the turn. */
struct peer {
	struct peer	*next, *prev;
	void		(*event)(struct peer *, uint32_t);
	SSL		*ssl;
	uint64_t	 number;	/* of the session */
	uint64_t	 owed;		/* bytes to be sent, the number too */
	uint64_t	 sent, got;
	uint64_t	 spoke;		/* ns, the last word */
	uint32_t	 interest;
	int		 fd;
	unsigned	 have;		/* of the number, in the backend */
	enum step	 step;
	bool		 held, heard, dead;
};

static struct peer	 clients = { .next = &clients, .prev = &clients };
static struct peer	 backends = { .next = &backends, .prev = &backends };
static struct peer	*dead;
static struct { int port; bool tls; } doors[DOORS];
static unsigned		 ndoors, door;
static uint64_t		 visits, bytes, numbers, held, speaking, opening;
static uint64_t		 failures[OUTCOMES];
static double		 rate, due;	/* visitors per s, not yet begun */
static uint64_t		 last;		/* ns, of the last turn */
static bool		 finishing;
static SSL_CTX		*ctx;
static int		 ep;

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* What stands at that place of a stream: splitmix64 of the place. */
static uint8_t
stream_byte(uint64_t stream, uint64_t at)
{
	static uint64_t of, word = 0, where = UINT64_MAX;

	if (where != at / 8 || of != stream) {
		uint64_t x = stream + (at / 8 + 1) *
		    UINT64_C(0x9e3779b97f4a7c15);

		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
		word = x ^ x >> 31;
		where = at / 8;
		of = stream;
	}
	return (uint8_t)(word >> at % 8 * 8);
}

static bool
stream_same(uint64_t stream, uint64_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != stream_byte(stream, at + i))
			return false;
	return true;
}

/* ---- peers ---- */

static struct peer *
peer_new(struct peer *list, int fd, void (*event)(struct peer *, uint32_t))
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		err(1, NULL);
	p->fd = fd;
	p->event = event;
	p->next = list->next;
	p->prev = list;
	list->next->prev = p;
	list->next = p;
	return p;
}

static void
peer_close(struct peer *p)
{
	if (p->dead)
		return;
	p->dead = true;
	p->prev->next = p->next;
	p->next->prev = p->prev;
	SSL_free(p->ssl);
	ERR_clear_error();
	close(p->fd);
	p->next = dead;
	dead = p;
}

static void
peer_want(struct peer *p, uint32_t interest)
{
	struct epoll_event ev = { .events = interest, .data.ptr = p };

	if (p->dead || p->interest == interest)
		return;
	if (epoll_ctl(ep, p->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
	    p->fd, &ev) == -1)
		err(1, "epoll_ctl");
	p->interest = interest;
}

/* > 0: bytes, 0: end, -1: errno, EAGAIN also when TLS has to wait. */
static ssize_t
peer_result(struct peer *p, ssize_t n)
{
	int error = errno;

	if (n > 0)
		return n;
	switch (SSL_get_error(p->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		errno = error != 0 ? error : EPIPE;
		return -1;
	}
	/* an end without close alert, or an alert: never in good order */
	errno = EPROTO;
	return -1;
}

static ssize_t
peer_read(struct peer *p, uint8_t *buf, size_t n)
{
	errno = 0;
	if (p->ssl == NULL)
		return recv(p->fd, buf, n, MSG_DONTWAIT);
	ERR_clear_error();
	return peer_result(p, SSL_read(p->ssl, buf, (int)n));
}

static ssize_t
peer_write(struct peer *p, const uint8_t *buf, size_t n)
{
	errno = 0;
	if (p->ssl == NULL)
		return send(p->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	ERR_clear_error();
	return peer_result(p, SSL_write(p->ssl, buf, (int)n));
}

static bool
must_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* What is owed: the session's number first, then the stream. false: errno. */
static bool
peer_pay(struct peer *p, uint64_t stream, unsigned number)
{
	uint8_t buf[PIECE];
	ssize_t n;

	while (p->owed > 0) {
		size_t len = p->owed < PIECE ? p->owed : PIECE;

		for (size_t i = 0; i < len; i++) {
			uint64_t at = p->sent + i;

			buf[i] = at < number ?
			    (uint8_t)(p->number >> at * 8) :
			    stream_byte(stream, at - number);
		}
		n = peer_write(p, buf, len);
		if (n <= 0)
			return n == -1 && must_wait();
		p->sent += (uint64_t)n;
		p->owed -= (uint64_t)n;
		bytes += (uint64_t)n;
	}
	return true;
}

/* ---- backend ---- */

static void
backend_wrong(struct peer *p)
{
	failures[WRONG]++;
	peer_close(p);
}

static bool
backend_take(struct peer *p, const uint8_t *buf, size_t n)
{
	for (; p->have < NUMBER && n > 0; n--)
		p->number |= (uint64_t)*buf++ << p->have++ * 8;
	if (!stream_same(p->number, p->got, buf, n))
		return false;
	p->got += n;
	p->owed += n;
	return true;
}

static void
backend_event(struct peer *p, uint32_t events)
{
	uint8_t buf[PIECE];
	ssize_t n = 1;

	(void)events;
	while (n > 0 && p->step != END && p->owed < PIECE) {
		n = peer_read(p, buf, sizeof(buf));
		if (n == -1 && !must_wait()) {
			peer_close(p);		/* the client will see it */
			return;
		}
		if (n == 0)
			p->step = END;
		if (n > 0 && !backend_take(p, buf, (size_t)n)) {
			backend_wrong(p);
			return;
		}
		if ((size_t)n < sizeof(buf))
			break;
	}
	if (!peer_pay(p, ~p->number, 0) || (p->step == END && p->owed == 0))
		peer_close(p);
	else
		peer_want(p, (p->owed > 0 ? EPOLLOUT : 0) |
		    (p->step != END ? EPOLLIN : 0));
}

static void
backend_accept(struct peer *p, uint32_t events)
{
	int fd;

	(void)events;
	while ((fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK |
	    SOCK_CLOEXEC)) != -1)
		backend_event(peer_new(&backends, fd, backend_event), EPOLLIN);
}

static int
backend_open(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0);

	if (fd == -1 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
	    sizeof(one)) == -1 || bind(fd, (void *)&sin, len) == -1 ||
	    listen(fd, 4096) == -1 ||
	    getsockname(fd, (void *)&sin, &len) == -1)
		err(1, "backend");
	peer_want(peer_new(&backends, fd, backend_accept), EPOLLIN);
	return ntohs(sin.sin_port);
}

/* ---- clients ---- */

static void
client_fail(struct peer *p, enum outcome what)
{
	failures[what]++;
	if (p->held) {
		held--;
		speaking -= p->heard;
	} else
		opening--;
	peer_close(p);
}

static void
client_broken(struct peer *p)
{
	switch (errno) {
	case ECONNREFUSED:
		client_fail(p, REFUSED);
		break;
	case ECONNRESET:
	case EPIPE:
		client_fail(p, RESET);
		break;
	case EPROTO:
		client_fail(p, SHORT);
		break;
	default:
		warn("client");
		client_fail(p, LOCAL);
		break;
	}
}

static void
client_speak(struct peer *p, uint64_t n)
{
	p->owed += n;
	p->spoke = now();
}

/* Our end; the other side's is awaited. */
static void
client_end(struct peer *p)
{
	if (p->ssl != NULL)
		SSL_shutdown(p->ssl);
	shutdown(p->fd, SHUT_WR);
	p->step = END;
	p->spoke = now();
}

static void
client_over(struct peer *p)
{
	if (p->held) {
		held--;
		speaking -= p->heard;
	} else {
		visits++;
		opening--;
	}
	peer_close(p);
}

static bool
client_answered(const struct peer *p)
{
	return p->owed == 0 && p->sent == p->got + NUMBER;
}

static void
client_talk(struct peer *p)
{
	uint8_t buf[PIECE];
	ssize_t n;

	if (p->step == TALK && !peer_pay(p, p->number, NUMBER)) {
		client_broken(p);
		return;
	}
	while ((n = peer_read(p, buf, sizeof(buf))) > 0) {
		if (!stream_same(~p->number, p->got, buf, (size_t)n)) {
			client_fail(p, WRONG);
			return;
		}
		p->got += (uint64_t)n;
	}
	if (n == -1 && !must_wait()) {
		client_broken(p);
		return;
	}
	if (n == 0) {
		if (p->step == END && client_answered(p))
			client_over(p);
		else
			client_fail(p, SHORT);
		return;
	}
	if (p->step == TALK && client_answered(p)) {
		if (p->held && !p->heard) {
			p->heard = true;
			speaking++;
		}
		if (!p->held || finishing)
			client_end(p);
	}
	peer_want(p, EPOLLIN | (p->owed > 0 ? EPOLLOUT : 0));
}

static void
client_event(struct peer *p, uint32_t events)
{
	socklen_t len = sizeof(errno);
	int n;

	if (p->step == CONNECT) {
		errno = 0;
		if ((events & (EPOLLERR | EPOLLHUP)) && getsockopt(p->fd,
		    SOL_SOCKET, SO_ERROR, &errno, &len) == 0 && errno != 0) {
			client_broken(p);
			return;
		}
		p->step = p->ssl != NULL ? HANDSHAKE : TALK;
	}
	if (p->step == HANDSHAKE) {
		errno = 0;
		ERR_clear_error();
		if ((n = SSL_do_handshake(p->ssl)) == 1)
			p->step = TALK;
		else if (peer_result(p, n) == 0 || !must_wait()) {
			client_broken(p);
			return;
		} else {
			peer_want(p, EPOLLIN |
			    (SSL_want_write(p->ssl) ? EPOLLOUT : 0));
			return;
		}
	}
	client_talk(p);
}

static void
client_new(bool stays)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct sockaddr_in from = to;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0);
	struct peer *p;

	if (fd == -1)
		err(1, "socket");
	p = peer_new(&clients, fd, client_event);
	p->held = stays;
	held += stays;
	opening += !stays;
	p->number = ++numbers * UINT64_C(0xd1342543de82ef95);
	to.sin_port = htons((uint16_t)doors[door % ndoors].port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* many addresses, so that ports in TIME_WAIT do not run out */
	from.sin_addr.s_addr = htonl(0x7f100000 | (uint32_t)(numbers &
	    0x3ff) << 8 | 1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (doors[door % ndoors].tls) {
		p->ssl = SSL_new(ctx);
		if (p->ssl == NULL || SSL_set_fd(p->ssl, fd) != 1)
			errx(1, "TLS");
		SSL_set_connect_state(p->ssl);
	}
	door++;
	client_speak(p, NUMBER + (stays ? HELD_SIZE :
	    1 + numbers * 2654435761U % VISIT_MAX));
	if (bind(fd, (void *)&from, sizeof(from)) == -1 ||
	    (connect(fd, (void *)&to, sizeof(to)) == -1 &&
	    errno != EINPROGRESS))
		client_broken(p);
	else
		peer_want(p, EPOLLOUT);
}

/* Held ones speak when it is time; who waits too long has lost. */
static void
clients_look(void)
{
	uint64_t t = now();

	for (struct peer *p = clients.next, *next; p != &clients; p = next) {
		next = p->next;
		if (t - p->spoke > LATE && (p->step != TALK ||
		    !client_answered(p)))
			client_fail(p, TARDY);
		else if (p->held && p->step == TALK && client_answered(p) &&
		    (finishing || t - p->spoke > PERIOD)) {
			if (finishing) {
				client_end(p);
				continue;
			}
			client_speak(p, HELD_SIZE);
			client_talk(p);
		}
	}
}

/* ---- commands ---- */

static uint64_t	 wanted;	/* held, by the command under way */
static bool	 answer_held;

static void
stat_print(void)
{
	printf("visits %ju held %ju", (uintmax_t)visits, (uintmax_t)held);
	for (size_t i = 0; i < OUTCOMES; i++)
		printf(" %s %ju", outcomes[i], (uintmax_t)failures[i]);
	printf(" bytes %ju\n", (uintmax_t)bytes);
	fflush(stdout);
}

static void
command(const char *line)
{
	char verb[16], tls[16];
	double n;
	int port;

	if (sscanf(line, "door %d %15s", &port, tls) == 2 && ndoors < DOORS) {
		doors[ndoors].port = port;
		doors[ndoors++].tls = strcmp(tls, "tls") == 0;
		puts("ok");
	} else if (sscanf(line, "hold %lf", &n) == 1 && ndoors > 0) {
		wanted = held + (uint64_t)n;
		answer_held = true;
		return;
	} else if (sscanf(line, "rate %lf", &n) == 1 && ndoors > 0) {
		rate = n;
		due = 0;
		puts("ok");
	} else if (sscanf(line, "%15s", verb) == 1 &&
	    strcmp(verb, "stat") == 0) {
		stat_print();
	} else if (strcmp(verb, "finish") == 0) {
		rate = 0;
		finishing = true;
		return;
	} else
		errx(64, "not understood: %s", line);
	fflush(stdout);
}

static void
command_event(struct peer *p, uint32_t events)
{
	static char line[LINE_SIZE];
	static size_t have;
	ssize_t n;
	char *end;

	(void)events;
	n = read(p->fd, line + have, sizeof(line) - have - 1);
	if (n <= 0)
		exit(0);
	have += (size_t)n;
	line[have] = '\0';
	if ((end = strchr(line, '\n')) == NULL)
		return;
	*end = '\0';		/* the next one comes after the answer */
	have = 0;
	command(line);
}

/* ---- the loop ---- */

static void
crowd_move(void)
{
	static uint64_t looked;
	uint64_t t = now();

	due += rate * (double)(t - last) / 1e9;
	last = t;
	if (due > rate / 4 + 1)
		due = rate / 4 + 1;	/* held up: no burst afterwards */
	for (; due >= 1; due--)
		client_new(false);
	for (int i = 0; i < 64 && held < wanted && !finishing; i++)
		client_new(true);
	if (t - looked > 50000000U) {
		looked = t;
		clients_look();
	}
	if (answer_held && (speaking >= wanted || failures[TARDY] > 0)) {
		answer_held = false;
		wanted = 0;
		stat_print();
	}
	if (finishing && held == 0 && opening == 0) {
		finishing = false;
		stat_print();
	}
}

static void
turn(void)
{
	struct epoll_event ev[EVENTS_MAX];
	struct peer *p;
	int n = epoll_wait(ep, ev, EVENTS_MAX, rate > 0 ? 2 : 20);

	if (n == -1 && errno != EINTR)
		err(1, "epoll_wait");
	for (int i = 0; i < n; i++) {
		p = ev[i].data.ptr;
		if (!p->dead)
			p->event(p, ev[i].events);
	}
	crowd_move();
	while ((p = dead) != NULL) {
		dead = p->next;
		free(p);
	}
}

int
main(void)
{
	struct rlimit rl;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "no TLS");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	last = now();
	printf("%d\n", backend_open());
	fflush(stdout);
	peer_want(peer_new(&backends, STDIN_FILENO, command_event), EPOLLIN);
	for (;;)
		turn();
}
