/*
 * Event ports as port_associate(3C) and port_get(3C) describe them, for
 * descriptors: an association ends when its event is fetched, or with the
 * close of its file.
 */
#include <errno.h>
#include <poll.h>
#include <port.h>
#include <string.h>

#include "standin.h"

struct association {
	struct standin_file	 file;
	short			 events;
	void			*user;
};

static struct queue {
	int			 fd;
	struct association	 list[STANDIN_FDS];
} queues[STANDIN_SLOTS];

struct fetch {
	struct queue	*q;
	port_event_t	*events;
	uint_t		 room;
};

int
port_create(void)
{
	return standin_instance(queues, sizeof(queues[0]));
}

int
port_associate(int port, int source, uintptr_t object, int events, void *user)
{
	struct queue *q = standin_find(queues, sizeof(queues[0]), port);

	if (q == NULL)
		return -1;
	if (source != PORT_SOURCE_FD) {
		errno = EINVAL;
		return -1;
	}
	if (object >= STANDIN_FDS) {
		errno = EBADFD;
		return -1;
	}
	if (standin_note(&q->list[object].file, (int)object) == -1)
		return -1;
	q->list[object].events = (short)events;
	q->list[object].user = user;
	return 0;
}

int
port_dissociate(int port, int source, uintptr_t object)
{
	struct queue *q = standin_find(queues, sizeof(queues[0]), port);

	if (q == NULL)
		return -1;
	if (source != PORT_SOURCE_FD || object >= STANDIN_FDS ||
	    !standin_same(&q->list[object].file, (int)object)) {
		errno = ENOENT;
		return -1;
	}
	q->list[object].file.used = false;
	return 0;
}

static int
look(void *ctx)
{
	struct fetch *f = ctx;
	struct association *a;
	struct pollfd p;
	uint_t got = 0;
	int fd;

	for (fd = 0; fd < STANDIN_FDS && got < f->room; fd++) {
		a = &f->q->list[fd];
		if (!a->file.used)
			continue;
		if (!standin_same(&a->file, fd)) {
			a->file.used = false;
			continue;
		}
		p = (struct pollfd){ fd, a->events, 0 };
		if (poll(&p, 1, 0) <= 0)
			continue;
		a->file.used = false;
		memset(&f->events[got], 0, sizeof(f->events[got]));
		f->events[got].portev_events = p.revents;
		f->events[got].portev_source = PORT_SOURCE_FD;
		f->events[got].portev_object = (uintptr_t)fd;
		f->events[got++].portev_user = a->user;
	}
	return (int)got;
}

/* On failure *nget is left alone, as it is there. */
int
port_getn(int port, port_event_t events[], uint_t max, uint_t *nget,
    const struct timespec *timeout)
{
	struct fetch f = { standin_find(queues, sizeof(queues[0]), port),
	    events, max };
	int n;

	if (f.q == NULL)
		return -1;
	if (*nget == 0 || *nget > max) {
		errno = EINVAL;
		return -1;
	}
	n = standin_wait(look, &f, timeout == NULL ? -1 :
	    (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000));
	if (n > 0)
		*nget = (uint_t)n;
	else if (n == 0)
		errno = ETIME;
	return n > 0 ? 0 : -1;
}
