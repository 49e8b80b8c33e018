/*
 * Stand-in for kqueue(2) on systems without it: as much of the interface as
 * misc/ev_kqueue.c uses, on top of poll(2). For tests only.
 */
#ifndef STANDIN_SYS_EVENT_H
#define STANDIN_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

#define EVFILT_READ	(-1)
#define EVFILT_WRITE	(-2)

#define EV_ADD		0x0001
#define EV_DELETE	0x0002
#define EV_CLEAR	0x0020
#define EV_ERROR	0x4000
#define EV_EOF		0x8000

#define NOTE_LOWAT	0x0001

struct kevent {
	uintptr_t	 ident;
	short		 filter;
	unsigned short	 flags;
	unsigned int	 fflags;
	int64_t		 data;
	void		*udata;
};

#define EV_SET(kevp, a, b, c, d, e, f) do {				\
	struct kevent *set = (kevp);					\
	set->ident = (a);						\
	set->filter = (short)(b);					\
	set->flags = (unsigned short)(c);				\
	set->fflags = (d);						\
	set->data = (e);						\
	set->udata = (f);						\
} while (0)

int	 kqueue(void);
int	 kevent(int, const struct kevent *, int, struct kevent *, int,
	    const struct timespec *);

#endif
