/*
 * Another program file on disk (5.6, upgrade), from the side of the one that
 * runs: checked, executed in place, and stood in for until it serves.
 */
#ifndef SPAWND_UPGRADE_H
#define SPAWND_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

struct master;
struct upgrade;

/* Is there one to upgrade to? Says so where that needs a restart. */
bool	 upgrade_wanted(const struct master *);
/* Has the new program check the configuration, as part of m->reload; what
 * comes of it ends that reload, or this program. false, errno. */
bool	 upgrade_start(struct master *);
/* SIGCHLD: true if it was the child that checks. */
bool	 upgrade_reaped(struct master *, pid_t, int wstatus);
/* The reload is over: the child that checks is killed. */
void	 upgrade_clear(struct master *, struct upgrade *);
/* Signals that were held back while one program became the other. */
void	 upgrade_signals(void);

/* ---- the stand-in, standin.c: a copy of this process until then ---- */

enum standin {
	STANDIN_TAKES_OVER,	/* we are the master from now on */
	STANDIN_ENDS		/* the new program serves */
};
/*
 * Waits for the one or the other. socket: what the new program, our parent,
 * has the other end of; the signals of a master are blocked. *killed: it
 * was not ready in time.
 */
enum standin standin_wait(int socket, pid_t parent, bool *killed);
/* Takes over: pid file, workers that are somebody else's children, the board.
 * Logged. */
void	 standin_take(struct master *, bool killed);

#endif
