/*
 * A connection leaves the master's custody when its worker is known to have
 * taken it; until then a copy of the descriptor is kept, so that it can be
 * given to another worker.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "crew.h"
#include "datagram.h"
#include "hand.h"
#include "listen.h"
#include "master.h"
#include "own.h"
#include "proc.h"
#include "seats.h"

#define TRIES		16	/* workers that may give one back */
#define RELEASE		(50 * EV_MS)	/* what is taken, at the latest */

struct hand *
hand_new(struct master *m, struct listener *l, int fd)
{
	struct hand *h = m->free_hands;

	if (h != NULL)
		m->free_hands = h->next;
	else if ((h = malloc(sizeof(*h))) == NULL) {
		close(fd);
		return NULL;
	}
	h->next = NULL;
	h->listener = listener_ref(l);
	h->fd = fd;
	h->datagram = NULL;
	h->tries = 0;
	h->moved = false;
	h->taken = 0;
	return h;
}

void
hand_free(struct master *m, struct hand *h)
{
	if (h->fd != -1)
		close(h->fd);
	free(h->datagram);
	listener_unref(h->listener);
	h->next = m->free_hands;
	m->free_hands = h;
}

/* Whether there is something that another worker could be given. */
static bool
hand_live(const struct hand *h)
{
	return h->fd != -1 || h->datagram != NULL;
}

void
hand_push(struct hand_queue *q, struct hand *h)
{
	h->next = NULL;
	if (q->last != NULL)
		q->last->next = h;
	else
		q->first = h;
	q->last = h;
	q->n++;
}

struct hand *
hand_pop(struct hand_queue *q)
{
	struct hand *h = q->first;

	if (h == NULL)
		return NULL;
	q->first = h->next;
	if (q->first == NULL)
		q->last = NULL;
	q->n--;
	return h;
}

void
hand_flush_all(struct master *m)
{
	struct proc *p;

	while ((p = m->unsent) != NULL) {
		m->unsent = p->next_unsent;
		p->unsent = false;
		hand_flush(p);
	}
}

static void
flush_cb(void *ctx)
{
	hand_flush_all(ctx);
}

void
hand_give(struct proc *p, struct hand *h)
{
	struct master *m = p->master;

	if (h->datagram != NULL)
		datagram_given(h, p);
	hand_push(&p->out, h);
	p->users++;
	p->idle_since = 0;
	if (p->unsent)
		return;
	p->unsent = true;
	p->next_unsent = m->unsent;
	m->unsent = p;
	ev_defer(m->ev, &m->flush, flush_cb, m);
}

void
hand_place(struct master *m, struct hand *h, const struct proc *except)
{
	struct proc *p = NULL;
	enum dispatch_verdict v;

	if (h->datagram != NULL && !datagram_ready(h)) {
		datagram_unready(m, h);
		return;
	}
	crew_refresh(m);
	if (except != NULL)
		crew_except(m, except);
	if (h->datagram != NULL && (p = datagram_worker(h)) != NULL)
		v = DISPATCH_TAKE;
	else
		v = crew_pick(m, &p);
	if (v == DISPATCH_START)
		p = crew_start(m);
	if (p != NULL && p != except)
		hand_give(p, h);
	else {
		hand_push(&m->homeless, h);
		m->stalled = true;
	}
}

/* The same for one that a worker has had: not for ever. */
static void
place_again(struct master *m, struct hand *h, const struct proc *except)
{
	if (h->tries++ < TRIES) {
		hand_place(m, h, except);
		return;
	}
	log_warn("connection given back by %d workers, closed", TRIES);
	hand_free(m, h);
}

void
hand_settle(struct master *m)
{
	struct hand_queue q = m->homeless;
	struct hand *h;

	memset(&m->homeless, 0, sizeof(m->homeless));
	m->stalled = false;
	while ((h = hand_pop(&q)) != NULL) {
		hand_place(m, h, NULL);
		if (m->stalled)
			break;
	}
	while ((h = hand_pop(&q)) != NULL)
		hand_push(&m->homeless, h);
}

/* What could not be sent goes to somebody else. */
static void
scatter(struct proc *p, struct hand_queue *from)
{
	struct hand_queue q = *from;
	struct hand *h;

	memset(from, 0, sizeof(*from));
	while ((h = hand_pop(&q)) != NULL) {
		if (p->users > 0)
			p->users--;
		hand_place(p->master, h, p);
	}
}

/*
 * Plain: what was taken a while ago, and what has come behind that TAKEN was
 * read, so that a RETURN is not overtaken. True: there is more to come.
 */
static bool
release_taken(struct proc *p, uint64_t now)
{
	bool more = false;

	proc_read(p);
	for (unsigned n = p->kept.n; n > 0; n--) {
		struct hand *h = hand_pop(&p->kept);

		if (h->taken != 0 && now - h->taken >= RELEASE / 2) {
			hand_free(p->master, h);
			continue;
		}
		more = more || h->taken != 0;
		hand_push(&p->kept, h);
	}
	return more;
}

