/*
 * Reading and writing PROXY headers. Never reads or writes a socket.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proxyproto.h"

#define V1_MAX		107	/* with CR LF */
#define V1_WORDS	6
#define V2_FIXED	16	/* signature, command, family, length */

static const uint8_t v1_signature[] = "PROXY ";
static const uint8_t v2_signature[] =
    "\r\n\r\n\0\r\nQUIT\n";

/* Version 2: what address family and transport mean. */
static const struct family {
	uint8_t		 code;		/* high nibble of the byte */
	uint8_t		 family;
	uint8_t		 address;	/* bytes of one address */
	uint8_t		 block;		/* of both, with ports */
} families[] = {
	{ 0, AF_UNSPEC, 0, 0 },
	{ 1, AF_INET, 4, 12 },
	{ 2, AF_INET6, 16, 36 },
	{ 3, AF_UNIX, 108, 216 },
};

static enum proxyproto_result
bad(struct proxyproto *h, const char *reason)
{
	h->reason = reason;
	return PROXYPROTO_BAD;
}

/* ---- version 1 */

static bool
parse_port(const char *text, in_port_t *port)
{
	unsigned n = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (unsigned)(*text - '0');
	}
	if (n > 65535)
		return false;
	*port = htons((uint16_t)n);
	return true;
}

static bool
parse_name(struct net_name *name, int family, const char *ip,
    const char *port)
{
	memset(name, 0, sizeof(*name));
	name->family = (uint8_t)family;
	return inet_pton(family, ip, name->ip) == 1 &&
	    parse_port(port, &name->port);
}

/* Splits at single blanks. Number of words, 0 if there are too many. */
static unsigned
split(char *line, char *words[V1_WORDS])
{
	unsigned n = 0;
	char *blank;

	for (;;) {
		if (n == V1_WORDS)
			return 0;
		words[n++] = line;
		if ((blank = strchr(line, ' ')) == NULL)
			return n;
		*blank = '\0';
		line = blank + 1;
	}
}

