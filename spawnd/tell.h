/*
 * TELL as a message: what arrived, on either end of a channel.
 */
#ifndef SPAWND_TELL_H
#define SPAWND_TELL_H

#include <string.h>

#include "channel.h"
#include "role.h"

/* The message stays the owner of the data; of the descriptor t is. */
static inline void
tell_read(struct tell *t, struct channel_message *m)
{
	struct channel_tell head;

	memcpy(&head, m->payload, sizeof(head));
	*t = (struct tell){ .role = head.role, .instance = head.instance,
	    .type = head.type, .data = m->payload + sizeof(head),
	    .len = m->len - sizeof(head), .fd = -1 };
	if (m->nfds > 0) {
		t->fd = m->fds[0];
		m->fds[0] = -1;
	}
}

/* Whoever kept the descriptor has said so. */
static inline void
tell_done(const struct tell *t, struct channel_message *m)
{
	if (m->nfds > 0)
		m->fds[0] = t->fd;
}

/* Of type 0: whether debug lines are wanted from now on. */
static inline bool
tell_verbose(const struct tell *t)
{
	struct channel_verbose v = { 0 };

	if (t->len >= sizeof(v))
		memcpy(&v, t->data, sizeof(v));
	return v.on != 0;
}

#endif
