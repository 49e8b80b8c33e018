/*
 * A copy of the master, made just before another program takes its place:
 * it holds everything and touches nothing, and is needed only if that
 * program does not get to serve.
 *
 * The new program is our parent: as long as it is, its process id is
 * nobody else's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/title.h"
#include "keys.h"
#include "notify.h"
#include "orphan.h"
#include "proc.h"
#include "roles.h"
#include "master.h"
#include "seats.h"
#include "self.h"
#include "upgrade.h"

#define READY_WITHIN	30000	/* ms */
#define LOOK		100	/* ms: whether the parent still is there */

static int64_t
clock_ms(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The one byte that says that the new program serves. */
static bool
said_ready(int *socket)
{
	struct pollfd p = { .fd = *socket, .events = POLLIN };
	char byte;
	ssize_t n;

	if (poll(&p, 1, *socket == -1 ? LOOK / 10 : LOOK) != 1)
		return false;
	n = read(*socket, &byte, 1);
	if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN))
		*socket = -1;	/* it ends, or has never heard of us */
	return n == 1;
}

/*
 * Whoever takes us for the service must be heard: a service manager does.
 * Signals wait here, for us to act upon them if it comes to that; the new
 * program is told at once, and once.
 */
static void
signals_forward(pid_t parent, sigset_t *done)
{
	static const int signals[] = {
		SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2
	};
	sigset_t set;

	if (sigpending(&set) == -1)
		return;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (sigismember(&set, signals[i]) != 1 ||
		    sigismember(done, signals[i]) == 1 ||
		    getppid() != parent)
			continue;
		(void)kill(parent, signals[i]);
		sigaddset(done, signals[i]);
	}
}

enum standin
standin_wait(int socket, pid_t parent, bool *killed)
{
	int64_t late = clock_ms() + READY_WITHIN;
	sigset_t forwarded;

	*killed = false;
	sigemptyset(&forwarded);
	for (;;) {
		bool there = getppid() == parent;

		notify_alive();
		(void)title_flush((uint64_t)clock_ms() * EV_MS);
		signals_forward(parent, &forwarded);
		/* its last word may have come behind it */
		if (said_ready(&socket)) {
			signals_forward(parent, &forwarded);
			return STANDIN_ENDS;
		}
		if (!there)
			return STANDIN_TAKES_OVER;
		if (clock_ms() < late)
			continue;
		*killed = true;
		(void)kill(parent, SIGKILL);
	}
}

void
standin_take(struct master *m, bool killed)
{
	const char *path = m->start->image->path;
	char error[DAEMON_ERROR];
	uint64_t now = ev_clock(m->ev);

	if (killed)
		log_err("upgrade: failed, %s was not ready after %d s, "
		    "killed", path, READY_WITHIN / 1000);
	else
		log_err("upgrade: failed, %s ended before it was ready",
		    path);
	log_line("upgrade: the program before goes on as process %ld",
	    (long)getpid());
	if (m->pidfile.fd != -1 &&
	    daemon_pidfile_take(&m->pidfile, error) != 0)
		log_err("%s", error);
	notify_mainpid(getpid());
	orphans_watch(m);
	keys_orphaned(m);
	roles_orphaned(m);
	/* what the other has entered is his */
	seats_retake(m);
	segment_resume(m);
	orphans_strays(m);
	/* nobody could show life to us meanwhile */
	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		p->sign = now;
		p->pinged = 0;
		if (p->owes != 0)
			p->owes = now;
		if (p->state == PROC_STARTING)
			p->started = now;
	}
	master_stir(m);
}
