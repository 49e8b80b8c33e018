/*
 * Addresses of interfaces and of the group egress, in a network of our own
 * where the system lets us have one; protocols by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/ifgroup.h"
#include "misc/net.h"
#include "misc/source.h"

static struct source *
gather(void)
{
	char *const none[] = { NULL };
	struct source *s = source_gather(none);

	assert_non_null(s);
	return s;
}

/* "ADDR ADDR ..." of that name; the same from a replay. */
static void
addresses(const char *name, char *text, size_t size)
{
	struct source *s = gather(), *again;
	struct net_addr *addrs, *replayed;
	int n = source_interface(s, name, &addrs), fd, secrets;
	char buf[NET_TEXT];

	assert_int_equal(source_save(s, &fd, &secrets), 0);
	assert_non_null(again = source_replay(fd, secrets));
	assert_int_equal(source_interface(again, name, &replayed), n);
	text[0] = '\0';
	for (int i = 0; i < n; i++) {
		assert_true(net_same(&addrs[i], &replayed[i]));
		assert_int_equal(net_port(&addrs[i]), 0);
		net_ip_text(&addrs[i], buf);
		snprintf(text + strlen(text), size - strlen(text), "%s%s",
		    i == 0 ? "" : " ", buf);
	}
	close(fd);
	source_free(s);
	source_free(again);
}

static void
is(const char *name, const char *want)
{
	char text[4096];

	addresses(name, text, sizeof text);
	assert_string_equal(text, want);
}

static void
test_unknown(void **state)
{
	struct source *s = source_empty();
	struct net_addr *addrs;

	(void)state;
	is("nosuchinterface9", "");
	is("", "");
	is("a-name-that-is-longer-than-any-interface-can-have", "");
	assert_int_equal(source_interface(s, "lo", &addrs), 0);
	assert_null(addrs);
	source_free(s);
}

static void
test_loopback(void **state)
{
	char text[4096], name[IF_NAMESIZE];

	(void)state;
	if (if_indextoname(1, name) == NULL || strncmp(name, "lo", 2) != 0)
		skip();			/* not called so here */
	addresses(name, text, sizeof text);
	if (*text == '\0')
		skip();			/* it is down */
	assert_int_equal(strncmp(text, "127.", 4), 0);
}

/* What the routing tables of this machine say, whatever that is. */
static void
test_egress_here(void **state)
{
	char text[4096];

	(void)state;
	addresses(IFGROUP_EGRESS, text, sizeof text);
	assert_null(strstr(text, "127.0.0.1"));
}

#ifdef __linux__

static bool
run(const char *command)
{
	return system(command) == 0;
}

#define ROUTES "ip route flush exact default; ip -6 route flush exact default;"

static void
test_network(void **state)
{
	static const char local[] = "192.0.2.1 192.0.2.2 fe80::1%a0";

	(void)state;
	if (unshare(CLONE_NEWNET) == -1 || !run("ip link set lo up "
	    "&& ip link add a0 index 10 type veth peer name b0 index 11 "
	    "&& ip link set a0 addrgenmode none "
	    "&& ip link set b0 addrgenmode none "
	    "&& ip addr add 192.0.2.1/24 dev a0 "
	    "&& ip addr add 198.51.100.1/24 dev b0 "
	    "&& ip addr add 192.0.2.2/24 dev a0 label a0:x "
	    "&& ip addr add 2001:db8::1/64 dev b0 nodad "
	    "&& ip addr add fe80::1/64 dev a0 nodad "
	    "&& ip link set a0 up && ip link set b0 up") || access(
	    "/proc/sys/net/ipv6", F_OK) == -1)
		skip();		/* not root, or no ip(8) */
	is("a0", local);
	is("b0", "198.51.100.1 2001:db8::1");
	is("a0:x", "192.0.2.2");
	is("a", "");
	is("egress", "");
	assert_true(run("ip route add default via 192.0.2.9"));
	is("egress", local);
	/* of both families, IPv4 of all comes first */
	assert_true(run("ip -6 route add default via 2001:db8::9"));
	is("egress", "192.0.2.1 192.0.2.2 198.51.100.1 fe80::1%a0 "
	    "2001:db8::1");
	/* of IPv6 alone */
	assert_true(run(ROUTES "ip -6 route add default via 2001:db8::9"));
	is("egress", "198.51.100.1 2001:db8::1");
	/* all the hops */
	assert_true(run(ROUTES "ip route add default "
	    "nexthop via 192.0.2.9 nexthop via 198.51.100.9"));
	is("egress", "192.0.2.1 192.0.2.2 198.51.100.1 fe80::1%a0 "
	    "2001:db8::1");
	/* other routes, and other tables, are none */
	assert_true(run(ROUTES "ip route add unreachable default; "
	    "ip route add 0.0.0.0/1 via 192.0.2.9; "
	    "ip -6 route add unreachable default; "
	    "ip route add default via 192.0.2.9 table 100"));
	is("egress", "");
	/* an interface of that name is meant first */
	assert_true(run(ROUTES "ip route add default via 192.0.2.9; "
	    "ip link add egress type veth peer name c0 && "
	    "ip addr add 203.0.113.1/24 dev egress"));
	is("egress", "203.0.113.1");
}

