/*
 * The board: shared memory, one writer per cell, never locked. Column c of
 * a worker is written by that worker only, its seat by the master only.
 * Rows (listeners, destinations; tables, hosts, redirects) are keyed by
 * identity, so that counters survive what moves indices. It holds no secret.
 *
 * One column more than there are seats is the past: there the master counts
 * what it does itself, and what workers had counted that have left. So the
 * sum over it and over the columns whose seats are taken never falls.
 *
 * Two more columns have one writer each, too: what health checks found, and
 * what an operator has ordered. Their cells are told apart by the kind of
 * their row, see struct board_health and struct board_switch.
 *
 * Readers take each 64-bit cell by itself (relaxed atomics; a release store
 * where the order matters, as with `taken`). While the master moves figures
 * from one place to another, head->moves is odd.
 */
#ifndef SPAWND_BOARD_H
#define SPAWND_BOARD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_MAGIC	UINT64_C(0x7370776e64626f31)
#define BOARD_VERSION	4
#define BOARD_ENDS	16	/* reasons of 7.11, see board_ends */
#define BOARD_KILLED	11	/* the one of sessions that a worker took along */
#define BOARD_NAME	128
#define BOARD_LABEL	72
#define BOARD_TEXT	152

enum board_state { BOARD_FREE, BOARD_STARTING, BOARD_READY, BOARD_SUSPECTED,
    BOARD_RETIRING, BOARD_ENDING };

/* Written by the master: who sits in the column. */
struct board_seat {
	_Atomic uint32_t state;		/* enum board_state */
	_Atomic uint32_t pid;
	_Atomic uint32_t number;	/* worker number, never re-used */
	_Atomic uint32_t generation;
	_Atomic uint32_t max;		/* M in effect */
	_Atomic uint32_t shed;		/* told to stop accepting (overload) */
	_Atomic uint64_t given;		/* connections handed over, ever */
	_Atomic uint64_t started;	/* monotonic ns */
	/*
	 * Of those, how many the master holds no copy of any more (release
	 * store, after the closes), and how many a child of its may still
	 * hold one of (before that store).
	 */
	_Atomic uint64_t released, forked;
	_Atomic uint32_t rest;		/* not 0: LOOK is wanted, once, when
					   the column changes */
	_Atomic uint32_t flags;		/* BOARD_MIRROR ... */
} __attribute__((aligned(64)));

#define BOARD_MIRROR	1u	/* its worker counts elsewhere, or by messages:
				   the master writes the column, too */
#define BOARD_NO_ENDS	2u	/* nobody counts ended[] there */
#define BOARD_NO_ROWS	4u	/* nobody counts in its cells */

/* Written by the worker. use = given + accepted - finished - returned. */
struct board_column {
	_Atomic uint64_t taken;		/* of what was given; release store */
	_Atomic uint64_t accepted;	/* by itself, lent sockets */
	_Atomic uint64_t finished;
	_Atomic uint64_t returned;
	_Atomic uint64_t beat;		/* changes show life */
	_Atomic uint64_t generation;	/* it serves new connections with */
	_Atomic uint64_t refused;	/* by ACL, on lent sockets */
	_Atomic uint64_t spare;
	_Atomic uint64_t ended[BOARD_ENDS];	/* sessions, by reason */
} __attribute__((aligned(64)));

/*
 * One row of one column: a destination as one worker sees it; a listener,
 * where use is sessions, total is accepted and failures is refused.
 */
struct board_cell {
	_Atomic uint32_t use;
	_Atomic uint32_t dead;		/* mark of 4.6 */
	_Atomic uint64_t total;
	_Atomic uint64_t failures;
	_Atomic uint64_t in, out;	/* bytes from and to clients */
	_Atomic uint32_t held;		/* how often the worker has taken it,
					   see board_hold() */
	_Atomic uint32_t pad;
	_Atomic uint64_t spare[2];
};

