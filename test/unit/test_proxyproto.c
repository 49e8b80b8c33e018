/*
 * PROXY headers: what is one, what is none, what is refused; at every byte
 * where a header may be cut; what is written can be read.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/proxyproto.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define BLOCK4	"\1\2\3\4" "\5\6\7\10" "\0\x50" "\1\xbb"
#define IP6	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define BLOCK6	IP6 IP6 "\0\x50" "\1\xbb"
#define S(x)	x, sizeof(x) - 1

static const struct row {
	const char	*in;
	size_t		 n;
	enum proxyproto_result want;
	size_t		 size;		/* if DONE */
	const char	*src, *dst;	/* NULL: as they really are */
} rows[] = {
	/* none of it */
	{ S(""), PROXYPROTO_MORE, 0, NULL, NULL },
	{ S("GET / HTTP/1.1\r\n"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("\x16\x03\x01"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("proxy TCP4 "), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("PROXY\r\n"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("PROXYTCP4 1.2.3.4"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("\r\n\r\nGET /"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("\r\n\r\n\0\r\nQUIX\n"), PROXYPROTO_NONE, 0, NULL, NULL },
	{ S("\0"), PROXYPROTO_NONE, 0, NULL, NULL },

	/* version 1 */
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n"), PROXYPROTO_DONE, 35,
	    "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\nGET /"), PROXYPROTO_DONE,
	    35, "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"),
	    PROXYPROTO_DONE, 44, "[255.255.255.255]:65535", "[0.0.0.0]:0" },
	{ S("PROXY TCP6 2001:db8::1 ::1 80 443\r\n"), PROXYPROTO_DONE, 35,
	    "[2001:db8::1]:80", "[::1]:443" },
	{ S("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    PROXYPROTO_DONE, 104,
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ S("PROXY UNKNOWN\r\n"), PROXYPROTO_DONE, 15, NULL, NULL },
	{ S("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), PROXYPROTO_DONE, 35,
	    NULL, NULL },
	{ S("PROXY UNKNOWN whatever stands here\r\n"), PROXYPROTO_DONE, 36,
	    NULL, NULL },

	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY  TCP4 1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY tcp4 1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP5 1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY UNKNOWNX\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY \r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4\t1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3 5.6.7.8 80 443\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.256 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4.5 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 01.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 ::1 ::1 80 443\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP6 [::1] ::1 80 443\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP6 fe80::1%lo ::1 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 99999999999 1\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 -1 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 +1 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8 http 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4 5.6.7.8  443\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 1.2.3.4\0 5.6.7.8 80 443\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY TCP4 \xff\r\n"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678"
	    "9012345678901234567890123456789012345678901\r\n"),
	    PROXYPROTO_BAD, 0, 0, 0 },

	/* version 2 */
	{ S(SIGNATURE "\x21\x11\0\14" BLOCK4), PROXYPROTO_DONE, 28,
	    "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S(SIGNATURE "\x21\x11\0\14" BLOCK4 "payload"), PROXYPROTO_DONE, 28,
	    "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S(SIGNATURE "\x21\x12\0\14" BLOCK4), PROXYPROTO_DONE, 28,
	    "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S(SIGNATURE "\x21\x11\0\23" BLOCK4 "\4\0\4tlvs"), PROXYPROTO_DONE,
	    35, "[1.2.3.4]:80", "[5.6.7.8]:443" },
	{ S(SIGNATURE "\x21\x21\0\44" BLOCK6), PROXYPROTO_DONE, 52,
	    "[2001:db8::1]:80", "[2001:db8::1]:443" },
	{ S(SIGNATURE "\x20\0\0\0"), PROXYPROTO_DONE, 16, NULL, NULL },
	{ S(SIGNATURE "\x20\x11\0\14" BLOCK4), PROXYPROTO_DONE, 28, NULL,
	    NULL },
	{ S(SIGNATURE "\x20\xff\0\1x"), PROXYPROTO_DONE, 17, NULL, NULL },
	{ S(SIGNATURE "\x21\0\0\3\4\0\0"), PROXYPROTO_DONE, 19, NULL, NULL },
	{ S(SIGNATURE "\x21\0\0\0"), PROXYPROTO_DONE, 16, NULL, NULL },
	{ S(SIGNATURE "\x21\x11\x0f\xf0" BLOCK4), PROXYPROTO_MORE, 0, 0, 0 },

	{ S(SIGNATURE "\x11"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x31"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x01"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x22"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x2f"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x41\0\14" BLOCK4), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x13\0\14" BLOCK4), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\xff\0\14" BLOCK4), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x11\0\13" BLOCK4), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x11\0\0"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x21\0\43" BLOCK6), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x31\0\327"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x21\x11\x0f\xf1"), PROXYPROTO_BAD, 0, 0, 0 },
	{ S(SIGNATURE "\x20\0\xff\xff"), PROXYPROTO_BAD, 0, 0, 0 },
};

/* In memory of exactly n bytes, so that the sanitizer sees the end. */
static enum proxyproto_result
parse(struct proxyproto *h, const char *in, size_t n, bool end)
{
	uint8_t *p = malloc(n + (n == 0));
	enum proxyproto_result r;

	assert_non_null(p);
	memcpy(p, in, n);
	r = proxyproto_parse(h, p, n, end);
	free(p);
	return r;
}

static void
same_name(const struct net_name *name, const char *want)
{
	char text[INET6_ADDRSTRLEN], both[NET_TEXT];

	assert_non_null(inet_ntop(name->family, name->ip, text,
	    sizeof(text)));
	snprintf(both, sizeof(both), "[%s]:%u", text, ntohs(name->port));
	assert_string_equal(both, want);
}

