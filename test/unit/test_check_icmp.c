/*
 * tcprelay/check_icmp.c: echo requests in a network of our own, where the
 * kernel answers, or we do, as we like. Needs root.
 */
#ifdef __linux__
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/icmp6.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/ev.h"
#include "misc/net.h"
#include "tcprelay/check.h"

#define PATIENCE	20000		/* ms */
#define SOON		200
#define MANY		1000

#define IGNORE4	"/proc/sys/net/ipv4/icmp_echo_ignore_all"
#define IGNORE6	"/proc/sys/net/ipv6/icmp/echo_ignore_all"

static struct ev *ev;
static struct check *check;
static int peer4 = -1, peer6 = -1;	/* hear requests */
static bool usable;

static struct {
	unsigned	 statuses, ups;
	struct check_status last;
	char		 line[256];
	unsigned	 lines;
} seen;

static void
status_cb(void *ctx, const struct check_status *s)
{
	(void)ctx;
	seen.last = *s;
	seen.statuses++;
	seen.ups += s->now.state == HOST_UP;
}

static void
round_cb(void *ctx)
{
	(void)ctx;
}

static bool
script_cb(void *ctx, const struct check_script *s)
{
	(void)ctx;
	(void)s;
	return false;
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	(void)severity;
	seen.lines++;
	snprintf(seen.line, sizeof(seen.line), "%s", text);
}

static const struct check_ops ops = {
	status_cb, round_cb, script_cb, line_cb
};

static uint64_t
wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd != -1 && write(fd, text, strlen(text)) != -1;

	if (fd != -1)
		close(fd);
	return ok;
}

static bool
lo_up(void)
{
	struct ifreq r = { .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool ok;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "lo");
	ok = fd != -1 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	if (fd != -1)
		close(fd);
	return ok;
}

/* ---- one configuration ---- */

static struct check_host
host(uint32_t id, const char *address)
{
	struct check_host h = { .id = id, .name = address };

	assert_true(net_parse_ip(address, &h.addr));
	return h;
}

static void
adopt(const struct check_host *hosts, size_t n, unsigned timeout)
{
	struct check_table t = { .id = 1, .name = "t:1",
	    .how.kind = CHECK_ICMP, .timeout = timeout, .every = 1,
	    .hosts = hosts, .nhosts = n };

	ev_clock(ev);
	check_adopt(check, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 4 * PATIENCE, .agent = "S" });
}

static void
await(unsigned statuses)
{
	uint64_t end = wall() + 2 * PATIENCE;

	while (seen.statuses < statuses) {
		assert_true(wall() < end);
		assert_int_equal(ev_turn(ev, 20), 0);
	}
}

static void
turns(void)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(ev_turn(ev, 1), 0);
}

static int
setup(void **state)
{
	int fds[CHECK_SOCKETS];

	(void)state;
	memset(&seen, 0, sizeof(seen));
	if (!usable)
		return 0;
	assert_true(check_open(fds));
	assert_true(write_file(IGNORE4, "0"));
	assert_true(write_file(IGNORE6, "0"));
	check = check_new(ev, &ops, NULL, fds);
	assert_non_null(check);
	return 0;
}

static int
teardown(void **state)
{
	char data[2048];

	(void)state;
	if (!usable)
		return 0;
	check_free(check);
	turns();
	while (recv(peer4, data, sizeof(data), MSG_DONTWAIT) > 0 ||
	    recv(peer6, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	return 0;
}

/* ---- the kernel answers ---- */

static void
both_families(void **state)
{
	struct check_host h[] = { host(1, "127.0.0.1"), host(2, "::1"),
	    host(3, "127.0.0.77") };

	(void)state;
	if (!usable)
		skip();
	adopt(h, 3, PATIENCE);
	await(3);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(check_host(check, id)->state, HOST_UP);
		assert_int_equal(check_host(check, id)->error, HOST_ICMP_OK);
	}
	assert_int_equal(seen.lines, 0);
}

static void
silence(void **state)
{
	struct check_host h[] = { host(1, "127.0.0.1"), host(2, "::1") };

	(void)state;
	if (!usable)
		skip();
	assert_true(write_file(IGNORE4, "1"));
	assert_true(write_file(IGNORE6, "1"));
	adopt(h, 2, SOON);
	await(2);
	for (uint32_t id = 1; id <= 2; id++) {
		assert_int_equal(check_host(check, id)->state, HOST_DOWN);
		assert_int_equal(check_host(check, id)->error,
		    HOST_ICMP_READ_TIMEOUT);
	}
	assert_true(seen.last.ms >= SOON);
	/* and back again */
	assert_true(write_file(IGNORE4, "0"));
	assert_true(write_file(IGNORE6, "0"));
	check_poll(check);
	await(4);
	assert_int_equal(seen.ups, 2);
}

/* More than any receive buffer holds. */
static void
many(void **state)
{
	static struct check_host h[MANY];
	static char names[MANY][20];

	(void)state;
	if (!usable)
		skip();
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "127.1.%u.%u", i / 250,
		    i % 250 + 1);
		h[i] = host(i + 1, names[i]);
	}
	adopt(h, MANY, PATIENCE);
	await(MANY);
	assert_int_equal(seen.ups, MANY);
	assert_int_equal(check_running(check), 0);
}