static void
release_cb(void *ctx)
{
	struct master *m = ctx;
	uint64_t now = ev_now(m->ev);
	bool more = false;

	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		if (p->kept.n == 0)
			continue;
		if (p->seats == NULL) {
			more = release_taken(p, now) || more;
			continue;
		}
		hand_release(p);
		more = more || p->kept.n > 0;
	}
	if (more)
		ev_timer_set(m->ev, &m->release, RELEASE, release_cb, m);
}

void
hand_resume(struct master *m)
{
	ev_timer_set(m->ev, &m->release, RELEASE, release_cb, m);
}

void
hand_forks(struct master *m)
{
	m->forked = m->ids;
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->seats != NULL) {
			struct board_seat *s = board_seat(&p->seats->board,
			    p->column);

			atomic_store_explicit(&s->forked, board_get(
			    &s->given), memory_order_relaxed);
		}
}

/* h was sent to p. */
static void
hand_sent(struct proc *p, struct hand *h)
{
	struct master *m = p->master;
	struct board_seat *seat;

	p->served++;
	if (p->owes == 0)
		p->owes = ev_now(m->ev);
	hand_push(&p->kept, h);
	if (h->datagram != NULL) {
		close(h->fd);
		h->fd = -1;
	}
	if (p->seats == NULL)
		return;
	seat = board_seat(&p->seats->board, p->column);
	board_add(&seat->given, 1);
	if (h->record.id <= m->forked)
		atomic_store_explicit(&seat->forked, board_get(&seat->given),
		    memory_order_relaxed);
	if (!ev_timer_pending(&m->release))
		ev_timer_set(m->ev, &m->release, RELEASE, release_cb, m);
}

static void
single_flush(struct proc *p)
{
	struct master *m = p->master;
	struct spawnd_conn conns[CHANNEL_BATCH];
	unsigned n;

	while (p->out.n > 0) {
		for (n = 0; n < CHANNEL_BATCH && p->out.n > 0; n++) {
			struct hand *h = hand_pop(&p->out);

			h->record.handed = ev_now(m->ev);
			memset(&conns[n], 0, sizeof(conns[n]));
			channel_unpack(&conns[n], &h->record);
			conns[n].fd = h->fd;
			h->fd = -1;
			hand_free(m, h);
		}
		own_single_conn(m->single, conns, n);
	}
}

/* Own workers ask the system when they need it; a foreign one is told. */
static void
local_set(struct hand *h)
{
	struct net_addr local;
	sa_family_t family;

	memcpy(&family, h->record.local +
	    offsetof(struct sockaddr, sa_family), sizeof(family));
	if (family == AF_UNSPEC && net_local(h->fd, &local) == 0 &&
	    local.len <= sizeof(h->record.local))
		memcpy(h->record.local, &local.ss, local.len);
}

/* As it is now, if the configuration has changed since. */
static void
record_refresh(const struct proc *p, struct hand *h)
{
	if (h->generation != p->generation)
		listener_record(h->listener, h);
	h->record.handed = ev_now(p->master->ev);
}

/* The first connections due to p, of which the very first is a stream. */
static unsigned
batch_make(struct proc *p, struct channel_record *records, int *fds)
{
	unsigned max = p->channel.features & FEATURE_BATCH ? CHANNEL_BATCH : 1;
	unsigned n = 0;

	for (struct hand *h = p->out.first; h != NULL && n < max &&
	    h->datagram == NULL; h = h->next) {
		record_refresh(p, h);
		if (p->channel.features == 0)
			local_set(h);
		records[n] = h->record;
		fds[n++] = h->fd;
	}
	return n;
}

/* One message with what is due first. How many connections that were; 0: it
 * cannot be sent now. */
static unsigned
send_first(struct proc *p)
{
	static struct channel_record records[CHANNEL_BATCH];
	struct channel_batch head = { 0, 0 };
	struct hand *h = p->out.first;
	int fds[CHANNEL_BATCH];
	unsigned n;

	if (h->datagram != NULL) {
		record_refresh(p, h);
		return datagram_send(p, h);
	}
	head.n = n = batch_make(p, records, fds);
	if (n == 1 ? !proc_send(p, CHANNEL_ACCEPT, records,
	    sizeof(*records), NULL, 0, fds, 1) :
	    !proc_send(p, CHANNEL_BATCHED, &head, sizeof(head),
	    records, n * sizeof(*records), fds, n))
		return 0;
	return n;
}

void
hand_flush(struct proc *p)
{
	unsigned n;

	if (p->master->single != NULL && p->pid == 0) {
		single_flush(p);
		return;
	}
	while (p->out.n > 0 && p->state == PROC_READY && !p->outbox.blocked &&
	    (n = send_first(p)) > 0)
		while (n-- > 0)
			hand_sent(p, hand_pop(&p->out));
	if (p->out.n > 0 && p->state != PROC_STARTING)
		scatter(p, &p->out);
	if (p->kept.n > 0 && p->seats != NULL)
		hand_release(p);
}