/* Written by the master: what row r is. */
struct board_row {
	_Atomic uint32_t used;		/* odd: it is in use. Counts owners;
					   release store after the rest */
	uint32_t	 kind;		/* BOARD_DESTINATION, ... */
	uint32_t	 weight;
	uint32_t	 generation;	/* last committed one that has it */
	uint32_t	 order;		/* within that configuration */
	_Atomic uint32_t state;		/* listeners: enum board_socket */
	_Atomic uint32_t lent;		/* listeners: workers accept */
	_Atomic uint32_t flags;		/* BOARD_NO_ROWS */
	char		 name[BOARD_NAME];	/* identity: tcp/[A]:P/pool#n */
	char		 label[BOARD_LABEL];	/* a listener's name, the pool
						   of a destination */
	char		 text[BOARD_TEXT];	/* endpoint, to be shown */
};

#define BOARD_DESTINATION	1u
#define BOARD_LISTENER		2u
#define BOARD_HOST		3u	/* of a table; label: its name, text:
					   its address */
#define BOARD_TABLE		4u
#define BOARD_REDIRECT		5u

/* A host's cell in the column of health: by the process that checks. */
struct board_health {
	_Atomic int32_t	 state;		/* 1 up, 0 unknown, -1 down */
	_Atomic uint32_t error;		/* of the last check */
	_Atomic uint64_t checks, ups;
	_Atomic uint32_t left;		/* failures still forgiven */
	_Atomic uint32_t code;		/* of HTTP, unexpected; 0 */
	_Atomic uint64_t changed;	/* wall clock, s: of its state; 0 */
	_Atomic uint32_t held;		/* as in struct board_cell */
	_Atomic uint32_t pad;
	_Atomic uint64_t spare[2];
};
static_assert(sizeof(struct board_health) == sizeof(struct board_cell) &&
    offsetof(struct board_health, held) == offsetof(struct board_cell, held),
    "health");

/* Anything's cell in the column of orders: by the process that takes them. */
struct board_switch {
	_Atomic uint32_t ordered;	/* an operator did: off counts, and
					   not what the file says */
	_Atomic uint32_t off;
	_Atomic uint64_t zero[4];
	_Atomic uint32_t held;
	_Atomic uint32_t pad;
	_Atomic uint64_t spare[2];
};
static_assert(sizeof(struct board_switch) == sizeof(struct board_cell) &&
    offsetof(struct board_switch, held) == offsetof(struct board_cell, held),
    "switch");

enum board_socket { BOARD_OPEN, BOARD_RETRYING, BOARD_CLOSING };

struct board_head {
	uint64_t	 magic;
	uint32_t	 version, columns, rows, slots;
	uint64_t	 seat_offset, slot_offset, row_offset, column_offset;
	uint64_t	 column_size;
	uint64_t	 size;
	_Atomic uint64_t started;	/* wall clock, s */
	_Atomic uint64_t began;		/* the same, monotonic ns */
	_Atomic uint32_t pid;		/* of the master */
	_Atomic uint32_t generation;
	_Atomic uint32_t overload;	/* 0, or the policy + 1 */
	_Atomic uint32_t capacity;
	_Atomic uint32_t moves;		/* odd: figures are being moved */
	_Atomic uint32_t unknown;	/* BOARD_NO_ENDS, BOARD_NO_ROWS: of
					   somebody who was here, ever */
	char		 program[32];
	char		 text[64];	/* its version */
};

struct board {
	struct board_head *head;	/* the mapping */
	size_t		 size;
	int		 fd;		/* -1: private memory */
	int		 view;		/* the same for reading only; -1 */
	/* The layout, not read again from memory that others can write. */
	uint32_t	 columns, rows, slots;
	size_t		 seat_offset, slot_offset, row_offset, column_offset;
	size_t		 column_size;
	/* Of the master: rows below are in use; columns from here on are
	 * untouched. */
	uint32_t	 low, top;
	bool		 full;		/* a row was claimed in vain */
};

/* What reasons of 7.11 are called, by index; NULL: not in use. */
extern const char *const board_ends[BOARD_ENDS];

/* A new one for that many columns and rows; memory is only taken as it is
 * touched. -1, errno. */
int	 board_open(struct board *, unsigned columns, unsigned rows);
/* Maps what came in a BOARD message; fd is taken over. -1 and errno,
 * EPROTO: another layout. */
