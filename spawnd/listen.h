/*
 * Bound sockets, owned by the master: opened, kept over reloads, accepted
 * from in batches.
 */
#ifndef SPAWND_LISTEN_H
#define SPAWND_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/ev.h"
#include "../misc/log.h"
#include "board.h"
#include "channel.h"
#include "conf.h"

struct datagram_recent;
struct hand;
struct master;
struct sticky;

/*
 * On the master's list while its configuration has it. Connections that
 * wait in the master hold references beyond that.
 */
struct listener {
	struct listener		*next;
	struct master		*master;
	unsigned		 refs;
	const struct listener_conf *conf;	/* NULL once removed */
	uint32_t		 generation;	/* of conf */
	struct channel_record	 record;	/* what its connections share */
	struct net_addr		 addr;		/* as bound */
	char			 text[NET_TEXT + 32];	/* endpoint, for logs */
	int			 fd;		/* -1: not open (retrying) */
	dev_t			 dev;		/* of a UNIX socket's file, */
	ino_t			 ino;		/* as it was bound */
	bool			 watched;	/* by the master's loop */
	bool			 paused;	/* out of descriptors */
	bool			 fresh;		/* opened by a reload that is
						   not committed */
	bool			 mute;		/* fresh: bound, no more */
	const struct listener_conf *heir;	/* while a reload prepares: what
						   it becomes; NULL: it goes */
	bool			 aside;		/* while a reload prepares: it
						   becomes another door of heir */
	struct listener_conf	*own;		/* of another door of conf: its
						   own endpoint; NULL */
	const char		*option;	/* that could not be set; NULL */
	unsigned		 holders;	/* workers it is lent to */
	unsigned		 expect, full;	/* see listener_readable */
	struct ev_timer		 retry, pause;
	struct sticky		*sticky;	/* its own cache; NULL */
	struct datagram_recent	*recent;	/* of datagrams; NULL */
	struct log_limit	 acl_limit;
	struct board_cell	*cell;		/* where the master counts what
						   it accepts and refuses; NULL */
};

struct listener *listener_new(struct master *, const struct listener_conf *,
	    uint32_t generation);
struct listener *listener_ref(struct listener *);
void	 listener_unref(struct listener *);
/*
 * Bind and listen. -1 and errno; nothing stays open then. A fresh one that a
 * listener of ours is in the way of is only bound: until the switch its
 * connections are that one's.
 */
int	 listener_open(struct listener *);
/* To the log, once its connections are ours. */
void	 listener_opened(const struct listener *);
/* Why it could not be, for logs. */
const char *listener_reason(const struct listener *);
/* The same as a whole line: with the place of an owner. */
#define LISTENER_FAILURE	1024
const char *listener_failure(const struct listener *, char *buf, size_t);
/* The switch: from now on they come to this one. -1, errno. */
int	 listener_speak(struct listener *);
/* Everything that is queued is accepted and handed out, whatever the limits
 * say; then the socket is closed. */
void	 listener_shut(struct listener *);
/* Closed, off its timers; the reference of the list is given back. */
void	 listener_close(struct listener *);
/* The same endpoint with other settings, from the next accept on. */
void	 listener_adopt(struct listener *, const struct listener_conf *,
	    uint32_t generation);
/* Another door of c's listener, see heirs.h. false: there is no memory. */
bool	 listener_set_aside(struct listener *, const struct listener_conf *,
	    uint32_t generation);
/* What its socket is bound to. */
const struct listener_conf *listener_endpoint(const struct listener *);
/* Writes the listener's part of a record anew. */
void	 listener_record(struct listener *, struct hand *);
/* Workers accept there (whether or not one holds it now). */
bool	 listener_lent(const struct listener *);
/* Try again every so often. */
void	 listener_retry(struct listener *);
/* At a reload, one that was not open before either: tried at once, and from
 * then on as the new configuration says. */
void	 listener_reopen(struct listener *);
struct listener *listener_by_index(struct master *, uint32_t index);

/* Opens all that are not open. false: none is open or being retried, or one
 * that has an owner is not. */
bool	 listeners_open(struct master *);
/* Who is watched, after anything changed that it depends on. */
void	 listeners_update(struct master *);
/* Backlogs, after overload began or ended. */
void	 listeners_backlog(struct master *);
bool	 listeners_lent(const struct master *);
void	 listeners_close(struct master *);

/* On the board: what it is, and where it is counted. Whenever that may have
 * changed. */
void	 listener_show(struct listener *);
void	 listeners_show(struct master *);

static inline void
listener_accepted(struct listener *l)
{
	if (l->cell != NULL)
		board_add(&l->cell->total, 1);
}

static inline void
listener_refused(struct listener *l)
{
	if (l->cell != NULL)
		board_add(&l->cell->failures, 1);
}

/* Sticky caches. */
void	 sticky_prepare(struct master *);
void	 sticky_worker_left(struct master *, uint32_t number);

#endif
