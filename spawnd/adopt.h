/*
 * What the program before us in this process has left to us (5.6, upgrade).
 * Until a worker of ours is ready it may be wanted back: nothing of it is
 * touched that the stand-in could miss.
 */
#ifndef SPAWND_ADOPT_H
#define SPAWND_ADOPT_H

#include <stdbool.h>
#include <sys/types.h>

struct inherit;
struct master;
struct upgrade_state;

/* What the environment names, which is taken out of it. 0: *state is set, or
 * NULL if this is a start like any other; else the status to end with. */
int	 adopt_read(struct upgrade_state **state);
/* Sockets that were passed to the first of us. 0, or the status to end
 * with. */
int	 adopt_passed(struct inherit *, const struct upgrade_state *);
/* Listeners, boards, pid file and counters. 0, or the status to end with. */
int	 adopt_open(struct master *);
/* Workers of our own are started, in front of everything else. */
void	 adopt_start(struct master *);
/* All of the rest, and the stand-in is let go. Nothing without adopt_open()
 * before it, or a second time. */
void	 adopt_prove(struct master *);
/* Ends this process if it has not proven itself: the stand-in goes on. */
void	 adopt_fail(struct master *);
/* SIGCHLD: true if it is kept until then. */
bool	 adopt_reaped(struct master *, pid_t, int wstatus);

#endif
