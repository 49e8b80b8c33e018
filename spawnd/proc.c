/*
 * A worker from its start to its end.
 */
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/ipc.h"
#include "../misc/log.h"
#include "../misc/msg.h"
#include "../misc/url.h"
#include "crew.h"
#include "environ.h"
#include "given.h"
#include "lend.h"
#include "listen.h"
#include "master.h"
#include "orphan.h"
#include "proc.h"
#include "reload.h"
#include "seats.h"
#include "self.h"
#include "start.h"
#include "talk.h"
#include "words.h"

#define QUICK		(10 * EV_SECOND)	/* 5.7 */
#define KILL_AFTER	(2 * EV_SECOND)		/* SIGABRT, then SIGKILL */

/* What the board shows for a state; the liveness is shown instead. */
static const uint32_t seat_states[] = {
	[PROC_STARTING] = BOARD_STARTING,
	[PROC_READY]	= BOARD_READY,
	[PROC_RETIRING]	= BOARD_RETIRING,
	[PROC_ENDING]	= BOARD_ENDING,
	[PROC_DEAD]	= BOARD_FREE,
};

void
proc_seat(const struct proc *p, struct board_seat *seat)
{
	atomic_store(&seat->state, p->suspected && p->state != PROC_DEAD ?
	    BOARD_SUSPECTED : seat_states[p->state]);
	atomic_store(&seat->generation, p->generation);
	atomic_store(&seat->max, proc_max(p));
	atomic_store(&seat->pid, p->known_as > 0 ? (uint32_t)p->known_as :
	    (uint32_t)getpid());
	atomic_store(&seat->number, p->number);
	atomic_store(&seat->started, p->started);
}

void
proc_set(struct proc *p, enum proc_state state)
{
	p->state = state;
	/* the seat of one that is dead is left, not freed like this */
	if (p->seats != NULL && state != PROC_DEAD)
		proc_seat(p, board_seat(&p->seats->board, p->column));
}

uint32_t
proc_use(const struct proc *p)
{
	if (p->seats == NULL)
		return p->users;
	return board_use(&p->seats->board, p->column) + p->out.n;
}

uint32_t
proc_max(const struct proc *p)
{
	uint32_t max = p->master->conf.conf->broker.spawn.users_max;

	return p->limit < max ? p->limit : max;
}

bool
proc_eligible(const struct proc *p)
{
	return (p->state == PROC_STARTING || p->state == PROC_READY) &&
	    !p->suspected && !p->killed &&
	    p->generation == p->master->generation;
}

bool
proc_open(const struct proc *p)
{
	return p->channel.fd != -1 && p->state != PROC_DEAD;
}

/* ---- the child's side ---- */

/* In the order of 1.7: supplementary groups, group, user, directory. */
const char *
identity_take(const struct spawn_conf *s)
{
	if (s->uid != (uid_t)-1 || s->gid != (gid_t)-1) {
		gid_t gid = s->gid != (gid_t)-1 ? s->gid : getgid();

		if ((s->user != NULL ? initgroups(s->user, gid) :
		    setgroups(0, NULL)) == -1)
			return "groups";
		if (setgid(gid) == -1)
			return "groupid";
		if (s->uid != (uid_t)-1 && setuid(s->uid) == -1)
			return "userid";
	}
	if (s->directory != NULL && chdir(s->directory) == -1)
		return "working directory";
	return NULL;
}

/* Whether it reads its configuration for itself, and that as a text. */
static bool
is_given(const struct loaded *conf)
{
	return conf->conf->worker == NULL &&
	    conf->conf->broker.spawn.text != NULL;
}

/* How that text is called. */
static char *
given_variable(const struct spawn_conf *s)
{
	static char var[sizeof(GIVEN_ENV "=") + URL_SHOWN];
	char shown[URL_SHOWN];

	snprintf(var, sizeof(var), GIVEN_ENV "=%s", url_show(s->text_name,
	    shown));
	return var;
}

static const char *
child_file(const struct master *m, const struct loaded *conf)
{
	static char url[IPC_URL_MAX];
	const struct spawn_conf *s = &conf->conf->broker.spawn;

	if (!is_given(conf))
		return s->config != NULL ? s->config : m->start->file;
	if (s->ipc_key == 0)
		return GIVEN_FILE;
	ipc_url_print(url, s->ipc_key, s->text_len);
	return url;
}

