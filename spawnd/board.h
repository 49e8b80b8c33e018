/*
 * The board: shared memory, one writer per cell, never locked. Column c of
 * a worker is written by that worker only, its head by the master only.
 * Rows (destinations, later relays and redirects) are keyed by identity, so
 * that counters survive what moves indices. It holds no secret.
 *
 * Readers take each 64-bit cell by itself (relaxed atomics; a release store
 * where the order matters, as with `taken`).
 */
#ifndef SPAWND_BOARD_H
#define SPAWND_BOARD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_MAGIC	UINT64_C(0x7370776e64626f31)
#define BOARD_VERSION	1
#define BOARD_ENDS	16	/* reasons of 7.11, see board_ends */
#define BOARD_NAME	128

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
} __attribute__((aligned(64)));

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

/* One row of one column: a destination as one worker sees it. */
struct board_cell {
	_Atomic uint32_t use;
	_Atomic uint32_t dead;		/* mark of 4.6 */
	_Atomic uint64_t total;
	_Atomic uint64_t failures;
	_Atomic uint64_t in, out;	/* bytes from and to clients */
	_Atomic uint64_t spare[3];
};

/* Written by the master: what row r is. */
struct board_row {
	_Atomic uint32_t used;		/* release store after the rest */
	uint32_t	 kind;		/* BOARD_DESTINATION, ... */
	uint32_t	 weight;
	uint32_t	 generation;	/* last configuration that has it */
	char		 name[BOARD_NAME];	/* identity: tcp/[A]:P/pool#n */
};

#define BOARD_DESTINATION	1u
#define BOARD_LISTENER		2u

struct board_head {
	uint64_t	 magic;
	uint32_t	 version, columns, rows, pad;
	uint64_t	 seat_offset, row_offset, column_offset, column_size;
	uint64_t	 size;
	_Atomic uint64_t started;	/* wall clock, s */
	_Atomic uint32_t generation;
	_Atomic uint32_t overload;	/* 0, or the policy + 1 */
	_Atomic uint32_t capacity;
};

struct board {
	struct board_head *head;	/* the mapping */
	size_t		 size;
	int		 fd;		/* -1: private memory */
	/* The layout, not read again from memory that others can write. */
	uint32_t	 columns, rows;
	size_t		 seat_offset, row_offset, column_offset, column_size;
};

/* A new one for that many columns and rows; memory is only taken as it is
 * touched. -1, errno. */
int	 board_open(struct board *, unsigned columns, unsigned rows);
/* Maps what came in a BOARD message; fd is taken over. -1 and errno,
 * EPROTO: another layout. */
int	 board_map(struct board *, int fd, size_t size);
void	 board_close(struct board *);

struct board_seat	*board_seat(const struct board *, unsigned column);
struct board_column	*board_column(const struct board *, unsigned column);
struct board_row	*board_row(const struct board *, unsigned row);
struct board_cell	*board_cell(const struct board *, unsigned column,
			    unsigned row);
/* Row with that identity, or -1. */
int	 board_find(const struct board *, uint32_t kind, const char *name);
/* The same, taking a free row if there is none (master only); -1: full. */
int	 board_claim(struct board *, uint32_t kind, const char *name,
	    uint32_t weight, uint32_t generation);
/* A worker's user count. */
uint32_t board_use(const struct board *, unsigned column);
/* Clears a column for its next owner. */
void	 board_reset(struct board *, unsigned column);

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
