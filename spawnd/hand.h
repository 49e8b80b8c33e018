/*
 * Connections in the master's hands: from accept to the moment when it is
 * certain that a worker has them. Each descriptor is closed exactly once.
 */
#ifndef SPAWND_HAND_H
#define SPAWND_HAND_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"

struct datagram;
struct listener;
struct master;
struct proc;

/*
 * A connection, or a datagram with a socket that is connected to its client.
 * Of a stream a copy of the descriptor is kept until it is TAKEN. The socket
 * of a datagram is closed as soon as it is sent, since a copy would swallow
 * what the client sends next; the datagram itself is kept, and gets another
 * socket if another worker gets it.
 *
 * Owned by the queue it stands on: its worker's `out` (not sent yet), its
 * worker's `kept` (sent, TAKEN not seen or not long ago), or the master's
 * `homeless`.
 */
struct hand {
	struct hand		*next;
	struct listener		*listener;	/* a reference */
	int			 fd;		/* -1: given to another, or
						   returned, or none yet */
	struct datagram		*datagram;	/* owned; NULL: a stream, or
						   given to another */
	uint16_t		 tries;		/* workers that had it */
	bool			 moved;		/* the worker that has the
						   message must not take it */
	uint64_t		 taken;		/* when, plain only; 0 */
	uint32_t		 generation;	/* the record is written for */
	struct channel_record	 record;
};

struct hand_queue {
	struct hand	*first, *last;
	unsigned	 n;
};

/* Takes fd over; NULL (and fd closed) when memory is out. */
struct hand *hand_new(struct master *, struct listener *, int fd);
/* Closes what is still open. */
void	 hand_free(struct master *, struct hand *);
void	 hand_push(struct hand_queue *, struct hand *);
struct hand *hand_pop(struct hand_queue *);

/* To this worker, with the next message. */
void	 hand_give(struct proc *, struct hand *);
/* To whom 4.1 says, not to `except`; homeless if there is nobody. */
void	 hand_place(struct master *, struct hand *,
	    const struct proc *except);
/* Homeless ones that find a place now. */
void	 hand_settle(struct master *);

/* Sends what is due to p. false: its channel has failed. */
void	 hand_flush(struct proc *);
/* To everybody, now instead of at the end of the turn. */
void	 hand_flush_all(struct master *);
/* Let go of what p has taken by its column of the board, once what it gave
 * back by message is known. */
void	 hand_release(struct proc *);
/* The same: the channel was read to its end. */
void	 hand_cover(struct proc *);
/* Before a fork: until it executes something else, the child has a copy of
 * everything that is in our hands. */
void	 hand_forks(struct master *);
/* Connections that workers may have taken have come from elsewhere. */
void	 hand_resume(struct master *);
/* TAKEN on the plain channel: the copy is let go a little later, so that a
 * worker that finds it cannot serve after all may still give it back. */
void	 hand_taken(struct proc *, uint64_t id);
void	 hand_returned(struct proc *, uint64_t id, uint32_t reason);
/* Connections due to p that it has not taken. */
uint32_t hand_untaken(const struct proc *);
/* p cannot be trusted with (alive) or is gone with what it has not taken:
 * to others with all of it. */
void	 hand_move(struct proc *, bool alive);

#endif
