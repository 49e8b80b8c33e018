/*
 * Roles from the master's side: started, told what is in force, watched,
 * replaced; and everything that roles, workers and the parent tell each
 * other, which goes through here.
 */
#include <sys/random.h>
#include <sys/wait.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "../misc/net.h"
#include "config_msg.h"
#include "environ.h"
#include "keys.h"
#include "logs.h"
#include "master.h"
#include "outbox.h"
#include "proc.h"
#include "reload.h"
#include "roles.h"
#include "seats.h"
#include "self.h"
#include "start.h"
#include "tell.h"
#include "words.h"

#define QUICK		(10 * EV_SECOND)	/* ended too soon */
#define DELAY_MIN	(100 * EV_MS)
#define DELAY_MAX	(10 * EV_SECOND)
#define AGAIN		(100 * EV_MS)	/* a full channel */
#define PING_EVERY	(5 * EV_SECOND)
#define PING_WAIT	(10 * EV_SECOND)
#define KILL_AFTER	(2 * EV_SECOND)	/* SIGABRT, then SIGKILL */
#define WAITING_MAX	((size_t)1 << 24)	/* bytes told, not read */
#define COMPLAINTS	(10 * EV_SECOND)

/* One process, or the place of one that is to be started. */
struct member {
	struct member	*next;
	struct master	*master;
	unsigned	 role;		/* ROLE_FIRST ... */
	uint32_t	 instance;
	pid_t		 pid;		/* -1: not running */
	struct channel	 channel;	/* fd -1: closed */
	struct outbox	 outbox;
	uint8_t		 nonce[8];
	uint64_t	 board;		/* number of the one it has; 0 */
	uint32_t	 since;		/* the first configuration it was told */
	bool		 surplus;	/* not needed any more */
	bool		 orphan;	/* not our child */
	uint64_t	 started, delay;
	uint64_t	 pinged;	/* when; no PONG yet; 0: none */
	struct ev_timer	 timer;		/* start, or give keys again */
	struct ev_timer	 kill;
};

/* Owned by the master. */
struct roles {
	struct member	*members;
	void		*parent;	/* the program's; NULL: not open */
	bool		 prepared;	/* the parent is, for a reload */
	bool		 spoken;	/* master_verbose was called */
	bool		 verbose;
	struct ev_timer	 watch;
	struct log_limit limit;
};

static void	 member_lost(void *, int);
static void	 member_readable(void *, int);
static void	 member_writable(void *, int);
static void	 member_kill(struct member *, int signo);
static void	 member_start(struct member *);

static const struct ev_ops member_ops = {
	.readable = member_readable, .writable = member_writable,
	.error = member_lost, .hangup = member_lost
};

static const struct program_role *
kind_of(const struct member *b)
{
	return &b->master->program->roles[b->role - ROLE_FIRST];
}

/* ---- the list ---- */

static struct member *
member_new(struct master *m, unsigned role, uint32_t instance)
{
	struct member *b = calloc(1, sizeof(*b)), **end;

	if (b == NULL) {
		log_err("%s: %s", m->program->roles[role - ROLE_FIRST].title,
		    strerror(errno));
		return NULL;
	}
	b->master = m;
	b->role = role;
	b->instance = instance;
	b->pid = -1;
	b->channel.fd = -1;
	outbox_init(&b->outbox, m->ev, &b->channel, NULL, NULL);
	for (end = &m->roles->members; *end != NULL; end = &(*end)->next)
		continue;
	*end = b;
	return b;
}

static void
channel_close(struct member *b)
{
	outbox_clear(&b->outbox);
	if (b->channel.fd == -1)
		return;
	ev_close_shared(b->master->ev, b->channel.fd);
	b->channel.fd = -1;
}

static void
member_free(struct member *b)
{
	struct member **link = &b->master->roles->members;

	while (*link != b)
		link = &(*link)->next;
	*link = b->next;
	channel_close(b);
	ev_timer_stop(b->master->ev, &b->timer);
	ev_timer_stop(b->master->ev, &b->kill);
	free(b);
}

static struct member *
member_find(const struct master *m, unsigned role, uint32_t instance)
{
	struct member *b = m->roles->members;

	while (b != NULL && (b->role != role || b->instance != instance ||
	    b->surplus))
		b = b->next;
	return b;
}

static uint32_t
members_count(const struct master *m, unsigned role)
{
	uint32_t n = 0;

	for (const struct member *b = m->roles->members; b != NULL;
	    b = b->next)
		n += b->role == role && !b->surplus;
	return n;
}

