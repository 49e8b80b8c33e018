/*
 * Boards and who sits in which column. There is one board, and another one
 * when columns or rows run out; a board goes with its last worker.
 */
#ifndef SPAWND_SEATS_H
#define SPAWND_SEATS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"

struct compiled;
struct master;

struct seats {
	struct seats	*next;		/* older */
	struct board	 board;
	unsigned	 columns, used;
	uint8_t		*taken;		/* by column */
};

/* Room for this configuration, its rows entered. true: on the board that is
 * in use; false: a new board was needed (workers on the older ones cannot
 * adopt the configuration), or, with m->seats NULL, there is none. */
bool	 seats_prepare(struct master *, const struct compiled *,
	    uint32_t generation);
/* A free column of the newest board, or of a new one. NULL, errno. */
struct seats *seats_take(struct master *, const struct compiled *,
	    uint32_t generation, unsigned *column);
void	 seats_leave(struct master *, struct seats *, unsigned column);
/* Head of the newest board: generation, overload, capacity. */
void	 seats_overload(struct master *);
void	 seats_clear(struct master *);

/* ---- over an upgrade ---- */

/* A board that another program has made, as the newest; fd is taken over.
 * NULL, errno. */
struct seats *seats_adopt(struct master *, int fd, size_t size);
/* That column is taken. false: it was, or there is none. */
bool	 seats_sit(struct seats *, unsigned column);
/* Columns that somebody unknown sits in are nobody's until he has gone; the
 * second tells how many still are. */
void	 seats_stray(struct master *, struct seats *);
unsigned seats_strays(struct seats *, bool (*gone)(pid_t));

#endif
