/*
 * What a relay's session does when a destination cannot be reached: the same
 * one again, another host of its table, or nothing more. Pure: who is usable
 * is passed in as a set, one bit for each host of the table.
 */
#ifndef TCPRELAY_ROUTE_H
#define TCPRELAY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance.h"

#define ROUTE_HOSTS	32u	/* of a table, at most */

/* Of one session; zeroed before first use. */
struct route {
	uint32_t	 tried;		/* hosts of the table */
	uint32_t	 left;		/* more attempts at the one in hand */
	uint16_t	 table;		/* of the relay, by index */
	uint8_t		 host;		/* of the table, the one in hand */
	uint8_t		 target;	/* enum balance_target */
	bool		 chosen;	/* there is one in hand */
	bool		 again;		/* it is to be tried once more */
};

enum route_next { ROUTE_SAME, ROUTE_OTHER, ROUTE_OVER };

/*
 * The host that ask's mode chooses of those in usable that were not tried;
 * usable and n of ask are not looked at but filled in. false: there is none.
 * It is in hand then; how many more attempts are left is the caller's to say.
 */
bool		 route_host(struct route *, struct balance_ask *ask,
		    size_t n, uint32_t usable);
/* The same for what is no host of a table. */
void		 route_address(struct route *, enum balance_target,
		    uint32_t retry);
/*
 * The one in hand cannot be reached. at_once: the system said so when it was
 * asked to connect, which counts against the retries only. usable: of its
 * table, now.
 */
enum route_next	 route_failed(struct route *, bool failover, bool at_once,
		    uint32_t usable);

#endif
