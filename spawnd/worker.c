/*
 * The worker half of the channel: libspawnd. Holds nothing of a connection;
 * once delivered it is the worker's. Never blocks after the opening: what the
 * channel has no room for is kept and sent with a later call.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../misc/msg.h"
#include "given.h"
#include "worker.h"

#define HELLO_WAIT	10000	/* ms */
#define RETRY		10	/* ms until a full channel is tried again */
#define TURN		16	/* messages without a connection per call */
#define TEXT_MAX	4096

uint64_t
worker_clock(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)ts.tv_nsec;
}

bool
worker_old(const struct spawnd_conn *c, uint64_t now)
{
	return now > c->handed && now - c->handed > WORKER_OLD;
}

/* ---- the opening */

static bool
worker_channel(int fd)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	int type = 0;

	memset(&un, 0, sizeof(un));
	if (getsockname(fd, (struct sockaddr *)&un, &len) == -1 ||
	    un.sun_family != AF_UNIX)
		return false;
	len = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == msg_socktype();
}

bool
worker_started(void)
{
	return getenv(CHANNEL_ENV) != NULL && worker_channel(0);
}

/* The first message, or why there is none. The loop does not run yet, so
 * this one may be waited for. */
static int
worker_first(struct spawnd_worker *w, struct channel_hello *hello,
    char error[static WORKER_ERROR])
{
	struct pollfd p = { .fd = w->ch.fd, .events = POLLIN };
	uint64_t end = worker_clock() + HELLO_WAIT * UINT64_C(1000000);
	const char *why = NULL;
	struct channel_header h;
	int fds[MSG_FDS], cut;
	unsigned nfds;
	ssize_t n;

	for (;;) {
		uint64_t now = worker_clock();
		int got = poll(&p, 1, now >= end ? 0 :
		    (int)((end - now) / 1000000) + 1);

		if (got == 1)
			break;
		if (got == -1 && errno == EINTR)
			continue;
		snprintf(error, WORKER_ERROR, "no HELLO from the master");
		errno = ETIMEDOUT;
		return -1;
	}
	n = msg_recv(w->ch.fd, w->buf, sizeof(w->buf), fds, &nfds, &cut);
	if (n <= 0) {
		snprintf(error, WORKER_ERROR, "the master is gone");
		errno = EPROTO;
		return -1;
	}
	while (nfds > 0)
		close(fds[--nfds]);
	why = channel_check(w->buf, (size_t)n, 0, true, 0);
	memset(&h, 0, sizeof(h));
	memcpy(&h, w->buf, (size_t)n < sizeof(h) ? (size_t)n : sizeof(h));
	if (why == NULL && h.type != CHANNEL_HELLO)
		why = "not HELLO";
	if (why != NULL) {
		snprintf(error, WORKER_ERROR,
		    "first message of the master: %s", why);
		errno = EPROTO;
		return -1;
	}
	w->ch.seen = h.sequence;
	memcpy(hello, w->buf + sizeof(h), sizeof(*hello));
	return 0;
}

static int
worker_meet(struct spawnd_worker *w, const char *env,
    char error[static WORKER_ERROR])
{
	struct channel_hello hello;
	unsigned version;

	errno = EPROTO;
	if (!channel_env_parse(env, &version, w->nonce)) {
		snprintf(error, WORKER_ERROR,
		    "%s in the environment is malformed", CHANNEL_ENV);
		return -1;
	}
	if (version != SPAWND_VERSION) {
		snprintf(error, WORKER_ERROR, "the master speaks version %u "
		    "of the channel, this worker %d", version, SPAWND_VERSION);
		return -1;
	}
	if (worker_first(w, &hello, error) == -1)
		return -1;
	if (memcmp(hello.nonce, w->nonce, sizeof(w->nonce)) != 0) {
		snprintf(error, WORKER_ERROR, "HELLO has another nonce than "
		    "%s: not started by this master", CHANNEL_ENV);
		errno = EPROTO;
		return -1;
	}
	memcpy(w->build, hello.build, sizeof(w->build));
	w->generation = hello.generation;
	w->number = hello.worker;
	w->offered = hello.features;
	return 0;
}

