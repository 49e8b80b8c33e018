/*
 * relayd's ways to pick: worked examples. Hashes were computed with
 * `openssl mac ... SIPHASH' over bytes written down by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/balance.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define HOSTS		8

/* "+-+" is up, down, up */
static size_t
hosts(const char *text, bool usable[HOSTS])
{
	size_t n = strlen(text);

	assert_true(n <= HOSTS);
	for (size_t i = 0; i < n; i++)
		usable[i] = text[i] == '+';
	return n;
}

/* ---- what kind of target ---- */

static void
test_target(void **state)
{
	static const struct balance_table free_one = { .check = false };
	static const struct balance_table up = { .check = true, .up = 2 };
	static const struct balance_table down = { .check = true };
	const struct {
		struct balance_table tables[3];
		size_t ntables;
		int selection;			/* -1: no rule */
		bool original, address;
		enum balance_target want;
		size_t table;
	} rows[] = {
		/* the first that can be used */
		{ { up, up }, 2, -1, false, false, BALANCE_TABLE, 0 },
		{ { down, up }, 2, -1, false, false, BALANCE_TABLE, 1 },
		{ { down, free_one, up }, 3, -1, false, false,
		    BALANCE_TABLE, 1 },
		{ { free_one }, 1, -1, false, false, BALANCE_TABLE, 0 },
		{ { down, down }, 2, -1, false, false, BALANCE_FAILED, 0 },
		/* a fixed address only without tables */
		{ { down }, 1, -1, false, true, BALANCE_FAILED, 0 },
		{ { up }, 1, -1, false, true, BALANCE_TABLE, 0 },
		{ { up }, 0, -1, false, true, BALANCE_ADDRESS, 0 },
		{ { up }, 0, -1, false, false, BALANCE_FAILED, 0 },
		/* an original destination comes before both */
		{ { up }, 1, -1, true, true, BALANCE_ORIGINAL, 0 },
		{ { up }, 0, -1, true, false, BALANCE_ORIGINAL, 0 },
		/* a rule before all, and nothing stands in */
		{ { up, up }, 2, 1, true, true, BALANCE_TABLE, 1 },
		{ { up, down }, 2, 1, false, false, BALANCE_FAILED, 0 },
		{ { up, down }, 2, 1, true, true, BALANCE_FAILED, 0 },
		{ { up, free_one }, 2, 1, false, false, BALANCE_TABLE, 1 },
		{ { up }, 1, 1, false, false, BALANCE_FAILED, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct balance_targets t = { .tables = rows[i].tables,
		    .ntables = rows[i].ntables,
		    .selected = rows[i].selection != -1,
		    .selection = rows[i].selection == -1 ? 0 :
		    (size_t)rows[i].selection,
		    .original = rows[i].original,
		    .address = rows[i].address };
		size_t table = 99;

		if (balance_target(&t, &table) != rows[i].want ||
		    (rows[i].want == BALANCE_TABLE && table != rows[i].table))
			fail_msg("row %zu", i);
	}
}

/* ---- which host ---- */

static void
test_roundrobin(void **state)
{
	static const struct {
		const char *hosts;
		size_t index;
		int want;
		size_t next;
	} rows[] = {
		{ "+++", 0, 0, 1 }, { "+++", 1, 1, 2 }, { "+++", 2, 2, 3 },
		{ "+++", 3, 0, 1 }, { "+++", 99, 0, 1 },
		{ "-++", 0, 1, 2 }, { "+-+", 1, 2, 3 }, { "++-", 2, 0, 1 },
		{ "--+", 0, 2, 3 }, { "+--", 1, 0, 1 }, { "-+-", 2, 1, 2 },
		{ "+", 0, 0, 1 }, { "+", 1, 0, 1 },
		{ "---", 1, -1, 1 }, { "-", 0, -1, 0 }, { "", 0, -1, 0 },
		{ "", 5, -1, 5 },
	};
	bool usable[HOSTS];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t index = rows[i].index;
		struct balance_ask a = { .mode = BALANCE_ROUNDROBIN,
		    .usable = usable, .n = hosts(rows[i].hosts, usable),
		    .index = &index };

		if (balance_host(&a) != rows[i].want ||
		    index != rows[i].next)
			fail_msg("%s from %zu", rows[i].hosts, rows[i].index);
	}
}

struct draws {
	const uint32_t	*values;
	size_t		 at, n;
};

static uint32_t
draw_cb(void *ctx)
{
	struct draws *d = ctx;

	assert_true(d->at < d->n);
	return d->values[d->at++];
}

static void
test_random(void **state)
{
	static const struct {
		const char *hosts;
		uint32_t draws[2];
		size_t used;
		int want;
	} rows[] = {
		{ "+++", { 3 }, 1, 0 }, { "+++", { 4 }, 1, 1 },
		{ "+++", { 5 }, 1, 2 }, { "+++", { UINT32_MAX }, 1, 0 },
		/* 2^32 is one more than a multiple of 3 */
		{ "+++", { 0, 5 }, 2, 2 },
		/* the nth of the usable, not who comes after a gap */
		{ "+--+", { 4 }, 1, 0 }, { "+--+", { 5 }, 1, 3 },
		{ "-+-+", { 0 }, 1, 1 }, { "-+-+", { 1 }, 1, 3 },
		{ "--+", { 7 }, 1, 2 },
		{ "---", { 0 }, 0, -1 }, { "", { 0 }, 0, -1 },
	};
	bool usable[HOSTS];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct draws d = { .values = rows[i].draws,
		    .n = rows[i].used };
		struct balance_ask a = { .mode = BALANCE_RANDOM,
		    .usable = usable, .n = hosts(rows[i].hosts, usable),
		    .draw = draw_cb, .ctx = &d };

		if (balance_host(&a) != rows[i].want ||
		    d.at != rows[i].used)
			fail_msg("row %zu", i);
	}
}

