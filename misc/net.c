/*
 * Addresses and socket options, as far as they are the same everywhere; the
 * rest is in net_linux.c, net_bsd.c and net_other.c.
 */
#include <sys/stat.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP	132
#endif

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

/* Literals */

/* One part of a dotted quad: 0 to 255 without leading zeros. */
static bool
parse_part(const char **text, uint8_t *part)
{
	const char *p = *text;
	unsigned n = 0;

	if (*p < '0' || *p > '9' ||
	    (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (unsigned)(*p - '0');
		if (n > 255)
			return false;
	}
	*part = (uint8_t)n;
	*text = p;
	return true;
}

static bool
parse_quad(const char *text, uint8_t ip[4])
{
	int i;

	for (i = 0; i < 4; i++) {
		if (i > 0 && *text++ != '.')
			return false;
		if (!parse_part(&text, &ip[i]))
			return false;
	}
	return *text == '\0';
}

/* An interface, by name or number. */
uint32_t
net_scope(const char *text)
{
	uint64_t n = if_nametoindex(text);
	const char *p;

	if (n != 0)
		return (uint32_t)n;
	for (p = text; *p >= '0' && *p <= '9' && n <= UINT32_MAX; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return p != text && *p == '\0' && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static struct scope {
	uint32_t	index;		/* 0: unused */
	char		name[IF_NAMESIZE];
} scopes[8];

void
net_scope_learn(uint32_t index, const char *name)
{
	static unsigned next;
	struct scope *to = NULL;

	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (scopes[i].index == index)
			to = &scopes[i];
	if (to == NULL)
		to = &scopes[next++ % (sizeof(scopes) / sizeof(scopes[0]))];
	to->index = index;
	snprintf(to->name, sizeof(to->name), "%s", name);
}

/* "" if nobody knows. */
static const char *
scope_name(uint32_t index, char name[static IF_NAMESIZE])
{
	if (if_indextoname(index, name) != NULL)
		return name;
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (scopes[i].index == index)
			return scopes[i].name;
	return "";
}

static bool
parse_ip6(const char *text, struct sockaddr_in6 *in6)
{
	const char *percent = strchr(text, '%');
	size_t n = percent != NULL ? (size_t)(percent - text) : strlen(text);
	char ip[INET6_ADDRSTRLEN];

	if (n >= sizeof(ip))
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	if (inet_pton(AF_INET6, ip, &in6->sin6_addr) != 1)
		return false;
	return percent == NULL ||
	    (in6->sin6_scope_id = net_scope(percent + 1)) != 0;
}

bool
net_parse_ip(const char *text, struct net_addr *a)
{
	bool only4 = strncmp(text, "inet:", 5) == 0;
	bool only6 = strncmp(text, "inet6:", 6) == 0;
	struct net_addr got = { .len = 0 };
	uint8_t quad[4];

	text += only4 ? 5 : only6 ? 6 : 0;
	if (!only6 && parse_quad(text, quad)) {
		got.in.sin_family = AF_INET;
		memcpy(&got.in.sin_addr, quad, sizeof(quad));
		got.len = sizeof(got.in);
	} else if (!only4 && parse_ip6(text, &got.in6)) {
		got.in6.sin6_family = AF_INET6;
		got.len = sizeof(got.in6);
	} else
		return false;
	*a = got;
	return true;
}

bool
net_parse_unix(const char *text, struct net_addr *a)
{
	struct net_addr got = { .len = 0 };
	size_t n;

	if (strncmp(text, "unix:", 5) == 0)
		text += 5;
	n = strlen(text);
	if (n == 0 || n >= sizeof(got.un.sun_path))
		return false;
	got.un.sun_family = AF_UNIX;
	memcpy(got.un.sun_path, text, n);
	got.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	*a = got;
	return true;
}

void
net_set_port(struct net_addr *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons((uint16_t)port);
	else if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
}

unsigned
net_port(const struct net_addr *a)
{
	if (a->len == 0)
		return 0;
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->in.sin_port);
	if (a->sa.sa_family == AF_INET6)
		return ntohs(a->in6.sin6_port);
	return 0;
}

/* Comparing */

/* Bytes of a path, or of an abstract name with its leading NUL. */
static size_t
unix_path(const struct net_addr *a)
{
	size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t n = a->len > start ? a->len - start : 0;

	if (n > sizeof(a->un.sun_path))
		n = sizeof(a->un.sun_path);
	if (n == 0 || a->un.sun_path[0] == '\0')
		return n;
	return strnlen(a->un.sun_path, n);
}

bool
net_same(const struct net_addr *a, const struct net_addr *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_port == b->in.sin_port &&
		    a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		    a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		    memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		    sizeof(a->in6.sin6_addr)) == 0;
	case AF_UNIX:
		return unix_path(a) == unix_path(b) &&
		    memcmp(a->un.sun_path, b->un.sun_path,
		    unix_path(a)) == 0;
	}
	return false;
}

static int
bytes_cmp(const void *a, size_t alen, const void *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	return c != 0 ? c : (alen > blen) - (alen < blen);
}

