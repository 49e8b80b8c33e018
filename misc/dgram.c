/*
 * Datagrams: one call for a batch where the system has one. Nothing is kept
 * between calls but the buffers.
 */
#include <sys/socket.h>
#include <sys/uio.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "features.h"
#include "dgram.h"
#include "dgram_impl.h"

/* More than any datagram has, so none is cut off. */
#define ROOM		65536
#define CONTROL		256

struct slot {
	struct sockaddr_storage	 from;
	/* what IP_PKTINFO and its relatives need, aligned as CMSG_* wants */
	alignas(struct cmsghdr) char control[CONTROL];
	struct iovec		 iov;
	struct dgram		 dgram;
};

struct dgrams {
	unsigned	 n;		/* of the last receive */
	struct slot	 slots[DGRAM_BATCH];
	uint8_t		 data[DGRAM_BATCH][ROOM];
};

struct dgrams *
dgrams_new(void)
{
	/* not zeroed: the buffers are memory only when they are filled */
	struct dgrams *d = malloc(sizeof(*d));

	if (d != NULL)
		d->n = 0;
	return d;
}

void
dgrams_free(struct dgrams *d)
{
	free(d);
}

const struct dgram *
dgram_at(const struct dgrams *d, unsigned i)
{
	return &d->slots[i].dgram;
}

static int
beside_set(int fd)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return -1;
#ifdef SO_REUSEPORT
	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
#else
	return 0;
#endif
}

int
dgram_prepare(int fd, int family)
{
	int on = 1;

	if (beside_set(fd) == -1)
		return -1;
	if (family == AF_INET6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on,
		    sizeof(on));
	return dgram_ask_inet(fd);
}

/* ---- receiving ---- */

static void
slot_prepare(struct dgrams *d, unsigned i, struct msghdr *mh)
{
	struct slot *s = &d->slots[i];

	s->iov.iov_base = d->data[i];
	s->iov.iov_len = ROOM;
	memset(mh, 0, sizeof(*mh));
	mh->msg_name = &s->from;
	mh->msg_namelen = sizeof(s->from);
	mh->msg_iov = &s->iov;
	mh->msg_iovlen = 1;
	mh->msg_control = s->control;
	mh->msg_controllen = sizeof(s->control);
}

/* The same without IPv4 in IPv6: sockets for one client are of his family. */
static void
addr_plain(struct net_addr *to, const struct sockaddr *sa, socklen_t len)
{
	struct net_name name;

	net_name_set(&name, sa, len);
	net_name_addr(&name, to);
}

static bool
told_inet6(const struct cmsghdr *c, struct net_addr *local)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct in6_pktinfo info;

	if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	in6.sin6_addr = info.ipi6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		in6.sin6_scope_id = (uint32_t)info.ipi6_ifindex;
	addr_plain(local, (const struct sockaddr *)&in6, sizeof(in6));
	return true;
}

static void
local_find(struct dgram *g, struct msghdr *mh)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	g->local = (struct net_addr){ .len = 0 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL;
	    c = CMSG_NXTHDR(mh, c)) {
		if (told_inet6(c, &g->local))
			return;
		if (dgram_told_inet(c, &in.sin_addr)) {
			addr_plain(&g->local, (const struct sockaddr *)&in,
			    sizeof(in));
			return;
		}
	}
}

static void
slot_finish(struct dgrams *d, unsigned i, struct msghdr *mh, size_t len)
{
	struct dgram *g = &d->slots[i].dgram;

	addr_plain(&g->peer, mh->msg_name, mh->msg_namelen);
	local_find(g, mh);
	g->data = d->data[i];
	g->len = len;
}

#ifdef HAVE_RECVMMSG

int
dgram_receive(struct dgrams *d, int fd, unsigned max)
{
	struct mmsghdr mm[DGRAM_BATCH];
	int n;

	if (max > DGRAM_BATCH)
		max = DGRAM_BATCH;
	for (unsigned i = 0; i < max; i++)
		slot_prepare(d, i, &mm[i].msg_hdr);
	do
		n = recvmmsg(fd, mm, max, MSG_DONTWAIT, NULL);
	while (n == -1 && errno == EINTR);
	d->n = n > 0 ? (unsigned)n : 0;
	for (unsigned i = 0; i < d->n; i++)
		slot_finish(d, i, &mm[i].msg_hdr, mm[i].msg_len);
	return n;
}

#else

int
dgram_receive(struct dgrams *d, int fd, unsigned max)
{
	if (max > DGRAM_BATCH)
		max = DGRAM_BATCH;
	for (d->n = 0; d->n < max; d->n++) {
		struct msghdr mh;
		ssize_t n;

		slot_prepare(d, d->n, &mh);
		do
			n = recvmsg(fd, &mh, MSG_DONTWAIT);
		while (n == -1 && errno == EINTR);
		if (n == -1)
			break;
		slot_finish(d, d->n, &mh, (size_t)n);
	}
	return d->n > 0 ? (int)d->n : -1;
}

#endif

/* ---- a socket for one client ---- */

static bool
is_multicast(const struct net_addr *a)
{
	return a->sa.sa_family == AF_INET ?
	    IN_MULTICAST(ntohl(a->in.sin_addr.s_addr)) :
	    IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

/* Where answers come from; what cannot answer is left to the system. */
static struct net_addr
source_of(const struct net_addr *local, const struct net_addr *peer)
{
	struct net_addr any = *peer;

	if (local->len > 0 && local->sa.sa_family == peer->sa.sa_family &&
	    !is_multicast(local))
		return *local;
	if (any.sa.sa_family == AF_INET)
		any.in.sin_addr.s_addr = htonl(INADDR_ANY);
	else {
		any.in6.sin6_addr = in6addr_any;
		any.in6.sin6_scope_id = 0;
	}
	net_set_port(&any, net_port(local));
	return any;
}

int
dgram_open(const struct net_addr *local, const struct net_addr *peer,
    const char *vrf, int dscp)
{
	int family = peer->sa.sa_family, on = 1;
	struct net_addr from = source_of(local, peer);
	int fd = net_socket(family, SOCK_DGRAM, IPPROTO_UDP);

	if (fd == -1)
		return -1;
	if (beside_set(fd) == -1 ||
	    (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
	    &on, sizeof(on)) == -1) ||
	    (vrf != NULL && net_vrf(fd, vrf) == -1) ||
	    (dscp >= 0 && net_dscp(fd, family, dscp) == -1) ||
	    bind(fd, &from.sa, from.len) == -1 ||
	    connect(fd, &peer->sa, peer->len) == -1) {
		net_close(fd);
		return -1;
	}
	return fd;
}