struct spawnd_worker *
worker_start(int version, char error[static WORKER_ERROR])
{
	const char *env = getenv(CHANNEL_ENV);
	struct spawnd_worker *w;
	int flags, saved;

	given_note();
	if (env == NULL || !worker_channel(0)) {
		snprintf(error, WORKER_ERROR, "not started by a master");
		errno = ENOTSOCK;
		return NULL;
	}
	if (version != SPAWND_VERSION) {
		snprintf(error, WORKER_ERROR, "version %d of the channel is "
		    "not known, only %d", version, SPAWND_VERSION);
		errno = EPROTO;
		return NULL;
	}
	/* Not zeroed as a whole: the buffer is memory only when used. */
	w = malloc(sizeof(*w));
	if (w == NULL) {
		snprintf(error, WORKER_ERROR, "out of memory");
		return NULL;
	}
	memset(w, 0, offsetof(struct spawnd_worker, buf));
	w->out_end = &w->out;
	w->spoke = worker_clock();
	flags = fcntl(0, F_GETFL);
	if (flags == -1 || fcntl(0, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    fcntl(0, F_SETFD, FD_CLOEXEC) == -1 ||
	    worker_meet(w, env, error) == -1) {
		saved = errno;
		(void)spawnd_worker_bad_config(w, error);
		free(w);
		errno = saved;
		return NULL;
	}
	(void)unsetenv(CHANNEL_ENV);
	return w;
}

struct spawnd_worker *
spawnd_worker_open(int version)
{
	char error[WORKER_ERROR] = "";

	return worker_start(version, error);
}

/* ---- sending */

static void
worker_out_free(struct worker_out *o)
{
	if (o->fd != -1)
		close(o->fd);
	free(o);
}

static int
worker_keep(struct spawnd_worker *w, enum channel_type type,
    const void *payload, size_t len, int fd)
{
	struct worker_out *o = malloc(sizeof(*o) + len);

	if (o == NULL)
		return -1;
	o->fd = -1;
	if (fd != -1 && (o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		free(o);
		return -1;
	}
	o->next = NULL;
	o->type = type;
	o->len = len;
	if (len > 0)
		memcpy(o->payload, payload, len);
	*w->out_end = o;
	w->out_end = &o->next;
	return 0;
}

static bool
worker_later(void)
{
	return errno == EAGAIN || errno == ENOMEM;
}

bool
worker_flushed(struct spawnd_worker *w)
{
	struct worker_out *o;

	while ((o = w->out) != NULL) {
		if (channel_send(&w->ch, o->type, o->payload, o->len, NULL, 0,
		    &o->fd, o->fd != -1) == -1 && worker_later())
			return false;
		/* A channel that is lost takes them as well: nobody waits. */
		w->out = o->next;
		if (w->out == NULL)
			w->out_end = &w->out;
		worker_out_free(o);
	}
	if (w->owed > 0) {
		struct channel_count done = { .count = w->owed };

		if (channel_send(&w->ch, CHANNEL_DONE, &done, sizeof(done),
		    NULL, 0, NULL, 0) == -1 && worker_later())
			return false;
		w->owed = 0;
	}
	return true;
}

int
worker_send_fd(struct spawnd_worker *w, enum channel_type type,
    const void *payload, size_t len, int fd)
{
	/* Without a queue there is nothing that it could overtake; owed
	 * counts may be late. */
	if (w->out == NULL) {
		if (channel_send(&w->ch, type, payload, len, NULL, 0, &fd,
		    fd != -1) == 0)
			return 0;
		if (!worker_later())
			return -1;
	}
	return worker_keep(w, type, payload, len, fd);
}

int
worker_send(struct spawnd_worker *w, enum channel_type type,
    const void *payload, size_t len)
{
	return worker_send_fd(w, type, payload, len, -1);
}

static unsigned
worker_room(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		return 1;
	if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur > 1048576)
		r.rlim_cur = 1048576;
	return r.rlim_cur < 12 ? 1 : (unsigned)((r.rlim_cur - 10) / 2);
}

int
spawnd_worker_ready(struct spawnd_worker *w, unsigned max)
{
	struct channel_ready ready;

	memset(&ready, 0, sizeof(ready));
	memcpy(ready.nonce, w->nonce, sizeof(ready.nonce));
	ready.generation = w->generation;
	ready.count = w->max = max == 0 ? worker_room() : max;
	return worker_send(w, CHANNEL_READY, &ready, CHANNEL_READY_PLAIN);
}

int
spawnd_worker_done(struct spawnd_worker *w, unsigned n)
{
	if (n > UINT32_MAX - w->owed) {
		errno = EINVAL;
		return -1;
	}
	w->owed += n;
	(void)worker_flushed(w);
	return 0;
}

int
spawnd_worker_max(struct spawnd_worker *w, unsigned n)
{
	struct channel_count max = { .count = n };

	if (n == 0 || w->max == 0 || n > w->max) {
		errno = EINVAL;
		return -1;
	}
	w->max = n;
	return worker_send(w, CHANNEL_MAX_USERS, &max, sizeof(max));
}

static int
worker_refuse(struct spawnd_worker *w, uint64_t id, uint32_t reason)
{
	struct channel_return r = { .reason = reason };

	memcpy(r.id, &id, sizeof(r.id));
	return worker_send(w, CHANNEL_RETURN, &r, sizeof(r));
}

int
spawnd_worker_return(struct spawnd_worker *w, struct spawnd_conn *c,
    unsigned reason)
{
	/* The message first: the master must not see its copy become the
	 * only one before it knows. */
	int result = worker_refuse(w, c->id, reason);
	int saved = errno;

	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	errno = saved;
	return result;
}

int
spawnd_worker_dying(struct spawnd_worker *w)
{
	return worker_send(w, CHANNEL_DYING, NULL, 0);
}

int
spawnd_worker_bad_config(struct spawnd_worker *w, const char *text)
{
	return worker_send(w, CHANNEL_BAD_CONFIG, text,
	    strnlen(text, TEXT_MAX));
}

/* ---- receiving */

int
spawnd_worker_fd(const struct spawnd_worker *w)
{
	return w->ch.fd;
}

static void
worker_close_fds(struct channel_message *m)
{
	while (m->nfds > 0)
		close(m->fds[--m->nfds]);
}

static bool
worker_take(struct spawnd_worker *w, struct channel_message *m,
    struct spawnd_conn *c)
{
	struct channel_record record;
	uint32_t len;

	memcpy(&record, m->payload, sizeof(record));
	channel_unpack(c, &record);
	if (m->nfds == 0) {
		(void)worker_refuse(w, c->id, SPAWND_RETURN_NOFD);
		return false;
	}
	c->fd = m->fds[0];
	if (m->type == CHANNEL_UDPDATA) {
		memcpy(&len, m->payload + sizeof(record), sizeof(len));
		c->data = m->payload + sizeof(record) + sizeof(len);
		c->len = len;
	}
	return true;
}

/* 1: a connection, 2: told to end, 0: neither */
static int
worker_message(struct spawnd_worker *w, struct channel_message *m,
    struct spawnd_conn *c)
{
	switch (m->type) {
	case CHANNEL_ACCEPT:
	case CHANNEL_UDPDATA:
		return worker_take(w, m, c) ? 1 : 0;
	case CHANNEL_PING:
		(void)worker_send(w, CHANNEL_PONG, m->payload,
		    sizeof(struct channel_ping));
		return 0;
	case CHANNEL_MAY_DIE:
		if (w->told)
			return 0;
		w->told = true;
		return 2;
	default:
		worker_close_fds(m);
		return 0;
	}
}

/*
 * Delivered only behind its TAKEN: what a master may still give to another
 * worker must not be read by this one. Therefore TAKEN is never queued.
 */
static int
worker_deliver(struct spawnd_worker *w, struct spawnd_conn *c)
{
	struct channel_id id;

	if (!worker_flushed(w))
		return 0;
	if (worker_old(&w->held, worker_clock())) {
		w->holding = false;
		(void)spawnd_worker_return(w, &w->held, SPAWND_RETURN_OLD);
		return 0;
	}
	memcpy(id.id, &w->held.id, sizeof(id.id));
	if (channel_send(&w->ch, CHANNEL_TAKEN, &id, sizeof(id), NULL, 0,
	    NULL, 0) == -1 && worker_later())
		return 0;
	/* A channel that failed is one without a master: what he handed out
	 * last nobody else will serve. */
	w->holding = false;
	*c = w->held;
	return 1;
}

int
spawnd_worker_next(struct spawnd_worker *w, struct spawnd_conn *c)
{
	struct channel_message m;

	(void)spawnd_worker_tick(w);
	if (w->holding)
		return worker_deliver(w, c);
	for (int i = 0; i < TURN; i++) {
		switch (channel_recv(&w->ch, w->buf, &m)) {
		case CHANNEL_NOTHING:
			return 0;
		case CHANNEL_CLOSED:
			return -1;
		case CHANNEL_IGNORED:
			continue;
		case CHANNEL_GOT:
			break;
		}
		switch (worker_message(w, &m, &w->held)) {
		case 1:
			w->holding = true;
			return worker_deliver(w, c);
		case 2:
			return 2;
		}
	}
	return 0;
}

int
spawnd_worker_tick(struct spawnd_worker *w)
{
	uint64_t now = worker_clock();

	if (now - w->spoke >= WORKER_KEEPALIVE) {
		w->spoke = now;
		if (w->out == NULL)	/* else that is the sign of life */
			(void)worker_send(w, CHANNEL_KEEPALIVE, NULL, 0);
	}
	if (!worker_flushed(w) || w->holding)
		return RETRY;
	return (int)((WORKER_KEEPALIVE - (now - w->spoke)) / 1000000) + 1;
}

void
spawnd_worker_close(struct spawnd_worker *w)
{
	struct worker_out *o;

	if (w == NULL)
		return;
	(void)worker_flushed(w);
	while ((o = w->out) != NULL) {
		w->out = o->next;
		worker_out_free(o);
	}
	if (w->holding)
		close(w->held.fd);
	if (w->ch.fd != -1)
		close(w->ch.fd);
	free(w);
}
