/*
 * Ticket keys: made, rotated by a clock that is passed in, kept long enough,
 * overwritten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "spawnd/tickets.h"

#define LIFETIME	UINT64_C(7200)

static void
test_first(void **state)
{
	static const struct ticket_key zero;
	struct tickets t = { .n = 0 };

	(void)state;
	assert_int_equal(tickets_rotate(&t, 5, LIFETIME, TICKETS_KEPT), 1);
	assert_int_equal(t.n, 1);
	assert_int_equal(tickets_due(&t, LIFETIME), 5 + LIFETIME);
	assert_memory_not_equal(&t.keys[0], &zero, sizeof(zero));
	assert_int_equal(tickets_rotate(&t, 5, LIFETIME, TICKETS_KEPT), 0);
	assert_int_equal(tickets_rotate(&t, 4 + LIFETIME, LIFETIME, TICKETS_KEPT), 0);
	assert_int_equal(t.n, 1);
	tickets_clear(&t);
}

/* A key encrypts for one lifetime and decrypts for two more. */
static void
test_rotation(void **state)
{
	struct tickets t = { .n = 0 };
	struct ticket_key made[6];

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		unsigned n = i < TICKETS_KEPT ? i + 1 : TICKETS_KEPT;

		assert_int_equal(tickets_rotate(&t, i * LIFETIME, LIFETIME, TICKETS_KEPT),
		    1);
		made[i] = t.keys[0];
		assert_int_equal(t.n, n);
		for (unsigned j = 0; j < n; j++)
			assert_memory_equal(&t.keys[j], &made[i - j],
			    sizeof(made[0]));
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(&made[i], &made[j],
			    sizeof(made[0]));
	}
	tickets_clear(&t);
}

/* A key encrypts for a quarter of a ticket's life, and decrypts for all of
 * it: five are enough, and what is not needed is not kept. */
static void
test_quarters(void **state)
{
	static const struct ticket_key none;
	struct tickets t = { .n = 0 };
	struct ticket_key made[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(tickets_rotate(&t, i * LIFETIME / 4,
		    LIFETIME / 4, 5), 1);
		assert_int_equal(tickets_rotate(&t, (i + 1) * LIFETIME / 4 -
		    1, LIFETIME / 4, 5), 0);
		made[i] = t.keys[0];
		assert_int_equal(t.n, i < 5 ? i + 1 : 5);
		for (unsigned j = 0; j < t.n; j++)
			assert_memory_equal(&t.keys[j], &made[i - j],
			    sizeof(made[0]));
	}
	assert_int_equal(tickets_rotate(&t, 9 * LIFETIME, LIFETIME, 3), 1);
	assert_int_equal(t.n, 3);
	assert_memory_equal(&t.keys[2], &made[6], sizeof(made[0]));
	assert_memory_equal(&t.keys[3], &none, sizeof(none));
	assert_memory_equal(&t.keys[4], &none, sizeof(none));
	tickets_clear(&t);
}

/* Changing the lifetime counts from when the key was made. */
static void
test_shorter_lifetime(void **state)
{
	struct tickets t = { .n = 0 };

	(void)state;
	tickets_rotate(&t, 0, LIFETIME, TICKETS_KEPT);
	assert_int_equal(tickets_rotate(&t, 300, LIFETIME, TICKETS_KEPT), 0);
	assert_int_equal(tickets_rotate(&t, 300, 300, TICKETS_KEPT), 1);
	assert_int_equal(t.n, 2);
	tickets_clear(&t);
}

static void
test_clear(void **state)
{
	static const struct tickets zero;
	struct tickets t = { .n = 0 };

	(void)state;
	tickets_rotate(&t, 1, LIFETIME, TICKETS_KEPT);
	tickets_rotate(&t, 1 + LIFETIME, LIFETIME, TICKETS_KEPT);
	tickets_clear(&t);
	assert_memory_equal(&t, &zero, sizeof(t));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_quarters),
		cmocka_unit_test(test_shorter_lifetime),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
