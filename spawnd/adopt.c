/*
 * The new program's side of an upgrade. Its start is a reload: the listeners
 * that are there are those of an old generation, whose workers go when the
 * first of ours is ready.
 */
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/cleanse.h"
#include "../misc/log.h"
#include "adopt.h"
#include "features.h"
#include "hand.h"
#include "keys.h"
#include "lend.h"
#include "listen.h"
#include "notify.h"
#include "proc.h"
#include "reload_impl.h"
#include "roles.h"
#include "sched.h"
#include "seats.h"
#include "start.h"
#include "statussock.h"
#include "talk.h"
#include "upgrade.h"
#include "upgrade_state.h"

/* One that ended before we knew whether it is ours. */
struct reaped {
	pid_t	 pid;
	int	 wstatus;
};

/* One per process; m->adopt points to it until we have proven ourselves. */
struct adopt {
	struct upgrade_state	*state;
	struct listener_conf	*confs;	/* of the listeners, until COMMIT */
	struct listener		**listeners;	/* until then, too */
	struct seats		**boards;	/* by index; NULL: unusable */
	struct reaped		*reaped;
	size_t			 nreaped;
	bool			 mixes;	/* its channels are spoken here */
};

static struct adopt adopted;

/* ---- reading ---- */

static struct upgrade_state *
state_read(int fd, const char **why)
{
	struct upgrade_state *s = NULL;
	struct stat st;
	uint8_t *data;
	size_t len, n = 0;
	ssize_t got = 1;

	*why = "not a file";
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > 1 << 30)
		return NULL;
	len = (size_t)st.st_size;
	*why = "out of memory";
	if ((data = malloc(len)) == NULL)
		return NULL;
	while (n < len && (got = pread(fd, data + n, len - n,
	    (off_t)n)) > 0)
		n += (size_t)got;
	*why = "cannot be read";
	if (n == len)
		s = upgrade_state_read(data, len, why);
	cleanse(data, len);
	free(data);
	return s;
}

/* Nobody whom we start inherits what is ours. */
static bool
fds_take(const struct upgrade_state *s)
{
	size_t n = upgrade_state_fds(s, NULL, 0);
	int *fds = calloc(n > 0 ? n : 1, sizeof(*fds));
	bool ok = fds != NULL;

	if (ok)
		upgrade_state_fds(s, fds, n);
	for (size_t i = 0; ok && i < n; i++)
		ok = fcntl(fds[i], F_SETFD, FD_CLOEXEC) != -1;
	free(fds);
	return ok;
}

int
adopt_read(struct upgrade_state **state)
{
	const char *text = getenv(UPGRADE_ENV), *why = "no number";
	struct upgrade_state *s = NULL;
	char *end;
	long fd;

	*state = NULL;
	if (text == NULL)
		return 0;
	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno == 0 && *end == '\0' && end != text && fd >= 3 &&
	    fd < INT32_MAX) {
		s = state_read((int)fd, &why);
		close((int)fd);
	}
	(void)unsetenv(UPGRADE_ENV);
	if (s != NULL && s->service.pid != (int32_t)getpid())
		why = "it is another process's";
	else if (s != NULL && !fds_take(s))
		why = "descriptors are missing";
	else if (s != NULL) {
		*state = s;
		return 0;
	}
	start_err("upgrade: " UPGRADE_ENV ": %s", why);
	upgrade_state_free(s);
	return EX_SOFTWARE;
}

int
adopt_passed(struct inherit *in, const struct upgrade_state *s)
{
	for (size_t i = 0; i < s->npassed; i++)
		if (inherit_add(in, s->passed[i].fd,
		    s->passed[i].tail[0].data) == -1) {
			start_err("upgrade: socket '%s': %s",
			    (const char *)s->passed[i].tail[0].data,
			    strerror(errno));
			return EX_OSERR;
		}
	return 0;
}

/* ---- listeners, boards, the rest ---- */

static void
addr_get(struct net_addr *a, const uint8_t *from, uint32_t len)
{
	memset(a, 0, sizeof(*a));
	memcpy(&a->ss, from, sizeof(a->ss));
	a->len = (socklen_t)len;
}