static enum proxyproto_result
parse_v1_line(struct proxyproto *h, char *line)
{
	char *words[V1_WORDS];
	int family;

	if (strcmp(line, "PROXY UNKNOWN") == 0 ||
	    strncmp(line, "PROXY UNKNOWN ", 14) == 0) {
		h->keep = true;
		return PROXYPROTO_DONE;
	}
	if (split(line, words) != V1_WORDS)
		return bad(h, "not six words");
	if (strcmp(words[1], "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(words[1], "TCP6") == 0)
		family = AF_INET6;
	else
		return bad(h, "unknown protocol");
	if (!parse_name(&h->src, family, words[2], words[4]) ||
	    !parse_name(&h->dst, family, words[3], words[5]))
		return bad(h, "not an address and port");
	return PROXYPROTO_DONE;
}

static enum proxyproto_result
parse_v1(struct proxyproto *h, const uint8_t *p, size_t n, bool end)
{
	char line[V1_MAX + 1];
	size_t i;

	for (i = 0; i < n && i < V1_MAX; i++) {
		if (p[i] == '\r') {
			if (i + 1 == n || i + 1 == V1_MAX)
				break;
			if (p[i + 1] != '\n')
				return bad(h, "CR without LF");
			memcpy(line, p, i);
			line[i] = '\0';
			h->size = i + 2;
			return parse_v1_line(h, line);
		}
		if (p[i] < 0x20 || p[i] > 0x7e)
			return bad(h, "unprintable byte");
	}
	if (n >= V1_MAX)
		return bad(h, "line too long");
	return end ? bad(h, "incomplete") : PROXYPROTO_MORE;
}

/* ---- version 2 */

static enum proxyproto_result
parse_v2_block(struct proxyproto *h, const struct family *f,
    const uint8_t *p)
{
	const uint8_t *ports = p + 2 * f->address;

	memset(&h->src, 0, sizeof(h->src));
	memset(&h->dst, 0, sizeof(h->dst));
	h->src.family = h->dst.family = f->family;
	if (f->family == AF_UNIX)
		return PROXYPROTO_DONE;
	memcpy(h->src.ip, p, f->address);
	memcpy(h->dst.ip, p + f->address, f->address);
	memcpy(&h->src.port, ports, 2);
	memcpy(&h->dst.port, ports + 2, 2);
	return PROXYPROTO_DONE;
}

static enum proxyproto_result
parse_v2(struct proxyproto *h, const uint8_t *p, size_t n, bool end)
{
	const struct family *f = &families[0];
	size_t length;

	if (n > 12 && (p[12] >> 4 != 2 || (p[12] & 15) > 1))
		return bad(h, "unknown version or command");
	if (n < V2_FIXED)
		return end ? bad(h, "incomplete") : PROXYPROTO_MORE;
	length = (size_t)p[14] << 8 | p[15];
	if (length > PROXYPROTO_MAX - V2_FIXED)
		return bad(h, "too long");
	h->size = V2_FIXED + length;
	h->keep = (p[12] & 15) == 0;
	if (!h->keep) {
		if (p[13] >> 4 > 3 || (p[13] & 15) > 2)
			return bad(h, "unknown family or transport");
		f = &families[p[13] >> 4];
		if (length < f->block)
			return bad(h, "too short for its addresses");
		h->keep = f->family == AF_UNSPEC;
	}
	if (n < h->size)
		return end ? bad(h, "incomplete") : PROXYPROTO_MORE;
	return h->keep ? PROXYPROTO_DONE :
	    parse_v2_block(h, f, p + V2_FIXED);
}

/* ---- both */

/* Does it begin with the signature, as far as it goes? */
static bool
begins(const uint8_t *p, size_t n, const uint8_t *signature, size_t size)
{
	return memcmp(p, signature, n < size ? n : size) == 0;
}

enum proxyproto_result
proxyproto_parse(struct proxyproto *h, const uint8_t *p, size_t n, bool end)
{
	const size_t v1 = sizeof(v1_signature) - 1;
	const size_t v2 = sizeof(v2_signature) - 1;

	memset(h, 0, sizeof(*h));
	if (n == 0)
		return end ? PROXYPROTO_NONE : PROXYPROTO_MORE;
	if (begins(p, n, v1_signature, v1)) {
		if (n >= v1)
			return parse_v1(h, p, n, end);
		return end ? PROXYPROTO_NONE : PROXYPROTO_MORE;
	}
	if (begins(p, n, v2_signature, v2)) {
		if (n >= v2)
			return parse_v2(h, p, n, end);
		return end ? PROXYPROTO_NONE : PROXYPROTO_MORE;
	}
	return PROXYPROTO_NONE;
}

/* ---- writing */

static bool
is_ip(const struct net_name *name)
{
	return name->family == AF_INET || name->family == AF_INET6;
}

/* Both ends must be of one family: the other one is written as mapped. */
static void
name_map(struct net_name *to, const struct net_name *from)
{
	*to = *from;
	if (from->family != AF_INET)
		return;
	to->family = AF_INET6;
	memset(to->ip, 0, 10);
	memset(to->ip + 10, 0xff, 2);
	memcpy(to->ip + 12, from->ip, 4);
}

static size_t
write_v1(uint8_t *p, const struct net_name *src, const struct net_name *dst)
{
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	int n;

	if (!is_ip(src))
		n = snprintf((char *)p, PROXYPROTO_OUT, "PROXY UNKNOWN\r\n");
	else
		n = snprintf((char *)p, PROXYPROTO_OUT,
		    "PROXY TCP%d %s %s %u %u\r\n",
		    src->family == AF_INET ? 4 : 6,
		    inet_ntop(src->family, src->ip, a, sizeof(a)),
		    inet_ntop(dst->family, dst->ip, b, sizeof(b)),
		    ntohs(src->port), ntohs(dst->port));
	return (size_t)n;
}

static size_t
write_v2(uint8_t *p, const struct net_name *src, const struct net_name *dst)
{
	const struct family *f = &families[src->family == AF_INET ? 1 :
	    src->family == AF_INET6 ? 2 : 0];
	uint8_t *ports = p + V2_FIXED + 2 * f->address;

	memcpy(p, v2_signature, 12);
	p[12] = 0x21;
	p[13] = f->code == 0 ? 0 : (uint8_t)(f->code << 4 | 1);
	p[14] = 0;
	p[15] = f->block;
	if (f->block != 0) {
		memcpy(p + V2_FIXED, src->ip, f->address);
		memcpy(p + V2_FIXED + f->address, dst->ip, f->address);
		memcpy(ports, &src->port, 2);
		memcpy(ports + 2, &dst->port, 2);
	}
	return (size_t)V2_FIXED + f->block;
}

size_t
proxyproto_write(uint8_t p[static PROXYPROTO_OUT], int version,
    const struct net_name *src, const struct net_name *dst)
{
	static const struct net_name none;
	struct net_name a, b;

	if (!is_ip(src) || !is_ip(dst))
		src = dst = &none;
	else if (src->family != dst->family) {
		name_map(&a, src);
		name_map(&b, dst);
		src = &a;
		dst = &b;
	}
	return version == 1 ? write_v1(p, src, dst) : write_v2(p, src, dst);
}
