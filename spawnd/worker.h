/*
 * Inside of the worker half: what our own workers (own_process.c) use of it
 * beyond the public interface of spawnd.h.
 */
#ifndef SPAWND_WORKER_H
#define SPAWND_WORKER_H

#include <stdalign.h>
#include <stdbool.h>

#include "channel.h"

#define WORKER_ERROR		160	/* size of a text for what went wrong */
#define WORKER_KEEPALIVE	UINT64_C(60000000000)	/* ns */
#define WORKER_OLD		UINT64_C(20000000000)	/* 5.4 */

/* A message that the channel had no room for. */
struct worker_out {
	struct worker_out	*next;
	enum channel_type	 type;
	size_t			 len;
	int			 fd;	/* a copy; -1: none */
	uint8_t			 payload[];
};

struct spawnd_worker {
	struct channel		 ch;
	uint8_t			 nonce[8];
	uint8_t			 build[16];	/* the master's */
	uint32_t		 generation;	/* from HELLO */
	uint32_t		 number;	/* the same */
	uint32_t		 offered;	/* features, the same */
	uint32_t		 owed;		/* ended, DONE not sent */
	uint32_t		 max;		/* as announced; 0: not yet */
	uint64_t		 spoke;		/* last KEEPALIVE */
	struct worker_out	*out, **out_end;
	bool			 told;		/* MAY-DIE came */
	bool			 holding;	/* held waits for TAKEN to go */
	struct spawnd_conn	 held;
	alignas(8) uint8_t	 buf[CHANNEL_MAX];
};

/* 1.2: whether descriptor 0 and the environment say that we are a worker. */
bool	 worker_started(void);
/* spawnd_worker_open() with the reason as text. */
struct spawnd_worker *worker_start(int version,
	    char error[static WORKER_ERROR]);
/* In order; kept when the channel is full. -1 and errno: it is lost. */
int	 worker_send(struct spawnd_worker *, enum channel_type,
	    const void *payload, size_t len);
/* The same with a descriptor, which is copied. */
int	 worker_send_fd(struct spawnd_worker *, enum channel_type,
	    const void *payload, size_t len, int fd);
/* Whether all that was sent is on its way; tries to. */
bool	 worker_flushed(struct spawnd_worker *);
/* Monotonic ns. */
uint64_t worker_clock(void);
/* Whether a connection was under way for too long to be served (5.4). */
bool	 worker_old(const struct spawnd_conn *, uint64_t now);

#endif