/* ---- telling ---- */

static bool
member_send(struct member *b, enum channel_type type, const void *a,
    size_t alen, const void *data, size_t len, const int *fds, unsigned nfds)
{
	if (b->channel.fd == -1)
		return false;
	if (type != CHANNEL_PING)
		log_debug(DEBUG_PACKET, "%s %ld: sending %s",
		    kind_of(b)->title, (long)b->pid,
		    channel_forms[type].name);
	return outbox_send(&b->outbox, type, a, alen, data, len, fds, nfds);
}

static void
complain(struct master *m, const char *what, unsigned role,
    uint32_t instance)
{
	unsigned held = 0;

	if (log_allow(&m->roles->limit, ev_now(m->ev), COMPLAINTS, 5, &held))
		log_warn("%s %u.%" PRIu32 " (%u held back)", what, role,
		    instance, held);
}

static bool
may_be_told(const struct proc *p)
{
	return proc_open(p) && p->pid > 0 &&
	    p->channel.features & FEATURE_CONFIG;
}

/* To workers that there are. false: to none. */
static bool
route_workers(struct master *m, uint32_t instance,
    const struct channel_tell *head, const struct tell *t)
{
	bool any = false;

	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		if ((instance != ROLE_ALL && p->number != instance) ||
		    !may_be_told(p))
			continue;
		any = true;
		if (p->outbox.size > WAITING_MAX)
			complain(m, "told too much, and reads nothing: "
			    "process", ROLE_WORKER, p->number);
		else
			(void)proc_send(p, CHANNEL_TELL, head, sizeof(*head),
			    t->data, t->len, &t->fd, t->fd != -1);
	}
	return any;
}

static bool
route_members(struct master *m, unsigned role, uint32_t instance,
    const struct channel_tell *head, const struct tell *t)
{
	bool any = false;

	for (struct member *b = m->roles->members; b != NULL; b = b->next) {
		if (b->role != role || b->channel.fd == -1 ||
		    (instance != ROLE_ALL && b->instance != instance))
			continue;
		any = true;
		if (b->outbox.size > WAITING_MAX)
			complain(m, "told too much, and reads nothing: "
			    "process", b->role, b->instance);
		else
			(void)member_send(b, CHANNEL_TELL, head,
			    sizeof(*head), t->data, t->len, &t->fd,
			    t->fd != -1);
	}
	return any;
}

/* t says to whom; who says so the caller knows. */
static void
route(struct master *m, unsigned from, uint32_t instance, struct tell *t)
{
	const struct channel_tell head = { .role = from,
	    .instance = instance, .type = t->type };
	const struct program *program = m->program;
	unsigned to = t->role;
	uint32_t whom = t->instance;
	bool known;

	if (to == ROLE_PARENT) {
		known = program->parent != NULL && m->roles->parent != NULL &&
		    from != ROLE_PARENT;
		t->role = from;
		t->instance = instance;
		if (known)
			program->parent->tell(m->roles->parent, t);
	} else if (to == ROLE_WORKER) {
		known = route_workers(m, whom, &head, t) || whom == ROLE_ALL;
	} else {
		known = to - ROLE_FIRST < program->nroles &&
		    (route_members(m, to, whom, &head, t) ||
		    whom == ROLE_ALL || member_find(m, to, whom) != NULL);
	}
	if (!known)
		complain(m, "told something to a process that is not there:",
		    to, whom);
}

/* What came over a channel. */
static void
told(struct master *m, unsigned from, uint32_t instance,
    struct channel_message *msg)
{
	struct tell t;

	tell_read(&t, msg);
	if (t.type != 0)
		route(m, from, instance, &t);
	tell_done(&t, msg);
}

void
roles_told(struct proc *p, struct channel_message *msg)
{
	if (p->master->roles != NULL)
		told(p->master, ROLE_WORKER, p->number, msg);
}

void
master_tell(struct master *m, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	struct tell t = { .role = role, .instance = instance, .type = type,
	    .data = data, .len = len, .fd = fd };

	assert(type != 0 && len <= ROLE_DATA);
	route(m, ROLE_PARENT, 0, &t);
}

static const struct channel_tell verbose_head;

static struct channel_verbose
verbose_say(const struct master *m)
{
	return (struct channel_verbose){ m->roles->verbose };
}

