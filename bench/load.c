/*
 * Load generator and backend of bench/, in one process and one loop, so that
 * both cost little and stay on one core.
 *
 * The backend listens on a free port of 127.0.0.1, which is the first line
 * printed. It echoes what it gets; a message of MESSAGE bytes that starts
 * with "GIVE " and a number makes it send that many bytes instead.
 *
 * Commands are lines on standard input; each is answered by one line. PORT is
 * the relay to go through, TLS is plain, tls or resume:
 *
 *	short PORT TLS COUNT PARALLEL	connect, one echo, close
 *	ping  PORT TLS COUNT PARALLEL	round trips over open connections
 *	bulk  PORT TLS BYTES		one transfer towards the client
 *	hold  PORT TLS COUNT PARALLEL	connect, one echo, stay
 *	drop				close what is held, telling how many
 *
 * The answer is "done N failed N resumed N ns N". It measures no costs: that
 * is bench/run's business.
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
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

#ifndef WITHOUT_TLS
#include <openssl/ssl.h>
#endif

#define MESSAGE		64
#define CHUNK		(256 * 1024)
#define EVENTS_MAX	256
#define STALL_SECONDS	15		/* no progress: the rest has failed */
#define LINE_SIZE	256

enum io { IO_DONE, IO_AGAIN, IO_WRITE, IO_END };

enum step {
	STEP_HANDSHAKE,
	STEP_SEND,
	STEP_ECHO,		/* waiting for the rest of the echo */
	STEP_BULK,
	STEP_HELD,
};

enum kind { KIND_NONE, KIND_SHORT, KIND_PING, KIND_BULK, KIND_HOLD };

static const struct {
	const char	*name;
	enum kind	 kind;
	int		 arguments;	/* after the port and TLS */
} kinds[] = {
	{ "short",	KIND_SHORT,	2 },
	{ "ping",	KIND_PING,	2 },
	{ "bulk",	KIND_BULK,	1 },
	{ "hold",	KIND_HOLD,	2 },
};

/*
 * One socket of either side. On the list of its side while it lives; freed at
 * the end of the turn.
 */
struct conn {
	struct conn	*next;
	struct conn	*prev;
	void		(*event)(struct conn *, uint32_t);
	void		*ssl;		/* SSL *, NULL if plain */
	uint64_t	 left;		/* bytes to come, or to send */
	uint64_t	 offset;	/* in the pattern of bulk data */
	uint32_t	 interest;
	int		 fd;
	enum step	 step;
	bool		 dead;
};

/* The command being carried out. */
static struct {
	enum kind	 kind;
	int		 port;
	bool		 tls;
	bool		 resume;
	uint64_t	 count;
	uint64_t	 parallel;
	uint64_t	 started;
	uint64_t	 done;
	uint64_t	 failed;
	uint64_t	 resumed;
	uint64_t	 begin;		/* ns */
	uint64_t	 progress;	/* ns */
	void		*session;	/* SSL_SESSION * to resume */
	bool		 priming;	/* the connection that gets it is open */
} task;

static int		 ep;
static struct conn	 clients = { .next = &clients, .prev = &clients };
static struct conn	 backends = { .next = &backends, .prev = &backends };
static struct conn	*dead;
static unsigned char	*chunk;
static unsigned char	*pattern;	/* 2 * CHUNK, period PERIOD */

#define PERIOD		251		/* prime: a lost byte shows */

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* TLS, or its absence. ------------------------------------------------- */

#ifndef WITHOUT_TLS

static SSL_CTX *ctx;

static int
session_cb(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	if (!task.resume || task.session != NULL)
		return 0;
	task.session = session;
	return 1;
}

static void
tls_init(void)
{
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "no TLS");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	/* The relays' own preferences differ: leave them none. */
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_cb);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
}

static bool
tls_start(struct conn *c)
{
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL)
		return false;
	c->ssl = ssl;
	SSL_set_connect_state(ssl);
	if (task.kind == KIND_BULK)
		SSL_set_default_read_buffer_len(ssl, CHUNK);
	if (task.session != NULL) {
		/* A copy: the next ticket spoils the one it came by. */
		SSL_SESSION *copy = SSL_SESSION_dup(task.session);

		SSL_set_session(ssl, copy);
		SSL_SESSION_free(copy);
	}
	return SSL_set_fd(ssl, c->fd) == 1;
}

static enum io
tls_result(struct conn *c, int r)
{
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return IO_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		return IO_WRITE;
	default:
		return IO_END;
	}
}

static enum io
tls_handshake(struct conn *c)
{
	int r = SSL_do_handshake(c->ssl);

	if (r != 1)
		return tls_result(c, r);
	if (SSL_session_reused(c->ssl))
		task.resumed++;
	return IO_DONE;
}

