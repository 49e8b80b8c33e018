/*
 * Between the pure rules of dispatch.c and the processes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "crew.h"
#include "listen.h"
#include "master.h"
#include "overload.h"
#include "proc.h"

#define QUICK		(10 * EV_SECOND)	/* ended too quickly, 5.7 */
#define THROTTLE_MIN	(100 * EV_MS)
#define THROTTLE_MAX	(10 * EV_SECOND)
#define UNKNOWN_MAX	(100 * EV_MS)	/* from channel's end to status */
#define IDLE		(10 * EV_SECOND)	/* before a worker goes, 4.5 */

bool
crew_may_start(const struct master *m)
{
	return !m->throttle.waiting && !m->throttle.unknown;
}

static void
rule_set(struct master *m)
{
	const struct spawn_conf *s = &m->conf.conf->broker.spawn;
	struct dispatch_rule *r = &m->crew.rule;

	r->instances_min = s->instances_min;
	r->instances_max = s->instances_max;
	if (m->single != NULL)
		r->instances_min = r->instances_max = 1;
	r->users_min = s->users_min;
	r->users_max = s->users_max;
	r->may_start = crew_may_start(m) && m->single == NULL &&
	    m->status == 0;
}

static void
member_set(struct dispatch_worker *w, const struct proc *p)
{
	w->use = proc_use(p);
	w->max = proc_max(p);
	w->eligible = proc_eligible(p);
	w->blocked = p->outbox.blocked;
	w->idle_since = p->idle_since;
}

/* Without memory the youngest are not seen for a while. */
static void
crew_room(struct crew *c, size_t room)
{
	void *workers = reallocarray(c->workers, room, sizeof(*c->workers));
	void *procs = workers == NULL ? NULL :
	    reallocarray(c->procs, room, sizeof(*c->procs));

	if (workers != NULL)
		c->workers = workers;
	if (procs == NULL)
		return;
	c->procs = procs;
	c->room = room;
}

void
crew_refresh(struct master *m)
{
	struct crew *c = &m->crew;

	if (c->room < m->nprocs)
		crew_room(c, m->nprocs + 16);
	rule_set(m);
	c->n = 0;
	for (struct proc *p = m->oldest; p != NULL && c->n < c->room;
	    p = p->newer) {
		if (p->generation != m->generation || p->state == PROC_DEAD)
			continue;
		member_set(&c->workers[c->n], p);
		c->procs[c->n++] = p;
		/* one of them tells what the next one will say */
		if (p->limit < c->rule.users_max)
			c->rule.users_max = p->limit;
	}
}

enum dispatch_verdict
crew_pick(struct master *m, struct proc **p)
{
	struct crew *c = &m->crew;
	size_t index = 0;
	enum dispatch_verdict v = dispatch_pick(c->workers, c->n, &c->rule,
	    &index);

	if (v == DISPATCH_TAKE)
		*p = c->procs[index];
	return v;
}

struct proc *
crew_start(struct master *m)
{
	struct proc *p = proc_start(m, &m->conf, m->generation);

	crew_refresh(m);
	if (p == NULL && crew_pick(m, &p) != DISPATCH_TAKE)
		return NULL;
	return p;
}

static size_t
crew_index(const struct master *m, const struct proc *p)
{
	size_t i = 0;

	while (i < m->crew.n && m->crew.procs[i] != p)
		i++;
	return i;
}

struct proc *
crew_find(struct master *m, uint32_t number)
{
	for (size_t i = 0; i < m->crew.n; i++)
		if (m->crew.procs[i]->number == number)
			return dispatch_usable(&m->crew.workers[i]) ?
			    m->crew.procs[i] : NULL;
	return NULL;
}

struct proc *
crew_same(struct master *m, uint32_t number)
{
	for (size_t i = 0; i < m->crew.n; i++)
		if (m->crew.procs[i]->number == number)
			return m->crew.workers[i].eligible &&
			    !m->crew.workers[i].blocked ?
			    m->crew.procs[i] : NULL;
	return NULL;
}

struct proc *
crew_least(struct master *m)
{
	const struct crew *c = &m->crew;
	size_t best = c->n;

	for (size_t i = 0; i < c->n; i++)
		if (c->workers[i].eligible && !c->workers[i].blocked &&
		    (best == c->n || c->workers[i].use <
		    c->workers[best].use))
			best = i;
	return best < c->n ? c->procs[best] : NULL;
}

void
crew_gave(struct master *m, const struct proc *p)
{
	size_t i = crew_index(m, p);

	if (i < m->crew.n)
		m->crew.workers[i].use++;
}