int	 board_map(struct board *, int fd, size_t size);
/* The same for the program that goes on as its master. */
int	 board_adopt(struct board *, int fd, size_t size);
/* The same for reading; nothing of what is in there may be believed. */
int	 board_look(struct board *, int fd);
void	 board_close(struct board *);

/* The column that is nobody's seat. */
static inline unsigned
board_past(const struct board *b)
{
	return b->columns;
}

/* The columns of health and of orders: nobody's seats. */
static inline unsigned
board_check(const struct board *b)
{
	return b->columns + 1;
}

static inline unsigned
board_orders(const struct board *b)
{
	return b->columns + 2;
}

struct board_seat	*board_seat(const struct board *, unsigned column);
struct board_column	*board_column(const struct board *, unsigned column);
struct board_row	*board_row(const struct board *, unsigned row);
struct board_cell	*board_cell(const struct board *, unsigned column,
			    unsigned row);
/* Row with that identity, or -1. */
int	 board_find(const struct board *, uint32_t kind, const char *name);
/* The same, taking a free row if there is none (master only); -1: full. With
 * a generation that is not (yet) the one in the head the row is there to be
 * found, and shows nothing new. */
int	 board_claim(struct board *, uint32_t kind, const char *name,
	    uint32_t weight, uint32_t generation);
/* What is shown of a row, cut to what there is place for (master only). */
void	 board_describe(struct board *, unsigned row, uint32_t order,
	    const char *label, const char *text);
bool	 board_row_used(const struct board_row *);
/* Name, label or text of a row as a string, size that of the field. */
void	 board_row_text(char *to, size_t size, const char *from);
/* Gives rows up that the configuration in the head does not have, and that
 * nobody uses or holds (master only). Returns how many are free then. */
unsigned board_recycle(struct board *);
/* Orders for what the configuration in the head does not have are over, also
 * if somebody still holds the row: what comes back later is as the file says
 * (master only). */
void	 board_unorder(struct board *);
/*
 * The cell of a row with that identity, for whoever is going to count there:
 * the row stays until it was dropped as often as it was held. NULL: there is
 * no such row (any more).
 */
struct board_cell *board_hold(struct board *, unsigned column, uint32_t kind,
	    const char *name);
void	 board_drop(struct board_cell *);
/*
 * What checks, and an operator, say of a row that the caller holds in a column
 * of his own (else the row may become another's). NULL: there is no such row.
 */
struct board_health	*board_health(const struct board *, uint32_t kind,
			    const char *name);
struct board_switch	*board_switch(const struct board *, uint32_t kind,
			    const char *name);

/*
 * Whether it is on: what an operator ordered, or else what the file says.
 * The switch is that of its row; NULL: nobody can have ordered anything.
 */
static inline bool
board_on(const struct board_switch *s, bool disabled)
{
	if (s != NULL && atomic_load_explicit(&s->ordered,
	    memory_order_relaxed) != 0)
		return atomic_load_explicit(&s->off,
		    memory_order_relaxed) == 0;
	return !disabled;
}

/* A worker's user count. */
uint32_t board_use(const struct board *, unsigned column);
/* Clears a column for its next owner. */
void	 board_reset(struct board *, unsigned column);

/* ---- figures in motion (master only; board_moves.c) ---- */

/* Its worker has left: what it counted becomes past, the seat is free. What
 * it had not finished counts as killed. */
void	 board_leave(struct board *, unsigned column);
/* Makes a column of `to` what one of `from` is: seat (perhaps) and figures,
 * by identity of the rows. Rows that `to` does not have are entered if
 * somebody uses them there. */
void	 board_mirror(struct board *to, unsigned column, bool seat,
	    const struct board *from, unsigned from_column);
/*
 * The columns of health and orders of `to' become those of `from', by
 * identity of the rows that both have; what somebody holds there is his.
 */
void	 board_repeat(struct board *to, const struct board *from);

static inline uint64_t
board_get(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

/* The one writer needs no read-modify-write instruction. */
static inline void
board_add(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_store_explicit(cell, atomic_load_explicit(cell,
	    memory_order_relaxed) + n, memory_order_release);
}

#endif
