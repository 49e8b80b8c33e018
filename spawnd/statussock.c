/*
 * Nothing is read from a client and nothing waits for one: a message that
 * always fits, then the end. What it shows is read by the client, so that
 * looking costs the service nothing.
 */
#include <sys/stat.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "../misc/log.h"
#include "../misc/msg.h"
#include "../misc/net.h"
#include "master.h"
#include "seats.h"
#include "start.h"
#include "statussock.h"

#define MODE		0660
#define BACKLOG		16
#define TURN		16	/* clients in one turn */
#define PAUSE		EV_SECOND	/* after accept has failed */

/* Owned by the master. */
struct statussock {
	int		 fd;
	char		*path;		/* to be removed; absolute */
	char		*given;		/* as it was asked for */
	dev_t		 dev;		/* of the file, as it was bound */
	ino_t		 ino;
	struct ev_timer	 pause;
};

const char *
statussock_path(const struct start *start, const struct spawnd_conf *c,
    bool *given)
{
	static char path[PATH_MAX];
	int n;

	*given = c->status_given;
	if (c->status_given || start->pidfile == NULL)
		return c->status_socket;
	n = snprintf(path, sizeof(path), "%s.sock", start->pidfile);
	return n < 0 || (size_t)n >= sizeof(path) ? NULL : path;
}

/* ---- serving ---- */

/* The socket's mode says who sees the board; who may see more is asked. */
static bool
may_see_facts(int fd)
{
	uid_t uid;

	return net_peer_uid(fd, &uid) == 0 && (uid == 0 || uid == getuid());
}

static void
serve(struct master *m, int fd)
{
	struct statussock_hello hello = { .version = STATUSSOCK_VERSION,
	    .pid = (uint64_t)getpid() };
	struct iovec iov = { &hello, sizeof(hello) };
	int fds[2] = { -1, m->facts };

	if (m->seats != NULL)
		fds[0] = m->seats->board.view;
	/* one that has gone again is nobody's loss */
	if (fds[0] != -1)
		(void)msg_send(fd, &iov, 1, fds, fds[1] != -1 &&
		    may_see_facts(fd) ? 2 : 1);
	close(fd);
}

static void
resume_cb(void *ctx)
{
	struct master *m = ctx;

	ev_interest(m->ev, m->statussock->fd, EV_READ);
}

static void
readable_cb(void *ctx, int fd)
{
	struct master *m = ctx;

	seats_show(m);
	for (int i = 0; i < TURN; i++) {
		int client = net_accept(fd, NULL);

		if (client != -1) {
			serve(m, client);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == ECONNABORTED)
			return;
		/* out of descriptors: it may wait */
		ev_interest(m->ev, fd, 0);
		ev_timer_set(m->ev, &m->statussock->pause, PAUSE, resume_cb,
		    m);
		return;
	}
}

static const struct ev_ops ops = { .readable = readable_cb };

/* ---- life ---- */

static void
statussock_free(struct statussock *s)
{
	if (s == NULL)
		return;
	if (s->fd != -1)
		net_close(s->fd);
	free(s->path);
	free(s->given);
	free(s);
}

