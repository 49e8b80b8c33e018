/*
 * Signals of the loop: the handler writes to a pipe that the loop reads, so
 * that callbacks run in the loop and may do what other callbacks do.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ev_impl.h"

#ifndef NSIG
#define NSIG		65
#endif

static void	signal_readable(void *, int);

static const struct ev_ops signal_ops = { .readable = signal_readable };

/* Of the one loop that has signals. The handler touches the first three. */
static struct {
	volatile sig_atomic_t	 pending[NSIG];
	pid_t			 pid;
	int			 pipe[2];
	struct ev		*ev;		/* NULL: no loop has them */
	struct handler {
		void	(*cb)(void *, int);
		void	*ctx;
	}			 handlers[NSIG];
} caught;

static void
signal_cb(int signo)
{
	int error = errno;

	if (caught.pid != getpid()) {
		/* a child between fork and exec: ours is not its business */
		signal(signo, SIG_DFL);
		raise(signo);
	} else {
		caught.pending[signo] = 1;
		/* full: then the loop wakes up anyway */
		(void)!write(caught.pipe[1], "", 1);
	}
	errno = error;
}

static void
signal_readable(void *ctx, int fd)
{
	char junk[64];
	int signo;

	(void)ctx;
	while (read(fd, junk, sizeof(junk)) == (ssize_t)sizeof(junk))
		;
	for (signo = 1; signo < NSIG; signo++) {
		if (!caught.pending[signo])
			continue;
		caught.pending[signo] = 0;
		caught.handlers[signo].cb(caught.handlers[signo].ctx, signo);
	}
}

static int
signal_open(struct ev *ev)
{
	int i;

	if (caught.ev == ev)
		return 0;
	if (caught.ev != NULL) {
		errno = EBUSY;
		return -1;
	}
	if (pipe(caught.pipe) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		(void)fcntl(caught.pipe[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(caught.pipe[i], F_SETFL, O_NONBLOCK);
	}
	if (ev_add(ev, caught.pipe[0], &signal_ops, NULL, EV_READ) == -1) {
		close(caught.pipe[0]);
		close(caught.pipe[1]);
		return -1;
	}
	caught.ev = ev;
	caught.pid = getpid();
	return 0;
}

void
ev_signals_clear(struct ev *ev)
{
	if (caught.ev != ev)
		return;
	ev_signal_reset();
	caught.ev = NULL;
	ev_del(ev, caught.pipe[0]);
	close(caught.pipe[0]);
	close(caught.pipe[1]);
}

void
ev_signals_forked(struct ev *ev)
{
	if (caught.ev == ev)
		caught.pid = getpid();
}

int
ev_signal(struct ev *ev, int signo, void (*cb)(void *, int), void *ctx)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	if (signo < 1 || signo >= NSIG) {
		errno = EINVAL;
		return -1;
	}
	caught.pending[signo] = 0;
	if (cb != NULL) {
		if (signal_open(ev) == -1)
			return -1;
		caught.handlers[signo] = (struct handler){ cb, ctx };
		sa.sa_handler = signal_cb;
		sa.sa_flags = SA_RESTART | SA_NOCLDSTOP;
		sigfillset(&sa.sa_mask);
	}
	return sigaction(signo, &sa, NULL);
}

void
ev_signal_reset(void)
{
	struct sigaction sa;
	int signo;

	for (signo = 1; signo < NSIG; signo++) {
		if (sigaction(signo, NULL, &sa) == -1 ||
		    sa.sa_handler != signal_cb)
			continue;
		sa = (struct sigaction){ .sa_handler = SIG_DFL };
		sigaction(signo, &sa, NULL);
	}
}
