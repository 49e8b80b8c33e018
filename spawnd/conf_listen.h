/*
 * A listen block as it was written: conf_listen.c reads it, conf_endpoint.c
 * makes endpoints of it.
 */
#ifndef SPAWND_CONF_LISTEN_H
#define SPAWND_CONF_LISTEN_H

#include <limits.h>

#include "parse.h"

#define UNSET		UINT_MAX	/* of a time whose 0 means something */

enum protocol { PROTOCOL_UNSET, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP };
enum tls_mode { TLS_MODE_NO, TLS_MODE_YES, TLS_MODE_AUTO, TLS_MODE_LIST };

/* A block as it was written. In the arena, on the list of the build. */
struct listen_block {
	struct listen_block	*next;
	struct diag_place	 place;
	const char		*name;
	bool			 named;
	struct kw_value		 address, path, port, dtls;
	enum protocol		 protocol;
	int			 type;		/* SOCK_STREAM ..., 0: unset */
	const char		*vrf;
	const char		*realm;
	int			 dscp;		/* -1: unset */
	enum tls_mode		 tls;
	unsigned		 tls_list, dtls_list;
	bool			 psk, haproxy, accounting;
	int			 aaa;
	unsigned		 mode;
	bool			 mode_given;
	struct kw_owner		 owner;
	int			 backlog, overload_backlog;
	unsigned		 retry, sticky_period, sticky_size;
	struct net_keepalive	 keepalive;
	int			 accept;	/* -1: the section's */
	bool			 wrong;		/* a value of an endpoint */
	bool			 ported;	/* a port was given, even a
						   wrong one */
	/* what it comes to: no address, some, or all there are */
	struct net_addr		*addrs;
	unsigned		 naddrs;
	bool			 any, opens;
};

/* By enum protocol. */
struct transport {
	const char	*name;		/* of its services */
	int		 number, type;
};
extern const struct transport transports[];

extern const struct kw_word aaa_protocols[];

/* SOCK_STREAM ..., given or by protocol. */
int	 block_type(const struct listen_block *);

#endif