/* As far as it is told from others by, and taken back from workers. */
static void
conf_get(const struct master *m, struct listener_conf *c,
    const struct upgrade_listener *u)
{
	if (u->passed > 0)
		c->passed = &m->start->inherit.sockets[u->passed - 1];
	c->name = u->tail[UPGRADE_NAME].data;
	c->vrf = u->tail[UPGRADE_VRF].data;
	c->index = u->index;
	c->type = u->type;
	c->protocol = u->protocol;
	c->v6only = u->v6only;
	c->accept = u->accept == ACCEPT_WORKERS ? ACCEPT_WORKERS :
	    ACCEPT_MASTER;
	addr_get(&c->addr, u->addr, u->addr_len);
	c->uid = (uid_t)-1;
	c->gid = (gid_t)-1;
	c->backlog = c->overload_backlog = 128;
	c->dscp = -1;
	/* as no configuration has it: whatever the next one says, or does not
	 * say, is set */
	c->tcp = (struct net_tcp){ .nodelay = -2, .sack = -2, .ttl = -2,
	    .minttl = -2 };
}

static bool
listeners_adopt(struct master *m, struct adopt *a)
{
	const struct upgrade_state *s = a->state;
	struct listener **end = &m->listeners;

	a->confs = calloc(s->nlisteners + 1, sizeof(*a->confs));
	a->listeners = calloc(s->nlisteners + 1, sizeof(*a->listeners));
	if (a->confs == NULL || a->listeners == NULL)
		return false;
	for (size_t i = 0; i < s->nlisteners; i++) {
		const struct upgrade_listener *u = &s->listeners[i];
		struct listener *l;

		conf_get(m, &a->confs[i], u);
		l = listener_new(m, &a->confs[i], m->generation);
		if (l == NULL)
			return false;
		addr_get(&l->addr, u->bound, u->bound_len);
		snprintf(l->text, sizeof(l->text), "%s",
		    (const char *)u->tail[UPGRADE_TEXT].data);
		l->record = u->record;
		l->fd = u->passed > 0 ? l->conf->passed->fd : u->fd;
		l->dev = (dev_t)u->dev;
		l->ino = (ino_t)u->ino;
		*end = a->listeners[i] = l;
		end = &l->next;
	}
	return true;
}

/* Columns that are taken; nobody else gets them. */
static void
columns_adopt(struct adopt *a)
{
	const struct upgrade_state *s = a->state;

	for (size_t i = 0; i < s->nworkers; i++) {
		const struct upgrade_worker *w = &s->workers[i];

		if (w->board > 0 && a->boards[w->board - 1] != NULL &&
		    !seats_sit(a->boards[w->board - 1], w->column))
			a->mixes = false;
	}
}

/* The newest comes last, since each goes in front. */
static bool
boards_adopt(struct master *m, struct adopt *a)
{
	const struct upgrade_state *s = a->state;

	a->mixes = s->service.channel_version == SPAWND_VERSION &&
	    s->service.board_version == BOARD_VERSION;
	a->boards = calloc(s->nboards + 1, sizeof(*a->boards));
	if (a->boards == NULL)
		return false;
	for (size_t i = s->nboards; i > 0; i--) {
		const struct upgrade_board *b = &s->boards[i - 1];

		if (s->service.board_version == BOARD_VERSION)
			a->boards[i - 1] = seats_adopt(m, b->fd,
			    (size_t)b->size);
		else
			close(b->fd);
		if (a->boards[i - 1] == NULL)
			a->mixes = false;
	}
	columns_adopt(a);
	if (!a->mixes)
		log_warn("upgrade: the workers' channel or board is of another "
		    "version, counters start again");
	return true;
}

static void
tickets_adopt(struct master *m, struct upgrade_service *s)
{
	memcpy(m->tickets.keys, s->tickets, sizeof(m->tickets.keys));
	m->tickets.n = s->ntickets;
	m->tickets.made = s->tickets_made;
	cleanse(s->tickets, sizeof(s->tickets));
}

int
adopt_open(struct master *m)
{
	struct adopt *a = &adopted;
	struct upgrade_service *s = &m->start->handed->service;

	a->state = m->start->handed;
	m->adopt = a;
	m->holding = true;
	m->generation = m->conf.conf->generation = s->generation;
	m->numbers = s->numbers;
	/* the stand-in holds a copy of whatever there is */
	m->ids = m->forked = s->ids;
	m->started = s->started;
	m->served = true;
	tickets_adopt(m, s);
	if (!listeners_adopt(m, a) || !boards_adopt(m, a) ||
	    (s->pidfile != -1 && daemon_pidfile_adopt(&m->pidfile,
	    s->tail[UPGRADE_PIDFILE].data, s->pidfile) == -1)) {
		start_err("cannot go on: %s", strerror(errno));
		return EX_OSERR;
	}
	reload_facts(m);
	if (s->status != -1)
		statussock_adopt(m, s->status,
		    s->tail[UPGRADE_STATUS].data);
	return 0;
}

