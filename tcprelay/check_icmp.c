/*
 * Checks by ICMP echo (RFC 792, RFC 4443): one batch per round and address
 * family. A reply counts if it comes from the host that was asked, and says
 * what only this request said; whatever else arrives is somebody else's.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/icmp6.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "check_impl.h"

#define MESSAGE		64	/* bytes, with the header */
#define ECHO_REPLY	0	/* RFC 792 */
#define ECHO		8
#define ECHO6		128	/* RFC 4443 */
#define ECHO6_REPLY	129
#define RECEIVE_BUFFER	262144
#define TURN		128	/* sent in one turn: on loopback replies are
				   there at once, and have to find room */
#define RETRY		(2 * EV_MS)
#define IP_HEADER	60	/* at most */

#define LIMIT_UNKNOWN	0
#define LIMIT_FORGED	1

/* Where things are in a message. */
#define AT_SUM		2
#define AT_IDENT	4
#define AT_SEQUENCE	6
#define AT_ID		8
#define AT_SERIAL	12
#define AT_COOKIE	16
#define AT_REST		24

/* ---- bytes ---- */

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1071; 0 when the message has its checksum in it, and it is right. */
static unsigned
checksum(const uint8_t p[static MESSAGE])
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < MESSAGE; i += 2)
		sum += get16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* ---- sockets ---- */

/* Whatever need not be looked at is not even queued, where the system has
 * filters. none: nothing at all. */
static void
filter(int fd, int family, bool none)
{
	if (family == AF_INET6) {
#ifdef ICMP6_FILTER
		struct icmp6_filter f;

		ICMP6_FILTER_SETBLOCKALL(&f);
		if (!none)
			ICMP6_FILTER_SETPASS(ECHO6_REPLY, &f);
		(void)setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f,
		    sizeof(f));
#endif
		return;
	}
#ifdef __linux__
	/* SOL_RAW, ICMP_FILTER of <linux/icmp.h>, which has no place beside
	 * the C library's headers: a bit is a type that does not pass */
	uint32_t blocked = none ? UINT32_MAX : ~(UINT32_C(1) << ECHO_REPLY);

	(void)setsockopt(fd, 255, 1, &blocked, sizeof(blocked));
#else
	(void)none;
#endif
}

