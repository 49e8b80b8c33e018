/* misc/net.c, misc/net_tcp.c: literals, texts, options. */
#include <sys/wait.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/net.h"

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

static void
test_literals(void **state)
{
	static const struct { const char *in, *out; } good[] = {
		{ "0.0.0.0", "[0.0.0.0]:0" },
		{ "192.0.2.1", "[192.0.2.1]:0" },
		{ "255.255.255.255", "[255.255.255.255]:0" },
		{ "10.0.100.20", "[10.0.100.20]:0" },
		{ "inet:192.0.2.1", "[192.0.2.1]:0" },
		{ "::", "[::]:0" },
		{ "::1", "[::1]:0" },
		{ "2001:db8::1", "[2001:db8::1]:0" },
		{ "2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:0" },
		{ "inet6:2001:db8::1", "[2001:db8::1]:0" },
		{ "inet6:::", "[::]:0" },
		{ "::ffff:192.0.2.1", "[192.0.2.1]:0" },
		{ "64:ff9b::192.0.2.33", "[64:ff9b::c000:221]:0" },
		{ "fe80::1%lo", "[fe80::1%lo]:0" },
		{ "fe80::1%1", "[fe80::1%lo]:0" },
		{ "fe80::1%4000000000", "[fe80::1%4000000000]:0" },
		{ "inet6:fe80::1%lo", "[fe80::1%lo]:0" },
	};
	static const char *const bad[] = {
		"", " ", "localhost", "example.org",
		/* what the C library would take */
		"10", "10.1", "10.1.2", "0", "2130706433", "0x7f000001",
		"010.0.0.1", "10.00.0.1", "10.0.0.01", "0x0a.0.0.1",
		"10.0.0.0x1", "0177.0.0.1", "000.0.0.0",
		"1.2.3", "1.2.3.", ".1.2.3.4", "1..2.3", "1.2.3.4.5",
		"256.0.0.1", "1.2.3.256", "1.2.3.1000", "99999999999.1.1.1",
		"1.2.3.-4", "+1.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n",
		"1.2.3.4a", "1,2,3,4", "1.2.3.4/32", "1.2.3.4:80",
		"inet:", "inet6:", "inet:inet:1.2.3.4", "INET:1.2.3.4",
		"inet:::1", "inet:2001:db8::1", "inet6:192.0.2.1",
		"inet4:1.2.3.4", "unix:/x", "/x",
		":", ":::", "1::2::3", "2001:db8", "2001:db8::12345",
		"1:2:3:4:5:6:7:8:9", "2001:db8::g", "[::1]", "[::1]:80",
		"::1 ", " ::1", "::ffff:10.1", "::ffff:010.0.0.1",
		"::ffff:256.0.0.1", "::1/128", "1.2.3.4%lo",
		"fe80::1%", "fe80::1%0", "fe80::1%nosuchinterface0",
		"fe80::1%4294967296", "fe80::1%99999999999999999999",
		"fe80::1%1x", "fe80::1%-1", "%lo",
		"1111:2222:3333:4444:5555:6666:255.255.255.255:7777777777",
	};
	char buf[NET_TEXT];
	struct net_addr a;
	size_t i;

	(void)state;
	if_indextoname(1, buf);
	for (i = 0; i < NELEM(good); i++) {
		if (strstr(good[i].in, "%") != NULL && strcmp(buf, "lo") != 0)
			continue;
		if (!net_parse_ip(good[i].in, &a))
			fail_msg("refused: %s", good[i].in);
		assert_string_equal(net_text(&a, (char[NET_TEXT]){ 0 }),
		    good[i].out);
		assert_int_equal(net_port(&a), 0);
	}
	memset(&a, 0x55, sizeof(a));
	for (i = 0; i < NELEM(bad); i++) {
		if (net_parse_ip(bad[i], &a))
			fail_msg("taken: '%s'", bad[i]);
		/* and nothing was touched */
		assert_int_equal(a.len, 0x55555555);
	}
}