int
net_cmp(const struct net_addr *a, const struct net_addr *b)
{
	int fa = a->len == 0 ? -1 : a->sa.sa_family;
	int fb = b->len == 0 ? -1 : b->sa.sa_family;
	unsigned pa, pb;
	int c;

	if (fa != fb)
		return fa < fb ? -1 : 1;
	pa = net_port(a);
	pb = net_port(b);
	if (pa != pb)
		return pa < pb ? -1 : 1;
	switch (fa) {
	case AF_INET:
		return memcmp(&a->in.sin_addr, &b->in.sin_addr,
		    sizeof(a->in.sin_addr));
	case AF_INET6:
		c = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		    sizeof(a->in6.sin6_addr));
		return c != 0 ? c :
		    (a->in6.sin6_scope_id > b->in6.sin6_scope_id) -
		    (a->in6.sin6_scope_id < b->in6.sin6_scope_id);
	case AF_UNIX:
		return bytes_cmp(a->un.sun_path, unix_path(a),
		    b->un.sun_path, unix_path(b));
	}
	return 0;
}

bool
net_is_any(const struct net_addr *a)
{
	if (a->len == 0)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Compact names */

void
net_name_set(struct net_name *n, const struct sockaddr *sa, socklen_t len)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	*n = (struct net_name){ .family = 0 };
	if (sa == NULL || len < (socklen_t)sizeof(sa->sa_family))
		return;
	if (sa->sa_family == AF_UNIX)
		n->family = AF_UNIX;
	else if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof(*in)) {
		n->family = AF_INET;
		n->port = in->sin_port;
		memcpy(n->ip, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 &&
	    len >= (socklen_t)sizeof(*in6)) {
		n->port = in6->sin6_port;
		if (memcmp(&in6->sin6_addr, mapped, sizeof(mapped)) == 0) {
			n->family = AF_INET;
			memcpy(n->ip, in6->sin6_addr.s6_addr + 12, 4);
			return;
		}
		n->family = AF_INET6;
		n->scope = in6->sin6_scope_id;
		memcpy(n->ip, &in6->sin6_addr, 16);
	}
}

void
net_name_addr(const struct net_name *n, struct net_addr *a)
{
	*a = (struct net_addr){ .len = 0 };
	a->sa.sa_family = n->family;
	switch (n->family) {
	case AF_INET:
		a->in.sin_port = n->port;
		memcpy(&a->in.sin_addr, n->ip, 4);
		a->len = sizeof(a->in);
		break;
	case AF_INET6:
		a->in6.sin6_port = n->port;
		a->in6.sin6_scope_id = n->scope;
		memcpy(&a->in6.sin6_addr, n->ip, 16);
		a->len = sizeof(a->in6);
		break;
	case AF_UNIX:
		a->len = offsetof(struct sockaddr_un, sun_path);
		break;
	}
}

/* Texts */

static const char *
text_none(char buf[static NET_TEXT])
{
	return memcpy(buf, "-", 2);
}

const char *
net_name_ip_text(const struct net_name *n, char buf[static NET_TEXT])
{
	char room[IF_NAMESIZE];
	const char *scope;
	size_t used;

	if (n->family != AF_INET && n->family != AF_INET6)
		return text_none(buf);
	if (inet_ntop(n->family, n->ip, buf, NET_TEXT) == NULL)
		return text_none(buf);
	if (n->scope == 0)
		return buf;
	used = strlen(buf);
	scope = scope_name(n->scope, room);
	if (*scope != '\0')
		snprintf(buf + used, NET_TEXT - used, "%%%s", scope);
	else
		snprintf(buf + used, NET_TEXT - used, "%%%u",
		    (unsigned)n->scope);
	return buf;
}

const char *
net_name_text(const struct net_name *n, char buf[static NET_TEXT])
{
	size_t used;

	if (n->family != AF_INET && n->family != AF_INET6)
		return text_none(buf);
	/* the address goes in behind the bracket: 46 + 1 + 16 bytes at most */
	net_name_ip_text(n, buf);
	used = strlen(buf);
	memmove(buf + 1, buf, used);
	buf[0] = '[';
	snprintf(buf + used + 1, NET_TEXT - used - 1, "]:%u",
	    (unsigned)ntohs(n->port));
	return buf;
}

static const char *
unix_text(const struct net_addr *a, char buf[static NET_TEXT])
{
	size_t i, n = unix_path(a);

	static_assert(sizeof(a->un.sun_path) < NET_TEXT, "room for a path");
	if (n == 0)
		return text_none(buf);
	memcpy(buf, a->un.sun_path, n);
	buf[n] = '\0';
	for (i = 0; i < n; i++) {
		if (buf[i] == '\0')		/* abstract */
			buf[i] = '@';
	}
	return buf;
}

const char *
net_text(const struct net_addr *a, char buf[static NET_TEXT])
{
	struct net_name n;

	if (a->len != 0 && a->sa.sa_family == AF_UNIX)
		return unix_text(a, buf);
	net_name_set(&n, &a->sa, a->len);
	return net_name_text(&n, buf);
}

