/*
 * Ways from workers to the processes that have private keys. A worker belongs
 * to the instance that its number says, whatever becomes of either of them.
 */
#include <unistd.h>

#include "../misc/msg.h"
#include "reload.h"
#include "roles_impl.h"

#define AGAIN		(100 * EV_MS)	/* a full channel */

/* A worker and its instance get an end each. false: full. */
static bool
pair_give(struct member *b, struct proc *p, uint32_t generation)
{
	struct channel_generation theirs = { generation };
	struct channel_keys ours = { generation, p->number };
	bool given;
	int fds[2];

	if (msg_pair(fds, 0) == -1)
		return false;
	given = member_send(b, CHANNEL_KEYS, &ours, sizeof(ours), NULL, 0,
	    &fds[0], 1) && proc_send(p, CHANNEL_KEYS, &theirs,
	    sizeof(theirs), NULL, 0, &fds[1], 1);
	close(fds[0]);
	close(fds[1]);
	return given;
}

bool
roles_keys(struct proc *p, uint32_t generation)
{
	struct master *m = p->master;

	for (unsigned i = 0; i < m->program->nroles; i++) {
		unsigned role = ROLE_FIRST + i;
		uint32_t n = members_count(m, role);
		struct member *b;

		if (!m->program->roles[i].keys || n == 0)
			continue;
		b = member_find(m, role, p->number % n);
		/* one that is not there now comes to everybody when it is */
		if (b != NULL && b->channel.fd != -1 &&
		    !pair_give(b, p, generation))
			return false;
	}
	return true;
}

/* Keys of the configuration in force, of the one before, perhaps of the next:
 * handshakes go on that began with them. */
static bool
all_give(struct member *b, struct proc *p)
{
	const struct loaded *next = reload_preparing(b->master);
	uint32_t last = next != NULL ? next->conf->generation :
	    b->master->generation;
	bool all = true;

	for (uint32_t g = b->master->generation - 1; g <= last; g++)
		if (g >= b->since && (g <= p->generation || g == p->asked))
			all &= pair_give(b, p, g) || !proc_open(p);
	return all;
}

static void
member_give_cb(void *ctx)
{
	struct member *b = ctx;
	struct master *m = b->master;
	uint32_t n = members_count(m, b->role);
	bool all = true;

	if (b->channel.fd == -1 || n == 0)
		return;
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (worker_reached(p) && p->number % n == b->instance)
			all &= all_give(b, p);
	if (!all)	/* to have two of them does no harm */
		ev_timer_set(m->ev, &b->timer, AGAIN, member_give_cb, b);
}

void
member_give(struct member *b)
{
	member_give_cb(b);
}

/* Other workers are theirs now. */
void
members_give(struct master *m, unsigned role)
{
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->role == role && !b->surplus)
			member_give(b);
}

void
roles_adopted(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (unsigned i = 0; i < m->program->nroles; i++)
		if (m->program->roles[i].keys)
			members_give(m, ROLE_FIRST + i);
}
