#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "channel.h"
#include "lend.h"
#include "listen.h"
#include "master.h"
#include "proc.h"
#include "reload.h"

enum { LENT_NOT, LENT_HELD, LENT_ASKED };	/* proc.lent[index] */

/* While sockets are called back nobody gets any; afterwards all do. */
static bool
may_hold(const struct proc *p)
{
	return p->state == PROC_READY && !p->suspected && proc_open(p) &&
	    !p->outbox.blocked && p->channel.features & FEATURE_LEND &&
	    p->generation == p->master->generation && !p->master->ending &&
	    !reload_revoking(p->master);
}

/* Room for one byte per listener. */
static bool
ensure_table(struct proc *p)
{
	uint32_t n = (uint32_t)p->master->conf.conf->broker.indexes;

	if (p->lent == NULL) {
		p->lent = calloc(n > 0 ? n : 1, 1);
		p->nlent = p->lent != NULL ? n : 0;
	}
	return p->lent != NULL;
}

static void
lend_one(struct proc *p, struct listener *l)
{
	struct channel_lend msg;

	if (l->fd == -1 || l->fresh || !listener_lent(l) ||
	    !ensure_table(p) || p->lent[l->conf->index] != LENT_NOT)
		return;
	msg.generation = p->generation;
	msg.listener = l->conf->index;
	if (!proc_send(p, CHANNEL_LEND, &msg, sizeof(msg), NULL, 0, &l->fd,
	    1))
		return;		/* as soon as its channel has room */
	p->lent[l->conf->index] = LENT_HELD;
	l->holders++;
}

void
lend_all(struct proc *p)
{
	for (struct listener *l = p->master->listeners; l != NULL &&
	    may_hold(p); l = l->next)
		lend_one(p, l);
}

void
lend_listener(struct listener *l)
{
	for (struct proc *p = l->master->oldest; p != NULL; p = p->newer)
		if (may_hold(p))
			lend_one(p, l);
}

void
lend_revoke(struct listener *l)
{
	struct channel_listener msg = { l->conf->index };

	for (struct proc *p = l->master->oldest; p != NULL; p = p->newer) {
		if (msg.listener >= p->nlent ||
		    p->lent[msg.listener] != LENT_HELD)
			continue;
		p->lent[msg.listener] = LENT_ASKED;
		p->revoking++;
		proc_send(p, CHANNEL_REVOKE, &msg, sizeof(msg), NULL, 0,
		    NULL, 0);
	}
}

/* The gate: p does not hold it any more. */
static void
lend_back(struct proc *p, uint32_t index)
{
	struct listener *l = listener_by_index(p->master, index);

	if (p->lent[index] == LENT_NOT)
		return;
	if (p->lent[index] == LENT_ASKED)
		p->revoking--;
	p->lent[index] = LENT_NOT;
	if (l != NULL && l->holders > 0)
		l->holders--;
	master_changed(p->master);
}

void
lend_revoked(struct proc *p, uint32_t index)
{
	if (index >= p->nlent)
		return;
	lend_back(p, index);
	if (lend_awaited(p->master) == 0)
		master_revoked(p->master);
}

unsigned
lend_awaited(const struct master *m)
{
	unsigned n = 0;

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		n += p->revoking;
	return n;
}

void
lend_drop(struct proc *p)
{
	bool awaited = p->revoking > 0;

	for (uint32_t i = 0; i < p->nlent; i++)
		lend_back(p, i);
	if (awaited && lend_awaited(p->master) == 0)
		master_revoked(p->master);
}

void
lend_late(struct master *m)
{
	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		if (p->revoking == 0)
			continue;
		for (uint32_t i = 0; i < p->nlent; i++)
			if (p->lent[i] == LENT_ASKED)
				lend_back(p, i);
		proc_suspect(p);
	}
}

void
lend_adopted(struct proc *p)
{
	for (uint32_t i = 0; i < p->nlent; i++) {
		struct listener *l = listener_by_index(p->master, i);

		if (p->lent[i] > LENT_ASKED || l == NULL)
			p->lent[i] = LENT_NOT;
		if (p->lent[i] == LENT_NOT)
			continue;
		l->holders++;
		p->revoking += p->lent[i] == LENT_ASKED;
	}
}

void
lend_reset(struct master *m)
{
	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		free(p->lent);
		p->lent = NULL;
		p->nlent = 0;
		p->revoking = 0;
	}
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		l->holders = 0;
}
