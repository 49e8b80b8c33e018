/*
 * What a relay worker is told, and tells (spawnd/role.h). Numbers below
 * TELL_ENGINE are the engine's, a front end's own begin there. Integers in
 * host order: all processes are of one build.
 */
#ifndef TCPRELAY_TELL_H
#define TCPRELAY_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/net.h"

enum tell_type {
	TELL_SESSIONS = 1,	/* to a worker: struct tell_ask. Answered, to
				   whoever asked, by any number of ... */
	TELL_SESSION_LIST,	/* struct tell_list, then n tell_session;
				   last is set in the last one */
	TELL_WHY,		/* to a worker: struct tell_ask_why */
	TELL_WHY_LIST,		/* struct tell_list, then n tell_why */
	TELL_BIND,		/* to the parent: struct tell_bind */
	TELL_BOUND,		/* struct tell_bound, with the socket */
	TELL_HASH_KEY,		/* to a worker: uint32_t[4], once per service,
				   before it serves: of relays without one */
	TELL_VERBOSE,		/* to anybody: uint32_t, debug lines or not */
	TELL_ENGINE = 32
};

struct tell_ask { uint32_t token, zero; };

struct tell_list {
	uint32_t token, n, last, zero;
};

struct tell_session {
	uint64_t id;			/* within the worker */
	uint32_t worker, pid, relay;	/* number, process, id of the relay */
	uint32_t done;			/* one side has ended */
	uint64_t age, idle;		/* ns */
	struct net_name client, server;	/* server.family 0: none yet */
	char tag[64];			/* "" */
};

/* ---- sessions that are over: the last ones of each worker ---- */

struct tell_ask_why {
	uint32_t token, host;		/* host: all of that destination; 0 */
	uint64_t session;		/* 0: all */
	uint32_t worker;		/* of session; 0: any */
	uint32_t zero;
	char name[64];			/* of a host or its address; "" */
};

/* When what happened, as ns from its beginning; 0: it did not. */
enum why_phase { WHY_HANDSHAKE, WHY_CHOSEN, WHY_CONNECTED,
    WHY_SERVER_HANDSHAKE, WHY_FIRST_REQUEST, WHY_FIRST_RESPONSE,
    WHY_CLIENT_END, WHY_SERVER_END, WHY_END, WHY_PHASES };
enum why_who { WHY_CLIENT, WHY_SERVER, WHY_RELAY, WHY_OPERATOR, WHY_WHO };

struct tell_why {
	uint64_t id;
	uint32_t worker, relay, host;	/* host 0: no host of a table */
	uint32_t tries;
	uint64_t began;			/* wall clock, ns */
	uint64_t phase[WHY_PHASES];
	uint64_t in, out;		/* bytes from the client, to it */
	uint32_t who;			/* enum why_who closed it */
	uint32_t error;			/* flag of the session's line */
	struct net_name client, server;
	char reason[64];		/* as in the session's line */
	char relay_name[64], host_name[64];
};

/* ---- sockets that only the parent may make ---- */

struct tell_bind {
	uint64_t token;
	struct net_addr from;		/* the client's, port 0 */
};

struct tell_bound {
	uint64_t token;
	int32_t error;			/* errno; 0: the socket comes along */
	int32_t zero;
};

#endif
