/*
 * The steps of an upgrade in this program: the new one checks the
 * configuration while everything goes on; then nothing more is accepted,
 * what is in our hands is handed out, and this process becomes the new
 * program. Its child, the stand-in, is what is left of us should that fail.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/cleanse.h"
#include "../misc/log.h"
#include "../misc/source_seal.h"
#include "../misc/title.h"
#include "crew.h"
#include "environ.h"
#include "features.h"
#include "hand.h"
#include "keys.h"
#include "listen.h"
#include "notify.h"
#include "orphan.h"
#include "proc.h"
#include "reload_impl.h"
#include "seats.h"
#include "self.h"
#include "statussock.h"
#include "upgrade.h"
#include "upgrade_state.h"

#define CHECK_MAX	(30 * EV_SECOND)
#define LINES_MAX	100		/* of what the check says */
#define SETTLE		(10 * EV_MS)
#define SETTLE_MAX	EV_SECOND	/* workers may be stuck */

/* Owned by m->reload. */
struct upgrade {
	pid_t		 pid;		/* of the check; -1: none */
	int		 report;	/* pipe: what it says; -1 */
	char		 line[1024];
	size_t		 len;
	unsigned	 lines;
	uint64_t	 began;		/* to settle */
};

/* Signals that must not meet a program that does not expect them yet. */
static const int held_signals[] = {
	SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD
};

bool
upgrade_wanted(const struct master *m)
{
	if (!self_replaced(m->start->image))
		return false;
	if (m->single == NULL)
		return true;
	log_warn("%s has changed: restart needed", m->start->image->path);
	return false;
}

/* ---- the check ---- */

/* As it was started, and only to check. */
static char **
check_again(const struct start *s)
{
	size_t n = 0;
	char **argv;

	while (s->options != NULL && s->options[n] != NULL)
		n++;
	if ((argv = calloc(n + 3, sizeof(*argv))) == NULL)
		return NULL;
	argv[0] = s->argv[0];
	argv[1] = (char *)(uintptr_t)"-n";
	if (n > 0)
		memcpy(argv + 2, s->options, n * sizeof(*argv));
	return argv;
}

/* -P with whatever selects what is read, and how. */
static char **
check_argv(const struct start *s)
{
	static char *argv[16];
	const struct {
		const char *option, *value;
	} options[] = {
		{ "-I", s->broker_id }, { "-i", s->worker_id },
		{ "-k", s->keyfile }, { "-d", s->debug_text },
	};
	unsigned n = 0;

	argv[n++] = s->argv[0];
	argv[n++] = (char *)(uintptr_t)"-P";
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		if (options[i].value == NULL)
			continue;
		argv[n++] = (char *)(uintptr_t)options[i].option;
		argv[n++] = (char *)(uintptr_t)options[i].value;
	}
	argv[n++] = (char *)(uintptr_t)s->file;
	argv[n] = NULL;
	return argv;
}

/* In a group of its own: what it starts ends with it. */
static _Noreturn void
check_run(const struct start *s, bool again, int out)
{
	int null = open("/dev/null", O_RDWR);
	char **argv = again ? check_again(s) : check_argv(s);

	ev_signal_reset();
	(void)setpgid(0, 0);
	if (argv == NULL || null == -1 || dup2(null, 0) == -1 || dup2(out, 1) == -1 ||
	    dup2(out, 2) == -1)
		_exit(EX_OSERR);
	execve(s->image->path, argv, s->environ_base);
	fprintf(stderr, "cannot execute %s: %s\n", s->image->path,
	    strerror(errno));
	_exit(EX_OSERR);
}

static void
line_log(struct upgrade *u)
{
	u->line[u->len] = '\0';
	if (u->len > 0 && ++u->lines <= LINES_MAX)
		log_line("upgrade: %s", u->line);
	u->len = 0;
}

