/* tcprelay/expect.c: globs over bytes that come in pieces. */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "misc/pattern.h"
#include "tcprelay/expect.h"

/* In pieces of step bytes. */
static bool
matches(const char *pattern, size_t pn, const char *text, size_t n,
    size_t step)
{
	struct arena *a = arena_new();
	struct expect *e = expect_new(a, (const uint8_t *)pattern, pn);
	struct expect_state s;
	bool yes;

	assert_non_null(e);
	expect_start(&s);
	for (size_t i = 0; i < n; i += step)
		expect_add(e, &s, (const uint8_t *)text + i,
		    n - i < step ? n - i : step);
	yes = expect_matches(e, &s);
	arena_free(a);
	return yes;
}

#define S(text)	text, sizeof(text) - 1
static const struct {
	const char	*pattern;
	size_t		 pn;
	const char	*text;
	size_t		 n;
	bool		 want;
} rows[] = {
	{ S(""), S(""), true },
	{ S(""), S("a"), false },
	{ S("*"), S(""), true },
	{ S("*"), S("\0\r\n./"), true },
	{ S("220 *"), S("220 mail ready\r\n"), true },
	{ S("220 *"), S("220"), false },
	{ S("220 *"), S("220 "), true },
	{ S("+OK"), S("+OK\r\n"), false },
	{ S("+OK\r\n"), S("+OK\r\n"), true },
	{ S("*ready*"), S("220 mail ready\r\n"), true },
	{ S("*ready*"), S("220 mail read\r\n"), false },
	{ S("a*b*c"), S("abbbcbc"), true },
	{ S("a*b*c"), S("abbbcb"), false },
	{ S("a**b"), S("ab"), true },
	{ S("?"), S("\n"), true },
	{ S("?"), S(""), false },
	{ S("??"), S("ab"), true },
	{ S("a?c"), S("a\0c"), true },
	{ S("a\0b"), S("a\0b"), true },
	{ S("a\0b"), S("a"), false },
	{ S("\\*"), S("*"), true },
	{ S("\\*"), S("a"), false },
	{ S("\\\\"), S("\\"), true },
	{ S("a\\"), S("a\\"), true },
	{ S("[abc]"), S("b"), true },
	{ S("[abc]"), S("d"), false },
	{ S("[a-c]x"), S("cx"), true },
	{ S("[!a-c]"), S("c"), false },
	{ S("[^a-c]"), S("d"), true },
	{ S("[]a]"), S("]"), true },
	{ S("[!]a]"), S("b"), true },
	{ S("[!]a]"), S("]"), false },
	{ S("[a-]"), S("-"), true },
	{ S("[c-a]"), S("b"), false },
	{ S("[\\]]"), S("]"), true },
	{ S("[[:digit:]]x"), S("7x"), true },
	{ S("[[:digit:]a]"), S("b"), false },
	{ S("[\x80-\xff]"), S("\xc3"), true },
	{ S("[abc"), S("[abc"), true },
	{ S("[abc"), S("a"), false },
	{ S("OK"), S("ok"), false },
	{ S(".*"), S("a"), false },
};

static void
globs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step < 4; step++)
			if (matches(rows[i].pattern, rows[i].pn, rows[i].text,
			    rows[i].n, step) != rows[i].want)
				fail_msg("row %zu: %s", i, rows[i].pattern);
}

/* Patterns as long as they may be, and the last bit. */
static void
lengths(void **state)
{
	char pattern[EXPECT_MAX + 2], text[4096];
	struct arena *a = arena_new();

	(void)state;
	memset(pattern, 'a', sizeof(pattern));
	memset(text, 'a', sizeof(text));
	assert_null(expect_new(a, (uint8_t *)pattern, EXPECT_MAX + 1));
	arena_free(a);
	for (size_t n = 60; n <= EXPECT_MAX; n++) {
		assert_true(matches(pattern, n, text, n, 7));
		assert_false(matches(pattern, n, text, n - 1, 7));
		assert_false(matches(pattern, n, text, n + 1, 7));
	}
	/* what costs others exponential time */
	for (size_t i = 0; i < EXPECT_MAX - 1; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	pattern[EXPECT_MAX - 1] = 'b';
	assert_false(matches(pattern, EXPECT_MAX, text, sizeof(text), 1024));
	text[sizeof(text) - 1] = 'b';
	assert_true(matches(pattern, EXPECT_MAX, text, sizeof(text), 1024));
}

/* Any pattern and any text, as long as it is not too simple. */
static uint32_t seed = 1;

static size_t
any(char text[static 8], const char *of, size_t most)
{
	size_t n, letters = strlen(of);

	seed = seed * 1664525 + 1013904223;
	n = (seed >> 16) % (most + 1);
	for (size_t k = 0; k < n; k++) {
		seed = seed * 1664525 + 1013904223;
		text[k] = of[(seed >> 16) % letters];
	}
	text[n] = '\0';
	return n;
}

/* One language of globs: that of rules, which sees all of a text at once. */
static void
as_glob_match(void **state)
{
	char pattern[8], text[8];

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		size_t pn = any(pattern, "ab*?[]!-\\c^", 7);
		size_t n = any(text, "abc]-![^\\", 3);

		if (matches(pattern, pn, text, n, 1) !=
		    glob_match(pattern, text, n, false))
			fail_msg("%s on %s", pattern, text);
	}
}

#ifdef __GLIBC__
/* Which is that of fnmatch(3) without flags. */
static void
as_fnmatch(void **state)
{
	char pattern[8], text[8];

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		size_t pn = any(pattern, "ab*?[]!-\\c", 7);
		size_t n = any(text, "abc]-![", 3);

		/* a \ at the end and a [ that stays open: see expect.h */
		if ((pn > 0 && pattern[pn - 1] == '\\') ||
		    (strchr(pattern, '[') != NULL &&
		    strchr(strrchr(pattern, '['), ']') == NULL))
			continue;
		if (matches(pattern, pn, text, n, 1) !=
		    (fnmatch(pattern, text, 0) == 0))
			fail_msg("%s on %s", pattern, text);
	}
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(lengths),
		cmocka_unit_test(as_glob_match),
#ifdef __GLIBC__
		cmocka_unit_test(as_fnmatch),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
