/*
 * kqueue(2), level-triggered.
 *
 * A filter tells both more and less than poll(2): the end of one direction
 * has no bit of its own there, a hang-up has none here. So every descriptor
 * has a read filter. While reading is not wanted it is a watch: edge-triggered
 * and for more data than will ever come, so that only an end or an error
 * fires it. What such an end amounts to, poll(2) is asked without waiting.
 */
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/event.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ev_mech.h"

#define EVENTS	256		/* fetched by one wait, at least */

#ifdef NOTE_LOWAT
#define WATCH_NOTE	NOTE_LOWAT
#else
#define WATCH_NOTE	0	/* then it fires once for data as well */
#endif

/* what is registered for a descriptor */
#define READS	1u		/* read filter, level-triggered */
#define WATCHES	2u		/* read filter, for its end only */
#define WRITES	4u		/* write filter */
#define ENDED	8u		/* on the list below */

struct kq {
	int		 fd;
	uint8_t		*filters;	/* by descriptor */
	size_t		 size;
	/* Watched ones whose end has fired: to be asked about in each round
	 * until the owner acts, since the watch will not fire again. */
	int		*ended;
	size_t		 nended, ended_room;
	struct kevent	*changes, *events;
	size_t		 nchanges, changes_room, events_room;
	struct pollfd	*asked;
	size_t		 nasked, asked_room;
};

static void
kq_close(void *state)
{
	struct kq *k = state;

	if (k->fd != -1)
		close(k->fd);
	free(k->filters);
	free(k->ended);
	free(k->changes);
	free(k->events);
	free(k->asked);
	free(k);
}

/* Room for a wait after n changes: each of them may come back as an error,
 * and each event may lead to a question. */
static int
reserve(struct kq *k, size_t n)
{
	void *p = k->changes;

	if (n < EVENTS)
		n = EVENTS;
	if (ev_grow(&p, &k->changes_room, sizeof(*k->changes), n) == -1)
		return -1;
	k->changes = p;
	p = k->events;
	if (ev_grow(&p, &k->events_room, sizeof(*k->events), n) == -1)
		return -1;
	k->events = p;
	return 0;
}

static void *
kq_open(int *limit)
{
	struct kq *k = calloc(1, sizeof(*k));

	(void)limit;
	if (k == NULL)
		return NULL;
	k->fd = kqueue();
	if (k->fd == -1 || reserve(k, 0) == -1) {
		kq_close(k);
		return NULL;
	}
	(void)fcntl(k->fd, F_SETFD, FD_CLOEXEC);
	return k;
}

static void
push(struct kq *k, int fd, int filter, int flags, unsigned note, int data)
{
	EV_SET(&k->changes[k->nchanges], (uintptr_t)fd, filter, flags, note,
	    data, 0);
	k->nchanges++;
}

static unsigned
filters_for(unsigned interest)
{
	unsigned f = interest & EV_WRITE ? WRITES : 0;

	if (interest & EV_READ)
		return f | READS;
	return interest & EV_SHARED ? f : f | WATCHES;
}

static int
kq_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	struct kq *k = state;
	unsigned have, want = filters_for(now), differ;
	void *p = k->filters;
	struct stat st;

	(void)serial;
	(void)was;
	/* A regular file is ready here only before its end. */
	if (!known && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		errno = EPERM;
		return -1;
	}
	if (ev_grow(&p, &k->size, sizeof(*k->filters), (size_t)fd) == -1)
		return -1;
	k->filters = p;
	if (reserve(k, k->nchanges + 3) == -1)
		return -1;
	have = known ? k->filters[fd] & (READS | WATCHES | WRITES) : 0;
	differ = have ^ want;
	if (have & differ & (READS | WATCHES))
		push(k, fd, EVFILT_READ, EV_DELETE, 0, 0);
	if (want & differ & READS)
		push(k, fd, EVFILT_READ, EV_ADD, 0, 0);
	if (want & differ & WATCHES)
		push(k, fd, EVFILT_READ, EV_ADD | EV_CLEAR, WATCH_NOTE,
		    INT_MAX);
	if (differ & WRITES)
		push(k, fd, EVFILT_WRITE, want & WRITES ? EV_ADD : EV_DELETE,
		    0, 0);
	if (have & want & WATCHES)
		want |= k->filters[fd] & ENDED;
	k->filters[fd] = (uint8_t)want;
	return 0;
}

