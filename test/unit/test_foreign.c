/*
 * The text that workers get that read for themselves: what is included by
 * URL stands in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "features.h"
#include "misc/lex.h"
#include "spawnd/foreign.h"

/* Documents there are, beside the file. */
static const struct {
	const char	*url, *text;
} documents[] = {
	{ "https://x.example/d/one", "one = 1" },
	{ "https://x.example/d/lines", "a # not { this\nb = 2\n\n# nor this\n" },
	{ "https://x.example/d/string", "a = \"l1\nl2\\\\\n\\\"q\\\" \\\n.\""
	    " 'it''s'" },
	{ "https://x.example/d/nested", "n1\ninclude = $CONFDIR/one\nn2\n" },
	{ "https://x.example/d/deeper", "include $CONFDIR/nested # x" },
	{ "https://x.example/d/glued", "[2001:db8::1]:80 a{b}c !d" },
	{ "https://x.example/d/self", "include = https://x.example/d/self" },
	{ "https://x.example/d/gone", "include = https://x.example/d/none" },
	{ "https://x.example/d/open", "a {" },
	{ "https://x.example/d/bom", "\xef\xbb\xbf" "first" },
	{ "https://x.example/d/more", "x\ninclude = $CONFDIR/bom\ny" },
	{ "https://x.example/d/empty", "# nothing\n" },
};

struct row {
	const char	*file, *text;
	const char	*want;		/* NULL: as it is */
	const char	*error;		/* NULL: none */
	unsigned	 line;		/* of it */
};

#define LOCAL	"/etc/service.cfg"
#define REMOTE	"https://x.example/d/main"

static const struct row rows[] = {
	{ LOCAL, "", NULL, NULL, 0 },
	{ LOCAL, "id = a { b = c } # d\n", NULL, NULL, 0 },
	{ LOCAL, "id = a { include = b\n include $CONFDIR/c }", NULL, NULL,
	    0 },
	{ LOCAL, "a = include https://x.example/d/one\n", NULL, NULL, 0 },
	{ LOCAL, "# include https://x.example/d/one\n", NULL, NULL, 0 },
	{ LOCAL, "\"include\" https://x.example/d/one\n", NULL, NULL, 0 },
	{ LOCAL, "include", NULL, NULL, 0 },
	{ LOCAL, "include =", NULL, NULL, 0 },
	{ LOCAL, "include { }", NULL, NULL, 0 },
	{ LOCAL, "verify", NULL, NULL, 0 },
	{ LOCAL, "verify key", NULL, NULL, 0 },
	{ LOCAL, "verify key = x", NULL, NULL, 0 },
	{ LOCAL, "verify = no include = x\n", NULL, NULL, 0 },

	{ LOCAL, "include = https://x.example/d/one", " one = 1 ", NULL, 0 },
	{ LOCAL, "include \"https://x.example/d/one\"\n", " one = 1 \n", NULL,
	    0 },
	{ LOCAL, "id = a {\n\tinclude = https://x.example/d/one # b\n"
	    "\tinclude = https://x.example/d/lines\n}\n",
	    "id = a {\n\t one = 1  # b\n\t a b = 2 \n}\n", NULL, 0 },
	{ LOCAL, "a\ninclude # x\n= # y\n 'https://x.example/d/one' b\n",
	    "a\n\n\n one = 1  b\n", NULL, 0 },
	{ LOCAL, "include https://x.example/d/string",
	    " a = \"l1\\nl2\\\\\\n\\\"q\\\" .\" 'it''s' ", NULL, 0 },
	{ LOCAL, "include https://x.example/d/glued",
	    " [2001:db8::1]:80 a{b}c !d ", NULL, 0 },
	{ LOCAL, "include https://x.example/d/bom include "
	    "https://x.example/d/empty end", " first    end", NULL, 0 },
	{ LOCAL, "alias x { include https://x.example/d/one }\n",
	    "alias x {  one = 1  }\n", NULL, 0 },

	{ REMOTE, "include = $CONFDIR/one", " one = 1 ", NULL, 0 },
	{ REMOTE, "include = $CONFDIR/more", " x first  y ", NULL, 0 },
	{ REMOTE, "id = a {\n include $CONFDIR/deeper\n}",
	    "id = a {\n  n1 one = 1  n2  \n}", NULL, 0 },

	{ LOCAL, "a\ninclude https://x.example/d/none", NULL,
	    "include: cannot fetch https://x.example/d/none: ", 2 },
	{ LOCAL, "a\ninclude https://x.example/d/gone", NULL,
	    "include: cannot fetch https://x.example/d/none: ", 1 },
	{ LOCAL, "include http://x.example/d/one", NULL,
	    "include: cannot fetch http://x.example/d/one: scheme 'http' not "
	    "permitted", 1 },
	{ REMOTE, "include $CONFDIR/self", NULL, "include: "
	    "'https://x.example/d/self' includes itself", 1 },
	/* what else is wrong the worker says, of the file as it is */
	{ LOCAL, "include https://x.example/d/one & ", NULL, NULL, 0 },
	{ LOCAL, "include https://x.example/d/one\n \"", NULL, NULL, 0 },
	{ LOCAL, "include https://x.example/d/one\n {", NULL, NULL, 0 },
	{ LOCAL, "include https://x.example/d/open\n }", NULL, NULL, 0 },
};

