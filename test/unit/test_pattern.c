/*
 * Patterns, alone and beside a real Lua if there is one; globs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/pattern.h"

static bool
match_len(const char *text, const char *subject, size_t len)
{
	struct arena *arena = arena_new();
	char error[PATTERN_ERROR];
	struct pattern *p;
	bool exhausted, got;
	unsigned column;

	p = pattern_new(arena, text, error, &column);
	if (p == NULL)
		fail_msg("\"%s\": %s at %u", text, error, column);
	got = pattern_match(p, subject, len, &exhausted);
	assert_false(exhausted);
	arena_free(arena);
	return got;
}

static void
test_match(void **state)
{
	static const struct { const char *text, *subject; bool want; }
	rows[] = {
		/* of the specification */
		{ "^/api/v%d+/", "/api/v2/x", true },
		{ "^/api/v%d+/", "/api/v12/", true },
		{ "^/api/v%d+/", "/api/v/", false },
		{ "^/api/v%d+/", "/x/api/v2/", false },
		{ "[Bb]ot$", "Googlebot", true },
		{ "[Bb]ot$", "Googlebot/2.1", false },
		{ "%.example%.com/", "www.example.com/", true },
		{ "%.example%.com/", "www-example-com/", false },
		/* characters */
		{ "", "", true }, { "", "abc", true },
		{ "b", "abc", true }, { "B", "abc", false },
		{ ".", "", false }, { "a.c", "abc", true },
		{ "a.c", "ac", false }, { "%.", "abc", false },
		{ "%%", "50%", true }, { "%%", "50", false },
		{ "\xc3.", "\xc3\xa4", true },
		/* anchors, and where they are none */
		{ "^", "", true }, { "$", "", true }, { "^$", "", true },
		{ "^$", "a", false }, { "^b", "ab", false },
		{ "a$", "ab", false }, { "b$", "ab", true },
		{ "a^", "a^", true }, { "a^", "a", false },
		{ "$a", "x$a", true }, { "$a", "a", false },
		{ "^^", "^x", true }, { "^^", "x", false },
		{ "%^a", "x^a", true }, { "a%$", "a$", true },
		{ "(a$)", "a$", true }, { "(a$)", "a", false },
		{ "^$*$", "$$$", true }, { "^$*$", "$$$a", false },
		/* classes */
		{ "^%a+$", "azAZ", true }, { "%a", "[`{@1", false },
		{ "^%A+$", "[`{@1\xe4", true },
		{ "^%c+$", "\x01\x1f\x7f\t", true }, { "%c", " ~\x80", false },
		{ "^%d+$", "0123456789", true }, { "%d", "/:", false },
		{ "^%g+$", "!~", true }, { "%g", " \x7f\x80", false },
		{ "^%l+$", "az", true }, { "%l", "A`{", false },
		{ "^%p+$", "!/:@[`{~", true }, { "%p", "09AZaz \x7f", false },
		{ "^%s+$", " \t\n\v\f\r", true },
		{ "%s", "\x08\x0e\x1f\xa0", false },
		{ "^%S+$", "\xa0z", true },
		{ "^%u+$", "AZ", true }, { "%u", "a@[", false },
		{ "^%w+$", "azAZ09", true }, { "%w", "_\xe4", false },
		{ "^%W+$", "_\xe4 ", true },
		{ "^%x+$", "09afAF", true }, { "%x", "gG@`/:", false },
		{ "^%Z+$", "abc", true },
		/* sets */
		{ "^[a-c]+$", "abc", true }, { "[a-c]", "d`", false },
		{ "^[^a-c]+$", "d\xff ", true }, { "[^a-c]", "abc", false },
		{ "^[]]$", "]", true }, { "^[^]]$", "a", true },
		{ "^[^]]$", "]", false }, { "^[]a]+$", "]a", true },
		{ "^[a-]+$", "a-", true }, { "^[-a]+$", "a-", true },
		{ "^[%a-z]+$", "b-z", true }, { "[%a-z]", "0", false },
		{ "^[a%]]+$", "]a", true }, { "^[%d_]+$", "1_2", true },
		{ "^[%D]+$", "ab", true }, { "[%D]", "1", false },
		{ "^[.]$", "a", false }, { "^[*+?]+$", "*+?", true },
		{ "[z-a]", "abz-", false }, { "^[a-a]$", "a", true },
		{ "^[a-%z]$", "z", true }, { "^[a-%z]$", "b", false },
		{ "^[x-%%]$", "]", true }, { "^[x-%%]$", "x", false },
		{ "^[^^]$", "a", true }, { "^[a^]$", "^", true },
		{ "^[%1]$", "1", true }, { "^[%f]$", "f", true },
		/* suffixes */
		{ "^a*$", "", true }, { "^a*$", "aaa", true },
		{ "^a*$", "aab", false }, { "^a+$", "", false },
		{ "^a+$", "aaa", true }, { "^a-$", "", true },
		{ "^a-b$", "aaab", true }, { "^a-$", "aab", false },
		{ "^a?b$", "b", true }, { "^a?b$", "ab", true },
		{ "^a?b$", "aab", false }, { "^a?a$", "a", true },
		{ "^.*b$", "aabab", true }, { "^.-b$", "aabab", true },
		{ "^.*a+b$", "xaab", true }, { "x*", "aaa", true },
		{ "^%d+%a?$", "12", true }, { "^[ab]*c$", "ababc", true },
		{ "^*$", "*", true }, { "*", "a*", true },
		{ "+", "a", false }, { "?", "a?", true },
		{ "^a**$", "aa*", true }, { "^a**$", "aab", false },
		{ "^a+?$", "aa?", true }, { "^(*)$", "*", true },
		{ "^%.*$", "...", true }, { "^[a]-$", "aa", true },
		{ "^a--$", "a-", true }, { "^a-?$", "aa?", true },
		/* captures and what was captured */
		{ "^(a)(b)$", "ab", true }, { "^((a)b)$", "ab", true },
		{ "^()a()$", "a", true }, { "()()", "", true },
		{ "^(%a)%1$", "aa", true }, { "^(%a)%1$", "ab", false },
		{ "(%a+)=%1", "x ab=ab", true },
		{ "(%a+)=%1$", "ab=ac", false },
		{ "(%a+)=%1$", "xab=ab", true },
		{ "%a+(%a)=%1$", "xab=b", true },
		{ "(%a+)=b", "xab-ab=b", true },
		{ "()%a-=b$", "a=c ab=b", true },
		{ "^(.-)%1$", "abab", true }, { "^(.-)%1$", "aba", false },
		{ "^(.*)x%1$", "abxab", true }, { "^(.*)x%1$", "abxb", false },
		{ "^(a)(b)%2%1$", "abba", true },
		{ "^((a)b)%1%2$", "ababa", true },
		{ "^()%1", "a", false }, { "^()$", "", true },
		{ "^(a*)%1*$", "aa*", true },
		{ "^(a*)b%1*$", "aabaa*", true },
		{ "^(a*)b%1*$", "aabaa**", false },
		{ "(['\"]).-%1", "a='x\"y'", true },
		{ "(['\"]).-%1", "a='x\"y", false },
		/* balanced */
		{ "%b()", "f(a(b)c)d", true }, { "^%b()$", "(a(b)c)", true },
		{ "^%b()$", "(a(b)c", false }, { "^%b()$", "(a)b)", false },
		{ "%b()", "((", false }, { "%b()", ")(", false },
		{ "^f%b()d$", "f(()())d", true }, { "^%b''$", "'a'", true },
		{ "^%b''", "'a", false }, { "^%bxyz$", "xxyyz", true },
		{ "^%b()*$", "()*", true }, { "%b()", "", false },
		/* frontiers */
		{ "%f[%w]the%f[%W]", "in the end", true },
		{ "%f[%w]the%f[%W]", "the", true },
		{ "%f[%w]the%f[%W]", "bathe", false },
		{ "%f[%w]the%f[%W]", "there", false },
		{ "^%f[a]a", "a", true }, { "a%f[^a]$", "aa", true },
		{ "%f[^%z]", "", false }, { "a%f[%z]", "ba", true },
		{ "^%f[a]*$", "*", false },
		{ "^x%f[^x]*$", "x*", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (match_len(rows[i].text, rows[i].subject,
		    strlen(rows[i].subject)) != rows[i].want)
			fail_msg("\"%s\" and \"%s\"", rows[i].text,
			    rows[i].subject);
	}
}