static void
test_unix(void **state)
{
	char long_path[300], buf[NET_TEXT];
	struct net_addr a, b;
	size_t most = sizeof(a.un.sun_path) - 1;

	(void)state;
	assert_true(net_parse_unix("/run/x.sock", &a));
	assert_string_equal(net_text(&a, buf), "/run/x.sock");
	assert_string_equal(net_ip_text(&a, buf), "/run/x.sock");
	assert_true(net_parse_unix("unix:/run/x.sock", &b));
	assert_true(net_same(&a, &b));
	assert_true(net_parse_unix("unix:relative", &b));
	assert_false(net_same(&a, &b));
	assert_string_equal(net_text(&b, buf), "relative");
	assert_int_equal(net_port(&b), 0);
	assert_false(net_is_any(&b));
	assert_false(net_parse_unix("", &a));
	assert_false(net_parse_unix("unix:", &a));
	memset(long_path, 'x', sizeof(long_path));
	long_path[most] = '\0';
	assert_true(net_parse_unix(long_path, &a));
	assert_string_equal(net_text(&a, buf), long_path);
	long_path[most] = 'x';
	long_path[most + 1] = '\0';
	assert_false(net_parse_unix(long_path, &a));
	/* without a name, as clients are, and in the abstract space */
	a = (struct net_addr){ .len = sizeof(sa_family_t) };
	a.sa.sa_family = AF_UNIX;
	assert_string_equal(net_text(&a, buf), "-");
	memcpy(a.un.sun_path, "\0name", 5);
	a.len += 5;
	assert_string_equal(net_text(&a, buf), "@name");
	b = a;
	assert_true(net_same(&a, &b));
	b.len--;
	assert_false(net_same(&a, &b));
}

static void
test_texts(void **state)
{
	static const struct { const char *ip; unsigned port;
	    const char *text, *ip_text; } rows[] = {
		{ "192.0.2.1", 80, "[192.0.2.1]:80", "192.0.2.1" },
		{ "255.255.255.255", 65535, "[255.255.255.255]:65535",
		    "255.255.255.255" },
		{ "2001:db8::1", 443, "[2001:db8::1]:443", "2001:db8::1" },
		{ "::ffff:192.0.2.1", 8080, "[192.0.2.1]:8080", "192.0.2.1" },
		{ "::", 1, "[::]:1", "::" },
	};
	char buf[NET_TEXT], ip[NET_TEXT];
	struct net_addr a, b;
	struct net_name n;
	size_t i;

	(void)state;
	for (i = 0; i < NELEM(rows); i++) {
		assert_true(net_parse_ip(rows[i].ip, &a));
		net_set_port(&a, rows[i].port);
		assert_int_equal(net_port(&a), rows[i].port);
		assert_ptr_equal(net_text(&a, buf), buf);
		assert_string_equal(buf, rows[i].text);
		assert_string_equal(net_ip_text(&a, ip), rows[i].ip_text);
		net_name_set(&n, &a.sa, a.len);
		assert_string_equal(net_name_text(&n, buf), rows[i].text);
		assert_string_equal(net_name_ip_text(&n, ip),
		    rows[i].ip_text);
		net_name_addr(&n, &b);
		assert_int_equal(net_port(&b), rows[i].port);
		assert_string_equal(net_text(&b, buf), rows[i].text);
	}
	assert_int_equal(sizeof(struct net_name), 24);
	/* the longest there is */
	memset(&n, 0xee, sizeof(n));
	n.family = AF_INET6;
	n.scope = UINT32_MAX;
	assert_string_equal(net_name_text(&n, buf), "[eeee:eeee:eeee:eeee:"
	    "eeee:eeee:eeee:eeee%4294967295]:61166");
	/* none */
	a.len = 0;
	assert_string_equal(net_text(&a, buf), "-");
	assert_string_equal(net_ip_text(&a, buf), "-");
	assert_int_equal(net_port(&a), 0);
	memset(&n, 0, sizeof(n));
	assert_string_equal(net_name_text(&n, buf), "-");
	assert_string_equal(net_name_ip_text(&n, buf), "-");
	net_name_addr(&n, &b);
	assert_int_equal(b.len, 0);
}

