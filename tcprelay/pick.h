/*
 * Which destination a session is to try (4.6): the smallest use per weight
 * among those that are not dead. Pure but for the board cells it writes; the
 * clock is passed in and nothing is logged here.
 */
#ifndef TCPRELAY_PICK_H
#define TCPRELAY_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../spawnd/board.h"

struct pick;

/* What makes one destination, in file order. */
struct pick_entry {
	const char		*identity;	/* copied */
	uint32_t		 weight;	/* at least 1 */
	struct board_cell	*cell;		/* held (board_hold), taken
						   over; NULL: memory of its
						   own */
};

/*
 * One session's way through the destinations. Zeroed before first use, must
 * not move between pick_choose and the verdict: it is the token of whoever
 * probes a dead destination.
 */
struct pick_way {
	uint8_t	*tried;		/* bitmap by index; NULL: none */
	bool	 again;		/* all were tried once, marks were cleared */
};

/* NULL when memory is out. dead_time in ns, 0: until cleared. */
struct pick	*pick_new(const struct pick_entry *, size_t n,
		    uint32_t rebalance, uint64_t dead_time);
void		 pick_free(struct pick *);
/*
 * From now on new sessions choose by p; what is known of destinations that
 * former has too (by identity) goes with them, and both share it from here
 * on. former: NULL, or the one that was current until now. Cannot fail.
 */
void		 pick_adopt(struct pick *p, struct pick *former);

/*
 * Chooses, and counts the choice in the destination's use. Its index, or -1
 * if there is none left for this session. way->again turning true tells that
 * all had failed and are tried again.
 */
int		 pick_choose(struct pick *, struct pick_way *, uint64_t now);
/* The same for a choice that somebody else made: i. */
void		 pick_take(struct pick *, size_t i);
/* Verdicts on index i that pick_choose gave. Each says whether the world
 * changed, that is, whether there is something to log. The use stays. */
bool		 pick_failed(struct pick *, size_t i, uint64_t now);
bool		 pick_succeeded(struct pick *, size_t i);
/* The session ends, or moves on to another one: the use goes. */
void		 pick_release(struct pick *, struct pick_way *, size_t i);
/* Remember that i was tried. -1: memory is out. */
int		 pick_tried(struct pick *, struct pick_way *, size_t i);
void		 pick_way_clear(struct pick_way *);

/* What the board says about destination i; never NULL. */
struct board_cell *pick_cell(struct pick *, size_t i);
/* The row has been found after all: the cell is held, and taken over. */
void		 pick_set_cell(struct pick *, size_t i, struct board_cell *);
bool		 pick_cell_private(const struct pick *, size_t i);

#endif
