/*
 * Datagram listeners (5.8): the first datagram of a client becomes a socket
 * of his own, which goes to a worker together with it; the kernel delivers
 * what he sends later to that socket. What he had sent before the socket was
 * there goes the same way, to the same worker.
 */
#ifndef SPAWND_DATAGRAM_H
#define SPAWND_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>

struct hand;
struct listener;
struct master;
struct proc;

struct datagram {
	uint32_t	len;
	uint8_t		bytes[];
};

/* A callback of the loop; ctx is the listener. */
void	 datagram_readable(void *ctx, int fd);
/* Everything that is queued, handed out whatever the limits say. */
void	 datagram_all(struct listener *);
/* What a bound socket needs to serve as such a listener. -1, errno. */
int	 datagram_prepare(int fd, int family);

/* Has its socket, or gets one now. */
bool	 datagram_ready(struct hand *);
/* It has none: it waits if that may change (errno), else it is dropped. */
void	 datagram_unready(struct master *, struct hand *);
/* The worker that has another one of this client, which came before and was
 * read before the socket was there; NULL: none, or it can be given nothing. */
struct proc *datagram_worker(struct hand *);
/* h goes to p. */
void	 datagram_given(const struct hand *, const struct proc *);
/* UDPDATA. 1, or 0: the channel is full or gone. */
unsigned datagram_send(struct proc *, const struct hand *);

/* With the listener. */
struct datagram_recent;
void	 datagram_recent_free(struct datagram_recent *);

#endif