static void
test_zero_bytes(void **state)
{
	(void)state;
	assert_true(match_len("^a.b$", "a\0b", 3));
	assert_true(match_len("b$", "a\0b", 3));
	assert_true(match_len("^a%zb$", "a\0b", 3));
	assert_true(match_len("^%c$", "\0", 1));
	assert_false(match_len("b", "a\0b", 2));
}

static void
test_malformed(void **state)
{
	static const struct {
		const char *text, *error;
		unsigned column;
	} rows[] = {
		{ "%", "malformed pattern (ends with '%')", 1 },
		{ "ab%", "malformed pattern (ends with '%')", 3 },
		{ "^%", "malformed pattern (ends with '%')", 2 },
		{ "%%%", "malformed pattern (ends with '%')", 3 },
		{ "[a", "malformed pattern (missing ']')", 1 },
		{ "x[a", "malformed pattern (missing ']')", 2 },
		{ "[", "malformed pattern (missing ']')", 1 },
		{ "[]", "malformed pattern (missing ']')", 1 },
		{ "[^]", "malformed pattern (missing ']')", 1 },
		{ "[^", "malformed pattern (missing ']')", 1 },
		{ "[%]", "malformed pattern (missing ']')", 1 },
		{ "[a%", "malformed pattern (missing ']')", 1 },
		{ "[a-%]", "malformed pattern (missing ']')", 1 },
		{ "(a", "unfinished capture", 1 },
		{ "a(b(c)", "unfinished capture", 2 },
		{ "(", "unfinished capture", 1 },
		{ "(()", "unfinished capture", 1 },
		{ "a)", "invalid pattern capture", 2 },
		{ "(a))", "invalid pattern capture", 4 },
		{ "())", "invalid pattern capture", 3 },
		{ "^)", "invalid pattern capture", 2 },
		{ "%b", "malformed pattern (missing arguments to '%b')", 1 },
		{ "%b(", "malformed pattern (missing arguments to '%b')", 1 },
		{ "a%b(", "malformed pattern (missing arguments to '%b')",
		    2 },
		{ "%f", "missing '[' after '%f' in pattern", 1 },
		{ "ab%fa", "missing '[' after '%f' in pattern", 3 },
		{ "%f[a", "malformed pattern (missing ']')", 3 },
		{ "%0", "invalid capture index %0", 1 },
		{ "%1", "invalid capture index %1", 1 },
		{ "(a)%2", "invalid capture index %2", 4 },
		{ "(a%1)", "invalid capture index %1", 3 },
		{ "()()%3", "invalid capture index %3", 5 },
	};
	char error[PATTERN_ERROR];
	unsigned column;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct arena *arena = arena_new();

		if (pattern_new(arena, rows[i].text, error, &column) != NULL)
			fail_msg("\"%s\"", rows[i].text);
		assert_string_equal(error, rows[i].error);
		if (column != rows[i].column)
			fail_msg("\"%s\": %u", rows[i].text, column);
		arena_free(arena);
	}
}

