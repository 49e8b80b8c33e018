/*
 * The last sessions of relays that are over, for `relayctl why': a ring of
 * what is told of them. Memory is taken as it fills.
 */
#ifndef TCPRELAY_WHY_H
#define TCPRELAY_WHY_H

#include <stddef.h>
#include <stdint.h>

#include "tell.h"

#define WHY_RING	640u	/* with their names and times 240 kB */

struct why;

struct why	*why_new(void);		/* NULL: no memory */
void		 why_free(struct why *);
/* The next entry, zeroed, for the caller to fill in: then the oldest is
 * gone. */
struct tell_why	*why_add(struct why *);
/*
 * Copies up to max entries that match to list, the oldest first. *at is where
 * to begin, 0 at first, and where to go on. Fewer than max: those were all.
 */
size_t		 why_find(const struct why *, const struct tell_ask_why *,
		    uint64_t *at, struct tell_why *list, size_t max);

#endif
