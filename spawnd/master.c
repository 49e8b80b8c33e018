/*
 * The supervisor's loop: signals, housekeeping, titles.
 */
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/dgram.h"
#include "../misc/log.h"
#include "../misc/title.h"
#include "features.h"
#include "adopt.h"
#include "crew.h"
#include "environ.h"
#include "keys.h"
#include "listen.h"
#include "logs.h"
#include "master.h"
#include "notify.h"
#include "overload.h"
#include "own.h"
#include "proc.h"
#include "refresh.h"
#include "reload.h"
#include "roles.h"
#include "sched.h"
#include "seats.h"
#include "start.h"
#include "status.h"
#include "statussock.h"
#include "store.h"
#include "upgrade.h"
#include "words.h"

#define TICK		EV_SECOND	/* while there is something to see */
#define TICK_IDLE	(30 * EV_SECOND)

static const struct {
	int		 signo;
	const char	*name;
} signal_names[] = {
	{ SIGHUP, "SIGHUP" }, { SIGINT, "SIGINT" }, { SIGQUIT, "SIGQUIT" },
	{ SIGILL, "SIGILL" }, { SIGTRAP, "SIGTRAP" },
	{ SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS" }, { SIGFPE, "SIGFPE" },
	{ SIGKILL, "SIGKILL" }, { SIGUSR1, "SIGUSR1" },
	{ SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
	{ SIGPIPE, "SIGPIPE" }, { SIGALRM, "SIGALRM" },
	{ SIGTERM, "SIGTERM" }, { SIGXCPU, "SIGXCPU" },
	{ SIGXFSZ, "SIGXFSZ" }, { SIGSYS, "SIGSYS" },
};

const char *
signal_name(int signo)
{
	for (size_t i = 0; i < sizeof(signal_names) / sizeof(*signal_names);
	    i++)
		if (signal_names[i].signo == signo)
			return signal_names[i].name;
	return "?";
}

void
master_request(const struct master *m, struct conf_request *r)
{
	start_request(m->start, m->program, r);
}

/* ---- titles ---- */

static void
title_cb(void *ctx)
{
	struct master *m = ctx;
	uint64_t again = title_flush(ev_now(m->ev));

	if (again > 0)
		ev_timer_set(m->ev, &m->title, again, title_cb, m);
}

static void
title_show(struct master *m)
{
	const char *text = m->conf.conf->broker_common.proctitle;
	uint64_t n = crew_everyone(m), total, capacity, again;
	bool bare = m->program->manners != NULL;
	char status[64];

	crew_refresh(m);
	total = crew_total(m);
	capacity = crew_capacity(m);
	if (m->reload != NULL)
		snprintf(status, sizeof(status), "loading configuration");
	else if (m->overload)
		snprintf(status, sizeof(status), "%s", overload_text(m));
	else
		snprintf(status, sizeof(status), "%" PRIu64 " free",
		    capacity > total ? capacity - total : 0);
	again = bare ? title_set(ev_now(m->ev), "%s: parent",
	    m->start->base) : title_set(ev_now(m->ev), "%s: %s%s%" PRIu64
	    " connection%s, %s", m->start->base, text != NULL ? text : "",
	    text != NULL ? ": " : "", n, n == 1 ? "" : "s", status);
	if (again > 0)
		ev_timer_set(m->ev, &m->title, again, title_cb, m);
	notify_status("%s, %u process%s, %" PRIu64 " of %" PRIu64
	    " connections", m->ending ? "ending" : m->reload != NULL ?
	    "loading configuration" : m->overload ? overload_text(m) :
	    "serving", m->nprocs, m->nprocs == 1 ? "" : "es", n, capacity);
}

static void
title_due_cb(void *ctx)
{
	title_show(ctx);
}

void
master_title(struct master *m)
{
	if (!ev_timer_pending(&m->title))
		ev_timer_set(m->ev, &m->title, TITLE_PERIOD, title_due_cb, m);
}

/* ---- housekeeping ---- */

static void
look_cb(void *ctx)
{
	crew_look(ctx);
}

void
master_changed(struct master *m)
{
	if (m->ev != NULL)
		ev_defer(m->ev, &m->look, look_cb, m);
}

/*
 * Is something due by the clock? Else nothing happens that we are not told
 * of, and the next tick may come late: it is only for workers that have been
 * silent for minutes.
 */
static bool
restless(const struct master *m)
{
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->owes != 0 || p->suspected || p->killed ||
		    p->kept.n > 0 || p->state == PROC_STARTING)
			return true;
	return m->stalled || m->reload != NULL || keys_owe(m, m->stirred);
}

static void
tick_cb(void *ctx)
{
	struct master *m = ctx;
	bool busy = m->busy, quiet;

	m->busy = false;
	busy |= proc_watch(m, ev_now(m->ev));
	if (busy)
		m->stirred = ev_now(m->ev);
	if (keys_owe(m, m->stirred))
		keys_watch(m, ev_now(m->ev));
	quiet = !crew_shrink(m, ev_now(m->ev)) && !busy;
	crew_look(m);
	seats_show(m);
	title_show(m);
	quiet = quiet && !restless(m) && proc_rest(m);
	if (!quiet)
		proc_wake(m);
	ev_timer_set(m->ev, &m->tick, quiet ? TICK_IDLE : TICK, tick_cb, m);
}

void
master_stir(struct master *m)
{
	if (m->busy)
		return;
	m->busy = true;
	proc_wake(m);
	ev_timer_set(m->ev, &m->tick, TICK, tick_cb, m);
}

static void
rotate_cb(void *ctx)
{
	struct master *m = ctx;
	uint64_t now = ev_clock(m->ev);
	const struct compiled *c = m->conf.conf;
	/* workers of another program have told us nothing */
	uint64_t lifetime = (m->program->ticket_lifetime != NULL &&
	    c->worker != NULL ? m->program->ticket_lifetime(c) :
	    TICKETS_LIFETIME) * EV_SECOND;
	unsigned parts = m->program->ticket_keys;
	uint64_t period = parts > 1 ? lifetime / parts : lifetime;

	if (lifetime == 0)
		return;
	switch (tickets_rotate(&m->tickets, now, period,
	    parts > 0 ? parts + 1 : TICKETS_KEPT)) {
	case -1:
		log_err("ticket keys: %s", strerror(errno));
		ev_timer_set(m->ev, &m->rotate, EV_SECOND, rotate_cb, m);
		return;
	case 1:
		for (struct proc *p = m->oldest; p != NULL; p = p->newer)
			if (p->greeted)
				proc_tickets(p);
		if (m->single != NULL)
			own_single_tickets(m->single, m->tickets.keys,
			    m->tickets.n);
		break;
	default:
		break;
	}
	ev_timer_set(m->ev, &m->rotate, tickets_due(&m->tickets, period) -
	    now, rotate_cb, m);
}

void
master_tickets(struct master *m)
{
	ev_timer_stop(m->ev, &m->rotate);
	rotate_cb(m);
}

/* ---- signals ---- */

static void
signal_end_cb(void *ctx, int signo)
{
	master_end(ctx, signal_name(signo));
}

static void
signal_reload_cb(void *ctx, int signo)
{
	struct master *m = ctx;

	if (signo == SIGHUP && m->start->inherit.inetd)
		master_end(m, signal_name(signo));	/* it starts us afresh */
	else if (signo == SIGHUP) {
		words_say(WORD_HUP);
		reload_start(m, RELOAD_FILE);
	}
	else if (m->single == NULL)
		reload_start(m, RELOAD_WORKERS);
}

static void
signal_status_cb(void *ctx, int signo)
{
	struct master *m = ctx;

	(void)signo;
	logs_reopen(m);
	status_log(m);
}

static void
signal_child_cb(void *ctx, int signo)
{
	struct master *m = ctx;
	int wstatus;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
		if (!adopt_reaped(m, pid, wstatus) && !reload_reaped(m, pid) &&
		    !upgrade_reaped(m, pid, wstatus) &&
		    !refresh_reaped(m, pid) && !store_reaped(m, pid) &&
		    !keys_reaped(m, pid, wstatus) &&
		    !proc_reaped(m, pid, wstatus))
			(void)roles_reaped(m, pid, wstatus);
	if (m->ending)
		master_child_gone(m);
}

static int
signals_set(struct master *m)
{
	static const struct {
		int	  signo;
		void	(*cb)(void *, int);
	} signals[] = {
		{ SIGTERM, signal_end_cb }, { SIGINT, signal_end_cb },
		{ SIGHUP, signal_reload_cb }, { SIGUSR1, signal_reload_cb },
		{ SIGUSR2, signal_status_cb }, { SIGCHLD, signal_child_cb },
		{ SIGPIPE, NULL },
	};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		bool ignored = signals[i].signo == SIGUSR1 &&
		    m->program->manners != NULL &&
		    m->program->manners->unhurried;

		if (ev_signal(m->ev, signals[i].signo, ignored ? NULL :
		    signals[i].cb, m) == -1)
			return -1;
	}
	return 0;
}

