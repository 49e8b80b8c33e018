/*
 * relayd's ways to pick a server: first what kind of target, then which host
 * of a table. Pure: who is usable is asked for each time, nothing is kept but
 * the index of roundrobin, and randomness is passed in. (tcprelay.conf has
 * another way, see pick.h.)
 */
#ifndef TCPRELAY_BALANCE_H
#define TCPRELAY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/net.h"
#include "../misc/siphash.h"

/* ---- what kind of target ---- */

/* A table as it is now. */
struct balance_table {
	bool	 check;		/* without one all its hosts are usable */
	size_t	 up;		/* hosts that are up */
};

struct balance_targets {
	const struct balance_table *tables;	/* as `forward to' names them */
	size_t	 ntables;
	bool	 selected;	/* a rule selected a table ... */
	size_t	 selection;	/* ... this one */
	bool	 original;	/* there is an original destination, and it
				   is not the relay itself */
	bool	 address;	/* there is a fixed address */
};

enum balance_target { BALANCE_FAILED, BALANCE_TABLE, BALANCE_ORIGINAL,
    BALANCE_ADDRESS };

/* *table is set with BALANCE_TABLE only. */
enum balance_target	 balance_target(const struct balance_targets *,
			    size_t *table);

/* ---- which host ---- */

enum balance_mode { BALANCE_ROUNDROBIN, BALANCE_RANDOM, BALANCE_SOURCE_HASH,
    BALANCE_LOADBALANCE, BALANCE_HASH };

struct balance_ask {
	enum balance_mode mode;
	const bool	*usable;	/* of each host, in template order */
	size_t		 n;
	size_t		*index;		/* roundrobin: of the process, relay
					   and table, 0 at first */
	uint32_t	(*draw)(void *ctx);	/* random: 32 bits */
	void		*ctx;
	uint64_t	 hash;		/* the others: of balance_hash() */
};

/* The host's index, or -1: none is usable. */
int		 balance_host(const struct balance_ask *);
/* Whether that mode asks for the hash. */
bool		 balance_hashes(enum balance_mode);

/*
 * A session's hash begins with the key; rules add what they want to it, then
 * the mode adds its own and gives the value. It begins anew for the next
 * selection. Names that are no IP addresses add nothing.
 */
void		 balance_hash_begin(struct siphash *, const uint32_t key[4]);
uint64_t	 balance_hash(struct siphash *, enum balance_mode,
		    const struct net_name *client,
		    const struct net_name *listen);

#endif
