/*
 * /dev/poll of Solaris, poll(7D). Interest that is written is or-ed to what
 * is there, and a closed descriptor stays: both need POLLREMOVE.
 */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/devpoll.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "ev_mech.h"

#define EVENTS	256		/* fetched by one wait */

struct devpoll {
	int		 fd;
	struct pollfd	*changes;
	size_t		 nchanges, room;
	struct pollfd	 events[EVENTS];
};

static void *
devpoll_open(int *limit)
{
	struct devpoll *d = calloc(1, sizeof(*d));
#ifdef OPEN_MAX
	long most = OPEN_MAX;
#else
	long most = sysconf(_SC_OPEN_MAX);
#endif

	if (d == NULL)
		return NULL;
	d->fd = open("/dev/poll", O_RDWR | O_CLOEXEC);
	if (d->fd == -1) {
		free(d);
		return NULL;
	}
	if (most > 0 && most < *limit)
		*limit = (int)most;
	return d;
}

static void
devpoll_close(void *state)
{
	struct devpoll *d = state;

	close(d->fd);
	free(d->changes);
	free(d);
}

static void
push(struct devpoll *d, int fd, short events)
{
	d->changes[d->nchanges++] = (struct pollfd){ fd, events, 0 };
}

static int
reserve(struct devpoll *d)
{
	void *p = d->changes;

	if (ev_grow(&p, &d->room, sizeof(*d->changes), d->nchanges + 1) == -1)
		return -1;
	d->changes = p;
	return 0;
}

static int
devpoll_change(void *state, int fd, uint32_t serial, unsigned was,
    unsigned now, bool known)
{
	struct devpoll *d = state;
	short events = 0;

	(void)serial;
	(void)was;
	if (reserve(d) == -1)
		return -1;
	if (known)
		push(d, fd, POLLREMOVE);
	if (now & EV_READ)
		events |= POLLIN;
	if (now & EV_WRITE)
		events |= POLLOUT;
	if (now != EV_SHARED)
		push(d, fd, events);
	return 0;
}

/* false: not all of them were taken */
static bool
submit(struct devpoll *d)
{
	size_t n = d->nchanges * sizeof(*d->changes);

	d->nchanges = 0;
	return n == 0 || write(d->fd, d->changes, n) == (ssize_t)n;
}

static void
devpoll_forget(void *state, int fd, unsigned was, bool closing)
{
	struct devpoll *d = state;
	struct pollfd change = { .fd = fd, .events = POLLREMOVE };
	int error = errno;

	(void)was;
	(void)closing;
	/* at once: afterwards the number may be somebody else's */
	(void)!write(d->fd, &change, sizeof(change));
	errno = error;
}

/* Something among the changes was refused: one by one, to find out what. */
static void
submit_each(struct devpoll *d, struct ev *ev, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (write(d->fd, &d->changes[i], sizeof(d->changes[i])) == -1
		    && (d->changes[i].events & POLLREMOVE) == 0)
			ev_report(ev, d->changes[i].fd, 0, EV_FAULT);
	}
}

static int
devpoll_wait(void *state, struct ev *ev, int timeout)
{
	struct devpoll *d = state;
	struct dvpoll wait = { .dp_fds = d->events, .dp_nfds = EVENTS,
	    .dp_timeout = timeout };
	size_t changes = d->nchanges;
	unsigned what;
	int i, n;

	if (!submit(d)) {
		submit_each(d, ev, changes);
		wait.dp_timeout = 0;
	}
	n = ioctl(d->fd, DP_POLL, &wait);
	for (i = 0; i < n; i++) {
		what = 0;
		if (d->events[i].revents & POLLIN)
			what |= EV_READ;
		if (d->events[i].revents & POLLOUT)
			what |= EV_WRITE;
		if (d->events[i].revents & (POLLERR | POLLNVAL))
			what |= EV_FAULT;
		if (d->events[i].revents & POLLHUP)
			what |= EV_HANGUP;
		ev_report(ev, d->events[i].fd, 0, what);
	}
	return n == -1 ? -1 : 0;
}

const struct ev_mech ev_mech_devpoll = {
	EV_DEVPOLL, "/dev/poll", devpoll_open, devpoll_close, devpoll_change,
	devpoll_forget, devpoll_wait
};
