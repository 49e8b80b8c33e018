/*
 * Tokens: what a text is taken apart into, and what is no token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "misc/lex.h"

/* Everything a text is, in one line: words as they are, strings in double
 * quotes, delimiters in '<>', made ones in '()'; then what was said. */
struct run {
	struct source	*source;
	struct diag	*diag;
	struct arena	*arena;
	struct lex	*lex;
	char		*tokens, *said;
};

static void
token_print(FILE *fp, const struct lex_token *t, bool lines)
{
	static const char *const forms[] = { [LEX_END] = "$%s",
	    [LEX_WORD] = "%s", [LEX_STRING] = "\"%s\"",
	    [LEX_DELIM] = "<%s>" };

	if (lines)
		fprintf(fp, "%u:%u:", t->place.line, t->place.column);
	fprintf(fp, t->made ? "(%s)" : forms[t->kind], t->text);
}

static void
run_begin(struct run *r, const void *text, size_t len)
{
	r->source = source_empty();
	r->diag = diag_new();
	r->arena = arena_new();
	source_add(r->source, SOURCE_TEXT, "dir/main", text, len);
	source_setenv(r->source, "A", "alpha", false);
	source_setenv(r->source, "EMPTY", "", false);
}

static void
run_all(struct run *r, unsigned flags, bool lines)
{
	struct lex_token t;
	size_t len;
	FILE *fp = open_memstream(&r->tokens, &len);

	r->lex = lex_new(r->source, r->diag, r->arena, "dir/main");
	assert_non_null(r->lex);
	do {
		lex_next(r->lex, &t, flags);
		if (ftell(fp) > 0)
			putc(' ', fp);
		token_print(fp, &t, lines);
	} while (t.kind != LEX_END || t.depth > 0);
	fclose(fp);
	fp = open_memstream(&r->said, &len);
	diag_print(r->diag, fp, NULL, false);
	fclose(fp);
}

static void
run_end(struct run *r)
{
	lex_free(r->lex);
	arena_free(r->arena);
	diag_free(r->diag);
	source_free(r->source);
	free(r->tokens);
	free(r->said);
}

static const struct {
	const char	*text, *tokens, *said;
} texts[] = {
	{ "", "$", "" },
	{ " \t\r\n # x {\n", "$", "" },
	{ "a b\tc\rd", "a b c d $", "" },
	{ "a=b,c{d}e(f)g[h]i!j", "a <=> b <,> c <{> d <}> e <(> f <)> g "
	    "<[> h <]> i <!> j $", "" },
	{ "a&&b||c", "a <&&> b <||> c $", "" },
	{ "a & b", "a b $", "dir/main:1: single '&'\n" },
	{ "a | b", "a b $", "dir/main:1: single '|'\n" },
	{ "a#b # c\nd", "a#b d $", "" },
	{ "a.:/*-+%$;~\\\"'b", "a.:/*-+%$;~\\\"'b $", "" },
	{ "a\"b c\"", "a\"b c\" $", "" },
	{ "\"a b\"'c d'", "\"a b\" \"c d\" $", "" },
	{ "\"a'b\" 'c\"d'", "\"a'b\" \"c\"d\" $", "" },
	{ "\"a\nb\"", "\"a\nb\" $", "" },
	{ "'' \"\"", "\"\" \"\" $", "" },
	{ "\"\\a\\b\\t\\n\\v\\f\\r\\e\\\"\\'\\\\\"",
	    "\"\a\b\t\n\v\f\r\033\"'\\\" $", "" },
	{ "'\\101\\1012\\60\\7x\\18'", "\"AA20\ax\0018\" $", "" },
	{ "'\\377'", "\"\377\" $", "" },
	{ "'a\\qb\\xc'", "\"abc\" $",
	    "dir/main:1: warning: unknown escape '\\q'\n"
	    "dir/main:1: warning: unknown escape '\\x'\n" },
	{ "'a\\0b'", "\"ab\" $", "dir/main:1: NUL byte in a string\n" },
	{ "'\\400'", "\"\" $", "dir/main:1: '\\400' is larger than a byte\n" },
	{ "a \"b\\", "a ()", "dir/main:1: string not closed, opened in line "
	    "1\n" },
	{ "{\na \"b\n\n", "<{> a (}) ()",
	    "dir/main:3: string not closed, opened in line 2\n" },
	{ "{ a {\n", "<{> a <{> (}) (}) ()",
	    "dir/main:1: block not closed, opened in line 1\n" },
	{ "} }", "<}> <}> $", "" },
	{ "'${A} $A ${A}${A}' ${A}", "\"alpha $A alphaalpha\" $ <{> A <}> $",
	    "" },
	{ "'\\44{A} $\\173A}'", "\"alpha alpha\" $", "" },
	{ "'${B} ${} ${A' '${EMPTY}${=}'", "\"${B} ${} ${A\" \"${=}\" $",
	    "dir/main:1: warning: environment variable 'B' is not set\n" },
	{ "\xef\xbb\xbf" "a \xc3\xa4", "a \xc3\xa4 $", "" },
};

static void
test_texts(void **state)
{
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		run_begin(&r, texts[i].text, strlen(texts[i].text));
		run_all(&r, 0, false);
		assert_string_equal(r.said, texts[i].said);
		assert_string_equal(r.tokens, texts[i].tokens);
		run_end(&r);
	}
}

