/*
 * poll(2). The set is ours: dense, and an index by descriptor.
 */
#include <poll.h>
#include <stdlib.h>

#include "ev_mech.h"

struct set {
	struct pollfd	*fds;
	size_t		 n, room;
	unsigned	*index;		/* by descriptor: place in fds */
	size_t		 indices;
};

static void *
set_open(int *limit)
{
	(void)limit;
	return calloc(1, sizeof(struct set));
}

static void
set_close(void *state)
{
	struct set *s = state;

	free(s->fds);
	free(s->index);
	free(s);
}

static int
set_add(struct set *s, int fd)
{
	void *p = s->fds;

	if (ev_grow(&p, &s->room, sizeof(*s->fds), s->n) == -1)
		return -1;
	s->fds = p;
	p = s->index;
	if (ev_grow(&p, &s->indices, sizeof(*s->index), (size_t)fd) == -1)
		return -1;
	s->index = p;
	s->fds[s->n].fd = fd;
	s->index[fd] = (unsigned)s->n++;
	return 0;
}

static int
set_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	struct set *s = state;
	short events = 0;

	(void)serial;
	(void)was;
	if (!known && set_add(s, fd) == -1)
		return -1;
	if (now & EV_READ)
		events |= POLLIN;
	if (now & EV_WRITE)
		events |= POLLOUT;
	s->fds[s->index[fd]].events = events;
	return 0;
}

static void
set_forget(void *state, int fd, unsigned was, bool closing)
{
	struct set *s = state;
	unsigned i = s->index[fd];

	(void)was;
	(void)closing;
	s->fds[i] = s->fds[--s->n];
	s->index[s->fds[i].fd] = i;
}

static int
set_wait(void *state, struct ev *ev, int timeout)
{
	struct set *s = state;
	unsigned what;
	short got;
	size_t i;
	int left;

	left = poll(s->fds, (nfds_t)s->n, timeout);
	if (left == -1)
		return -1;
	for (i = 0; left > 0 && i < s->n; i++) {
		got = s->fds[i].revents;
		if (got == 0)
			continue;
		left--;
		what = 0;
		if (got & POLLIN)
			what |= EV_READ;
		if (got & POLLOUT)
			what |= EV_WRITE;
		if (got & (POLLERR | POLLNVAL))
			what |= EV_FAULT;
		if (got & POLLHUP)
			what |= EV_HANGUP;
		ev_report(ev, s->fds[i].fd, 0, what);
	}
	return 0;
}

const struct ev_mech ev_mech_poll = {
	EV_POLL, "poll", set_open, set_close, set_change, set_forget, set_wait
};