static enum io
tls_read(struct conn *c, void *p, size_t len, size_t *n)
{
	int r = SSL_read(c->ssl, p, (int)len);

	if (r <= 0)
		return tls_result(c, r);
	*n = (size_t)r;
	return IO_DONE;
}

static enum io
tls_write(struct conn *c, const void *p, size_t len)
{
	int r = SSL_write(c->ssl, p, (int)len);

	return r <= 0 ? tls_result(c, r) : IO_DONE;
}

static void
tls_end(struct conn *c, bool polite)
{
	if (polite)
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	c->ssl = NULL;
}

static void
tls_forget(void)
{
	SSL_SESSION_free(task.session);
	task.session = NULL;
}

#else

static void	tls_init(void) { }
static bool	tls_start(struct conn *c) { (void)c; return false; }
static enum io	tls_handshake(struct conn *c) { (void)c; return IO_END; }
static void	tls_end(struct conn *c, bool b) { (void)c; (void)b; }
static void	tls_forget(void) { }

static enum io
tls_read(struct conn *c, void *p, size_t len, size_t *n)
{
	(void)c; (void)p; (void)len; (void)n;
	return IO_END;
}

static enum io
tls_write(struct conn *c, const void *p, size_t len)
{
	(void)c; (void)p; (void)len;
	return IO_END;
}

#endif

/* Connections. --------------------------------------------------------- */

static struct conn *
conn_new(struct conn *list, int fd, void (*event)(struct conn *, uint32_t))
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		err(1, NULL);
	c->fd = fd;
	c->event = event;
	c->next = list->next;
	c->prev = list;
	list->next->prev = c;
	list->next = c;
	return c;
}

static void
conn_close(struct conn *c, bool polite)
{
	if (c->dead)
		return;
	c->dead = true;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	if (c->ssl != NULL)
		tls_end(c, polite);
	close(c->fd);
	c->next = dead;
	dead = c;
}

static void
conn_want(struct conn *c, uint32_t interest)
{
	struct epoll_event ev = { .events = interest, .data.ptr = c };

	if (c->interest == interest)
		return;
	if (epoll_ctl(ep, c->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
	    c->fd, &ev) == -1)
		err(1, "epoll_ctl");
	c->interest = interest;
}

static enum io
conn_read(struct conn *c, void *p, size_t len, size_t *n)
{
	ssize_t r;

	if (c->ssl != NULL)
		return tls_read(c, p, len, n);
	r = recv(c->fd, p, len, MSG_DONTWAIT);
	if (r == -1)
		return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_END;
	*n = (size_t)r;
	return r == 0 ? IO_END : IO_DONE;
}

/* Messages are small: one that goes out in part counts as an error. */
static enum io
conn_write(struct conn *c, const void *p, size_t len)
{
	ssize_t r;

	if (c->ssl != NULL)
		return tls_write(c, p, len);
	r = send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r == -1 && (errno == EAGAIN || errno == EINTR))
		return IO_WRITE;
	return r == (ssize_t)len ? IO_DONE : IO_END;
}

/* Backend. ------------------------------------------------------------- */

static void
backend_give(struct conn *c)
{
	ssize_t n;

	while (c->left > 0) {
		n = send(c->fd, pattern + c->offset % PERIOD,
		    c->left < CHUNK ? c->left : CHUNK,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1) {
			if (errno == EAGAIN || errno == EINTR)
				conn_want(c, EPOLLOUT);
			else
				conn_close(c, false);
			return;
		}
		c->offset += (uint64_t)n;
		c->left -= (uint64_t)n;
	}
	conn_want(c, EPOLLIN);
}

static void
backend_event(struct conn *c, uint32_t events)
{
	size_t n = 0;

	(void)events;
	if (c->left > 0) {
		backend_give(c);
		return;
	}
	switch (conn_read(c, chunk, MESSAGE, &n)) {
	case IO_DONE:
		break;
	case IO_AGAIN:
		return;
	case IO_WRITE:
	case IO_END:
		conn_close(c, false);
		return;
	}
	if (n == MESSAGE && memcmp(chunk, "GIVE ", 5) == 0) {
		chunk[MESSAGE - 1] = '\0';
		c->left = strtoull((char *)chunk + 5, NULL, 10);
		c->offset = 0;
		backend_give(c);
	} else if (conn_write(c, chunk, n) != IO_DONE)
		conn_close(c, false);
}

static void
backend_accept(struct conn *c, uint32_t events)
{
	struct conn *b;
	int fd;

	(void)events;
	fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return;
	b = conn_new(&backends, fd, backend_event);
	/* The first message is often there; if not, this costs little. */
	backend_event(b, EPOLLIN);
	if (!b->dead && b->interest == 0)
		conn_want(b, EPOLLIN);
}

