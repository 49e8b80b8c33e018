/*
 * Addresses of a relay session after relayd's rules.
 */
#include <arpa/inet.h>
#include <string.h>

#include "target.h"

static bool
map_inet(struct net_addr *a)
{
	struct net_addr to = { .in = { .sin_family = AF_INET,
	    .sin_port = a->in6.sin6_port }, .len = sizeof to.in };
	uint32_t ip;

	memcpy(&to.in.sin_addr, a->in6.sin6_addr.s6_addr + 12, 4);
	ip = ntohl(to.in.sin_addr.s_addr);
	if (ip == INADDR_ANY || ip == INADDR_BROADCAST || IN_MULTICAST(ip))
		return false;
	*a = to;
	return true;
}

static void
map_inet6(struct net_addr *a, const struct net_addr *prefix)
{
	struct net_addr to = *prefix;

	to.in6.sin6_port = a->in.sin_port;
	memcpy(to.in6.sin6_addr.s6_addr + 12, &a->in.sin_addr, 4);
	*a = to;
}

bool
target_map(struct net_addr *a, enum target_map map,
    const struct net_addr *prefix)
{
	switch (map) {
	case TARGET_AS_IS:
		break;
	case TARGET_INET:
		return a->sa.sa_family != AF_INET6 || map_inet(a);
	case TARGET_INET6:
		if (a->sa.sa_family == AF_INET)
			map_inet6(a, prefix);
		break;
	}
	return true;
}

void
target_local(struct net_name *to, const struct net_name *local,
    unsigned listen_port, bool original)
{
	*to = *local;
	if (!original)
		to->port = htons((uint16_t)listen_port);
}
