/*
 * Datagrams from a listener to workers' queues. Nothing is ever answered
 * here, and no datagram is looked into.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/dgram.h"
#include "../misc/log.h"
#include "../misc/net.h"
#include "accept.h"
#include "channel.h"
#include "crew.h"
#include "datagram.h"
#include "hand.h"
#include "listen.h"
#include "master.h"
#include "overload.h"
#include "proc.h"

#define LONGEST		65507u	/* what UDPDATA has room for */
#define DRAIN		4	/* batches, of what came between bind and
				   connect */
#define ROUNDS		4	/* batches per turn */
#define RECENT		1024u	/* a power of two */

/* Who sent a datagram, and to which of our addresses. */
struct client {
	struct net_name	 peer, local;
};

/*
 * Clients whose sockets were made while more of their datagrams may wait in
 * the listener's queue, by a hash of the client; whoever collides takes the
 * place, and then a client may come to a second worker, which is no error.
 * Rounds are receives: an entry is void once one that came after it has
 * emptied the queue, since all that was sent later goes to his own socket.
 */
struct recent {
	struct client	 client;
	uint64_t	 round, turn;	/* in which it was made */
	struct hand	*hand;		/* stays where it is for that turn */
	uint32_t	 worker;	/* 0: not given to one yet */
};

/* Owned by its listener, made with the first datagram. */
struct datagram_recent {
	uint64_t	 round, turn;
	uint64_t	 since;		/* older entries are void */
	struct recent	 slots[RECENT];
};

void
datagram_recent_free(struct datagram_recent *r)
{
	free(r);
}

/* ---- who is known ---- */

static void
client_set(struct client *c, const struct channel_record *r)
{
	struct sockaddr_storage ss;

	memcpy(&ss, r->peer, sizeof(r->peer));
	net_name_set(&c->peer, (const struct sockaddr *)&ss, sizeof(ss));
	memcpy(&ss, r->local, sizeof(r->local));
	net_name_set(&c->local, (const struct sockaddr *)&ss, sizeof(ss));
}

/* FNV: who makes clients collide gains nothing. */
static size_t
client_hash(const struct client *c)
{
	const uint8_t *p = (const uint8_t *)c;
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof(*c); i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32) & (RECENT - 1);
}

/* His entry if it is still good, else NULL; *slot is where it would be. */
static struct recent *
recent_find(const struct hand *h, struct client *c, struct recent **slot)
{
	struct datagram_recent *r = h->listener->recent;

	*slot = NULL;
	if (r == NULL)
		return NULL;
	client_set(c, &h->record);
	*slot = &r->slots[client_hash(c)];
	return (*slot)->round >= r->since &&
	    memcmp(&(*slot)->client, c, sizeof(*c)) == 0 ? *slot : NULL;
}

static void
recent_add(struct hand *h)
{
	struct datagram_recent *r = h->listener->recent;
	struct client c;
	struct recent *slot, *e = recent_find(h, &c, &slot);

	if (slot != NULL)
		*slot = (struct recent){ .client = c, .round = r->round,
		    .turn = r->turn, .hand = h,
		    .worker = e != NULL ? e->worker : 0 };
}

struct proc *
datagram_worker(struct hand *h)
{
	struct client c;
	struct recent *slot, *e = recent_find(h, &c, &slot);

	return e != NULL && e->worker != 0 ?
	    crew_same(h->listener->master, e->worker) : NULL;
}

void
datagram_given(const struct hand *h, const struct proc *p)
{
	struct client c;
	struct recent *slot, *e = recent_find(h, &c, &slot);

	if (e != NULL)
		e->worker = p->number;
}

/* ---- sockets ---- */

int
datagram_prepare(int fd, int family)
{
	return dgram_prepare(fd, family);
}

static void
addr_get(struct net_addr *a, const uint8_t from[128])
{
	struct net_name name;
	struct sockaddr_storage ss;

	memcpy(&ss, from, 128);
	net_name_set(&name, (const struct sockaddr *)&ss, sizeof(ss));
	net_name_addr(&name, a);
}

