/*
 * Key processes from the master's side. They cannot be missed for long:
 * handshakes wait for them. So one that dies is followed by the next at once,
 * and workers ask that one what was not answered.
 */
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "aide.h"
#include "config_msg.h"
#include "keys.h"
#include "logs.h"
#include "master.h"
#include "own.h"
#include "proc.h"
#include "roles.h"
#include "upgrade_state.h"

#define QUICK		(100 * EV_MS)	/* ended too soon to try at once */
#define DELAY_MIN	(100 * EV_MS)
#define DELAY_MAX	(10 * EV_SECOND)
#define AGAIN		(100 * EV_MS)	/* a full channel */
#define PING_EVERY	(5 * EV_SECOND)
#define PING_WAIT	(10 * EV_SECOND)

/* Owned by the master, on its list until it has ended for good. */
struct keys {
	struct keys	*next;
	struct master	*master;
	uint32_t	 generation;
	struct compiled	*conf;		/* a reference; NULL: its program
					   is not ours, it cannot start again */
	int		 bundle, secrets;	/* our copies */
	bool		 over;		/* no more workers will come */
	bool		 failed;	/* its configuration was never used */
	bool		 orphan;	/* not our child */
	pid_t		 pid;		/* -1: not running */
	struct channel	 channel;	/* fd -1: closed */
	uint8_t		 nonce[8];
	uint64_t	 started, delay;
	uint64_t	 pinged;	/* when; no PONG yet; 0: none */
	uint64_t	 asked;		/* last PING */
	struct ev_timer	 timer;		/* start, or give again */
};

static void	 keys_lost(void *, int);
static void	 keys_readable(void *, int);
static void	 keys_start(struct keys *);

static const struct ev_ops keys_ops = {
	.readable = keys_readable, .error = keys_lost, .hangup = keys_lost
};

/* A role that has them, whatever the configuration says. */
static bool
keys_role(const struct program *program)
{
	for (unsigned i = 0; i < program->nroles; i++)
		if (program->roles[i].secrets)
			return true;
	return false;
}

bool
keys_elsewhere(const struct program *program, const struct compiled *c)
{
	return keys_role(program) || (program->keys_apart != NULL &&
	    program->keys_apart(c));
}

bool
keys_apart(const struct master *m, const struct compiled *c)
{
	return m->single == NULL && keys_elsewhere(m->program, c);
}

/* ---- the list ---- */

static struct keys *
keys_find(const struct master *m, uint32_t generation)
{
	struct keys *k = m->keys;

	/* the number of one that has failed is given again */
	while (k != NULL && (k->generation != generation || k->failed))
		k = k->next;
	return k;
}

static void
channel_close(struct keys *k)
{
	if (k->channel.fd == -1)
		return;
	ev_close(k->master->ev, k->channel.fd);
	k->channel.fd = -1;
}

static void
keys_free(struct keys *k)
{
	struct keys **link = &k->master->keys;

	while (*link != k)
		link = &(*link)->next;
	*link = k->next;
	channel_close(k);
	ev_timer_stop(k->master->ev, &k->timer);
	if (k->conf != NULL)
		compiled_unref(k->conf);
	if (k->bundle != -1)
		close(k->bundle);
	if (k->secrets != -1)
		close(k->secrets);
	free(k);
}

static struct keys *
keys_new(struct master *m, const struct loaded *conf, uint32_t generation)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->bundle = fcntl(conf->bundle, F_DUPFD_CLOEXEC, 0);
	k->secrets = conf->secrets == -1 ? -1 :
	    fcntl(conf->secrets, F_DUPFD_CLOEXEC, 0);
	if (k->bundle == -1 || (k->secrets == -1 && conf->secrets != -1)) {
		if (k->bundle != -1)
			close(k->bundle);
		free(k);
		return NULL;
	}
	k->master = m;
	k->generation = generation;
	k->conf = compiled_ref(conf->conf);
	k->pid = -1;
	k->channel.fd = -1;
	k->channel.master = true;
	k->next = m->keys;
	m->keys = k;
	return k;
}

/* ---- the child's side ---- */

/* It becomes whoever workers are by itself: until then nobody of theirs can
 * look at it. */
static _Noreturn void
child_run(const struct keys *k, int fd)
{
	const struct start *start = k->master->start;
	char *argv[3] = { start->argv[0], NULL, NULL };

	if (start->stderr_copy)
		argv[1] = (char *)(uintptr_t)"-D";
	aide_run(k->master, fd, KEYS_ENV, k->nonce, k->conf->source, argv);
}

/* ---- talking to it ---- */

static bool
keys_send(struct keys *k, enum channel_type type, const void *a, size_t alen,
    const void *b, size_t blen, const int *fds, unsigned nfds)
{
	return k->channel.fd != -1 && channel_send(&k->channel, type, a,
	    alen, b, blen, fds, nfds) == 0;
}