void
roles_verbose(struct master *m)
{
	struct channel_verbose v = verbose_say(m);
	const struct tell t = { .data = &v, .len = sizeof(v), .fd = -1 };

	(void)route_workers(m, ROLE_ALL, &verbose_head, &t);
	for (unsigned i = 0; i < m->program->nroles; i++)
		(void)route_members(m, ROLE_FIRST + i, ROLE_ALL,
		    &verbose_head, &t);
}

void
master_verbose(struct master *m, bool on)
{
	m->roles->spoken = true;
	m->roles->verbose = on;
	log_verbose(on);
	roles_verbose(m);
}

/* ---- keys ---- */

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
give_cb(void *ctx)
{
	struct member *b = ctx;
	struct master *m = b->master;
	uint32_t n = members_count(m, b->role);
	bool all = true;

	if (b->channel.fd == -1 || n == 0)
		return;
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (may_be_told(p) && p->number % n == b->instance)
			all &= all_give(b, p);
	if (!all)	/* to have two of them does no harm */
		ev_timer_set(m->ev, &b->timer, AGAIN, give_cb, b);
}

/* ---- what is in force ---- */

static bool
configure(struct member *b, const struct loaded *conf, uint32_t generation)
{
	struct config_out out;

	config_pack(&out, b->master, conf, generation, !kind_of(b)->secrets);
	return member_send(b, CHANNEL_CONFIG, &out.head, sizeof(out.head),
	    out.tail, out.len, out.fds, out.nfds);
}

/* The newest board, if it has another one. */
static bool
board_send(struct member *b)
{
	const struct seats *s = b->master->seats;
	struct channel_board msg = { .column = 0 };

	if (s == NULL || s->board.fd == -1)
		return false;
	if (b->board == s->serial)
		return true;
	b->board = s->serial;
	msg.columns = s->columns;
	msg.size = s->board.size;
	return member_send(b, CHANNEL_BOARD, &msg, sizeof(msg), NULL, 0,
	    &s->board.fd, 1);
}

static void
greet(struct master *m, unsigned role, uint32_t instance)
{
	const struct parent_ops *ops = m->program->parent;

	if (ops != NULL && ops->greet != NULL && m->roles->parent != NULL)
		ops->greet(m->roles->parent, role, instance);
}

void
roles_greet(struct proc *p)
{
	struct master *m = p->master;
	struct channel_verbose v;

	if (m->roles == NULL)
		return;
	v = verbose_say(m);
	if (m->roles->spoken)
		(void)proc_send(p, CHANNEL_TELL, &verbose_head,
		    sizeof(verbose_head), &v, sizeof(v), NULL, 0);
	greet(m, ROLE_WORKER, p->number);
}

/* Everything a new one has to know. */
static bool
member_greet(struct member *b)
{
	struct master *m = b->master;
	const struct loaded *next = reload_preparing(m);
	struct channel_hello hello = { .generation = m->generation,
	    .worker = b->instance };
	struct channel_verbose v = verbose_say(m);

	memcpy(hello.nonce, b->nonce, sizeof(hello.nonce));
	memcpy(hello.build, channel_build, sizeof(hello.build));
	if (!member_send(b, CHANNEL_HELLO, &hello, sizeof(hello), NULL, 0,
	    NULL, 0))
		return false;
	b->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
	b->board = 0;
	b->since = m->generation;
	logs_channel(&b->channel, &m->conf.conf->worker_common);
	if (!board_send(b) || !configure(b, &m->conf, m->generation))
		return false;
	if (kind_of(b)->keys && next != NULL &&
	    !configure(b, next, next->conf->generation))
		return false;
	if (m->roles->spoken)
		(void)member_send(b, CHANNEL_TELL, &verbose_head,
		    sizeof(verbose_head), &v, sizeof(v), NULL, 0);
	if (kind_of(b)->keys)
		give_cb(b);
	greet(m, b->role, b->instance);
	return true;
}

/* ---- what they say ---- */

static void
orphan_cb(void *ctx)
{
	struct member *b = ctx;

	(void)roles_reaped(b->master, b->pid, 0);
}

/* Of a child we learn in another way. */
static void
channel_lost(struct member *b)
{
	channel_close(b);
	if (b->orphan)
		ev_timer_set(b->master->ev, &b->timer, 0, orphan_cb, b);
}

