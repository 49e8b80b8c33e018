/*
 * What the master has to say to a worker whose channel is full: kept, in
 * order, and sent as soon as there is room. Connections and lent sockets do
 * not wait here: they can go to somebody else.
 */
#ifndef SPAWND_OUTBOX_H
#define SPAWND_OUTBOX_H

#include "../misc/ev.h"

struct letter;
struct proc;

/* Part of a struct proc. */
struct outbox {
	struct letter	*first, *last;
	struct ev_timer	 again;		/* nobody tells when there is room */
};

/* The channel has room: what waits is sent, then the rest of the world goes
 * on. */
void	 outbox_flush(struct proc *);
/* The channel is closed: nothing of it will be sent. */
void	 outbox_clear(struct proc *);

#endif
