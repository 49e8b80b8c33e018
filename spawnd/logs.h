/*
 * Log and debug files: opened by the master while it may, handed to own
 * workers, reopened when asked.
 */
#ifndef SPAWND_LOGS_H
#define SPAWND_LOGS_H

#include <stdbool.h>

#include "conf.h"

struct channel;
struct master;
struct proc;
struct start;

/* Settings and files of the master's own log. false: a file could not be
 * opened; nothing has changed then, the reason is in diag. */
bool	 logs_apply(const struct start *, const struct common_conf *,
	    const char *role, struct diag *);
/* Whether the worker's files can be opened. */
bool	 logs_try(const struct common_conf *, struct diag *);
/* To an own worker. */
void	 logs_send(struct proc *);
/* To whoever is at that channel. */
void	 logs_channel(struct channel *, const struct common_conf *);
/* SIGUSR2: everybody. */
void	 logs_reopen(struct master *);

#endif
