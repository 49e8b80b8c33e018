/*
 * Status lines for the log (SIGUSR2): one per worker and per destination.
 */
#ifndef SPAWND_STATUS_H
#define SPAWND_STATUS_H

struct master;

void	 status_log(struct master *);

#endif
