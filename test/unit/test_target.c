/*
 * Addresses of relay sessions: mapping, and PROXY headers as relayd's section
 * 6.1.1 has them, to the byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/proxyproto.h"
#include "tcprelay/target.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_map(void **state)
{
	static const struct {
		const char *from;
		enum target_map map;
		const char *prefix, *want;	/* NULL: refused */
	} rows[] = {
		{ "192.0.2.1", TARGET_AS_IS, NULL, "192.0.2.1" },
		{ "2001:db8::1", TARGET_AS_IS, NULL, "2001:db8::1" },
		{ "64:ff9b::c000:201", TARGET_INET, NULL, "192.0.2.1" },
		{ "2001:db8:1:2:3:4:102:304", TARGET_INET, NULL, "1.2.3.4" },
		{ "192.0.2.1", TARGET_INET, NULL, "192.0.2.1" },
		{ "224.0.0.1", TARGET_INET, NULL, "224.0.0.1" },
		{ "2001:db8::", TARGET_INET, NULL, NULL },
		{ "2001:db8::1", TARGET_INET, NULL, "0.0.0.1" },
		{ "2001:db8::ffff:ffff", TARGET_INET, NULL, NULL },
		{ "2001:db8::ffff:fffe", TARGET_INET, NULL,
		    "255.255.255.254" },
		{ "2001:db8::dfff:ffff", TARGET_INET, NULL,
		    "223.255.255.255" },
		{ "2001:db8::e000:0", TARGET_INET, NULL, NULL },
		{ "2001:db8::efff:ffff", TARGET_INET, NULL, NULL },
		{ "2001:db8::f000:0", TARGET_INET, NULL, "240.0.0.0" },
		{ "192.0.2.1", TARGET_INET6, "64:ff9b::",
		    "64:ff9b::c000:201" },
		{ "192.0.2.1", TARGET_INET6, "2001:db8:1:2:3:4:5:6",
		    "2001:db8:1:2:3:4:c000:201" },
		{ "192.0.2.1", TARGET_INET6, "fe80::%9",
		    "fe80::c000:201%9" },
		{ "2001:db8::1", TARGET_INET6, "64:ff9b::", "2001:db8::1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct net_addr a, prefix = { .len = 0 }, before, want;

		assert_true(net_parse_ip(rows[i].from, &a));
		net_set_port(&a, 8080);
		before = a;
		if (rows[i].prefix != NULL)
			assert_true(net_parse_ip(rows[i].prefix, &prefix));
		if (target_map(&a, rows[i].map, &prefix) !=
		    (rows[i].want != NULL))
			fail_msg("row %zu", i);
		if (rows[i].want == NULL) {
			assert_true(net_same(&a, &before));
			continue;
		}
		assert_true(net_parse_ip(rows[i].want, &want));
		net_set_port(&want, 8080);
		assert_int_equal(a.len, want.len);
		if (!net_same(&a, &want))
			fail_msg("row %zu", i);
	}
}

static struct net_name
name_of(const char *ip, unsigned port)
{
	struct net_addr a;
	struct net_name name;

	assert_true(net_parse_ip(ip, &a));
	net_set_port(&a, port);
	net_name_set(&name, &a.sa, a.len);
	return name;
}

static void
test_proxy_v1(void **state)
{
	static const struct {
		const char *client, *local;
		bool original;
		const char *want;
	} rows[] = {
		/* redirected: the client connected to another port */
		{ "192.0.2.7", "198.51.100.10", false,
		    "PROXY TCP4 192.0.2.7 198.51.100.10 50000 443\r\n" },
		{ "192.0.2.7", "198.51.100.10", true,
		    "PROXY TCP4 192.0.2.7 198.51.100.10 50000 8443\r\n" },
		{ "2001:db8::7", "2001:db8::10", false,
		    "PROXY TCP6 2001:db8::7 2001:db8::10 50000 443\r\n" },
		{ "fe80::7%2", "fe80::1%2", false,
		    "PROXY TCP6 fe80::7 fe80::1 50000 443\r\n" },
		{ "::ffff:192.0.2.7", "::ffff:198.51.100.10", false,
		    "PROXY TCP4 192.0.2.7 198.51.100.10 50000 443\r\n" },
	};
	uint8_t p[PROXYPROTO_OUT];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct net_name client = name_of(rows[i].client, 50000);
		struct net_name local = name_of(rows[i].local, 8443), to;
		size_t n;

		target_local(&to, &local, 443, rows[i].original);
		n = proxyproto_write(p, 1, &client, &to);
		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(p, rows[i].want, n);
	}
}

static void
test_proxy_v2(void **state)
{
	static const uint8_t ip4[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\x11\0\x0c"
	    "\xc0\0\x02\x07" "\xc6\x33\x64\x0a" "\xc3\x50" "\x01\xbb";
	static const uint8_t ip6[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\x21\0\x24"
	    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
	    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10" "\xc3\x50"
	    "\x20\xfb";
	static const uint8_t none[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\0\0\0";
	struct net_name client = name_of("192.0.2.7", 50000);
	struct net_name local = name_of("198.51.100.10", 8443), to;
	uint8_t p[PROXYPROTO_OUT];

	(void)state;
	target_local(&to, &local, 443, false);
	assert_int_equal(proxyproto_write(p, 2, &client, &to), 16 + 12);
	assert_memory_equal(p, ip4, sizeof ip4 - 1);
	client = name_of("2001:db8::7", 50000);
	local = name_of("2001:db8::10", 8443);
	target_local(&to, &local, 443, true);
	assert_int_equal(proxyproto_write(p, 2, &client, &to), 16 + 36);
	assert_memory_equal(p, ip6, sizeof ip6 - 1);
	memset(&local, 0, sizeof local);
	target_local(&to, &local, 443, false);
	assert_int_equal(proxyproto_write(p, 2, &client, &to), 16);
	assert_memory_equal(p, none, sizeof none - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_proxy_v1),
		cmocka_unit_test(test_proxy_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