/* A worker that had been given up served what another one serves now. */
static void
hand_doubled(struct proc *p)
{
	log_warn("worker %ld took a connection that was moved, killed",
	    (long)p->known_as);
	proc_kill(p, SIGKILL);
}

/*
 * Forget what p has taken, taken being read before the channel was, and tell
 * it so: what is nobody else's any more is cheaper to close (5.4).
 */
static void
release_covered(struct proc *p, uint64_t taken)
{
	for (; p->released < taken && p->kept.n > 0; p->released++) {
		struct hand *h = hand_pop(&p->kept);

		if (h->moved)
			hand_doubled(p);
		hand_free(p->master, h);
	}
	atomic_store_explicit(&board_seat(&p->seats->board,
	    p->column)->released, p->released, memory_order_release);
}

static uint64_t
column_taken(const struct proc *p)
{
	return atomic_load_explicit(&board_column(&p->seats->board,
	    p->column)->taken, memory_order_acquire);
}

void
hand_cover(struct proc *p)
{
	release_covered(p, column_taken(p));
}

void
hand_release(struct proc *p)
{
	uint64_t taken = column_taken(p);

	if (taken == p->released)
		return;
	/* `taken` covers `returned`, and that covers what was sent before */
	if (board_get(&board_column(&p->seats->board, p->column)->returned) !=
	    p->returns)
		proc_read(p);
	release_covered(p, taken);
}

/* On p's kept queue, taken off it when `unlink`. */
static struct hand *
kept_find(struct proc *p, uint64_t id, bool unlink)
{
	struct hand *before = NULL, *h;

	for (h = p->kept.first; h != NULL && h->record.id != id; h = h->next)
		before = h;
	if (h == NULL || !unlink)
		return h;
	*(before != NULL ? &before->next : &p->kept.first) = h->next;
	if (p->kept.last == h)
		p->kept.last = before;
	p->kept.n--;
	return h;
}

void
hand_taken(struct proc *p, uint64_t id)
{
	struct hand *h;

	if (p->seats != NULL || (h = kept_find(p, id, false)) == NULL)
		return;
	if (h->moved)
		hand_doubled(p);
	h->taken = ev_now(p->master->ev);
	if (!ev_timer_pending(&p->master->release))
		ev_timer_set(p->master->ev, &p->master->release, RELEASE,
		    release_cb, p->master);
}

uint32_t
hand_untaken(const struct proc *p)
{
	uint32_t n = p->out.n;

	for (const struct hand *h = p->kept.first; h != NULL; h = h->next)
		n += h->taken == 0 && hand_live(h);
	return n;
}

/* h goes on as another object; what stays tells that p must not take it. */
static void
move_copy(struct proc *p, struct hand *h)
{
	struct hand *copy = hand_new(p->master, h->listener, h->fd);

	h->fd = -1;
	if (copy == NULL)
		return;
	copy->datagram = h->datagram;
	h->datagram = NULL;
	copy->record = h->record;
	copy->generation = h->generation;
	copy->tries = h->tries;
	place_again(p->master, copy, p);
}

void
hand_returned(struct proc *p, uint64_t id, uint32_t reason)
{
	struct hand *h = kept_find(p, id, p->seats == NULL);

	log_debug(DEBUG_PROC, "worker %ld gave a connection back, reason %u",
	    (long)p->known_as, reason);
	if (p->seats == NULL && (h == NULL || !h->moved)) {
		p->passed++;
		if (p->users > 0)
			p->users--;
	}
	if (h == NULL)
		return;		/* too late: closed with the worker's */
	if (!h->moved && hand_live(h))
		move_copy(p, h);
	h->moved = false;
	if (p->seats == NULL)
		hand_free(p->master, h);
}

/* The worker is gone: nobody can take these twice. */
static void
move_kept(struct proc *p)
{
	struct hand *h;

	while ((h = hand_pop(&p->kept)) != NULL) {
		if (!hand_live(h) || h->taken != 0) {
			hand_free(p->master, h);
			continue;
		}
		if (p->users > 0)
			p->users--;
		place_again(p->master, h, p);
	}
}

void
hand_move(struct proc *p, bool alive)
{
	if (p->seats != NULL && !alive)
		release_covered(p, column_taken(p));
	scatter(p, &p->out);
	if (!alive) {
		move_kept(p);
		return;
	}
	for (struct hand *h = p->kept.first; h != NULL; h = h->next)
		if (hand_live(h) && h->taken == 0) {
			h->moved = true;
			p->passed++;
			if (p->users > 0)
				p->users--;
			move_copy(p, h);
		}
}
