/*
 * Children of the master that do something slow for it.
 */
#ifndef SPAWND_CHILD_H
#define SPAWND_CHILD_H

/*
 * Closes what is only the master's, and the log: a child that waits for a
 * server or a disk must not keep a port open, a client waiting, or workers
 * from seeing that the master is gone. n descriptors stay.
 */
void	 child_close(const int *keep, int n);

#endif
