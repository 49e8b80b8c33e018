/*
 * The supervisor: what the files of the master's side share. One per
 * process; internal to spawnd/.
 */
#ifndef SPAWND_MASTER_H
#define SPAWND_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/daemon.h"
#include "../misc/ev.h"
#include "../misc/log.h"
#include "dispatch.h"
#include "hand.h"
#include "inherit.h"
#include "load.h"
#include "program.h"
#include "segment.h"
#include "sticky.h"
#include "tickets.h"

struct adopt;
struct dgrams;
struct keys;
struct listener;
struct proc;
struct refresh;
struct reload;
struct roles;
struct seats;
struct self;
struct statussock;
struct store;
struct upgrade_state;

/* The command line, and what is known about ourselves. Never changes. */
struct start {
	char		**argv;		/* of title_open */
	char		**environ_base;	/* as we were started */
	const char	*base;		/* base name of argv[0] */
	const char	*self;		/* path of the executable */
	const struct self *image;	/* and the file that it is */
	const char	*file;
	const char	*broker_id;	/* -I or the trailing id; NULL */
	const char	*worker_id;	/* -i; NULL */
	const char	*pidfile;	/* -p; NULL */
	const char	*keyfile;	/* -k; NULL */
	const char	*debug_text;	/* -d as given; NULL */
	/* Of a program with options of its own, NULL or: what the compiler
	   is to know of them; all that children have on their command lines,
	   and the check before an upgrade (behind -n), NULL ends. */
	const char	*extra;
	char *const	*options;
	uint32_t	 debug;
	bool		 stderr_copy;	/* -D */
	bool		 background, foreground, single, check;
	bool		 status, plan, json;	/* -s, --plan, and how */
	struct inherit	 inherit;	/* sockets passed to us */
	/* what the program before us left to us; NULL: a start */
	struct upgrade_state *handed;
};

/* The workers of the current generation, as dispatch.c wants to see them:
 * made anew when it is needed, never kept between turns. */
struct crew {
	struct dispatch_worker	*workers;
	struct proc		**procs;
	size_t			 n, room;
	struct dispatch_rule	 rule;
};

/* Workers that ended too quickly (5.7). */
struct throttle {
	uint64_t	 delay;		/* ns; 0: none */
	bool		 waiting;	/* no start until the timer fires */
	struct ev_timer	 timer;
	bool		 unknown;	/* one has left, why is not known yet */
	struct ev_timer	 unknown_timer;
};

struct master {
	struct ev		*ev;
	const struct program	*program;
	const struct start	*start;
	struct loaded		 conf;		/* committed; owned */
	uint32_t		 generation;

	struct proc		*oldest, *newest;	/* all processes */
	unsigned		 nprocs;
	uint32_t		 numbers;	/* worker numbers given out */
	bool			 served;	/* a worker was READY, ever */
	struct crew		 crew;
	struct throttle		 throttle;
	struct seats		*seats;		/* boards, newest first */
	struct keys		*keys;		/* key processes */
	struct roles		*roles;		/* and others; NULL: none */
#define SEGMENTS	2
	struct segment		 segments[SEGMENTS];	/* ipc key */

	struct listener		*listeners;	/* in the order of the file */
	uint64_t		 ids;		/* connection ids given out */
	uint64_t		 forked;	/* the last id at the last fork */
	struct hand		*free_hands;
	struct hand_queue	 homeless;	/* nobody can take them now */
	struct proc		*unsent;	/* have connections to send */
	struct ev_task		 flush;
	struct ev_timer		 release;	/* of kept descriptors */
	struct dgrams		*dgrams;	/* room to receive into; NULL */

	struct sticky		*sticky;	/* the shared cache; NULL */
	struct tickets		 tickets;
	struct ev_timer		 rotate;

	bool			 overload;
	bool			 stalled;	/* accept nothing: WAIT */
	bool			 holding;	/* an upgrade: nothing is
						   begun before its end */
	bool			 ending;
	struct log_limit	 overload_limit, again_limit, fds_limit;
	struct ev_timer		 poll;		/* of the board, in overload */
	int			 reserve;	/* a descriptor to sacrifice */

	struct reload		*reload;
	struct refresh		*refresh;
	struct store		*store;		/* copies being written; NULL */
	struct adopt		*adopt;		/* not ours for certain; NULL */
	int			 facts;		/* sealed: of conf; -1 */
	struct own		*single;	/* single process; NULL */
	struct daemon_pidfile	 pidfile;
	struct statussock	*statussock;	/* NULL: none */
	struct ev_timer		 tick, title, end, strays;
	struct ev_task		 look;		/* crew_look at round's end */
	bool			 busy;		/* something since the tick */
	uint64_t		 stirred;	/* when that was last seen, ns */
	bool			 resting;	/* no tick until told */
	uint32_t		 rests;		/* number of that rest */
	uint64_t		 started;	/* ns */
	uint64_t		 end_began;	/* ns */
	int			 status;	/* to end with */
};

/* The compiler's part of the command line. */
void	 start_request(const struct start *, const struct program *,
	    struct conf_request *);

/* Serve until told to end. fd: of daemon_fork. Returns the exit status. */
int	 master_run(const struct program *, const struct start *,
	    struct loaded *, int daemon_fd);
/* Something changed that may make room, or take it: looked at once at the
 * end of this round. */
void	 master_changed(struct master *);
/* A connection or a message: the housekeeping has work again. */
void	 master_stir(struct master *);
/* End, as after SIGTERM (orderly) or at once with a status. */
void	 master_end(struct master *, const char *why);
void	 master_abort(struct master *, int status);
/* Of those that the end waits for one has ended. */
void	 master_child_gone(struct master *);
/* Titles are refreshed some time soon. */
void	 master_title(struct master *);
/* Ticket keys as the configuration wants them, from now on. */
void	 master_tickets(struct master *);
const char *signal_name(int signo);
/* How the configuration is compiled, here and in own workers. */
void	 master_request(const struct master *, struct conf_request *);
/* All lent sockets that were asked for have come back. */
void	 master_revoked(struct master *);

#endif
