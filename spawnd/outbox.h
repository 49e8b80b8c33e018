/*
 * What somebody has to say over a channel that is full: kept, in order, and
 * sent as soon as there is room. Connections and lent sockets do not wait
 * here: they can go to somebody else.
 */
#ifndef SPAWND_OUTBOX_H
#define SPAWND_OUTBOX_H

#include <stdbool.h>

#include "../misc/ev.h"
#include "channel.h"

struct letter;
struct proc;

/* Beside its channel, which is in the loop: whose readiness to be written to
 * is this one's, and calls outbox_flush(). */
struct outbox {
	struct ev	*ev;
	struct channel	*channel;
	void		(*flushed)(void *);	/* all of it has gone; NULL */
	void		*ctx;
	struct letter	*first, *last;
	size_t		 size;		/* bytes of data that wait */
	bool		 blocked;
	struct ev_timer	 again;		/* nobody tells when there is room */
};

void	 outbox_init(struct outbox *, struct ev *, struct channel *,
	    void (*flushed)(void *), void *ctx);
/* Payload of two parts, as channel_send; descriptors that wait are copies.
 * false: it will not be sent, errno. */
bool	 outbox_send(struct outbox *, enum channel_type, const void *a,
	    size_t alen, const void *b, size_t blen, const int *fds,
	    unsigned nfds);
/* The channel may have room. */
void	 outbox_flush(struct outbox *);
/* Nothing of it will be sent. */
void	 outbox_clear(struct outbox *);

#endif