void
crew_except(struct master *m, const struct proc *p)
{
	size_t i = crew_index(m, p);

	if (i < m->crew.n)
		m->crew.workers[i].blocked = true;
}

uint64_t
crew_total(const struct master *m)
{
	return dispatch_total(m->crew.workers, m->crew.n);
}

uint64_t
crew_capacity(const struct master *m)
{
	return dispatch_capacity(m->crew.workers, m->crew.n, &m->crew.rule);
}

uint64_t
crew_everyone(const struct master *m)
{
	uint64_t total = 0;

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		total += proc_use(p);
	return total;
}

/* 4.1 step 2, and 4.7 for listeners whose workers accept themselves. */
static void
crew_grow(struct master *m)
{
	uint32_t wanted = m->crew.rule.instances_min;
	size_t there;

	if (listeners_lent(m))
		wanted = dispatch_wanted(crew_total(m), &m->crew.rule);
	there = dispatch_eligible(m->crew.workers, m->crew.n);
	for (; there < wanted && m->crew.rule.may_start; there++) {
		if (proc_start(m, &m->conf, m->generation) == NULL)
			break;
		m->crew.rule.may_start = crew_may_start(m);
	}
	crew_refresh(m);
}

/*
 * Workers that accept for themselves are never idle while there is anything
 * to do: to be fewer they have to be told so. Their sessions go on.
 */
static void
crew_cut(struct master *m)
{
	const struct program_manners *manners = m->program->manners;
	struct crew *c = &m->crew;
	size_t *gone, n;

	if (manners == NULL || !manners->exact || m->single != NULL ||
	    dispatch_eligible(c->workers, c->n) <= c->rule.instances_max ||
	    (gone = calloc(c->n, sizeof(*gone))) == NULL)
		return;
	n = dispatch_surplus(c->workers, c->n, &c->rule, gone);
	for (size_t i = 0; i < n; i++)
		proc_may_die(c->procs[gone[i]]);
	free(gone);
	crew_refresh(m);
}

void
crew_look(struct master *m)
{
	crew_refresh(m);
	if (m->ending || m->holding)
		return;
	crew_cut(m);
	crew_grow(m);
	hand_settle(m);
	overload_look(m);
	listeners_update(m);
}

bool
crew_shrink(struct master *m, uint64_t now)
{
	struct crew *c = &m->crew;
	size_t *gone, n;
	bool later;

	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (proc_use(p) > 0)
			p->idle_since = 0;
		else if (p->idle_since == 0)
			p->idle_since = now;
	crew_refresh(m);
	if (m->ending || m->single != NULL || c->n == 0 ||
	    (gone = calloc(c->n, sizeof(*gone))) == NULL)
		return false;
	n = dispatch_shrink(c->workers, c->n, &c->rule, now, IDLE, gone);
	for (size_t i = 0; i < n; i++)
		proc_may_die(c->procs[gone[i]]);
	if (n > 0)
		crew_refresh(m);
	later = dispatch_shrink(c->workers, c->n, &c->rule, now, 0, gone) > 0;
	free(gone);
	return later;
}

static void
throttle_cb(void *ctx)
{
	struct master *m = ctx;

	m->throttle.waiting = false;
	master_changed(m);
}

static void
unknown_cb(void *ctx)
{
	struct master *m = ctx;

	m->throttle.unknown = false;
	master_changed(m);
}

void
crew_left(struct master *m)
{
	m->throttle.unknown = true;
	ev_timer_set(m->ev, &m->throttle.unknown_timer, UNKNOWN_MAX,
	    unknown_cb, m);
}

void
crew_ended(struct master *m, uint64_t lived, bool failed)
{
	struct throttle *t = &m->throttle;

	t->unknown = false;
	if (lived >= QUICK) {
		t->delay = 0;
		return;
	}
	if (!failed || t->waiting)
		return;
	if (t->delay == 0)
		t->delay = THROTTLE_MIN;
	else if (t->delay < THROTTLE_MAX)
		t->delay = t->delay * 2 < THROTTLE_MAX ? t->delay * 2 :
		    THROTTLE_MAX;
	t->waiting = true;
	log_warn("workers ending too quickly, waiting %" PRIu64 ".%" PRIu64
	    " s before the next start", t->delay / EV_SECOND,
	    t->delay % EV_SECOND / (100 * EV_MS));
	ev_timer_set(m->ev, &t->timer, t->delay, throttle_cb, m);
}

void
crew_clear(struct master *m)
{
	free(m->crew.workers);
	free(m->crew.procs);
	memset(&m->crew, 0, sizeof(m->crew));
}
