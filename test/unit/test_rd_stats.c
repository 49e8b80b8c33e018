/*
 * Sessions per interval, hour and day: the specification's formulas over days
 * of ticks, and what a reload leaves of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "relayd/rd_stats.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
adopt(struct rd_stats *s, const char *name, const char *counter,
    uint64_t total)
{
	const struct rd_stats_source source = { name, counter, total };

	assert_int_equal(rd_stats_adopt(s, &source, 1), 0);
}

/* n more sessions in each of so many intervals. */
static void
run(struct rd_stats *s, uint64_t *total, unsigned ticks, uint64_t n)
{
	for (unsigned i = 0; i < ticks; i++) {
		*total += n;
		rd_stats_tick(s, total);
	}
}

static void
expect(const struct rd_stats *s, const uint64_t want[7])
{
	const struct rd_stat *t = &s->entries[0];
	const uint64_t have[] = { t->total, t->last, t->last_hour,
	    t->last_day, t->average, t->average_hour, t->average_day };

	for (size_t i = 0; i < COUNT(have); i++)
		assert_int_equal(have[i], want[i]);
}
#define EXPECT(s, ...)	expect(s, (const uint64_t[7]){ __VA_ARGS__ })

static void
test_formulas(void **state)
{
	struct rd_stats s = { NULL, 0 };
	uint64_t total = 0;

	(void)state;
	adopt(&s, "www", "a", 0);
	EXPECT(&s, 0, 0, 0, 0, 0, 0, 0);
	run(&s, &total, 1, 7);
	EXPECT(&s, 7, 7, 7, 7, 3, 0, 0);
	run(&s, &total, 1, 0);
	EXPECT(&s, 7, 0, 7, 7, 1, 0, 0);
	run(&s, &total, 1, 10);
	EXPECT(&s, 17, 10, 17, 17, 5, 0, 0);
	/* up to the hour: 57 ticks of 1 */
	run(&s, &total, 56, 1);
	EXPECT(&s, 73, 1, 73, 73, 1, 0, 0);
	run(&s, &total, 1, 1);
	EXPECT(&s, 74, 1, 0, 74, 1, 37, 0);
	run(&s, &total, 60, 2);
	EXPECT(&s, 194, 2, 0, 194, 1, (120 + 37) / 2, 0);
	rd_stats_clear(&s);
}

/* The day's sum is the day's: cleared each day, and never by an hour. */
static void
test_days(void **state)
{
	struct rd_stats s = { NULL, 0 };
	uint64_t total = 1000, day[] = { 0, 0, 0 };

	(void)state;
	adopt(&s, "www", "a", total);	/* what was before does not count */
	run(&s, &total, 1439, 1);
	EXPECT(&s, 1439, 1, 59, 1439, 0, 59, 0);
	day[0] = 1440 / 2;
	run(&s, &total, 1, 1);
	EXPECT(&s, 1440, 1, 0, 0, 0, 59, day[0]);
	run(&s, &total, 1440, 0);
	day[1] = day[0] / 2;
	EXPECT(&s, 1440, 0, 0, 0, 0, 0, day[1]);
	run(&s, &total, 1440, 100);
	day[2] = (144000 + day[1]) / 2;
	EXPECT(&s, 145440, 100, 0, 0, 99, 5999, day[2]);
	run(&s, &total, 30, 100);
	EXPECT(&s, 148440, 100, 3000, 3000, 99, 5999, day[2]);
	rd_stats_clear(&s);
}

/* Four weeks of changing load against sums taken another way. */
static void
test_weeks(void **state)
{
	struct rd_stats s = { NULL, 0 };
	uint64_t total = 0, hour = 0, day = 0, average = 0, hours = 0;
	uint64_t days = 0, x = 1, n;

	(void)state;
	adopt(&s, "www", "a", 0);
	for (unsigned minute = 1; minute <= 28 * 24 * 60; minute++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		n = x >> (32 + minute % 32);
		total += n;
		hour += n;
		day += n;
		average = (average + n) / 2;
		rd_stats_tick(&s, &total);
		if (minute % 60 == 0) {
			hours = (hours + hour) / 2;
			hour = 0;
		}
		if (minute % (24 * 60) == 0) {
			days = (days + day) / 2;
			day = 0;
		}
		EXPECT(&s, total, n, hour, day, average, hours, days);
	}
	rd_stats_clear(&s);
}

