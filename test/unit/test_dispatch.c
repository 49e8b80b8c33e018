/*
 * Which worker gets a connection: the worked examples of the specification
 * (4.2), capacity (4.3), shrinking (4.5) and wanted numbers (4.7).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "spawnd/dispatch.h"

#define N(a)	(sizeof(a) / sizeof(*(a)))

/* A crew that the tests grow as the master would. */
struct crew {
	struct dispatch_worker	w[64];
	size_t			n;
	struct dispatch_rule	rule;
};

static void
crew_add(struct crew *c, uint32_t use)
{
	c->w[c->n++] = (struct dispatch_worker){ .use = use,
	    .max = c->rule.users_max, .eligible = true };
}

static struct crew
crew_make(uint32_t min, uint32_t max, uint32_t m, uint32_t M)
{
	struct crew c = { .rule = { min, max, m, M, true } };

	for (uint32_t i = 0; i < min; i++)
		crew_add(&c, 0);
	return c;
}

/* One connection that stays: 'a' and so on for whom it goes to, '+' in front
 * if he was started for it, "!" overload, "?" wait. */
static const char *
connect_one(struct crew *c)
{
	static char text[4];
	size_t i = 99;

	switch (dispatch_pick(c->w, c->n, &c->rule, &i)) {
	case DISPATCH_TAKE:
		c->w[i].use++;
		snprintf(text, sizeof(text), "%c", (char)('a' + i));
		return text;
	case DISPATCH_START:
		crew_add(c, 1);
		snprintf(text, sizeof(text), "+%c", (char)('a' + c->n - 1));
		return text;
	case DISPATCH_WAIT:
		return "?";
	case DISPATCH_OVERLOAD:
		return "!";
	}
	return "";
}

static void
connect_all(struct crew *c, const char *const *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *got = connect_one(c);

		if (strcmp(got, want[i]) != 0)
			fail_msg("connection %zu went to %s, not %s", i + 1,
			    got, want[i]);
	}
}

static void
test_example_a(void **state)
{
	static const char *const want[] = { "a", "a", "+b", "b", "+c", "c",
	    "a", "b", "c", "a", "b", "c", "!" };
	struct crew c = crew_make(1, 3, 2, 4);

	(void)state;
	connect_all(&c, want, N(want));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(c.w[i].use, 4);
}

static void
test_example_b(void **state)
{
	static const char *const want[] = { "a", "b", "a", "b", "+c", "c",
	    "a", "b", "c" };
	struct crew c = crew_make(2, 3, 2, 4);

	(void)state;
	connect_all(&c, want, N(want));
}

static void
test_example_c(void **state)
{
	static const char *const want[] = { "b" };
	struct crew c = crew_make(1, 3, 2, 4);

	(void)state;
	crew_add(&c, 2);
	crew_add(&c, 4);
	c.w[0].use = 4;
	connect_all(&c, want, 1);
	assert_int_equal(c.w[1].use, 3);
	c.w[1].use = 1;
	connect_all(&c, want, 1);	/* by step 5 */
	assert_int_equal(c.w[1].use, 2);
}

static void
test_example_d(void **state)
{
	struct crew c = crew_make(1, 20, 10, 4000);

	(void)state;
	assert_int_equal(dispatch_capacity(c.w, c.n, &c.rule), 80000);
	for (unsigned i = 1; i <= 200; i++) {
		connect_one(&c);
		assert_int_equal(c.n, (i + 9) / 10);
	}
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(c.w[i].use, 10);
	assert_string_equal(connect_one(&c), "a");
}

static void
test_example_d_few_descriptors(void **state)
{
	struct crew c = crew_make(1, 20, 10, 4000);

	(void)state;
	/* a worker announced 507; so will those who are still to come */
	c.w[0].max = c.rule.users_max = 507;
	assert_int_equal(dispatch_capacity(c.w, c.n, &c.rule), 10140);
}

static void
test_example_e(void **state)
{
	struct crew c = crew_make(2, 8, 5, 40);

	(void)state;
	assert_int_equal(dispatch_capacity(c.w, c.n, &c.rule), 320);
	for (unsigned i = 0; i < 320; i++)
		assert_string_not_equal(connect_one(&c), "!");
	assert_string_equal(connect_one(&c), "!");
	assert_int_equal(c.n, 8);
}

