/*
 * select(2). It tells neither errors nor hang-ups: those are asked of poll(2)
 * without waiting, for descriptors that are ready for writing, and for those
 * in which there is no interest at all. The latter wake nobody, which is why
 * the wait is bounded while there are any.
 */
#include <sys/select.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "ev_mech.h"

#define LOOK_MS		100	/* how late an error may be noticed */

struct sets {
	fd_set		 known, shared, readers, writers;
	int		 n;		/* one more than the largest */
	unsigned	 idle;		/* how many without interest */
	fd_set		 can_read, can_write;
	struct pollfd	 ask[FD_SETSIZE];
};

static void *
select_open(int *limit)
{
	if (*limit > FD_SETSIZE)
		*limit = FD_SETSIZE;
	return calloc(1, sizeof(struct sets));
}

static void
select_close(void *state)
{
	free(state);
}

static void
set_bit(fd_set *set, int fd, bool on)
{
	if (on)
		FD_SET(fd, set);
	else
		FD_CLR(fd, set);
}

/* Not a shared listener: without interest that one is not looked at. */
static bool
is_idle(unsigned interest)
{
	return interest == 0;
}

static int
select_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	struct sets *s = state;

	(void)serial;
	if (known && is_idle(was))
		s->idle--;
	if (is_idle(now))
		s->idle++;
	set_bit(&s->known, fd, true);
	set_bit(&s->shared, fd, now & EV_SHARED);
	set_bit(&s->readers, fd, now & EV_READ);
	set_bit(&s->writers, fd, now & EV_WRITE);
	if (fd >= s->n)
		s->n = fd + 1;
	return 0;
}

static void
select_forget(void *state, int fd, unsigned was, bool closing)
{
	struct sets *s = state;

	(void)closing;
	if (is_idle(was))
		s->idle--;
	set_bit(&s->known, fd, false);
	set_bit(&s->readers, fd, false);
	set_bit(&s->writers, fd, false);
	while (s->n > 0 && !FD_ISSET(s->n - 1, &s->known))
		s->n--;
}

static void
ask(struct sets *s, nfds_t n, struct ev *ev)
{
	unsigned what;
	nfds_t i;

	if (n == 0 || poll(s->ask, n, 0) <= 0)
		return;
	for (i = 0; i < n; i++) {
		what = 0;
		if (s->ask[i].revents & POLLOUT)
			what |= EV_WRITE;
		if (s->ask[i].revents & (POLLERR | POLLNVAL))
			what |= EV_FAULT;
		if (s->ask[i].revents & POLLHUP)
			what |= EV_HANGUP;
		ev_report(ev, s->ask[i].fd, 0, what);
	}
}

/* EBADF: somebody closed a descriptor behind our back. Find out which. */
static void
report_bad(struct sets *s, struct ev *ev)
{
	nfds_t n = 0;
	int fd;

	for (fd = 0; fd < s->n; fd++) {
		if (FD_ISSET(fd, &s->known))
			s->ask[n++] = (struct pollfd){ .fd = fd };
	}
	ask(s, n, ev);
}

static int
select_wait(void *state, struct ev *ev, int timeout)
{
	struct sets *s = state;
	struct timeval tv;
	nfds_t n = 0;
	int fd, ready;

	if (s->idle > 0 && (timeout < 0 || timeout > LOOK_MS))
		timeout = LOOK_MS;
	tv.tv_sec = timeout / 1000;
	tv.tv_usec = timeout % 1000 * 1000;
	s->can_read = s->readers;
	s->can_write = s->writers;
	ready = select(s->n, &s->can_read, &s->can_write, NULL,
	    timeout < 0 ? NULL : &tv);
	if (ready == -1 && errno == EBADF) {
		report_bad(s, ev);
		return 0;
	}
	if (ready == -1)
		return -1;
	for (fd = 0; fd < s->n && (ready > 0 || s->idle > 0); fd++) {
		if (FD_ISSET(fd, &s->can_read)) {
			ev_report(ev, fd, 0, EV_READ);
			ready -= 1 + !!FD_ISSET(fd, &s->can_write);
		} else if (FD_ISSET(fd, &s->can_write)) {
			s->ask[n++] = (struct pollfd){ fd, POLLOUT, 0 };
			ready--;
		} else if (FD_ISSET(fd, &s->known) && s->idle > 0 &&
		    !FD_ISSET(fd, &s->readers) && !FD_ISSET(fd, &s->writers) &&
		    !FD_ISSET(fd, &s->shared))
			s->ask[n++] = (struct pollfd){ fd, 0, 0 };
	}
	ask(s, n, ev);
	return 0;
}

const struct ev_mech ev_mech_select = {
	EV_SELECT, "select", select_open, select_close, select_change,
	select_forget, select_wait
};
