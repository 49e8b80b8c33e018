/*
 * A worker for tests, on the plain channel. It tells each client what it knows
 * of the connection, in one line, and echoes then; a line that begins with '!'
 * is an order. Datagrams likewise, of which the first comes with the
 * connection. What it is to do wrong is the first word of its id:
 *
 *	version, bad-config, exit-N, mute (never ready), max-N, return (gives
 *	everything back while another one has the file FILE.good), slow (ready
 *	once there is FILE.go), stay (does not leave who sends datagrams when
 *	it is to end)
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <spawnd.h>

#define USERS	64

static struct spawnd_worker *worker;
static int fds[USERS];
static unsigned users;
static int ending;

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == -1 ? -1 : value;
}

static void
address(char *text, size_t size, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;
	char host[INET6_ADDRSTRLEN];

	if (ss->ss_family == AF_INET)
		snprintf(text, size, "%s:%u", inet_ntop(AF_INET,
		    &in->sin_addr, host, sizeof(host)), ntohs(in->sin_port));
	else if (ss->ss_family == AF_INET6)
		snprintf(text, size, "%s:%u", inet_ntop(AF_INET6,
		    &in6->sin6_addr, host, sizeof(host)),
		    ntohs(in6->sin6_port));
	else
		snprintf(text, size, "%s", ss->ss_family == AF_UNIX ?
		    "unix" : "none");
}

static void
tell(const struct spawnd_conn *c, const char *id)
{
	char text[1024], peer[80], local[80];
	int n;

	address(peer, sizeof(peer), &c->peer);
	address(local, sizeof(local), &c->local);
	n = snprintf(text, sizeof(text), "pid=%ld section=%s id=%llu realm=%s "
	    "listener=%u flags=%u versions=%u aaa=%u type=%u protocol=%u "
	    "peer=%s local=%s late=%d tos=%d tclass=%d keepalive=%d "
	    "count=%d idle=%d interval=%d nodelay=%d cloexec=%d "
	    "nonblock=%d data=%zu\n", (long)getpid(), id, (unsigned long long)c->id,
	    c->realm[0] != '\0' ? c->realm : "-", c->listener, c->flags,
	    c->versions, c->aaa, c->type, c->protocol, peer, local,
	    c->handed < c->accepted, option(c->fd, IPPROTO_IP, IP_TOS),
	    option(c->fd, IPPROTO_IPV6, IPV6_TCLASS),
	    option(c->fd, SOL_SOCKET, SO_KEEPALIVE),
	    option(c->fd, IPPROTO_TCP, TCP_KEEPCNT),
	    option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE),
	    option(c->fd, IPPROTO_TCP, TCP_KEEPINTVL),
	    option(c->fd, IPPROTO_TCP, TCP_NODELAY),
	    (fcntl(c->fd, F_GETFD) & FD_CLOEXEC) != 0,
	    (fcntl(c->fd, F_GETFL) & O_NONBLOCK) != 0, c->len);
	(void)send(c->fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* False: the client is to go. */
static int
order(const char *text)
{
	if (strncmp(text, "!dying", 6) == 0) {
		spawnd_worker_dying(worker);
		ending = 1;
	} else if (strncmp(text, "!max ", 5) == 0)
		spawnd_worker_max(worker, (unsigned)atoi(text + 5));
	else if (strncmp(text, "!done ", 6) == 0)
		spawnd_worker_done(worker, (unsigned)atoi(text + 6));
	else if (strncmp(text, "!exit ", 6) == 0)
		_exit(atoi(text + 6));
	else if (strncmp(text, "!forget", 7) == 0)
		return -1;		/* closed without a DONE */
	else if (strncmp(text, "!close", 6) == 0)
		return 1;
	return 0;
}

static void
leave(unsigned i, int done)
{
	shutdown(fds[i], SHUT_RDWR);
	close(fds[i]);
	fds[i] = fds[--users];
	if (done)
		spawnd_worker_done(worker, 1);
}