static void
addr_put(uint8_t to[128], const struct net_addr *a)
{
	memset(to, 0, 128);
	memcpy(to, &a->ss, a->len < 128 ? a->len : 128);
}

bool
datagram_ready(struct hand *h)
{
	/* without it once a reload has removed the listener */
	const struct listener_conf *c = h->listener->conf;
	struct net_addr peer, local;

	if (h->fd != -1)
		return true;
	addr_get(&peer, h->record.peer);
	addr_get(&local, h->record.local);
	h->fd = dgram_open(&local, &peer, c != NULL ? c->vrf : NULL,
	    c != NULL ? c->dscp : -1);
	if (h->fd == -1)
		return false;
	/* what it was sent to may not be what can answer */
	if (net_local(h->fd, &local) == 0)
		addr_put(h->record.local, &local);
	return true;
}

static bool
may_change(int reason)
{
	return reason == EMFILE || reason == ENFILE || reason == ENOMEM ||
	    reason == ENOBUFS;
}

void
datagram_unready(struct master *m, struct hand *h)
{
	static struct log_limit limit;
	struct listener *l = h->listener;
	char text[NET_TEXT];
	struct net_addr peer;
	int reason = errno;
	unsigned held = 0;

	if (may_change(reason)) {
		hand_push(&m->homeless, h);
		m->stalled = true;
		if (l->conf != NULL)
			accept_pause(l, reason);
		return;
	}
	listener_refused(l);
	addr_get(&peer, h->record.peer);
	if (log_allow(&limit, ev_now(m->ev), EV_SECOND, 1, &held))
		log_warn("datagram from %s dropped: %s (%u more)",
		    net_text(&peer, text), strerror(reason), held);
	hand_free(m, h);
}

/* ---- one datagram ---- */

/* Nobody is at port 0, and whoever claims to be us would be answered by
 * ourselves. */
static bool
answerable(const struct net_addr *peer, const struct net_addr *local)
{
	return net_port(peer) != 0 && !net_same(peer, local);
}

/* NULL: it is not for us, or there is no memory for it. */
static struct hand *
hand_make(struct listener *l, const struct dgram *g, const struct hand *like)
{
	struct net_addr local = g->local;
	struct datagram *d;
	struct hand *h;

	if (like != NULL)
		addr_get(&local, like->record.local);
	else if (local.len == 0 || net_is_any(&local))
		local = l->addr;	/* it came before anybody asked */
	net_set_port(&local, net_port(&l->addr));
	if (g->len > LONGEST || !answerable(&g->peer, &local) ||
	    (d = malloc(sizeof(*d) + g->len)) == NULL) {
		listener_refused(l);
		return NULL;
	}
	d->len = (uint32_t)g->len;
	memcpy(d->bytes, g->data, g->len);
	if ((h = accept_hand(l, -1, &g->peer)) == NULL) {
		free(d);
		listener_refused(l);
		return NULL;
	}
	h->datagram = d;
	addr_put(h->record.local, &local);
	return h;
}

/* One batch from fd. How many there were; -1, errno. */
static int
gather(struct listener *l, int fd, unsigned max, const struct hand *like,
    struct hand_queue *to)
{
	struct dgrams *d = l->master->dgrams;
	int n = dgram_receive(d, fd, max);

	for (int i = 0; i < n; i++) {
		struct hand *h = hand_make(l, dgram_at(d, (unsigned)i), like);

		if (h != NULL)
			hand_push(to, h);
	}
	return n;
}

/*
 * Between bind and connect the socket may have got what was for the listener,
 * or for this client.
 */
static void
strays_gather(struct hand *h, struct hand_queue *to)
{
	for (int i = 0; i < DRAIN && gather(h->listener, h->fd, DGRAM_BATCH,
	    h, to) > 0; i++)
		;
}

/* The socket of the client, made in this turn, or a new one. */
static bool
socket_get(struct hand *h, struct hand_queue *strays)
{
	struct client c;
	struct recent *slot, *e = recent_find(h, &c, &slot);

	if (e != NULL && e->turn == h->listener->recent->turn &&
	    e->hand->fd != -1)
		return (h->fd = fcntl(e->hand->fd, F_DUPFD_CLOEXEC, 3)) != -1;
	if (!datagram_ready(h))
		return false;
	strays_gather(h, strays);
	recent_add(h);
	return true;
}

