/*
 * The group "egress" of Linux, from the routing tables: interfaces of default
 * routes, as `ip route' and `ip -6 route' show them, all next hops of one
 * with several. By netlink: /proc/net/route names the first hop only. Tables
 * that rules select (VRFs, policy routing) do not count.
 */
#include <sys/socket.h>
#include <linux/rtnetlink.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ifgroup.h"

#define WAIT_SECONDS	5		/* the kernel answers at once */

static void
add(struct ifgroup *g, uint32_t index)
{
	char name[IF_NAMESIZE];

	if (index == 0 || g->n == IFGROUP_MAX ||
	    if_indextoname(index, name) == NULL || ifgroup_has(g, name))
		return;
	memcpy(g->names[g->n++], name, sizeof name);
}

static void
add_hops(struct ifgroup *g, const struct rtattr *a)
{
	struct rtnexthop *hop = RTA_DATA(a);
	int left = (int)RTA_PAYLOAD(a);

	while (RTNH_OK(hop, left)) {
		if ((hop->rtnh_flags & RTNH_F_DEAD) == 0)
			add(g, (uint32_t)hop->rtnh_ifindex);
		left -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

static void
route_take(struct ifgroup *g, const struct nlmsghdr *h)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	int left = (int)RTM_PAYLOAD(h);
	uint32_t table = m->rtm_table, index = 0;
	const struct rtattr *hops = NULL;

	if (m->rtm_dst_len != 0 || m->rtm_src_len != 0 ||
	    m->rtm_type != RTN_UNICAST || (m->rtm_flags & RTM_F_CLONED) != 0)
		return;
	for (struct rtattr *a = RTM_RTA(m); RTA_OK(a, left);
	    a = RTA_NEXT(a, left)) {
		if (a->rta_type == RTA_TABLE && RTA_PAYLOAD(a) == 4)
			memcpy(&table, RTA_DATA(a), 4);
		else if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == 4)
			memcpy(&index, RTA_DATA(a), 4);
		else if (a->rta_type == RTA_MULTIPATH)
			hops = a;
	}
	if (table != RT_TABLE_MAIN && table != RT_TABLE_DEFAULT)
		return;
	if (hops != NULL)
		add_hops(g, hops);
	else if ((m->rtm_flags & RTNH_F_DEAD) == 0)
		add(g, index);
}

/* true: that was the end of the dump. */
static bool
answer_take(struct ifgroup *g, struct nlmsghdr *h, int len)
{
	for (; NLMSG_OK(h, (unsigned)len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_type == NLMSG_DONE ||
		    h->nlmsg_type == NLMSG_ERROR)
			return true;
		if (h->nlmsg_type == RTM_NEWROUTE &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)))
			route_take(g, h);
	}
	return false;
}

static void
routes_read(int fd, int family, struct ifgroup *g)
{
	struct {
		struct nlmsghdr	h;
		struct rtmsg	m;
	} ask = {
		.h = { .nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETROUTE,
		    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.m = { .rtm_family = (unsigned char)family },
	};
	union {
		struct nlmsghdr	h;
		char		bytes[32 * 1024];
	} answer;
	ssize_t n;

	if (send(fd, &ask, sizeof ask, 0) != (ssize_t)sizeof ask)
		return;
	do {
		do {
			n = recv(fd, &answer, sizeof answer, 0);
		} while (n == -1 && errno == EINTR);
	} while (n > 0 && !answer_take(g, &answer.h, (int)n));
}

void
ifgroup_find(const char *group, struct ifgroup *g)
{
	const struct timeval wait = { .tv_sec = WAIT_SECONDS };
	int fd;

	g->n = 0;
	if (strcmp(group, IFGROUP_EGRESS) != 0 || (fd = socket(AF_NETLINK,
	    SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) == -1)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0) {
		routes_read(fd, AF_INET, g);
		routes_read(fd, AF_INET6, g);
	}
	close(fd);
}
