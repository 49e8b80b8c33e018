/*
 * Options of a TCP socket as a table: set as given, and changed from what was
 * given before.
 */
#include <netinet/tcp.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "net.h"

/* By family: -1 where there is no such option. */
struct tcp_option {
	const char	*name;
	size_t		 place;		/* in struct net_tcp */
	int		 unset;		/* not given */
	struct { int level, option; } of[2];	/* IPv4, IPv6 */
};

#ifndef TCP_SACK_ENABLE
#define TCP_SACK_ENABLE		-1
#endif
#ifndef IP_MINTTL
#define IP_MINTTL		-1
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT	-1
#endif

static const struct tcp_option tcp_options[] = {
#define BOTH(level, option)	{ { level, option }, { level, option } }
	{ "socket buffer", offsetof(struct net_tcp, buffer), 0,
	    BOTH(SOL_SOCKET, SO_RCVBUF) },
	{ "socket buffer", offsetof(struct net_tcp, buffer), 0,
	    BOTH(SOL_SOCKET, SO_SNDBUF) },
	{ "ip ttl", offsetof(struct net_tcp, ttl), 0,
	    { { IPPROTO_IP, IP_TTL }, { IPPROTO_IPV6, IPV6_UNICAST_HOPS } } },
	{ "ip minttl", offsetof(struct net_tcp, minttl), 0,
	    { { IPPROTO_IP, IP_MINTTL }, { IPPROTO_IPV6, IPV6_MINHOPCOUNT } } },
	{ "nodelay", offsetof(struct net_tcp, nodelay), -1,
	    BOTH(IPPROTO_TCP, TCP_NODELAY) },
	{ "sack", offsetof(struct net_tcp, sack), -1,
	    BOTH(IPPROTO_TCP, TCP_SACK_ENABLE) },
#undef BOTH
};
#define TCP_OPTIONS	(sizeof(tcp_options) / sizeof(*tcp_options))

bool
net_have_sack(void)
{
	return TCP_SACK_ENABLE != -1;
}

static int
tcp_option_get(const struct tcp_option *o, const struct net_tcp *t)
{
	int value;

	memcpy(&value, (const char *)t + o->place, sizeof(value));
	return value;
}

static int
tcp_option_set(int fd, int family, const struct tcp_option *o, int value)
{
	int level = o->of[family == AF_INET6].level;
	int option = o->of[family == AF_INET6].option;

	if (option != -1)
		return setsockopt(fd, level, option, &value, sizeof(value));
	if (o->place == offsetof(struct net_tcp, sack))
		return 0;
	errno = ENOPROTOOPT;
	return -1;
}

int
net_tcp(int fd, int family, const struct net_tcp *t, const char **what)
{
	for (size_t i = 0; i < TCP_OPTIONS; i++) {
		const struct tcp_option *o = &tcp_options[i];
		int value = tcp_option_get(o, t);

		if (value == o->unset ||
		    tcp_option_set(fd, family, o, value) == 0)
			continue;
		if (what != NULL)
			*what = o->name;
		return -1;
	}
	return 0;
}

/* As it is on a socket that nobody has touched. A size, once set, is not
 * adapted by the system any more, whatever it is set to. */
static int
tcp_option_usual(int fd, int family, const struct tcp_option *o)
{
	int fresh, value, saved, status;
	socklen_t len = sizeof(value);

	if (o->place == offsetof(struct net_tcp, buffer)) {
		errno = ENOTSUP;
		return -1;
	}
	if (o->of[family == AF_INET6].option == -1)
		return 0;
	if ((fresh = net_socket(family, SOCK_STREAM, IPPROTO_TCP)) == -1)
		return -1;
	status = getsockopt(fresh, o->of[family == AF_INET6].level,
	    o->of[family == AF_INET6].option, &value, &len);
	saved = errno;
	net_close(fresh);
	errno = saved;
	return status == -1 ? -1 : tcp_option_set(fd, family, o, value);
}

int
net_tcp_change(int fd, int family, const struct net_tcp *was,
    const struct net_tcp *t, const char **what)
{
	int status = 0, saved = errno;

	for (size_t i = 0; i < TCP_OPTIONS; i++) {
		const struct tcp_option *o = &tcp_options[i];
		int before = tcp_option_get(o, was);
		int value = tcp_option_get(o, t);

		if (before == value || (value != o->unset ?
		    tcp_option_set(fd, family, o, value) :
		    tcp_option_usual(fd, family, o)) == 0)
			continue;
		status = -1;
		saved = errno;
		if (what != NULL)
			*what = o->name;
	}
	errno = saved;
	return status;
}