/* Addresses that are cut short, as a peer or a message might give them. */
static void
test_name_short(void **state)
{
	struct net_addr a;
	struct net_name n;

	(void)state;
	assert_true(net_parse_ip("192.0.2.1", &a));
	net_name_set(&n, &a.sa, 8);
	assert_int_equal(n.family, 0);
	net_name_set(&n, &a.sa, 0);
	assert_int_equal(n.family, 0);
	net_name_set(&n, NULL, 0);
	assert_int_equal(n.family, 0);
	assert_true(net_parse_ip("2001:db8::1", &a));
	net_name_set(&n, &a.sa, sizeof(struct sockaddr_in));
	assert_int_equal(n.family, 0);
	assert_true(net_parse_unix("/x", &a));
	net_name_set(&n, &a.sa, a.len);
	assert_int_equal(n.family, AF_UNIX);
	a.sa.sa_family = 77;
	net_name_set(&n, &a.sa, a.len);
	assert_int_equal(n.family, 0);
	assert_string_equal(net_text(&a, (char[NET_TEXT]){ 0 }), "-");
}

static void
test_same(void **state)
{
	static const char *const texts[] = { "192.0.2.1", "192.0.2.2", "::1",
	    "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0", "::" };
	struct net_addr a, b;
	size_t i, j;

	(void)state;
	for (i = 0; i < NELEM(texts); i++) {
		assert_true(net_parse_ip(texts[i], &a));
		for (j = 0; j < NELEM(texts); j++) {
			assert_true(net_parse_ip(texts[j], &b));
			assert_int_equal(net_same(&a, &b), i == j);
			assert_int_equal(net_cmp(&a, &b) == 0, i == j);
			assert_int_equal(net_cmp(&a, &b) < 0,
			    net_cmp(&b, &a) > 0);
		}
		assert_int_equal(net_is_any(&a), i >= 5);
		b = a;
		net_set_port(&b, 1);
		assert_false(net_same(&a, &b));
		b.len = 0;
		assert_false(net_same(&a, &b));
		assert_false(net_same(&b, &a));
		assert_false(net_is_any(&b));
	}
	a.len = b.len = 0;
	assert_true(net_same(&a, &b));
}

/* Sockets */

