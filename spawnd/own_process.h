/*
 * The process of an own worker: what its files share. One per process.
 */
#ifndef SPAWND_OWN_PROCESS_H
#define SPAWND_OWN_PROCESS_H

#include "lent.h"
#include "worker.h"

#define STATUS_USAGE	64
#define STATUS_OS	71
#define STATUS_CONFIG	78
#define REASON_MAX	1024		/* of a text for BAD-CONFIG */

/* Owned by own_main(), for the life of the process. */
struct process {
	struct own		 own;	/* first: what the engine knows */
	const struct program	*program;
	const struct program_manners *manners;	/* NULL: the broker's */
	const char		*base;		/* base name of argv[0] */
	struct spawnd_worker	*link;
	bool			 lost;		/* the channel is */
	uint32_t		 rest;		/* of the master, told of it */
	bool			 board_shared;
	struct board		 shared, private;
	struct lents		 lents;
	struct conf_request	 request;
	struct compiled		*running, *prepared;
	uint32_t		 debug;
	bool			 stderr_copy;

	bool			 announced;	/* READY was sent */
	bool			 draining;
	unsigned		 terms;		/* SIGTERMs */
	bool			 warned_udp;
	uint32_t		 room;		/* users, as announced */
	struct ev_task		 announce;
	struct ev_timer		 keepalive, title;

	/* Connections that wait for TAKEN or RETURN to leave before they may
	 * be served; nothing is read meanwhile. */
	bool			 holding;
	unsigned		 nconns, ntold, nrefused;
	struct spawnd_conn	 conns[CHANNEL_BATCH];
};

static inline struct process *
process_of(struct own *o)
{
	return (struct process *)o;
}

/* The end of the service is that of sessions. */
static inline bool
process_cuts(const struct process *p)
{
	return p->manners != NULL && p->manners->cut;
}

static inline bool
process_has(const struct process *p, uint32_t feature)
{
	return (p->link->ch.features & feature) != 0;
}

/* ---- own_process.c */

extern const struct own_ops process_ops;

/* Interest in the channel as it follows from what is held or queued. */
void	 process_interest(struct process *);
/* Never fails: what finds the channel full is sent later, and a channel that
 * is lost is noticed by reading. */
void	 process_send(struct process *, enum channel_type, const void *payload,
	    size_t);
void	 process_bad_config(struct process *, const char *why);
void	 process_ready(struct process *, const struct compiled *);
/* Users that the descriptor limit permits. */
uint32_t process_room(const struct process *);
void	 process_title(struct process *);
/* No more connections; ends when idle. dying: tells the master. */
void	 process_drain(struct process *);
void	 process_dying(struct process *);
void	 process_lost(struct process *);

/* ---- own_conns.c */

void	 process_accept(struct process *, struct channel_message *);
void	 process_batch(struct process *, struct channel_message *);
void	 process_udpdata(struct process *, struct channel_message *);
void	 process_refuse(struct process *, uint64_t id, uint32_t reason);
/* Serves what is held, if the master knows what it must. */
void	 process_deliver(struct process *);
/* Gives back what has been held for too long. */
void	 process_age(struct process *, uint64_t now);

/* ---- own_config.c */

/* Log settings of a configuration, with what the command line adds, and
 * what it says about crashes. */
void	 process_log(struct process *, const struct compiled *);
/* Starts the engine, once there is a board. -1: logged. */
int	 process_open(struct process *);
/* Ready to serve by c, which is taken over; adopted at once if it is the
 * first. -1: the engine cannot use it, reasons in diag. */
int	 process_prepare(struct process *, struct compiled *c, struct diag *);
/* READY, when everything has come that was sent by now. */
void	 process_announce(struct process *);
void	 process_config(struct process *, struct channel_message *);
void	 process_commit(struct process *, struct channel_message *);

/* ---- own_messages.c */

extern const struct ev_ops process_channel_ops;

/* Reads until there is nothing, or until connections came. False: nothing
 * was there. */
bool	 process_read(struct process *);

#endif