/* What is there now. false: nothing more will come. */
static bool
report_read(struct upgrade *u)
{
	char buf[1024];
	ssize_t n;

	while ((n = read(u->report, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\n' || u->len == sizeof(u->line) - 1)
				line_log(u);
			if (buf[i] != '\n')
				u->line[u->len++] = buf[i];
		}
	return n == -1 && (errno == EAGAIN || errno == EINTR);
}

static void
report_close(struct master *m, struct upgrade *u)
{
	if (u->report == -1)
		return;
	ev_close_shared(m->ev, u->report);
	u->report = -1;
}

static void
report_readable(void *ctx, int fd)
{
	struct master *m = ctx;

	(void)fd;
	if (!report_read(m->reload->upgrade))
		report_close(m, m->reload->upgrade);
}

static const struct ev_ops report_ops = {
	.readable = report_readable, .error = report_readable,
	.hangup = report_readable
};

void
upgrade_clear(struct master *m, struct upgrade *u)
{
	if (u == NULL)
		return;
	report_close(m, u);
	m->holding = false;
	if (u->pid > 0) {
		/* before its exec it may not lead its group yet */
		(void)kill(-u->pid, SIGKILL);
		(void)kill(u->pid, SIGKILL);
	}
	free(u);
}

static void
check_late_cb(void *ctx)
{
	struct master *m = ctx;

	log_err("reload: refused, %s -P: no answer within %d s",
	    m->start->image->path, (int)(CHECK_MAX / EV_SECOND));
	reload_finish(m);
}

bool
upgrade_start(struct master *m)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	int fds[2];

	if (u == NULL)
		return false;
	u->pid = u->report = -1;
	m->reload->upgrade = u;
	m->reload->state = RELOAD_CHECKING;
	if (pipe(fds) == -1)
		return false;
	net_cloexec(fds[0], true);
	net_cloexec(fds[1], true);
	u->report = fds[0];
	hand_forks(m);
	u->pid = fork();
	if (u->pid == 0)
		check_run(m->start, m->program->compile != NULL, fds[1]);
	close(fds[1]);
	if (u->pid == -1 || net_nonblock(fds[0]) == -1 ||
	    ev_add(m->ev, fds[0], &report_ops, m, EV_READ) == -1)
		return false;
	(void)setpgid(u->pid, u->pid);
	log_line("upgrade: %s has changed, checks the configuration",
	    m->start->image->path);
	ev_timer_set(m->ev, &m->reload->timer, CHECK_MAX, check_late_cb, m);
	return true;
}

/* ---- the state ---- */

static struct upgrade_bytes
text_of(const char *text)
{
	return (struct upgrade_bytes){ text, text != NULL ?
	    strlen(text) + 1 : 0 };
}

static void
service_note(const struct master *m, struct upgrade_service *s)
{
	s->ids = m->ids;
	s->started = m->started;
	s->tickets_made = m->tickets.made;
	s->pid = (int32_t)getpid();
	s->channel_version = SPAWND_VERSION;
	s->board_version = BOARD_VERSION;
	s->generation = m->generation;
	s->numbers = m->numbers;
	s->again = m->reload->again;
	s->ntickets = m->tickets.n;
	s->standin = -1;
	s->status = statussock_fd(m);
	s->pidfile = m->pidfile.fd;
	memcpy(s->tickets, m->tickets.keys, sizeof(s->tickets));
	s->tail[UPGRADE_PIDFILE] = text_of(m->pidfile.path);
	s->tail[UPGRADE_STATUS] = text_of(statussock_name(m));
	s->tail[UPGRADE_VERSION] = text_of(PACKAGE_VERSION);
}

static void
addr_note(uint8_t to[128], uint32_t *len, const struct net_addr *a)
{
	static_assert(sizeof(a->ss) <= 128, "addresses fit");

	memcpy(to, &a->ss, sizeof(a->ss));
	*len = (uint32_t)a->len;
}

/* Which of the sockets that were passed to us, from 1; 0: none. */
static uint32_t
passed_index(const struct listener *l)
{
	const struct inherit *in = &l->master->start->inherit;

	return l->conf->passed == NULL ? 0 :
	    (uint32_t)(l->conf->passed - in->sockets) + 1;
}

static void
listener_note(const struct listener *l, struct upgrade_listener *u)
{
	/* another door of a listener is what it was, and will be one again */
	const struct listener_conf *c = listener_endpoint(l);

	u->dev = (uint64_t)l->dev;
	u->ino = (uint64_t)l->ino;
	u->passed = passed_index(l);
	u->fd = u->passed > 0 ? -1 : l->fd;
	u->index = l->conf->index;
	u->type = c->type;
	u->protocol = c->protocol;
	u->v6only = c->v6only;
	u->accept = l->own != NULL ? ACCEPT_MASTER : c->accept;
	addr_note(u->addr, &u->addr_len, &c->addr);
	addr_note(u->bound, &u->bound_len, &l->addr);
	u->record = l->record;
	u->tail[UPGRADE_NAME] = text_of(l->conf->name);
	u->tail[UPGRADE_VRF] = text_of(c->vrf);
	u->tail[UPGRADE_TEXT] = text_of(l->text);
}

static uint32_t
flags_of(const struct proc *p)
{
	return (p->greeted ? UPGRADE_GREETED : 0) |
	    (p->was_ready ? UPGRADE_WAS_READY : 0) |
	    (p->suspected ? UPGRADE_SUSPECTED : 0) |
	    (p->outbox.blocked ? UPGRADE_BLOCKED : 0) |
	    (p->told ? UPGRADE_TOLD : 0) |
	    (p->killed ? UPGRADE_KILLED : 0) |
	    (p->bad_config ? UPGRADE_BAD_CONFIG : 0);
}

static uint32_t
board_index(const struct master *m, const struct seats *s)
{
	uint32_t n = 0;

	for (const struct seats *b = m->seats; b != NULL; b = b->next)
		if (b->board.fd != -1 && (n++, b == s))
			return n;
	return 0;
}

static void
worker_note(const struct proc *p, struct upgrade_worker *w)
{
	w->served = p->served;
	w->idle_since = p->idle_since;
	w->released = p->released;
	w->returns = p->returns;
	w->started = p->started;
	w->sign = p->sign;
	w->sum = p->sum;
	w->owes = p->owes;
	w->pinged = p->pinged;
	w->suspected_at = p->suspected_at;
	w->ping = p->ping;
	w->pid = (int32_t)p->pid;
	w->fd = p->channel.fd;
	w->number = p->number;
	w->generation = p->generation;
	w->sent = p->channel.sent;
	w->seen = p->channel.seen;
	w->features = p->channel.features;
	w->state = p->state;
	w->flags = flags_of(p);
	w->board = board_index(p->master, p->seats);
	w->column = p->column;
	/* what is not sent yet goes to others */
	w->users = p->seats != NULL ? proc_use(p) - p->out.n :
	    p->users - (p->users < p->out.n ? p->users : p->out.n);
	w->limit = p->limit;
	memcpy(w->nonce, p->nonce, sizeof(w->nonce));
	w->tail[UPGRADE_LENT] = (struct upgrade_bytes){ p->lent, p->nlent };
}

static uint32_t
listener_place(const struct listener *l)
{
	const struct listener *o = l->master->listeners;
	uint32_t n = 0;

	for (; o != NULL && o != l; o = o->next)
		n++;
	return o != NULL ? n : UINT32_MAX;
}

static void
hands_note(struct upgrade_state *s, const struct hand_queue *q,
    uint32_t worker)
{
	for (const struct hand *h = q->first; h != NULL; h = h->next) {
		struct upgrade_hand *u;

		/* what is of no use without the datagram itself is lost, as
		 * datagrams may be; one that was sent keeps its place, since
		 * the board counts */
		if (h->datagram != NULL && worker == 0)
			continue;
		u = &s->hands[s->nhands++];
		u->taken = h->taken;
		u->fd = h->fd;
		u->worker = worker;
		u->listener = listener_place(h->listener);
		u->tries = h->tries;
		u->moved = h->moved;
		u->generation = h->generation;
		u->record = h->record;
	}
}

static bool
is_there(const struct proc *p)
{
	return p->pid > 0 && p->state != PROC_DEAD;
}

static bool
lists_make(const struct master *m, struct upgrade_state *s)
{
	size_t workers = 1, hands = m->homeless.n + 1, listeners = 1;
	size_t boards = 1, keys = keys_note(m, NULL) + 1;

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer) {
		workers++;
		hands += p->out.n + p->kept.n;
	}
	for (const struct listener *l = m->listeners; l != NULL; l = l->next)
		listeners++;
	for (const struct seats *b = m->seats; b != NULL; b = b->next)
		boards++;
	s->workers = calloc(workers, sizeof(*s->workers));
	s->hands = calloc(hands, sizeof(*s->hands));
	s->listeners = calloc(listeners, sizeof(*s->listeners));
	s->boards = calloc(boards, sizeof(*s->boards));
	s->keys = calloc(keys, sizeof(*s->keys));
	s->passed = calloc(m->start->inherit.n + 1, sizeof(*s->passed));
	return s->passed != NULL && s->workers != NULL && s->hands != NULL &&
	    s->listeners != NULL && s->boards != NULL && s->keys != NULL;
}