static void
got_ready(struct member *b, const struct channel_message *msg)
{
	const struct loaded *conf;
	struct channel_ready ready;

	if (msg->len < sizeof(ready))
		return;
	memcpy(&ready, msg->payload, sizeof(ready));
	conf = reload_conf(b->master, ready.generation);
	if (memcmp(ready.nonce, b->nonce, sizeof(b->nonce)) == 0 &&
	    (conf == NULL || memcmp(ready.digest, conf->conf->digest,
	    sizeof(ready.digest)) == 0))
		return;
	log_warn("%s %ld understands the configuration differently",
	    kind_of(b)->title, (long)b->pid);
	member_kill(b, SIGKILL);
}

static void
member_got(struct member *b, struct channel_message *msg)
{
	if (msg->type != CHANNEL_PONG)
		log_debug(DEBUG_PACKET, "%s %ld: %s", kind_of(b)->title,
		    (long)b->pid, channel_forms[msg->type].name);
	b->pinged = 0;
	if (msg->type == CHANNEL_TELL)
		told(b->master, b->role, b->instance, msg);
	else if (msg->type == CHANNEL_READY)
		got_ready(b, msg);
	for (unsigned i = 0; i < msg->nfds; i++)
		if (msg->fds[i] != -1)
			close(msg->fds[i]);
}

#define TURN	256		/* one does not hold up the others */

static void
member_read(struct member *b)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message msg;

	for (int i = 0; i < TURN && b->channel.fd != -1; i++) {
		switch (channel_recv(&b->channel, buf, &msg)) {
		case CHANNEL_NOTHING:
			return;
		case CHANNEL_CLOSED:
			channel_lost(b);
			return;
		case CHANNEL_IGNORED:
			break;
		case CHANNEL_GOT:
			member_got(b, &msg);
			break;
		}
	}
}

static void
member_readable(void *ctx, int fd)
{
	(void)fd;
	member_read(ctx);
}

static void
member_writable(void *ctx, int fd)
{
	struct member *b = ctx;

	(void)fd;
	outbox_flush(&b->outbox);
}

static void
member_lost(void *ctx, int fd)
{
	struct member *b = ctx;

	(void)fd;
	member_read(b);
	channel_lost(b);
}

/* ---- their lives ---- */

static _Noreturn void
child_run(const struct member *b, int fd)
{
	static char var[sizeof(ROLE_ENV "=") + CHANNEL_ENV_MAX] =
	    ROLE_ENV "=";
	const struct start *start = b->master->start;
	const char *path = self_image(start->image, start->self);
	char **env = environ_merge(start->environ_base,
	    b->master->conf.conf->source);
	char **argv = start_argv(start, kind_of(b)->title, b->instance);

	if (env == NULL || argv == NULL)
		_exit(EX_OSERR);
	channel_env_print(var + strlen(var), b->nonce);
	environ_put(env, var);
	ev_signal_reset();
	(void)setsid();
	if (fd == 0 ? fcntl(0, F_SETFD, 0) == -1 : dup2(fd, 0) == -1)
		_exit(EX_OSERR);
	execve(path, argv, env);
	log_err("cannot execute %s: %s", path, strerror(errno));
	_exit(EX_OSERR);
}

static bool
member_fork(struct member *b)
{
	int fds[2];

	if (getentropy(b->nonce, sizeof(b->nonce)) == -1 ||
	    msg_pair(fds, 0) == -1)
		return false;
	hand_forks(b->master);
	b->pid = fork();
	if (b->pid == 0)
		child_run(b, fds[1]);
	close(fds[1]);
	if (b->pid == -1) {
		net_close(fds[0]);
		return false;
	}
	b->channel = (struct channel){ .fd = fds[0], .master = true };
	return true;
}

static void
start_cb(void *ctx)
{
	member_start(ctx);
}

/* At once, but not again and again. */
static void
start_again(struct member *b, uint64_t lived)
{
	uint64_t wait = lived >= QUICK ? 0 : b->delay;

	if (lived >= QUICK)
		b->delay = 0;
	else
		b->delay = b->delay == 0 ? DELAY_MIN : b->delay * 2 <
		    DELAY_MAX ? b->delay * 2 : DELAY_MAX;
	ev_timer_set(b->master->ev, &b->timer, wait, start_cb, b);
}

static void
member_start(struct member *b)
{
	struct master *m = b->master;
	const char *title = kind_of(b)->title;

	if (m->ending)
		return;
	if (!member_fork(b)) {
		log_err("cannot start %s: %s", title, strerror(errno));
		start_again(b, 0);
		return;
	}
	b->started = ev_clock(m->ev);
	b->pinged = 0;
	b->orphan = false;
	log_debug(DEBUG_PROC, "%s %" PRIu32 " started, process %ld", title,
	    b->instance, (long)b->pid);
	if (ev_add(m->ev, b->channel.fd, &member_ops, b, EV_READ) == -1 ||
	    !member_greet(b)) {
		log_err("cannot talk to %s %ld: %s", title, (long)b->pid,
		    strerror(errno));
		kill(b->pid, SIGKILL);
	}
}