static struct source *
source_make(const char *file, const char *text)
{
	struct source *s = source_empty();

	for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
		source_add(s, SOURCE_TEXT, documents[i].url,
		    documents[i].text, strlen(documents[i].text));
	source_add(s, SOURCE_TEXT, file, text, strlen(text));
	return s;
}

/* A build that cannot fetch says so, of what it does not have. */
static bool
is_expected(const char *error, const char *want)
{
#ifndef HAVE_LIBCURL
	if (strstr(want, "cannot fetch") != NULL &&
	    strstr(error, "URL configurations need libcurl") != NULL)
		return true;
#endif
	return strstr(error, want) != NULL;
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct row *r = &rows[i];
		struct source *s = source_make(r->file, r->text);
		struct arena *arena = arena_new();
		struct diag *d = diag_new();
		const struct diag_place *place = NULL;
		struct foreign_text t;
		const char *error;

		assert_true(foreign_read(s, d, arena, r->file, NULL, NULL,
		    &t));
		error = diag_first_text(d, &place);
		if ((error == NULL) != (r->error == NULL))
			fail_msg("%s: %s", r->text, error);
		if (error != NULL) {
			assert_true(is_expected(error, r->error));
			assert_int_equal(place->line, r->line);
		}
		assert_int_equal(t.changed, r->want != NULL);
		assert_string_equal(t.text, r->want != NULL ? r->want :
		    r->text);
		assert_int_equal(t.len, strlen(t.text));
		diag_free(d);
		source_free(s);
		arena_free(arena);
	}
}

static void
test_no_file(void **state)
{
	struct source *s = source_empty();
	struct arena *arena = arena_new();
	struct diag *d = diag_new();
	struct foreign_text t;

	(void)state;
	assert_false(foreign_read(s, d, arena, "/nowhere", NULL, NULL, &t));
	assert_false(foreign_read(s, d, arena, "https://x.example/y", NULL,
	    NULL, &t));
	assert_int_equal(diag_errors(d), 0);
	diag_free(d);
	source_free(s);
	arena_free(arena);
}

/* Deep, but no deeper than includes may be. */
static void
test_depth(void **state)
{
	struct source *s = source_empty();
	struct arena *arena = arena_new();
	struct diag *d = diag_new();
	struct foreign_text t;
	char url[64], text[96];

	(void)state;
	for (int i = 0; i <= LEX_NESTING + 1; i++) {
		snprintf(url, sizeof url, "https://x.example/%d", i);
		snprintf(text, sizeof text, i == LEX_NESTING ? "end" :
		    "include https://x.example/%d", i + 1);
		source_add(s, SOURCE_TEXT, url, text, strlen(text));
	}
	assert_true(foreign_read(s, d, arena, "https://x.example/0", NULL,
	    NULL, &t));
	assert_int_equal(diag_errors(d), 0);
	assert_non_null(strstr(t.text, "end"));
	source_free(s);
	s = source_empty();
	for (int i = 0; i <= LEX_NESTING + 1; i++) {
		snprintf(url, sizeof url, "https://x.example/%d", i);
		snprintf(text, sizeof text, "include https://x.example/%d",
		    i + 1);
		source_add(s, SOURCE_TEXT, url, text, strlen(text));
	}
	assert_true(foreign_read(s, d, arena, "https://x.example/0", NULL,
	    NULL, &t));
	assert_int_equal(diag_errors(d), 1);
	diag_free(d);
	source_free(s);
	arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
