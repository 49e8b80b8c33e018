/*
 * The end of a service: what was accepted is handed to workers first, who go
 * on without us, or, of a program with such manners, sessions are cut.
 */
#include <sys/types.h>
#include <signal.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "adopt.h"
#include "crew.h"
#include "hand.h"
#include "lend.h"
#include "listen.h"
#include "master.h"
#include "notify.h"
#include "own.h"
#include "proc.h"
#include "refresh.h"
#include "reload.h"
#include "roles.h"
#include "start.h"
#include "statussock.h"
#include "talk.h"
#include "words.h"

#define END_LOOK	(20 * EV_MS)
#define END_WAIT	(30 * EV_SECOND)	/* for workers not READY */
#define TAKEN_WAIT	(5 * EV_SECOND)		/* they may be stuck */
#define REVOKE_WAIT	(5 * EV_SECOND)
#define CUT_WAIT	(5 * EV_SECOND)		/* then they are killed */

/* ---- that which waits for sessions to be handed over ---- */

void
master_abort(struct master *m, int status)
{
	if (m->status == 0)
		m->status = status;
	m->ending = true;
	reload_cancel(m);
	refresh_pause(m);
	notify_stopping();
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		proc_kill(p, SIGTERM);
	if (m->program->manners == NULL)
		start_err("configuration not usable");
	ev_stop(m->ev, status);
}

/*
 * A worker on the plain channel gives up a connection whose TAKEN finds no
 * master: it could be another's by then. So we stay until it has come.
 */
static bool
takes_one(const struct master *m, const struct proc *p)
{
	return p->seats == NULL && p->pid > 0 && proc_open(p) &&
	    !p->suspected && hand_untaken(p) > 0 &&
	    ev_now(m->ev) - m->end_began < TAKEN_WAIT;
}

static bool
somebody_waits(const struct master *m)
{
	if (m->homeless.n > 0)
		return true;
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->out.n > 0 || takes_one(m, p))
			return true;
	return false;
}

/* Somebody who may take them, or who may be started for it. */
static bool
somebody_serves(const struct master *m)
{
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->state == PROC_STARTING || p->state == PROC_READY)
			return true;
	return crew_may_start(m);
}

static void
end_finish(struct master *m)
{
	listeners_close(m);
	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		proc_may_die(p);
	}
	statussock_close(m);
	daemon_pidfile_close(&m->pidfile);
	ev_stop(m->ev, 0);
}

/* Until all that was accepted is in the hands of workers. */
static void
end_look_cb(void *ctx)
{
	struct master *m = ctx;

	crew_refresh(m);
	hand_settle(m);
	hand_flush_all(m);
	if (!somebody_waits(m) || !somebody_serves(m) ||
	    ev_now(m->ev) - m->end_began >= END_WAIT) {
		end_finish(m);
		return;
	}
	ev_timer_set(m->ev, &m->end, END_LOOK, end_look_cb, m);
}

/* Nobody else accepts any more: what is queued is the last there is. */
static void
end_drain(struct master *m)
{
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		listener_shut(l);
	end_look_cb(m);
}

static void
end_late_cb(void *ctx)
{
	struct master *m = ctx;

	lend_late(m);
	end_drain(m);
}

void
master_revoked(struct master *m)
{
	reload_revoked(m);
	if (m->ending && ev_timer_pending(&m->end))
		ev_timer_set(m->ev, &m->end, 0, end_late_cb, m);
}

/* Sessions in this very process: it ends with the last of them. */
static void
end_single(struct master *m)
{
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		listener_shut(l);
	hand_flush_all(m);
	listeners_close(m);
	statussock_close(m);
	daemon_pidfile_close(&m->pidfile);
	own_single_drain(m->single);
	if (proc_use(m->oldest) == 0)
		ev_stop(m->ev, 0);
}

/* ---- that which cuts them ---- */

static bool
cuts(const struct master *m)
{
	return m->program->manners != NULL && m->program->manners->cut;
}

/* Nobody stays whom somebody could wait for. */
static void
end_cut_look(struct master *m)
{
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->pid > 0 && !p->orphan)
			return;
	if (roles_left(m))
		return;
	ev_timer_stop(m->ev, &m->end);
	words_say(WORD_GONE, (long)getpid());
	ev_stop(m->ev, 0);
}

static void
end_kill(struct master *m)
{
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->pid > 0)
			kill(p->pid, SIGKILL);
	roles_kill(m);
}

static void
end_cut_late_cb(void *ctx)
{
	end_kill(ctx);
}

/* The end of its channel tells everybody. */
static void
end_cut(struct master *m)
{
	listeners_close(m);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		p->told = true;
		lend_drop(p);
		talk_close(p);
	}
	roles_end(m);
	statussock_close(m);
	daemon_pidfile_close(&m->pidfile);
	ev_timer_set(m->ev, &m->end, CUT_WAIT, end_cut_late_cb, m);
	end_cut_look(m);
}

void
master_child_gone(struct master *m)
{
	if (cuts(m))
		end_cut_look(m);
}

/* ---- either ---- */

void
master_end(struct master *m, const char *why)
{
	if (m->ending) {
		if (cuts(m))
			end_kill(m);
		if (m->single != NULL) {
			own_single_kill(m->single);
			ev_stop(m->ev, 0);
		}
		return;
	}
	if (why != NULL)
		words_say(WORD_END, why);
	adopt_prove(m);
	reload_cancel(m);
	refresh_pause(m);
	notify_stopping();
	m->ending = true;
	m->end_began = ev_now(m->ev);
	listeners_update(m);
	if (cuts(m)) {
		end_cut(m);
		return;
	}
	if (m->single != NULL) {
		end_single(m);
		return;
	}
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		lend_revoke(l);
	if (lend_awaited(m) > 0)
		ev_timer_set(m->ev, &m->end, REVOKE_WAIT, end_late_cb, m);
	else
		end_drain(m);
}

void
master_stop(struct master *m, const char *why)
{
	words_say(WORD_STOP, why);
	master_end(m, NULL);
}