/* Everything there is; NULL: no memory. */
static struct upgrade_state *
state_make(const struct master *m)
{
	struct upgrade_state *s = calloc(1, sizeof(*s));

	if (s == NULL || !lists_make(m, s)) {
		upgrade_state_free(s);
		return NULL;
	}
	service_note(m, &s->service);
	for (unsigned i = 0; i < m->start->inherit.n; i++) {
		const struct passed *p = &m->start->inherit.sockets[i];

		s->passed[s->npassed].fd = p->fd;
		s->passed[s->npassed++].tail[0] = text_of(p->name);
	}
	for (const struct listener *l = m->listeners; l != NULL; l = l->next)
		listener_note(l, &s->listeners[s->nlisteners++]);
	for (const struct seats *b = m->seats; b != NULL; b = b->next)
		if (b->board.fd != -1) {
			s->boards[s->nboards].fd = b->board.fd;
			s->boards[s->nboards++].size = b->board.size;
		}
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer) {
		if (!is_there(p))
			continue;
		worker_note(p, &s->workers[s->nworkers++]);
		hands_note(s, &p->kept, p->number);
	}
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		hands_note(s, &p->out, 0);
	hands_note(s, &m->homeless, 0);
	s->nkeys = keys_note(m, s->keys);
	return s;
}

