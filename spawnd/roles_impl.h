/*
 * What the files of roles share: their processes (roles_member.c), what is
 * told (roles_tell.c), ways to keys (roles_keys.c), and what the rest of the
 * master asks for (roles.c). Nothing else includes this.
 */
#ifndef SPAWND_ROLES_IMPL_H
#define SPAWND_ROLES_IMPL_H

#include "../misc/log.h"
#include "channel.h"
#include "master.h"
#include "outbox.h"
#include "proc.h"
#include "roles.h"

/* One process, or the place of one that is to be started. */
struct member {
	struct member	*next;
	struct master	*master;
	unsigned	 role;		/* ROLE_FIRST ... */
	uint32_t	 instance;
	pid_t		 pid;		/* -1: not running */
	struct channel	 channel;	/* fd -1: closed */
	struct outbox	 outbox;
	uint8_t		 nonce[8];
	uint64_t	 board;		/* number of the one it has; 0 */
	uint32_t	 since;		/* first configuration it was told */
	bool		 surplus;	/* not needed any more */
	bool		 orphan;	/* not our child */
	uint64_t	 started, delay;
	uint64_t	 pinged;	/* when; no PONG yet; 0: none */
	struct ev_timer	 timer;		/* start, or give keys again */
	struct ev_timer	 kill;
};

/* Owned by the master. */
struct roles {
	struct member	*members;
	void		*parent;	/* the program's; NULL: not open */
	bool		 prepared;	/* the parent is, for a reload */
	bool		 spoken;	/* master_verbose was called */
	bool		 verbose;
	struct ev_timer	 watch;
	struct log_limit limit;
};

static inline const struct program_role *
kind_of(const struct member *b)
{
	return &b->master->program->roles[b->role - ROLE_FIRST];
}

/* A worker that knows what is told. */
static inline bool
worker_reached(const struct proc *p)
{
	return proc_open(p) && p->pid > 0 &&
	    p->channel.features & FEATURE_CONFIG;
}

/* ---- roles_member.c */

/* NULL: no memory, which is logged. */
struct member	*member_new(struct master *, unsigned role,
		    uint32_t instance);
void		 member_free(struct member *);
/* Of those that are needed. */
struct member	*member_find(const struct master *, unsigned role,
		    uint32_t instance);
uint32_t	 members_count(const struct master *, unsigned role);
/* Everything that is in its channel now, within bounds. */
void		 member_read(struct member *);
void		 member_hang_up(struct member *);
void		 member_start(struct member *);
void		 member_kill(struct member *, int signo);
/* It is not needed any more; may be free by then. */
void		 member_dismiss(struct member *);
/* The newest board, if it has another one; false: there is none. */
bool		 member_board(struct member *);
bool		 member_configure(struct member *, const struct loaded *,
		    uint32_t generation);
/* Signs of life, from now on. */
void		 members_watch(struct master *);
/* The parent is told that a process has what it needs. */
void		 parent_greet(struct master *, unsigned role,
		    uint32_t instance);

/* ---- roles_tell.c */

bool		 member_send(struct member *, enum channel_type,
		    const void *, size_t, const void *, size_t,
		    const int *fds, unsigned nfds);
/* TELL as it came over a channel. */
void		 roles_route(struct master *, unsigned from,
		    uint32_t instance, struct channel_message *);
/* Debug lines or not, if anything was said of it. */
void		 member_verbose(struct member *);

/* ---- roles_keys.c */

/* Its workers get an end of a pair each; tried again while it is full. */
void		 member_give(struct member *);
void		 members_give(struct master *, unsigned role);

#endif
