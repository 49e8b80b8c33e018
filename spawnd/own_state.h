/*
 * What stands behind struct own, for own.c, own_process.c, single.c, lent.c.
 * Everything that differs between a worker's process and single-process mode
 * is behind own_ops.
 */
#ifndef SPAWND_OWN_STATE_H
#define SPAWND_OWN_STATE_H

#include "own.h"

/* Connections that this worker accepted itself have numbers that no master
 * gives: this bit, the worker's number, a counter. */
#define OWN_SELF	(UINT64_C(1) << 63)

struct own_ops {
	/* Another process may hold what was handed over. */
	bool	 shares;
	/* Tell whoever gave it that c comes back; its descriptor is being
	 * closed by the caller. */
	void	(*returned)(struct own *, const struct spawnd_conn *,
		    unsigned reason);
	void	(*retire)(struct own *);
	/* Accept nothing for ns, as far as it is ours to accept; NULL. */
	void		(*rest)(struct own *, uint64_t ns);
	/* End of a round in which the number of users has changed. */
	void	(*round)(struct own *);
	/* payload: struct channel_tell and the data. NULL: nobody hears. */
	void	(*tell)(struct own *, const void *payload, size_t, int fd);
};

/* Owned by the process (own_process.c) or the master (single.c). */
struct own {
	const struct own_ops		*ops;
	const struct worker_ops		*engine;
	struct worker			*worker;	/* NULL: not open yet */
	struct ev			*ev;
	uint32_t			 number;
	/* Where the engine counts, and where users are counted: two boards
	 * when the master has one without rows for us. */
	struct board			*board;
	unsigned			 column;
	struct board_seat		*seat;
	struct board_column		*users;
	/* Nobody else writes the seat: given is ours to count. */
	bool				 seat_ours;
	uint64_t			 live;	/* the engine has them */
	uint64_t			 ended;	/* since the last round */
	uint64_t			 accepted;	/* by itself, for ids */
	uint64_t			 taken;	/* with the batch in hand */
	struct ev_task			 turn;
};

/* n connections that the master handed over: counts them as taken, then
 * gives them to the engine. */
void	 own_take(struct own *, const struct spawnd_conn *, unsigned n);
/* The same for those accepted on lent sockets. */
void	 own_accept(struct own *, const struct spawnd_conn *, unsigned n);
/* A connection comes back that the engine has never seen. */
void	 own_refused(struct own *, unsigned n);
/* Have round() called at the end of this round. */
void	 own_stir(struct own *);
/* Users as the master counts them, with those on the way. */
uint32_t own_load(const struct own *);

#endif