static bool
send_configuration(struct keys *k)
{
	const struct channel_hello hello = aide_hello(k->nonce,
	    k->generation, 0);
	const struct loaded conf = { .conf = k->conf, .bundle = k->bundle,
	    .secrets = k->secrets, .shared = -1 };
	struct config_out out;

	config_pack(&out, k->master, &conf, k->generation, false);
	if (!keys_send(k, CHANNEL_HELLO, &hello, sizeof(hello), NULL, 0,
	    NULL, 0))
		return false;
	k->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
	logs_channel(&k->channel, &k->conf->worker_common);
	return keys_send(k, CHANNEL_CONFIG, &out.head, sizeof(out.head),
	    out.tail, out.len, out.fds, out.nfds);
}

/* A worker and the key process get an end each. */
static bool
pair_give(struct keys *k, struct proc *p)
{
	struct channel_generation msg = { k->generation };
	bool given;
	int fds[2];

	if (msg_pair(fds, 0) == -1)
		return false;
	given = keys_send(k, CHANNEL_KEYS, &msg, sizeof(msg), NULL, 0,
	    &fds[0], 1) && proc_send(p, CHANNEL_KEYS, &msg, sizeof(msg),
	    NULL, 0, &fds[1], 1);
	close(fds[0]);
	close(fds[1]);
	return given;
}

static bool
may_want(const struct proc *p)
{
	return proc_open(p) && p->pid > 0 &&
	    p->channel.features & FEATURE_CONFIG;
}

static void
give_cb(void *ctx)
{
	struct keys *k = ctx;
	bool all = true;

	if (k->channel.fd == -1)
		return;
	for (struct proc *p = k->master->oldest; p != NULL; p = p->newer)
		if (may_want(p) && !pair_give(k, p) && proc_open(p))
			all = false;
	if (!all)	/* to have two of them does no harm */
		ev_timer_set(k->master->ev, &k->timer, AGAIN, give_cb, k);
	else if (k->over)
		(void)keys_send(k, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL,
		    0);
}

static void
orphan_cb(void *ctx)
{
	struct keys *k = ctx;

	(void)keys_reaped(k->master, k->pid, 0);
}

/* Of a child we learn in another way. */
static void
channel_lost(struct keys *k)
{
	channel_close(k);
	if (k->orphan)
		ev_timer_set(k->master->ev, &k->timer, 0, orphan_cb, k);
}

/* Whatever it says, it is alive. */
static bool
keys_got(void *ctx, struct channel_message *msg)
{
	struct keys *k = ctx;

	(void)msg;
	k->pinged = 0;
	return true;
}

static void
keys_read(struct keys *k)
{
	if (k->channel.fd != -1 && aide_read(&k->channel, INT_MAX, keys_got,
	    k) == CHANNEL_CLOSED)
		channel_lost(k);
}

static void
keys_readable(void *ctx, int fd)
{
	(void)fd;
	keys_read(ctx);
}

static void
keys_lost(void *ctx, int fd)
{
	struct keys *k = ctx;

	(void)fd;
	keys_read(k);
	channel_lost(k);
}

/* ---- its life ---- */

static bool
keys_fork(struct keys *k)
{
	int theirs;

	k->pid = aide_fork(k->master, &k->channel, k->nonce,
	    (int)k->conf->broker.bufsize, &theirs);
	if (k->pid == 0)
		child_run(k, theirs);
	return k->pid != -1;
}

static void
start_cb(void *ctx)
{
	keys_start(ctx);
}

static void
start_later(struct keys *k)
{
	k->delay = k->delay == 0 ? DELAY_MIN : k->delay * 2 < DELAY_MAX ?
	    k->delay * 2 : DELAY_MAX;
	ev_timer_set(k->master->ev, &k->timer, k->delay, start_cb, k);
}

static void
keys_start(struct keys *k)
{
	struct master *m = k->master;

	if (!keys_fork(k)) {
		log_err("cannot start the key process: %s", strerror(errno));
		start_later(k);
		return;
	}
	k->started = ev_clock(m->ev);
	k->pinged = k->asked = 0;
	log_debug(DEBUG_PROC, "key process %ld started for generation %"
	    PRIu32, (long)k->pid, k->generation);
	if (ev_add(m->ev, k->channel.fd, &keys_ops, k, EV_READ) == -1 ||
	    !send_configuration(k)) {
		log_err("cannot talk to key process %ld: %s", (long)k->pid,
		    strerror(errno));
		kill(k->pid, SIGKILL);
		return;
	}
	give_cb(k);
}

bool
keys_give(struct proc *p, const struct loaded *conf, uint32_t generation)
{
	struct master *m = p->master;
	struct keys *k;

	if (!keys_apart(m, conf->conf) ||
	    !(p->channel.features & FEATURE_CONFIG))
		return true;
	if (keys_role(m->program))
		return roles_keys(p, generation);
	k = keys_find(m, generation);
	if (k == NULL) {
		if ((k = keys_new(m, conf, generation)) == NULL)
			return false;
		keys_start(k);		/* it is given to everybody */
		return true;
	}
	/* one that is not there now comes to everybody when it is */
	return k->channel.fd == -1 || pair_give(k, p);
}

