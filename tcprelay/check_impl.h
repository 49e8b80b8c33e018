/*
 * What the files of check_* share and nobody else includes.
 */
#ifndef TCPRELAY_CHECK_IMPL_H
#define TCPRELAY_CHECK_IMPL_H

#include "../misc/buf.h"
#include "../misc/log.h"
#include "../misc/pool.h"
#include "../misc/stream.h"
#include "../misc/tls.h"
#include "check.h"
#include "check_http.h"
#include "expect.h"

#define CHECK_PIECE	1024	/* judged at a time */
#define CHECK_ANSWER	1048576	/* read at most */
#define CHECK_RECORD	16384	/* what a TLS stream wants room for */

struct group;
struct probe;

enum probe_state {
	PROBE_IDLE,
	PROBE_QUEUED,		/* it will be started in this round */
	PROBE_CONNECT,
	PROBE_HANDSHAKE,
	PROBE_SEND,
	PROBE_READ,
	PROBE_ICMP_SEND,
	PROBE_ICMP_READ,
	PROBE_SCRIPT
};

/* First in, first out; whoever is in it may leave it. */
struct queue {
	struct probe	*head, **tail;
};

/* How an answer is judged. */
struct judge {
	void	(*start)(struct probe *);
	/* true: the verdict can be told, without more. */
	bool	(*take)(struct probe *, const uint8_t *, size_t);
	/* Of what has come. */
	enum host_error (*end)(struct probe *);
	enum host_error	 good;
};

/* One host of one table. Owned by the setup; goes over to the next one if
 * that has the same host. */
struct probe {
	struct check	*check;
	struct group	*group;
	struct check_host conf;		/* name is in the setup's arena */
	bool		 disabled;
	bool		 kept, fresh;	/* used only while one is adopted */
	struct probe	*children, *sibling;
	struct host	 host;

	enum probe_state state;		/* written by probe_set alone */
	uint64_t	 began;
	struct ev_timer	 timer;
	struct queue	*queue;		/* NULL: in none */
	struct probe	*next, **link;
	struct stream	 stream;	/* fd -1: none */
	size_t		 sent;
	size_t		 received;
	union {
		struct expect_state	 expect;
		size_t			 same;	/* bytes, of binary */
		struct check_http	 http;
		uint32_t		 run;	/* of the script */
		struct {
			uint32_t serial;
			uint64_t cookie;
		} icmp;
	} u;
};

/* One table. */
struct group {
	const struct check_table *conf;	/* a copy in the arena */
	uint64_t	 timeout;	/* ns */
	unsigned	 left;		/* rounds to be left out */
	bool		 disabled;
	struct probe	**probes;
	size_t		 nprobes;
	const struct judge *judge;	/* NULL: no answer is read */
	const uint8_t	*request;
	size_t		 request_len;
	struct expect	*expect;
	struct tls_client *tls;
};

/* What was adopted: all of it in one arena, but probes. */
struct setup {
	struct arena	*arena;
	struct group	*groups;
	size_t		 ngroups;
	struct probe	**probes;	/* by id */
	size_t		 nprobes;
	uint64_t	 interval;	/* ns */
};

/* One address family. */
struct icmp {
	struct check	*check;
	int		 family;
	int		 send, receive;	/* -1: none */
	bool		 bare;		/* no IP header, the identifier is the
					   system's: a ping socket */
	struct queue	 queue;		/* of the batch, not sent yet */
	uint16_t	 sequence;	/* of the last one sent */
	int		 hops, now;	/* the system's, and what is set */
	struct ev_timer	 retry;		/* the system had no room */
};

struct check {
	struct ev	*ev;
	const struct check_ops *ops;
	void		*ctx;
	unsigned	 log;
	struct setup	*setup;		/* NULL: nothing was adopted yet */
	uint64_t	 last;		/* when the last round began */
	struct ev_timer	 timer;		/* of the next one */
	struct ev_task	 task;
	struct queue	 queue;		/* to be started */
	struct icmp	 icmp[2];
	uint16_t	 ident;
	uint32_t	 serial;	/* of the last check that needs one */
	uint32_t	 adopted;	/* it was that when hosts got numbers */
	size_t		 running;
	struct log_limit limits[2];
	uint64_t	 random[32];
	unsigned	 nrandom;
	struct stream_env env;
	uint8_t		*piece;		/* CHECK_RECORD bytes */
};

/* check.c */
void	 queue_init(struct queue *);
void	 queue_put(struct queue *, struct probe *);
void	 queue_drop(struct probe *);
/* Where a check goes on; from PROBE_IDLE it is counted. */
void	 probe_set(struct probe *, enum probe_state);
/* It ends without a result. */
void	 probe_stop(struct probe *);
/* It ends, once: the probe is idle when this returns. */
void	 check_done(struct probe *, enum host_state, enum host_error);
struct probe *check_find(const struct check *, uint32_t id);
/* Start it; idle, and permitted. */
void	 check_start(struct probe *);
void	 check_line(struct check *, int severity, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

/* check_setup.c: the new one, into which probes have gone over; what is new
 * is to be started. The old one is gone. */
struct setup *setup_new(struct check *, const struct check_conf *);
void	 setup_free(struct setup *);
struct probe *setup_find(const struct setup *, uint32_t id);
bool	 probe_checked(const struct probe *);	/* nothing forbids it */

/* check_tcp.c */
extern const struct judge judge_expect, judge_binary, judge_code,
	judge_digest;
void	 check_tcp_start(struct probe *);

/* check_icmp.c */
int	 check_icmp_init(struct check *, const int fds[static CHECK_SOCKETS]);
void	 check_icmp_clear(struct check *);
void	 check_icmp_put(struct probe *);	/* into the next batch */
void	 check_icmp_begin(struct check *);	/* send it */

/* check_script.c */
void	 check_script_start(struct probe *);

#endif
