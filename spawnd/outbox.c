#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "crew.h"
#include "hand.h"
#include "lend.h"
#include "master.h"
#include "proc.h"

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
letter_post(struct proc *p, enum channel_type type, const void *a,
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
	*(p->outbox.last != NULL ? &p->outbox.last->next :
	    &p->outbox.first) = l;
	p->outbox.last = l;
	return true;
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
outbox_wait(struct proc *p)
{
	struct ev *ev = p->master->ev;
	struct pollfd pfd = { .fd = p->channel.fd, .events = POLLOUT };
	bool room = poll(&pfd, 1, 0) == 1 && pfd.revents & POLLOUT;

	p->blocked = true;
	if (room)
		ev_timer_set(ev, &p->outbox.again, AGAIN, again_cb, p);
	ev_interest(ev, p->channel.fd, room ? EV_READ : EV_READ | EV_WRITE);
}

/* Who sends these keeps them, and tries again or elsewhere. */
static bool
kept_by_sender(enum channel_type type)
{
	return type == CHANNEL_ACCEPT || type == CHANNEL_BATCHED ||
	    type == CHANNEL_UDPDATA || type == CHANNEL_LEND;
}

bool
proc_send(struct proc *p, enum channel_type type, const void *a, size_t alen,
    const void *b, size_t blen, const int *fds, unsigned nfds)
{
	if (p->channel.fd == -1)
		return false;
	log_debug(DEBUG_PACKET, "worker %ld: sending %s", (long)p->known_as,
	    channel_forms[type].name);
	if (p->outbox.first == NULL) {
		if (channel_send(&p->channel, type, a, alen, b, blen, fds,
		    nfds) == 0)
			return true;
		if (errno != EAGAIN) {
			log_debug(DEBUG_PROC, "worker %ld: channel: %s",
			    (long)p->known_as, strerror(errno));
			/* its end is seen by reading, in this or the next
			 * round */
			p->blocked = true;
			return false;
		}
		outbox_wait(p);
	}
	if (kept_by_sender(type))
		return false;
	if (letter_post(p, type, a, alen, b, blen, fds, nfds))
		return true;
	log_err("worker %ld: cannot be told %s: %s", (long)p->known_as,
	    channel_forms[type].name, strerror(errno));
	return false;
}

void
outbox_flush(struct proc *p)
{
	struct letter *l;

	if (p->channel.fd == -1)
		return;
	ev_timer_stop(p->master->ev, &p->outbox.again);
	while ((l = p->outbox.first) != NULL) {
		if (channel_send(&p->channel, l->type, l->data, l->len, NULL,
		    0, l->fds, l->nfds) == -1) {
			if (errno == EAGAIN)
				outbox_wait(p);
			else
				ev_interest(p->master->ev, p->channel.fd,
				    EV_READ);
			return;
		}
		p->outbox.first = l->next;
		if (l->next == NULL)
			p->outbox.last = NULL;
		letter_free(l);
	}
	p->blocked = false;
	ev_interest(p->master->ev, p->channel.fd, EV_READ);
	lend_all(p);
	hand_flush(p);
	master_changed(p->master);
}

void
outbox_clear(struct proc *p)
{
	struct letter *l;

	while ((l = p->outbox.first) != NULL) {
		p->outbox.first = l->next;
		letter_free(l);
	}
	p->outbox.last = NULL;
	ev_timer_stop(p->master->ev, &p->outbox.again);
}
