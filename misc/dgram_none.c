/*
 * Systems that do not tell: the routing table chooses the address that
 * answers come from.
 */
#include "dgram_impl.h"

int
dgram_ask_inet(int fd)
{
	(void)fd;
	return 0;
}

bool
dgram_told_inet(const struct cmsghdr *c, struct in_addr *local)
{
	(void)c;
	(void)local;
	return false;
}
