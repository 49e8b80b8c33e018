/*
 * Sockets of Linux.
 */
#include <sys/socket.h>
#include <errno.h>
#include <string.h>

#include "net.h"

int
net_socket(int family, int type, int protocol)
{
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
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
		got = accept4(fd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (got == -1 && errno == EINTR);
	return got;
}

int
net_vrf(int fd, const char *name)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
	    (socklen_t)strlen(name));
}
