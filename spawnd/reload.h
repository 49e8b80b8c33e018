/*
 * From one configuration to the next (5.6): read and proven beside the
 * running one, prepared in every worker, adopted at one point.
 */
#ifndef SPAWND_RELOAD_H
#define SPAWND_RELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loaded;
struct master;
struct proc;

enum reload_kind {
	RELOAD_FILE = 1,	/* SIGHUP: the file again */
	RELOAD_WORKERS = 2,	/* SIGUSR1: the same, with new workers */
	RELOAD_UPGRADE = 4	/* the same, with everything that another
				   program has left to us */
};

/* One that comes while another is under way is done after it, once. */
void	 reload_start(struct master *, enum reload_kind);
/* A configuration that was read already; taken over. No reload is under
 * way. */
void	 reload_with(struct master *, struct loaded *);
/* To the log, behind why there is no other one: what serves as before. */
void	 reload_unchanged(const struct master *);
/* The configuration of that generation, committed or being prepared; NULL
 * if there is no such any more. */
const struct loaded *reload_conf(const struct master *, uint32_t generation);

/* The one being prepared; NULL. */
const struct loaded *reload_preparing(const struct master *);
/* m->facts, of the first configuration. */
void	 reload_facts(struct master *);

/* What the preparation waits for: it is ready, it refuses, its channel has
 * ended, it was reaped. */
void	 reload_proc_ready(struct proc *);
void	 reload_proc_failed(struct proc *);
void	 reload_proc_lost(struct proc *);
void	 reload_proc_gone(struct proc *);
/* Lent sockets are being called back. */
bool	 reload_revoking(const struct master *);
/* All lent sockets that were asked for have come back. */
void	 reload_revoked(struct master *);
/* SIGCHLD: true if it was the child that reads the configuration. */
bool	 reload_reaped(struct master *, pid_t);
/* Given up, without a word: the service ends. */
void	 reload_cancel(struct master *);

#endif