static int
open_one(int family, bool send)
{
	int size = RECEIVE_BUFFER;
	int fd = net_socket(family, SOCK_RAW,
	    family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);

	if (fd == -1)
		return -1;
	filter(fd, family, send);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

bool
check_open(int fds[static CHECK_SOCKETS])
{
	static const struct {
		int	family;
		bool	send;
	} sockets[CHECK_SOCKETS] = {
		[CHECK_SEND4] = { AF_INET, true },
		[CHECK_RECV4] = { AF_INET, false },
		[CHECK_SEND6] = { AF_INET6, true },
		[CHECK_RECV6] = { AF_INET6, false },
	};
	int error = 0;

	for (unsigned i = 0; i < CHECK_SOCKETS; i++) {
		fds[i] = open_one(sockets[i].family, sockets[i].send);
		if (fds[i] == -1)
			error = errno;
	}
	errno = error;
	return error == 0;
}

/* ---- receiving ---- */

static bool
same_source(const struct net_addr *from, const struct net_addr *host)
{
	if (from->sa.sa_family != host->sa.sa_family)
		return false;
	if (from->sa.sa_family == AF_INET)
		return from->in.sin_addr.s_addr == host->in.sin_addr.s_addr;
	return memcmp(&from->in6.sin6_addr, &host->in6.sin6_addr, 16) == 0 &&
	    (host->in6.sin6_scope_id == 0 ||
	    host->in6.sin6_scope_id == from->in6.sin6_scope_id);
}

/* Somebody else can repeat these at will. */
static bool
permitted(struct check *c, unsigned limit)
{
	unsigned held;

	return log_allow(&c->limits[limit], ev_now(c->ev), 60 * EV_SECOND, 5,
	    &held);
}

static bool
asked(const struct probe *p, uint32_t serial)
{
	return p->state == PROBE_ICMP_READ && p->u.icmp.serial == serial;
}

/* Whom a reply is about. Hosts may have got other numbers since. */
static struct probe *
find(const struct check *c, uint32_t id, uint32_t serial)
{
	struct probe *p = check_find(c, id);

	if ((p != NULL && asked(p, serial)) ||
	    (int32_t)(serial - c->adopted) > 0)
		return p;
	for (size_t i = 0; i < c->setup->nprobes; i++)
		if (c->setup->probes[i]->group->conf->how.kind == CHECK_ICMP &&
		    asked(c->setup->probes[i], serial))
			return c->setup->probes[i];
	return p;
}

static void
reply(struct icmp *f, const uint8_t p[static MESSAGE],
    const struct net_addr *from)
{
	struct check *c = f->check;
	struct probe *host = c->setup == NULL ? NULL :
	    find(c, get32(p + AT_ID), get32(p + AT_SERIAL));
	uint64_t cookie;
	char is[NET_TEXT], want[NET_TEXT];

	if (host == NULL || host->group->conf->how.kind != CHECK_ICMP) {
		if (permitted(c, LIMIT_UNKNOWN))
			check_line(c, LOG_ERR,
			    "ping for unknown host received");
		return;
	}
	if (!same_source(from, &host->conf.addr)) {
		if (permitted(c, LIMIT_FORGED))
			check_line(c, LOG_ERR,
			    "forged icmp packet? from %s, not %s",
			    net_ip_text(from, is),
			    net_ip_text(&host->conf.addr, want));
		return;
	}
	memcpy(&cookie, p + AT_COOKIE, sizeof(cookie));
	if (asked(host, get32(p + AT_SERIAL)) &&
	    cookie == host->u.icmp.cookie)
		check_done(host, HOST_UP, HOST_ICMP_OK);
}

/* false: nothing more is there. */
static bool
receive_one(struct icmp *f)
{
	uint8_t data[IP_HEADER + MESSAGE];
	struct net_addr from = { .len = sizeof(from.ss) };
	size_t head = 0;
	ssize_t n = recvfrom(f->receive, data, sizeof(data), MSG_DONTWAIT,
	    &from.sa, &from.len);

	if (n == -1)
		return errno != EAGAIN && errno != EWOULDBLOCK;
	if (f->family == AF_INET && !f->bare)
		head = n > 0 ? (size_t)(data[0] & 15) * 4 : 0;
	if (head + MESSAGE > (size_t)n ||
	    (f->family == AF_INET && !f->bare && head < 20) ||
	    data[head] != (f->family == AF_INET ? ECHO_REPLY : ECHO6_REPLY) ||
	    data[head + 1] != 0 ||
	    (!f->bare && get16(data + head + AT_IDENT) != f->check->ident) ||
	    (f->family == AF_INET && checksum(data + head) != 0))
		return true;
	reply(f, data + head, &from);
	return true;
}

static void
receive(struct icmp *f)
{
	for (unsigned i = 0; i < 4 * TURN && receive_one(f); i++)
		;
}

/* ---- sending ---- */

/* A number nobody can guess, out of a stock. */
static uint64_t
cookie_new(struct check *c)
{
	if (c->nrandom == 0 &&
	    getentropy(c->random, sizeof(c->random)) == 0)
		c->nrandom = sizeof(c->random) / sizeof(c->random[0]);
	if (c->nrandom > 0)
		c->nrandom--;
	else			/* it has never failed since the start */
		c->random[0] = c->random[0] * UINT64_C(6364136223846793005) +
		    UINT64_C(1442695040888963407);
	return c->random[c->nrandom];
}

static void
message(struct icmp *f, struct probe *p, uint8_t m[static MESSAGE])
{
	uint64_t cookie = cookie_new(f->check);

	memset(m, 0, AT_REST);
	m[0] = f->family == AF_INET ? ECHO : ECHO6;
	put16(m + AT_IDENT, f->check->ident);
	put16(m + AT_SEQUENCE, ++f->sequence);
	put32(m + AT_ID, p->conf.id);
	put32(m + AT_SERIAL, ++f->check->serial);
	memcpy(m + AT_COOKIE, &cookie, sizeof(cookie));
	for (unsigned i = AT_REST; i < MESSAGE; i++)
		m[i] = (uint8_t)i;
	/* that of ICMPv6 is the kernel's affair */
	if (f->family == AF_INET)
		put16(m + AT_SUM, checksum(m));
	p->u.icmp.serial = f->check->serial;
	p->u.icmp.cookie = cookie;
}

static int
hops_set(struct icmp *f, int hops)
{
	if (hops == f->now)
		return 0;
	if ((f->family == AF_INET6 ?
	    setsockopt(f->send, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops,
	    sizeof(hops)) :
	    setsockopt(f->send, IPPROTO_IP, IP_TTL, &hops,
	    sizeof(hops))) == -1)
		return -1;
	f->now = hops;
	return 0;
}

static int
send_one(struct icmp *f, struct probe *p)
{
	uint8_t m[MESSAGE];
	struct net_addr to = p->conf.addr;

	net_set_port(&to, 0);
	if (hops_set(f, p->conf.ttl != 0 ? (int)p->conf.ttl : f->hops) == -1)
		return -1;
	message(f, p, m);
	if (sendto(f->send, m, sizeof(m), MSG_DONTWAIT, &to.sa, to.len) ==
	    -1) {
		f->sequence--;
		return -1;
	}
	return 0;
}

static void	pump_cb(void *ctx);

/* false: the system has no room for more, it goes on later. */
static bool
pump_one(struct icmp *f)
{
	struct probe *p = f->queue.head;

	queue_drop(p);
	/* the reply may be here before this call returns */
	probe_set(p, PROBE_ICMP_READ);
	if (send_one(f, p) == 0)
		return true;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
	    errno == ENOBUFS) {
		/* its turn comes again; of a batch all are alike */
		probe_set(p, PROBE_ICMP_SEND);
		queue_put(&f->queue, p);
		return false;
	}
	check_done(p, HOST_DOWN, HOST_ICMP_WRITE_TIMEOUT);
	return true;
}

