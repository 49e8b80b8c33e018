/*
 * Nothing that runs is touched before the new configuration is known to be
 * good and somebody is ready to serve with it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "adopt.h"
#include "crew.h"
#include "heirs.h"
#include "keys.h"
#include "listen.h"
#include "notify.h"
#include "own.h"
#include "proc.h"
#include "refresh.h"
#include "reload_impl.h"
#include "roles.h"
#include "seats.h"
#include "upgrade.h"
#include "words.h"

#define LOOK		(250 * EV_MS)
#define ENOUGH		(5 * EV_SECOND)		/* with one that is ready */

static void	 reload_look(struct master *);

const struct loaded *
reload_conf(const struct master *m, uint32_t generation)
{
	if (generation == m->generation)
		return &m->conf;
	if (m->reload != NULL && generation == m->reload->generation)
		return &m->reload->conf;
	return NULL;
}

const struct loaded *
reload_preparing(const struct master *m)
{
	return m->reload != NULL && m->reload->generation > m->generation ?
	    &m->reload->conf : NULL;
}

/* ---- the end of it, one way or the other ---- */

static void
reload_free(struct master *m)
{
	struct reload *r = m->reload;

	ev_timer_stop(m->ev, &r->timer);
	if (r->load.report != -1)
		ev_del(m->ev, r->load.report);
	load_clear(&r->load);
	upgrade_clear(m, r->upgrade);
	loaded_clear(&r->conf);
	if (r->facts != -1)
		close(r->facts);
	m->reload = NULL;
	free(r->file);
	free(r->listeners);
	free(r);
	master_title(m);
}

void
reload_unchanged(const struct master *m)
{
	unsigned listeners = 0, workers = 0;

	for (const struct listener *l = m->listeners; l != NULL; l = l->next)
		listeners += l->fd != -1 && !l->fresh;
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		workers += p->state == PROC_READY &&
		    p->generation == m->generation;
	words_say(WORD_GOES_ON, m->generation, listeners, workers);
}

void
reload_finish(struct master *m)
{
	unsigned again = m->reload->again;
	bool good = m->reload->generation == m->generation;
	void (*done)(void *, bool) = m->reload->done;
	void *ctx = m->reload->ctx;

	if (!good && m->reload->kind == RELOAD_FILE)
		words_say(WORD_RELOAD_FILE, m->reload->request.conf.file !=
		    NULL ? m->reload->request.conf.file : m->start->file);
	if (!good)
		reload_unchanged(m);
	reload_free(m);
	if (done != NULL)
		done(ctx, good);
	refresh_resume(m);
	notify_ready();
	if (again != 0 && m->reload == NULL)
		reload_start(m, again & RELOAD_FILE ? RELOAD_FILE :
		    RELOAD_WORKERS);
}

/* Listeners that only this reload has opened. */
static void
fresh_close(struct master *m)
{
	for (struct listener **lp = &m->listeners, *l; (l = *lp) != NULL; )
		if (l->fresh) {
			*lp = l->next;
			listener_close(l);
		} else
			lp = &l->next;
}

static void
reload_drop(struct master *m)
{
	struct channel_generation running = { m->generation };

	fresh_close(m);
	roles_forget(m);
	keys_over(m, m->reload->generation, true);
	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		if (p->generation == m->reload->generation)
			proc_may_die(p);
		else if (p->asked != 0) {
			p->asked = 0;
			p->prepared = false;
			proc_send(p, CHANNEL_COMMIT, &running,
			    sizeof(running), NULL, 0, NULL, 0);
		}
	}
	segment_settle(m);
}

void
reload_fail(struct master *m, const char *reason)
{
	/* whoever reads that line finds it so */
	if (m->adopt == NULL && m->reload->generation != 0)
		reload_drop(m);
	words_say(WORD_RELOAD_FAILED, reason);
	adopt_fail(m);
	reload_finish(m);
}

void
reload_cancel(struct master *m)
{
	if (m->reload == NULL)
		return;
	if (m->reload->state == RELOAD_YIELDING) {
		/* clients are in queues that only the new one serves */
		m->reload->again = 0;
		reload_commit(m);
		return;
	}
	if (m->reload->generation != 0)
		reload_drop(m);
	reload_free(m);
}

/* ---- preparing ---- */

static bool
may_adopt(const struct proc *p)
{
	return p->state == PROC_READY && !p->suspected &&
	    proc_open(p) && p->generation == p->master->generation &&
	    p->channel.features & FEATURE_CONFIG;
}