static void
kill_cb(void *ctx)
{
	struct member *b = ctx;

	if (b->pid > 0)
		kill(b->pid, SIGKILL);
}

static void
member_kill(struct member *b, int signo)
{
	if (b->pid <= 0)
		return;
	kill(b->pid, signo);
	if (signo != SIGKILL)
		ev_timer_set(b->master->ev, &b->kill, KILL_AFTER, kill_cb, b);
}

static void
member_dismiss(struct member *b)
{
	ev_timer_stop(b->master->ev, &b->timer);
	if (b->pid <= 0)
		member_free(b);
	else if (!member_send(b, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL, 0))
		member_kill(b, SIGTERM);
}

static uint32_t
wanted(const struct master *m, unsigned i)
{
	const struct program_role *r = &m->program->roles[i];

	return r->instances != NULL ? r->instances(m->conf.conf) : 1;
}

/* Other workers are theirs now. */
static void
members_give(struct master *m, unsigned role)
{
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->role == role && !b->surplus)
			give_cb(b);
}

/* As many as the configuration in force says. Who goes is not asked any more
 * by then. */
static void
members_adjust(struct master *m, unsigned i)
{
	unsigned role = ROLE_FIRST + i;
	uint32_t n = wanted(m, i), there = members_count(m, role);
	struct member *b, *next;

	if (n == there)
		return;
	for (b = m->roles->members; b != NULL; b = b->next)
		b->surplus |= b->role == role && b->instance >= n;
	for (; there < n; there++)
		if ((b = member_new(m, role, there)) != NULL)
			member_start(b);
	if (m->program->roles[i].keys)
		members_give(m, role);
	for (b = m->roles->members; b != NULL; b = next) {
		next = b->next;
		if (b->role == role && b->surplus)
			member_dismiss(b);
	}
}

bool
roles_reaped(struct master *m, pid_t pid, int wstatus)
{
	const struct parent_ops *ops = m->program->parent;
	struct member *b;
	uint64_t lived;

	if (m->roles == NULL)
		return false;
	for (b = m->roles->members; b != NULL && b->pid != pid; b = b->next)
		continue;
	if (b == NULL)
		return ops != NULL && ops->reaped != NULL &&
		    m->roles->parent != NULL &&
		    ops->reaped(m->roles->parent, pid, wstatus);
	if (b->channel.fd != -1)
		member_read(b);		/* what it said last */
	b->pid = -1;
	channel_close(b);
	ev_timer_stop(m->ev, &b->timer);
	ev_timer_stop(m->ev, &b->kill);
	if (m->ending || b->surplus) {
		member_free(b);
		return true;
	}
	if (!b->orphan)
		words_lost(kind_of(b)->title, pid, wstatus);
	lived = ev_clock(m->ev) - b->started;
	start_again(b, lived);
	return true;
}

/* ---- signs of life ---- */

static void
watch_cb(void *ctx)
{
	struct channel_ping ping = { .number = { 0 } };
	struct master *m = ctx;
	uint64_t now = ev_now(m->ev);

	for (struct member *b = m->roles->members; b != NULL; b = b->next) {
		if (b->pinged != 0)
			member_read(b);		/* we may be the late ones */
		if (b->channel.fd == -1)
			continue;
		if (b->pinged != 0 && now >= b->pinged + PING_WAIT) {
			log_warn("%s %ld killed, no sign of life",
			    kind_of(b)->title, (long)b->pid);
			member_kill(b, SIGABRT);
			b->pinged = 0;
		} else if (b->pinged == 0) {
			b->pinged = now;
			(void)member_send(b, CHANNEL_PING, &ping,
			    sizeof(ping), NULL, 0, NULL, 0);
		}
	}
	ev_timer_set(m->ev, &m->roles->watch, PING_EVERY, watch_cb, m);
}

/* ---- the master's calls ---- */

static bool
parent_prepare(struct master *m, struct compiled *c, char *error,
    size_t size)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles->parent == NULL || ops->prepare == NULL)
		return true;
	if (ops->prepare(m->roles->parent, c, error, size) == 0) {
		m->roles->prepared = true;
		return true;
	}
	if (ops->forget != NULL)
		ops->forget(m->roles->parent);
	return false;
}

