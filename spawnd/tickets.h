/*
 * Keys of TLS session tickets: made by the master, shared by all workers,
 * kept over reloads. The newest one encrypts, the others still decrypt.
 */
#ifndef SPAWND_TICKETS_H
#define SPAWND_TICKETS_H

#include <stdint.h>

#include "channel.h"

#define TICKETS_MAX	5
#define TICKETS_KEPT	3	/* where nobody knows better */
#define TICKETS_LIFETIME 7200u		/* s, where nobody knows better */

struct tickets {
	struct ticket_key keys[TICKETS_MAX];	/* newest first */
	unsigned	  n;
	uint64_t	  made;			/* the newest one, ns */
};

/*
 * A new key if the newest is period (ns) old, or there is none; keep of them
 * stay, at most TICKETS_MAX. With three keys the oldest goes after two periods
 * without encrypting, so that a ticket that lives as long as a period can be
 * used for as long as it says; one that lives four takes five. 1: there is a
 * new one, 0: not yet, -1 and errno: no random bytes could be had.
 */
int	 tickets_rotate(struct tickets *, uint64_t now, uint64_t period,
	    unsigned keep);
/* When to rotate again. */
uint64_t tickets_due(const struct tickets *, uint64_t period);
/* Overwrites the keys. */
void	 tickets_clear(struct tickets *);

#endif
