/*
 * How long until the next poll.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "misc/ev.h"
#include "spawnd/refresh.h"

static void
test_interval(void **state)
{
	static const struct {
		unsigned	seconds, failures;
		uint32_t	random;
		uint64_t	least, most;	/* ms */
	} rows[] = {
		{ 10, 0, 0, 9000, 9000 },
		{ 10, 0, UINT32_MAX / 2, 9999, 10001 },
		{ 10, 0, UINT32_MAX, 10999, 11000 },
		{ 10, 1, UINT32_MAX / 2, 19999, 20001 },
		{ 10, 3, UINT32_MAX / 2, 79999, 80001 },
		{ 10, 9, 0, 3240000, 3240000 },		/* an hour */
		{ 10, 40, UINT32_MAX, 3959999, 3960000 },
		{ 10, UINT32_MAX, 0, 3240000, 3240000 },
		{ 3000, 1, 0, 3240000, 3240000 },
		{ 3600, 5, 0, 3240000, 3240000 },
		{ 7200, 5, 0, 6480000, 6480000 },	/* that is T */
		{ 604800, 0, 0, 544320000, 544320000 },
		{ 604800, 32, UINT32_MAX, 665279999, 665280000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t ms = refresh_interval(rows[i].seconds,
		    rows[i].failures, rows[i].random) / EV_MS;

		assert_in_range(ms, rows[i].least, rows[i].most);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_interval) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
