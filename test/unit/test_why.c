/*
 * The ring of sessions that are over: what is found, in which order, and what
 * happens to it while somebody reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/why.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
add(struct why *y, uint64_t id, uint32_t host, const char *name,
    const char *address)
{
	struct tell_why *e = why_add(y);
	struct net_addr a;

	for (size_t i = 0; i < sizeof(*e); i++)
		assert_int_equal(((const char *)e)[i], 0);
	e->id = id;
	e->worker = 7;
	e->host = host;
	snprintf(e->host_name, sizeof(e->host_name), "%s", name);
	if (address == NULL)
		return;
	assert_true(net_parse_ip(address, &a));
	net_set_port(&a, 80);
	net_name_set(&e->server, &a.sa, a.len);
}

static void
test_match(void **state)
{
	static const struct {
		struct tell_ask_why ask;
		const char *want;	/* ids, a digit each */
	} rows[] = {
		{ { .session = 0 }, "1234567" },
		{ { .session = 3 }, "3" },
		{ { .session = 3, .worker = 7 }, "3" },
		{ { .session = 3, .worker = 8 }, "" },
		{ { .worker = 7 }, "1234567" },
		{ { .session = 99 }, "" },
		{ { .host = 2 }, "23" },
		{ { .host = 9 }, "" },
		{ { .name = "web1" }, "12" },
		{ { .name = "web" }, "" },
		{ { .name = "10.0.0.1" }, "145" },
		{ { .name = "10.0.0.01" }, "" },
		{ { .name = "2001:db8::1" }, "3" },
		{ { .name = "2001:DB8:0::1" }, "3" },
		/* with a scope only that one, without one any */
		{ { .name = "fe80::1%1" }, "6" },
		{ { .name = "fe80::1%2" }, "7" },
		{ { .name = "fe80::1" }, "67" },
		{ { .name = "web1", .host = 1 }, "1" },
		{ { .name = "0.0.0.0" }, "" },
	};
	struct why *y = why_new();

	(void)state;
	assert_non_null(y);
	add(y, 1, 1, "web1", "10.0.0.1");
	add(y, 2, 2, "web1", NULL);
	add(y, 3, 2, "web2", "2001:db8::1");
	add(y, 4, 0, "", "10.0.0.1");
	add(y, 5, 0, "10.0.0.1", NULL);
	add(y, 6, 0, "", "fe80::1%1");
	add(y, 7, 0, "", "fe80::1%2");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tell_why list[10];
		char got[COUNT(list) + 1];
		uint64_t at = 0;
		size_t n = why_find(y, &rows[i].ask, &at, list, COUNT(list));

		for (size_t k = 0; k < n; k++)
			got[k] = (char)('0' + list[k].id);
		got[n] = '\0';
		assert_string_equal(got, rows[i].want);
		assert_int_equal(why_find(y, &rows[i].ask, &at, list,
		    COUNT(list)), 0);
	}
	why_free(y);
}

/* A name without its end is not read beyond. */
static void
test_unterminated(void **state)
{
	struct tell_ask_why ask = { .session = 0 };
	struct why *y = why_new();
	struct tell_why found;
	uint64_t at = 0;

	(void)state;
	memset(ask.name, 'x', sizeof(ask.name));
	ask.zero = 1;
	add(y, 1, 1, "x", NULL);
	assert_int_equal(why_find(y, &ask, &at, &found, 1), 0);
	why_free(y);
}

/* The last ones, newest last, in pieces of any size. */
static void
test_ring(void **state)
{
	static const size_t counts[] = { 0, 1, WHY_RING - 1, WHY_RING,
	    WHY_RING + 1, 5 * WHY_RING + 3 };
	static const size_t pieces[] = { 1, 7, 172, WHY_RING + 5 };
	static struct tell_why list[WHY_RING + 5];
	const struct tell_ask_why all = { .session = 0 };

	(void)state;
	for (size_t c = 0; c < COUNT(counts); c++) {
		struct why *y = why_new();
		size_t kept = counts[c] < WHY_RING ? counts[c] : WHY_RING;

		for (size_t i = 1; i <= counts[c]; i++)
			add(y, i, 1, "web", NULL);
		for (size_t p = 0; p < COUNT(pieces); p++) {
			uint64_t at = 0, id = counts[c] - kept;
			size_t n;

			do {
				n = why_find(y, &all, &at, list, pieces[p]);
				for (size_t k = 0; k < n; k++)
					assert_int_equal(list[k].id, ++id);
			} while (n == pieces[p]);
			assert_int_equal(id, counts[c]);
		}
		why_free(y);
	}
}

/* Between two pieces sessions end: nothing comes twice, nothing is torn. */
static void
test_overtaken(void **state)
{
	static struct tell_why list[100];
	const struct tell_ask_why all = { .session = 0 };
	struct why *y = why_new();
	uint64_t at = 0, id = 0, last = 0;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < WHY_RING; i++)
		add(y, ++last, 1, "web", NULL);
	for (;;) {
		n = why_find(y, &all, &at, list, COUNT(list));
		for (size_t k = 0; k < n; k++) {
			assert_true(list[k].id > id);
			assert_true(list[k].id > last - WHY_RING);
			id = list[k].id;
		}
		if (n < COUNT(list))
			break;
		for (unsigned i = 0; i < 60; i++)
			add(y, ++last, 1, "web", NULL);
	}
	assert_int_equal(id, last);
	why_free(y);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_unterminated),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_overtaken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
