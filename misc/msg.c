/*
 * Messages over a UNIX socket pair: one system call each way, nothing is
 * kept between calls, and no message is ever looked at before it is taken
 * (a peeked message would receive its descriptors twice).
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL	0
#endif
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* Room for the descriptors of one message, aligned as CMSG_* wants it. */
union msg_control {
	struct cmsghdr	header;
	char		room[CMSG_SPACE(MSG_FDS * sizeof(int))];
};

int
msg_socktype(void)
{
#ifdef SOCK_SEQPACKET
	static int type;

	/* Darwin names it and refuses it, so ask once. */
	if (type == 0) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		type = fd == -1 && errno != EMFILE && errno != ENFILE ?
		    SOCK_DGRAM : SOCK_SEQPACKET;
		if (fd != -1)
			close(fd);
	}
	return type;
#else
	return SOCK_DGRAM;
#endif
}

static void
enlarge(int fd, int option, int bufsize)
{
	int now = 0;
	socklen_t len = sizeof(now);

	/* Not being given more is no failure: the channel works as it is. */
	if (getsockopt(fd, SOL_SOCKET, option, &now, &len) == 0 &&
	    now < bufsize)
		(void)setsockopt(fd, SOL_SOCKET, option, &bufsize,
		    sizeof(bufsize));
}

void
msg_enlarge(int fd, int bufsize)
{
	if (bufsize <= 0)
		return;
	enlarge(fd, SO_SNDBUF, bufsize);
	enlarge(fd, SO_RCVBUF, bufsize);
}

int
msg_pair(int fds[2], int bufsize)
{
	int flags;

	if (socketpair(AF_UNIX, msg_socktype(), 0, fds) == -1)
		return -1;
	if (fcntl(fds[0], F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(fds[1], F_SETFD, FD_CLOEXEC) == -1 ||
	    (flags = fcntl(fds[0], F_GETFL)) == -1 ||
	    fcntl(fds[0], F_SETFL, flags | O_NONBLOCK) == -1) {
		int saved = errno;

		close(fds[0]);
		close(fds[1]);
		errno = saved;
		return -1;
	}
	for (int i = 0; i < 2; i++)
		msg_enlarge(fds[i], bufsize);
	return 0;
}

int
msg_send(int fd, const struct iovec *iov, int niov, const int *fds,
    unsigned nfds)
{
	union msg_control control;
	struct msghdr mh = { .msg_iov = (struct iovec *)(uintptr_t)iov,
	    .msg_iovlen = (size_t)niov };
	ssize_t n;

	if (nfds > MSG_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (nfds > 0) {
		struct cmsghdr *c = &control.header;

		/* Padding too goes to the kernel. */
		memset(&control, 0, CMSG_SPACE(nfds * sizeof(int)));
		mh.msg_control = control.room;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1) {
		/* What "later" is called differs; descriptors in flight
		 * beyond the limit (ETOOMANYREFS) pass as well. */
		if (errno == EWOULDBLOCK || errno == ENOBUFS ||
		    errno == ETOOMANYREFS)
			errno = EAGAIN;
		return -1;
	}
	return 0;
}

/* Descriptors of one control message; beyond the room they are closed. */
static bool
msg_take(const struct cmsghdr *c, int fds[MSG_FDS], unsigned *nfds)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool whole = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (MSG_CMSG_CLOEXEC == 0)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (*nfds < MSG_FDS) {
			fds[(*nfds)++] = fd;
		} else {
			close(fd);
			whole = false;
		}
	}
	return whole;
}

ssize_t
msg_recv(int fd, void *buf, size_t size, int fds[MSG_FDS], unsigned *nfds,
    int *truncated)
{
	union msg_control control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.room, .msg_controllen = sizeof(control) };
	unsigned resets = 0;
	ssize_t n;

	*nfds = 0;
	*truncated = 0;
	/*
	 * A peer that closes with messages of ours unread resets the pair,
	 * and Linux tells that once, before it gives out what the peer had
	 * sent: its last words would be lost.
	 */
	do
		n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n == -1 && (errno == EINTR ||
	    (errno == ECONNRESET && resets++ == 0)));
	if (n == -1) {
		if (errno == EWOULDBLOCK)
			errno = EAGAIN;
		return -1;
	}
	*truncated = (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c != NULL;
	    c = CMSG_NXTHDR(&mh, c)) {
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_RIGHTS &&
		    !msg_take(c, fds, nfds))
			*truncated = 1;
	}
	return n;
}
