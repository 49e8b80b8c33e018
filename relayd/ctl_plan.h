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

struct ctl_plan {
	const struct ctl_running *running;
	bool		 json;
	char		*file;		/* absolute */
	struct rd_conf	*old, *new;
	bool		 files;		/* those of old were looked at */
	size_t		 n;		/* changes that were printed */
};

/* Both sides. 0, or the exit status: what is wrong is told. */
int	 ctl_plan_compile(struct ctl_plan *, const struct ctl_running *,
	    const char *file, bool json);
/*
 * Some hosts of what is in force are known by name only: which addresses the
 * daemon has for them, rows of a dump can tell.
 */
bool	 ctl_plan_by_name(const struct ctl_plan *);
void	 ctl_plan_host(struct ctl_plan *, const struct ctl_host *);
/* Prints it. The exit status. */
int	 ctl_plan_print(struct ctl_plan *);
void	 ctl_plan_clear(struct ctl_plan *);

#endif