/* ---- start ---- */

static int
listeners_make(struct master *m)
{
	const struct spawnd_conf *c = &m->conf.conf->broker;
	struct listener **end = &m->listeners;

	for (size_t i = 0; i < c->nendpoints; i++) {
		*end = listener_new(m, &c->endpoints[i], m->generation);
		if (*end == NULL)
			return -1;
		end = &(*end)->next;
	}
	return 0;
}

static void
warn_accept_workers(const struct master *m)
{
	for (const struct listener *l = m->listeners; l != NULL; l = l->next)
		if (l->conf->accept == ACCEPT_WORKERS && !listener_lent(l)) {
			log_warn("accept = workers: not here, the master "
			    "accepts");
			return;
		}
}

static void
single_done_cb(void *ctx)
{
	struct master *m = ctx;

	if (m->ending && proc_use(m->oldest) == 0)
		ev_stop(m->ev, 0);
	master_changed(m);
	master_title(m);
	master_stir(m);
}

static int
single_start(struct master *m, int limit)
{
	static const struct own_hooks hooks = { .done = single_done_cb };
	struct diag *d = diag_new();
	struct proc *p = proc_single(m);
	int ok;

	if (d == NULL || p == NULL)
		return -1;
	p->limit = limit < 12 ? 1 : (uint32_t)(limit - 10) / 2;
	m->single = own_single(m->program, m->ev, &p->seats->board,
	    p->column, &hooks, m);
	if (m->single == NULL)
		return -1;
	ok = own_single_prepare(m->single, m->conf.conf, d);
	if (ok == -1)
		diag_log(d);
	else
		own_single_commit(m->single);
	diag_free(d);
	proc_set(p, PROC_READY);
	return ok;
}

