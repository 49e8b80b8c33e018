/*
 * The sticky cache (4.4): which worker a client had last. Least recently
 * used entries make room. Pure: the clock is an argument, workers are
 * numbers.
 */
#ifndef SPAWND_STICKY_H
#define SPAWND_STICKY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct sticky;

/* Compared as bytes: no holes, zeroed before it is filled. */
struct sticky_key {
	uint8_t		ip[16];		/* IPv4 as ::ffff:a.b.c.d */
	uint16_t	local_port;
	uint16_t	client_port;	/* datagrams only, else 0 */
	uint16_t	transport;
	uint16_t	pad;
};

/* At most size entries, taken as they are needed. NULL: no memory. */
struct sticky	*sticky_new(unsigned size);
void		 sticky_free(struct sticky *);
/* false: this peer has no key (UNIX). */
bool		 sticky_key_set(struct sticky_key *, const struct sockaddr *,
		    uint16_t local_port, uint16_t transport, bool datagram);
/* Number of the worker, 0: none, or expired. Does not renew. */
uint32_t	 sticky_find(struct sticky *, const struct sticky_key *,
		    uint64_t now);
/* Remember (or renew) until expiry. Without memory nothing is remembered. */
void		 sticky_set(struct sticky *, const struct sticky_key *,
		    uint32_t worker, uint64_t expiry);
/* That worker has left. */
void		 sticky_forget(struct sticky *, uint32_t worker);
unsigned	 sticky_count(const struct sticky *);

#endif
