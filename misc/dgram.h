/*
 * Datagrams of many clients on one socket, received in batches with the
 * address that each was sent to, and sockets for one client alone. Which
 * client gets what is decided elsewhere.
 */
#ifndef MISC_DGRAM_H
#define MISC_DGRAM_H

#include "net.h"

#define DGRAM_BATCH	64	/* most that one call receives */

struct dgram {
	struct net_addr	 peer;	/* IPv4-mapped addresses are IPv4 here */
	struct net_addr	 local;	/* no port; len 0: the system does not say */
	const uint8_t	*data;	/* valid until the next receive */
	size_t		 len;
};

/* Room for a batch; memory is only taken as it is filled. */
struct dgrams;

/* NULL: no memory. */
struct dgrams	*dgrams_new(void);
void		 dgrams_free(struct dgrams *);

/* Before or after bind: what it receives tells its local address, and others
 * may be bound beside it, those of dgram_open(). -1, errno. */
int		 dgram_prepare(int fd, int family);
/* At most max at once. How many, -1 and errno; EAGAIN: there are none. */
int		 dgram_receive(struct dgrams *, int fd, unsigned max);
const struct dgram *dgram_at(const struct dgrams *, unsigned i);

/*
 * A socket bound to local and connected to peer, whatever else is bound
 * there. In the moment between the two it may have got what was for others:
 * to be received before it is used. vrf may be NULL, dscp -1. -1, errno.
 */
int		 dgram_open(const struct net_addr *local,
		    const struct net_addr *peer, const char *vrf, int dscp);

#endif
