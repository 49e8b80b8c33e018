/*
 * Processes of ours beside the workers: whatever they do, they are started,
 * greeted and heard alike. aide_start.c is the master's side, aide.c the one
 * of the process. What becomes of them is their own affair (keys.h, roles.h).
 */
#ifndef SPAWND_AIDE_H
#define SPAWND_AIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/ev.h"
#include "../misc/source.h"
#include "channel.h"
#include "outbox.h"

struct master;

/*
 * What is in a channel now, at most that many messages. got says whether to
 * go on, which it must not where the channel is no more; a descriptor that it
 * keeps it sets to -1, the others are closed. CHANNEL_CLOSED: nothing more
 * will come; else CHANNEL_NOTHING.
 */
enum channel_result aide_read(struct channel *, int most,
	    bool (*got)(void *, struct channel_message *), void *ctx);

/* ---- the master's side ---- */

/*
 * As fork(): 0 in the child, whose end is *theirs; else the channel is ours,
 * and the nonce is a new one. -1, errno. size: of the channel's buffer, 0: as
 * it is.
 */
pid_t	 aide_fork(struct master *, struct channel *, uint8_t nonce[8],
	    int size, int *theirs);
/* The child becomes the program again, and finds fd at 0 and the nonce in
 * that variable. argv NULL: no memory. */
_Noreturn void aide_run(const struct master *, int fd, const char *name,
	    const uint8_t nonce[8], struct source *, char **argv);
/* The first message to it. */
struct channel_hello aide_hello(const uint8_t nonce[8], uint32_t generation,
	    uint32_t instance);

/* ---- the process ---- */

struct aide_ops {
	/* By type, those that are not the same for all; of HELLO, LOGFILE,
	 * PING and MAY_DIE it is not asked. */
	void	(*messages[CHANNEL_TYPES])(void *, struct channel_message *);
	/* It is not needed any more, says the master or a signal. */
	void	(*over)(void *);
	/* The master is gone; its channel is closed. */
	void	(*lost)(void *);
};

/* One per process, part of what it is. */
struct aide {
	const struct aide_ops	*ops;
	void			*ctx;
	const char		*name;		/* in logs */
	int			 foreign;	/* status, of one that is not
						   the master's */
	struct ev		*ev;
	struct channel		 channel;	/* fd -1: the master is gone */
	struct outbox		 outbox;
	uint8_t			 nonce[8];
	bool			 greeted;
	bool			 ending;	/* nothing more is read */
	int			 status;	/* to end with */
};

/* Whether this process was started as one, by that variable. */
bool	 aide_is_process(const char *name);
/* Signals, loop and channel; ops, ctx, name and foreign are set. false: why
 * is logged, or errno. */
bool	 aide_open(struct aide *, const char *name);
/* Until it ends. The exit status. */
int	 aide_serve(struct aide *);
void	 aide_close(struct aide *);
void	 aide_end(struct aide *, int status);
/* Kept while the channel is full. false: errno. */
bool	 aide_send(struct aide *, enum channel_type, const void *a,
	    size_t alen, const void *b, size_t blen, int fd);
/* Nobody else looks into this process, and it leaves no core. */
void	 aide_conceal(void);

#endif