static struct statussock *
statussock_new(const char *path)
{
	struct statussock *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = -1;
	s->path = daemon_path(path);
	s->given = strdup(path);
	if (s->path == NULL || s->given == NULL) {
		statussock_free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

static void
remember(struct statussock *s)
{
	struct stat st;

	if (lstat(s->path, &st) == -1)
		return;			/* ino 0: not ours */
	s->dev = st.st_dev;
	s->ino = st.st_ino;
}

/* A single process becomes what 'spawn' says after this. */
static int
owner_set(const struct master *m, const char *path)
{
	const struct spawn_conf *c = &m->conf.conf->broker.spawn;

	if (!m->start->single && !m->conf.conf->broker.single)
		return 0;
	if (c->uid == (uid_t)-1 && c->gid == (gid_t)-1)
		return 0;
	return lchown(path, c->uid, c->gid);
}

static int
bind_at(const struct master *m, struct statussock *s, const char *path)
{
	struct net_addr addr;
	mode_t mask;
	int rc;

	if (!net_parse_unix(path, &addr)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (net_unix_stale(&addr) == -1 ||
	    (s->fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	mask = umask(0777 & ~MODE);
	rc = bind(s->fd, &addr.sa, addr.len);
	umask(mask);
	if (rc == -1)
		return -1;
	remember(s);
	if (chmod(path, MODE) == 0 && owner_set(m, path) == 0 &&
	    listen(s->fd, BACKLOG) == 0)
		return 0;
	rc = errno;
	(void)unlink(path);
	errno = rc;
	return -1;
}

/* NULL, errno. */
static struct statussock *
statussock_make(struct master *m, const char *path)
{
	struct statussock *s;
	int reason;

	if (m->seats == NULL || m->seats->board.view == -1) {
		errno = ENOTSUP;	/* nothing that could be shown */
		return NULL;
	}
	if ((s = statussock_new(path)) == NULL)
		return NULL;
	if (bind_at(m, s, path) == 0 &&
	    ev_add(m->ev, s->fd, &ops, m, EV_READ) == 0)
		return s;
	reason = errno;
	statussock_free(s);
	errno = reason;
	return NULL;
}

/* What a path comes to, however it is written. */
static bool
same_path(const struct statussock *s, const char *path)
{
	char *whole;
	bool same;

	if (strcmp(s->given, path) == 0)
		return true;
	whole = daemon_path(path);
	same = whole != NULL && strcmp(s->path, whole) == 0;
	free(whole);
	return same;
}

static const char *
reason(void)
{
	switch (errno) {
	case EADDRINUSE:
		return "somebody listens there";
	case ENOTSOCK:
		return "there is something else";
	default:
		return strerror(errno);
	}
}

int
statussock_open(struct master *m)
{
	bool given;
	const char *path = statussock_path(m->start, &m->conf.conf->broker,
	    &given);

	if (path == NULL ||
	    (m->statussock = statussock_make(m, path)) != NULL)
		return 0;
	if (given) {
		start_err("status socket '%s': %s", path, reason());
		return EX_CONFIG;
	}
	log_warn("status socket '%s': %s", path, reason());
	return 0;
}

void
statussock_reloaded(struct master *m)
{
	bool given;
	const char *path = statussock_path(m->start, &m->conf.conf->broker,
	    &given);
	const struct statussock *s = m->statussock;

	if (path == NULL ? s != NULL : s == NULL || !same_path(s, path))
		log_warn("status socket: restart needed to change it");
}

static bool
still_ours(const struct statussock *s)
{
	struct stat st;

	return s->ino != 0 && lstat(s->path, &st) == 0 &&
	    S_ISSOCK(st.st_mode) && st.st_dev == s->dev &&
	    st.st_ino == s->ino;
}

void
statussock_close(struct master *m)
{
	struct statussock *s = m->statussock;

	if (s == NULL)
		return;
	m->statussock = NULL;
	ev_timer_stop(m->ev, &s->pause);
	ev_del(m->ev, s->fd);
	if (still_ours(s))
		(void)unlink(s->path);
	statussock_free(s);
}

int
statussock_fd(const struct master *m)
{
	return m->statussock != NULL ? m->statussock->fd : -1;
}

const char *
statussock_name(const struct master *m)
{
	return m->statussock != NULL ? m->statussock->path : NULL;
}

void
statussock_adopt(struct master *m, int fd, const char *path)
{
	struct statussock *s = path != NULL ? statussock_new(path) : NULL;

	(void)net_cloexec(fd, true);
	if (s == NULL || ev_add(m->ev, fd, &ops, m, EV_READ) == -1) {
		net_close(fd);
		statussock_free(s);
		log_warn("status socket: lost");
		return;
	}
	s->fd = fd;
	remember(s);
	m->statussock = s;
}
