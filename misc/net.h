/*
 * Network addresses and socket options. Never blocks: names are resolved by
 * source_host(), when a configuration is read.
 */
#ifndef MISC_NET_H
#define MISC_NET_H

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Long enough for "[ADDR%scope]:PORT" and for a UNIX path. */
#define NET_TEXT	128

struct net_addr {
	union {
		struct sockaddr		sa;
		struct sockaddr_in	in;
		struct sockaddr_in6	in6;
		struct sockaddr_un	un;
		struct sockaddr_storage	ss;
	};
	socklen_t len;		/* 0: no address */
};

/* A compact endpoint for sessions and logs: 24 bytes, IP only. */
struct net_name {
	uint8_t		family;	/* AF_INET, AF_INET6, AF_UNIX or 0 */
	uint8_t		pad;
	in_port_t	port;	/* network order */
	uint32_t	scope;
	uint8_t		ip[16];	/* IPv4 in the first four */
};

struct net_keepalive {
	int	count, idle, interval;		/* 0: the system's */
};

/* Options of a TCP socket, as far as they are given. */
struct net_tcp {
	int	nodelay, sack;			/* 1, 0; -1: not given */
	int	buffer;				/* bytes, each way; 0 */
	int	ttl, minttl;			/* 0: not given */
};

/* Strict literals only: dotted quad (no octal, no short forms) or IPv6, with
 * optional inet: or inet6: prefix; IPv6 may have a %scope. Port 0. false: not
 * an address. */
bool	 net_parse_ip(const char *text, struct net_addr *);
/* path or unix:path; false when it is empty or longer than sun_path. */
bool	 net_parse_unix(const char *text, struct net_addr *);
void	 net_set_port(struct net_addr *, unsigned port);	/* host order */
unsigned net_port(const struct net_addr *);
bool	 net_same(const struct net_addr *, const struct net_addr *);
/* An order for sorting; 0 where net_same says so. */
int	 net_cmp(const struct net_addr *, const struct net_addr *);
bool	 net_is_any(const struct net_addr *);		/* wildcard address */
/* "[ADDR]:PORT", the path for UNIX ("@name" for an abstract one), "-" for
 * none or unnamed. Returns buf. IPv4-mapped addresses are shown as IPv4. The
 * ip forms are the address alone, without brackets. */
const char *net_text(const struct net_addr *, char buf[static NET_TEXT]);
const char *net_ip_text(const struct net_addr *, char buf[static NET_TEXT]);
const char *net_name_text(const struct net_name *, char buf[static NET_TEXT]);
const char *net_name_ip_text(const struct net_name *,
		char buf[static NET_TEXT]);
/* IPv4-mapped becomes IPv4. */
void	 net_name_set(struct net_name *, const struct sockaddr *, socklen_t);
void	 net_name_addr(const struct net_name *, struct net_addr *);

/* What an interface is called, for where the system does not say, or may not
 * be asked: a few of them are remembered. */
void	 net_scope_learn(uint32_t index, const char *name);
/* The number behind '%', by name or number; 0: none. */
uint32_t net_scope(const char *text);

/* Non-blocking, close-on-exec. -1, errno. peer may be NULL. */
int	 net_socket(int family, int type, int protocol);
int	 net_accept(int fd, struct net_addr *peer);
/* How many connections wait to be accepted; -1: the system does not say. */
int	 net_queued(int fd);
int	 net_close(int fd);			/* keeps errno */
int	 net_nonblock(int fd);
int	 net_cloexec(int fd, bool on);
/* SO_KEEPALIVE, and what is not 0 of the rest. */
int	 net_keepalive(int fd, const struct net_keepalive *);
/* What the system has where a value is 0; left so if it does not say. */
void	 net_keepalive_fill(int family, struct net_keepalive *);
int	 net_dscp(int fd, int family, int dscp);
int	 net_nodelay(int fd);
/* -1, errno, and *what is called so in configurations; it may be NULL. Where
 * sack cannot be set by socket (net_have_sack) it is passed over. */
int	 net_tcp(int fd, int family, const struct net_tcp *,
		const char **what);
/* From what was given to what is: what is not any more becomes the system's
 * again, but a buffer's size, ENOTSUP. All that can be is changed. */
int	 net_tcp_change(int fd, int family, const struct net_tcp *was,
		const struct net_tcp *, const char **what);
bool	 net_have_sack(void);
/* Linux VRF device, OpenBSD routing table, FreeBSD FIB. */
int	 net_vrf(int fd, const char *name);
/* May have an address that is no address of this machine: to bind to one, or
 * to be given what is for one. Needs privileges. */
int	 net_foreign(int fd, int family);
/* linger 0: close sends a reset. */
int	 net_linger0(int fd);
int	 net_linger_off(int fd);
/* Sends the reset now even if another process holds a copy (connect to
 * AF_UNSPEC); falls back to linger 0, which resets at the last close, and
 * shuts down what has no reset (UNIX). */
int	 net_abort(int fd);
int	 net_error(int fd);			/* SO_ERROR, or errno */
bool	 net_have_sctp(void);
bool	 net_have_ipv6(void);
/* Removes a socket file that nobody listens on, where one is in the way. -1:
 * EADDRINUSE if somebody does, ENOTSOCK if it is something else. */
int	 net_unix_stale(const struct net_addr *);
/* User id of the process at the other end of a UNIX stream socket. -1, errno:
 * the system does not say. */
int	 net_peer_uid(int fd, uid_t *);
int	 net_local(int fd, struct net_addr *);
int	 net_peer(int fd, struct net_addr *);
/* Where a connection went before the system translated its destination. -1,
 * errno: ENOENT it was not, ENOSYS the system does not say ever. */
int	 net_original(int fd, struct net_addr *);

#endif
