/*
 * One client's exchange: two streams, two flows, one state. What the parts
 * of the engine share about it; nobody else includes this.
 */
#ifndef TCPRELAY_SESSION_H
#define TCPRELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "flow.h"
#include "worker.h"

/* Index of streams, and of the flows that read them. */
enum side { CLIENT, REMOTE, SIDES };

static inline enum side
side_other(enum side side)
{
	return side == CLIENT ? REMOTE : CLIENT;
}

enum session_state {
	SESSION_NEW,
	SESSION_PROXYHDR,	/* a PROXY header may come */
	SESSION_PEEK,		/* TLS or plain? */
	SESSION_HANDSHAKE,	/* TLS with the client */
	SESSION_CONNECT,
	SESSION_REMOTE_PROXY,	/* sending the rest of a PROXY header */
	SESSION_REMOTE_HANDSHAKE,
	SESSION_RELAY,
	SESSION_CLOSING,	/* as RELAY, but our close alert is out */
	SESSION_CLOSED
};

/* How a session ended: an index of board_ends[], in its order. 7.11 */
enum session_end {
	END_DONE, END_CLIENT, END_REMOTE, END_IDLE, END_NO_DESTINATION,
	END_HANDSHAKE, END_HANDSHAKE_TIMEOUT, END_PROXY_HEADER, END_MAVIS,
	END_SESSION_TIMEOUT, END_LOCAL, END_KILLED, ENDS
};

enum session_event { EVENT_READ, EVENT_WRITE, EVENT_ERROR, EVENT_HANGUP };

/* What only some configurations want to know: logs, PROXY headers, TLS. */
struct facts {
	struct facts	*next;		/* while on the free list */
	uint64_t	 counter;	/* of the worker's sessions */
	uint64_t	 started;	/* accepted, ns */
	struct net_name	 src, dst;	/* perhaps from a PROXY header */
	uint32_t	 listener;	/* its index */
	bool		 announced;	/* by a PROXY header */
	uint8_t		 head_sent;	/* bytes of our PROXY header */
	char		 realm[16];
};

/*
 * Owned by its worker: on its list until closed. Memory is returned at the
 * end of the round in which it was closed, see session_again().
 */
struct session {
	struct setup	*setup;		/* a reference, and so is */
	struct board_cell *listener;	/* where it is counted */
	struct session	*prev, *next;
	struct session	*again;		/* next one on that list */
	struct stream	 stream[SIDES];
	struct flow	 flow[SIDES];	/* flow[s] reads stream[s] */
	struct ev_timer	 timer;		/* due at the nearest deadline */
	uint64_t	 moved;		/* a byte was, or began; ns */
	uint64_t	 deadline;	/* of the state, 0: none */
	uint64_t	 copy;		/* own_copy() */
	uint64_t	 greet_by;	/* of PROXYHDR, PEEK, HANDSHAKE */
	struct pick_way	 way;
	struct facts	*facts;		/* NULL: nobody wants to know */
	int32_t		 remote;	/* index, -1: none assigned */
	uint32_t	 tries;
	uint8_t		 state;		/* session_set() */
	uint8_t		 versions;	/* of TLS, 0: plain */
	int8_t		 dscp;		/* of the listener, -1: unset */
	uint8_t		 want[SIDES];	/* interest the loop knows */
	bool		 watched[SIDES];	/* is in the loop */
	/* Hung up: taken out of the loop, reads never wait. */
	bool		 hung[SIDES];
	bool		 queued;	/* for session_again() */
	uint8_t		 vain;		/* reads of a hung side, in a row */
	bool		 psk, tls_auto, proxied;	/* of the listener */
	bool		 whole;		/* no half-close: SCTP */
};

/* Takes over c's descriptor. -1: it could not, the descriptor is untouched. */
int	 session_open(struct worker *, const struct spawnd_conn *);
/* At the end of the worker, when all are closed. */
void	 session_free_all(struct worker *);
/*
 * The only exit; may be called twice and from any depth. The memory stays
 * until the end of the round.
 */
void	 session_close(struct session *, enum session_end);
/* The gate: writes the state and its deadline. */
void	 session_set(struct session *, enum session_state);
/* After each event: interest, timer, end of streams, as the state wants. */
void	 session_settle(struct session *);
/* Call the state's step once more before the loop waits. */
void	 session_again(struct session *);
/* For stream_tls_notify(): the same, for a handshake that had to wait. */
void	 session_signed(void *);
/* It hung up: nothing more to be learned from the loop. */
void	 session_hung(struct session *, enum side);
/* Close one stream's descriptor without a word. */
void	 session_drop(struct session *, enum side);
const char *session_end_name(enum session_end);
const char *session_state_name(const struct session *);

#define SESSION_CLOSING_TIME	(30 * EV_SECOND)

/* Steps of the states; event is what happened on that side. */
void	 greet_proxy(struct session *, enum side, enum session_event);
void	 greet_peek(struct session *, enum side, enum session_event);
void	 greet_handshake(struct session *, enum side, enum session_event);
void	 connect_event(struct session *, enum side, enum session_event);
void	 relay_event(struct session *, enum side, enum session_event);

/* Begin with the first state that the listener asks for. */
void	 greet_start(struct session *);
void	 greet_late(struct session *);		/* deadline passed */
/* Choose and connect; n bytes of the client stand in the worker's buffer. */
void	 connect_start(struct session *, size_t n);
void	 connect_late(struct session *);
/* Both sides are there. */
void	 relay_start(struct session *);
void	 relay_late(struct session *);

/* The session's line (7.11) or nothing. */
void	 sesslog_end(const struct session *, enum session_end);

static inline struct worker *
session_worker(const struct session *s)
{
	return s->setup->worker;
}

/* May another process hold this side's socket? */
static inline bool
session_shared(const struct session *s, enum side side)
{
	return side == CLIENT && own_shared(session_worker(s)->own, s->copy);
}

#endif