static void
pump(struct icmp *f)
{
	struct check *c = f->check;

	for (unsigned n = 0; f->queue.head != NULL && n < TURN; n++) {
		if (!pump_one(f)) {
			ev_timer_set(c->ev, &f->retry, RETRY, pump_cb, f);
			return;
		}
	}
	if (f->queue.head != NULL)
		ev_timer_set(c->ev, &f->retry, 0, pump_cb, f);
}

static void
pump_cb(void *ctx)
{
	pump(ctx);
}

static void
late_cb(void *ctx)
{
	struct probe *p = ctx;

	check_done(p, HOST_DOWN, p->state == PROBE_ICMP_SEND ?
	    HOST_ICMP_WRITE_TIMEOUT : HOST_ICMP_READ_TIMEOUT);
}

void
check_icmp_put(struct probe *p)
{
	queue_put(&p->check->icmp[p->conf.addr.sa.sa_family ==
	    AF_INET6].queue, p);
}

static void
begin(struct icmp *f)
{
	struct check *c = f->check;
	struct probe *next;

	if (!ev_timer_pending(&f->retry))
		f->sequence = 0;
	for (struct probe *p = f->queue.head; p != NULL; p = next) {
		next = p->next;
		if (p->state != PROBE_QUEUED)
			continue;	/* of a batch that is still going on */
		p->began = ev_now(c->ev);
		probe_set(p, PROBE_ICMP_SEND);
		if (f->send == -1 || f->receive == -1)
			check_done(p, HOST_DOWN, HOST_ICMP_WRITE_TIMEOUT);
		else
			ev_timer_set(c->ev, &p->timer, p->group->timeout,
			    late_cb, p);
	}
	if (f->queue.head != NULL)
		pump(f);
}

void
check_icmp_begin(struct check *c)
{
	begin(&c->icmp[0]);
	begin(&c->icmp[1]);
}

/* ---- life ---- */

static void
readable_cb(void *ctx, int fd)
{
	(void)fd;
	receive(ctx);
}

/* Asking for the error takes it away. */
static void
error_cb(void *ctx, int fd)
{
	(void)ctx;
	(void)net_error(fd);
}

static const struct ev_ops receive_ops = {
	.readable = readable_cb, .error = error_cb, .hangup = error_cb
};

static int
system_hops(const struct icmp *f)
{
	int hops = 64;
	socklen_t len = sizeof(hops);

	if (f->send != -1)
		(void)getsockopt(f->send, f->family == AF_INET6 ?
		    IPPROTO_IPV6 : IPPROTO_IP, f->family == AF_INET6 ?
		    IPV6_UNICAST_HOPS : IP_TTL, &hops, &len);
	return hops;
}

static bool
is_bare(int fd)
{
	int type = SOCK_RAW;
	socklen_t len = sizeof(type);

	return fd != -1 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type,
	    &len) == 0 && type == SOCK_DGRAM;
}

int
check_icmp_init(struct check *c, const int fds[static CHECK_SOCKETS])
{
	c->ident = (uint16_t)getpid();
	if (getentropy(c->random, sizeof(c->random)) == -1)
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		struct icmp *f = &c->icmp[i];

		*f = (struct icmp){
			.check = c, .family = i == 0 ? AF_INET : AF_INET6,
			.send = fds[i == 0 ? CHECK_SEND4 : CHECK_SEND6],
			.receive = fds[i == 0 ? CHECK_RECV4 : CHECK_RECV6]
		};
		f->bare = is_bare(f->receive);
		f->hops = f->now = system_hops(f);
		queue_init(&f->queue);
		if (f->receive != -1 && ev_add(c->ev, f->receive,
		    &receive_ops, f, EV_READ) == -1)
			return -1;
	}
	return 0;
}

void
check_icmp_clear(struct check *c)
{
	for (unsigned i = 0; i < 2; i++) {
		struct icmp *f = &c->icmp[i];

		ev_timer_stop(c->ev, &f->retry);
		if (f->send != -1)
			ev_close(c->ev, f->send);
		if (f->receive != -1 && f->receive != f->send)
			ev_close(c->ev, f->receive);
	}
}