static void
wait_for_room(struct master *m, struct hand *h)
{
	hand_push(&m->homeless, h);
	listeners_update(m);
}

static void
take(struct hand *h, struct hand_queue *strays, bool whatever)
{
	struct listener *l = h->listener;
	struct master *m = l->master;
	enum dispatch_verdict v = DISPATCH_WAIT;
	struct proc *p = NULL;
	struct net_addr peer;
	bool room = true;

	addr_get(&peer, h->record.peer);
	if (!accept_permits(l, &peer)) {
		hand_free(m, h);
		return;
	}
	if (whatever)
		accept_whatever(m, &v, &p);
	else
		room = accept_room(l, &v, &p);
	if (room && v == DISPATCH_OVERLOAD) {
		listener_refused(l);
		hand_free(m, h);
	} else if (!socket_get(h, strays))
		datagram_unready(m, h);
	else {
		listener_accepted(l);
		if (room)
			accept_give(l, h, &peer, v, p);
		else
			wait_for_room(m, h);
	}
}

/*
 * Receives once, and deals with all of it and with what that brings to light.
 * How many there were; -1, errno.
 */
static int
round_do(struct listener *l, unsigned max, bool whatever)
{
	struct hand_queue q = { NULL, NULL, 0 };
	struct datagram_recent *r = l->recent;
	struct hand *h;
	int n, reason;

	r->round++;
	n = gather(l, l->fd, max, NULL, &q);
	reason = errno;
	while ((h = hand_pop(&q)) != NULL)
		take(h, &q, whatever);
	if (n < (int)max)
		r->since = r->round;
	errno = reason;
	return n;
}

/* ---- the listener ---- */

static bool
buffers_ready(struct listener *l)
{
	struct master *m = l->master;

	if (m->dgrams == NULL)
		m->dgrams = dgrams_new();
	if (l->recent == NULL)
		l->recent = calloc(1, sizeof(*l->recent));
	if (m->dgrams == NULL || l->recent == NULL)
		return false;
	if (l->recent->since == 0)
		l->recent->since = 1;	/* no slot is that old */
	l->recent->turn++;
	return true;
}

/* No more than there is room for: the others wait where they are, unless
 * they are to be dropped. */
static unsigned
appetite(const struct master *m)
{
	uint64_t total = crew_total(m), capacity = crew_capacity(m);

	if (m->overload || capacity <= total)
		return m->overload && overload_policy(m) != OVERLOAD_QUEUE ?
		    DGRAM_BATCH : 1;
	return capacity - total < DGRAM_BATCH ?
	    (unsigned)(capacity - total) : DGRAM_BATCH;
}

void
datagram_readable(void *ctx, int fd)
{
	struct listener *l = ctx;
	struct master *m = l->master;
	enum dispatch_verdict v;
	struct proc *p;
	int n = 1;

	(void)fd;
	crew_refresh(m);
	if (!buffers_ready(l)) {
		accept_pause(l, ENOMEM);
		return;
	}
	for (int i = 0; i < ROUNDS && n > 0 && !l->paused &&
	    accept_room(l, &v, &p); i++)
		n = round_do(l, appetite(m), false);
	if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK)
		accept_pause(l, errno);
	overload_look(m);
	listeners_update(m);
	master_stir(m);
}

void
datagram_all(struct listener *l)
{
	crew_refresh(l->master);
	while (l->fd != -1 && buffers_ready(l) &&
	    round_do(l, DGRAM_BATCH, true) > 0)
		;
}

unsigned
datagram_send(struct proc *p, const struct hand *h)
{
	uint8_t head[sizeof(h->record) + sizeof(h->datagram->len)];

	memcpy(head, &h->record, sizeof(h->record));
	memcpy(head + sizeof(h->record), &h->datagram->len,
	    sizeof(h->datagram->len));
	return proc_send(p, CHANNEL_UDPDATA, head, sizeof(head),
	    h->datagram->bytes, h->datagram->len, &h->fd, 1);
}
