/*
 * Runs check scripts, for a check engine that has no privilege: the parent's
 * side. Each runs by itself as a user without rights, in a process group of
 * its own, and is killed with it when its time is over.
 */
#ifndef TCPRELAY_CHECK_RUN_H
#define TCPRELAY_CHECK_RUN_H

#include <sys/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "../misc/ev.h"
#include "check.h"

#define CHECK_RUN_MAX	64	/* at a time; at least 16 */
#define CHECK_RUN_QUEUE	4096	/* that wait for one of these to end */

struct check_run;

struct check_run_conf {
	bool	 drop;		/* become uid and gid, no other group */
	uid_t	 uid;
	gid_t	 gid;
	const char *hidden;	/* a variable of the environment that is no
				   business of theirs; NULL */
	/* up: it ended by itself, with a status other than 0. */
	void	(*done)(void *ctx, uint32_t host, uint32_t run, bool up);
	void	*ctx;
};

/* The loop stays the caller's. NULL, errno. */
struct check_run *check_run_new(struct ev *, const struct check_run_conf *);
/* Those that run are killed, done is not called any more. */
void		 check_run_free(struct check_run *);
/* done will be called, from the loop. false, errno: it will not. */
bool		 check_run_start(struct check_run *,
		    const struct check_script *);
/* For whoever waits for children: true if this one was ours. */
bool		 check_run_reaped(struct check_run *, pid_t, int wstatus);
/* How many run now, and how many wait. */
unsigned	 check_run_running(const struct check_run *);
unsigned	 check_run_waiting(const struct check_run *);

#endif