static void
tcp_pair(int fds[2], struct net_addr *peer)
{
	struct net_addr a;
	int l = net_socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd p = { .fd = l, .events = POLLIN };

	assert_true(net_parse_ip("127.0.0.1", &a));
	assert_int_equal(bind(l, &a.sa, a.len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(net_accept(l, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(net_local(l, &a), 0);
	fds[0] = net_socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fds[0], &a.sa, a.len) == -1)
		assert_int_equal(errno, EINPROGRESS);
	assert_int_equal(poll(&p, 1, 5000), 1);
	fds[1] = net_accept(l, peer);
	assert_true(fds[1] >= 0);
	close(l);
}

static int
get(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void
test_sockets(void **state)
{
	struct net_addr peer, other;
	int fds[2], i;

	(void)state;
	tcp_pair(fds, &peer);
	for (i = 0; i < 2; i++) {
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	}
	assert_int_equal(net_local(fds[0], &other), 0);
	assert_true(net_same(&peer, &other));
	assert_int_equal(net_peer(fds[1], &other), 0);
	assert_true(net_same(&peer, &other));
	assert_int_equal(net_error(fds[0]), 0);
	assert_int_equal(net_cloexec(fds[0], false), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), 0);
	assert_int_equal(net_cloexec(fds[0], true), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
	assert_int_equal(net_nonblock(fds[0]), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	errno = ENOENT;
	assert_int_equal(net_close(fds[0]), 0);
	assert_int_equal(net_close(fds[0]), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(net_peer(fds[0], &other), -1);
	assert_int_equal(other.len, 0);
	assert_int_equal(net_error(fds[0]), EBADF);
	assert_int_equal(net_nonblock(fds[0]), -1);
	assert_int_equal(net_cloexec(fds[0], true), -1);
	close(fds[1]);
}

/* SO_ERROR of a refused connection. */
static void
test_error(void **state)
{
	struct net_addr a;
	struct pollfd p;
	int fd = net_socket(AF_INET, SOCK_STREAM, 0), l;

	(void)state;
	assert_true(net_parse_ip("127.0.0.1", &a));
	l = net_socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(l, &a.sa, a.len), 0);
	assert_int_equal(net_local(l, &a), 0);
	/* bound, so that nobody else gets the port, but not listening */
	assert_int_equal(connect(fd, &a.sa, a.len), -1);
	if (errno == EINPROGRESS) {
		p = (struct pollfd){ .fd = fd, .events = POLLOUT };
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(net_error(fd), ECONNREFUSED);
	} else
		assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	close(l);
}

/* What is asked for is set, and what is not is left alone; what is taken back
 * is as on a new socket. */
static void
test_tcp(void **state)
{
	static const struct net_tcp none = { .nodelay = -1, .sack = -1 };
	const struct net_tcp some = { .nodelay = 1, .sack = -1,
	    .buffer = 40000, .ttl = 9, .minttl = 3 };
	const struct net_tcp plain = { .nodelay = 0, .sack = 0 };
	static const int families[] = { AF_INET, AF_INET6 };

	(void)state;
	for (size_t i = 0; i < NELEM(families); i++) {
		bool v6 = families[i] == AF_INET6;
		int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
		int hops = v6 ? IPV6_UNICAST_HOPS : IP_TTL;
		const char *what = NULL;
		int fd, usual, buffer;

		if (v6 && !net_have_ipv6())
			continue;
		fd = net_socket(families[i], SOCK_STREAM, 0);
		assert_true(fd >= 0);
		usual = get(fd, level, hops);
		buffer = get(fd, SOL_SOCKET, SO_RCVBUF);
		assert_int_equal(net_tcp(fd, families[i], &none, &what), 0);
		assert_int_equal(get(fd, level, hops), usual);
		assert_int_equal(get(fd, SOL_SOCKET, SO_RCVBUF), buffer);
#ifdef IP_MINTTL
		assert_int_equal(net_tcp(fd, families[i], &some, &what), 0);
		assert_int_equal(get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		assert_int_equal(get(fd, level, hops), 9);
		assert_int_not_equal(get(fd, SOL_SOCKET, SO_RCVBUF), buffer);
		assert_true(get(fd, SOL_SOCKET, SO_SNDBUF) >= 40000);
		if (!v6)
			assert_int_equal(get(fd, level, IP_MINTTL), 3);
		/* but for the buffer */
		assert_null(what);
		assert_int_equal(net_tcp_change(fd, families[i], &some, &none,
		    &what), -1);
		assert_int_equal(errno, ENOTSUP);
		assert_string_equal(what, "socket buffer");
		assert_int_equal(get(fd, IPPROTO_TCP, TCP_NODELAY), 0);
		assert_int_equal(get(fd, level, hops), usual);
		if (!v6)
			assert_int_equal(get(fd, level, IP_MINTTL), 0);
#endif
		assert_int_equal(net_tcp_change(fd, families[i], &none,
		    &plain, NULL), 0);
		assert_int_equal(net_tcp_change(fd, families[i], &plain,
		    &plain, NULL), 0);
		close(fd);
	}
	assert_int_equal(net_tcp(-1, AF_INET, &some, NULL), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_options(void **state)
{
	struct net_keepalive some = { .count = 3, .interval = 7 }, all = {
	    4, 100, 8 }, none = { 0, 0, 0 };
	int fds[2], fd, idle;

	(void)state;
	tcp_pair(fds, NULL);
	assert_int_equal(get(fds[0], SOL_SOCKET, SO_KEEPALIVE), 0);
	idle = get(fds[0], IPPROTO_TCP, TCP_KEEPIDLE);
	assert_int_equal(net_keepalive(fds[0], &none), 0);
	assert_int_equal(get(fds[0], SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(net_keepalive(fds[0], &some), 0);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPIDLE), idle);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPINTVL), 7);
	assert_int_equal(net_keepalive(fds[0], &all), 0);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPCNT), 4);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPIDLE), 100);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_KEEPINTVL), 8);
	assert_int_equal(net_nodelay(fds[0]), 0);
	assert_int_equal(get(fds[0], IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(net_dscp(fds[0], AF_INET, 46), 0);
	assert_int_equal(get(fds[0], IPPROTO_IP, IP_TOS), 184);
	assert_int_equal(net_dscp(fds[0], AF_UNIX, 46), -1);
	close(fds[0]);
	close(fds[1]);
	if (net_have_ipv6()) {
		fd = net_socket(AF_INET6, SOCK_STREAM, 0);
		assert_true(fd >= 0);
		assert_int_equal(net_dscp(fd, AF_INET6, 63), 0);
		assert_int_equal(get(fd, IPPROTO_IPV6, IPV6_TCLASS), 252);
#ifdef __linux__
		/* for clients that come as ::ffff:a.b.c.d */
		assert_int_equal(get(fd, IPPROTO_IP, IP_TOS), 252);
#endif
		close(fd);
	} else
		assert_int_equal(net_socket(AF_INET6, SOCK_STREAM, 0), -1);
	fd = net_socket(AF_INET, SOCK_STREAM, 132);
	assert_int_equal(net_have_sctp(), fd >= 0);
	if (fd >= 0)
		close(fd);
	fd = net_socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(net_vrf(fd, "no-such-vrf"), -1);
	assert_int_not_equal(errno, 0);
	close(fd);
}

/* What the peer sees next: the end, a reset, or nothing within 5 s. */
static int
peer_sees(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char b[16];
	ssize_t n;

	if (poll(&p, 1, 5000) == 0)
		return ETIMEDOUT;
	n = recv(fd, b, sizeof(b), 0);
	return n == -1 ? errno : (int)-n;
}

/* The reset goes out now, though another process holds a copy. */
static void
test_abort(void **state)
{
	int fds[2], hold[2], status;
	pid_t pid;
	char c;

	(void)state;
	tcp_pair(fds, NULL);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 7 : 1);
	}
	close(hold[0]);
	assert_int_equal(net_abort(fds[1]), 0);