static int
state_seal(const struct upgrade_state *s)
{
	size_t len;
	void *data = upgrade_state_pack(s, &len);
	int fd, saved;

	if (data == NULL)
		return -1;
	fd = seal_new("upgrade", data, len);
	saved = errno;
	cleanse(data, len);
	free(data);
	errno = saved;
	return fd;
}

/* ---- the exec ---- */

/* What the new program finds open. */
static void
fds_keep(const struct upgrade_state *s, int state, bool keep)
{
	size_t n = upgrade_state_fds(s, NULL, 0);
	int *fds = calloc(n > 0 ? n : 1, sizeof(*fds));

	net_cloexec(state, !keep);
	if (fds == NULL)
		return;		/* it will miss them, and not get ready */
	upgrade_state_fds(s, fds, n);
	for (size_t i = 0; i < n; i++)
		net_cloexec(fds[i], !keep);
	free(fds);
}

static void
signals_hold(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(held_signals) / sizeof(*held_signals);
	    i++)
		sigaddset(&set, held_signals[i]);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void
upgrade_signals(void)
{
	signals_hold(false);
}

static void
program_run(const struct start *s, int state)
{
	char var[sizeof(UPGRADE_ENV) + 16];
	size_t n = 0;
	char **env;

	snprintf(var, sizeof(var), UPGRADE_ENV "=%d", state);
	while (s->environ_base[n] != NULL)
		n++;
	if ((env = calloc(n + 2, sizeof(*env))) == NULL)
		return;
	memcpy(env, s->environ_base, n * sizeof(*env));
	environ_put(env, var);
	execve(s->image->path, s->argv, env);
	free(env);
}

/* The child's life. It returns only as the master. */
static void
standin_run(struct master *m, int socket, pid_t parent)
{
	bool killed = false;

	if (ev_forked(m->ev) == -1)
		_exit(EX_OSERR);
	title_set(ev_clock(m->ev), "%s: standing in for the upgrade of "
	    "process %ld", m->start->base, (long)parent);
	orphans_note(m);
	if (standin_wait(socket, parent, &killed) == STANDIN_ENDS) {
		/* from who is the service for the manager to who is it */
		notify_hand(parent);
		_exit(0);
	}
	close(socket);
	/* those that came meanwhile are for us now */
	signals_hold(false);
	standin_take(m, killed);
}

