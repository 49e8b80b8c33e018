/*
 * kqueue(2) as its manual describes it, for descriptors: a filter goes with
 * its file; EV_CLEAR fires when the state changes; EV_EOF for the end of the
 * filter's own direction.
 */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/event.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "standin.h"

struct knote {
	struct standin_file	 file;
	bool			 clear;
	int64_t			 lowat;
	unsigned		 last;		/* state that fired, EV_CLEAR */
};

static struct queue {
	int		 fd;
	struct knote	 notes[2][STANDIN_FDS];	/* read, write */
} queues[STANDIN_SLOTS];

struct fetch {
	struct queue	*q;
	struct kevent	*events;
	int		 room;
};

int
kqueue(void)
{
	return standin_instance(queues, sizeof(queues[0]));
}

static int
apply(struct queue *q, const struct kevent *c)
{
	struct knote *n;
	int fd = (int)c->ident;

	if (fd < 0 || fd >= STANDIN_FDS)
		return EBADF;
	n = &q->notes[c->filter == EVFILT_WRITE][fd];
	if (c->flags & EV_DELETE) {
		if (!standin_same(&n->file, fd))
			return ENOENT;
		n->file.used = false;
		return 0;
	}
	/* adding one that is there changes it, but not EV_CLEAR */
	if (!standin_same(&n->file, fd)) {
		if (standin_note(&n->file, fd) == -1)
			return EBADF;
		n->clear = c->flags & EV_CLEAR;
		n->last = 0;
	}
	n->lowat = c->fflags & NOTE_LOWAT ? c->data : 1;
	return 0;
}

/* The state of a filter as EV_* flags and a bit for "ready". */
static unsigned
state(const struct knote *n, int fd, bool writing)
{
	struct pollfd p = { .fd = fd, .events = writing ? POLLOUT :
	    POLLIN | POLLRDHUP };
	unsigned s = 0;
	int held;

	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (p.revents & (POLLHUP | POLLERR))
		s |= EV_EOF | 1;
	if (!writing && (p.revents & POLLRDHUP))
		s |= EV_EOF | 1;
	if (p.revents & (writing ? POLLOUT : POLLIN)) {
		if (n->lowat <= 1 || (ioctl(fd, FIONREAD, &held) == 0 &&
		    held >= n->lowat))
			s |= 1;
	}
	return s;
}

static int
look(void *ctx)
{
	struct fetch *f = ctx;
	struct knote *n;
	int fd, i, got = 0;
	unsigned s;

	for (fd = 0; fd < STANDIN_FDS; fd++) {
		for (i = 0; i < 2; i++) {
			n = &f->q->notes[i][fd];
			if (!n->file.used)
				continue;
			if (!standin_same(&n->file, fd)) {
				n->file.used = false;
				continue;
			}
			s = state(n, fd, i);
			if (n->clear && s == n->last)
				continue;
			if (s != 0 && got == f->room)
				return got;
			n->last = s;
			if (s == 0)
				continue;
			EV_SET(&f->events[got], (uintptr_t)fd,
			    i ? EVFILT_WRITE : EVFILT_READ, s & EV_EOF, 0, 1,
			    NULL);
			got++;
		}
	}
	return got;
}

int
kevent(int fd, const struct kevent *changes, int nchanges,
    struct kevent *events, int nevents, const struct timespec *timeout)
{
	struct fetch f = { standin_find(queues, sizeof(queues[0]), fd), events,
	    nevents };
	int error, i, failed = 0;

	if (f.q == NULL)
		return -1;
	for (i = 0; i < nchanges; i++) {
		error = apply(f.q, &changes[i]);
		if (error == 0)
			continue;
		if (failed == nevents) {
			errno = error;
			return -1;
		}
		events[failed] = changes[i];
		events[failed].flags = EV_ERROR;
		events[failed++].data = error;
	}
	if (failed > 0 || nevents == 0)
		return failed;
	return standin_wait(look, &f, timeout == NULL ? -1 :
	    (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000));
}
