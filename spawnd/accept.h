/*
 * From a readable listener to connections in workers' queues.
 */
#ifndef SPAWND_ACCEPT_H
#define SPAWND_ACCEPT_H

struct listener;

/* A callback of the loop; ctx is the listener. */
void	 accept_readable(void *ctx, int fd);
/* Everything that is queued, handed out whatever the limits say. */
void	 accept_all(struct listener *);

#endif
