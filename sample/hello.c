/*
 * A complete worker: answers each HTTP request with a greeting and closes.
 * Build it with: cc hello.c `pkg-config --cflags --libs spawnd`
 * and name it in a broker's configuration: spawn = { exec = /path/hello }
 */
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <spawnd.h>

#define USERS	200		/* at the same time */

static struct client {
	struct spawnd_conn	conn;
	char			head[4096];	/* of the request */
	size_t			len;
} clients[USERS];
static struct pollfd polls[USERS + 1];	/* the last one is the channel's */
static unsigned users;

static void
answer(const struct client *c)
{
	char text[1280], body[1100], host[NI_MAXHOST] = "somebody";
	int n;

	(void)getnameinfo((const struct sockaddr *)&c->conn.peer,
	    sizeof(c->conn.peer), host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	n = snprintf(body, sizeof(body), "hello %s, this is worker %ld%s%s\n",
	    host, (long)getpid(), c->conn.realm[0] != '\0' ? " of " : "",
	    c->conn.realm);
	n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/plain\r\nContent-Length: %d\r\n"
	    "Connection: close\r\n\r\n%s", n, body);
	/* Short enough to fit into the socket whole. */
	(void)send(c->conn.fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True when the request is complete, or the client has gone. */
static int
finished(struct client *c)
{
	ssize_t n = recv(c->conn.fd, c->head + c->len,
	    sizeof(c->head) - 1 - c->len, MSG_DONTWAIT);

	if (n <= 0)
		return 1;
	c->len += (size_t)n;
	c->head[c->len] = '\0';
	if (strstr(c->head, "\r\n\r\n") == NULL)
		return c->len == sizeof(c->head) - 1;
	answer(c);
	return 1;
}

static void
serve(struct spawnd_worker *w)
{
	for (unsigned i = users; i-- > 0;) {
		if (polls[i].revents == 0 || !finished(&clients[i]))
			continue;
		/* The broker may still hold a copy of the descriptor, so that
		 * closing alone would not end the connection. */
		shutdown(clients[i].conn.fd, SHUT_RDWR);
		close(clients[i].conn.fd);
		spawnd_worker_done(w, 1);
		clients[i] = clients[--users];
	}
}

int
main(int argc, char **argv)
{
	struct spawnd_worker *w;
	int ending = 0;

	if (argc > 1 && strcmp(argv[1], "-P") == 0)
		return 0;		/* there is nothing to configure */
	w = spawnd_worker_open(SPAWND_VERSION);
	if (w == NULL) {
		perror("hello is started by spawnd");
		return 78;
	}
	spawnd_worker_ready(w, USERS);
	while (ending == 0 || users > 0) {
		for (unsigned i = 0; i < users; i++)
			polls[i] = (struct pollfd){ clients[i].conn.fd,
			    POLLIN, 0 };
		polls[users] = (struct pollfd){ ending == -1 ? -1 :
		    spawnd_worker_fd(w), users < USERS ? POLLIN : 0, 0 };
		if (poll(polls, users + 1, spawnd_worker_tick(w)) == -1)
			continue;
		serve(w);
		switch (users < USERS ? spawnd_worker_next(w,
		    &clients[users].conn) : 0) {
		case 1:
			clients[users++].len = 0;
			break;
		case 2:
			ending = 1;	/* when the last one has gone */
			break;
		case -1:
			ending = -1;	/* the broker is gone */
			break;
		}
	}
	spawnd_worker_close(w);
	return 0;
}
