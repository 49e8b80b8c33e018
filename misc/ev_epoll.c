/*
 * epoll(7), level-triggered.
 */
#include <sys/epoll.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ev_mech.h"

#define EVENTS	256		/* fetched by one wait */

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE	0
#endif

struct epoll {
	int			fd;
	struct epoll_event	events[EVENTS];
};

static void *
epoll_open(int *limit)
{
	struct epoll *p = malloc(sizeof(*p));

	(void)limit;
	if (p == NULL)
		return NULL;
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd == -1) {
		free(p);
		return NULL;
	}
	return p;
}

static void
epoll_close(void *state)
{
	struct epoll *p = state;

	close(p->fd);
	free(p);
}

static int
control(struct epoll *p, int op, int fd, uint32_t serial, unsigned interest)
{
	struct epoll_event e = { .events = 0 };

	if (interest & EV_READ)
		e.events |= EPOLLIN;
	if (interest & EV_WRITE)
		e.events |= EPOLLOUT;
	if (interest & EV_SHARED)
		e.events |= EPOLLEXCLUSIVE;
	e.data.u64 = (uint64_t)serial << 32 | (uint32_t)fd;
	return epoll_ctl(p->fd, op, fd, &e);
}

/*
 * EPOLL_CTL_MOD is not permitted on an exclusive wait: such a descriptor is
 * in the set exactly while there is interest in it.
 */
static int
change_shared(struct epoll *p, int fd, uint32_t serial, unsigned was,
    unsigned now, bool known)
{
	if (known && (was & (EV_READ | EV_WRITE)) &&
	    epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL) == -1)
		return -1;
	if ((now & (EV_READ | EV_WRITE)) == 0)
		return 0;
	return control(p, EPOLL_CTL_ADD, fd, serial, now);
}

static int
epoll_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	struct epoll *p = state;

	if (now & EV_SHARED)
		return change_shared(p, fd, serial, was, now, known);
	return control(p, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, serial,
	    now);
}

static void
epoll_forget(void *state, int fd, unsigned was, bool closing)
{
	struct epoll *p = state;
	int error = errno;

	/* the last close of a file takes it out of the set */
	if (closing || was == EV_SHARED)
		return;
	epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
	errno = error;
}

static int
epoll_wait_report(void *state, struct ev *ev, int timeout)
{
	struct epoll *p = state;
	unsigned what;
	int i, n;

	n = epoll_wait(p->fd, p->events, EVENTS, timeout);
	for (i = 0; i < n; i++) {
		what = 0;
		if (p->events[i].events & EPOLLIN)
			what |= EV_READ;
		if (p->events[i].events & EPOLLOUT)
			what |= EV_WRITE;
		if (p->events[i].events & EPOLLERR)
			what |= EV_FAULT;
		if (p->events[i].events & EPOLLHUP)
			what |= EV_HANGUP;
		ev_report(ev, (int)(uint32_t)p->events[i].data.u64,
		    (uint32_t)(p->events[i].data.u64 >> 32), what);
	}
	return n == -1 ? -1 : 0;
}

const struct ev_mech ev_mech_epoll = {
	EV_EPOLL, "epoll", epoll_open, epoll_close, epoll_change,
	epoll_forget, epoll_wait_report
};
