/*
 * The one point at which everything changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "adopt.h"
#include "keys.h"
#include "lend.h"
#include "listen.h"
#include "logs.h"
#include "own.h"
#include "postmortem.h"
#include "proc.h"
#include "refresh.h"
#include "reload_impl.h"
#include "roles.h"
#include "seats.h"
#include "statussock.h"
#include "store.h"
#include "words.h"

#define REVOKE_WAIT	(5 * EV_SECOND)
#define HANDSHAKES	(250 * EV_MS)

/* In the order of the file, those set aside behind them; gives those that it
 * does not have any more. */
static struct listener *
listeners_sort(struct master *m, size_t n)
{
	struct listener *gone = NULL, *aside = NULL, *l, *next;
	struct listener **end = &m->listeners;

	for (l = m->listeners; l != NULL; l = next) {
		struct listener **to = l->heir == NULL ? &gone : &aside;

		next = l->next;
		if (l->heir != NULL && !l->aside)
			continue;
		l->next = *to;
		*to = l;
	}
	for (size_t i = 0; i < n; i++) {
		*end = m->reload->listeners[i];
		end = &(*end)->next;
	}
	*end = aside;
	return gone;
}

struct reload_sum {
	unsigned kept, added, removed, workers, replaced;
};

static void
listeners_switch(struct master *m, uint32_t generation,
    struct reload_sum *sum)
{
	struct listener *gone = listeners_sort(m,
	    m->conf.conf->broker.nendpoints), *next;

	for (struct listener **lp = &m->listeners, *l; (l = *lp) != NULL; ) {
		bool added = l->fresh || (l->own != NULL && !l->aside);

		lp = &l->next;
		if (l->aside) {
			/* what it had is in a successor's hands anyway */
			sum->removed += l->own == NULL;
			if (!listener_set_aside(l, l->heir, generation))
				log_warn("%s: %s", l->text, strerror(errno));
			continue;
		}
		sum->added += added;
		sum->kept += !added;
		if (l->fresh && l->fd != -1)
			listener_opened(l);
		listener_adopt(l, l->heir, generation);
		if (!added && l->fd == -1 && m->reload->kind == RELOAD_FILE)
			listener_reopen(l);
	}
	for (; gone != NULL; gone = next) {
		next = gone->next;
		sum->removed++;
		listener_close(gone);
	}
}

/* Before those are closed that are in their way. false: none are. */
static bool
listeners_speak(struct master *m)
{
	bool any = false;

	for (struct listener *l = m->listeners; l != NULL; l = l->next) {
		if (!l->fresh)
			continue;
		any |= l->mute;
		if (listener_speak(l) == -1)
			log_err("cannot listen on %s: %s", l->text,
			    strerror(errno));
	}
	return any;
}

static void
workers_switch(struct master *m, struct reload_sum *sum)
{
	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		if (p->state == PROC_DEAD || p->generation == m->generation)
			continue;
		if (p->asked == m->generation && p->prepared) {
			proc_commit(p, m->generation);
			sum->workers++;
		} else {
			sum->replaced += p->state == PROC_READY ||
			    p->state == PROC_STARTING;
			proc_may_die(p);
		}
	}
}

/* A new path: locked and written before the old one is let go. */
static void
pidfile_switch(struct master *m, const char *path)
{
	struct daemon_pidfile new = { -1, NULL };
	char error[DAEMON_ERROR];

	if (m->start->pidfile != NULL || (path == NULL ?
	    m->pidfile.path == NULL : daemon_pidfile_at(&m->pidfile, path)))
		return;
	if (path != NULL && daemon_pidfile_open(&new, path, error) != 0) {
		log_warn("%s, the old one stays", error);
		return;
	}
	daemon_pidfile_close(&m->pidfile);
	m->pidfile = new;
}

static bool
sticky_changed(const struct spawnd_conf *a, const struct spawnd_conf *b)
{
	return a->sticky.period != b->sticky.period ||
	    a->sticky.size != b->sticky.size;
}

/* A process never changes its event mechanism; workers that start now may
 * have another one (6.1). */
