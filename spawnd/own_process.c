/*
 * The process of a worker whose program is built into its master: sending,
 * titles, rounds, signals' consequences and the end.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../misc/title.h"
#include "own_process.h"
#include "words.h"

#define SPARE_FDS	10	/* 5.3 */

/* ---- sending */

void
process_interest(struct process *p)
{
	if (p->own.ev != NULL && !p->lost)
		ev_interest(p->own.ev, p->link->ch.fd,
		    (p->holding ? 0 : EV_READ) |
		    (p->holding || p->link->out != NULL || p->link->owed > 0 ?
		    EV_WRITE : 0));
}

/* A channel that fails is noticed by reading. */
void
process_send(struct process *p, enum channel_type type, const void *payload,
    size_t len)
{
	if (p->lost)
		return;
	if (worker_send(p->link, type, payload, len) == -1 &&
	    errno == ENOMEM)
		log_err("channel: out of memory");
	process_interest(p);
}

void
process_bad_config(struct process *p, const char *why)
{
	if (!p->lost)
		(void)spawnd_worker_bad_config(p->link, why);
	process_interest(p);
}

uint32_t
process_room(const struct process *p)
{
	int limit = ev_limit(p->own.ev) - SPARE_FDS - (int)p->lents.n;

	return limit < 2 ? 1 : (uint32_t)limit / 2;
}

void
process_ready(struct process *p, const struct compiled *c)
{
	struct channel_ready ready;

	memset(&ready, 0, sizeof(ready));
	memcpy(ready.nonce, p->link->nonce, sizeof(ready.nonce));
	ready.generation = c->generation;
	ready.count = p->room = p->lents.room = process_room(p);
	memcpy(ready.digest, c->digest, sizeof(ready.digest));
	process_send(p, CHANNEL_READY, &ready, process_has(p, FEATURE_CONFIG) ?
	    sizeof(ready) : CHANNEL_READY_PLAIN);
}

/* ---- the title */

static void
process_title_cb(void *ctx)
{
	process_title(ctx);
}

/*
 * The timer is only set while a text waits for its turn, so a worker at rest
 * is not woken, and a busy one formats ten texts a second.
 */
void
process_title(struct process *p)
{
	const char *text = p->running == NULL ? NULL :
	    p->running->worker_common.proctitle;
	uint64_t wait;

	if (ev_timer_pending(&p->title))
		return;
	if (p->manners != NULL) {
		(void)title_set(ev_now(p->own.ev), "%s: %s", p->base,
		    p->manners->worker);
		return;
	}
	wait = title_set(ev_now(p->own.ev), "%s: %s%s%" PRIu64
	    " connection%s%s", p->base, text == NULL ? "" : text,
	    text == NULL ? "" : ": ", p->own.live,
	    p->own.live == 1 ? "" : "s",
	    p->draining ? ", ending when idle" : "");
	if (wait > 0)
		ev_timer_set(p->own.ev, &p->title, wait, process_title_cb, p);
}

/* ---- ending */

void
process_drain(struct process *p)
{
	if (p->draining)
		return;
	p->draining = true;
	lents_clear(&p->lents);
	words_say(WORD_DRAIN, own_use(&p->own));
	if (p->own.worker != NULL)
		p->own.engine->drain(p->own.worker);
	own_stir(&p->own);
}

void
process_dying(struct process *p)
{
	if (!p->draining)
		process_send(p, CHANNEL_DYING, NULL, 0);
	process_drain(p);
}

void
process_lost(struct process *p)
{
	if (p->lost)
		return;
	p->lost = true;
	/* One that is told to end is often the last to leave. */
	if (!p->draining)
		words_say(WORD_ORPHAN);
	ev_timer_stop(p->own.ev, &p->keepalive);
	ev_close(p->own.ev, p->link->ch.fd);
	p->link->ch.fd = -1;
	if (process_cuts(p)) {
		ev_stop(p->own.ev, 0);
		return;
	}
	if (p->holding)
		process_deliver(p);	/* nobody else will */
	process_drain(p);
}

static void
process_returned(struct own *o, const struct spawnd_conn *c, unsigned reason)
{
	if ((c->id & OWN_SELF) == 0)
		process_refuse(process_of(o), c->id, reason);
}

static void
process_retire(struct own *o)
{
	process_dying(process_of(o));
}

/* A channel that fails is noticed by reading. */
static void
process_tell(struct own *o, const void *payload, size_t len, int fd)
{
	struct process *p = process_of(o);

	if (p->lost || !process_has(p, FEATURE_CONFIG))
		return;
	if (worker_send_fd(p->link, CHANNEL_TELL, payload, len, fd) == -1 &&
	    errno != EPIPE && errno != ECONNRESET)
		log_err("channel: TELL: %s", strerror(errno));
	process_interest(p);
}

/* ---- end of a round */

/*
 * With the board no message tells that sessions have begun or ended, so a
 * master that rests, or turns clients away, would learn of it late. The
 * fence: it says so and then looks at the column once more, we write the
 * column and then look at what it says; one of us must see the other.
 */
static bool
process_hint(struct process *p)
{
	uint32_t rest;

	if (!p->board_shared)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	rest = atomic_load_explicit(&p->own.seat->rest, memory_order_relaxed);
	if (rest != 0 && rest != p->rest) {
		p->rest = rest;
		return true;
	}
	return p->own.ended > 0 && atomic_load_explicit(
	    &p->shared.head->overload, memory_order_relaxed) != 0;
}

static void
process_round(struct own *o)
{
	struct process *p = process_of(o);
	bool look = process_hint(p);

	if (o->ended > 0) {
		if (!p->board_shared && !p->lost)
			(void)spawnd_worker_done(p->link, (unsigned)o->ended);
		process_interest(p);
	}
	o->ended = 0;
	look |= lents_update(&p->lents);
	if (look)
		process_send(p, CHANNEL_LOOK, NULL, 0);
	process_title(p);
	if (!p->draining || o->live > 0 || p->holding)
		return;
	/* What is on its way is served; only then is it over. */
	while (!p->lost && o->live == 0 && !p->holding && process_read(p))
		;
	if (o->live == 0 && !p->holding)
		ev_stop(o->ev, 0);
}

static void
process_rest(struct own *o, uint64_t ns)
{
	lents_rest(&process_of(o)->lents, ns);
}

const struct own_ops process_ops = {
	.shares = true,
	.returned = process_returned,
	.retire = process_retire,
	.rest = process_rest,
	.round = process_round,
	.tell = process_tell,
};
