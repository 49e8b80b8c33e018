/*
 * From a readable listener to connections in workers' queues.
 */
#ifndef SPAWND_ACCEPT_H
#define SPAWND_ACCEPT_H

#include <stdbool.h>

#include "dispatch.h"

struct hand;
struct listener;
struct master;
struct net_addr;
struct proc;

/* A callback of the loop; ctx is the listener. */
void	 accept_readable(void *ctx, int fd);
/* Everything that is queued, handed out whatever the limits say. */
void	 accept_all(struct listener *);

/* What datagrams go through as well: the ACL, with its log line; */
bool	 accept_permits(struct listener *, const struct net_addr *peer);
/* whether one more may come now, and for whom (OVERLOAD: it is shed); */
bool	 accept_room(struct listener *, enum dispatch_verdict *,
	    struct proc **);
/* the same for those who are here already, whatever the limits say; */
void	 accept_whatever(struct master *, enum dispatch_verdict *,
	    struct proc **);
/* one in our hands, which takes fd over (NULL: no memory); */
struct hand *accept_hand(struct listener *, int fd,
	    const struct net_addr *peer);
/* to the worker that it had before, or as was found out above; */
void	 accept_give(struct listener *, struct hand *,
	    const struct net_addr *peer, enum dispatch_verdict,
	    struct proc *);
/* nothing more for a while: there are no descriptors. */
void	 accept_pause(struct listener *, int reason);

#endif