static void
kq_forget(void *state, int fd, unsigned was, bool closing)
{
	struct kq *k = state;
	int error = errno;

	(void)was;
	/* closing takes the filters away; nothing is pending between waits */
	if (!closing) {
		k->nchanges = 0;
		if (k->filters[fd] & (READS | WATCHES))
			push(k, fd, EVFILT_READ, EV_DELETE, 0, 0);
		if (k->filters[fd] & WRITES)
			push(k, fd, EVFILT_WRITE, EV_DELETE, 0, 0);
		if (k->nchanges > 0)
			(void)kevent(k->fd, k->changes, (int)k->nchanges,
			    NULL, 0, NULL);
		k->nchanges = 0;
	}
	k->filters[fd] = 0;
	errno = error;
}

/* Note that poll(2) is to be asked about fd at the end of the wait. */
static void
ask(struct kq *k, int fd)
{
	void *p = k->asked;

	if (ev_grow(&p, &k->asked_room, sizeof(*k->asked), k->nasked) == -1)
		return;
	k->asked = p;
	k->asked[k->nasked++] = (struct pollfd){ .fd = fd, .events =
	    k->filters[fd] & WRITES ? POLLOUT : 0 };
}

static void
ask_ended(struct kq *k)
{
	size_t i;

	for (i = 0; i < k->nended; i++) {
		if ((k->filters[k->ended[i]] & ENDED) == 0)
			continue;
		k->filters[k->ended[i]] &= (uint8_t)~ENDED;
		ask(k, k->ended[i]);
	}
	k->nended = 0;
}

static void
remember_end(struct kq *k, int fd)
{
	void *p = k->ended;

	if ((k->filters[fd] & (WATCHES | ENDED)) != WATCHES ||
	    ev_grow(&p, &k->ended_room, sizeof(*k->ended), k->nended) == -1)
		return;
	k->ended = p;
	k->ended[k->nended++] = fd;
	k->filters[fd] |= ENDED;
}

static void
hear_answers(struct kq *k, struct ev *ev)
{
	unsigned what;
	size_t i;

	if (k->nasked > 0 && poll(k->asked, (nfds_t)k->nasked, 0) == -1) {
		/* another time */
		for (i = 0; i < k->nasked; i++)
			remember_end(k, k->asked[i].fd);
		k->nasked = 0;
	}
	for (i = 0; i < k->nasked; i++) {
		what = 0;
		if (k->asked[i].revents & POLLOUT)
			what |= EV_WRITE;
		if (k->asked[i].revents & (POLLERR | POLLNVAL))
			what |= EV_FAULT;
		if (k->asked[i].revents & POLLHUP)
			what |= EV_HANGUP;
		if (what & (EV_FAULT | EV_HANGUP))
			remember_end(k, k->asked[i].fd);
		ev_report(ev, k->asked[i].fd, 0, what);
	}
	k->nasked = 0;
}

static void
event(struct kq *k, struct ev *ev, const struct kevent *e)
{
	int fd = (int)e->ident;
	bool watch = e->filter == EVFILT_READ && (k->filters[fd] & READS) == 0;

	if (e->flags & EV_ERROR) {
		/* A change was refused. Not all can be read, hence watched;
		 * and what is to be deleted may be gone with its file. */
		if (!watch && e->data != 0 && e->data != ENOENT)
			ev_report(ev, fd, 0, EV_FAULT);
	} else if (watch || (e->filter == EVFILT_WRITE && (e->flags & EV_EOF)))
		ask(k, fd);
	else
		ev_report(ev, fd, 0, e->filter == EVFILT_READ ? EV_READ :
		    EV_WRITE);
}

static int
kq_wait(void *state, struct ev *ev, int timeout)
{
	struct kq *k = state;
	struct timespec ts;
	int i, n;

	ask_ended(k);
	if (k->nasked > 0)
		timeout = 0;
	ts.tv_sec = timeout / 1000;
	ts.tv_nsec = timeout % 1000 * 1000000L;
	n = kevent(k->fd, k->changes, (int)k->nchanges, k->events,
	    (int)k->events_room, timeout < 0 ? NULL : &ts);
	/* interrupted or not, the changes have been made */
	k->nchanges = 0;
	for (i = 0; i < n; i++)
		event(k, ev, &k->events[i]);
	hear_answers(k, ev);
	return n == -1 ? -1 : 0;
}

const struct ev_mech ev_mech_kqueue = {
	EV_KQUEUE, "kqueue", kq_open, kq_close, kq_change, kq_forget, kq_wait
};
