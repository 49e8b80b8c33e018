/*
 * Event ports of Solaris, port_associate(3C). An association ends when its
 * event has been fetched. It is made again before the next wait, which looks
 * at the state of the descriptor anew: level-triggered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <port.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ev_mech.h"

#define EVENTS	256		/* fetched by one wait */

/* flags of a descriptor */
#define ARMED	1u		/* associated */
#define FIRED	2u		/* on the list of those to associate again */

struct watched {
	uint32_t	 serial;
	short		 events;
	uint8_t		 flags;
};

struct port {
	int		 fd;
	struct watched	*watched;	/* by descriptor */
	size_t		 size;
	int		 fired[EVENTS];
	unsigned	 nfired;
	port_event_t	 events[EVENTS];
};

static void *
ports_open(int *limit)
{
	struct port *p = calloc(1, sizeof(*p));

	(void)limit;
	if (p == NULL)
		return NULL;
	p->fd = port_create();
	if (p->fd == -1) {
		free(p);
		return NULL;
	}
	(void)fcntl(p->fd, F_SETFD, FD_CLOEXEC);
	return p;
}

static void
ports_close(void *state)
{
	struct port *p = state;

	close(p->fd);
	free(p->watched);
	free(p);
}

static int
associate(struct port *p, int fd)
{
	struct watched *w = &p->watched[fd];

	w->flags &= (uint8_t)~ARMED;
	if (port_associate(p->fd, PORT_SOURCE_FD, (uintptr_t)fd, w->events,
	    (void *)(uintptr_t)w->serial) == -1)
		return -1;
	w->flags |= ARMED;
	return 0;
}

static void
dissociate(struct port *p, int fd)
{
	if (p->watched[fd].flags & ARMED)
		(void)port_dissociate(p->fd, PORT_SOURCE_FD, (uintptr_t)fd);
	p->watched[fd].flags = 0;
}

static int
ports_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	struct port *p = state;
	void *table = p->watched;
	struct watched *w;

	(void)was;
	(void)known;
	if (ev_grow(&table, &p->size, sizeof(*w), (size_t)fd) == -1)
		return -1;
	p->watched = table;
	w = &p->watched[fd];
	w->serial = serial;
	w->events = 0;
	if (now & EV_READ)
		w->events |= POLLIN;
	if (now & EV_WRITE)
		w->events |= POLLOUT;
	if (now == EV_SHARED) {
		dissociate(p, fd);
		return 0;
	}
	return associate(p, fd);
}

static void
ports_forget(void *state, int fd, unsigned was, bool closing)
{
	struct port *p = state;
	int error = errno;

	(void)was;
	/* the close of a descriptor ends its association */
	if (closing)
		p->watched[fd].flags = 0;
	else
		dissociate(p, fd);
	errno = error;
}

/* false: that failed for one at least, which has been reported */
static bool
associate_again(struct port *p, struct ev *ev)
{
	struct watched *w;
	bool good = true;
	unsigned i;

	for (i = 0; i < p->nfired; i++) {
		w = &p->watched[p->fired[i]];
		/* meanwhile forgotten, or associated by a change */
		if ((w->flags & (FIRED | ARMED)) == FIRED &&
		    associate(p, p->fired[i]) == -1) {
			ev_report(ev, p->fired[i], w->serial, EV_FAULT);
			good = false;
		}
		w->flags &= (uint8_t)~FIRED;
	}
	p->nfired = 0;
	return good;
}

static void
event(struct port *p, struct ev *ev, const port_event_t *e)
{
	int fd = (int)e->portev_object;
	unsigned what = 0;

	if (e->portev_events & POLLIN)
		what |= EV_READ;
	if (e->portev_events & POLLOUT)
		what |= EV_WRITE;
	if (e->portev_events & (POLLERR | POLLNVAL))
		what |= EV_FAULT;
	if (e->portev_events & POLLHUP)
		what |= EV_HANGUP;
	p->watched[fd].flags &= (uint8_t)~ARMED;
	p->watched[fd].flags |= FIRED;
	p->fired[p->nfired++] = fd;
	ev_report(ev, fd, (uint32_t)(uintptr_t)e->portev_user, what);
}

static int
ports_wait(void *state, struct ev *ev, int timeout)
{
	struct port *p = state;
	struct timespec ts;
	uint_t i, n = 1;
	int result;

	if (!associate_again(p, ev))
		timeout = 0;
	ts.tv_sec = timeout / 1000;
	ts.tv_nsec = timeout % 1000 * 1000000L;
	/* Events may come together with an error, and n may say one though
	 * there is none: only the source tells. */
	p->events[0].portev_source = 0;
	result = port_getn(p->fd, p->events, EVENTS, &n,
	    timeout < 0 ? NULL : &ts);
	for (i = 0; i < n && i < EVENTS; i++) {
		if (p->events[i].portev_source != PORT_SOURCE_FD)
			break;
		event(p, ev, &p->events[i]);
	}
	return result == -1 && errno != ETIME ? -1 : 0;
}

const struct ev_mech ev_mech_port = {
	EV_PORT, "event ports", ports_open, ports_close, ports_change,
	ports_forget, ports_wait
};
