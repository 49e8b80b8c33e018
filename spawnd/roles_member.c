/*
 * One process of a role: started, told what is in force, watched, replaced.
 */
#include <sys/wait.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aide.h"
#include "config_msg.h"
#include "logs.h"
#include "reload.h"
#include "roles_impl.h"
#include "seats.h"
#include "start.h"
#include "words.h"

#define QUICK		(10 * EV_SECOND)	/* ended too soon */
#define DELAY_MIN	(100 * EV_MS)
#define DELAY_MAX	(10 * EV_SECOND)
#define PING_EVERY	(5 * EV_SECOND)
#define PING_WAIT	(10 * EV_SECOND)
#define KILL_AFTER	(2 * EV_SECOND)	/* SIGABRT, then SIGKILL */

static void	 member_lost(void *, int);
static void	 member_readable(void *, int);
static void	 member_writable(void *, int);

static const struct ev_ops member_ops = {
	.readable = member_readable, .writable = member_writable,
	.error = member_lost, .hangup = member_lost
};

/* ---- the list ---- */

struct member *
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

void
member_hang_up(struct member *b)
{
	outbox_clear(&b->outbox);
	if (b->channel.fd == -1)
		return;
	ev_close_shared(b->master->ev, b->channel.fd);
	b->channel.fd = -1;
}

void
member_free(struct member *b)
{
	struct member **link = &b->master->roles->members;

	while (*link != b)
		link = &(*link)->next;
	*link = b->next;
	member_hang_up(b);
	ev_timer_stop(b->master->ev, &b->timer);
	ev_timer_stop(b->master->ev, &b->kill);
	free(b);
}

struct member *
member_find(const struct master *m, unsigned role, uint32_t instance)
{
	struct member *b = m->roles->members;

	while (b != NULL && (b->role != role || b->instance != instance ||
	    b->surplus))
		b = b->next;
	return b;
}

uint32_t
members_count(const struct master *m, unsigned role)
{
	uint32_t n = 0;

	for (const struct member *b = m->roles->members; b != NULL;
	    b = b->next)
		n += b->role == role && !b->surplus;
	return n;
}
/* ---- what is in force ---- */

bool
member_configure(struct member *b, const struct loaded *conf,
    uint32_t generation)
{
	struct config_out out;

	config_pack(&out, b->master, conf, generation, !kind_of(b)->secrets);
	return member_send(b, CHANNEL_CONFIG, &out.head, sizeof(out.head),
	    out.tail, out.len, out.fds, out.nfds);
}

bool
member_board(struct member *b)
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

void
parent_greet(struct master *m, unsigned role, uint32_t instance)
{
	const struct parent_ops *ops = m->program->parent;

	if (ops != NULL && ops->greet != NULL && m->roles->parent != NULL)
		ops->greet(m->roles->parent, role, instance);
}

/* Everything a new one has to know. */
static bool
member_greet(struct member *b)
{
	struct master *m = b->master;
	const struct loaded *next = reload_preparing(m);
	const struct channel_hello hello = aide_hello(b->nonce,
	    m->generation, b->instance);

	if (!member_send(b, CHANNEL_HELLO, &hello, sizeof(hello), NULL, 0,
	    NULL, 0))
		return false;
	b->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
	b->board = 0;
	b->since = m->generation;
	logs_channel(&b->channel, &m->conf.conf->worker_common);
	if (!member_board(b) || !member_configure(b, &m->conf, m->generation))
		return false;
	if (kind_of(b)->keys && next != NULL &&
	    !member_configure(b, next, next->conf->generation))
		return false;
	member_verbose(b);
	if (kind_of(b)->keys)
		member_give(b);
	parent_greet(m, b->role, b->instance);
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
	member_hang_up(b);
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

static bool
member_got(void *ctx, struct channel_message *msg)
{
	struct member *b = ctx;

	if (msg->type != CHANNEL_PONG)
		log_debug(DEBUG_PACKET, "%s %ld: %s", kind_of(b)->title,
		    (long)b->pid, channel_forms[msg->type].name);
	b->pinged = 0;
	if (msg->type == CHANNEL_TELL)
		roles_route(b->master, b->role, b->instance, msg);
	else if (msg->type == CHANNEL_READY)
		got_ready(b, msg);
	return b->channel.fd != -1;
}

#define TURN	256		/* one does not hold up the others */

void
member_read(struct member *b)
{
	if (b->channel.fd != -1 && aide_read(&b->channel, TURN, member_got,
	    b) == CHANNEL_CLOSED)
		channel_lost(b);
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
	const struct master *m = b->master;

	(void)setsid();
	aide_run(m, fd, ROLE_ENV, b->nonce, m->conf.conf->source,
	    start_argv(m->start, kind_of(b)->title, b->instance));
}

static bool
member_fork(struct member *b)
{
	int theirs;

	b->pid = aide_fork(b->master, &b->channel, b->nonce, 0, &theirs);
	if (b->pid == 0)
		child_run(b, theirs);
	return b->pid != -1;
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

void
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

void
member_kill(struct member *b, int signo)
{
	if (b->pid <= 0)
		return;
	kill(b->pid, signo);
	if (signo != SIGKILL)
		ev_timer_set(b->master->ev, &b->kill, KILL_AFTER, kill_cb, b);
}

void
member_dismiss(struct member *b)
{
	ev_timer_stop(b->master->ev, &b->timer);
	if (b->pid <= 0)
		member_free(b);
	else if (!member_send(b, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL, 0))
		member_kill(b, SIGTERM);
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
	member_hang_up(b);
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

void
members_watch(struct master *m)
{
	ev_timer_set(m->ev, &m->roles->watch, PING_EVERY, watch_cb, m);
}