/* What a client sent; data has a NUL behind its end. */
static void
got_data(unsigned i, const char *data, size_t len)
{
	int what = data[0] == '!' ? order(data) : 0;

	if (data[0] != '!')
		(void)send(fds[i], data, len, MSG_NOSIGNAL);
	if (what != 0)
		leave(i, what > 0);
}

/* The datagram that a client came with. */
static void
first(const struct spawnd_conn *c)
{
	static char data[65536];

	memcpy(data, c->data, c->len);
	data[c->len] = '\0';
	got_data(users - 1, data, c->len);
}

static void
serve(unsigned i)
{
	static char data[65536];
	ssize_t n = recv(fds[i], data, sizeof(data) - 1, MSG_DONTWAIT);
	int datagrams = option(fds[i], SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;

	if (n > 0 || (n == 0 && datagrams)) {
		data[n] = '\0';
		got_data(i, data, (size_t)n);
	} else if (n == 0 || errno != EAGAIN)
		leave(i, 1);
}

static int
returns(const char *file, int *good)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.good", file);
	if (*good == -1)
		*good = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600) != -1;
	return !*good;
}

static void
wait_for_go(const char *file)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.go", file);
	while (access(path, F_OK) == -1)
		usleep(10000);
}

/* Nothing tells that a client who sends datagrams has gone. */
static void
leave_datagrams(void)
{
	for (unsigned i = users; i-- > 0; )
		if (option(fds[i], SOL_SOCKET, SO_TYPE) == SOCK_DGRAM)
			leave(i, 1);
}

int
main(int argc, char **argv)
{
	const char *file = argc > 2 ? argv[argc - 2] : "", *id = argv[argc - 1];
	struct pollfd polls[USERS + 1];
	struct spawnd_conn c;
	int good = -1, got = 0;

	if (argc > 1 && strcmp(argv[1], "-P") == 0)
		return 0;
	worker = spawnd_worker_open(SPAWND_VERSION +
	    (strcmp(id, "version") == 0));
	if (worker == NULL) {
		fprintf(stderr, "probe: open: %s\n", strerror(errno));
		return 78;
	}
	if (getenv("SPAWND_WORKER") != NULL)
		return 3;
	if (strcmp(id, "bad-config") == 0) {
		spawnd_worker_bad_config(worker, "nothing pleases me");
		spawnd_worker_close(worker);
		return 0;
	}
	if (strncmp(id, "exit-", 5) == 0)
		return atoi(id + 5);
	if (strcmp(id, "slow") == 0)
		wait_for_go(file);
	if (strcmp(id, "mute") != 0)
		spawnd_worker_ready(worker, strncmp(id, "max-", 4) == 0 ?
		    (unsigned)atoi(id + 4) : USERS);
	while (ending == 0 || users > 0) {
		for (unsigned i = 0; i < users; i++)
			polls[i] = (struct pollfd){ fds[i], POLLIN, 0 };
		polls[users] = (struct pollfd){ got == -1 ? -1 :
		    spawnd_worker_fd(worker), POLLIN, 0 };
		if (poll(polls, users + 1, spawnd_worker_tick(worker)) == -1)
			continue;
		for (unsigned i = users; i-- > 0; )
			if (polls[i].revents != 0)
				serve(i);
		if (got == -1 || (got = spawnd_worker_next(worker, &c)) == 0)
			continue;
		if (got != 1) {
			ending = 1;
			if (strcmp(id, "stay") != 0)
				leave_datagrams();
			fprintf(stderr, "probe: %s\n", got == 2 ?
			    "told to end" : "channel lost");
		} else if ((strcmp(id, "return") == 0 &&
		    returns(file, &good)) || users == USERS)
			spawnd_worker_return(worker, &c,
			    SPAWND_RETURN_RESOURCES);
		else {
			tell(&c, id);
			fds[users++] = c.fd;
			if (c.type == SOCK_DGRAM)
				first(&c);
		}
	}
	spawnd_worker_close(worker);
	return 0;
}
