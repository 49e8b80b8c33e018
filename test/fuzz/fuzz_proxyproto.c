/*
 * PROXY headers from bytes. Whatever comes: the verdict does not change with
 * more bytes, a header lies within what was given, and what it says can be
 * written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tcprelay/proxyproto.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define CHECK(x)	do { if (!(x)) abort(); } while (0)

static bool
is_ip(const struct net_name *name)
{
	return name->family == AF_INET || name->family == AF_INET6;
}

static void
write_and_read(const struct proxyproto *h)
{
	struct proxyproto again;
	uint8_t out[PROXYPROTO_OUT];

	for (int version = 1; version <= 2; version++) {
		size_t n = proxyproto_write(out, version, &h->src, &h->dst);

		CHECK(n > 0 && n <= sizeof(out));
		CHECK(proxyproto_parse(&again, out, n, true) ==
		    PROXYPROTO_DONE);
		CHECK(again.size == n);
		CHECK(again.keep != is_ip(&h->src));
		if (!again.keep)
			CHECK(memcmp(again.src.ip, h->src.ip, 16) == 0 &&
			    again.dst.port == h->dst.port);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum proxyproto_result first = PROXYPROTO_MORE, r;
	struct proxyproto h;

	for (size_t n = 0; n <= size; n++) {
		r = proxyproto_parse(&h, data, n, false);
		CHECK(first == PROXYPROTO_MORE || r == first);
		CHECK(r != PROXYPROTO_MORE || n < PROXYPROTO_MAX);
		CHECK(r != PROXYPROTO_BAD || h.reason != NULL);
		if (r == PROXYPROTO_DONE)
			CHECK(h.size <= n);
		first = r;
		/* nothing new comes to light beyond */
		if (n > PROXYPROTO_MAX + 16)
			break;
	}
	CHECK(proxyproto_parse(&h, data, size, true) != PROXYPROTO_MORE);
	if (proxyproto_parse(&h, data, size, true) == PROXYPROTO_DONE &&
	    !h.keep)
		write_and_read(&h);
	return 0;
}
