#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/msg.h"
#include "outbox.h"

#define AGAIN	(20 * EV_MS)

/* Owned by the outbox. */
struct letter {
	struct letter		*next;
	enum channel_type	 type;
	size_t			 len;
	unsigned		 nfds;
	int			 fds[MSG_FDS];	/* copies */
	uint8_t			 data[];
};

static void
letter_free(struct letter *l)
{
	while (l->nfds > 0)
		close(l->fds[--l->nfds]);
	free(l);
}

static bool
letter_post(struct outbox *o, enum channel_type type, const void *a,
    size_t alen, const void *b, size_t blen, const int *fds, unsigned nfds)
{
	struct letter *l = malloc(sizeof(*l) + alen + blen);

	if (l == NULL)
		return false;
	*l = (struct letter){ .type = type, .len = alen + blen };
	if (alen > 0)
		memcpy(l->data, a, alen);
	if (blen > 0)
		memcpy(l->data + alen, b, blen);
	for (; l->nfds < nfds; l->nfds++) {
		int fd = fcntl(fds[l->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd == -1) {
			letter_free(l);
			return false;
		}
		l->fds[l->nfds] = fd;
	}
	*(o->last != NULL ? &o->last->next : &o->first) = l;
	o->last = l;
	o->size += l->len;
	return true;
}

static void
letter_drop(struct outbox *o)
{
	struct letter *l = o->first;

	o->first = l->next;
	if (l->next == NULL)
		o->last = NULL;
	o->size -= l->len;
	letter_free(l);
}

static void
again_cb(void *ctx)
{
	outbox_flush(ctx);
}

/*
 * The channel itself may have room: an unprivileged process may not have
 * more descriptors under way, over all channels, than it may have open, and
 * memory may be short. Waiting for room would spin then.
 */
static void
outbox_wait(struct outbox *o)
{
	struct pollfd pfd = { .fd = o->channel->fd, .events = POLLOUT };
	bool room = poll(&pfd, 1, 0) == 1 && pfd.revents & POLLOUT;

	o->blocked = true;
	if (room)
		ev_timer_set(o->ev, &o->again, AGAIN, again_cb, o);
	ev_interest(o->ev, o->channel->fd, room ? EV_READ : EV_READ |
	    EV_WRITE);
}

/* Who sends these keeps them, and tries again or elsewhere. */
static bool
kept_by_sender(enum channel_type type)
{
	return type == CHANNEL_ACCEPT || type == CHANNEL_BATCHED ||
	    type == CHANNEL_UDPDATA || type == CHANNEL_LEND;
}

void
outbox_init(struct outbox *o, struct ev *ev, struct channel *channel,
    void (*flushed)(void *), void *ctx)
{
	*o = (struct outbox){ .ev = ev, .channel = channel,
	    .flushed = flushed, .ctx = ctx };
}

bool
outbox_send(struct outbox *o, enum channel_type type, const void *a,
    size_t alen, const void *b, size_t blen, const int *fds, unsigned nfds)
{
	if (o->channel->fd == -1) {
		errno = EPIPE;
		return false;
	}
	if (o->first == NULL) {
		if (channel_send(o->channel, type, a, alen, b, blen, fds,
		    nfds) == 0)
			return true;
		if (errno != EAGAIN) {
			/* its end is seen by reading, in this or the next
			 * round */
			o->blocked = true;
			return false;
		}
		outbox_wait(o);
		errno = EAGAIN;
	}
	if (kept_by_sender(type)) {
		errno = EAGAIN;
		return false;
	}
	return letter_post(o, type, a, alen, b, blen, fds, nfds);
}

void
outbox_flush(struct outbox *o)
{
	struct letter *l;

	if (o->channel->fd == -1)
		return;
	ev_timer_stop(o->ev, &o->again);
	while ((l = o->first) != NULL) {
		if (channel_send(o->channel, l->type, l->data, l->len, NULL,
		    0, l->fds, l->nfds) == -1) {
			if (errno == EAGAIN)
				outbox_wait(o);
			else
				ev_interest(o->ev, o->channel->fd, EV_READ);
			return;
		}
		letter_drop(o);
	}
	o->blocked = false;
	ev_interest(o->ev, o->channel->fd, EV_READ);
	if (o->flushed != NULL)
		o->flushed(o->ctx);
}

void
outbox_clear(struct outbox *o)
{
	while (o->first != NULL)
		letter_drop(o);
	if (o->ev != NULL)
		ev_timer_stop(o->ev, &o->again);
}