/* One worker with a smaller limit neither ends the service nor its share. */
static void
test_lowered_limit(void **state)
{
	struct crew c = crew_make(2, 2, 1, 4);

	(void)state;
	c.w[0].max = 1;
	assert_int_equal(dispatch_capacity(c.w, c.n, &c.rule), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_string_not_equal(connect_one(&c), "!");
	assert_string_equal(connect_one(&c), "!");
	assert_int_equal(c.w[0].use, 1);
	assert_int_equal(c.w[1].use, 4);
}

/* What must never be chosen; each row is one crew of three. */
static void
test_not_chosen(void **state)
{
	static const struct {
		const char	*what;
		struct dispatch_worker w[3];
		bool		 may_start;
		uint32_t	 max;
		const char	*want;
	} rows[] = {
		{ "a retiring one, though idle",
		    { { 0, 4, false, false, 0 }, { 3, 4, true, false, 0 },
		    { 3, 4, true, false, 0 } }, true, 2, "b" },
		{ "a full channel, though idle",
		    { { 0, 4, true, true, 0 }, { 1, 4, true, false, 0 },
		    { 3, 4, true, false, 0 } }, true, 3, "b" },
		{ "all channels full: wait",
		    { { 0, 4, true, true, 0 }, { 1, 4, true, true, 0 },
		    { 3, 4, true, true, 0 } }, true, 3, "?" },
		{ "full ones, and nobody may be started: wait",
		    { { 4, 4, true, false, 0 }, { 4, 4, true, false, 0 },
		    { 4, 4, true, false, 0 } }, false, 4, "?" },
		{ "full ones, and there is room for a fourth",
		    { { 4, 4, true, false, 0 }, { 4, 4, true, false, 0 },
		    { 4, 4, true, false, 0 } }, true, 4, "+d" },
		{ "the retiring one's users count: overload",
		    { { 4, 4, false, false, 0 }, { 2, 4, true, false, 0 },
		    { 2, 4, true, false, 0 } }, true, 2, "!" },
		{ "nobody is eligible, a new one is due",
		    { { 1, 4, false, false, 0 }, { 0, 4, false, false, 0 },
		    { 0, 4, false, false, 0 } }, true, 2, "+d" },
		{ "nobody is eligible, throttled: wait",
		    { { 1, 4, false, false, 0 }, { 0, 4, false, false, 0 },
		    { 0, 4, false, false, 0 } }, false, 2, "?" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct crew c = { .n = 3, .rule = { 1, rows[i].max, 2, 4,
		    rows[i].may_start } };
		const char *got;

		memcpy(c.w, rows[i].w, sizeof(rows[i].w));
		got = connect_one(&c);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s, not %s", rows[i].what, got,
			    rows[i].want);
	}
}

/* instances min 0: the first connection starts the first worker. */
static void
test_on_demand(void **state)
{
	static const char *const want[] = { "+a", "a", "+b" };
	struct crew c = crew_make(0, 2, 2, 4);

	(void)state;
	assert_int_equal(dispatch_capacity(c.w, c.n, &c.rule), 8);
	connect_all(&c, want, N(want));
}

static void
test_users_min_zero(void **state)
{
	static const char *const want[] = { "+b", "+c", "a", "b", "c" };
	struct crew c = crew_make(1, 3, 0, 4);

	(void)state;
	c.w[0].use = 1;
	connect_all(&c, want, N(want));
}

static void
test_shrink(void **state)
{
	static const struct {
		const char	*what;
		uint32_t	 min, m, use[3], idle[3];	/* s ago */
		const char	*gone;		/* latest first */
	} rows[] = {
		{ "0/0/0", 1, 2, { 0, 0, 0 }, { 60, 60, 60 }, "cb" },
		{ "0/1/0", 1, 2, { 0, 1, 0 }, { 60, 0, 60 }, "ca" },
		{ "busy ones stay", 1, 2, { 1, 1, 1 }, { 0, 0, 0 }, "" },
		{ "too much to do", 1, 2, { 4, 4, 0 }, { 0, 0, 60 }, "" },
		{ "just below", 1, 2, { 4, 3, 0 }, { 0, 0, 60 }, "c" },
		{ "not idle for long", 1, 2, { 0, 0, 0 }, { 60, 60, 9 },
		    "ba" },
		{ "for ten seconds", 1, 2, { 0, 0, 0 }, { 60, 60, 10 },
		    "cb" },
		{ "Wmin stays", 3, 2, { 0, 0, 0 }, { 60, 60, 60 }, "" },
		{ "none has to stay", 0, 2, { 0, 0, 0 }, { 60, 60, 60 },
		    "cba" },
		{ "m = 0", 1, 0, { 0, 5, 0 }, { 60, 0, 60 }, "ca" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct dispatch_worker w[3];
		struct dispatch_rule r = { rows[i].min, 8, rows[i].m, 8,
		    true };
		size_t gone[3], n;
		char got[4] = "";
		uint64_t now = UINT64_C(100000000000);

		for (size_t j = 0; j < 3; j++)
			w[j] = (struct dispatch_worker){ rows[i].use[j], 8,
			    true, false, rows[i].use[j] > 0 ? 0 : now -
			    rows[i].idle[j] * UINT64_C(1000000000) };
		n = dispatch_shrink(w, 3, &r, now, UINT64_C(10000000000),
		    gone);
		for (size_t j = 0; j < n; j++)
			got[j] = (char)('a' + gone[j]);
		if (strcmp(got, rows[i].gone) != 0)
			fail_msg("%s: gone '%s', not '%s'", rows[i].what, got,
			    rows[i].gone);
	}
}

static void
test_surplus(void **state)
{
	static const struct {
		const char	*what;
		uint32_t	 max, use[3];
		bool		 eligible[3];
		const char	*gone;		/* latest first */
	} rows[] = {
		{ "as many as may be", 3, { 0, 1, 9 }, { 1, 1, 1 }, "" },
		{ "fewer", 4, { 0, 0, 0 }, { 1, 1, 1 }, "" },
		{ "busy ones, too", 1, { 1, 5, 9 }, { 1, 1, 1 }, "cb" },
		{ "those that go already", 1, { 1, 1, 1 }, { 1, 0, 1 },
		    "c" },
		{ "the latest is gone", 1, { 1, 1, 1 }, { 1, 1, 0 }, "b" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct dispatch_worker w[3];
		struct dispatch_rule r = { rows[i].max, rows[i].max, 2, 8,
		    true };
		size_t gone[3], n;
		char got[4] = "";

		for (size_t j = 0; j < 3; j++)
			w[j] = (struct dispatch_worker){ rows[i].use[j], 8,
			    rows[i].eligible[j], false, 0 };
		n = dispatch_surplus(w, 3, &r, gone);
		for (size_t j = 0; j < n; j++)
			got[j] = (char)('a' + gone[j]);
		if (strcmp(got, rows[i].gone) != 0)
			fail_msg("%s: gone '%s', not '%s'", rows[i].what, got,
			    rows[i].gone);
	}
}

static void
test_wanted(void **state)
{
	static const struct {
		uint32_t	min, max, m;
		uint64_t	total;
		uint32_t	want;
	} rows[] = {
		{ 1, 3, 2, 0, 1 }, { 1, 3, 2, 2, 1 }, { 1, 3, 2, 3, 2 },
		{ 1, 3, 2, 5, 3 }, { 1, 3, 2, 100, 3 },
		{ 1, 20, 10, 10, 1 }, { 1, 20, 10, 11, 2 },
		{ 1, 20, 10, 191, 20 }, { 1, 20, 10, 190, 19 },
		{ 0, 4, 5, 0, 0 }, { 0, 4, 5, 1, 1 },
		{ 2, 8, 0, 0, 2 }, { 2, 8, 0, 1, 8 },
		{ 1, 8, 1, UINT64_MAX / 2, 8 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct dispatch_rule r = { rows[i].min, rows[i].max,
		    rows[i].m, 40, true };

		if (dispatch_wanted(rows[i].total, &r) != rows[i].want)
			fail_msg("row %zu: %u", i,
			    dispatch_wanted(rows[i].total, &r));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example_a),
		cmocka_unit_test(test_example_b),
		cmocka_unit_test(test_example_c),
		cmocka_unit_test(test_example_d),
		cmocka_unit_test(test_example_d_few_descriptors),
		cmocka_unit_test(test_example_e),
		cmocka_unit_test(test_lowered_limit),
		cmocka_unit_test(test_not_chosen),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_users_min_zero),
		cmocka_unit_test(test_shrink),
		cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
