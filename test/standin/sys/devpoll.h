/*
 * Stand-in for /dev/poll, poll(7D), on systems without it, on top of poll(2).
 * The calls that misc/ev_devpoll.c makes go to functions of ours; the headers
 * that declare the real ones come first. For tests only.
 */
#ifndef STANDIN_SYS_DEVPOLL_H
#define STANDIN_SYS_DEVPOLL_H

#include <sys/ioctl.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#define POLLREMOVE	0x1000
#define DP_POLL		0xd001

struct dvpoll {
	struct pollfd	*dp_fds;
	nfds_t		 dp_nfds;
	int		 dp_timeout;
};

int	 devpoll_standin_open(const char *, int);
ssize_t	 devpoll_standin_write(int, const void *, size_t);
int	 devpoll_standin_ioctl(int, int, struct dvpoll *);

#ifndef STANDIN_ITSELF
#define open	devpoll_standin_open
#define write	devpoll_standin_write
#define ioctl	devpoll_standin_ioctl
#endif

#endif
