/*
 * Listening sockets lent to workers, who accept there themselves (4.7).
 */
#ifndef SPAWND_LEND_H
#define SPAWND_LEND_H

#include <stdbool.h>
#include <stdint.h>

struct listener;
struct master;
struct proc;

/* p gets all there are to lend, if it may. */
void	 lend_all(struct proc *);
/* A listener was opened: to everybody who may. */
void	 lend_listener(struct listener *);
/* Asks for it back; the answers come to lend_revoked(). */
void	 lend_revoke(struct listener *);
void	 lend_revoked(struct proc *, uint32_t index);
/* Answers that are still awaited. */
unsigned lend_awaited(const struct master *);
/* Who has not answered in time does not count any more. */
void	 lend_late(struct master *);
/* p has given up everything, or is gone. */
void	 lend_drop(struct proc *);
/* p->lent is what another program has written there. */
void	 lend_adopted(struct proc *);
/* Indices mean something else from now on; nobody holds anything. */
void	 lend_reset(struct master *);

#endif
