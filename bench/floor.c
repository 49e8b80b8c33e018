/*
 * The floor of bench/: the least a relay can do for a connection, in the
 * shapes that cost least on Linux. One process, one listener, one destination.
 *
 * It never balances, never logs, has no timers and no configuration: what a
 * real relay costs above it is the price of its features. Do not use it for
 * anything but measuring.
 *
 *	floor LISTEN-PORT DESTINATION-PORT		both on 127.0.0.1
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_SIZE	(256 * 1024)	/* one read, one buffer for all */
#define PIPE_SIZE	(1024 * 1024)
#define BULK_SIZE	(16 * 1024)	/* twice this much in a row: splice */
#define POOL_MAX	16
#define EVENTS_MAX	256
#define UNKNOWN		UINT32_MAX	/* to epoll */

struct pipe {
	int		 fd[2];
};

/*
 * One direction: bytes read from side N of the session, written to the other.
 * It owns a pipe only while the pipe holds data.
 */
struct flow {
	struct pipe	*pipe;
	uint32_t	 held;		/* bytes in the pipe */
	uint8_t		 large;		/* reads of BULK_SIZE or more in a row */
	bool		 eof;
};

/* Side 0 is the client, side 1 the destination. Freed at the end of a turn. */
struct session {
	struct flow	 flow[2];
	struct session	*next;		/* free or to be freed */
	int		 fd[2];
	uint32_t	 interest[2];
	bool		 dead;
};

static int		 ep;
static int		 listener;
static struct sockaddr_in destination;
static struct session	*spare;
static struct session	*dead;
static struct pipe	*pool[POOL_MAX];
static int		 pooled;
static char		*copy;

static struct pipe *
pipe_take(void)
{
	struct pipe *p;

	if (pooled > 0)
		return pool[--pooled];
	if ((p = malloc(sizeof(*p))) == NULL)
		return NULL;
	if (pipe2(p->fd, O_NONBLOCK | O_CLOEXEC) == -1) {
		free(p);
		return NULL;
	}
	/* A smaller pipe still works: the user's share may be used up. */
	(void)fcntl(p->fd[1], F_SETPIPE_SZ, PIPE_SIZE);
	return p;
}

static void
pipe_give(struct pipe *p, bool clean)
{
	if (clean && pooled < POOL_MAX) {
		pool[pooled++] = p;
		return;
	}
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
}

static void
session_close(struct session *s)
{
	int i;

	if (s->dead)
		return;
	s->dead = true;
	for (i = 0; i < 2; i++) {
		if (s->fd[i] != -1)
			close(s->fd[i]);
		if (s->flow[i].pipe != NULL)
			pipe_give(s->flow[i].pipe, s->flow[i].held == 0);
	}
	s->next = dead;
	dead = s;
}

/* The pointer's low bit tells the side: one registration per descriptor. */
static void
session_want(struct session *s, int side, uint32_t interest)
{
	struct epoll_event ev = { .events = interest };
	int op;

	if (s->interest[side] == interest)
		return;
	op = s->interest[side] == UNKNOWN ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	ev.data.u64 = (uint64_t)(uintptr_t)s | (uint64_t)side;
	if (epoll_ctl(ep, op, s->fd[side], &ev) == -1)
		err(1, "epoll_ctl");
	s->interest[side] = interest;
}

/* Read from a side unless its bytes wait; write to it only if some wait. */
static void
session_interest(struct session *s)
{
	int i;

	for (i = 0; i < 2; i++)
		session_want(s, i,
		    (s->flow[i].eof || s->flow[i].held > 0 ? 0 : EPOLLIN) |
		    (s->flow[!i].held > 0 ? EPOLLOUT : 0));
}

/*
 * The source has ended, and since it is only read while nothing is held, all
 * it said has gone on. False: the session is gone.
 */
static bool
flow_end(struct session *s, int side)
{
	s->flow[side].eof = true;
	if (s->flow[!side].eof) {
		session_close(s);
		return false;
	}
	shutdown(s->fd[!side], SHUT_WR);
	return true;
}

/* Pipe to destination. False: the session is gone. */
static bool
flow_drain(struct session *s, int side)
{
	struct flow *f = &s->flow[side];
	ssize_t n;

	while (f->held > 0) {
		n = splice(f->pipe->fd[0], NULL, s->fd[!side], NULL, f->held,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n <= 0) {
			if (n == -1 && (errno == EAGAIN || errno == EINTR))
				return true;
			session_close(s);
			return false;
		}
		f->held -= (uint32_t)n;
	}
	pipe_give(f->pipe, true);
	f->pipe = NULL;
	return true;
}

