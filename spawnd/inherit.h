/*
 * Sockets that somebody else has opened for us (1.6): inetd's on descriptor
 * 0, a service manager's by sd_listen_fds(3), and the listen blocks they
 * belong to.
 *
 * A passed socket is open as long as we are, and always has a listener: that
 * of the block it belongs to, or a plain one. So what serves after a reload
 * is what would serve after a start.
 */
#ifndef SPAWND_INHERIT_H
#define SPAWND_INHERIT_H

#include <stdbool.h>

#include "../misc/diag.h"
#include "../misc/net.h"

struct compiled;
struct program;

/* Of the process; neither moves nor goes once the start is over. */
struct passed {
	int		 fd;		/* close-on-exec, does not block */
	char		*name;		/* of LISTEN_FDNAMES; "inetd" */
	struct net_addr	 addr;
	int		 type, protocol;
	bool		 v6only;
};

struct inherit {
	struct passed	*sockets;
	unsigned	 n;
	bool		 inetd;		/* the only one, and SIGHUP ends us */
};

#define INHERIT_ERROR	320

/*
 * Takes all there is, and the variables that tell of it out of the
 * environment; descriptor 0 becomes /dev/null if it is inetd's. Before a
 * fork: they name the process that was started. 0, or the exit status with
 * the reason in error.
 */
int	 inherit_take(struct inherit *, const struct program *,
	    char error[static INHERIT_ERROR]);
/* One more, by a name: fd must listen. Takes it over unless it fails: -1,
 * errno. */
int	 inherit_add(struct inherit *, int fd, const char *name);

/*
 * Gives each passed socket its entry among the endpoints of a configuration:
 * by name to a block, else by address, else to one of its own. Once for each
 * that the master compiles. What is wrong goes to diag.
 */
void	 inherit_fill(struct compiled *, const struct inherit *,
	    struct diag *);

#endif