static char **
child_environ(const struct master *m, const struct loaded *conf,
    const uint8_t nonce[8])
{
	static char var[sizeof("SPAWND_WORKER=") + CHANNEL_ENV_MAX] =
	    "SPAWND_WORKER=";
	char **env = environ_merge(m->start->environ_base,
	    conf->conf->source);

	if (env == NULL)
		_exit(EX_OSERR);
	channel_env_print(var + strlen("SPAWND_WORKER="), nonce);
	environ_put(env, var);
	if (is_given(conf))
		environ_put(env, given_variable(&conf->conf->broker.spawn));
	return env;
}

/* PROGRAM FILE ID, with -D and -d only if we were started with them: not
 * every program knows them. */
static char **
child_argv(const struct proc *p, const struct loaded *conf)
{
	static char *argv[8];
	const struct master *m = p->master;
	const struct spawn_conf *s = &conf->conf->broker.spawn;
	unsigned n = 0;

	if (m->program->compile != NULL)
		return start_argv(m->start, m->program->manners->worker,
		    p->number - 1);
	argv[n++] = s->exec != NULL ? (char *)(uintptr_t)s->exec :
	    m->start->argv[0];
	if (m->start->stderr_copy)
		argv[n++] = (char *)(uintptr_t)"-D";
	if (m->start->debug_text != NULL) {
		argv[n++] = (char *)(uintptr_t)"-d";
		argv[n++] = (char *)(uintptr_t)m->start->debug_text;
	}
	argv[n++] = (char *)(uintptr_t)child_file(m, conf);
	argv[n++] = (char *)(uintptr_t)s->id;
	return argv;
}

/* from becomes to, and stays open when the program is executed. */
static bool
descriptor_set(int from, int to)
{
	return from == to ? fcntl(to, F_SETFD, 0) != -1 :
	    dup2(from, to) != -1;
}

static _Noreturn void
child_run(const struct proc *p, const struct loaded *conf, int fd, int text)
{
	const struct spawn_conf *s = &conf->conf->broker.spawn;
	const struct start *start = p->master->start;
	const char *path = s->exec != NULL ? s->exec :
	    self_image(start->image, start->self);
	char **env = child_environ(p->master, conf, p->nonce);
	char **argv = child_argv(p, conf);
	const char *lacks;

	ev_signal_reset();
	if (p->master->program->manners != NULL)
		(void)setsid();
	if (argv == NULL || !descriptor_set(fd, 0) ||
	    (text != -1 && !descriptor_set(text, GIVEN_FD)))
		_exit(EX_OSERR);
	if ((lacks = identity_take(s)) != NULL) {
		start_err("worker cannot become what 'spawn' says: %s: %s",
		    lacks, strerror(errno));
		_exit(EX_NOPERM);
	}
	execve(path, argv, env);
	log_err("cannot execute %s: %s", path, strerror(errno));
	_exit(EX_OSERR);
}

/* ---- the master's side ---- */

static void
list_add(struct master *m, struct proc *p)
{
	p->older = m->newest;
	*(m->newest != NULL ? &m->newest->newer : &m->oldest) = p;
	m->newest = p;
	m->nprocs++;
}

static void
list_remove(struct master *m, struct proc *p)
{
	*(p->older != NULL ? &p->older->newer : &m->oldest) = p->newer;
	*(p->newer != NULL ? &p->newer->older : &m->newest) = p->older;
	m->nprocs--;
}

static struct proc *
proc_alloc(struct master *m)
{
	struct proc *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->master = m;
	p->pid = -1;
	p->watch = -1;
	p->channel.fd = -1;
	p->channel.master = true;
	talk_prepare(p);
	p->limit = UINT32_MAX;
	p->started = p->sign = p->idle_since = ev_now(m->ev);
	return p;
}

static struct proc *
proc_new(struct master *m, uint32_t generation)
{
	struct proc *p = proc_alloc(m);

	if (p == NULL)
		return NULL;
	p->number = ++m->numbers;
	p->generation = generation;
	return p;
}

