/*
 * /dev/poll as poll(7D) describes it: written interest is or-ed to what is
 * there, POLLREMOVE takes out, and a close is not noticed, so that a number
 * goes on being watched whatever it stands for.
 */
#define STANDIN_ITSELF
#include <sys/devpoll.h>
#include <errno.h>
#include <string.h>

#include "standin.h"

static struct device {
	int	 fd;
	bool	 in[STANDIN_FDS];
	short	 events[STANDIN_FDS];
} devices[STANDIN_SLOTS];

struct fetch {
	struct device	*d;
	struct dvpoll	*wanted;
};

int
devpoll_standin_open(const char *path, int flags)
{
	if (strcmp(path, "/dev/poll") != 0 || (flags & O_ACCMODE) != O_RDWR) {
		errno = ENOENT;
		return -1;
	}
	return standin_instance(devices, sizeof(devices[0]));
}

ssize_t
devpoll_standin_write(int fd, const void *data, size_t n)
{
	struct device *d = standin_find(devices, sizeof(devices[0]), fd);
	const struct pollfd *p = data;
	size_t i;

	if (d == NULL)
		return -1;
	if (n % sizeof(*p) != 0) {
		errno = EINVAL;
		return -1;
	}
	for (i = 0; i < n / sizeof(*p); i++) {
		if (p[i].fd < 0 || p[i].fd >= STANDIN_FDS) {
			errno = EBADF;
			return -1;
		}
		if (p[i].events & POLLREMOVE) {
			d->in[p[i].fd] = false;
			d->events[p[i].fd] = 0;
		} else {
			d->in[p[i].fd] = true;
			d->events[p[i].fd] |= p[i].events;
		}
	}
	return (ssize_t)n;
}

static int
look(void *ctx)
{
	struct fetch *f = ctx;
	struct pollfd p;
	nfds_t got = 0;
	int fd;

	for (fd = 0; fd < STANDIN_FDS && got < f->wanted->dp_nfds; fd++) {
		if (!f->d->in[fd])
			continue;
		p = (struct pollfd){ fd, f->d->events[fd], 0 };
		if (poll(&p, 1, 0) > 0)
			f->wanted->dp_fds[got++] = p;
	}
	return (int)got;
}

int
devpoll_standin_ioctl(int fd, int request, struct dvpoll *wanted)
{
	struct fetch f = { standin_find(devices, sizeof(devices[0]), fd),
	    wanted };

	if (f.d == NULL)
		return -1;
	if (request != DP_POLL) {
		errno = EINVAL;
		return -1;
	}
	return standin_wait(look, &f, wanted->dp_timeout);
}