/* unit n times, then tail */
static char *
repeat(const char *unit, size_t n, const char *tail)
{
	size_t len = strlen(unit);
	char *text = malloc(len * n + strlen(tail) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * len, unit, len);
	strcpy(text + len * n, tail);
	return text;
}

static void
limit(const char *unit, size_t n, const char *tail, const char *subject,
    bool want, bool want_exhausted)
{
	struct arena *arena = arena_new();
	char error[PATTERN_ERROR], *text = repeat(unit, n, tail);
	struct pattern *p;
	unsigned column;
	bool exhausted;

	assert_non_null(p = pattern_new(arena, text, error, &column));
	assert_int_equal(pattern_match(p, subject, strlen(subject),
	    &exhausted), want);
	assert_int_equal(exhausted, want_exhausted);
	free(text);
	arena_free(arena);
}

static void
test_limits(void **state)
{
	char error[PATTERN_ERROR], *text, *as = repeat("a", 400, "");
	struct arena *arena = arena_new();
	unsigned column;

	(void)state;
	limit("()", PATTERN_CAPTURES, "a", "a", true, false);
	text = repeat("()", PATTERN_CAPTURES, "()");
	assert_null(pattern_new(arena, text, error, &column));
	assert_string_equal(error, "too many captures");
	assert_int_equal(column, 2 * PATTERN_CAPTURES + 1);
	free(text);
	/* each suffix that takes something is one deeper */
	limit("a?", PATTERN_DEPTH - 1, "", as, true, false);
	limit("a?", PATTERN_DEPTH, "", as, false, true);
	limit("a?", 2 * PATTERN_DEPTH, "", "b", true, false);
	limit("a", 2 * PATTERN_DEPTH, "", as, true, false);
	free(as);
	/* time without end, elsewhere */
	as = repeat("a", 60, "");
	limit("a*", 30, "b", as, false, true);
	limit("a-", 30, "b", as, false, true);
	limit("(a*)", 20, "b", as, false, true);
	limit("a*", 30, "", as, true, false);
	free(as);
	/* many starts, but one of a run is enough */
	as = repeat("a", 100000, "=");
	limit("%a+x", 1, "", as, false, false);
	limit("(%a-)x", 1, "", as, false, false);
	limit("()[^x]*x", 1, "", as, false, false);
	limit("%a+=$", 1, "", as, true, false);
	free(as);
	/* the bound grows with the subject */
	as = repeat("ab", 100000, "c");
	limit("[ab]*c", 1, "", as, true, false);
	limit("^.*c", 1, "", as, true, false);
	limit(".-d", 1, "", as, false, false);
	limit("%b()", 1, "", as, false, false);
	free(as);
	as = repeat("(", 100000, "");
	limit("%b()", 1, "", as, false, true);
	free(as);
	arena_free(arena);
}

