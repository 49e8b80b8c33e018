/*
 * Boards and who sits in which column. There is one board, and another one
 * when columns or rows run out; a board goes with its last worker.
 *
 * The newest one shows everybody: workers that count on an older board, or by
 * messages, have a seat there that the master keeps up to date (a mirror).
 */
#ifndef SPAWND_SEATS_H
#define SPAWND_SEATS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"

struct compiled;
struct master;
struct proc;

struct seats {
	struct seats	*next;		/* older */
	struct board	 board;
	uint64_t	 serial;	/* from 1, never given again */
	unsigned	 columns, used;
	uint8_t		*taken;		/* by column */
};

/* Room for this configuration, its rows entered, to be found and not shown
 * before the commit. true: on the board that is in use; false: a new board was
 * needed (workers on the older ones cannot adopt the configuration), or, with
 * m->seats NULL, there is none. */
bool	 seats_prepare(struct master *, const struct compiled *,
	    uint32_t generation);
/* m->conf and m->generation are in force: its rows are what is shown. */
void	 seats_commit(struct master *);
/* A free column of the newest board, or of a new one. NULL, errno. */
struct seats *seats_take(struct master *, const struct compiled *,
	    uint32_t generation, unsigned *column);
/* Where it sat, or was shown, is free; what it counted stays. */
void	 seats_leave(struct proc *);
/* Everything that only the master knows, as it is now: the head, mirrors. */
void	 seats_show(struct master *);
/* Head of the boards: generation, overload, capacity. */
void	 seats_overload(struct master *);
void	 seats_clear(struct master *);

/* ---- over an upgrade ---- */

/*
 * A board that another program has made, as the newest; fd is taken over.
 * Mirrors are kept for their workers, whoever will have them. NULL, errno.
 */
struct seats *seats_adopt(struct master *, int fd, size_t size);
/* That column is taken. false: it was, or there is none. */
bool	 seats_sit(struct seats *, unsigned column);
/* All workers are there: mirrors of others are the past. */
void	 seats_settle(struct master *);
/* The other program has failed: the boards are ours again. */
void	 seats_retake(struct master *);
/* Columns that somebody unknown sits in are nobody's until he has gone; the
 * second tells how many still are. */
void	 seats_stray(struct master *, struct seats *);
unsigned seats_strays(struct seats *, bool (*gone)(pid_t));

#endif