static int
backend_open(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd, one = 1;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, len) == -1 ||
	    listen(fd, 4096) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "backend");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_want(conn_new(&backends, fd, backend_accept), EPOLLIN);
	return ntohs(sin.sin_port);
}

/* Clients. ------------------------------------------------------------- */

static void	client_step(struct conn *);

static void
task_answer(void)
{
	printf("done %ju failed %ju resumed %ju ns %ju\n",
	    (uintmax_t)task.done, (uintmax_t)task.failed,
	    (uintmax_t)task.resumed, (uintmax_t)(now() - task.begin));
	fflush(stdout);
	task.kind = KIND_NONE;
	tls_forget();
}

static void
client_end(struct conn *c, bool well)
{
	if (task.kind != KIND_NONE) {
		if (well)
			task.done++;
		else
			task.failed++;
		task.progress = now();
		task.priming = false;
	}
	conn_close(c, well);
}

static void
client_event(struct conn *c, uint32_t events)
{
	if (c->step == STEP_HELD) {
		/* Nobody should speak to us; a ticket may still come. */
		size_t n = 0;

		if (c->ssl == NULL || (events & (EPOLLERR | EPOLLHUP)) ||
		    conn_read(c, chunk, CHUNK, &n) != IO_AGAIN)
			conn_close(c, false);
		return;
	}
	client_step(c);
}

static void
client_start(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct conn *c;
	int fd, one = 1;

	task.started++;
	sin.sin_port = htons((uint16_t)task.port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = conn_new(&clients, fd, client_event);
	c->step = task.tls ? STEP_HANDSHAKE : STEP_SEND;
	if ((connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 &&
	    errno != EINPROGRESS) || (task.tls && !tls_start(c))) {
		client_end(c, false);
		return;
	}
	client_step(c);
}

static enum io
client_send(struct conn *c)
{
	char message[MESSAGE] = "a message, sixty-four bytes long";
	enum io io;

	if (task.kind == KIND_BULK)
		snprintf(message, sizeof(message), "GIVE %ju",
		    (uintmax_t)task.count);
	if ((io = conn_write(c, message, MESSAGE)) != IO_DONE)
		return io;
	c->step = STEP_ECHO;
	c->left = MESSAGE;
	if (task.kind == KIND_BULK) {
		c->step = STEP_BULK;
		c->left = task.count;
		c->offset = 0;
	}
	return IO_DONE;
}

/* The echo is complete: what now depends on the command. */
static enum io
client_echoed(struct conn *c)
{
	switch (task.kind) {
	case KIND_PING:
		task.done++;
		if ((task.done & 1023) == 0)
			task.progress = now();
		if (task.started >= task.count) {
			conn_close(c, true);
			return IO_AGAIN;
		}
		task.started++;
		c->step = STEP_SEND;
		return IO_DONE;
	case KIND_HOLD:
		task.done++;
		task.progress = now();
		c->step = STEP_HELD;
		return IO_AGAIN;
	case KIND_NONE:
	case KIND_SHORT:
	case KIND_BULK:
		break;
	}
	client_end(c, true);
	return IO_AGAIN;
}

static enum io
client_echo(struct conn *c)
{
	enum io io;
	size_t n = 0;

	if ((io = conn_read(c, chunk, c->left, &n)) != IO_DONE)
		return io;
	c->left -= n;
	return c->left > 0 ? IO_AGAIN : client_echoed(c);
}

static enum io
client_bulk(struct conn *c)
{
	enum io io;
	size_t n = 0;

	if ((io = conn_read(c, chunk, CHUNK, &n)) != IO_DONE)
		return io;
	if (n > c->left || chunk[0] != pattern[c->offset % PERIOD] ||
	    chunk[n - 1] != pattern[(c->offset + n - 1) % PERIOD])
		return IO_END;
	c->offset += n;
	c->left -= n;
	task.progress = now();
	if (c->left > 0)
		return IO_DONE;
	client_end(c, true);
	return IO_AGAIN;
}

/* As far as it goes without waiting. */
static void
client_step(struct conn *c)
{
	enum io io = IO_DONE;

	while (io == IO_DONE) {
		switch (c->step) {
		case STEP_HANDSHAKE:
			if ((io = tls_handshake(c)) == IO_DONE)
				c->step = STEP_SEND;
			break;
		case STEP_SEND:
			/* The answer is never there at once. */
			if ((io = client_send(c)) == IO_DONE)
				io = IO_AGAIN;
			break;
		case STEP_ECHO:
			io = client_echo(c);
			break;
		case STEP_BULK:
			io = client_bulk(c);
			break;
		case STEP_HELD:
			io = IO_AGAIN;
			break;
		}
	}
	if (c->dead)
		return;
	if (io == IO_END)
		client_end(c, false);
	else
		conn_want(c, io == IO_WRITE ? EPOLLOUT : EPOLLIN);
}

/* Commands. ------------------------------------------------------------ */

static uint64_t
clients_open(void)
{
	struct conn *c;
	uint64_t n = 0;

	for (c = clients.next; c != &clients; c = c->next)
		if (c->step != STEP_HELD)
			n++;
	return n;
}

static uint64_t
task_open(void)
{
	if (task.kind == KIND_PING)
		return clients_open();
	return task.started - task.done - task.failed;
}

/* Keep as many connections open as the command wants; tell when it is over. */
static void
task_run(void)
{
	uint64_t total = task.kind == KIND_BULK ? 1 : task.count;

	if (task.kind == KIND_NONE)
		return;
	if (now() - task.progress > STALL_SECONDS * 1000000000ULL) {
		struct conn *c, *next;

		for (c = clients.next; c != &clients; c = next) {
			next = c->next;
			if (c->step != STEP_HELD)
				conn_close(c, false);
		}
		task.failed = total - task.done;
		task_answer();
		return;
	}
	/* One full handshake yields the session that all others resume. */
	if (task.resume && task.session == NULL && task.started > 0) {
		if (task.priming)
			return;
		if (task.failed == 0)
			task.failed = total - task.done;
		task_answer();
		return;
	}
	while (task.started < total && task_open() < task.parallel) {
		task.priming = task.resume && task.session == NULL;
		client_start();
		if (task.priming)
			return;
	}
	if (task.done + task.failed >= total ||
	    (task.kind == KIND_PING && clients_open() == 0)) {
		task.failed = total - task.done;
		task_answer();
	}
}

static void
held_drop(void)
{
	struct conn *c, *next;

	for (c = clients.next; c != &clients; c = next) {
		next = c->next;
		task.done += c->step == STEP_HELD;
		conn_close(c, true);
	}
	task.begin = now();
	task_answer();
}

static bool
task_start(const char *line)
{
	unsigned long long count, parallel = 1;
	char verb[16], tls[16];
	int port, n;
	size_t i;

	n = sscanf(line, "%15s %d %15s %llu %llu", verb, &port, tls, &count,
	    &parallel);
	memset(&task, 0, sizeof(task));
	if (n >= 1 && strcmp(verb, "drop") == 0) {
		held_drop();
		return true;
	}
	if (n < 4 || count == 0 || parallel == 0 || port < 1 || port > 65535)
		return false;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(verb, kinds[i].name) == 0)
			task.kind = kinds[i].kind;
	task.port = port;
	task.tls = strcmp(tls, "plain") != 0;
	task.resume = strcmp(tls, "resume") == 0;
	task.count = count;
	task.parallel = parallel;
	task.begin = task.progress = now();
	return task.kind != KIND_NONE;
}