static uint32_t
counter_cb(void *ctx)
{
	uint32_t *at = ctx;

	return *at += UINT32_C(0x01000193);
}

/* D-59: all equally likely, also behind hosts that are down */
static void
test_random_fair(void **state)
{
	bool usable[HOSTS];
	unsigned counts[HOSTS] = { 0 };
	uint32_t at = 0;
	struct balance_ask a = { .mode = BALANCE_RANDOM, .usable = usable,
	    .n = hosts("--+-++", usable), .draw = counter_cb, .ctx = &at };

	(void)state;
	for (int i = 0; i < 3000; i++)
		counts[balance_host(&a)]++;
	for (size_t i = 0; i < a.n; i++)
		assert_in_range(counts[i], usable[i] ? 950 : 0,
		    usable[i] ? 1050 : 0);
}

static void
test_hash_host(void **state)
{
	static const struct {
		const char *hosts;
		uint64_t hash;
		int want;
	} rows[] = {
		/* 100, 50, 25, 12, 6 modulo 7 are 2, 1, 4, 5, 6 */
		{ "+++++++", 100, 2 }, { "++-++++", 100, 1 },
		{ "+--++++", 100, 4 }, { "+--+-++", 100, 5 },
		{ "+--+--+", 100, 6 },
		/* then on from 6 */
		{ "+--+---", 100, 0 }, { "---+---", 100, 3 },
		{ "-------", 100, -1 },
		/* no more tries than hosts: 1, 2, 1, then from 1 */
		{ "+++", 100, 1 }, { "+-+", 100, 2 }, { "+--", 100, 0 },
		/* 1, 1, then 1, 0 */
		{ "+-", 7, 0 }, { "++", 7, 1 }, { "+-", 6, 0 },
		{ "+", 12345, 0 }, { "-", 12345, -1 }, { "", 12345, -1 },
		{ "++++", 0, 0 }, { "-+++", 0, 1 },
		/* all 64 bits count; the shift brings in a 0 */
		{ "+++++", UINT64_MAX, 0 },	/* 5 divides it */
		{ "-++++", UINT64_MAX, 2 },	/* 2^63 - 1 */
		{ "+++", UINT64_C(0xdfa8412cf8c0a184), 0 },
		/* 0, 0, 0; 3, 4, 2, 3, 4 */
		{ "-++", UINT64_C(0xdfa8412cf8c0a184), 1 },
		{ "+++-+", UINT64_C(0xdfa8412cf8c0a184), 4 },
		{ "+++--", UINT64_C(0xdfa8412cf8c0a184), 2 },
		{ "-+---", UINT64_C(0xdfa8412cf8c0a184), 1 },
	};
	static const enum balance_mode modes[] = { BALANCE_SOURCE_HASH,
	    BALANCE_LOADBALANCE, BALANCE_HASH };
	bool usable[HOSTS];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct balance_ask a = { .mode = modes[i % 3],
		    .usable = usable, .n = hosts(rows[i].hosts, usable),
		    .hash = rows[i].hash };

		if (balance_host(&a) != rows[i].want)
			fail_msg("%s of %#jx: %d", rows[i].hosts,
			    (uintmax_t)rows[i].hash, balance_host(&a));
	}
}

/* ---- hashes ---- */

static struct net_name
name_of(const char *ip, unsigned port)
{
	struct net_name name;

	memset(&name, 0, sizeof name);
	name.family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	name.port = htons((uint16_t)port);
	name.scope = 7;			/* does not count */
	assert_int_equal(inet_pton(name.family, ip, name.ip), 1);
	return name;
}

static void
test_hash(void **state)
{
	static const uint32_t key[4] = { 0x00010203, 0x04050607, 0x08090a0b,
	    0x0c0d0e0f };
	static const struct {
		enum balance_mode mode;
		const char *rules, *client, *listen;
		unsigned port;
		uint64_t want;
	} rows[] = {
		{ BALANCE_SOURCE_HASH, "", "192.0.2.7", "198.51.100.10", 443,
		    UINT64_C(0xdfa8412cf8c0a184) },
		{ BALANCE_LOADBALANCE, "", "192.0.2.7", "198.51.100.10", 443,
		    UINT64_C(0x35f59f586a8dbb42) },
		{ BALANCE_HASH, "", "192.0.2.7", "198.51.100.10", 443,
		    UINT64_C(0x3556fe7533d8bb47) },
		{ BALANCE_SOURCE_HASH, "", "2001:db8::1", "2001:db8::2", 8080,
		    UINT64_C(0xbd79941f8f6095d3) },
		{ BALANCE_LOADBALANCE, "", "2001:db8::1", "2001:db8::2", 8080,
		    UINT64_C(0xcfe000c9e8361850) },
		{ BALANCE_SOURCE_HASH, "abc", "192.0.2.7", "198.51.100.10",
		    443, UINT64_C(0x9c0fbe9aad002b84) },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct net_name client = name_of(rows[i].client, 50000);
		struct net_name listen = name_of(rows[i].listen,
		    rows[i].port);
		struct siphash h;

		balance_hash_begin(&h, key);
		siphash_add(&h, rows[i].rules, strlen(rows[i].rules));
		if (balance_hash(&h, rows[i].mode, &client, &listen) !=
		    rows[i].want)
			fail_msg("row %zu", i);
	}
	assert_false(balance_hashes(BALANCE_ROUNDROBIN));
	assert_false(balance_hashes(BALANCE_RANDOM));
	assert_true(balance_hashes(BALANCE_HASH));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_roundrobin),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_fair),
		cmocka_unit_test(test_hash_host),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