void
adopt_start(struct master *m)
{
	unsigned again = m->start->handed->service.again;

	sched_behind_workers();
	master_tickets(m);
	upgrade_signals();
	reload_start(m, RELOAD_UPGRADE);
	if (m->reload != NULL)
		m->reload->again |= again;
	else if (again != 0)		/* it had nothing to wait for */
		reload_start(m, again & RELOAD_FILE ? RELOAD_FILE :
		    RELOAD_WORKERS);
}

void
adopt_fail(struct master *m)
{
	if (m->adopt == NULL)
		return;
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->pid > 0)
			kill(p->pid, SIGTERM);
	log_err("upgrade: given up");
	_exit(EX_SOFTWARE);
}

static bool
is_handed(const struct upgrade_state *s, pid_t pid)
{
	for (size_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].pid == (int32_t)pid)
			return true;
	for (size_t i = 0; i < s->nkeys; i++)
		if (s->keys[i].pid == (int32_t)pid)
			return true;
	return false;
}

bool
adopt_reaped(struct master *m, pid_t pid, int wstatus)
{
	struct adopt *a = m->adopt;
	struct reaped *more;

	if (a == NULL || !is_handed(a->state, pid))
		return false;
	more = reallocarray(a->reaped, a->nreaped + 1, sizeof(*more));
	if (more == NULL)
		return false;
	a->reaped = more;
	more[a->nreaped++] = (struct reaped){ pid, wstatus };
	return true;
}

/* ---- workers ---- */

static void
flags_get(struct proc *p, uint32_t flags)
{
	p->greeted = (flags & UPGRADE_GREETED) != 0;
	p->was_ready = (flags & UPGRADE_WAS_READY) != 0;
	p->suspected = (flags & UPGRADE_SUSPECTED) != 0;
	p->outbox.blocked = (flags & UPGRADE_BLOCKED) != 0;
	p->told = (flags & UPGRADE_TOLD) != 0;
	p->killed = (flags & UPGRADE_KILLED) != 0;
	p->bad_config = (flags & UPGRADE_BAD_CONFIG) != 0;
}

static void
numbers_get(struct proc *p, const struct upgrade_worker *w)
{
	uint64_t now = ev_now(p->master->ev);

	p->number = w->number;
	p->generation = w->generation;
	p->pid = p->known_as = (pid_t)w->pid;
	memcpy(p->nonce, w->nonce, sizeof(p->nonce));
	p->users = w->users;
	p->served = w->served;
	p->limit = w->limit;
	p->idle_since = w->idle_since;
	p->released = w->released;
	p->returns = w->returns;
	p->started = w->started;
	p->sum = w->sum;
	p->suspected_at = w->suspected_at;
	p->ping = w->ping;
	/* it could show no life to us meanwhile */
	p->sign = now;
	p->owes = w->owes != 0 ? now : 0;
}

static void
lent_get(struct proc *p, const struct upgrade_bytes *lent)
{
	if (lent->len == 0 || (p->lent = malloc(lent->len)) == NULL)
		return;
	memcpy(p->lent, lent->data, lent->len);
	p->nlent = (uint32_t)lent->len;
	lend_adopted(p);
}

/* Told in the one language that all workers understand: it ends when it is
 * idle, and the end of its channel says so once more. */
static void
worker_dismiss(struct proc *p, const struct upgrade_worker *w)
{
	if (w->fd != -1)
		close(w->fd);
	p->state = PROC_ENDING;
	p->users = 0;		/* nobody will say when they have gone */
	/* the second time would end its sessions */
	if (!p->told || p->outbox.blocked)
		(void)kill(p->pid, SIGTERM);
	p->told = true;
}

static bool
worker_adopt(struct master *m, const struct adopt *a,
    const struct upgrade_worker *w)
{
	struct proc *p = proc_adopt(m);

	if (p == NULL)
		return false;
	numbers_get(p, w);
	flags_get(p, w->flags);
	if (!a->mixes) {
		worker_dismiss(p, w);
		return true;
	}
	p->state = (enum proc_state)w->state;
	if (w->board > 0) {
		p->seats = a->boards[w->board - 1];
		p->column = w->column;
	}
	p->channel.fd = w->fd;
	p->channel.sent = w->sent;
	p->channel.seen = w->seen;
	p->channel.features = w->features;
	if (w->fd != -1 && !talk_resume(p)) {
		log_err("cannot talk to worker %ld: %s", (long)p->pid,
		    strerror(errno));
		return false;
	}
	lent_get(p, &w->tail[UPGRADE_LENT]);
	/* that may not have left the program before us */
	if (p->outbox.blocked && p->state == PROC_ENDING)
		proc_send(p, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL, 0);
	return true;
}

