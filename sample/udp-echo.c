/*
 * A worker for datagrams: sends each one back. The broker makes a socket for
 * every client, connected to him, and gives it to us with his first datagram;
 * what he sends later comes to that socket. When a client has been silent for
 * long enough his socket is closed, and his next datagram is a first one.
 *
 * Its section may hold: idle = SECONDS (10 if it does not).
 * Build it with: cc udp-echo.c `pkg-config --cflags --libs spawnd`
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <spawnd.h>

#define USERS	1000		/* at the same time */

static struct client {
	struct spawnd_conn	conn;
	time_t			seen;
} clients[USERS];
static struct pollfd polls[USERS + 1];	/* the last one is the channel's */
static unsigned users;
static time_t idle = 10;

static time_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Our section of the broker's configuration, wherever that came from. */
static int
configure(const char *file, const char *id)
{
	struct spawnd_conf_reader *r = spawnd_conf_open(file, id);
	struct spawnd_token t;
	int got, value = 0;

	if (r == NULL) {
		fprintf(stderr, "%s: section '%s': %s\n", file, id,
		    strerror(errno));
		return -1;
	}
	while ((got = spawnd_conf_next(r, &t)) == 1) {
		if (value && t.kind == SPAWND_TOKEN_WORD)
			idle = atoi(t.text);
		value = value ? t.kind == SPAWND_TOKEN_DELIM :
		    strcmp(t.text, "idle") == 0;
	}
	if (got == -1)
		fprintf(stderr, "%s:%u: %s\n", t.file, t.line, t.text);
	spawnd_conf_close(r);
	return got;
}

/*
 * A datagram of a client who has a socket already: sent before that was made.
 * It is answered by the socket there is.
 */
static struct client *
known(const struct spawnd_conn *c)
{
	for (unsigned i = 0; i < users; i++)
		if (memcmp(&clients[i].conn.peer, &c->peer,
		    sizeof(c->peer)) == 0 &&
		    memcmp(&clients[i].conn.local, &c->local,
		    sizeof(c->local)) == 0)
			return &clients[i];
	return NULL;
}

static void
begin(struct spawnd_worker *w, struct spawnd_conn *c)
{
	struct client *k = known(c);

	/* data is only there until the next call of the library */
	(void)send(c->fd, c->data, c->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (k != NULL) {
		close(c->fd);
		spawnd_worker_done(w, 1);
	} else {
		k = &clients[users++];
		k->conn = *c;
	}
	k->seen = now();
}

/* All that is there; -1 if the client has gone (ECONNREFUSED). */
static int
echo(struct client *k)
{
	static char data[65536];
	ssize_t n;

	while ((n = recv(k->conn.fd, data, sizeof(data), MSG_DONTWAIT)) != -1) {
		k->seen = now();
		(void)send(k->conn.fd, data, (size_t)n,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void
serve(struct spawnd_worker *w, int ending)
{
	time_t t = now();

	for (unsigned i = users; i-- > 0;) {
		int gone = polls[i].revents != 0 && echo(&clients[i]) == -1;

		if (!gone && !ending && t - clients[i].seen <= idle)
			continue;
		close(clients[i].conn.fd);
		spawnd_worker_done(w, 1);
		clients[i] = clients[--users];
	}
}

int
main(int argc, char **argv)
{
	struct spawnd_worker *w;
	struct spawnd_conn c;
	int ending = 0;

	/* [options] FILE ID; those of the broker's own are passed on */
	if (argc < 3 || configure(argv[argc - 2], argv[argc - 1]) == -1)
		return 78;
	if (strcmp(argv[1], "-P") == 0)
		return 0;
	if ((w = spawnd_worker_open(SPAWND_VERSION)) == NULL) {
		perror("udp-echo is started by spawnd");
		return 78;
	}
	spawnd_worker_ready(w, USERS);
	while (ending == 0 || users > 0) {
		int wait = spawnd_worker_tick(w);

		for (unsigned i = 0; i < users; i++)
			polls[i] = (struct pollfd){ clients[i].conn.fd,
			    POLLIN, 0 };
		polls[users] = (struct pollfd){ ending == -1 ? -1 :
		    spawnd_worker_fd(w), users < USERS ? POLLIN : 0, 0 };
		/* no more than a second, to see who has been silent */
		if (poll(polls, users + 1, users > 0 && wait > 1000 ? 1000 :
		    wait) == -1)
			continue;
		serve(w, ending);
		switch (ending != -1 && users < USERS ?
		    spawnd_worker_next(w, &c) : 0) {
		case 1:
			begin(w, &c);
			break;
		case 2:
			ending = 1;	/* what is on its way is answered */
			break;
		case -1:
			ending = -1;
			break;
		}
	}
	spawnd_worker_close(w);
	return 0;
}