static void
test_reload(void **state)
{
	static const struct rd_stats_source before[] = {
		{ "a", "one", 5 }, { "b", "two", 0 }, { "c", "three", 0 },
	}, after[] = {
		{ "new", "two", 50 }, { "c", "three", 40 },
		{ "b", "four", 900 }, { "a", "one", 7 },
	};
	const uint64_t totals[] = { 6, 30, 40 };
	const uint64_t then[] = { 51, 42, 903, 2 };
	struct rd_stats s = { NULL, 0 };

	(void)state;
	assert_int_equal(rd_stats_adopt(&s, before, 3), 0);
	rd_stats_tick(&s, totals);
	assert_int_equal(rd_stats_adopt(&s, after, 4), 0);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.entries[2].name, "b");
	assert_int_equal(s.entries[0].total, 0);
	assert_int_equal(s.entries[1].total, 40);
	assert_int_equal(s.entries[2].total, 30);
	assert_int_equal(s.entries[3].total, 1);
	rd_stats_tick(&s, then);
	assert_int_equal(s.entries[0].total, 1);
	assert_int_equal(s.entries[1].total, 42);
	/* it goes on, what somebody else had counted there does not enter */
	assert_int_equal(s.entries[2].total, 33);
	assert_int_equal(s.entries[2].ticks, 2);
	/* a counter that begins anew: growth since then */
	assert_int_equal(s.entries[3].total, 3);
	assert_int_equal(rd_stats_adopt(&s, NULL, 0), 0);
	assert_int_equal(s.n, 0);
	rd_stats_tick(&s, NULL);
	rd_stats_clear(&s);
}

static void
test_long_names(void **state)
{
	char name[2 * BOARD_NAME];
	struct rd_stats s = { NULL, 0 };
	uint64_t total = 0;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	adopt(&s, name, name, 0);
	run(&s, &total, 1, 3);
	adopt(&s, name, name, 3);
	run(&s, &total, 1, 1);
	assert_int_equal(s.entries[0].total, 4);
	rd_stats_clear(&s);
}

static uint64_t
sum_of(const struct board *b)
{
	uint64_t total = UINT64_MAX;

	assert_true(rd_stats_total(b, "l", &total));
	return total;
}

/* All workers, and what those had counted that have left. */
static void
test_board(void **state)
{
	struct board b;
	uint64_t total = 5;
	int row;

	(void)state;
	assert_int_equal(board_open(&b, 4, 4), 0);
	assert_int_equal(sum_of(&b), 0);
	row = board_claim(&b, BOARD_LISTENER, "l", 0, 1);
	assert_true(row >= 0);
	assert_int_equal(sum_of(&b), 0);
	for (unsigned c = 0; c < 3; c++) {
		atomic_store(&board_seat(&b, c)->state, BOARD_READY);
		board_add(&board_cell(&b, c, (unsigned)row)->total, 10 + c);
	}
	/* nobody's seat */
	board_add(&board_cell(&b, 3, (unsigned)row)->total, 1000);
	assert_int_equal(sum_of(&b), 33);
	board_leave(&b, 1);
	assert_int_equal(sum_of(&b), 33);
	/* not while somebody moves figures */
	atomic_fetch_add(&b.head->moves, 1);
	assert_false(rd_stats_total(&b, "l", &total));
	assert_int_equal(total, 5);
	atomic_fetch_add(&b.head->moves, 1);
	assert_int_equal(sum_of(&b), 33);
	board_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formulas),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_weeks),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
