/*
 * Accepting: one batch per turn, no more than there are, since an accept that
 * finds nothing costs half of one that does, and no fewer, since each turn is
 * a message and perhaps a wake-up of its own. Where the system does not tell
 * how many wait, that is estimated.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "accept.h"
#include "acl.h"
#include "crew.h"
#include "datagram.h"
#include "hand.h"
#include "listen.h"
#include "master.h"
#include "overload.h"
#include "proc.h"

#define BATCH		64		/* 6.5 */
#define PATIENCE	16u		/* full turns before one more is tried */
#define PAUSE		(100 * EV_MS)	/* out of descriptors, 6.6 */

enum accept_outcome {
	ACCEPT_TAKEN,		/* a connection, dealt with */
	ACCEPT_NONE,		/* the queue is empty */
	ACCEPT_STOP		/* nothing more now, for another reason */
};

/* ---- refusals ---- */

static void
refused(struct listener *l, const struct net_addr *peer, unsigned line)
{
	const char *what = l->conf->type == SOCK_DGRAM ? "datagram" :
	    "connection";
	char text[NET_TEXT];
	unsigned held = 0;

	listener_refused(l);
	if (!log_allow(&l->acl_limit, ev_now(l->master->ev), EV_SECOND, 10,
	    &held))
		return;
	if (held > 0)
		log_line("%u more %ss refused", held, what);
	if (line > 0)
		log_line("%s from [%s] refused by line %u", what,
		    net_ip_text(peer, text), line);
	else
		log_line("%s from [%s] refused, no line permits it", what,
		    net_ip_text(peer, text));
}

bool
accept_permits(struct listener *l, const struct net_addr *peer)
{
	const struct acl *acl = &l->master->conf.conf->broker.acl;
	unsigned line = 0;

	if (acl->n == 0 || acl_permits(acl, &peer->sa, &line))
		return true;
	refused(l, peer, line);
	return false;
}

/* Overload: the client sees an end or a reset instead of silence. */
static void
shed(struct listener *l, int fd)
{
	if (overload_policy(l->master) == OVERLOAD_RESET)
		(void)net_linger0(fd);
	close(fd);
	listener_refused(l);
}

static void
pause_cb(void *ctx)
{
	struct listener *l = ctx;

	l->paused = false;
	listeners_update(l->master);
}