static void
test_places(void **state)
{
	static const char text[] = "\xef\xbb\xbf" "a\n b 'c\n\nd' e\n\n\n";
	struct run r;

	(void)state;
	run_begin(&r, text, sizeof text - 1);
	run_all(&r, 0, true);
	assert_string_equal(r.tokens,
	    "1:1:a 2:2:b 2:4:\"c\n\nd\" 4:4:e 6:0:$");
	run_end(&r);
}

/* Strings in what nobody reads are passed over: no escapes, no variables. */
static void
test_skip(void **state)
{
	static const char text[] = "a '\\q${B}\\0\\'' \"b";
	struct run r;

	(void)state;
	run_begin(&r, text, sizeof text - 1);
	run_all(&r, LEX_SKIP, false);
	assert_string_equal(r.said,
	    "dir/main:1: string not closed, opened in line 1\n");
	assert_string_equal(r.tokens, "a \"\" ()");
	run_end(&r);
}

/* A NUL ends the file, wherever it stands. */
static void
test_nul(void **state)
{
	static const char *const begins[] = { "a {\nb", "a {\n'b", "a {\n#b",
	    "a {\n\n" };
	char text[32];
	struct run r;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t n = strlen(begins[i]);

		memcpy(text, begins[i], n + 1);
		memcpy(text + n + 1, "\nrest }", 7);
		run_begin(&r, text, n + 8);
		run_all(&r, 0, false);
		assert_string_equal(r.said, i == 3 ?
		    "dir/main:3: NUL byte\n" : "dir/main:2: NUL byte\n");
		assert_string_equal(r.tokens, i == 0 ? "a <{> b (}) ()" :
		    "a <{> (}) ()");
		run_end(&r);
	}
}

/* Tokens of any length up to the longest. */
static void
test_long(void **state)
{
	static char text[LEX_TOKEN_MAX + 10];
	struct lex_token t;
	struct run r;

	(void)state;
	for (int quoted = 0; quoted < 2; quoted++) {
		for (size_t over = 0; over < 2; over++) {
			size_t len = LEX_TOKEN_MAX + over;

			memset(text, 'x', sizeof text);
			if (quoted)
				text[0] = text[len + 1] = '"';
			run_begin(&r, text, len + (quoted ? 2 : 0));
			r.tokens = r.said = NULL;
			r.lex = lex_new(r.source, r.diag, r.arena,
			    "dir/main");
			lex_next(r.lex, &t, 0);
			if (over > 0) {
				assert_int_equal(t.kind, LEX_END);
				assert_true(t.made);
			} else {
				assert_int_equal(t.len, LEX_TOKEN_MAX);
			}
			assert_int_equal(diag_errors(r.diag), over);
			run_end(&r);
		}
	}
}

/* An alias stands for what it was given, in words only, and once each. */
static void
test_alias(void **state)
{
	static const char text[] = "x { a y } y { b } x \"x\" xx";
	struct lex_token t, name;
	struct run r;
	char got[64] = "";

	(void)state;
	run_begin(&r, text, sizeof text - 1);
	r.tokens = r.said = NULL;
	r.lex = lex_new(r.source, r.diag, r.arena, "dir/main");
	for (int i = 0; i < 2; i++) {
		lex_next(r.lex, &name, LEX_RAW);
		lex_next(r.lex, &t, LEX_RAW);
		lex_alias(r.lex, &name, &t);
		assert_true(lex_is(&t, '}'));
	}
	for (lex_next(r.lex, &t, 0); t.kind != LEX_END;
	    lex_next(r.lex, &t, 0)) {
		strcat(strcat(got, t.text), " ");
		if (strcmp(t.text, "b") == 0) {
			assert_int_equal(t.place.column, 19);
			assert_int_equal(t.place.defined->column, 15);
			assert_int_equal(t.place.defined->defined->column, 7);
		}
	}
	assert_string_equal(got, "a b x xx ");
	assert_int_equal(diag_errors(r.diag), 0);
	run_end(&r);
}

/* Aliases of aliases could fill any memory. */
static void
test_bomb(void **state)
{
	char text[1024] = "";
	struct lex_token t, name;
	struct run r;
	unsigned n = 0;

	(void)state;
	for (char c = 'a'; c < 'k'; c++) {
		char one[64];

		snprintf(one, sizeof one, "%c { %c %c %c %c %c %c %c %c }\n",
		    c, c + 1, c + 1, c + 1, c + 1, c + 1, c + 1, c + 1, c + 1);
		strcat(text, one);
	}
	strcat(text, "{ a");
	run_begin(&r, text, strlen(text));
	r.tokens = r.said = NULL;
	r.lex = lex_new(r.source, r.diag, r.arena, "dir/main");
	for (int i = 0; i < 10; i++) {
		lex_next(r.lex, &name, LEX_RAW);
		lex_next(r.lex, &t, LEX_RAW);
		lex_alias(r.lex, &name, &t);
	}
	do {
		lex_next(r.lex, &t, 0);
		n++;
	} while (t.kind != LEX_END);
	assert_true(n < 2000000);
	assert_int_equal(diag_errors(r.diag), 1);
	run_end(&r);
}

static void
test_show(void **state)
{
	char buf[200], longer[200];
	struct lex_token t = { .kind = LEX_WORD, .text = longer,
	    .len = sizeof longer - 1 };

	(void)state;
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(strlen(lex_show(&t, buf, sizeof buf)), 105);
	t = (struct lex_token){ .kind = LEX_STRING, .text = "a", .len = 1 };
	assert_string_equal(lex_show(&t, buf, sizeof buf), "\"a\"");
	t.kind = LEX_END;
	assert_string_equal(lex_show(&t, buf, sizeof buf), "end of file");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
