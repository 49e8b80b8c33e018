/*
 * The loop from inside, for ev.c, ev_timer.c and ev_signal.c.
 */
#ifndef MISC_EV_IMPL_H
#define MISC_EV_IMPL_H

#include "ev.h"
#include "ev_mech.h"
#include "log.h"

/* A list of descriptors. Each stands on it at most once, so it has room for
 * the whole table and appending cannot fail. */
struct ev_fds {
	int	*fd;
	size_t	 n;
};

/* Where a timer stands: by the time at which it is looked at. It may be due
 * later by then, and is sorted in anew. */
struct ev_node {
	uint64_t	 key;
	uint64_t	 seq;
	struct ev_timer	*timer;
};

struct ev_heap {
	struct ev_node	*nodes;
	size_t		 n, room;
	uint64_t	 seq;		/* of the timer set last */
};

struct ev_entry;

struct ev {
	const struct ev_mech	*mech;
	void			*state;		/* of the mechanism */
	int			 limit;		/* of the mechanism */
	struct ev_entry		*table;		/* by descriptor */
	size_t			 size;
	uint32_t		 serial;	/* of the entry added last */
	struct ev_fds		 changes, ready, closes, always;
	uint64_t		 now;
	struct ev_heap		 timers;
	struct ev_task		*tasks, **tasks_end;
	struct log_limit	 troubles;	/* those logged */
	bool			 in_turn, stopped;
	int			 status;
};

/* Call those that are due. */
void	 ev_timers_run(struct ev *);
/* No timer is set afterwards. */
void	 ev_timers_clear(struct ev *);

/* Default dispositions if this loop has the signals. */
void	 ev_signals_clear(struct ev *);
/* This process is the one that they are for. */
void	 ev_signals_forked(struct ev *);

#endif
