/*
 * Addresses of a relay session after relayd's rules: what becomes of the
 * chosen destination, and which local end a server is told of. Pure.
 */
#ifndef TCPRELAY_TARGET_H
#define TCPRELAY_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/net.h"

enum target_map { TARGET_AS_IS, TARGET_INET, TARGET_INET6 };

/*
 * TARGET_INET: of an IPv6 destination the last four bytes become an IPv4 one.
 * TARGET_INET6: an IPv4 destination becomes the last four bytes of prefix.
 * The port stays. What has the family already stays as it is. false: that
 * would be no address to connect to (unspecified, broadcast, multicast).
 */
bool	 target_map(struct net_addr *destination, enum target_map,
	    const struct net_addr *prefix);

/*
 * The destination in a PROXY header: the address the client connected to, and
 * the port the relay is configured with, or the real one if sessions go to
 * their original destination. The port is in host order.
 */
void	 target_local(struct net_name *to, const struct net_name *local,
	    unsigned listen_port, bool original);

#endif
