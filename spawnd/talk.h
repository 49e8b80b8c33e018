/*
 * What is said on the channel between master and worker: greeting, messages
 * of workers, sending.
 */
#ifndef SPAWND_TALK_H
#define SPAWND_TALK_H

#include <stdbool.h>

struct proc;

/* What the channel needs before it is there. */
void	 talk_prepare(struct proc *);
/* HELLO; from here on the worker is listened to. false, errno. */
bool	 talk_start(struct proc *);
/* The same with one that another program has greeted. */
bool	 talk_resume(struct proc *);
/* Safe twice. */
void	 talk_close(struct proc *);

#endif