static void
same(const struct row *row, const struct proxyproto *h)
{
	assert_int_equal(h->size, row->size);
	assert_int_equal(h->keep, row->src == NULL);
	if (row->src == NULL)
		return;
	same_name(&h->src, row->src);
	same_name(&h->dst, row->dst);
}

static void
test_rows(void **state)
{
	struct proxyproto h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum proxyproto_result r = parse(&h, rows[i].in, rows[i].n,
		    false);

		if (r != rows[i].want)
			print_error("row %zu: %s\n", i, rows[i].in);
		assert_int_equal(r, rows[i].want);
		if (r == PROXYPROTO_DONE)
			same(&rows[i], &h);
		if (r == PROXYPROTO_BAD)
			assert_non_null(h.reason);
	}
}

/* A header that is cut anywhere asks for more, and never for less. */
static void
test_cut(void **state)
{
	struct proxyproto h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].want != PROXYPROTO_DONE)
			continue;
		for (size_t n = 0; n < rows[i].size; n++) {
			size_t signature = rows[i].in[0] == 'P' ? 6 : 12;

			assert_int_equal(parse(&h, rows[i].in, n, false),
			    PROXYPROTO_MORE);
			/* if that is all, it depends on the signature */
			assert_int_equal(parse(&h, rows[i].in, n, true),
			    n < signature ? PROXYPROTO_NONE :
			    PROXYPROTO_BAD);
		}
		for (size_t n = rows[i].size; n <= rows[i].n; n++) {
			assert_int_equal(parse(&h, rows[i].in, n, false),
			    PROXYPROTO_DONE);
			same(&rows[i], &h);
		}
	}
}

/* What is bad or none at some byte stays so with more bytes. */
static void
test_verdict_stays(void **state)
{
	struct proxyproto h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum proxyproto_result first = PROXYPROTO_MORE, r;

		for (size_t n = 0; n <= rows[i].n; n++) {
			r = parse(&h, rows[i].in, n, false);
			if (first == PROXYPROTO_MORE)
				first = r;
			assert_int_equal(r, first);
		}
	}
}

static void
test_longest(void **state)
{
	static uint8_t p[PROXYPROTO_MAX] = SIGNATURE "\x20\0\x0f\xf0";
	struct proxyproto h;

	(void)state;
	assert_int_equal(proxyproto_parse(&h, p, sizeof(p) - 1, false),
	    PROXYPROTO_MORE);
	assert_int_equal(proxyproto_parse(&h, p, sizeof(p), false),
	    PROXYPROTO_DONE);
	assert_int_equal(h.size, PROXYPROTO_MAX);
}

static void
test_unix_addresses(void **state)
{
	static uint8_t p[16 + 216] = SIGNATURE "\x21\x31\0\330/run/a.sock";
	struct proxyproto h;

	(void)state;
	assert_int_equal(proxyproto_parse(&h, p, sizeof(p), false),
	    PROXYPROTO_DONE);
	assert_false(h.keep);
	assert_int_equal(h.src.family, AF_UNIX);
}

/* ---- writing */

static struct net_name
name_of(int family, const char *ip, unsigned port)
{
	struct net_name name;

	memset(&name, 0, sizeof(name));
	name.family = (uint8_t)family;
	name.port = htons((uint16_t)port);
	if (family != AF_UNIX)
		assert_int_equal(inet_pton(family, ip, name.ip), 1);
	return name;
}

static const struct {
	int		 family[2];
	const char	*ip[2];
	const char	*v1;
	const char	*text[2];	/* as read back; NULL: unknown */
} written[] = {
	{ { AF_INET, AF_INET }, { "1.2.3.4", "5.6.7.8" },
	    "PROXY TCP4 1.2.3.4 5.6.7.8 1025 443\r\n",
	    { "[1.2.3.4]:1025", "[5.6.7.8]:443" } },
	{ { AF_INET6, AF_INET6 }, { "2001:db8::1", "::1" },
	    "PROXY TCP6 2001:db8::1 ::1 1025 443\r\n",
	    { "[2001:db8::1]:1025", "[::1]:443" } },
	{ { AF_INET, AF_INET6 }, { "1.2.3.4", "::1" },
	    "PROXY TCP6 ::ffff:1.2.3.4 ::1 1025 443\r\n",
	    { "[::ffff:1.2.3.4]:1025", "[::1]:443" } },
	{ { AF_UNIX, AF_UNIX }, { NULL, NULL }, "PROXY UNKNOWN\r\n",
	    { NULL, NULL } },
	{ { AF_UNIX, AF_INET }, { NULL, "1.2.3.4" }, "PROXY UNKNOWN\r\n",
	    { NULL, NULL } },
};

static void
test_written(void **state)
{
	uint8_t p[PROXYPROTO_OUT];
	struct proxyproto h;

	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		struct net_name src = name_of(written[i].family[0],
		    written[i].ip[0], 1025);
		struct net_name dst = name_of(written[i].family[1],
		    written[i].ip[1], 443);
		size_t n = proxyproto_write(p, 1, &src, &dst);

		assert_int_equal(n, strlen(written[i].v1));
		assert_memory_equal(p, written[i].v1, n);
		for (int version = 1; version <= 2; version++) {
			n = proxyproto_write(p, version, &src, &dst);
			assert_int_equal(proxyproto_parse(&h, p, n, true),
			    PROXYPROTO_DONE);
			assert_int_equal(h.size, n);
			assert_int_equal(h.keep, written[i].text[0] == NULL);
			if (h.keep)
				continue;
			same_name(&h.src, written[i].text[0]);
			same_name(&h.dst, written[i].text[1]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_verdict_stays),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_unix_addresses),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
