/*
 * The workers of the current generation as a whole: who gets the next
 * connection, how many there are to be.
 */
#ifndef SPAWND_CREW_H
#define SPAWND_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch.h"

struct master;
struct proc;

/* Makes the picture that the next two work on. */
void	 crew_refresh(struct master *);
/* The choice of 4.1. START: *p is not set, crew_start() makes one. */
enum dispatch_verdict crew_pick(struct master *, struct proc **p);
/* A worker for a connection at hand, NULL: none can be had. */
struct proc *crew_start(struct master *);
/* Whether one may be started now (5.7). */
bool	 crew_may_start(const struct master *);
/* The worker of that number, if it may be taken out of turn; NULL. */
struct proc *crew_find(struct master *, uint32_t number);
/* The same for one more of a client that it has: full or not. */
struct proc *crew_same(struct master *, uint32_t number);
/* The least used of those who can be given something, full or not; NULL. */
struct proc *crew_least(struct master *);
/* p was given one more connection. */
void	 crew_gave(struct master *, const struct proc *p);
/* Leave p out of what is picked until the next refresh. */
void	 crew_except(struct master *, const struct proc *p);

uint64_t crew_total(const struct master *);
uint64_t crew_capacity(const struct master *);
/* Connections of all processes, whatever their generation. */
uint64_t crew_everyone(const struct master *);

/* Start what is missing, let go what is too much, look after overload. */
void	 crew_look(struct master *);
/* true: one that is idle may have to go later. */
bool	 crew_shrink(struct master *, uint64_t now);

/* The channel of a worker that was not told to go has ended: no other one is
 * started until its status has come, which decides when. */
void	 crew_left(struct master *);
/* A worker ended (or never was): how soon the next one may be started. */
void	 crew_ended(struct master *, uint64_t lived, bool failed);
void	 crew_clear(struct master *);

#endif