/* ---- beside Lua ---- */

#define CASES	4000

static uint32_t seed = 20261120;

static uint32_t
draw(uint32_t n)
{
	seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
	return (seed >> 8) % n;
}

static void
draw_pattern(char *text)
{
	static const char *const parts[] = { "a", "b", "c", ".", "%a", "%A",
	    "[ab]", "[^a]", "[a-c]", "[]a]", "[b-]", "[^%d]", "(", ")", "()",
	    "%1", "%2", "%b()", "%bab", "%f[a]", "%f[^b]", "%f[%z]", "*",
	    "+", "-", "?", "$", "^", "%", "[", "%%", "%s", "1", "*", "-",
	    "?", "[%a-]", "%.", "[x-%%]", "%x", "%W" };
	unsigned n = 1 + draw(8);

	*text = '\0';
	if (draw(3) == 0)
		strcat(text, "^");
	while (n-- > 0)
		strcat(text, parts[draw(sizeof parts / sizeof parts[0])]);
	if (draw(3) == 0)
		strcat(text, "$");
}

static void
draw_subject(char *text)
{
	unsigned n = draw(11);

	for (unsigned i = 0; i < n; i++)
		text[i] = "aaabbbc()1 %.-]^"[draw(16)];
	text[n] = '\0';
}

static void
put_quoted(FILE *fp, const char *text)
{
	putc('"', fp);
	for (; *text != '\0'; text++)
		fprintf(fp, "\\%03u", (unsigned char)*text);
	putc('"', fp);
}

static void
test_lua(void **state)
{
	static char texts[CASES][80], subjects[CASES][16];
	char file[] = "/tmp/pattern.XXXXXX", command[64], error[PATTERN_ERROR];
	unsigned compared = 0, column;
	int fd, answer;
	FILE *fp;

	(void)state;
	if (system("lua5.3 -v >/dev/null 2>&1") != 0) {
		print_message("no lua5.3 to compare with\n");
		skip();
	}
	assert_int_not_equal(fd = mkstemp(file), -1);
	assert_non_null(fp = fdopen(fd, "w"));
	fputs("local function t(s, p) local ok, r = pcall(string.find, s, p)\n"
	    "io.write(not ok and 'e' or r and 'y' or 'n') end\n", fp);
	for (unsigned i = 0; i < CASES; i++) {
		draw_pattern(texts[i]);
		draw_subject(subjects[i]);
		fputs("t(", fp);
		put_quoted(fp, subjects[i]);
		fputs(", ", fp);
		put_quoted(fp, texts[i]);
		fputs(")\n", fp);
	}
	fclose(fp);
	snprintf(command, sizeof command, "lua5.3 %s", file);
	assert_non_null(fp = popen(command, "r"));
	for (unsigned i = 0; i < CASES; i++) {
		struct arena *arena = arena_new();
		struct pattern *p = pattern_new(arena, texts[i], error,
		    &column);
		bool exhausted, got;

		answer = getc(fp);
		assert_true(answer == 'e' || answer == 'y' || answer == 'n');
		/* Lua finds what is wrong only on its way */
		if (p == NULL) {
			arena_free(arena);
			continue;
		}
		got = pattern_match(p, subjects[i], strlen(subjects[i]),
		    &exhausted);
		if (exhausted || answer == 'e' || got != (answer == 'y'))
			fail_msg("\"%s\" and \"%s\": Lua says %c", texts[i],
			    subjects[i], answer);
		compared++;
		arena_free(arena);
	}
	assert_int_equal(pclose(fp), 0);
	unlink(file);
	assert_true(compared > CASES / 4);
}

