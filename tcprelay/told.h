/*
 * What a worker is told (tell.h), and what it answers: lists go out a message
 * per round, so that sessions are served meanwhile.
 */
#ifndef TCPRELAY_TOLD_H
#define TCPRELAY_TOLD_H

#include "../misc/ev.h"
#include "../spawnd/role.h"

struct session;
struct told_job;
struct why;
struct worker;

#define TOLD_JOBS	64u	/* lists wanted at a time, at most */

/* Embedded in a worker; zeroed before first use. */
struct told {
	struct why	*why;		/* NULL: no relay's session so far */
	struct told_job	*jobs;		/* the next message is of the first */
	unsigned	 njobs;
	struct ev_task	 task;
};

/* worker_ops.tell */
void	 told_take(struct worker *, struct tell *);
/* A relay's session is over, for a reason that is known: its line, its entry
 * for why. Before anything of it is taken apart. */
void	 told_over(const struct session *);
/* It leaves the worker's list, of which it still is a member. */
void	 told_leave(struct told *, const struct session *);
void	 told_close(struct worker *);

#endif
