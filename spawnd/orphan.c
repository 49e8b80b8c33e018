/*
 * The end of a process that is not our child: by a descriptor for it where
 * the system has such, else by asking whether it still is there.
 */
#include <sys/types.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "../misc/log.h"
#include "master.h"
#include "orphan.h"
#include "proc.h"
#include "seats.h"

#define ASK		(100 * EV_MS)
#define STRAYS		EV_SECOND

#ifdef SYS_pidfd_open
static int
process_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);	/* close-on-exec */
}
#else
static int
process_open(pid_t pid)
{
	(void)pid;
	errno = ENOSYS;
	return -1;
}
#endif

static bool
is_gone(pid_t pid)
{
	return kill(pid, 0) == -1 && errno == ESRCH;
}

/* ---- workers ---- */

static void
ended(struct proc *p)
{
	proc_reaped(p->master, p->pid, 0);
}

static void
watch_readable(void *ctx, int fd)
{
	(void)fd;
	ended(ctx);
}

static const struct ev_ops watch_ops = {
	.readable = watch_readable, .error = watch_readable,
	.hangup = watch_readable
};

static void
ask_cb(void *ctx)
{
	struct proc *p = ctx;

	if (is_gone(p->pid))
		ended(p);
	else
		ev_timer_set(p->master->ev, &p->orphaned, ASK, ask_cb, p);
}

void
orphans_note(struct master *m)
{
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->pid > 0 && p->watch == -1)
			p->watch = process_open(p->pid);
}

void
orphans_watch(struct master *m)
{
	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		if (p->pid <= 0)
			continue;
		p->orphan = true;
		if (p->watch == -1 || ev_add(m->ev, p->watch, &watch_ops, p,
		    EV_READ) == -1)
			ev_timer_set(m->ev, &p->orphaned, ASK, ask_cb, p);
	}
}

void
orphan_forget(struct proc *p)
{
	ev_timer_stop(p->master->ev, &p->orphaned);
	if (p->watch != -1)
		ev_close(p->master->ev, p->watch);
	p->watch = -1;
}

/* ---- columns ---- */

static void
strays_cb(void *ctx)
{
	struct master *m = ctx;
	unsigned left = 0;

	for (struct seats *s = m->seats; s != NULL; s = s->next)
		left += seats_strays(s, is_gone);
	if (left > 0)
		ev_timer_set(m->ev, &m->strays, STRAYS, strays_cb, m);
}

void
orphans_strays(struct master *m)
{
	for (struct seats *s = m->seats; s != NULL; s = s->next)
		seats_stray(m, s);
	strays_cb(m);
}
