/*
 * One client's exchange: two streams, two flows, one state. What the parts
 * of the engine share about it; nobody else includes this.
 */
#ifndef TCPRELAY_SESSION_H
#define TCPRELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "flow.h"
#include "reason.h"
#include "route.h"
#include "tell.h"
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
	SESSION_BIND,		/* the parent is asked for a socket */
	SESSION_SHORT,		/* no descriptors: once more in a while */
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
 * Of a relay's session: its way to a server, what is told of it later, and
 * why it ended. Its number is the one of its facts, which it always has.
 */
struct forward {
	struct forward	*next;		/* while on the free list */
	struct route	 route;
	struct net_name	 server;	/* chosen; family 0: none yet */
	struct relay_end end;		/* set before session_close() */
	uint64_t	 connect_by;	/* the last attempt ends, ns */
	/* When it was, ev_now(); 0: it was not. */
	uint64_t	 phase[WHY_PHASES];
	/* Of what waits for a slow reader: the progress, and when there was
	 * one; by the side that was read. */
	uint64_t	 written[SIDES], stalled[SIDES];
	int		 bound;		/* socket of the parent; -1 */
	enum why_who	 who;		/* ended it */
	bool		 made;		/* the address is none of a remote */
	bool		 late;		/* the end had to wait for a write */
	uint8_t		 shortages;	/* of descriptors */
};

/*
 * Owned by its worker: on its list until closed. Memory is returned at the
 * end of the round in which it was closed, see session_again().
 */
struct session {
	struct setup	*setup;		/* a reference, and so is */
	struct relay	*relay;		/* of its listener */
	struct session	*prev, *next;
	struct session	*again;		/* next one on that list */
	struct stream	 stream[SIDES];
	struct flow	 flow[SIDES];	/* flow[s] reads stream[s] */
	struct ev_timer	 timer;		/* due at the nearest deadline */
	uint64_t	 moved;		/* a byte was, or began; ns */
	uint64_t	 deadline;	/* of the state, 0: none */
	uint64_t	 copy;		/* own_copy() */
	uint64_t	 greet_by;	/* of PROXYHDR, PEEK, HANDSHAKE */
	struct pick_way	 way;		/* of tcprelay's policy */
	struct facts	*facts;		/* NULL: nobody wants to know */
	struct forward	*forward;	/* NULL: of tcprelay's own language */
	int32_t		 remote;	/* index, -1: none assigned */
	uint16_t	 tries;		/* to connect, up to UINT16_MAX */
	uint8_t		 state;		/* session_set() */
	uint8_t		 versions;	/* of TLS, 0: plain */
	uint8_t		 want[SIDES];	/* interest the loop knows */
	bool		 watched[SIDES];	/* is in the loop */
	/* Hung up: taken out of the loop, reads never wait. */
	bool		 hung[SIDES];
	uint8_t		 vain;		/* reads of a hung side, in a row */
	/* bits: there are sessions by the ten thousand */
	bool		 queued : 1;	/* for session_again() */
	/* of the listener */
	bool		 psk : 1, tls_auto : 1, proxied : 1;
	bool		 whole : 1;	/* no half-close: SCTP */
};

/* Takes over c's descriptor. -1: it could not, the descriptor is untouched. */
int	 session_open(struct worker *, const struct spawnd_conn *);

/* ---- memory; NULL: there is none */

struct session	*session_alloc(struct worker *);
/* With its facts and its forward, if it has them. */
void	 session_free(struct worker *, struct session *);
struct facts	*session_facts(struct worker *);
struct forward	*session_forward(struct worker *);
/* At the end of the worker, when all are closed. */
void	 session_free_all(struct worker *);

/* ---- its end */

/*
 * The only exit; may be called twice and from any depth. The memory stays
 * until the end of the round.
 */
void	 session_close(struct session *, enum session_end);
/* The same of a relay's session, with its reason. text: what a library said,
 * NULL. Does nothing but close if there is no relay. */
void	 session_fail(struct session *, enum relay_reason, int error,
	    const char *text);
/* That side is gone: it cannot be read, or written to. */
void	 session_broken(struct session *, enum side, int error);
/* Remember when that happened, the first time. */
static inline void
session_phase(struct session *s, enum why_phase phase)
{
	if (s->forward != NULL && s->forward->phase[phase] == 0)
		s->forward->phase[phase] = ev_now(s->setup->worker->ev);
}
/* TLS is there on that side. */
void	 session_secured(struct session *, enum side);
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

/* ---- where a session goes */

enum choice {
	CHOICE_MADE,		/* s->remote is set */
	CHOICE_LATER,		/* somebody is asked, see the state */
	CHOICE_NONE		/* it is closed */
};

/*
 * What tcprelay's language and relayd's do differently on the way to a
 * destination. Whoever closes the session has named the reason.
 */
struct policy {
	/* The next one to try. */
	enum choice	(*choose)(struct session *);
	/* The one in hand cannot be reached; reason is for the log, error
	 * may be 0. at_once: connecting itself said so. May close. */
	void		(*failed)(struct session *, int error,
			    const char *reason, bool at_once);
	/* Not the destination's fault. May close. */
	void		(*refused)(struct session *, int error);
	void		(*connected)(struct session *);
	/* The session is over. */
	void		(*over)(struct session *);
};
extern const struct policy among_policy;	/* all destinations, pick.h */
extern const struct policy forward_policy;	/* tables, balance.h */

/* Begin with the first state that the listener asks for. */
void	 greet_start(struct session *);
void	 greet_late(struct session *);		/* deadline passed */
/* Choose and connect; n bytes of the client stand in the worker's buffer. */
void	 connect_start(struct session *, size_t n);
void	 connect_late(struct session *);
/* Leave the destination in hand. */
void	 connect_drop(struct session *);

/* Make that one of its listener; -1: memory is out. */
int	 forward_relay(struct setup *, const struct config_relay *);
/* Rows that were not there before. */
void	 forward_rows(struct setup *, struct relay *);
void	 forward_free(struct relay *);
/* The parent has answered; the descriptor now is ours, -1: error. */
void	 forward_bound(struct worker *, uint64_t token, int fd, int error);
void	 forward_late(struct session *);
/* Of a socket toward a server. */
int	 forward_options(const struct session *, int family, int fd);
/* What of the session's own times is due, after those that all have. */
uint64_t forward_due(const struct session *);
/* Names the reason, if nobody has. */
void	 forward_end(struct session *, enum session_end);
/* After bytes were moved from side, or wait. */
void	 forward_moved(struct session *, enum side);
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
