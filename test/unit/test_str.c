/*
 * Small things done with text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "misc/str.h"

static const struct {
	const char	*a, *b;
	unsigned	 limit, want;
} distances[] = {
	{ "", "", 2, 0 }, { "a", "", 2, 1 }, { "", "ab", 2, 2 },
	{ "", "abc", 2, 3 }, { "port", "port", 2, 0 },
	{ "prt", "port", 2, 1 }, { "poort", "port", 2, 1 },
	{ "part", "port", 2, 1 }, { "opt", "port", 2, 2 },
	{ "prot", "port", 2, 2 }, { "trop", "port", 2, 3 },
	{ "trop", "port", 5, 4 }, { "listen", "silent", 9, 4 },
	{ "kitten", "sitting", 9, 3 }, { "kitten", "sitting", 2, 3 },
	{ "address", "backlog", 2, 3 },
};

static void
test_distance(void **state)
{
	char longer[80];

	(void)state;
	for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
		assert_int_equal(str_distance(distances[i].a, distances[i].b,
		    distances[i].limit), distances[i].want);
		assert_int_equal(str_distance(distances[i].b, distances[i].a,
		    distances[i].limit), distances[i].want);
	}
	memset(longer, 'x', sizeof longer);
	longer[79] = '\0';
	assert_int_equal(str_distance(longer, longer, 2), 3);
	longer[63] = '\0';
	assert_int_equal(str_distance(longer, longer, 2), 0);
}

static void
test_base(void **state)
{
	(void)state;
	assert_string_equal(str_base("tcprelay"), "tcprelay");
	assert_string_equal(str_base("/usr/sbin/tcprelay"), "tcprelay");
	assert_string_equal(str_base("./x"), "x");
	assert_string_equal(str_base("/"), "");
}

static void
test_add(void **state)
{
	char place[8];
	struct str s;

	(void)state;
	str_init(&s, place, sizeof place);
	assert_string_equal(place, "");
	str_add(&s, "%s%d", "ab", 1);
	str_add(&s, "c");
	assert_string_equal(place, "ab1c");
	str_add(&s, "defgh");
	assert_string_equal(place, "ab1cdef");
	str_add(&s, "i");
	assert_string_equal(place, "ab1cdef");
	assert_int_equal(s.len, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_add),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
