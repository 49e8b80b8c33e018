/*
 * Worker processes: started, greeted, watched, replaced. A worker is known
 * by its number, never by its process id alone.
 */
#ifndef SPAWND_PROC_H
#define SPAWND_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/ev.h"
#include "../misc/log.h"
#include "board.h"
#include "channel.h"
#include "hand.h"
#include "outbox.h"

struct master;
struct compiled;
struct spawn_conf;
struct loaded;
struct seats;

/* What was ordered; whether it shows life is another matter. */
enum proc_state {
	PROC_STARTING,		/* until READY */
	PROC_READY,
	PROC_RETIRING,		/* it said DYING */
	PROC_ENDING,		/* it was told that it may die */
	PROC_DEAD		/* reaped; freed at the end of the turn */
};

/* Owned by the master, on its list from start to reaped. */
struct proc {
	struct proc	*older, *newer;
	struct master	*master;
	uint32_t	 number, generation;
	pid_t		 pid;		/* 0: single process, -1: reaped */
	pid_t		 known_as;	/* in logs, also when reaped */
	uint8_t		 nonce[8];
	struct channel	 channel;	/* fd -1: closed */
	enum proc_state	 state;
	bool		 greeted;	/* its first message has come */
	bool		 was_ready;
	bool		 suspected;	/* shows no life */
	struct outbox	 outbox;
	bool		 told;		/* that it may die */
	bool		 killed;	/* by us: do not log surprise */
	bool		 bad_config;
	bool		 orphan;	/* not our child */
	int		 watch;		/* says when an orphan ends; -1 */

	/* in-place reload: generation it was asked to prepare, and whether
	   it has */
	uint32_t	 asked;
	bool		 prepared;

	struct seats	*seats;		/* NULL: plain, counted by messages */
	unsigned	 column;
	struct seats	*shown;		/* on the newest board, if it does not
					   sit there; NULL */
	unsigned	 shown_at;	/* column */
	uint32_t	 users;		/* plain only */
	uint64_t	 served;	/* given, plain only */
	uint64_t	 passed;	/* of them, to others; plain only */
	uint32_t	 limit;		/* it announced; UINT32_MAX: not yet */
	uint64_t	 idle_since;	/* ns; 0: it has users */

	struct hand_queue out, kept;
	uint64_t	 released;	/* of what was given, board only */
	uint64_t	 returns;	/* messages that gave one back */
	struct proc	*next_unsent;
	bool		 unsent;

	uint8_t		*lent;		/* by index of the listener */
	uint32_t	 nlent;
	unsigned	 revoking;	/* REVOKED awaited */

	uint64_t	 started;
	uint64_t	 sign;		/* last sign of life */
	uint64_t	 sum;		/* of its column at that time */
	uint64_t	 owes;		/* since when; 0: nothing */
	uint64_t	 pinged;	/* last PING */
	uint64_t	 suspected_at;
	uint64_t	 ping;		/* number of the last one */
	struct log_limit complaints;
	struct ev_task	 gone;
	struct ev_timer	 kill, orphaned;
};

/* A new worker of that generation, at the young end of the list. NULL when
 * it cannot be had now (logged, throttled). */
struct proc *proc_start(struct master *, const struct loaded *,
	    uint32_t generation);
/* The master itself as its only worker. NULL, errno. */
struct proc *proc_single(struct master *);
/* At the end of the master: closed, forgotten, not ended. */
void	 proc_free(struct proc *);
/* Whoever `spawn` says (1.7). NULL, or what could not be had, and errno. */
const char *identity_take(const struct spawn_conf *);
void	 proc_set(struct proc *, enum proc_state);
/* Connections it holds, counting those that still wait for it. */
uint32_t proc_use(const struct proc *);
/* M in effect. */
uint32_t proc_max(const struct proc *);
bool	 proc_eligible(const struct proc *);
/* It can be sent something. */
bool	 proc_open(const struct proc *);

/* Message with a payload of one or two parts. It may wait for a full channel
 * to get room, connections and lent sockets do not. false: it will not be
 * sent; what that means for the worker is dealt with here. */
bool	 proc_send(struct proc *, enum channel_type, const void *, size_t,
	    const void *, size_t, const int *fds, unsigned nfds);
/* Everything that is in the channel now, at the least. */
void	 proc_read(struct proc *);
/* Told to end when idle. What it was not sent goes to others. */
void	 proc_may_die(struct proc *);
void	 proc_kill(struct proc *, int signo);
/* Gives CONFIG to a running one. */
bool	 proc_configure(struct proc *, const struct loaded *,
	    uint32_t generation);
void	 proc_commit(struct proc *, uint32_t generation);
/* TICKETS, LOGFILE to whoever takes them. */
void	 proc_tickets(struct proc *);
void	 proc_logfiles(struct proc *);
/* One that the program before us has started, at the old end of the list:
 * nothing of it is set. NULL, errno. */
struct proc *proc_adopt(struct master *);
/* SIGCHLD: true if the process was one of ours. */
bool	 proc_reaped(struct master *, pid_t, int wstatus);
/* Life signs, once a second (5.4). true: there were some on the board. */
bool	 proc_watch(struct master *, uint64_t now);
/* Nobody is going to look: who counts on the board is to send LOOK when it
 * changes. false: it has just changed. */
bool	 proc_rest(struct master *);
void	 proc_wake(struct master *);
/* The board shows something new: a sign of life. */
bool	 proc_moved(struct proc *);
/* A message has come. */
void	 proc_alive(struct proc *);
/* It owes a sign of life for too long. */
void	 proc_suspect(struct proc *);
/* Takes a column of a board. */
void	 proc_sit(struct proc *, const struct compiled *);
/* Writes what it is into a seat. */
void	 proc_seat(const struct proc *, struct board_seat *);

#endif
