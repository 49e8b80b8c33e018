/*
 * The relay engine of one process: what its sessions share, and the face it
 * shows to the broker (relay_worker_ops, spawnd/program.h).
 */
#ifndef TCPRELAY_WORKER_H
#define TCPRELAY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/ev.h"
#include "../misc/log.h"
#include "../misc/stream.h"
#include "../spawnd/program.h"
#include "config.h"
#include "pick.h"
#include "told.h"

struct facts;
struct forward;
struct forward_table;
struct policy;
struct session;
struct slab;
struct splice_pool;

/* Bytes one turn moves at the most, and the mark of what is kept (7.3). */
#define WORKER_COPY	(256u * 1024)
/* Room in front of the copy buffer for a PROXY header. */
#define WORKER_HEAD	256u
#define WORKER_TICKETS	5

/*
 * How the sessions of one listener are treated, and where they go. One per
 * listener of a setup, which owns it. tcprelay's own language has one kind
 * of relay only, without tables.
 */
struct relay {
	const struct policy	*policy;	/* session.h */
	const struct config_relay *conf;	/* NULL: tcprelay's own */
	struct board_cell	*cell;		/* its listener's, held */
	struct tls_server	*server;	/* NULL: clients are plain. Its
						   own, or the setup's */
	uint64_t		 idle, connect, handshake;	/* ns, idle 0 */
	struct forward_table	*tables;	/* forward.c; NULL: none */
	struct balance_table	*states;	/* the same; of a choice */
	struct net_tcp		 socket;	/* toward servers */
	bool			 facts;		/* sessions need struct facts */
	bool			 local;		/* ... and where the client
						   arrived */
	int8_t			 dscp;		/* of both sides, -1: unset */
};

/*
 * What a session serves by: a configuration and what was made from it. One
 * per generation, reference counted: by the worker, and by the sessions that
 * began with it.
 */
struct setup {
	struct worker		*worker;
	unsigned		 refs;
	struct compiled		*compiled;	/* a reference */
	const struct config	*config;
	struct pick		*pick;
	struct tls_server	*server;	/* NULL: no TLS listener */
	struct tls_client	**clients;	/* by remote; NULL: none */
	struct relay		*relays;	/* by index of listeners */
	size_t			 nrelays;
	struct keyproc		*keys;	/* who signs for both; NULL: we */
	struct setup		*next;	/* on the worker's list */
	/* how long what nobody uses is kept for the next burst, ns */
	uint64_t		 cleanup;
};

/* Owned by the process; one. */
struct worker {
	struct ev		*ev;
	struct own		*own;
	struct stream_env	 env;
	/* WORKER_COPY bytes, behind WORKER_HEAD more. Used within a call. */
	uint8_t			*copy;
	struct splice_pool	*pipes;		/* NULL: no splicing */
	unsigned		 piped;		/* of them, holding data */
	struct setup		*now, *next;	/* in force, prepared */
	struct setup		*setups;	/* all, the newest first */
	struct board_cell	 nowhere;	/* nobody wants to know */
	struct board_seat	*seat;
	uint64_t		 counter;	/* sessions so far */
	struct session		*sessions;	/* all that are not closed */
	struct slab		*slabs;		/* their memory */
	struct session		*idle;		/* room for more of them */
	struct facts		*idle_facts;
	struct forward		*idle_forwards;
	uint32_t		 key[4];	/* of hashes, TELL_HASH_KEY */
	uint64_t		 random;	/* of forward.c; 0: not yet */
	struct session		*again, *again_last;	/* session_again() */
	struct ev_task		 task;
	struct ev_timer		 trim;
	struct tls_ticket_key	 tickets[WORKER_TICKETS];
	unsigned		 ntickets;
	bool			 handshakes;	/* or their sessions' ends,
						   since the last trim */
	struct told		 told;
	bool			 warned_datagram, warned_keys;
	bool			 relays;	/* of relayd's language */
	/* what a client can repeat at will */
	struct log_limit	 limit_local, limit_all, limit_greet;
};

extern const struct worker_ops relay_worker_ops;

void	 setup_unref(struct setup *);
/* The relay of a listener; never NULL. */
struct relay	*setup_relay(const struct setup *, uint32_t index);
/*
 * The row of a destination, or of a host or table, in the worker's column;
 * NULL: the master has none.
 */
struct board_cell *setup_hold(struct setup *, uint32_t kind,
	    const char *identity);
/* Are there descriptors for that many pipes beside all possible sessions? */
bool	 worker_spare(const struct worker *, unsigned pipes);
/* Something was borrowed, or came back, that is to be given to the system
 * later. */
void	 worker_untidy(struct worker *);

#endif