/* ---- connections ---- */

static struct proc *
proc_find(const struct master *m, uint32_t number)
{
	struct proc *p = m->oldest;

	while (p != NULL && p->number != number)
		p = p->newer;
	return p;
}

/* Something to point to for connections of a listener that is gone. */
static struct listener *
listener_bare(struct master *m)
{
	static const struct listener_conf none = { .name = "", .dscp = -1,
	    .tcp = { .nodelay = -1, .sack = -1 } };
	struct listener *l = listener_new(m, &none, m->generation);

	if (l != NULL)
		l->conf = NULL;
	return l;
}

static void
hand_adopt(struct master *m, const struct upgrade_hand *u)
{
	struct listener *l = u->listener == UINT32_MAX ? NULL :
	    adopted.listeners[u->listener];
	struct listener *bare = l == NULL ? listener_bare(m) : NULL;
	struct proc *p = u->worker != 0 ? proc_find(m, u->worker) : NULL;
	struct hand *h = NULL;

	if (l != NULL || bare != NULL)
		h = hand_new(m, l != NULL ? l : bare, u->fd);
	if (bare != NULL) {
		bare->record = u->record;
		listener_unref(bare);
	}
	if (h == NULL)
		return;
	h->taken = u->taken;
	h->tries = (uint16_t)u->tries;
	h->moved = u->moved;
	h->generation = u->generation;
	h->record = u->record;
	if (u->worker == 0)
		hand_push(&m->homeless, h);
	else if (p != NULL && (p->channel.fd != -1 || p->seats != NULL))
		hand_push(&p->kept, h);
	else
		hand_free(m, h);	/* it has it */
}

/* ---- the end of probation ---- */

static void
standin_release(struct adopt *a)
{
	int fd = a->state->service.standin;

	if (fd == -1)
		return;
	/* it may be gone; we do not need it either */
	(void)!write(fd, "", 1);
	close(fd);
}

/* Those that wait to be opened: they are tried again as it says now. */
static void
listeners_retry(struct adopt *a)
{
	for (size_t i = 0; i < a->state->nlisteners; i++) {
		struct listener *l = a->listeners[i];

		if (l->fd == -1 && l->heir != NULL && l->heir->retry > 0) {
			a->confs[i].retry = l->heir->retry;
			listener_retry(l);
		}
	}
}

static void
workers_adopt(struct master *m, struct adopt *a)
{
	const struct upgrade_state *s = a->state;

	/* each goes in front of the others */
	for (size_t i = s->nworkers; i > 0; i--)
		if (!worker_adopt(m, a, &s->workers[i - 1]))
			log_err("worker %ld is left alone: %s",
			    (long)s->workers[i - 1].pid, strerror(errno));
	seats_settle(m);
	for (size_t i = 0; i < s->nhands; i++)
		hand_adopt(m, &s->hands[i]);
	for (size_t i = 0; i < s->nkeys; i++)
		keys_adopt(m, &s->keys[i]);
	hand_resume(m);
}

void
adopt_prove(struct master *m)
{
	struct adopt *a = m->adopt;
	const char *was;

	if (a == NULL)
		return;
	was = a->state->service.tail[UPGRADE_VERSION].data;
	m->adopt = NULL;
	m->holding = false;
	workers_adopt(m, a);
	roles_adopted(m);
	listeners_retry(a);
	if (m->statussock == NULL)	/* it could not have one */
		(void)statussock_open(m);
	notify_mainpid(getpid());
	standin_release(a);
	log_line("upgrade: %s to %s", was != NULL ? was : "another version",
	    PACKAGE_VERSION);
	for (size_t i = 0; i < a->nreaped; i++)
		if (!keys_reaped(m, a->reaped[i].pid, a->reaped[i].wstatus))
			proc_reaped(m, a->reaped[i].pid,
			    a->reaped[i].wstatus);
	free(a->reaped);
	a->reaped = NULL;
	a->nreaped = 0;
	master_changed(m);
	master_stir(m);
}
