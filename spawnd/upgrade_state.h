/*
 * What a master hands to the program that follows it in the same process
 * (5.6, upgrade), as bytes. Pure: descriptors are numbers here, nothing is
 * opened or closed. The two programs may be of different versions: an object
 * may be longer or shorter than here, kinds may be unknown.
 */
#ifndef SPAWND_UPGRADE_STATE_H
#define SPAWND_UPGRADE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "tickets.h"

#define UPGRADE_ENV	"SPAWND_UPGRADE"	/* number of the descriptor */

/* Variable parts of an object; texts end with a NUL, and are NULL if there is
 * none. */
struct upgrade_bytes {
	const void	*data;
	size_t		 len;
};

/*
 * Each object begins with numbers of fixed size, which travel as they stand
 * here: new ones are added at the end of them, none is removed. What follows
 * them, from `tail` on, is written in another way. Descriptors are -1 where
 * there is none.
 */
struct upgrade_service {
	uint64_t	 ids;		/* connection ids given out */
	uint64_t	 started;	/* monotonic ns */
	uint64_t	 tickets_made;	/* ns, the newest key */
	int32_t		 pid;
	uint32_t	 channel_version, board_version;
	uint32_t	 generation;
	uint32_t	 numbers;	/* worker numbers given out */
	uint32_t	 again;		/* enum reload_kind bits: to be done */
	uint32_t	 ntickets;
	int32_t		 standin;	/* socket to the stand-in */
	int32_t		 standin_pid;
	int32_t		 pidfile, status;
	uint32_t	 zero;
	struct ticket_key tickets[TICKETS_MAX];
	struct upgrade_bytes tail[3];
};
#define UPGRADE_PIDFILE		0	/* tail: absolute path */
#define UPGRADE_STATUS		1	/* tail: path of the status socket */
#define UPGRADE_VERSION		2	/* tail: of the program, to be shown */

struct upgrade_listener {
	uint64_t	 none[2];	/* was counts: they are on the board */
	uint64_t	 dev, ino;	/* of a UNIX socket's file */
	int32_t		 fd;		/* -1: not open, or passed */
	uint32_t	 index;		/* in its configuration */
	int32_t		 type, protocol;
	uint32_t	 v6only, accept;
	uint32_t	 addr_len, bound_len;
	uint32_t	 passed;	/* index + 1; 0: none, fd is ours */
	uint32_t	 zero;
	uint8_t		 addr[128];	/* as configured */
	uint8_t		 bound[128];	/* as bound */
	struct channel_record record;	/* what its connections share */
	struct upgrade_bytes tail[3];
};
#define UPGRADE_NAME		0	/* tails: texts */
#define UPGRADE_VRF		1
#define UPGRADE_TEXT		2	/* endpoint, for logs */

struct upgrade_board {			/* the newest one first */
	uint64_t	 size;
	int32_t		 fd;
	uint32_t	 zero;
};

struct upgrade_worker {			/* the oldest one first */
	uint64_t	 served, idle_since, released, returns, started;
	uint64_t	 sign, sum, owes, pinged, suspected_at, ping;
	int32_t		 pid, fd;
	uint32_t	 number, generation;
	uint32_t	 sent, seen, features;	/* of the channel */
	uint32_t	 state;		/* enum proc_state */
	uint32_t	 flags;		/* UPGRADE_GREETED ... */
	uint32_t	 board;		/* index + 1; 0: none */
	uint32_t	 column;
	uint32_t	 users, limit;
	uint32_t	 zero;
	uint8_t		 nonce[8];
	struct upgrade_bytes tail[1];
};
#define UPGRADE_LENT		0	/* tail: by index of the listener */

#define UPGRADE_GREETED		1u
#define UPGRADE_WAS_READY	2u
#define UPGRADE_SUSPECTED	4u
#define UPGRADE_BLOCKED		8u
#define UPGRADE_TOLD		16u
#define UPGRADE_KILLED		32u
#define UPGRADE_BAD_CONFIG	64u

struct upgrade_hand {			/* in the order of their queues */
	uint64_t	 taken;		/* when; plain channel only */
	int32_t		 fd;		/* -1: given to another, returned */
	uint32_t	 worker;	/* number of who was sent it; 0: nobody */
	uint32_t	 listener;	/* which one here; UINT32_MAX: it is
					   removed */
	uint32_t	 tries, moved, generation;
	struct channel_record record;
};

struct upgrade_keys {			/* a key process */
	int32_t		 pid, fd;
	uint32_t	 generation, over;
	uint32_t	 sent, seen, features;
	uint32_t	 zero;
};

struct upgrade_passed {			/* a socket that was passed to us */
	int32_t		 fd;
	uint32_t	 zero;
	struct upgrade_bytes tail[1];
};

/* Owned by whoever read it; tails point into data. */
struct upgrade_state {
	struct upgrade_service	 service;
	struct upgrade_listener	*listeners;
	struct upgrade_board	*boards;
	struct upgrade_worker	*workers;
	struct upgrade_hand	*hands;
	struct upgrade_keys	*keys;
	struct upgrade_passed	*passed;
	size_t			 nlisteners, nboards, nworkers, nhands, nkeys;
	size_t			 npassed;
	void			*data;		/* as it was read */
	size_t			 len;
};

/* The bytes, to be cleansed and freed by the caller; NULL, errno. */
void	*upgrade_state_pack(const struct upgrade_state *, size_t *len);
/*
 * What such bytes say, which may come from anybody. NULL and *why when they
 * are none, or contradict themselves. Every number that serves as an index
 * is in range, every descriptor is named once.
 */
struct upgrade_state *upgrade_state_read(const void *, size_t len,
	    const char **why);
/* Overwrites the ticket keys. */
void	 upgrade_state_free(struct upgrade_state *);
/* All descriptors in it; returns how many, of which at most max are told. */
size_t	 upgrade_state_fds(const struct upgrade_state *, int *fds, size_t max);

#endif
