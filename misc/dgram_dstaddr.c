/*
 * IP_RECVDSTADDR: FreeBSD, NetBSD, OpenBSD, DragonFly.
 */
#include <sys/types.h>
#include <string.h>

#include "dgram_impl.h"

int
dgram_ask_inet(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_IP, IP_RECVDSTADDR, &on, sizeof(on));
}

bool
dgram_told_inet(const struct cmsghdr *c, struct in_addr *local)
{
	if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVDSTADDR)
		return false;
	memcpy(local, CMSG_DATA(c), sizeof(*local));
	return true;
}
