/*
 * The mechanisms this program was built with, in order of preference.
 */
#include "features.h"

#include "ev_mech.h"

const struct ev_mech *const ev_mechs[] = {
#ifdef HAVE_PORT
	&ev_mech_port,
#endif
#ifdef HAVE_KQUEUE
	&ev_mech_kqueue,
#endif
#ifdef HAVE_DEVPOLL
	&ev_mech_devpoll,
#endif
#ifdef HAVE_EPOLL
	&ev_mech_epoll,
#endif
	&ev_mech_poll,
	&ev_mech_select,
	NULL
};