/* ---- globs ---- */

static void
test_glob(void **state)
{
	static const struct {
		const char *glob, *subject;
		bool same, any;		/* with case, without */
	} rows[] = {
		{ "", "", true, true }, { "", "a", false, false },
		{ "*", "", true, true }, { "*", "/.a/b", true, true },
		{ "**", "", true, true }, { "a", "a", true, true },
		{ "a", "A", false, true }, { "a", "ab", false, false },
		{ "?", "", false, false }, { "?", "/", true, true },
		{ "a?c", "abc", true, true }, { "a?c", "ac", false, false },
		{ "/a/*", "/a/b/c", true, true },
		{ "/a/*", "/a/", true, true }, { "/a/*", "/a", false, false },
		{ "*.gif", "/x/.gif", true, true },
		{ "*.gif", "/x.GIF", false, true },
		{ "*.gif", "/x.gif?", false, false },
		{ "*a*b*", "xaxbx", true, true },
		{ "*a*b*", "xbxax", false, false },
		{ "*ab", "aab", true, true }, { "*aab", "aaab", true, true },
		{ "a*a", "a", false, false }, { "a*a", "aa", true, true },
		{ "[abc]", "b", true, true }, { "[abc]", "B", false, true },
		{ "[a-c]x", "bx", true, true }, { "[a-c]", "d", false, false },
		{ "[A-C]", "b", false, true }, { "[!a-c]", "d", true, true },
		{ "[^a-c]", "d", true, true }, { "[!a]", "A", true, false },
		{ "[!a]", "a", false, false }, { "[!a]", "", false, false },
		{ "[]]", "]", true, true }, { "[!]]", "]", false, false },
		{ "[!]]", "a", true, true }, { "[a-]", "-", true, true },
		{ "[-a]", "-", true, true }, { "[c-a]", "b", false, false },
		{ "[\\]]", "]", true, true }, { "[a\\-c]", "b", false, false },
		{ "[a\\-c]", "-", true, true }, { "[/]", "/", true, true },
		{ "[[:digit:]]", "7", true, true },
		{ "[![:digit:]x]", "y", true, true },
		{ "[![:digit:]x]", "x", false, false },
		{ "[[:upper:]]", "a", false, true },
		{ "[[:nosuch:]", "u", true, true },
		{ "[", "[", true, true }, { "[a", "[a", true, true },
		{ "[a", "a", false, false }, { "[!", "[!", true, true },
		{ "a[", "a[", true, true }, { "[a-", "[a-", true, true },
		{ "\\*", "*", true, true }, { "\\*", "a", false, false },
		{ "\\?", "?", true, true }, { "\\[a]", "[a]", true, true },
		{ "\\a", "A", false, true }, { "\\\\", "\\", true, true },
		{ "\\", "\\", true, true }, { "a\\", "a\\", true, true },
		{ "*\\*", "ab*", true, true }, { "*\\*", "ab", false, false },
		{ "[[]", "[", true, true },
		{ "*[0-9]*[a-z]", "x1y2z", true, true },
		{ "\xc4", "\xe4", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t len = strlen(rows[i].subject);

		if (glob_match(rows[i].glob, rows[i].subject, len, false) !=
		    rows[i].same || glob_match(rows[i].glob, rows[i].subject,
		    len, true) != rows[i].any)
			fail_msg("\"%s\" and \"%s\"", rows[i].glob,
			    rows[i].subject);
	}
	assert_true(glob_match("a*b", "a\0b", 3, false));
	assert_false(glob_match("a*b", "axb", 2, false));
}

/* Stars do not multiply. */
static void
test_glob_stars(void **state)
{
	char *glob = repeat("a*", 100, "b"), *as = repeat("a", 20000, "");

	(void)state;
	assert_false(glob_match(glob, as, strlen(as), false));
	free(glob);
	free(as);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_zero_bytes),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lua),
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_glob_stars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
