/*
 * Datagrams: what is told of them, and sockets for one client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/dgram.h"

static struct dgrams *room;

static struct net_addr
addr(const char *ip, unsigned port)
{
	struct net_addr a;

	assert_true(net_parse_ip(ip, &a));
	net_set_port(&a, port);
	return a;
}

/* A bound socket; *at becomes where. -1: not on this system. */
static int
bound(const char *ip, int v6only, struct net_addr *at)
{
	struct net_addr a = addr(ip, 0);
	int fd = net_socket(a.sa.sa_family, SOCK_DGRAM, 0);

	assert_int_equal(dgram_prepare(fd, a.sa.sa_family), 0);
	if (a.sa.sa_family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    &v6only, sizeof v6only), 0);
	if (bind(fd, &a.sa, a.len) == -1) {
		close(fd);
		return -1;
	}
	assert_int_equal(net_local(fd, at), 0);
	return fd;
}

static int
client(const char *ip, struct net_addr *at)
{
	struct net_addr a = addr(ip, 0);
	int fd = net_socket(a.sa.sa_family, SOCK_DGRAM, 0);

	if (bind(fd, &a.sa, a.len) == -1) {
		close(fd);
		return -1;
	}
	assert_int_equal(net_local(fd, at), 0);
	return fd;
}

static void
wait_for(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	assert_int_equal(poll(&p, 1, 10000), 1);
}

static void
send_to(int fd, const void *data, size_t len, const struct net_addr *to)
{
	assert_int_equal(sendto(fd, data, len, 0, &to->sa, to->len), len);
}

/* Each address of ours that a wildcard stands for is told. */
static void
test_local(void **state)
{
	static const struct {
		const char	*listen;
		int		 v6only;
		const char	*asked, *from;
	} rows[] = {
		{ "0.0.0.0", 0, "127.0.0.1", "127.0.0.1" },
		{ "0.0.0.0", 0, "127.0.0.2", "127.0.0.1" },
		{ "127.0.0.3", 0, "127.0.0.3", "127.0.0.1" },
		{ "::", 1, "::1", "::1" },
		{ "::", 0, "::1", "::1" },
		{ "::", 0, "127.0.0.1", "127.0.0.1" },
		{ "::", 0, "127.0.0.2", "127.0.0.9" },
		{ "::1", 1, "::1", "::1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct net_addr at, to, from, got;
		int c, fd = bound(rows[i].listen, rows[i].v6only, &at);
		const struct dgram *g;

		if (fd == -1 || (c = client(rows[i].from, &from)) == -1) {
			print_message("%s: not here\n", rows[i].listen);
			continue;
		}
		to = addr(rows[i].asked, net_port(&at));
		send_to(c, "hello", 5, &to);
		wait_for(fd);
		assert_int_equal(dgram_receive(room, fd, 3), 1);
		g = dgram_at(room, 0);
		assert_int_equal(g->len, 5);
		assert_memory_equal(g->data, "hello", 5);
		assert_true(net_same(&g->peer, &from));
		got = g->local;
		net_set_port(&got, net_port(&at));
		assert_true(net_same(&got, &to));
		assert_int_equal(dgram_receive(room, fd, 3), -1);
		assert_int_equal(errno, EAGAIN);
		close(c);
		close(fd);
	}
}

static void
test_batches(void **state)
{
	static const unsigned wanted[] = { 1, 7, 64, 100 };
	struct net_addr at, from;
	int fd = bound("127.0.0.1", 0, &at), c = client("127.0.0.1", &from);
	unsigned char n = 0, seen = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++, n++)
		send_to(c, &n, i % 2, &at);	/* every other one is empty */
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		int got = dgram_receive(room, fd, wanted[i]);

		assert_in_range(got, 1, DGRAM_BATCH);
		assert_true(got <= (int)wanted[i]);
		for (int k = 0; k < got; k++, seen++) {
			const struct dgram *g = dgram_at(room, (unsigned)k);

			assert_int_equal(g->len, seen % 2);
			if (g->len > 0)
				assert_int_equal(g->data[0], seen);
		}
	}
	assert_int_equal(seen, 100);
	close(c);
	close(fd);
}

static void
test_longest(void **state)
{
	static char data[65507];
	struct net_addr at, from;
	int fd = bound("127.0.0.1", 0, &at), c = client("127.0.0.1", &from);

	(void)state;
	memset(data, 'x', sizeof data);
	send_to(c, data, sizeof data, &at);
	wait_for(fd);
	assert_int_equal(dgram_receive(room, fd, 64), 1);
	assert_int_equal(dgram_at(room, 0)->len, sizeof data);
	assert_memory_equal(dgram_at(room, 0)->data, data, sizeof data);
	close(c);
	close(fd);
}

/* The client's datagrams come to his socket, those of others do not. */
static void
test_open(void **state)
{
	static const char *const listen[] = { "127.0.0.1", "0.0.0.0", "::" };

	(void)state;
	for (size_t i = 0; i < sizeof listen / sizeof listen[0]; i++) {
		struct net_addr at, mine, others, to, local;
		int c = client("127.0.0.1", &mine);
		int o = client("127.0.0.1", &others), own, again;
		int fd = bound(listen[i], 0, &at);
		char data[16];

		if (fd == -1)
			continue;
		to = addr("127.0.0.1", net_port(&at));
		own = dgram_open(&to, &mine, NULL, -1);
		assert_int_not_equal(own, -1);
		assert_int_equal(net_local(own, &local), 0);
		assert_true(net_same(&local, &to));
		send_to(c, "mine", 4, &to);
		send_to(o, "other", 5, &to);
		wait_for(own);
		assert_int_equal(recv(own, data, sizeof data, 0), 4);
		assert_int_equal(recv(own, data, sizeof data, 0), -1);
		wait_for(fd);
		assert_int_equal(recv(fd, data, sizeof data, 0), 5);
		assert_int_equal(send(own, "answer", 6, 0), 6);
		wait_for(c);
		assert_int_equal(recv(c, data, sizeof data, 0), 6);
		/* a second one does no harm where it can be had */
		again = dgram_open(&to, &mine, NULL, -1);
		if (again != -1)
			close(again);
		close(own);
		close(fd);
		close(c);
		close(o);
	}
}

/* What cannot be a source is left to the system. */
static void
test_source(void **state)
{
	struct net_addr peer, local, got;
	int c = client("127.0.0.1", &peer), fd;

	(void)state;
	local = addr("224.0.0.1", 0);
	fd = dgram_open(&local, &peer, NULL, 46);
	assert_int_not_equal(fd, -1);
	assert_int_equal(net_local(fd, &got), 0);
	local = addr("127.0.0.1", net_port(&got));
	assert_true(net_same(&got, &local));
	close(fd);
	local = addr("192.0.2.1", 0);		/* none of ours */
	assert_int_equal(dgram_open(&local, &peer, NULL, -1), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_source),
	};
	int failed;

	if ((room = dgrams_new()) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dgrams_free(room);
	return failed;
}