static void
parent_commit(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles->prepared && ops->commit != NULL)
		ops->commit(m->roles->parent);
	m->roles->prepared = false;
}

int
roles_open(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;
	char error[512] = "";

	if (m->program->nroles == 0 && ops == NULL)
		return 0;
	if ((m->roles = calloc(1, sizeof(*m->roles))) == NULL) {
		start_err("cannot start: %s", strerror(errno));
		return -1;
	}
	if (ops == NULL)
		return 0;
	if ((m->roles->parent = ops->open(m, m->ev)) == NULL)
		return -1;
	if (!parent_prepare(m, m->conf.conf, error, sizeof(error))) {
		start_err("%s", error);
		return -1;
	}
	return 0;
}

void
roles_opened(struct master *m)
{
	if (m->roles != NULL && m->roles->parent != NULL)
		parent_commit(m);
}

void
roles_start(struct master *m)
{
	if (m->roles == NULL || m->roles->members != NULL ||
	    m->seats == NULL)
		return;
	for (unsigned i = 0; i < m->program->nroles; i++)
		members_adjust(m, i);
	ev_timer_set(m->ev, &m->roles->watch, PING_EVERY, watch_cb, m);
}

bool
roles_prepare(struct master *m, struct loaded *conf, uint32_t generation,
    char *error, size_t size)
{
	if (m->roles == NULL)
		return true;
	if (!parent_prepare(m, conf->conf, error, size))
		return false;
	roles_start(m);
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (kind_of(b)->keys && !b->surplus && board_send(b))
			(void)configure(b, conf, generation);
	return true;
}

/* Somebody still writes on the former board. */
static bool
lagging(const struct master *m)
{
	for (const struct member *b = m->roles->members; b != NULL;
	    b = b->next)
		if (b->board != 0 && b->board != m->seats->serial)
			return true;
	return false;
}

void
roles_commit(struct master *m)
{
	if (m->roles == NULL)
		return;
	parent_commit(m);
	roles_start(m);
	if (m->seats != NULL && m->seats->next != NULL && lagging(m))
		board_repeat(&m->seats->board, &m->seats->next->board);
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (!kind_of(b)->keys && !b->surplus && board_send(b))
			(void)configure(b, &m->conf, m->generation);
	for (unsigned i = 0; i < m->program->nroles; i++)
		members_adjust(m, i);
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

void
roles_forget(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles == NULL)
		return;
	if (m->roles->prepared && ops->forget != NULL)
		ops->forget(m->roles->parent);
	m->roles->prepared = false;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (kind_of(b)->keys && !b->surplus)
			(void)configure(b, &m->conf, m->generation);
}

void
roles_repeat(struct master *m)
{
	if (m->roles == NULL || m->seats == NULL || m->seats->next == NULL)
		return;
	if (lagging(m))
		board_repeat(&m->seats->board, &m->seats->next->board);
	else
		for (struct seats *s = m->seats->next; s != NULL; s = s->next)
			board_repeat(&s->board, &m->seats->board);
	if (m->reload != NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->channel.fd != -1 && !b->surplus && b->board != 0 &&
		    b->board != m->seats->serial && board_send(b))
			(void)configure(b, &m->conf, m->generation);
}

void
roles_logfiles(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->channel.fd != -1)
			logs_channel(&b->channel,
			    &m->conf.conf->worker_common);
}

void
roles_orphaned(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		b->orphan = b->pid > 0;
}

/* ---- the end ---- */

void
roles_end(struct master *m)
{
	if (m->roles == NULL)
		return;
	ev_timer_stop(m->ev, &m->roles->watch);
	for (struct member *b = m->roles->members, *next; b != NULL;
	    b = next) {
		next = b->next;
		ev_timer_stop(m->ev, &b->timer);
		channel_close(b);
		if (b->pid <= 0 || b->orphan)
			member_free(b);
	}
}

bool
roles_left(const struct master *m)
{
	return m->roles != NULL && m->roles->members != NULL;
}

void
roles_kill(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->pid > 0)
			kill(b->pid, SIGKILL);
}

void
roles_clear(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles == NULL)
		return;
	if (m->roles->parent != NULL && ops->close != NULL)
		ops->close(m->roles->parent);
	ev_timer_stop(m->ev, &m->roles->watch);
	while (m->roles->members != NULL)
		member_free(m->roles->members);
	free(m->roles);
	m->roles = NULL;
}
