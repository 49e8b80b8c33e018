/*
 * The command line as a text that goes with a configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "relayd/rd_extra.h"

static int
begin(void **state)
{
	return (*state = arena_new()) == NULL;
}

static int
end(void **state)
{
	arena_free(*state);
	return 0;
}

static void
text_same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static const struct rd_macro macros[] = {
	{ "a", "1" }, { "a", "" }, { "", "m3:abcw1:x" },
	{ "two\nlines", "d9999999999999999999:/" }, { "wm", "=:" },
};
#define MACROS	(sizeof macros / sizeof macros[0])

static const struct rd_extra rows[] = {
	{ 0 },
	{ .directory = "/" },
	{ .directory = "", .backend = "" },
	{ .directory = "/a b:c", .backend = "pf:openbsd:/sbin/pfctl -v",
	    .verbose = true, .foreground = true },
	{ .directory = "/x", .macros = macros, .nmacros = MACROS },
	{ .foreground = true, .macros = macros + 2, .nmacros = 1 },
};

static void
test_both_ways(void **state)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct rd_extra *r = &rows[i];
		const char *text = rd_extra_pack(*state, r);
		struct rd_extra e;

		assert_true(rd_extra_unpack(*state, text, &e));
		text_same(e.directory, r->directory);
		text_same(e.backend, r->backend);
		assert_int_equal(e.verbose, r->verbose);
		assert_int_equal(e.foreground, r->foreground);
		assert_int_equal(e.nmacros, r->nmacros);
		for (size_t j = 0; j < e.nmacros; j++) {
			text_same(e.macros[j].name, r->macros[j].name);
			text_same(e.macros[j].value, r->macros[j].value);
		}
		/* and again the same text */
		assert_string_equal(rd_extra_pack(*state, &e), text);
	}
}

static void
test_none(void **state)
{
	struct rd_extra e;

	assert_true(rd_extra_unpack(*state, NULL, &e));
	assert_null(e.directory);
	assert_int_equal(e.nmacros, 0);
}

static const char *const bad[] = {
	"d", "d:", "d1", "d1:", "d2:a", "x0:", "d-1:a", "d 1:a", "m1:a",
	"m1:ad1:b", "w1:a", "d1:ab", "d1:a d1:a", "m1:aw2:b",
	"d18446744073709551615:a", "d18446744073709551617:a",
	"d99999999999999999999999999:a", "\3771:a",
};

static void
test_bad(void **state)
{
	struct rd_extra e;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (rd_extra_unpack(*state, bad[i], &e))
			fail_msg("row %zu: %s", i, bad[i]);
}

/* However it is cut: refused, or what stands before. */
static void
test_cut(void **state)
{
	const char *text = rd_extra_pack(*state, &rows[4]);
	struct rd_extra e;

	for (size_t n = 0; n < strlen(text); n++) {
		const char *part = arena_strndup(*state, text, n);

		if (rd_extra_unpack(*state, part, &e))
			assert_string_equal(rd_extra_pack(*state, &e), part);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