static bool
flow_splice(struct session *s, int side)
{
	struct flow *f = &s->flow[side];
	ssize_t n;

	if ((f->pipe = pipe_take()) == NULL) {
		f->large = 0;
		return true;
	}
	n = splice(s->fd[side], NULL, f->pipe->fd[1], NULL, PIPE_SIZE,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		if (n < BULK_SIZE)
			f->large = 0;
		f->held = (uint32_t)n;
		return flow_drain(s, side);
	}
	pipe_give(f->pipe, true);
	f->pipe = NULL;
	if (n == 0)
		return flow_end(s, side);
	if (errno != EAGAIN && errno != EINTR) {
		session_close(s);
		return false;
	}
	f->large = 0;
	return true;
}

/* What a short write left goes into a pipe: a second buffer is not needed. */
static bool
flow_hold(struct session *s, int side, const char *p, size_t len)
{
	struct flow *f = &s->flow[side];

	if ((f->pipe = pipe_take()) != NULL &&
	    write(f->pipe->fd[1], p, len) == (ssize_t)len) {
		f->held = (uint32_t)len;
		return true;
	}
	session_close(s);
	return false;
}

/* One step: a source that is emptied by it is not asked again. */
static bool
flow_step(struct session *s, int side)
{
	struct flow *f = &s->flow[side];
	ssize_t n, w;

	if (f->large >= 2)
		return flow_splice(s, side);
	n = recv(s->fd[side], copy, COPY_SIZE, MSG_DONTWAIT);
	if (n == 0)
		return flow_end(s, side);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		session_close(s);
		return false;
	}
	if (n == COPY_SIZE)
		f->large = 2;
	else
		f->large = n >= BULK_SIZE ? f->large + 1 : 0;
	w = send(s->fd[!side], copy, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (w == n)
		return true;
	if (w == -1) {
		if (errno != EAGAIN && errno != EINTR) {
			session_close(s);
			return false;
		}
		w = 0;
	}
	return flow_hold(s, side, copy + w, (size_t)(n - w));
}

static void
session_event(struct session *s, int side, uint32_t events)
{
	if (s->dead)
		return;
	if ((events & EPOLLOUT) && s->flow[!side].held > 0 &&
	    !flow_drain(s, !side))
		return;
	if ((events & EPOLLIN) && s->flow[side].held == 0 &&
	    !s->flow[side].eof && !flow_step(s, side))
		return;
	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) {
		session_close(s);
		return;
	}
	session_interest(s);
}

/* Connect and pass on what the client has said before the loop knows us. */
static void
session_start(int fd)
{
	struct session *s = spare;
	int to, one = 1;

	if (s != NULL)
		spare = s->next;
	else if ((s = malloc(sizeof(*s))) == NULL)
		err(1, NULL);
	to = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	memset(s, 0, sizeof(*s));
	s->fd[0] = fd;
	s->fd[1] = to;
	s->interest[0] = s->interest[1] = UNKNOWN;
	if (to == -1) {
		session_close(s);
		return;
	}
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(to, (struct sockaddr *)&destination,
	    sizeof(destination)) == -1 && errno != EINPROGRESS) {
		session_close(s);
		return;
	}
	if (flow_step(s, 0))
		session_interest(s);
}

/*
 * One a turn: asking in vain costs a socket, and the turn that finds the next
 * one is seldom for it alone.
 */
static void
listener_event(void)
{
	int fd;

	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		session_start(fd);
}

static void
listener_open(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int one = 1;

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener == -1)
		err(1, "socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, 4096) == -1)
		err(1, "port %d", port);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
turn(void)
{
	struct epoll_event ev[EVENTS_MAX];
	struct session *s;
	int i, n;

	if ((n = epoll_wait(ep, ev, EVENTS_MAX, -1)) == -1 && errno != EINTR)
		err(1, "epoll_wait");
	for (i = 0; i < n; i++) {
		if (ev[i].data.u64 == 0)
			listener_event();
		else
			session_event(
			    (struct session *)(uintptr_t)(ev[i].data.u64 & ~1UL),
			    (int)(ev[i].data.u64 & 1), ev[i].events);
	}
	while ((s = dead) != NULL) {
		dead = s->next;
		s->next = spare;
		spare = s;
	}
}

int
main(int argc, char **argv)
{
	struct rlimit rl;

	if (argc != 3)
		errx(64, "usage: floor LISTEN-PORT DESTINATION-PORT");
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	destination.sin_family = AF_INET;
	destination.sin_port = htons((uint16_t)atoi(argv[2]));
	destination.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((copy = malloc(COPY_SIZE)) == NULL)
		err(1, NULL);
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	listener_open(atoi(argv[1]));
	for (;;)
		turn();
}
