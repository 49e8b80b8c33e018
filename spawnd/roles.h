/*
 * The processes of a program beside its workers (role.h): the master's side,
 * roles*.c, and the one of the process, role.c.
 */
#ifndef SPAWND_ROLES_H
#define SPAWND_ROLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "role.h"

struct channel_message;
struct loaded;
struct master;
struct proc;
struct program;

/* The parent, ready for the configuration in force. -1: it cannot be had,
 * which is logged. */
int	 roles_open(struct master *);
/* All else that the configuration in force needs is there, too. */
void	 roles_opened(struct master *);
/* Every process of every role, if there is none yet. There is a board. */
void	 roles_start(struct master *);
/* The parent makes ready what a configuration needs. false: error. */
bool	 roles_prepare(struct master *, struct loaded *, uint32_t generation,
	    char *error, size_t size);
void	 roles_commit(struct master *);
/* Workers of the program before are ours now: whom they asked for keys will
 * end. */
void	 roles_adopted(struct master *);
/* The one being prepared will not come. */
void	 roles_forget(struct master *);
/* Older boards say of health and orders what the newest does; who still
 * writes on an older one gets the newest. */
void	 roles_repeat(struct master *);
/* A worker has been given CONFIG of that generation: its way to keys. false:
 * its channel does not take it. */
bool	 roles_keys(struct proc *, uint32_t generation);
/* A worker is there. */
void	 roles_greet(struct proc *);
/* TELL, from a worker. */
void	 roles_told(struct proc *, struct channel_message *);
/* SIGCHLD: true if it was one of ours, or of the parent's. */
bool	 roles_reaped(struct master *, pid_t, int wstatus);
/* SIGUSR2: new log files. */
void	 roles_logfiles(struct master *);
/* They are not our children any more: their channels tell of their ends. */
void	 roles_orphaned(struct master *);
/* The end: their channels are closed. Whether any are left. */
void	 roles_end(struct master *);
bool	 roles_left(const struct master *);
/* Those that do not end by themselves. */
void	 roles_kill(struct master *);
void	 roles_clear(struct master *);

/* ---- the process itself, role.c ---- */

#define ROLE_ENV	"SPAWND_ROLE"	/* as SPAWND_WORKER */

/* After log_open(). The exit status. */
int	 role_main(const struct program *, const char *base,
	    const char *title, uint32_t instance);

#endif