static int
workers_start(struct master *m, int limit)
{
	const struct spawn_conf *s = &m->conf.conf->broker.spawn;
	const char *lacks;

	if (m->start->single || m->conf.conf->broker.single) {
		char place[300] = "-1";

		if (!m->start->single)
			snprintf(place, sizeof(place), "%s:%u",
			    m->conf.conf->broker.single_place.file,
			    m->conf.conf->broker.single_place.line);
		log_warn("single-process mode is not recommended for "
		    "production (%s)", place);
		if (single_start(m, limit) == -1)
			return EX_CONFIG;
		if ((lacks = identity_take(s)) != NULL) {
			start_err("cannot become what 'spawn' says: %s: %s",
			    lacks, strerror(errno));
			return EX_NOPERM;
		}
	}
	if (m->single == NULL)
		sched_behind_workers();
	warn_accept_workers(m);
	master_tickets(m);
	roles_start(m);
	crew_look(m);
	return 0;
}

/* What a start makes and an upgrade finds. */
static int
service_open(struct master *m)
{
	const char *pidfile = m->start->pidfile != NULL ? m->start->pidfile :
	    m->conf.conf->broker.pidfile;
	char error[DAEMON_ERROR];
	int status;

	m->started = ev_now(m->ev);
	if (listeners_make(m) == -1) {
		start_err("cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	if (!listeners_open(m) && m->listeners != NULL) {
		if (m->program->compile == NULL)
			start_err("no listener could be bound, giving up");
		return EX_TEMPFAIL;
	}
	if (pidfile != NULL && (status = daemon_pidfile_open(&m->pidfile,
	    pidfile, error)) != 0) {
		start_err("%s", error);
		return status;
	}
	seats_prepare(m, m->conf.conf, m->generation);
	reload_facts(m);
	return statussock_open(m);
}

/* Bind, pid file, limits and loop, in the order of 1.5. */
static int
master_open(struct master *m, int daemon_fd, int *limit)
{
	char **env, error[256];
	int status;

	*limit = daemon_raise_limit();
	env = environ_merge(m->start->environ_base, m->conf.conf->source);
	m->ev = env == NULL ? NULL : ev_new(environ_get(env,
	    "IO_POLL_MECHANISM"), m->program->manners != NULL);
	free(env);
	if (m->ev == NULL || signals_set(m) == -1) {
		start_err("cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	notify_loop(m->ev);
	if (roles_open(m) == -1)
		return EX_CONFIG;
	status = m->start->handed != NULL ? adopt_open(m) : service_open(m);
	if (status != 0)
		return status;
	if (!segment_prepare(m, &m->conf, m->generation, error,
	    sizeof(error))) {
		start_err("%s", error);
		return EX_CANTCREAT;
	}
	sticky_prepare(m);
	roles_opened(m);
	m->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (*limit > ev_limit(m->ev))
		*limit = ev_limit(m->ev);
	daemon_ready(daemon_fd, 0,
	    m->conf.conf->broker_common.debug_path != NULL);
	return 0;
}

static void
master_clear(struct master *m)
{
	struct hand *h;

	while ((h = hand_pop(&m->homeless)) != NULL)
		hand_free(m, h);
	listeners_close(m);
	for (struct proc *p = m->oldest, *next; p != NULL; p = next) {
		next = p->newer;
		proc_free(p);
	}
	segment_close(m);
	roles_clear(m);
	keys_clear(m);
	refresh_end(m);
	store_clear(m);
	if (m->single != NULL)
		own_single_free(m->single);
	while ((h = m->free_hands) != NULL) {
		m->free_hands = h->next;
		free(h);
	}
	dgrams_free(m->dgrams);
	sticky_free(m->sticky);
	statussock_close(m);
	seats_clear(m);
	crew_clear(m);
	tickets_clear(&m->tickets);
	daemon_pidfile_close(&m->pidfile);
	if (m->reserve != -1)
		close(m->reserve);
	if (m->facts != -1)
		close(m->facts);
	notify_loop(NULL);
	if (m->ev != NULL) {
		/* what comes now is too late, not a reason to die of it */
		(void)ev_signal(m->ev, SIGTERM, NULL, NULL);
		(void)ev_signal(m->ev, SIGINT, NULL, NULL);
		(void)ev_signal(m->ev, SIGHUP, NULL, NULL);
		ev_free(m->ev);
	}
	loaded_clear(&m->conf);
}

int
master_run(const struct program *program, const struct start *start,
    struct loaded *conf, int daemon_fd)
{
	struct master m = { .program = program, .start = start,
	    .conf = *conf, .generation = 1, .reserve = -1, .facts = -1,
	    .pidfile = { -1, NULL } };
	int status, limit;

	loaded_init(conf);
	m.conf.conf->generation = m.generation;
	words_say(WORD_START, PACKAGE_VERSION,
	    start->handed != NULL ? " in place of another" :
	    start->inherit.inetd ? " via inetd" : "");
	status = master_open(&m, daemon_fd, &limit);
	if (status == 0) {
		store_keep(&m);
		refresh_start(&m);
	}
	if (status == 0 && start->handed != NULL)
		adopt_start(&m);
	else if (status == 0) {
		status = workers_start(&m, limit);
		if (status == 0)
			notify_ready();
	}
	if (status == 0) {
		tick_cb(&m);
		status = ev_run(m.ev);
	}
	adopt_fail(&m);
	master_clear(&m);
	return status;
}