struct proc *
proc_adopt(struct master *m)
{
	struct proc *p = proc_alloc(m);

	if (p == NULL)
		return NULL;
	p->newer = m->oldest;
	*(m->oldest != NULL ? &m->oldest->older : &m->newest) = p;
	m->oldest = p;
	m->nprocs++;
	return p;
}

void
proc_sit(struct proc *p, const struct compiled *c)
{
	struct master *m = p->master;
	struct board_seat *seat;
	struct seats *s = seats_take(m, c, p->generation, &p->column);

	if (s == NULL)
		return;
	seats_leave(p);			/* where it was shown until now */
	p->seats = s;
	seat = board_seat(&p->seats->board, p->column);
	/* behind a broker that does not know the language */
	if (p->pid != 0 && !(p->channel.features & FEATURE_CONFIG))
		atomic_store(&seat->flags, BOARD_NO_ROWS);
	proc_set(p, p->state);
}

static bool
proc_fork(struct proc *p, const struct loaded *conf)
{
	const struct spawn_conf *s = &conf->conf->broker.spawn;
	int fds[2], text = -1;

	if (getentropy(p->nonce, sizeof(p->nonce)) == -1 ||
	    (is_given(conf) && s->ipc_key == 0 &&
	    (text = source_text_file(s->text, s->text_len)) == -1))
		return false;
	if (msg_pair(fds, (int)conf->conf->broker.bufsize) == -1) {
		if (text != -1)
			net_close(text);
		return false;
	}
	hand_forks(p->master);
	p->pid = fork();
	if (p->pid == 0)
		child_run(p, conf, fds[1], text);
	close(fds[1]);
	if (text != -1)
		net_close(text);
	if (p->pid == -1) {
		net_close(fds[0]);
		return false;
	}
	p->known_as = p->pid;
	p->channel.fd = fds[0];
	return true;
}

struct proc *
proc_start(struct master *m, const struct loaded *conf, uint32_t generation)
{
	struct proc *p;

	if (!crew_may_start(m) ||
	    (is_given(conf) && !segment_show(m, conf, generation)))
		return NULL;
	if ((p = proc_new(m, generation)) == NULL || !proc_fork(p, conf)) {
		log_err("cannot start a worker: %s", strerror(errno));
		free(p);
		crew_ended(m, 0, true);
		return NULL;
	}
	list_add(m, p);
	log_debug(DEBUG_PROC, "worker %u started, process %ld", p->number,
	    (long)p->pid);
	if (!talk_start(p)) {
		log_err("cannot talk to worker %ld: %s", (long)p->pid,
		    strerror(errno));
		proc_kill(p, SIGKILL);
	}
	master_stir(m);
	return p;
}

struct proc *
proc_single(struct master *m)
{
	struct proc *p = proc_new(m, m->generation);

	if (p == NULL)
		return NULL;
	p->pid = 0;
	list_add(m, p);
	proc_sit(p, m->conf.conf);
	if (p->seats == NULL) {
		list_remove(m, p);
		free(p);
		return NULL;
	}
	proc_set(p, PROC_READY);
	return p;
}

void
proc_may_die(struct proc *p)
{
	if (p->state == PROC_ENDING || p->state == PROC_DEAD || p->pid <= 0)
		return;
	/* one that has not even started to serve is not needed at all */
	if (p->state == PROC_STARTING)
		proc_kill(p, SIGTERM);
	p->told = true;
	lend_drop(p);
	proc_set(p, PROC_ENDING);
	hand_flush(p);		/* nothing of it: to others */
	if (proc_open(p))
		proc_send(p, CHANNEL_MAY_DIE, NULL, 0, NULL, 0, NULL, 0);
}

static void
kill_cb(void *ctx)
{
	struct proc *p = ctx;

	if (p->pid > 0)
		kill(p->pid, SIGKILL);
}

void
proc_kill(struct proc *p, int signo)
{
	if (p->pid <= 0)
		return;
	p->killed = true;
	kill(p->pid, signo);
	if (signo != SIGKILL)
		ev_timer_set(p->master->ev, &p->kill, KILL_AFTER, kill_cb, p);
}

static void
free_cb(void *ctx)
{
	struct proc *p = ctx;

	free(p->lent);
	free(p);
}