#ifdef __linux__
	assert_int_equal(peer_sees(fds[0]), ECONNRESET);
#endif
	close(fds[1]);
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	close(fds[0]);

	/* with data under way in both directions */
	tcp_pair(fds, NULL);
	assert_int_equal(send(fds[0], "x", 1, 0), 1);
	assert_int_equal(send(fds[1], "y", 1, 0), 1);
	assert_int_equal(net_abort(fds[1]), 0);
	close(fds[1]);
	if (peer_sees(fds[0]) == -1)
		assert_int_equal(peer_sees(fds[0]), ECONNRESET);
	close(fds[0]);

	/* after our own end of stream */
	tcp_pair(fds, NULL);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	assert_int_equal(peer_sees(fds[0]), 0);
	assert_int_equal(net_abort(fds[1]), 0);
	close(fds[1]);
	assert_int_equal(send(fds[0], "x", 1, MSG_NOSIGNAL), -1);
	close(fds[0]);
}

/* No resets there: the end, now. */
static void
test_abort_unix(void **state)
{
	int fds[2], copy;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	copy = dup(fds[1]);
	assert_int_equal(net_abort(fds[1]), 0);
	assert_int_equal(peer_sees(fds[0]), 0);
	close(copy);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(net_abort(fds[1]), -1);
	assert_int_equal(errno, EBADF);
}

static void
test_linger(void **state)
{
	int fds[2];

	(void)state;
	tcp_pair(fds, NULL);
	assert_int_equal(net_linger0(fds[1]), 0);
	close(fds[1]);
	assert_int_equal(peer_sees(fds[0]), ECONNRESET);
	close(fds[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literals), cmocka_unit_test(test_unix),
		cmocka_unit_test(test_texts), cmocka_unit_test(test_name_short),
		cmocka_unit_test(test_same), cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_error), cmocka_unit_test(test_options),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_abort), cmocka_unit_test(test_abort_unix),
		cmocka_unit_test(test_linger)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
