/*
 * The PROXY protocol, versions 1 and 2: https://www.haproxy.org/download/
 * 2.9/doc/proxy-protocol.txt. Pure: bytes in, result out.
 */
#ifndef TCPRELAY_PROXYPROTO_H
#define TCPRELAY_PROXYPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/net.h"

#define PROXYPROTO_MAX	4096	/* bytes of the longest header we take */
#define PROXYPROTO_OUT	108	/* bytes of the longest one we write */

enum proxyproto_result {
	PROXYPROTO_MORE,	/* all bytes so far may belong to a header */
	PROXYPROTO_DONE,
	PROXYPROTO_NONE,	/* it is none: a direct connection */
	PROXYPROTO_BAD
};

struct proxyproto {
	size_t		 size;		/* of the header, if DONE */
	bool		 keep;		/* LOCAL, UNKNOWN: as they really are */
	struct net_name	 src, dst;	/* unless keep */
	const char	*reason;	/* if BAD */
};

/* n bytes from the start of a connection; end: no more will come. */
enum proxyproto_result	 proxyproto_parse(struct proxyproto *,
			    const uint8_t *, size_t n, bool end);
/* A header of that version; returns its size. */
size_t	 proxyproto_write(uint8_t[static PROXYPROTO_OUT], int version,
	    const struct net_name *src, const struct net_name *dst);

#endif
