/*
 * Nothing that runs is touched before the new configuration is known to be
 * good and somebody is ready to serve with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "crew.h"
#include "keys.h"
#include "lend.h"
#include "listen.h"
#include "logs.h"
#include "master.h"
#include "own.h"
#include "postmortem.h"
#include "proc.h"
#include "reload.h"
#include "seats.h"

#define LOOK		(250 * EV_MS)
#define ENOUGH		(5 * EV_SECOND)		/* with one that is ready */
#define TOO_LONG	(30 * EV_SECOND)
#define REVOKE_WAIT	(5 * EV_SECOND)

enum reload_state {
	RELOAD_LOADING,		/* a child reads the file */
	RELOAD_PREPARING,	/* workers are asked */
	RELOAD_REVOKING		/* lent sockets come back */
};

/* Owned by the master while a reload is under way. */
struct reload {
	enum reload_state	 state;
	enum reload_kind	 kind;
	unsigned		 again;		/* enum reload_kind bits */
	struct load		 load;
	struct load_request	 request;
	struct loaded		 conf;		/* the new one */
	uint32_t		 generation;
	uint64_t		 began;		/* of the preparation */
	struct ev_timer		 timer;
	unsigned		 fresh_needed;	/* workers to be started */
	unsigned		 fresh_failed;
};

static void	 reload_look(struct master *);

const struct loaded *
reload_conf(const struct master *m, uint32_t generation)
{
	if (generation == m->generation)
		return &m->conf;
	if (m->reload != NULL && m->reload->state != RELOAD_LOADING &&
	    generation == m->reload->generation)
		return &m->reload->conf;
	return NULL;
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
	loaded_clear(&r->conf);
	m->reload = NULL;
	free(r);
	master_title(m);
}

static void
reload_finish(struct master *m)
{
	unsigned again = m->reload->again;

	reload_free(m);
	if (again != 0)
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
}

static void
reload_fail(struct master *m, const char *reason)
{
	log_err("reload: failed, %s", reason);
	reload_drop(m);
	reload_finish(m);
}

void
reload_cancel(struct master *m)
{
	if (m->reload == NULL)
		return;
	if (m->reload->state != RELOAD_LOADING)
		reload_drop(m);
	reload_free(m);
}

/* ---- adopting ---- */

/* In the order of the file; those it does not have any more come to gone. */
static struct listener *
listeners_sort(struct master *m, const struct spawnd_conf *c)
{
	struct listener *old = m->listeners, **end = &m->listeners;

	m->listeners = NULL;
	for (size_t i = 0; i < c->nlisteners; i++)
		for (struct listener **lp = &old, *l; (l = *lp) != NULL;
		    lp = &l->next) {
			if (!listener_same(l->conf, &c->listeners[i]))
				continue;
			*lp = l->next;
			l->next = NULL;
			*end = l;
			end = &l->next;
			break;
		}
	return old;
}

static bool
still_wanted(const struct listener *l, const struct spawnd_conf *c)
{
	for (size_t i = 0; i < c->nlisteners; i++)
		if (listener_same(l->conf, &c->listeners[i]))
			return true;
	return false;
}

struct reload_sum {
	unsigned kept, added, removed, workers, replaced;
};

