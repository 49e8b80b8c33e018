/*
 * Sockets of FreeBSD, NetBSD, OpenBSD and DragonFly.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "net.h"

#if defined(SO_RTABLE)
#define VRF_OPTION	SO_RTABLE		/* OpenBSD: routing table */
#elif defined(SO_SETFIB)
#define VRF_OPTION	SO_SETFIB		/* FreeBSD: FIB */
#endif

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
net_queued(int fd)
{
#ifdef SO_LISTENQLEN
	int n;
	socklen_t len = sizeof(n);

	return getsockopt(fd, SOL_SOCKET, SO_LISTENQLEN, &n, &len) == -1 ?
	    -1 : n;
#else
	(void)fd;
	return -1;
#endif
}

int
net_vrf(int fd, const char *name)
{
#ifdef VRF_OPTION
	char *end;
	long number;
	int value;

	errno = 0;
	number = strtol(name, &end, 10);
	if (errno != 0 || end == name || *end != '\0' || number < 0 ||
	    number > INT_MAX) {
		errno = EINVAL;
		return -1;
	}
	value = (int)number;
	return setsockopt(fd, SOL_SOCKET, VRF_OPTION, &value, sizeof(value));
#else
	(void)fd;
	(void)name;
	errno = ENOPROTOOPT;
	return -1;
#endif
}

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
net_foreign(int fd, int family)
{
#if defined(SO_BINDANY)			/* OpenBSD */
	const int on = 1;

	(void)family;
	return setsockopt(fd, SOL_SOCKET, SO_BINDANY, &on, sizeof(on));
#elif defined(IP_BINDANY) && defined(IPV6_BINDANY)	/* FreeBSD */
	const int on = 1;

	return family == AF_INET6 ?
	    setsockopt(fd, IPPROTO_IPV6, IPV6_BINDANY, &on, sizeof(on)) :
	    setsockopt(fd, IPPROTO_IP, IP_BINDANY, &on, sizeof(on));
#else
	(void)fd;
	(void)family;
	errno = ENOPROTOOPT;
	return -1;
#endif
}

int
net_peer_uid(int fd, uid_t *uid)
{
	gid_t gid;

	return getpeereid(fd, uid, &gid);
}
