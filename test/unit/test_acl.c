/*
 * permit and deny: texts that are networks, and who is let in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "misc/net.h"
#include "spawnd/acl.h"

static const char *const refused[] = {
	"", "/", "/8", "300.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4",
	"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/0x8",
	"192.0.2.0/255.0.255.0", "192.0.2.0/0.0.0.255", "192.0.2.0/ffff::",
	"192.0.2.0/8 ", " 192.0.2.0/8", "2001:db8::/129", "2001:db8::/1000",
	"2001:db8::/255.0.0.0", "::/ffff:0:ffff::", ":::", "::1%lo",
	"localhost", "*", "10/8", "192.0.2.0/+8", "192.0.2.0/8/8",
	"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
};

static void
test_refused(void **state)
{
	struct acl_line line;

	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		if (acl_parse(refused[i], &line))
			fail_msg("'%s' was taken", refused[i]);
	}
}

static const struct {
	const char	*text;
	unsigned	 bits;
	const char	*in, *out;
} networks[] = {
	{ "192.0.2.1", 128, "192.0.2.1", "192.0.2.0" },
	{ "127.0.0.1/8", 104, "127.255.0.3", "128.0.0.0" },
	{ "203.0.113.128/25", 121, "203.0.113.255", "203.0.113.127" },
	{ "203.0.113.0/255.255.255.0", 120, "203.0.113.9", "203.0.112.9" },
	{ "0.0.0.0/0", 96, "255.1.2.3", "::1" },
	{ "0.0.0.0/0.0.0.0", 96, "1.2.3.4", "2001:db8::1" },
	{ "1.2.3.4/255.255.255.255", 128, "1.2.3.4", "1.2.3.5" },
	{ "::/0", 0, "1.2.3.4", NULL },
	{ "::/0", 0, "2001:db8::", NULL },
	{ "::/::", 0, "::1", NULL },
	{ "::1", 128, "::1", "::2" },
	{ "2001:db8:40::/44", 44, "2001:db8:4f:ffff::", "2001:db8:50::" },
	{ "2001:db8::/ffff:ffff::", 32, "2001:db8:1::", "2001:db9::" },
	{ "::ffff:1.2.3.4", 128, "1.2.3.4", "1.2.3.5" },
	{ "::ffff:0:0/96", 96, "9.9.9.9", "::fffe:909:909" },
	{ "2001:db8::/127", 127, "2001:db8::1", "2001:db8::2" },
};

static bool
lets_in(struct acl *acl, const char *peer, unsigned *line)
{
	struct net_addr a;

	assert_true(net_parse_ip(peer, &a));
	return acl_permits(acl, &a.sa, line);
}

static void
test_networks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
		struct acl_line line = { .permit = true, .line = 1 };
		struct acl acl = { &line, 1 };
		unsigned at;

		assert_true(acl_parse(networks[i].text, &line));
		assert_int_equal(line.bits, networks[i].bits);
		assert_true(lets_in(&acl, networks[i].in, &at));
		if (networks[i].out != NULL)
			assert_false(lets_in(&acl, networks[i].out, &at));
		line.invert = true;
		assert_false(lets_in(&acl, networks[i].in, &at));
		assert_int_equal(at, 0);
		if (networks[i].out != NULL)
			assert_true(lets_in(&acl, networks[i].out, &at));
	}
}

static void
test_order(void **state)
{
	struct acl_line lines[3] = {
		{ .permit = false, .line = 4 },
		{ .permit = true, .line = 6 },
		{ .permit = false, .invert = true, .line = 9 },
	};
	struct acl acl = { lines, 3 }, none = { NULL, 0 };
	const struct sockaddr_un un = { .sun_family = AF_UNIX };
	unsigned at;

	(void)state;
	assert_true(acl_parse("192.0.2.64/26", &lines[0]));
	assert_true(acl_parse("192.0.2.0/24", &lines[1]));
	assert_true(acl_parse("198.51.100.0/24", &lines[2]));
	assert_false(lets_in(&acl, "192.0.2.65", &at));
	assert_int_equal(at, 4);
	assert_true(lets_in(&acl, "192.0.2.1", &at));
	assert_int_equal(at, 0);
	assert_false(lets_in(&acl, "10.0.0.1", &at));
	assert_int_equal(at, 9);
	/* nothing matches */
	assert_false(lets_in(&acl, "198.51.100.1", &at));
	assert_int_equal(at, 0);
	/* an IPv4 client on a socket for both */
	assert_false(lets_in(&acl, "::ffff:192.0.2.65", &at));
	assert_int_equal(at, 4);
	assert_true(acl_permits(&acl, (const struct sockaddr *)&un, &at));
	assert_true(lets_in(&none, "10.0.0.1", &at));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