void
keys_over(struct master *m, uint32_t generation, bool failed)
{
	struct keys *k = keys_find(m, generation);

	if (k == NULL)
		return;
	k->over = true;
	k->failed = failed;
	if (k->pid == -1 && failed)
		keys_free(k);
	else
		(void)keys_send(k, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL,
		    0);
}

/* Is there a worker that may have it? */
static bool
keys_wanted(const struct keys *k)
{
	if (k->failed || k->conf == NULL)
		return false;
	for (const struct proc *p = k->master->oldest; p != NULL;
	    p = p->newer)
		if (may_want(p))
			return true;
	return !k->over;
}

static void
log_ended(pid_t pid, int wstatus)
{
	if (WIFSIGNALED(wstatus))
		log_warn("key process ended: process %ld, killed by signal "
		    "%d (%s)", (long)pid, WTERMSIG(wstatus),
		    signal_name(WTERMSIG(wstatus)));
	else
		log_warn("key process ended: process %ld, status %d",
		    (long)pid, WEXITSTATUS(wstatus));
}

bool
keys_reaped(struct master *m, pid_t pid, int wstatus)
{
	struct keys *k = m->keys;
	uint64_t lived;

	while (k != NULL && k->pid != pid)
		k = k->next;
	if (k == NULL)
		return false;
	k->pid = -1;
	channel_close(k);
	ev_timer_stop(m->ev, &k->timer);
	if (k->over && !k->orphan && WIFEXITED(wstatus) &&
	    WEXITSTATUS(wstatus) == 0) {
		log_debug(DEBUG_PROC, "key process %ld is not needed any "
		    "more", (long)pid);
		keys_free(k);
		return true;
	}
	log_ended(pid, wstatus);
	lived = ev_clock(m->ev) - k->started;
	if (!keys_wanted(k))
		keys_free(k);
	else if (lived < QUICK || WIFEXITED(wstatus))
		start_later(k);
	else {
		k->delay = 0;
		keys_start(k);
	}
	return true;
}

bool
keys_owe(const struct master *m, uint64_t since)
{
	for (const struct keys *k = m->keys; k != NULL; k = k->next)
		if (k->channel.fd != -1 &&
		    (k->pinged != 0 || k->asked < since))
			return true;
	return false;
}

void
keys_watch(struct master *m, uint64_t now)
{
	struct channel_ping ping = { .number = { 0 } };

	for (struct keys *k = m->keys; k != NULL; k = k->next) {
		if (k->channel.fd == -1)
			continue;
		if (k->pinged != 0 && now >= k->pinged + PING_WAIT) {
			log_warn("key process %ld shows no sign of life, "
			    "killed", (long)k->pid);
			kill(k->pid, SIGKILL);
			k->pinged = 0;
		} else if (now >= k->asked + PING_EVERY) {
			k->asked = now;
			if (k->pinged == 0)
				k->pinged = now;
			(void)keys_send(k, CHANNEL_PING, &ping, sizeof(ping),
			    NULL, 0, NULL, 0);
		}
	}
}

void
keys_logfiles(struct master *m)
{
	for (struct keys *k = m->keys; k != NULL; k = k->next)
		if (k->channel.fd != -1 && k->conf != NULL)
			logs_channel(&k->channel, &k->conf->worker_common);
}

/* It sees the end of its channel, and goes when its last worker has. */
void
keys_clear(struct master *m)
{
	while (m->keys != NULL)
		keys_free(m->keys);
}

/* ---- over an upgrade ---- */

size_t
keys_note(const struct master *m, struct upgrade_keys *list)
{
	size_t n = 0;

	for (const struct keys *k = m->keys; k != NULL; k = k->next) {
		if (k->pid <= 0)
			continue;
		if (list != NULL)
			list[n] = (struct upgrade_keys){
				.pid = (int32_t)k->pid, .fd = k->channel.fd,
				.generation = k->generation, .over = k->over,
				.sent = k->channel.sent,
				.seen = k->channel.seen,
				.features = k->channel.features,
			};
		n++;
	}
	return n;
}

void
keys_adopt(struct master *m, const struct upgrade_keys *u)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL) {
		if (u->fd != -1)
			close(u->fd);
		return;
	}
	k->master = m;
	k->generation = u->generation;
	k->bundle = k->secrets = -1;
	k->over = u->over;
	k->pid = (pid_t)u->pid;
	k->channel = (struct channel){ .fd = u->fd, .sent = u->sent,
	    .seen = u->seen, .features = u->features, .master = true };
	k->started = ev_now(m->ev);
	k->next = m->keys;
	m->keys = k;
	if (k->channel.fd != -1 && ev_add(m->ev, k->channel.fd, &keys_ops, k,
	    EV_READ) == -1)
		log_warn("key process %ld: %s", (long)k->pid,
		    strerror(errno));
}

void
keys_orphaned(struct master *m)
{
	for (struct keys *k = m->keys; k != NULL; k = k->next)
		k->orphan = k->pid > 0;
}
