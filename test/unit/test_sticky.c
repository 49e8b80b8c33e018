/*
 * The sticky cache (4.4), with a clock of our own.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <cmocka.h>

#include "spawnd/sticky.h"

#define N(a)	(sizeof(a) / sizeof(*(a)))
#define S(n)	((uint64_t)(n) * UINT64_C(1000000000))

static struct sockaddr_storage
address(const char *text, unsigned port)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	memset(&ss, 0, sizeof(ss));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr),
		    1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
	}
	return ss;
}

static struct sticky_key
key_of(const char *text, unsigned port, uint16_t local, uint16_t transport,
    bool datagram)
{
	struct sockaddr_storage ss = address(text, port);
	struct sticky_key k;

	assert_true(sticky_key_set(&k, (struct sockaddr *)&ss, local,
	    transport, datagram));
	return k;
}

static struct sticky_key
client(unsigned n)
{
	struct sticky_key k = key_of("192.0.2.0", 1, 80, IPPROTO_TCP, false);

	k.ip[13] = (uint8_t)(n >> 16);
	k.ip[14] = (uint8_t)(n >> 8);
	k.ip[15] = (uint8_t)n;
	return k;
}

static void
test_keys(void **state)
{
	static const struct {
		const char	*what, *ip1, *ip2;
		unsigned	 port1, port2;
		uint16_t	 local1, local2, transport1, transport2;
		bool		 datagram, same;
	} rows[] = {
		{ "another client port", "192.0.2.1", "192.0.2.1", 1000, 2000,
		    80, 80, 6, 6, false, true },
		{ "mapped is IPv4", "192.0.2.1", "::ffff:192.0.2.1", 1, 1,
		    80, 80, 6, 6, false, true },
		{ "another client", "192.0.2.1", "192.0.2.2", 1, 1,
		    80, 80, 6, 6, false, false },
		{ "another IPv6 client", "2001:db8::1", "2001:db8::2", 1, 1,
		    80, 80, 6, 6, false, false },
		{ "another local port", "192.0.2.1", "192.0.2.1", 1, 1,
		    80, 81, 6, 6, false, false },
		{ "another transport", "192.0.2.1", "192.0.2.1", 1, 1,
		    80, 80, 6, 132, false, false },
		{ "datagrams: the client port counts", "192.0.2.1",
		    "192.0.2.1", 1000, 2000, 80, 80, 17, 17, true, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct sticky_key a = key_of(rows[i].ip1, rows[i].port1,
		    rows[i].local1, rows[i].transport1, rows[i].datagram);
		struct sticky_key b = key_of(rows[i].ip2, rows[i].port2,
		    rows[i].local2, rows[i].transport2, rows[i].datagram);

		if ((memcmp(&a, &b, sizeof(a)) == 0) != rows[i].same)
			fail_msg("%s", rows[i].what);
	}
}

static void
test_unix_has_no_key(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sticky_key k;

	(void)state;
	assert_false(sticky_key_set(&k, (struct sockaddr *)&un, 0, 0, false));
}

/* The example of 4.4: period 60, hits renew, expiry at its exact end. */
static void
test_expiry(void **state)
{
	struct sticky *s = sticky_new(1024);
	struct sticky_key x = client(1);

	(void)state;
	assert_int_equal(sticky_find(s, &x, 0), 0);
	sticky_set(s, &x, 7, S(60));
	assert_int_equal(sticky_find(s, &x, S(30)), 7);
	sticky_set(s, &x, 7, S(90));
	assert_int_equal(sticky_find(s, &x, S(90) - 1), 7);
	assert_int_equal(sticky_find(s, &x, S(90)), 0);
	sticky_set(s, &x, 9, S(160));
	assert_int_equal(sticky_find(s, &x, S(100)), 9);
	assert_int_equal(sticky_count(s), 1);
	sticky_free(s);
}

static void
test_least_recently_used_goes(void **state)
{
	struct sticky *s = sticky_new(3);
	struct sticky_key k[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		k[i] = client(i);
	for (unsigned i = 0; i < 3; i++)
		sticky_set(s, &k[i], i + 1, S(60));
	sticky_set(s, &k[0], 1, S(61));		/* 1 is the oldest now */
	sticky_set(s, &k[3], 4, S(60));
	assert_int_equal(sticky_count(s), 3);
	assert_int_equal(sticky_find(s, &k[1], 0), 0);
	assert_int_equal(sticky_find(s, &k[0], 0), 1);
	assert_int_equal(sticky_find(s, &k[2], 0), 3);
	assert_int_equal(sticky_find(s, &k[3], 0), 4);
	sticky_free(s);
}

static void
test_worker_leaves(void **state)
{
	struct sticky *s = sticky_new(1000);

	(void)state;
	for (unsigned i = 0; i < 900; i++) {
		struct sticky_key k = client(i);

		sticky_set(s, &k, i % 3 + 1, S(60));
	}
	sticky_forget(s, 2);
	assert_int_equal(sticky_count(s), 600);
	for (unsigned i = 0; i < 900; i++) {
		struct sticky_key k = client(i);

		assert_int_equal(sticky_find(s, &k, 0),
		    i % 3 == 1 ? 0 : i % 3 + 1);
	}
	sticky_free(s);
}

/* Against a plain table, at random, so that lists and chains are exercised
 * in every order. */
static void
test_against_model(void **state)
{
	enum { CLIENTS = 200, SIZE = CLIENTS };
	uint32_t model[CLIENTS] = { 0 };
	struct sticky *s = sticky_new(SIZE);
	uint32_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned n;
		struct sticky_key k;

		random = random * 1103515245u + 12345u;
		n = random >> 16 & 0xff;
		if (n < CLIENTS) {
			k = client(n);
			model[n] = 1 + (random >> 8 & 7);
			sticky_set(s, &k, model[n], S(60));
		} else if (n > 250) {
			uint32_t gone = 1 + (random >> 8 & 7);

			sticky_forget(s, gone);
			for (unsigned j = 0; j < CLIENTS; j++)
				if (model[j] == gone)
					model[j] = 0;
		}
		k = client(random >> 4 & 0x7f);
		assert_int_equal(sticky_find(s, &k, 0),
		    model[random >> 4 & 0x7f]);
	}
	sticky_free(s);
}

static void
test_size_one(void **state)
{
	struct sticky *s = sticky_new(1);
	struct sticky_key a = client(1), b = client(2);

	(void)state;
	sticky_set(s, &a, 1, S(1));
	sticky_set(s, &b, 2, S(1));
	assert_int_equal(sticky_find(s, &a, 0), 0);
	assert_int_equal(sticky_find(s, &b, 0), 2);
	sticky_forget(s, 2);
	assert_int_equal(sticky_count(s), 0);
	sticky_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_unix_has_no_key),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_least_recently_used_goes),
		cmocka_unit_test(test_worker_leaves),
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_size_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