void
proc_free(struct proc *p)
{
	struct master *m = p->master;
	struct hand *h;

	while ((h = hand_pop(&p->out)) != NULL ||
	    (h = hand_pop(&p->kept)) != NULL)
		hand_free(m, h);
	talk_close(p);
	orphan_forget(p);
	ev_timer_stop(m->ev, &p->kill);
	list_remove(m, p);
	seats_leave(p);
	free_cb(p);
}

/* The gate to the end: its connections go on, its seat becomes free. */
static void
proc_gone(struct proc *p)
{
	struct master *m = p->master;

	for (struct proc **u = &m->unsent; *u != NULL; )
		if (*u == p)
			*u = p->next_unsent;
		else
			u = &(*u)->next_unsent;
	p->unsent = true;		/* nobody puts it there again */
	talk_close(p);
	orphan_forget(p);
	lend_drop(p);
	ev_timer_stop(m->ev, &p->kill);
	list_remove(m, p);
	seats_leave(p);
	sticky_worker_left(m, p->number);
	ev_defer(m->ev, &p->gone, free_cb, p);
	master_changed(m);
	master_title(m);
}

/* Connections that ended with it: taken and not finished. */
static uint32_t
lost_with(const struct proc *p)
{
	const struct board_column *c;
	uint64_t begun, over;

	if (p->seats == NULL) {
		over = hand_untaken(p);
		return p->users > over ? p->users - (uint32_t)over : 0;
	}
	c = board_column(&p->seats->board, p->column);
	begun = board_get(&c->taken) + board_get(&c->accepted);
	over = board_get(&c->finished) + board_get(&c->returned);
	return begun > over ? (uint32_t)(begun - over) : 0;
}

static void
log_ended(const struct proc *p, pid_t pid, int wstatus, uint32_t lost)
{
	uint64_t served = p->served;

	if (p->seats != NULL)
		served = board_get(&board_column(&p->seats->board,
		    p->column)->finished);
	if (p->master->program->manners != NULL) {
		if (!p->told && !p->orphan && !p->master->ending)
			words_lost(p->master->program->manners->worker, pid,
			    wstatus);
		return;
	}
	/* stopped before it was ready: nobody has missed it */
	if (p->told && WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGTERM)
		return;
	if (p->orphan)
		log_line("worker %ld ended, status unknown, served %" PRIu64
		    ", lost %u", (long)pid, served, lost);
	else if (WIFSIGNALED(wstatus))
		log_line("worker %ld killed by signal %d (%s), lost %u",
		    (long)pid, WTERMSIG(wstatus),
		    signal_name(WTERMSIG(wstatus)), lost);
	else
		log_line("worker %ld ended, status %d, served %" PRIu64
		    ", lost %u", (long)pid, WEXITSTATUS(wstatus), served,
		    lost);
}

/*
 * 77, 78 and BAD-CONFIG before anybody was READY: the service cannot run at
 * all. At any other time the next one is throttled.
 */
static void
judge_end(struct proc *p, int wstatus)
{
	struct master *m = p->master;
	uint64_t lived = ev_now(m->ev) - p->started;
	int status = WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 0;
	bool config = p->bad_config || status == EX_CONFIG ||
	    status == EX_NOPERM;

	if (config && m->generation == 1 && !m->served && !m->ending &&
	    p->generation == 1) {
		master_abort(m, status == EX_NOPERM ? EX_NOPERM : EX_CONFIG);
		return;
	}
	if (m->status == 0 && !m->ending && (!p->told || p->bad_config))
		crew_ended(m, lived, config || WIFSIGNALED(wstatus) ||
		    status != 0 || !p->was_ready);
}

bool
proc_reaped(struct master *m, pid_t pid, int wstatus)
{
	struct proc *p = m->oldest;
	uint32_t lost;

	while (p != NULL && p->pid != pid)
		p = p->newer;
	if (p == NULL)
		return false;
	p->pid = -1;
	if (p->channel.fd != -1)
		proc_read(p);		/* what it said last */
	proc_set(p, PROC_DEAD);
	lost = lost_with(p);
	log_ended(p, pid, wstatus, lost);
	judge_end(p, wstatus);
	hand_move(p, false);
	reload_proc_gone(p);
	proc_gone(p);
	return true;
}