/* false: *error. */
static bool
listener_prepare(struct master *m, struct listener **end, char *error,
    size_t size, size_t at)
{
	const struct listener_conf *c =
	    &m->reload->conf.conf->broker.endpoints[at];
	struct listener *l = listener_new(m, c, m->reload->generation);

	if (l == NULL) {
		snprintf(error, size, "%s", strerror(errno));
		return false;
	}
	l->fresh = true;
	l->heir = c;
	m->reload->listeners[at] = *end = l;
	if (listener_open(l) == 0)
		return true;		/* said at the switch */
	if (c->retry == 0) {
		listener_failure(l, error, size);
		return false;
	}
	log_err("cannot bind %s: %s, retrying every %u s", l->text,
	    listener_reason(l), c->retry);
	listener_retry(l);
	return true;
}

/* Fresh listeners stand behind the others until the switch. false: *error. */
static bool
listeners_prepare(struct master *m, const struct spawnd_conf *c, char *error,
    size_t size)
{
	struct reload *r = m->reload;
	struct listener **end = &m->listeners;

	if ((r->listeners = heirs_find(m, c)) == NULL) {
		snprintf(error, size, "%s", strerror(errno));
		return false;
	}
	while (*end != NULL)
		end = &(*end)->next;
	for (size_t i = 0; i < c->nendpoints; i++) {
		if (r->listeners[i] != NULL)
			continue;
		if (!listener_prepare(m, end, error, size, i))
			return false;
		end = &(*end)->next;
	}
	return true;
}

static void
look_cb(void *ctx)
{
	struct master *m = ctx;

	ev_timer_set(m->ev, &m->reload->timer, LOOK, look_cb, m);
	reload_look(m);
}

static unsigned
count_fresh(const struct master *m, bool ready)
{
	unsigned n = 0;

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		n += p->generation == m->reload->generation &&
		    (p->state == PROC_READY ||
		    (!ready && p->state == PROC_STARTING));
	return n;
}

static void
start_fresh(struct master *m)
{
	struct reload *r = m->reload;
	unsigned there = count_fresh(m, false) + r->fresh_failed;

	for (; there < r->fresh_needed; there++)
		if (proc_start(m, &r->conf, r->generation) == NULL)
			return;		/* throttled: at the next look */
}

/* Everybody who can goes on in place; for the others new ones start. */
static void
workers_prepare(struct master *m, bool same_board)
{
	struct reload *r = m->reload;
	unsigned min = r->conf.conf->broker.spawn.instances_min;
	unsigned adopt = 0;
	bool in_place = r->kind == RELOAD_FILE && same_board && !r->replaces;

	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		p->asked = 0;
		p->prepared = false;
		if (in_place && may_adopt(p) &&
		    proc_configure(p, &r->conf, r->generation)) {
			if (keys_give(p, &r->conf, r->generation))
				adopt++;
			else
				p->asked = 0;
		}
	}
	r->fresh_needed = adopt < min ? min - adopt : 0;
	r->asked = adopt > 0 || r->fresh_needed > 0;
	start_fresh(m);
}

static bool
single_prepare(struct master *m)
{
	struct reload *r = m->reload;
	struct diag *d = diag_new();
	bool ok;

	if (d == NULL)
		return false;
	ok = own_single_prepare(m->single, r->conf.conf, d) == 0;
	if (!ok)
		diag_log(d);
	diag_free(d);
	return ok;
}

void
reload_prepare(struct master *m)
{
	struct reload *r = m->reload;
	bool same_board;
	char error[LISTENER_FAILURE];

	r->generation = m->generation + 1;
	r->conf.conf->generation = r->generation;
	if (r->kind == RELOAD_FILE)
		reload_compare(m);
	r->state = RELOAD_PREPARING;
	r->began = ev_now(m->ev);
	if (!listeners_prepare(m, &r->conf.conf->broker, error,
	    sizeof(error))) {
		reload_fail(m, error);
		return;
	}
	if (!segment_prepare(m, &r->conf, r->generation, error,
	    sizeof(error))) {
		reload_fail(m, error);
		return;
	}
	same_board = seats_prepare(m, r->conf.conf, r->generation);
	if (!roles_prepare(m, &r->conf, r->generation, error,
	    sizeof(error))) {
		reload_fail(m, error);
		return;
	}
	if (m->single != NULL) {
		if (single_prepare(m))
			reload_enter(m);
		else
			reload_fail(m, "the configuration cannot be used");
		return;
	}
	workers_prepare(m, same_board);
	ev_timer_set(m->ev, &r->timer, LOOK, look_cb, m);
	reload_look(m);
}

