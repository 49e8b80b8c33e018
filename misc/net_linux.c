/*
 * Sockets of Linux.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <stddef.h>
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

/* For a listening socket these fields say something else: the length of the
 * queue and its bound (tcp_get_info() in the kernel). */
int
net_queued(int fd)
{
	struct tcp_info info;
	socklen_t len = offsetof(struct tcp_info, tcpi_sacked);

	info.tcpi_state = 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    len < offsetof(struct tcp_info, tcpi_sacked) ||
	    info.tcpi_state != TCP_LISTEN)
		return -1;
	return (int)info.tcpi_unacked;
}

int
net_vrf(int fd, const char *name)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
	    (socklen_t)strlen(name));
}

/* The kernel's numbers, from headers that do not go with the C library's. */
#define ORIGINAL_DST	80	/* SO_ and IP6T_SO_ORIGINAL_DST */

int
net_original(int fd, struct net_addr *a)
{
	struct net_addr local;
	bool inet6;

	if (net_local(fd, &local) == -1)
		return -1;
	inet6 = local.sa.sa_family == AF_INET6;
	memset(a, 0, sizeof(*a));
	a->len = inet6 ? sizeof(a->in6) : sizeof(a->in);
	if (getsockopt(fd, inet6 ? IPPROTO_IPV6 : IPPROTO_IP, ORIGINAL_DST,
	    &a->sa, &a->len) == -1)
		return -1;
	if (net_same(a, &local)) {
		errno = ENOENT;		/* tracked, but as it is */
		return -1;
	}
	return 0;
}

int
net_foreign(int fd, int family)
{
	const int on = 1;

	return family == AF_INET6 ?
	    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) :
	    setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
}

int
net_peer_uid(int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return -1;
	*uid = cred.uid;
	return 0;
}
