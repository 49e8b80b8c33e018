/*
 * Sockets that somebody else has opened for us (1.6).
 */
#ifndef SPAWND_INHERIT_H
#define SPAWND_INHERIT_H

struct listener;
struct master;

enum inherit_inetd {
	INETD_NO,		/* descriptor 0 is nothing of inetd's */
	INETD_WAIT,		/* it listens */
	INETD_NOWAIT		/* it is one connection */
};

enum inherit_inetd inherit_inetd(void);
/* The listener that inetd has left on descriptor 0, which becomes
 * /dev/null. NULL, errno. */
struct listener *inherit_listener(struct master *);

#endif
