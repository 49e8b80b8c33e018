/*
 * Listening sockets that the master lent: a worker accepts there for itself,
 * under the limits that stand on the board (4.7). It never changes a lent
 * socket and never shuts it down: the others go on with it.
 */
#ifndef SPAWND_LENT_H
#define SPAWND_LENT_H

#include "own_state.h"

struct lent;

/* Embedded in the worker's process, which owns it. */
struct lents {
	struct own	*own;
	struct lent	*first;
	unsigned	 n;
	uint32_t	 least;		/* m: users min */
	uint32_t	 room;		/* what our descriptors allow */
	unsigned	 level;		/* of use: 0, above m, at M */
	bool		 wanted;	/* sockets are watched */
	bool		 paused;	/* until the timer fires */
	bool		 early;		/* ... or a connection has ended */
	uint64_t	 finished;	/* that many had, then */
	struct ev_timer	 pause;
	struct log_limit log_refused, log_failed;
	int		 reserve;	/* to be sacrificed; -1 */
};

void	 lents_init(struct lents *, struct own *);
/* Takes fd over (closed on failure). Settings are those of the listener of c,
 * a reference is kept. A socket held for that listener is replaced. -1 and
 * errno; EINVAL: there is no such listener. */
int	 lents_add(struct lents *, int fd, uint32_t listener,
	    struct compiled *c);
/* Gives one up; false: it was not held. */
bool	 lents_remove(struct lents *, uint32_t listener);
void	 lents_clear(struct lents *);
/* Accept nothing for ns, or until a connection has ended. */
void	 lents_rest(struct lents *, uint64_t ns);
/*
 * The number of users, a limit or the configuration may have changed: watch
 * or leave the sockets. True if the master should LOOK: use rose above m,
 * rose to M, or fell below M again.
 */
bool	 lents_update(struct lents *);

#endif
