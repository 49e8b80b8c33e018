/*
 * IP_PKTINFO: Linux, macOS, Solaris.
 */
#include <string.h>

#include "dgram_impl.h"

int
dgram_ask_inet(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

/* The address of ours that an answer is sent from: that of the datagram, or,
 * if that was a broadcast, one of the interface. */
bool
dgram_told_inet(const struct cmsghdr *c, struct in_addr *local)
{
	struct in_pktinfo info;

	if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	*local = info.ipi_spec_dst;
	return true;
}