/*
 * Returns only in the stand-in that has taken over, or when nothing has
 * happened: *why.
 */
static bool
execute(struct master *m, struct upgrade_state *s, const char **why)
{
	pid_t parent = getpid(), child;
	int fds[2], state = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1) {
		*why = strerror(errno);
		return false;
	}
	net_cloexec(fds[0], true);
	net_cloexec(fds[1], true);
	hand_forks(m);
	signals_hold(true);
	if ((child = fork()) == 0) {
		close(fds[0]);
		standin_run(m, fds[1], parent);
		return true;
	}
	close(fds[1]);
	if (child != -1) {
		s->service.standin = fds[0];
		s->service.standin_pid = (int32_t)child;
		state = state_seal(s);
	}
	if (state != -1) {
		/* from here on it may be him, and again us when we serve */
		notify_mainpid(child);
		fds_keep(s, state, true);
		program_run(m->start, state);
		*why = strerror(errno);
		fds_keep(s, state, false);
		notify_mainpid(parent);
		close(state);
	} else
		*why = strerror(errno);
	/* tells the stand-in that it is not needed */
	if (child != -1 && write(fds[0], "", 1) != 1)
		(void)kill(child, SIGKILL);
	close(fds[0]);
	signals_hold(false);
	return false;
}

static void
upgrade_execute(struct master *m)
{
	struct upgrade_state *s = state_make(m);
	const char *why = "out of memory";
	char reason[PATH_MAX + 128];
	bool over;

	log_line("upgrade: executing %s", m->start->image->path);
	over = s != NULL && execute(m, s, &why);
	upgrade_state_free(s);
	if (over) {
		/* said already; what was asked for meanwhile begins */
		reload_finish(m);
	} else {
		snprintf(reason, sizeof(reason), "cannot execute %s: %s",
		    m->start->image->path, why);
		reload_fail(m, reason);
	}
	master_changed(m);
}

/* ---- settling ---- */

/* Somebody has been given something and did not say that he has it, or has
 * not been told what he must know. */
static bool
hands_full(const struct master *m)
{
	if (m->homeless.n > 0)
		return true;
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->out.n > 0 || p->kept.n > 0 ||
		    p->outbox.first != NULL)
			return true;
	return false;
}

static void
settle_cb(void *ctx)
{
	struct master *m = ctx;
	struct reload *r = m->reload;

	crew_refresh(m);
	hand_settle(m);
	hand_flush_all(m);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->seats != NULL && p->kept.n > 0)
			hand_release(p);
	if (hands_full(m) && ev_now(m->ev) - r->upgrade->began < SETTLE_MAX)
		ev_timer_set(m->ev, &r->timer, SETTLE, settle_cb, m);
	else
		upgrade_execute(m);
}

/* Nothing more is accepted by us: it waits in the queues of the sockets. */
static void
upgrade_settle(struct master *m)
{
	m->reload->state = RELOAD_SETTLING;
	m->reload->upgrade->began = ev_now(m->ev);
	m->holding = true;
	listeners_update(m);
	/* not from within the handler of SIGCHLD */
	ev_timer_set(m->ev, &m->reload->timer, 0, settle_cb, m);
}

bool
upgrade_reaped(struct master *m, pid_t pid, int wstatus)
{
	struct upgrade *u = m->reload != NULL ? m->reload->upgrade : NULL;
	const char *path = m->start->image->path;

	if (u == NULL || u->pid != pid)
		return false;
	u->pid = -1;
	if (u->report != -1)
		(void)report_read(u);
	line_log(u);
	report_close(m, u);
	if (u->lines > LINES_MAX)
		log_line("upgrade: %u more lines", u->lines - LINES_MAX);
	if (WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 0) {
		upgrade_settle(m);
		return true;
	}
	if (WIFSIGNALED(wstatus))
		log_err("reload: refused, %s -P: killed by signal %d (%s)",
		    path, WTERMSIG(wstatus), signal_name(WTERMSIG(wstatus)));
	else
		log_err("reload: refused, %s -P: status %d", path,
		    WEXITSTATUS(wstatus));
	reload_finish(m);
	return true;
}