static void
no_way(void **state)
{
	struct check_host h[] = { host(1, "10.1.2.3"), host(2, "fd00::1"),
	    host(3, "127.0.0.1") };

	(void)state;
	if (!usable)
		skip();
	adopt(h, 3, PATIENCE);
	await(3);
	assert_int_equal(check_host(check, 1)->error, HOST_ICMP_WRITE_TIMEOUT);
	assert_int_equal(check_host(check, 2)->error, HOST_ICMP_WRITE_TIMEOUT);
	assert_int_equal(check_host(check, 2)->state, HOST_DOWN);
	assert_int_equal(check_host(check, 3)->error, HOST_ICMP_OK);
}

static void
no_socket(void **state)
{
	int none[CHECK_SOCKETS] = { -1, -1, -1, -1 };
	struct check_host h[] = { host(1, "127.0.0.1"), host(2, "::1") };
	struct ev *loop = ev_new(NULL, true);
	struct check *c = check_new(loop, &ops, NULL, none);
	struct check_table t = { .id = 1, .name = "t:1",
	    .how.kind = CHECK_ICMP, .timeout = SOON, .every = 1,
	    .hosts = h, .nhosts = 2 };

	(void)state;
	assert_non_null(c);
	check_adopt(c, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = PATIENCE, .agent = "S" });
	assert_int_equal(ev_turn(loop, 0), 0);
	assert_int_equal(seen.statuses, 2);
	assert_int_equal(seen.last.now.state, HOST_DOWN);
	assert_int_equal(seen.last.now.error, HOST_ICMP_WRITE_TIMEOUT);
	check_free(c);
	ev_free(loop);
}

/* ---- we answer ---- */