/* One of those who wait sees the policy; the others wait 100 ms. */
void
accept_pause(struct listener *l, int reason)
{
	struct master *m = l->master;
	unsigned held = 0;
	int fd;

	if (log_allow(&m->fds_limit, ev_now(m->ev), EV_SECOND, 1, &held))
		log_warn(reason == EMFILE || reason == ENFILE ?
		    "out of descriptors (accept: %s)" : "accept: %s",
		    strerror(reason));
	if ((reason == EMFILE || reason == ENFILE) && m->reserve != -1 &&
	    l->conf->type != SOCK_DGRAM &&
	    m->conf.conf->broker.overload != OVERLOAD_QUEUE) {
		close(m->reserve);
		if ((fd = net_accept(l->fd, NULL)) != -1) {
			(void)net_linger0(fd);
			close(fd);
			listener_refused(l);
		}
		m->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	l->paused = true;
	ev_timer_set(m->ev, &l->pause, PAUSE, pause_cb, l);
	listeners_update(m);
}

static enum accept_outcome
accept_failed(struct listener *l)
{
	switch (errno) {
	case EAGAIN:
#if EWOULDBLOCK != EAGAIN
	case EWOULDBLOCK:
#endif
		return ACCEPT_NONE;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		/* the last four are no client's doing: never spin */
		accept_pause(l, errno);
		return ACCEPT_STOP;
	default:
		return ACCEPT_TAKEN;	/* that client is gone, next one */
	}
}

/* ---- one connection ---- */

static struct sticky *
cache_of(const struct listener *l)
{
	if (l->conf->sticky.period == 0)
		return NULL;
	return l->conf->sticky.own ? l->sticky : l->master->sticky;
}

/* 4.1 step 3: the worker this client had, if it may have it again. */
static struct proc *
sticky_choice(struct listener *l, const struct net_addr *peer,
    struct sticky_key *key, bool *has_key)
{
	struct sticky *cache = cache_of(l);
	uint32_t number;

	*has_key = cache != NULL && sticky_key_set(key, &peer->sa,
	    (uint16_t)net_port(&l->addr), (uint16_t)l->conf->protocol,
	    l->conf->type == SOCK_DGRAM);
	if (!*has_key)
		return NULL;
	number = sticky_find(cache, key, ev_now(l->master->ev));
	return number != 0 ? crew_find(l->master, number) : NULL;
}

struct hand *
accept_hand(struct listener *l, int fd, const struct net_addr *peer)
{
	struct master *m = l->master;
	struct hand *h = hand_new(m, l, fd);

	if (h == NULL)
		return NULL;
	h->generation = l->generation;
	h->record = l->record;
	h->record.id = ++m->ids;
	h->record.accepted = ev_now(m->ev);
	if (peer->len <= sizeof(h->record.peer))
		memcpy(h->record.peer, &peer->ss, peer->len);
	return h;
}

/* To the worker that has the same client's last datagram, that sticky, the
 * choice made before, or a start names. */
void
accept_give(struct listener *l, struct hand *h, const struct net_addr *peer,
    enum dispatch_verdict v, struct proc *p)
{
	struct master *m = l->master;
	struct sticky_key key;
	bool has_key;
	struct proc *before = sticky_choice(l, peer, &key, &has_key), *last;

	if (h->datagram != NULL && (last = datagram_worker(h)) != NULL)
		before = last;
	if (before != NULL)
		p = before;
	else if (v == DISPATCH_START)
		p = crew_start(m);
	if (p == NULL) {
		hand_push(&m->homeless, h);
		m->stalled = true;
		listeners_update(m);
		return;
	}
	if (has_key)
		sticky_set(cache_of(l), &key, p->number, ev_now(m->ev) +
		    l->conf->sticky.period * EV_SECOND);
	hand_give(p, h);
	crew_gave(m, p);
}

static enum accept_outcome
accept_one(struct listener *l, enum dispatch_verdict v, struct proc *p)
{
	struct net_addr peer;
	int fd = net_accept(l->fd, &peer);
	struct hand *h;

	if (fd == -1)
		return accept_failed(l);
	if (!accept_permits(l, &peer))
		close(fd);
	else if (v == DISPATCH_OVERLOAD)
		shed(l, fd);
	else if ((h = accept_hand(l, fd, &peer)) != NULL) {
		listener_accepted(l);
		accept_give(l, h, &peer, v, p);
	}
	return ACCEPT_TAKEN;
}

bool
accept_room(struct listener *l, enum dispatch_verdict *v, struct proc **p)
{
	struct master *m = l->master;

	if (m->stalled)
		return false;
	*p = NULL;
	*v = crew_pick(m, p);
	switch (*v) {
	case DISPATCH_TAKE:
	case DISPATCH_START:
		return true;
	case DISPATCH_WAIT:
		m->stalled = true;
		listeners_update(m);
		return false;
	case DISPATCH_OVERLOAD:
		overload_look(m);
		/* full and yet no overload: never spin on it */
		m->stalled = !m->overload;
		listeners_update(m);
		return m->overload && overload_policy(m) != OVERLOAD_QUEUE;
	}
	return false;
}

/*
 * How many to try the next time, where nobody says how many there are: as
 * many as there were, and twice as many after that was not enough for a
 * while.
 */
static void
expect(struct listener *l, unsigned got, bool empty)
{
	if (empty) {
		l->expect = got > 0 ? got : 1;
		l->full = 0;
	} else if (l->expect > 1 || ++l->full >= PATIENCE) {
		l->expect = l->expect * 2 < BATCH ? l->expect * 2 : BATCH;
		l->full = 0;
	}
}

void
accept_readable(void *ctx, int fd)
{
	struct listener *l = ctx;
	struct master *m = l->master;
	enum accept_outcome what = ACCEPT_TAKEN;
	enum dispatch_verdict v = DISPATCH_WAIT;
	struct proc *p = NULL;
	unsigned limit = l->expect, n = 0;
	int queued = -1;

	crew_refresh(m);
	while (n < limit && accept_room(l, &v, &p) &&
	    (what = accept_one(l, v, p)) == ACCEPT_TAKEN)
		if (++n == 1 && (queued = net_queued(fd)) >= 0)
			limit = queued < BATCH ? 1 + (unsigned)queued : BATCH;
	if (queued < 0 && (n == limit || what == ACCEPT_NONE))
		expect(l, n, what == ACCEPT_NONE);
	overload_look(m);
	/* here, too: what hand_place() cannot place stalls us without a word */
	listeners_update(m);
	master_stir(m);
}

void
accept_whatever(struct master *m, enum dispatch_verdict *v, struct proc **p)
{
	*p = NULL;
	*v = crew_pick(m, p);
	/* the limits are for those who come, these are here */
	if (*v == DISPATCH_OVERLOAD)
		*v = DISPATCH_WAIT;
	if (*p == NULL && *v == DISPATCH_WAIT)
		*p = crew_least(m);
}

void
accept_all(struct listener *l)
{
	enum accept_outcome what = ACCEPT_TAKEN;

	if (l->fd == -1)
		return;
	while (what == ACCEPT_TAKEN) {
		enum dispatch_verdict v;
		struct proc *p = NULL;

		crew_refresh(l->master);
		accept_whatever(l->master, &v, &p);
		what = accept_one(l, v, p);
	}
}
