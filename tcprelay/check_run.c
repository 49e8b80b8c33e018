/*
 * Check scripts, as processes. The meaning of their exit status is an old
 * interface: 0 is down, anything else is up, and who could not even be
 * executed says 0.
 */
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"

#include "check_run.h"

#define DOWN	0	/* exit status */

/* One request; its strings are behind it. */
struct waiting {
	struct waiting	*next;
	struct check_script script;
	char		 text[];
};

/* One process, until it is reaped. */
struct job {
	struct check_run *runner;
	pid_t		 pid;		/* 0: none */
	uint32_t	 host, run;
	bool		 told;		/* the answer was given */
	struct ev_timer	 timer;
};

struct check_run {
	struct ev	*ev;
	struct check_run_conf conf;
	unsigned	 running, nwaiting;
	struct waiting	*head, **tail;
	struct job	 jobs[CHECK_RUN_MAX];
};

struct check_run *
check_run_new(struct ev *ev, const struct check_run_conf *conf)
{
	struct check_run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->ev = ev;
	r->conf = *conf;
	r->tail = &r->head;
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++)
		r->jobs[i].runner = r;
	return r;
}

/* ---- in the child ---- */

static void
close_from(int low)
{
#if defined(HAVE_CLOSE_RANGE)
	if (close_range((unsigned)low, ~0u, 0) == 0)
		return;
#elif defined(HAVE_CLOSEFROM)
	closefrom(low);
	return;
#endif
	for (int fd = (int)sysconf(_SC_OPEN_MAX); fd >= low; fd--)
		close(fd);
}

/* Everything as in a fresh process; signals were blocked until now. */
static void
signals_default(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		if (n != SIGKILL && n != SIGSTOP)
			(void)signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool
become(const struct check_run_conf *conf)
{
	if (!conf->drop)
		return true;
	return setgroups(1, &conf->gid) == 0 && setgid(conf->gid) == 0 &&
	    setuid(conf->uid) == 0 && getuid() == conf->uid &&
	    geteuid() == conf->uid && getegid() == conf->gid;
}

static void
child(const struct check_run_conf *conf, const struct check_script *s)
{
	union { const char *in; char *out; } path = { s->path },
	    argument = { s->argument };
	char *argv[] = { path.out, argument.out, NULL };
	int null;

	setpgid(0, 0);
	signals_default();
	null = open("/dev/null", O_RDWR);
	if (null == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    dup2(null, STDOUT_FILENO) == -1 ||
	    dup2(null, STDERR_FILENO) == -1)
		_exit(DOWN);
	close_from(STDERR_FILENO + 1);
	if (chdir("/") == -1 || !become(conf))
		_exit(DOWN);
	umask(022);
	if (conf->hidden != NULL && unsetenv(conf->hidden) == -1)
		_exit(DOWN);
	execvp(s->path, argv);
	_exit(DOWN);
}

/* ---- jobs ---- */

static void
late_cb(void *ctx)
{
	struct job *j = ctx;
	struct check_run *r = j->runner;

	kill(-j->pid, SIGKILL);
	kill(j->pid, SIGKILL);		/* it may not have a group yet */
	j->told = true;
	r->conf.done(r->conf.ctx, j->host, j->run, false);
}

static struct job *
job_free(struct check_run *r)
{
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++)
		if (r->jobs[i].pid == 0)
			return &r->jobs[i];
	return NULL;
}

static bool
job_start(struct check_run *r, struct job *j, const struct check_script *s)
{
	sigset_t all, old;
	pid_t pid;
	int error;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child(&r->conf, s);
	error = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = error;
	if (pid == -1)
		return false;
	(void)setpgid(pid, pid);	/* whoever is first */
	j->pid = pid;
	j->host = s->host;
	j->run = s->run;
	j->told = false;
	r->running++;
	ev_timer_set(r->ev, &j->timer, s->timeout * EV_MS, late_cb, j);
	return true;
}

static bool
queue(struct check_run *r, const struct check_script *s)
{
	size_t path = strlen(s->path) + 1, argument = strlen(s->argument) + 1;
	struct waiting *w;

	if (r->nwaiting == CHECK_RUN_QUEUE) {
		errno = EAGAIN;
		return false;
	}
	w = malloc(sizeof(*w) + path + argument);
	if (w == NULL)
		return false;
	w->next = NULL;
	w->script = *s;
	w->script.path = memcpy(w->text, s->path, path);
	w->script.argument = memcpy(w->text + path, s->argument, argument);
	*r->tail = w;
	r->tail = &w->next;
	r->nwaiting++;
	return true;
}

bool
check_run_start(struct check_run *r, const struct check_script *s)
{
	struct job *j = r->head == NULL ? job_free(r) : NULL;

	return j != NULL ? job_start(r, j, s) : queue(r, s);
}

static void
next(struct check_run *r)
{
	struct waiting *w;
	struct job *j;

	while ((w = r->head) != NULL && (j = job_free(r)) != NULL) {
		r->head = w->next;
		if (r->head == NULL)
			r->tail = &r->head;
		r->nwaiting--;
		if (!job_start(r, j, &w->script))
			r->conf.done(r->conf.ctx, w->script.host,
			    w->script.run, false);
		free(w);
	}
}

bool
check_run_reaped(struct check_run *r, pid_t pid, int wstatus)
{
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++) {
		struct job *j = &r->jobs[i];

		if (pid <= 0 || j->pid != pid)
			continue;
		ev_timer_stop(r->ev, &j->timer);
		j->pid = 0;
		r->running--;
		if (!j->told)
			r->conf.done(r->conf.ctx, j->host, j->run,
			    WIFEXITED(wstatus) && WEXITSTATUS(wstatus) != DOWN);
		next(r);
		return true;
	}
	return false;
}

unsigned
check_run_running(const struct check_run *r)
{
	return r->running;
}

unsigned
check_run_waiting(const struct check_run *r)
{
	return r->nwaiting;
}

void
check_run_free(struct check_run *r)
{
	struct waiting *w;

	if (r == NULL)
		return;
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++) {
		struct job *j = &r->jobs[i];

		ev_timer_stop(r->ev, &j->timer);
		if (j->pid == 0)
			continue;
		kill(-j->pid, SIGKILL);
		kill(j->pid, SIGKILL);
	}
	while ((w = r->head) != NULL) {
		r->head = w->next;
		free(w);
	}
	free(r);
}