#endif

static void
test_protocols(void **state)
{
	struct source *s = gather(), *again;
	int number = -2, fd, secrets;

	(void)state;
	assert_int_equal(source_protocol(s, "nosuch", &number), -1);
	assert_null(source_protocol_name(s, "nosuch"));
	assert_int_equal(source_protocol(s, "", &number), -1);
	assert_int_equal(number, -2);
	if (source_protocol(s, "tcp", &number) == -1) {
		source_free(s);
		skip();			/* no database */
	}
	assert_int_equal(number, 6);
	assert_int_equal(source_protocol(s, "TCP", &number), 0);
	assert_int_equal(number, 6);
	assert_string_equal(source_protocol_name(s, "TCP"), "tcp");
	assert_int_equal(source_protocol(s, "udp", &number), 0);
	assert_int_equal(number, 17);
	assert_int_equal(source_save(s, &fd, &secrets), 0);
	assert_non_null(again = source_replay(fd, secrets));
	close(fd);
	source_free(s);
	number = -2;
	assert_int_equal(source_protocol(again, "TCP", &number), 0);
	assert_int_equal(number, 6);
	assert_string_equal(source_protocol_name(again, "TCP"), "tcp");
	assert_int_equal(source_protocol(again, "nosuch", &number), -1);
	/* not asked before */
	assert_int_equal(source_protocol(again, "icmp", &number), -1);
	source_free(again);
}

/* By name and by number; who only replays does not ask, and still knows. */
static void
test_scopes(void **state)
{
	struct source *s = gather(), *again;
	unsigned lo = if_nametoindex("lo");
	char number[16], text[NET_TEXT], want[NET_TEXT];
	struct net_name n = { .family = AF_INET6, .ip = { 0xfe, 0x80 } };
	int fd, secrets;

	(void)state;
	if (lo == 0) {
		source_free(s);
		skip();			/* it has another name here */
	}
	snprintf(number, sizeof(number), "%u", lo);
	assert_int_equal(source_scope(s, "lo"), lo);
	assert_int_equal(source_scope(s, number), lo);
	assert_int_equal(source_scope(s, "nosuch"), 0);
	assert_int_equal(source_scope(s, ""), 0);
	assert_int_equal(source_scope(s, "0"), 0);
	assert_int_equal(source_scope(s, "4294967296"), 0);
	/* a number needs nobody behind it */
	assert_int_equal(source_scope(s, "4000000000"), 4000000000);
	assert_int_equal(source_save(s, &fd, &secrets), 0);
	assert_non_null(again = source_replay(fd, secrets));
	close(fd);
	source_free(s);
	assert_int_equal(source_scope(again, "lo"), lo);
	assert_int_equal(source_scope(again, number), lo);
	assert_int_equal(source_scope(again, "4000000000"), 4000000000);
	assert_int_equal(source_scope(again, "nosuch"), 0);
	assert_int_equal(source_scope(again, "1"), number[0] == '1' &&
	    number[1] == '\0' ? 1 : 0);
	source_free(again);

	/* what the system does not know is called as it was learned */
	n.scope = 4000000000;
	assert_string_equal(net_name_ip_text(&n, text), "fe80::%4000000000");
	net_scope_learn(n.scope, "gone0");
	assert_string_equal(net_name_ip_text(&n, text), "fe80::%gone0");
	net_scope_learn(n.scope, "gone1");
	assert_string_equal(net_name_ip_text(&n, text), "fe80::%gone1");
	for (uint32_t i = 1; i < 20; i++) {
		snprintf(want, sizeof(want), "gone%u", i);
		net_scope_learn(4000000000 + i, want);
		n.scope = 4000000000 + i;
		snprintf(want, sizeof(want), "fe80::%%gone%u", i);
		assert_string_equal(net_name_ip_text(&n, text), want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_egress_here),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_scopes),
#ifdef __linux__
		cmocka_unit_test(test_network),	/* leaves the network */
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