static void
listeners_switch(struct master *m, const struct spawnd_conf *c,
    uint32_t generation, struct reload_sum *sum)
{
	struct listener *gone = listeners_sort(m, c), *next;
	size_t i = 0;

	for (struct listener *l = m->listeners; l != NULL; l = l->next) {
		sum->added += l->fresh;
		sum->kept += !l->fresh;
		listener_adopt(l, &c->listeners[i++], generation);
	}
	for (; gone != NULL; gone = next) {
		next = gone->next;
		sum->removed++;
		listener_close(gone);
	}
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

	if (m->start->pidfile != NULL || (m->pidfile.path == NULL ?
	    path == NULL : path != NULL && strcmp(m->pidfile.path, path) ==
	    0))
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

/* The one point at which everything changes. */
static void
reload_commit(struct master *m)
{
	struct reload *r = m->reload;
	struct reload_sum sum = { 0, 0, 0, 0, 0 };
	struct loaded old = m->conf;
	uint32_t former = m->generation;
	struct diag *d = diag_new();

	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (!l->fresh && !still_wanted(l, &r->conf.conf->broker))
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
	listeners_switch(m, &m->conf.conf->broker, m->generation, &sum);
	if (m->single != NULL) {
		own_single_commit(m->single);
		m->oldest->generation = m->generation;
		proc_set(m->oldest, PROC_READY);
	}
	workers_switch(m, &sum);
	keys_over(m, former, false);
	lend_reset(m);
	sticky_prepare(m);
	master_tickets(m);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		lend_all(p);
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
	mechanism_tell(m, old.conf->source);
	log_line("reload: done, %u kept, %u added, %u removed, %u workers "
	    "kept, %u replaced", sum.kept, sum.added, sum.removed,
	    sum.workers, sum.replaced);
	loaded_clear(&old);
	master_changed(m);
	reload_finish(m);
}

static void
revoke_late_cb(void *ctx)
{
	struct master *m = ctx;

	lend_late(m);
	reload_commit(m);
}

void
reload_revoked(struct master *m)
{
	if (m->reload != NULL && m->reload->state == RELOAD_REVOKING)
		ev_timer_set(m->ev, &m->reload->timer, 0, revoke_late_cb, m);
}

/* Its number, its settings or its existence changes for who holds it. */
static bool
must_revoke(const struct listener *l, const struct spawnd_conf *c)
{
	for (size_t i = 0; i < c->nlisteners; i++)
		if (listener_same(l->conf, &c->listeners[i]))
			return c->listeners[i].index != l->conf->index ||
			    c->listeners[i].accept != ACCEPT_WORKERS;
	return true;
}

static void
reload_switch(struct master *m)
{
	struct reload *r = m->reload;

	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (!l->fresh && l->holders > 0 && must_revoke(l,
		    &r->conf.conf->broker))
			lend_revoke(l);
	if (lend_awaited(m) == 0) {
		reload_commit(m);
		return;
	}
	r->state = RELOAD_REVOKING;
	ev_timer_set(m->ev, &r->timer, REVOKE_WAIT, revoke_late_cb, m);
}

/* ---- preparing ---- */

static bool
text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
environ_equal(struct source *a, struct source *b)
{
	char **x = source_environ(a), **y = source_environ(b);

	while (*x != NULL && *y != NULL && strcmp(*x, *y) == 0) {
		x++;
		y++;
	}
	return *x == NULL && *y == NULL;
}

/* What a process cannot change about itself is as before. */
static bool
same_process(const struct compiled *a, const struct compiled *b)
{
	const struct spawn_conf *x = &a->broker.spawn, *y = &b->broker.spawn;

	return text_equal(x->exec, y->exec) && text_equal(x->id, y->id) &&
	    text_equal(x->config, y->config) && x->uid == y->uid &&
	    x->gid == y->gid && text_equal(x->user, y->user) &&
	    text_equal(x->directory, y->directory) &&
	    text_equal(a->worker_common.coredump,
	    b->worker_common.coredump) &&
	    environ_equal(a->source, b->source);
}

static bool
may_adopt(const struct proc *p)
{
	return p->state == PROC_READY && !p->suspected && !p->blocked &&
	    proc_open(p) && p->generation == p->master->generation &&
	    p->channel.features & FEATURE_CONFIG;
}

/* Fresh listeners stand behind the others until the switch. false: *error. */
static bool
listeners_prepare(struct master *m, const struct spawnd_conf *c,
    uint32_t generation, char *error, size_t size)
{
	for (size_t i = 0; i < c->nlisteners; i++) {
		struct listener **lp = &m->listeners, *l;

		while ((l = *lp) != NULL && !listener_same(l->conf,
		    &c->listeners[i]))
			lp = &l->next;
		if (l != NULL)
			continue;
		if ((l = listener_new(m, &c->listeners[i], generation)) ==
		    NULL) {
			snprintf(error, size, "%s", strerror(errno));
			return false;
		}
		l->fresh = true;
		*lp = l;
		if (listener_open(l) == 0) {
			log_line("listening on %s", l->text);
			continue;
		}
		if (l->conf->retry == 0) {
			snprintf(error, size, "cannot bind %s: %s", l->text,
			    strerror(errno));
			return false;
		}
		log_err("cannot bind %s: %s, retrying every %u s", l->text,
		    strerror(errno), l->conf->retry);
		listener_retry(l);
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
	bool in_place = r->kind == RELOAD_FILE && same_board &&
	    same_process(m->conf.conf, r->conf.conf) &&
	    keys_apart(m, m->conf.conf) == keys_apart(m, r->conf.conf);

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

static void
reload_prepare(struct master *m)
{
	struct reload *r = m->reload;
	bool same_board;
	char error[256];

	r->generation = m->generation + 1;
	r->conf.conf->generation = r->generation;
	r->state = RELOAD_PREPARING;
	r->began = ev_now(m->ev);
	if (!listeners_prepare(m, &r->conf.conf->broker, r->generation,
	    error, sizeof(error))) {
		reload_fail(m, error);
		return;
	}
	same_board = seats_prepare(m, r->conf.conf, r->generation);
	if (m->single != NULL) {
		if (single_prepare(m))
			reload_commit(m);
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
	if (pending == 0 && (ready > 0 || r->fresh_needed == 0))
		reload_switch(m);
	else if (ready > 0 && waited >= ENOUGH)
		reload_switch(m);
	else if (pending == 0 || waited >= TOO_LONG)
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
reload_proc_gone(struct proc *p)
{
	struct reload *r = p->master->reload;

	p->asked = 0;
	if (r != NULL && r->state == RELOAD_PREPARING &&
	    p->generation == r->generation)
		r->fresh_failed++;
	reload_proc_ready(p);
}

/* ---- reading ---- */

static void
loaded_end(struct master *m)
{
	struct reload *r = m->reload;
	struct diag *d = diag_new();
	char first[512];
	int status;

	ev_del(m->ev, r->load.report);
	status = d == NULL ? -1 : load_finish(&r->load, &r->request,
	    &r->conf, d);
	if (status == 0) {
		logs_try(&r->conf.conf->broker_common, d);
		logs_try(&r->conf.conf->worker_common, d);
		status = diag_status(d);
	}
	load_clear(&r->load);
	ev_timer_stop(m->ev, &r->timer);
	if (d != NULL)
		diag_log(d);
	if (status != 0) {
		log_err("reload: refused, %s", d != NULL ? diag_first(d,
		    first, sizeof(first)) : strerror(ENOMEM));
		diag_free(d);
		reload_finish(m);
		return;
	}
	diag_free(d);
	reload_prepare(m);
}

static void
report_readable(void *ctx, int fd)
{
	struct master *m = ctx;
	int n = load_read(&m->reload->load);

	(void)fd;
	if (n != 0)
		loaded_end(m);
}

static const struct ev_ops report_ops = {
	.readable = report_readable, .error = report_readable,
	.hangup = report_readable
};

bool
reload_reaped(struct master *m, pid_t pid)
{
	if (m->reload == NULL || m->reload->load.pid != pid)
		return false;
	m->reload->load.pid = -1;
	return true;
}

/* A file that never ends, a name server that never answers: reload_free
 * kills the child. */
static void
load_late_cb(void *ctx)
{
	struct master *m = ctx;

	log_err("reload: refused, %s: not read within %d s", m->start->file,
	    (int)(TOO_LONG / EV_SECOND));
	reload_finish(m);
}

static bool
load_begin(struct master *m)
{
	struct reload *r = m->reload;

	master_request(m, &r->request.conf);
	r->request.environ_base = m->start->environ_base;
	hand_forks(m);
	if (load_start(&r->load, &r->request) == -1)
		return false;
	if (net_nonblock(r->load.report) == -1 ||
	    ev_add(m->ev, r->load.report, &report_ops, m, EV_READ) == -1)
		return false;
	ev_timer_set(m->ev, &r->timer, TOO_LONG, load_late_cb, m);
	return true;
}

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

void
reload_start(struct master *m, enum reload_kind kind)
{
	struct reload *r;

	if (m->ending)
		return;
	if (m->reload != NULL) {
		m->reload->again |= kind;
		return;
	}
	log_line("reload: started");
	if ((r = calloc(1, sizeof(*r))) == NULL) {
		log_err("reload: failed, %s", strerror(errno));
		return;
	}
	m->reload = r;
	r->kind = kind;
	r->state = RELOAD_LOADING;
	r->load.pid = -1;
	r->load.report = r->load.files = -1;
	loaded_init(&r->conf);
	master_title(m);
	if (kind == RELOAD_WORKERS) {
		if (loaded_copy(&r->conf, &m->conf) == -1)
			reload_fail(m, strerror(errno));
		else
			reload_prepare(m);
	} else if (!load_begin(m))
		reload_fail(m, strerror(errno));
}
