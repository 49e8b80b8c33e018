/*
 * Accepting in the worker. How many at once, whether at all, and who may: as
 * the master would, read from the board and the configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acl.h"
#include "lent.h"

#define LENT_BATCH	64u			/* 6.5 */
#define LENT_PAUSE	(100 * EV_MS)		/* 6.6 */
#define LENT_PATIENCE	16u

/* Owned by its struct lents. */
struct lent {
	struct lent			*next;
	struct lents			*lents;
	struct compiled			*conf;	/* a reference */
	const struct listener_conf	*l;	/* in conf */
	struct board_cell		*cell;	/* accepted, refused; NULL */
	struct net_addr			 local;	/* of accepted connections,
						   family 0: differs */
	int				 fd;
	uint32_t			 index;
	/* An accept that finds nothing is expensive: how many are taken per
	 * wake-up grows only after as many were there a number of times in a
	 * row. */
	unsigned			 expect, full;
};

void
lents_init(struct lents *ls, struct own *o)
{
	memset(ls, 0, sizeof(*ls));
	ls->own = o;
	ls->reserve = -1;
}

/* ---- limits */

static uint32_t
lents_max(const struct lents *ls)
{
	uint32_t max = atomic_load_explicit(&ls->own->seat->max,
	    memory_order_relaxed);

	return max == 0 || max > ls->room ? ls->room : max;
}

/* Eligible as the master sees it; nobody tells when that changes. */
static bool
lents_allowed(const struct lents *ls)
{
	const struct board_seat *s = ls->own->seat;

	return atomic_load_explicit(&s->state, memory_order_relaxed) ==
	    BOARD_READY &&
	    atomic_load_explicit(&s->shed, memory_order_relaxed) == 0;
}

static void
lents_watch(struct lents *ls)
{
	bool want = !ls->paused && own_load(ls->own) < lents_max(ls);

	if (want == ls->wanted)
		return;
	ls->wanted = want;
	if (!want)
		log_debug(DEBUG_NET, "relay_accept: deferring connections");
	for (struct lent *l = ls->first; l != NULL; l = l->next)
		ev_interest(ls->own->ev, l->fd, want ? EV_READ : 0);
}

static void
lents_resume_cb(void *ctx)
{
	struct lents *ls = ctx;

	ls->paused = false;
	lents_watch(ls);
}

static void
lents_pause(struct lents *ls)
{
	ls->paused = true;
	ls->early = false;
	ev_timer_set(ls->own->ev, &ls->pause, LENT_PAUSE, lents_resume_cb, ls);
	lents_watch(ls);
}

void
lents_rest(struct lents *ls, uint64_t ns)
{
	ls->paused = ls->early = true;
	ls->finished = board_get(&ls->own->users->finished);
	ev_timer_set(ls->own->ev, &ls->pause, ns, lents_resume_cb, ls);
	lents_watch(ls);
}

static void
lents_wake(struct lents *ls)
{
	if (!ls->paused || !ls->early ||
	    board_get(&ls->own->users->finished) == ls->finished)
		return;
	ev_timer_stop(ls->own->ev, &ls->pause);
	ls->paused = false;
}

bool
lents_update(struct lents *ls)
{
	uint32_t use, max;
	unsigned was = ls->level;

	if (ls->n == 0)
		return false;
	lents_wake(ls);
	use = own_load(ls->own);
	max = lents_max(ls);
	ls->level = use >= max ? 2 : use > ls->least ? 1 : 0;
	lents_watch(ls);
	return ls->level > was || (was == 2 && ls->level < 2);
}

/* ---- accepting */

static void
lent_log_refused(struct lent *l, const struct net_addr *peer, unsigned line)
{
	struct lents *ls = l->lents;
	char text[NET_TEXT];
	unsigned held = 0;

	if (!log_allow(&ls->log_refused, ev_now(ls->own->ev), EV_SECOND, 10,
	    &held))
		return;
	if (held > 0)
		log_line("%u more connections refused", held);
	if (line > 0)
		log_line("connection from [%s] refused by line %u",
		    net_ip_text(peer, text), line);
	else
		log_line("connection from [%s] refused, no line permits it",
		    net_ip_text(peer, text));
}

