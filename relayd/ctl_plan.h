/*
 * relayctl plan: what a reload with a file would change in the relayd that
 * runs. It only looks.
 */
#ifndef RELAYD_CTL_PLAN_H
#define RELAYD_CTL_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "../misc/pool.h"
#include "ctl.h"
#include "rd_conf.h"

/* What a daemon works by, as it tells it. Zeroed at first. */
struct ctl_running {
	struct arena	*arena;		/* of request and macros */
	const struct ctl_request *request;	/* NULL: not told yet */
	struct rd_macro	*macros;
	char		*text;
	size_t		 len, room;
};

/* One message of the answer to CTL_TEXT, of good form. false: it has no place
 * there, or is too much. */
bool	 ctl_running_take(struct ctl_running *, unsigned type,
	    const void *body, size_t len);
void	 ctl_running_clear(struct ctl_running *);

/* Prints the plan. The exit status. */
int	 ctl_plan_print(const struct ctl_running *, const char *file,
	    bool json);

#endif