/* Is it time to switch, or to give up? */
static void
reload_look(struct master *m)
{
	struct reload *r = m->reload;
	uint64_t waited = ev_now(m->ev) - r->began;
	unsigned ready, pending = 0;

	if (r->state != RELOAD_PREPARING)
		return;
	start_fresh(m);
	ready = count_fresh(m, true);
	if (ready + r->fresh_failed < r->fresh_needed)
		pending = r->fresh_needed - ready - r->fresh_failed;
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->asked == r->generation) {
			ready += p->prepared;
			pending += !p->prepared;
		}
	if (pending == 0 && (ready > 0 || !r->asked))
		reload_switch(m);
	else if (ready > 0 && (waited >= ENOUGH || m->adopt != NULL))
		reload_switch(m);
	else if (pending == 0 || waited >= RELOAD_TOO_LONG)
		reload_fail(m, "no worker got ready");
}

void
reload_proc_ready(struct proc *p)
{
	struct master *m = p->master;

	if (m->reload != NULL && m->reload->state == RELOAD_PREPARING)
		ev_timer_set(m->ev, &m->reload->timer, 0, look_cb, m);
}

void
reload_proc_failed(struct proc *p)
{
	/* it answered; not being prepared, it will be replaced */
	if (p->asked != 0 && p->state != PROC_STARTING)
		p->asked = 0;
	reload_proc_ready(p);
}

void
reload_proc_lost(struct proc *p)
{
	struct reload *r = p->master->reload;

	if (r != NULL && r->state == RELOAD_PREPARING &&
	    p->asked == r->generation && p->generation != r->generation)
		r->fresh_needed++;	/* one less goes on in place */
	reload_proc_failed(p);
}

void
reload_proc_gone(struct proc *p)
{
	struct reload *r = p->master->reload;

	if (r != NULL && r->state == RELOAD_PREPARING &&
	    p->generation == r->generation)
		r->fresh_failed++;
	reload_proc_lost(p);
	p->asked = 0;
}

/* ---- beginning ---- */

static bool
fd_copy(int *to, int from)
{
	*to = from == -1 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 0);
	return from == -1 || *to != -1;
}

/* The same once more. -1, errno: no descriptors. */
static int
loaded_copy(struct loaded *to, const struct loaded *from)
{
	int error;

	if (fd_copy(&to->bundle, from->bundle) &&
	    fd_copy(&to->secrets, from->secrets) &&
	    fd_copy(&to->shared, from->shared)) {
		to->conf = compiled_ref(from->conf);
		return 0;
	}
	error = errno;
	loaded_clear(to);
	errno = error;
	return -1;
}

/* false: there is none, which is logged. */
static bool
reload_new(struct master *m, enum reload_kind kind)
{
	struct reload *r;

	words_say(WORD_RELOAD);
	if ((r = calloc(1, sizeof(*r))) == NULL) {
		log_err("reload: failed, %s", strerror(errno));
		return false;
	}
	notify_reloading();
	refresh_pause(m);
	m->reload = r;
	r->kind = kind;
	r->state = RELOAD_LOADING;
	r->load.pid = -1;
	r->load.report = r->load.files = -1;
	r->facts = -1;
	loaded_init(&r->conf);
	master_title(m);
	return true;
}

void
reload_start(struct master *m, enum reload_kind kind)
{
	if (m->ending)
		return;
	if (m->reload != NULL) {
		m->reload->again |= kind;
		return;
	}
	if (!reload_new(m, kind))
		return;
	if (kind != RELOAD_FILE) {
		if (loaded_copy(&m->reload->conf, &m->conf) == -1)
			reload_fail(m, strerror(errno));
		else
			reload_prepare(m);
	} else if (!(upgrade_wanted(m) ? upgrade_start(m) : reload_read(m)))
		reload_fail(m, strerror(errno));
}

bool
master_reload(struct master *m, const char *file,
    void (*done)(void *, bool), void *ctx)
{
	char *copy = NULL;

	if (m->ending || m->reload != NULL ||
	    (file != NULL && (copy = strdup(file)) == NULL))
		return false;
	if (!reload_new(m, RELOAD_FILE)) {
		free(copy);
		return false;
	}
	m->reload->file = copy;
	m->reload->done = done;
	m->reload->ctx = ctx;
	/* no upgrade: whoever asks is to be answered by who was asked */
	if (!reload_read(m))
		reload_fail(m, strerror(errno));
	return true;
}

void
reload_with(struct master *m, struct loaded *conf)
{
	assert(m->reload == NULL);
	if (m->ending || !reload_new(m, RELOAD_FILE)) {
		loaded_clear(conf);
		return;
	}
	m->reload->conf = *conf;
	loaded_init(conf);
	reload_prepare(m);
}
