/*
 * What a mechanism is to the loop. Nothing outside ev*.c includes this.
 *
 * The loop keeps what the owners want and asks a mechanism for changes only
 * before a wait, once per descriptor, and only if the kernel knows something
 * else. A mechanism reports during wait() and at no other time, so no
 * callback ever runs inside one.
 */
#ifndef MISC_EV_MECH_H
#define MISC_EV_MECH_H

#include "ev.h"

#define EV_FAULT	4u	/* EV_ERROR is a name of kqueue(2) */
#define EV_HANGUP	8u
#define EV_SHARED	16u	/* a listening socket of several processes */

struct ev_mech {
	unsigned	 bit;
	const char	*name;
	/* NULL and errno if it cannot be created; *limit may be lowered: one
	 * more than the largest descriptor number it can watch */
	void		*(*open)(int *limit);
	void		 (*close)(void *);
	/*
	 * The interest in fd changes from was to now; known tells whether
	 * change() has succeeded for fd before. Both carry EV_SHARED for a
	 * shared listener. serial is to come back with its reports. -1 and
	 * errno, EPERM: treat as always ready.
	 */
	int		 (*change)(void *, int fd, uint32_t serial,
			    unsigned was, unsigned now, bool known);
	/* Drop a known fd. closing: it is closed before the next wait and
	 * nobody else has a copy, so no call is needed if that suffices. */
	void		 (*forget)(void *, int fd, unsigned was, bool closing);
	/* Waits, and calls ev_report() for each ready descriptor. -1, errno.
	 * timeout_ms -1: no bound. */
	int		 (*wait)(void *, struct ev *, int timeout_ms);
};

/* In order of preference, NULL at the end; what configure found. */
extern const struct ev_mech *const ev_mechs[];
extern const struct ev_mech ev_mech_port, ev_mech_kqueue, ev_mech_devpoll,
    ev_mech_epoll, ev_mech_poll, ev_mech_select;

/*
 * what: EV_READ, EV_WRITE, EV_FAULT, EV_HANGUP or-ed together; several
 * reports for one descriptor add up. serial 0: the mechanism keeps its own
 * table and cannot be late; otherwise a report for a former owner of the
 * number is discarded.
 */
void	 ev_report(struct ev *, int fd, uint32_t serial, unsigned what);

/* Room for index n in an array of *size elements, new ones zeroed. -1. */
int	 ev_grow(void **array, size_t *size, size_t element, size_t n);

#endif
