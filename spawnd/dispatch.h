/*
 * Which worker gets a connection, how many there may be, and which may go
 * (4.1, 4.3, 4.5, 4.7). Pure: works on an array that mirrors the list of
 * workers, oldest first.
 */
#ifndef SPAWND_DISPATCH_H
#define SPAWND_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatch_worker {
	uint32_t	use;		/* connections it holds */
	uint32_t	max;		/* M in effect for it */
	bool		eligible;	/* 4.1; others only count */
	bool		blocked;	/* eligible, but cannot be given
					   anything at this moment */
	uint64_t	idle_since;	/* ns; 0: it has users */
};

struct dispatch_rule {
	uint32_t	instances_min, instances_max;
	uint32_t	users_min;	/* m */
	uint32_t	users_max;	/* M of a worker yet to be started */
	bool		may_start;	/* false: throttled */
};

enum dispatch_verdict {
	DISPATCH_TAKE,		/* the worker at *index */
	DISPATCH_START,		/* start one and take it */
	DISPATCH_WAIT,		/* nobody can take it at this moment */
	DISPATCH_OVERLOAD	/* capacity reached */
};

enum dispatch_verdict dispatch_pick(const struct dispatch_worker *, size_t n,
	    const struct dispatch_rule *, size_t *index);

/* May this one be taken out of turn, by the sticky cache? */
bool	 dispatch_usable(const struct dispatch_worker *);

/* Sum over the possible workers of their maximum. */
uint64_t dispatch_capacity(const struct dispatch_worker *, size_t n,
	    const struct dispatch_rule *);
/* Sum of all user counts, also of those that are not eligible. */
uint64_t dispatch_total(const struct dispatch_worker *, size_t n);
size_t	 dispatch_eligible(const struct dispatch_worker *, size_t n);

/*
 * Workers that may go now, latest first: their indices into gone (room for
 * n), returns how many. A worker must have been idle for that long.
 */
size_t	 dispatch_shrink(const struct dispatch_worker *, size_t n,
	    const struct dispatch_rule *, uint64_t now, uint64_t idle,
	    size_t *gone);

/* Those beyond instances max, latest first, whatever they have to do. */
size_t	 dispatch_surplus(const struct dispatch_worker *, size_t n,
	    const struct dispatch_rule *, size_t *gone);

/* Workers there should be when they accept for themselves (4.7). */
uint32_t dispatch_wanted(uint64_t total, const struct dispatch_rule *);

#endif
