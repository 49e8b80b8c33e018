/*
 * What a mechanism is to the loop. Nothing outside ev*.c includes this.
 */
#ifndef MISC_EV_MECH_H
#define MISC_EV_MECH_H

#include "ev.h"

#define EV_ERROR	4u
#define EV_HANGUP	8u
#define EV_SHARED	16u	/* a listening socket of several processes */

struct ev_mech {
	unsigned	 bit;
	const char	*name;
	/* -1 and errno if it cannot be created; *limit may be lowered */
	void		*(*open)(int *limit);
	void		 (*close)(void *);
	/*
	 * The interest in fd changes from was to now; known tells whether
	 * the kernel has heard of fd. now with EV_SHARED: shared listener.
	 */
	int		 (*change)(void *, int fd, unsigned was, unsigned now,
			    bool known);
	int		 (*forget)(void *, int fd, unsigned was);
	/* Waits, and calls ev_report() for each ready descriptor. -1, errno. */
	int		 (*wait)(void *, struct ev *, int timeout_ms);
};

/* In order of preference, NULL at the end; what configure found. */
extern const struct ev_mech *const ev_mechs[];
extern const struct ev_mech ev_mech_port, ev_mech_kqueue, ev_mech_devpoll,
    ev_mech_epoll, ev_mech_poll, ev_mech_select;

/* what: EV_READ, EV_WRITE, EV_ERROR, EV_HANGUP or-ed together */
void	 ev_report(struct ev *, int fd, unsigned what);

#endif