const char *
net_ip_text(const struct net_addr *a, char buf[static NET_TEXT])
{
	struct net_name n;

	if (a->len != 0 && a->sa.sa_family == AF_UNIX)
		return unix_text(a, buf);
	net_name_set(&n, &a->sa, a->len);
	return net_name_ip_text(&n, buf);
}

/* Sockets */

int
net_close(int fd)
{
	int error = errno, result = close(fd);

	errno = error;
	return result;
}

int
net_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return -1;
	return flags & O_NONBLOCK ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
net_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags == -1)
		return -1;
	flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	return fcntl(fd, F_SETFD, flags);
}

static int
set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* Darwin's name for the idle time is an older one */
#if !defined(TCP_KEEPIDLE) && defined(TCP_KEEPALIVE)
#define TCP_KEEPIDLE	TCP_KEEPALIVE
#endif

static const struct {
	int	option;
	size_t	place;		/* in struct net_keepalive */
} keepalives[] = {
#ifdef TCP_KEEPCNT
	{ TCP_KEEPCNT, offsetof(struct net_keepalive, count) },
#endif
#ifdef TCP_KEEPIDLE
	{ TCP_KEEPIDLE, offsetof(struct net_keepalive, idle) },
#endif
#ifdef TCP_KEEPINTVL
	{ TCP_KEEPINTVL, offsetof(struct net_keepalive, interval) },
#endif
	{ 0, 0 }
};

int
net_keepalive(int fd, const struct net_keepalive *k)
{
	int value;

	if (set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1) == -1)
		return -1;
	for (size_t i = 0; keepalives[i].option != 0; i++) {
		memcpy(&value, (const char *)k + keepalives[i].place,
		    sizeof(value));
		if (value != 0 && set_int(fd, IPPROTO_TCP,
		    keepalives[i].option, value) == -1)
			return -1;
	}
	return 0;
}

void
net_keepalive_fill(int family, struct net_keepalive *k)
{
	int fd = net_socket(family, SOCK_STREAM, IPPROTO_TCP);

	for (size_t i = 0; fd != -1 && keepalives[i].option != 0; i++) {
		char *at = (char *)k + keepalives[i].place;
		socklen_t len = sizeof(int);
		int value;

		memcpy(&value, at, sizeof(value));
		if (value == 0 && getsockopt(fd, IPPROTO_TCP,
		    keepalives[i].option, &value, &len) == 0)
			memcpy(at, &value, sizeof(value));
	}
	if (fd != -1)
		net_close(fd);
}

int
net_dscp(int fd, int family, int dscp)
{
	int value = dscp << 2;

	if (family == AF_INET)
		return set_int(fd, IPPROTO_IP, IP_TOS, value);
	if (family != AF_INET6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	/* For IPv4-mapped peers; systems that have none refuse it. */
	(void)set_int(fd, IPPROTO_IP, IP_TOS, value);
	return set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, value);
}

int
net_nodelay(int fd)
{
	return set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

int
net_linger_off(int fd)
{
	struct linger l = { .l_onoff = 0 };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

int
net_linger0(int fd)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

int
net_abort(int fd)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	struct net_addr local;

	/* Also, for what disconnecting does not cover: a connection that is
	 * ending already. */
	if (net_linger0(fd) == -1)
		return -1;
	if (connect(fd, &sa, sizeof(sa)) == 0)
		return 0;
	if (net_local(fd, &local) == 0 && local.sa.sa_family == AF_UNIX)
		(void)shutdown(fd, SHUT_RDWR);
	return 0;
}

int
net_error(int fd)
{
	socklen_t len = sizeof(int);
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return errno;
	return error;
}

static bool
have(int family, int protocol)
{
	int fd = net_socket(family, SOCK_STREAM, protocol);

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

bool
net_have_sctp(void)
{
	return have(AF_INET, IPPROTO_SCTP);
}

bool
net_have_ipv6(void)
{
	return have(AF_INET6, IPPROTO_TCP);
}

/* What getsockname and getpeername leave; they may say more than fits. */
static int
name_got(struct net_addr *a, int result)
{
	if (result == -1)
		a->len = 0;
	else if (a->len > (socklen_t)sizeof(a->ss))
		a->len = sizeof(a->ss);
	return result;
}

int
net_local(int fd, struct net_addr *a)
{
	a->len = sizeof(a->ss);
	return name_got(a, getsockname(fd, &a->sa, &a->len));
}

int
net_peer(int fd, struct net_addr *a)
{
	a->len = sizeof(a->ss);
	return name_got(a, getpeername(fd, &a->sa, &a->len));
}

int
net_unix_stale(const struct net_addr *addr)
{
	struct stat st;
	int fd, reason;

	if (lstat(addr->un.sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	if ((fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	reason = connect(fd, &addr->sa, addr->len) == -1 ? errno : 0;
	close(fd);
	if (reason != ECONNREFUSED) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(addr->un.sun_path);
}