static void
command_event(struct conn *c, uint32_t events)
{
	static char line[LINE_SIZE];
	static size_t have;
	ssize_t n;
	char *end;

	(void)events;
	n = read(c->fd, line + have, sizeof(line) - have - 1);
	if (n <= 0)
		exit(0);
	have += (size_t)n;
	line[have] = '\0';
	if ((end = strchr(line, '\n')) == NULL) {
		if (have == sizeof(line) - 1)
			errx(64, "line too long");
		return;
	}
	/* One at a time: the next is sent after the answer. */
	*end = '\0';
	have = 0;
	if (task.kind != KIND_NONE || !task_start(line))
		errx(64, "not understood: %s", line);
}

static void
turn(void)
{
	struct epoll_event ev[EVENTS_MAX];
	struct conn *c;
	int i, n;

	n = epoll_wait(ep, ev, EVENTS_MAX, task.kind == KIND_NONE ? -1 : 1000);
	if (n == -1 && errno != EINTR)
		err(1, "epoll_wait");
	for (i = 0; i < n; i++) {
		c = ev[i].data.ptr;
		if (!c->dead)
			c->event(c, ev[i].events);
	}
	task_run();
	while ((c = dead) != NULL) {
		dead = c->next;
		free(c);
	}
}

int
main(void)
{
	struct rlimit rl;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if ((chunk = malloc(CHUNK)) == NULL ||
	    (pattern = malloc(CHUNK + PERIOD)) == NULL)
		err(1, NULL);
	for (i = 0; i < CHUNK + PERIOD; i++)
		pattern[i] = (unsigned char)(i % PERIOD);
	tls_init();
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	printf("%d\n", backend_open());
	fflush(stdout);
	conn_want(conn_new(&backends, STDIN_FILENO, command_event), EPOLLIN);
	for (;;)
		turn();
}
