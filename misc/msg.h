/*
 * Messages that keep their boundaries, over a UNIX socket pair, perhaps with
 * descriptors. Knows no message: what they mean is spawnd/channel.h.
 */
#ifndef MISC_MSG_H
#define MISC_MSG_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MSG_FDS		64	/* most descriptors in one message */

/* SOCK_SEQPACKET where the system has it, else SOCK_DGRAM. Both ends
 * close-on-exec, fds[0] non-blocking. bufsize 0: the system's; else only
 * enlarges. -1, errno. */
int	 msg_pair(int fds[2], int bufsize);
/* One end of a pair, later on. */
void	 msg_enlarge(int fd, int bufsize);
/* SOCK_SEQPACKET or SOCK_DGRAM, as msg_pair makes them here. */
int	 msg_socktype(void);
/* One message. 0; -1 and errno, EAGAIN when the channel is full. */
int	 msg_send(int fd, const struct iovec *, int niov, const int *fds,
	    unsigned nfds);
/*
 * One message into buf, descriptors close-on-exec into fds (room for
 * MSG_FDS). Returns its length, 0 at the end of the channel, -1 and errno.
 * *nfds says how many descriptors came; the caller owns them. *truncated is
 * set when the message or its descriptors did not all arrive.
 */
ssize_t	 msg_recv(int fd, void *buf, size_t size, int fds[MSG_FDS],
	    unsigned *nfds, int *truncated);

#endif
