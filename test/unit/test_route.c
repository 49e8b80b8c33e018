/*
 * From one attempt of a relay's session to the next: retries, other hosts of
 * the table, each once, and the end of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/route.h"

#define LEN(a)	(sizeof(a) / sizeof((a)[0]))

static size_t index_of;

static struct balance_ask
roundrobin(void)
{
	return (struct balance_ask){ .mode = BALANCE_ROUNDROBIN,
	    .index = &index_of };
}

/* What a failure leads to, by what is left, the option, how it failed, and
 * who else is usable. Host 1 of 3 is in hand. */
static const struct {
	const char	*what;
	uint32_t	 left;
	bool		 failover, at_once, address;
	uint32_t	 usable;
	enum route_next	 next;
	uint32_t	 left_then;
} failures[] = {
	{ "retry late", 2, true, false, false, 7, ROUTE_SAME, 1 },
	{ "retry at once", 1, true, true, false, 7, ROUTE_SAME, 0 },
	{ "at once, no failover", 1, false, true, false, 7, ROUTE_SAME, 0 },
	{ "late, no failover: final", 2, false, false, false, 7, ROUTE_OVER,
	    2 },
	{ "no retry left", 0, true, false, false, 7, ROUTE_OTHER, 0 },
	{ "at once, another one", 0, true, true, false, 7, ROUTE_OTHER, 0 },
	{ "no failover, no other", 0, false, true, false, 7, ROUTE_OVER, 0 },
	{ "only itself is usable", 0, true, false, false, 2, ROUTE_OVER, 0 },
	{ "nobody is usable", 0, true, false, false, 0, ROUTE_OVER, 0 },
	{ "retry comes first", 1, true, false, false, 0, ROUTE_SAME, 0 },
	{ "an address has no others", 0, true, false, true, 7, ROUTE_OVER, 0 },
	{ "an address is retried", 1, true, false, true, 0, ROUTE_SAME, 0 },
};

static void
test_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(failures); i++) {
		struct route r = { .tried = 2, .left = failures[i].left,
		    .host = 1, .chosen = true,
		    .target = failures[i].address ? BALANCE_ADDRESS :
		    BALANCE_TABLE };
		enum route_next next = route_failed(&r, failures[i].failover,
		    failures[i].at_once, failures[i].usable);

		if (next != failures[i].next ||
		    r.left != failures[i].left_then)
			fail_msg("%s: %d, left %u", failures[i].what, next,
			    (unsigned)r.left);
		assert_int_equal(r.again, next == ROUTE_SAME);
	}
}

static void
test_each_once(void **state)
{
	struct route r = { 0 };
	struct balance_ask ask = roundrobin();
	uint32_t seen = 0;

	(void)state;
	index_of = 2;
	/* host 3 is down */
	for (unsigned n = 0; n < 4; n++) {
		assert_true(route_host(&r, &ask, 5, 0x17));
		assert_true((0x17u >> r.host & 1) != 0);
		assert_true((seen >> r.host & 1) == 0);
		seen |= 1u << r.host;
		assert_int_equal(route_failed(&r, true, false, 0x17),
		    n < 3 ? ROUTE_OTHER : ROUTE_OVER);
	}
	assert_int_equal(seen, 0x17);
	assert_false(route_host(&r, &ask, 5, 0x17));
	/* one that came up meanwhile was not tried */
	assert_int_equal(route_failed(&r, true, false, 0x1f), ROUTE_OTHER);
	assert_true(route_host(&r, &ask, 5, 0x1f));
	assert_int_equal(r.host, 3);
}

static void
test_none(void **state)
{
	struct route r = { 0 };
	struct balance_ask ask = roundrobin();

	(void)state;
	index_of = 0;
	assert_false(route_host(&r, &ask, 3, 0));
	assert_false(route_host(&r, &ask, 0, 0xffffffff));
	assert_false(r.chosen);
	assert_int_equal(r.tried, 0);
}

static void
test_most(void **state)
{
	struct route r = { 0 };
	struct balance_ask ask = roundrobin();

	(void)state;
	index_of = 31;
	assert_true(route_host(&r, &ask, 32, 0xffffffff));
	assert_int_equal(r.host, 31);
	assert_int_equal(r.tried, 0x80000000);
	/* more than there are bits: the rest is not there */
	assert_true(route_host(&r, &ask, 1000, 0xffffffff));
	assert_int_equal(r.host, 0);
}

/* The second choice of a hash is the one that others come to, too, when the
 * first is down. */
static void
test_hash_goes_on(void **state)
{
	for (uint64_t hash = 0; hash < 500; hash++) {
		struct balance_ask ask = { .mode = BALANCE_SOURCE_HASH,
		    .hash = hash * UINT64_C(0x9e3779b97f4a7c15) };
		struct route r = { 0 }, without = { 0 };
		uint32_t first;

		assert_true(route_host(&r, &ask, 7, 0x7f));
		first = r.host;
		assert_true(route_host(&r, &ask, 7, 0x7f));
		assert_int_not_equal(r.host, first);
		assert_true(route_host(&without, &ask, 7,
		    0x7f & ~(1u << first)));
		assert_int_equal(r.host, without.host);
	}
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_hash_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
