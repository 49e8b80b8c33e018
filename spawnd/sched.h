/*
 * How the system is to schedule the master.
 */
#ifndef SPAWND_SCHED_H
#define SPAWND_SCHED_H

/*
 * On a processor that is busy the workers come first: a new connection does
 * not interrupt them, so that the master finds several when its turn comes
 * and hands them over with one message and one wake-up. Children are not
 * concerned. Does nothing where the system cannot do it.
 */
void	 sched_behind_workers(void);

#endif
