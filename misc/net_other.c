/*
 * Sockets of systems that have neither flags for socket(2) nor accept4(2).
 * Between the calls the descriptor can leak into a child that another thread
 * starts; there are no other threads.
 */
#include <sys/socket.h>
#include <errno.h>
#ifdef __sun
#include <ucred.h>
#endif

#include "net.h"

static int
prepare(int fd)
{
	if (fd != -1 && (net_nonblock(fd) == -1 ||
	    net_cloexec(fd, true) == -1)) {
		net_close(fd);
		return -1;
	}
	return fd;
}

int
net_socket(int family, int type, int protocol)
{
	return prepare(socket(family, type, protocol));
}

int
net_accept(int fd, struct net_addr *peer)
{
	struct sockaddr *sa = peer != NULL ? &peer->sa : NULL;
	socklen_t *len = peer != NULL ? &peer->len : NULL;
	int got;

	do {
		if (peer != NULL)
			peer->len = sizeof(peer->ss);
		got = accept(fd, sa, len);
	} while (got == -1 && errno == EINTR);
	return prepare(got);
}

int
net_queued(int fd)
{
	(void)fd;
	return -1;
}

int
net_vrf(int fd, const char *name)
{
	(void)fd;
	(void)name;
	errno = ENOPROTOOPT;
	return -1;
}

int
net_foreign(int fd, int family)
{
	(void)fd;
	(void)family;
	errno = ENOPROTOOPT;
	return -1;
}

#ifdef __sun
/* The packet filter knows, and is asked by who may. */
int
net_original(int fd, struct net_addr *a)
{
	(void)fd;
	(void)a;
	errno = ENOSYS;
	return -1;
}

int
net_peer_uid(int fd, uid_t *uid)
{
	ucred_t *cred = NULL;

	if (getpeerucred(fd, &cred) == -1)
		return -1;
	*uid = ucred_geteuid(cred);
	ucred_free(cred);
	return 0;
}
#else
int
net_peer_uid(int fd, uid_t *uid)
{
	(void)fd;
	(void)uid;
	errno = ENOPROTOOPT;
	return -1;
}
#endif