static void
mechanism_tell(const struct master *m, struct source *former)
{
	static const char name[] = "IO_POLL_MECHANISM";
	const char *was = source_getenv(former, name);
	const char *is = source_getenv(m->conf.conf->source, name);
	bool same = was == NULL || is == NULL ? was == is :
	    strcmp(was, is) == 0;

	if (!same && !ev_favoured(m->ev, is))
		log_line("event mechanism: %s is kept", ev_name(m->ev));
}

void
reload_commit(struct master *m)
{
	struct reload *r = m->reload;
	struct reload_sum sum = { 0, 0, 0, 0, 0 };
	struct loaded old = m->conf;
	uint32_t former = m->generation;
	struct diag *d = diag_new();

	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (l->heir == NULL)
			listener_shut(l);
	hand_flush_all(m);		/* in front of COMMIT */
	if (sticky_changed(&old.conf->broker, &r->conf.conf->broker)) {
		sticky_free(m->sticky);
		m->sticky = NULL;
	}
	m->conf = r->conf;
	m->generation = r->generation;
	m->conf.conf->generation = r->generation;
	loaded_init(&r->conf);
	reload_facts_adopt(m);
	listeners_switch(m, m->generation, &sum);
	if (m->single != NULL) {
		own_single_commit(m->single);
		m->oldest->generation = m->generation;
		proc_set(m->oldest, PROC_READY);
	}
	workers_switch(m, &sum);
	segment_settle(m);
	keys_over(m, former, false);
	lend_reset(m);
	seats_commit(m);
	roles_commit(m);
	sticky_prepare(m);
	master_tickets(m);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		lend_all(p);
		if (proc_open(p))
			msg_enlarge(p->channel.fd,
			    (int)m->conf.conf->broker.bufsize);
	}
	if (d != NULL && !logs_apply(m->start, &m->conf.conf->broker_common,
	    m->single != NULL ? "single" : "master", d))
		diag_log(d);
	diag_free(d);
	postmortem_prepare(&m->conf.conf->broker_common, m->conf.conf->source,
	    m->start->environ_base, -1);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->generation == m->generation && p->state == PROC_READY)
			logs_send(p);
	pidfile_switch(m, m->conf.conf->broker.pidfile);
	if (r->kind != RELOAD_FILE)		/* else facts tell */
		statussock_reloaded(m);
	mechanism_tell(m, old.conf->source);
	words_say(WORD_RELOAD_DONE, sum.kept, sum.added, sum.removed,
	    sum.workers, sum.replaced);
	loaded_clear(&old);
	store_keep(m);
	if (m->reload->kind == RELOAD_FILE)
		refresh_adopted(m);
	master_changed(m);
	reload_finish(m);
}

static void
commit_cb(void *ctx)
{
	reload_commit(ctx);
}

/*
 * Once the new sockets listen, nobody new comes to those that give way to
 * them; but a close would reset who is in the middle of a handshake there.
 * That takes a round trip.
 */
void
reload_enter(struct master *m)
{
	struct reload *r = m->reload;

	if (!listeners_speak(m)) {
		reload_commit(m);
		return;
	}
	r->state = RELOAD_YIELDING;
	ev_timer_set(m->ev, &r->timer, HANDSHAKES, commit_cb, m);
}

static void
revoke_late_cb(void *ctx)
{
	struct master *m = ctx;

	lend_late(m);
	reload_enter(m);
}

bool
reload_revoking(const struct master *m)
{
	return m->reload != NULL && m->reload->state == RELOAD_REVOKING;
}

void
reload_revoked(struct master *m)
{
	if (reload_revoking(m))
		ev_timer_set(m->ev, &m->reload->timer, 0, revoke_late_cb, m);
}

/* Its number, its settings or its existence changes for who holds it. */
static bool
must_revoke(const struct listener *l)
{
	return l->heir == NULL || l->aside || l->heir->index != l->conf->index ||
	    l->heir->accept != ACCEPT_WORKERS;
}

void
reload_switch(struct master *m)
{
	struct reload *r = m->reload;

	adopt_prove(m);
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (!l->fresh && l->holders > 0 && must_revoke(l))
			lend_revoke(l);
	if (lend_awaited(m) == 0) {
		reload_enter(m);
		return;
	}
	r->state = RELOAD_REVOKING;
	ev_timer_set(m->ev, &r->timer, REVOKE_WAIT, revoke_late_cb, m);
}