static unsigned
sum(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (size_t i = 0; i < n; i += 2)
		s += (uint32_t)p[i] << 8 | p[i + 1];
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

/* The request that was sent last: 64 bytes, and the TTL it came with. */
static unsigned
hear(uint8_t m[static 64])
{
	uint8_t data[256];
	ssize_t n;

	turns();
	n = recv(peer4, data, sizeof(data), MSG_DONTWAIT);
	assert_int_equal(n, 20 + 64);
	assert_int_equal(data[20], 8);
	assert_int_equal(sum(data + 20, 64), 0);
	memcpy(m, data + 20, 64);
	return data[8];
}

static void
say(const uint8_t m[static 64], size_t n, const char *from)
{
	struct net_addr a, to;
	uint8_t data[128] = { 0 };
	unsigned s;
	int fd = net_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	assert_true(net_parse_ip(from, &a));
	assert_true(net_parse_ip("127.0.0.1", &to));
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	memcpy(data, m, n);
	data[2] = data[3] = 0;
	s = sum(data, n);
	data[2] = (uint8_t)(s >> 8);
	data[3] = (uint8_t)s;
	if (m[2] == 0xff && m[3] == 0xfe)	/* it is to be wrong */
		data[3] ^= 1;
	assert_int_equal(sendto(fd, data, n, 0, &to.sa, to.len), n);
	close(fd);
	turns();
}

static void
replies(void **state)
{
	struct check_host h[] = { host(1, "127.0.0.5") };
	uint8_t m[64], bad[64], late[64];

	(void)state;
	if (!usable)
		skip();
	assert_true(write_file(IGNORE4, "1"));
	adopt(h, 1, PATIENCE);
	hear(m);
	assert_int_equal(m[1], 0);
	assert_int_equal((m[4] << 8 | m[5]), getpid() & 0xffff);
	assert_int_equal((m[6] << 8 | m[7]), 1);
	assert_int_equal(m[11], 1);
	m[0] = 0;
	memcpy(late, m, sizeof(late));

	/* what must not count */
	say(m, 64, "127.0.0.6");		/* another source */
	assert_string_equal(seen.line,
	    "forged icmp packet? from 127.0.0.6, not 127.0.0.5");
	memcpy(bad, m, sizeof(bad));
	bad[11] = 9;				/* another host */
	say(bad, 64, "127.0.0.5");
	assert_string_equal(seen.line, "ping for unknown host received");
	assert_int_equal(seen.lines, 2);
	memcpy(bad, m, sizeof(bad));
	bad[16] ^= 1;				/* guessed */
	say(bad, 64, "127.0.0.5");
	memcpy(bad, m, sizeof(bad));
	bad[15] ^= 1;				/* another round */
	say(bad, 64, "127.0.0.5");
	memcpy(bad, m, sizeof(bad));
	bad[5] ^= 1;				/* another process */
	say(bad, 64, "127.0.0.5");
	memcpy(bad, m, sizeof(bad));
	bad[0] = 8;				/* no reply */
	say(bad, 64, "127.0.0.5");
	memcpy(bad, m, sizeof(bad));
	bad[1] = 3;				/* a code */
	say(bad, 64, "127.0.0.5");
	say(m, 62, "127.0.0.5");		/* too short */
	memcpy(bad, m, sizeof(bad));
	bad[2] = 0xff, bad[3] = 0xfe;		/* broken on the way */
	say(bad, 64, "127.0.0.5");
	assert_int_equal(seen.statuses, 0);
	assert_int_equal(seen.lines, 2);

	say(m, 64, "127.0.0.5");
	assert_int_equal(seen.statuses, 1);
	assert_int_equal(seen.ups, 1);
	say(m, 64, "127.0.0.5");		/* once is enough */
	assert_int_equal(seen.statuses, 1);

	/* that of the round before */
	while (recv(peer4, bad, sizeof(bad), MSG_DONTWAIT) > 0)
		;
	check_poll(check);
	hear(m);
	say(late, 64, "127.0.0.5");
	assert_int_equal(seen.statuses, 1);
	m[0] = 0;
	say(m, 64, "127.0.0.5");
	assert_int_equal(seen.ups, 2);
	assert_int_equal(seen.lines, 2);
}

/* Hosts get other numbers while a reply is on its way. */
static void
renumbered(void **state)
{
	struct check_host h[] = { host(1, "127.0.0.5"), host(2, "127.0.0.6") };
	uint8_t m[64], other[64];

	(void)state;
	if (!usable)
		skip();
	assert_true(write_file(IGNORE4, "1"));
	adopt(h, 1, PATIENCE);
	hear(m);
	h[0].id = 2;
	h[1].id = 1;
	adopt(h, 2, PATIENCE);
	hear(other);
	assert_int_equal(other[11], 1);
	m[0] = 0;
	say(m, 64, "127.0.0.5");
	assert_int_equal(seen.statuses, 1);
	assert_int_equal(seen.last.id, 2);
	assert_int_equal(seen.last.now.state, HOST_UP);
	assert_int_equal(seen.lines, 0);
}

static void
ttl(void **state)
{
	struct check_host h[] = { host(1, "127.0.0.1"), host(2, "127.0.0.2"),
	    host(3, "127.0.0.3") };
	uint8_t m[64];

	(void)state;
	if (!usable)
		skip();
	assert_true(write_file(IGNORE4, "1"));
	h[1].ttl = 3;
	adopt(h, 3, PATIENCE);
	assert_int_equal(hear(m), 64);
	assert_int_equal(m[7], 1);
	assert_int_equal(hear(m), 3);
	assert_int_equal(m[7], 2);
	assert_int_equal(hear(m), 64);
	assert_int_equal(m[7], 3);
}

/* A reply to ICMPv6 from elsewhere. */
static void
forged6(void **state)
{
	struct check_host h[] = { host(1, "::1") };
	struct icmp6_filter f;
	struct net_addr to = { .len = 0 };
	uint8_t m[128];
	int fd;

	(void)state;
	if (!usable)
		skip();
	assert_true(write_file(IGNORE6, "1"));
	adopt(h, 1, PATIENCE);
	turns();
	ICMP6_FILTER_SETBLOCKALL(&f);
	assert_int_equal(recv(peer6, m, sizeof(m), MSG_DONTWAIT), 64);
	assert_int_equal(m[0], 128);
	m[0] = 129;
	m[16] ^= 1;
	fd = net_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	assert_int_equal(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f,
	    sizeof(f)), 0);
	assert_true(net_parse_ip("::1", &to));
	assert_int_equal(sendto(fd, m, 64, 0, &to.sa, to.len), 64);
	turns();
	assert_int_equal(seen.statuses, 0);
	m[16] ^= 1;
	assert_int_equal(sendto(fd, m, 64, 0, &to.sa, to.len), 64);
	turns();
	assert_int_equal(seen.ups, 1);
	close(fd);
}

static int
group_setup(void **state)
{
	struct icmp6_filter f;

	(void)state;
	ev = ev_new(NULL, true);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) == -1 || !lo_up() ||
	    !write_file(IGNORE4, "0") || !write_file(IGNORE6, "0")) {
		print_message("needs root and a network namespace with "
		    "sysctls of its own: skipped\n");
		return 0;
	}
	peer4 = net_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	peer6 = net_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	/* requests alone: SOL_RAW, ICMP_FILTER */
	setsockopt(peer4, 255, 1, &(uint32_t){ ~(UINT32_C(1) << 8) }, 4);
	ICMP6_FILTER_SETBLOCKALL(&f);
	ICMP6_FILTER_SETPASS(128, &f);
	setsockopt(peer6, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof(f));
	usable = peer4 != -1 && peer6 != -1;
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	if (peer4 != -1)
		close(peer4);
	if (peer6 != -1)
		close(peer6);
	ev_free(ev);
	return 0;
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_families),
		TEST(silence),
		TEST(many),
		TEST(no_way),
		TEST(no_socket),
		TEST(replies),
		TEST(renumbered),
		TEST(ttl),
		TEST(forged6),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

#else
#include <stdio.h>

int
main(void)
{
	puts("needs network namespaces: skipped");
	return 0;
}
#endif