static void
lent_fill(struct lent *l, struct spawnd_conn *c, int fd,
    const struct net_addr *peer, uint64_t now)
{
	struct own *o = l->lents->own;

	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->id = OWN_SELF | (uint64_t)(o->number & 0xffffff) << 39 |
	    (++o->accepted & ((UINT64_C(1) << 39) - 1));
	c->accepted = c->handed = now;
	c->listener = l->index;
	c->flags = l->l->flags;
	c->versions = l->l->versions;
	c->aaa = l->l->aaa;
	c->type = (uint16_t)l->l->type;
	c->protocol = (uint16_t)l->l->protocol;
	memcpy(c->realm, l->l->realm, sizeof(c->realm));
	c->peer = peer->ss;
	c->local = l->local.ss;
}

/* One client that waits sees the policy instead of silence. */
static void
lent_shed(struct lent *l)
{
	struct lents *ls = l->lents;
	struct net_addr peer;
	int fd;

	if (l->conf->broker.overload == OVERLOAD_QUEUE || ls->reserve == -1)
		return;
	close(ls->reserve);
	ls->reserve = -1;
	fd = net_accept(l->fd, &peer);
	if (fd != -1) {
		if (l->conf->broker.overload == OVERLOAD_RESET)
			(void)net_linger0(fd);
		close(fd);
		if (l->cell != NULL)
			board_add(&l->cell->failures, 1);
	}
	ls->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum lent_outcome { LENT_CONN, LENT_SKIP, LENT_NOTHING, LENT_NORES };

static enum lent_outcome
lent_failed(struct lent *l)
{
	struct lents *ls = l->lents;
	bool none = errno == EMFILE || errno == ENFILE;
	unsigned held = 0;

	switch (errno) {
	case EAGAIN:
#if EWOULDBLOCK != EAGAIN
	case EWOULDBLOCK:
#endif
		return LENT_NOTHING;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		break;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
	case EFAULT:
		/* Not the client's doing: do not spin. */
		break;
	default:
		return LENT_SKIP;
	}
	if (log_allow(&ls->log_failed, ev_now(ls->own->ev), EV_SECOND, 1,
	    &held))
		log_warn(none ? "out of descriptors (accept: %s)" :
		    "accept: %s", strerror(errno));
	if (none)
		lent_shed(l);
	return LENT_NORES;
}

static enum lent_outcome
lent_accept(struct lent *l, struct spawnd_conn *c, uint64_t now)
{
	struct net_addr peer;
	unsigned line = 0;
	int fd = net_accept(l->fd, &peer);

	if (fd == -1)
		return lent_failed(l);
	if (!acl_permits(&l->conf->broker.acl, &peer.sa, &line)) {
		lent_log_refused(l, &peer, line);
		board_add(&l->lents->own->users->refused, 1);
		if (l->cell != NULL)
			board_add(&l->cell->failures, 1);
		close(fd);
		return LENT_SKIP;
	}
	lent_fill(l, c, fd, &peer, now);
	return LENT_CONN;
}

static void
lent_expect(struct lent *l, unsigned got, bool empty)
{
	if (empty) {
		l->expect = got == 0 ? 1 : got;
		l->full = 0;
	} else if (++l->full >= LENT_PATIENCE || l->expect > 1) {
		l->expect = l->expect * 2 > LENT_BATCH ? LENT_BATCH :
		    l->expect * 2;
		l->full = 0;
	}
}

static void
lent_readable_cb(void *ctx, int fd)
{
	/* One per process, and only in use here. */
	static struct spawnd_conn conns[LENT_BATCH];
	struct lent *l = ctx;
	struct lents *ls = l->lents;
	uint32_t use = own_load(ls->own), max = lents_max(ls);
	enum lent_outcome what = LENT_SKIP;
	unsigned n = 0, tries, limit;
	uint64_t now;

	(void)fd;
	if (!lents_allowed(ls)) {
		lents_pause(ls);
		return;
	}
	limit = use >= max ? 0 : max - use;
	if (limit > l->expect)
		limit = l->expect;
	now = ev_now(ls->own->ev);
	for (tries = 0; tries < limit; tries++) {
		what = lent_accept(l, &conns[n], now);
		if (what == LENT_CONN)
			n++;
		else if (what != LENT_SKIP)
			break;
	}
	if (limit == l->expect)
		lent_expect(l, tries, what == LENT_NOTHING);
	if (what == LENT_NORES)
		lents_pause(ls);
	if (n > 0 && l->cell != NULL)
		board_add(&l->cell->total, n);
	if (n > 0)
		own_accept(ls->own, conns, n);	/* l may be gone after it */
	else
		lents_watch(ls);
}

static const struct ev_ops lent_ops = {
	.readable = lent_readable_cb,
};

/* ---- lent and revoked */

static struct lent **
lents_find(struct lents *ls, uint32_t index)
{
	struct lent **p = &ls->first;

	while (*p != NULL && (*p)->index != index)
		p = &(*p)->next;
	return p;
}

static void
lent_free(struct lents *ls, struct lent **p)
{
	struct lent *l = *p;

	*p = l->next;
	ls->n--;
	/* Now, not at the end of the round: the master that asked for it
	 * drains and closes its own as soon as it hears from us, and who came
	 * to our copy then would be reset. */
	ev_del(ls->own->ev, l->fd);
	close(l->fd);
	if (l->cell != NULL)
		board_drop(l->cell);
	compiled_unref(l->conf);
	free(l);
}

/* Where the address is not the same for all connections, who wants to know
 * it asks the socket: most do not. */
static void
lent_local(struct lent *l)
{
	if (l->l->addr.len != 0)
		l->local = l->l->addr;
	else if (net_local(l->fd, &l->local) == -1)
		memset(&l->local, 0, sizeof(l->local));
	if (net_is_any(&l->local))
		memset(&l->local, 0, sizeof(l->local));
}

int
lents_add(struct lents *ls, int fd, uint32_t index, struct compiled *c)
{
	struct lent *l, **old = lents_find(ls, index);

	if (index >= c->broker.nlisteners) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		close(fd);
		return -1;
	}
	l->lents = ls;
	l->l = &c->broker.listeners[index];
	l->fd = fd;
	l->index = index;
	l->expect = 1;
	lent_local(l);
	if (ev_add_shared(ls->own->ev, fd, &lent_ops, l,
	    ls->wanted ? EV_READ : 0) == -1) {
		int saved = errno;

		close(fd);
		free(l);
		errno = saved;
		return -1;
	}
	l->conf = compiled_ref(c);
	l->cell = own_listener(ls->own, l->l);
	if (*old != NULL)
		lent_free(ls, old);
	l->next = ls->first;
	ls->first = l;
	ls->n++;
	ls->least = c->broker.spawn.users_min;
	if (ls->reserve == -1 && c->broker.overload != OVERLOAD_QUEUE)
		ls->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	lents_watch(ls);
	return 0;
}

bool
lents_remove(struct lents *ls, uint32_t index)
{
	struct lent **p = lents_find(ls, index);

	if (*p == NULL)
		return false;
	lent_free(ls, p);
	return true;
}

void
lents_clear(struct lents *ls)
{
	while (ls->first != NULL)
		lent_free(ls, &ls->first);
	ev_timer_stop(ls->own->ev, &ls->pause);
	ls->paused = false;
	ls->wanted = false;
	ls->level = 0;
	if (ls->reserve != -1)
		close(ls->reserve);
	ls->reserve = -1;
}
