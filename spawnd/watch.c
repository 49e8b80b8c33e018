/*
 * Whether workers show life (5.4).
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "../misc/log.h"
#include "lend.h"
#include "master.h"
#include "proc.h"
#include "reload.h"
#include "seats.h"

#define READY_WITHIN	(30 * EV_SECOND)	/* of the start */
#define PING_AFTER	(10 * EV_SECOND)	/* and every */
#define SUSPECT_AFTER	(30 * EV_SECOND)
#define KILL_AFTER	(60 * EV_SECOND)	/* of the suspicion */
#define SILENT		(300 * EV_SECOND)	/* without any sign */

/* The gate: nobody else writes p->suspected. */
static void
suspected_set(struct proc *p, bool on)
{
	if (p->suspected == on)
		return;
	p->suspected = on;
	p->suspected_at = on ? ev_now(p->master->ev) : 0;
	proc_set(p, p->state);
	if (on)
		log_warn("worker %ld shows no sign of life, no new "
		    "connections", (long)p->pid);
	else
		log_warn("worker %ld is back", (long)p->pid);
	master_changed(p->master);
}

void
proc_alive(struct proc *p)
{
	p->sign = ev_now(p->master->ev);
	p->owes = 0;
	p->pinged = 0;
	suspected_set(p, false);
}

void
proc_suspect(struct proc *p)
{
	if (p->suspected)
		return;
	suspected_set(p, true);
	hand_move(p, true);
}

bool
proc_moved(struct proc *p)
{
	const struct board_column *c;
	uint64_t sum;

	if (p->seats == NULL)
		return false;
	c = board_column(&p->seats->board, p->column);
	sum = board_get(&c->taken) + board_get(&c->accepted) +
	    board_get(&c->finished) + board_get(&c->returned) +
	    board_get(&c->beat);
	if (sum == p->sum)
		return false;
	p->sum = sum;
	return true;
}

static void
ping(struct proc *p, uint64_t now)
{
	struct channel_ping msg;

	p->ping++;
	memcpy(msg.number, &p->ping, sizeof(msg.number));
	p->pinged = now;
	proc_send(p, CHANNEL_PING, &msg, sizeof(msg), NULL, 0, NULL, 0);
}

static void
give_up(struct proc *p)
{
	if (p->killed)
		return;
	log_warn("worker %ld killed, no sign of life", (long)p->pid);
	proc_kill(p, SIGABRT);
}

static void
watch(struct proc *p, uint64_t now)
{
	if (p->state == PROC_STARTING) {
		if (now - p->started >= READY_WITHIN && !p->killed) {
			log_warn("worker %ld is not ready after 30 s, killed",
			    (long)p->pid);
			proc_kill(p, SIGKILL);
		}
		return;
	}
	/* what it may have taken while nobody looked */
	if (p->owes == 0 && (p->seats != NULL ? p->kept.n :
	    hand_untaken(p)) > 0)
		p->owes = now;
	if (p->channel.fd == -1)
		return;
	if (now - p->sign >= SILENT) {
		give_up(p);
		return;
	}
	if (p->owes == 0)
		return;
	if (p->suspected && now - p->suspected_at >= KILL_AFTER)
		give_up(p);
	else if (now - p->owes >= SUSPECT_AFTER)
		proc_suspect(p);
	if (now - p->owes >= PING_AFTER && now - p->pinged >= PING_AFTER)
		ping(p, now);
}

bool
proc_watch(struct master *m, uint64_t now)
{
	bool moved = false;

	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		if (p->pid <= 0 || p->state == PROC_DEAD)
			continue;
		if (proc_moved(p)) {
			moved = true;
			proc_alive(p);
		}
		watch(p, now);
	}
	return moved;
}

static void
rest_set(struct master *m, uint32_t number)
{
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->seats != NULL)
			atomic_store_explicit(&board_seat(&p->seats->board,
			    p->column)->rest, number, memory_order_relaxed);
}

/*
 * We say that we rest and then look at the columns once more; a worker
 * writes its column and then looks whether we rest (process_hint()). The
 * fences see to it that one of us sees the other.
 */
bool
proc_rest(struct master *m)
{
	bool moved = false;

	if (++m->rests == 0)
		m->rests = 1;
	m->resting = true;
	rest_set(m, m->rests);
	atomic_thread_fence(memory_order_seq_cst);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->pid > 0 && p->state != PROC_DEAD && proc_moved(p)) {
			moved = true;
			proc_alive(p);
		}
	return !moved;
}

void
proc_wake(struct master *m)
{
	if (!m->resting)
		return;
	m->resting = false;
	rest_set(m, 0);
}
