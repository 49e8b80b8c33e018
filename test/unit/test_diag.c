/*
 * Diagnostics: order, one error per line, carets, and the way through a pipe.
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

#include "misc/diag.h"
#include "misc/source.h"

static const struct diag_place inc_1 = { .file = "main", .line = 4 };
static const struct diag_place inc_2 = { .file = "a", .line = 2,
    .from = &inc_1 };

static char *
printed(struct diag *d, const struct source *s)
{
	/* static: gcc 12 takes what is returned for a pointer to them */
	static char *text;
	static size_t len;
	FILE *fp = open_memstream(&text, &len);

	diag_print(d, fp, s, s != NULL);
	fclose(fp);
	return text;
}

static void
printed_is(struct diag *d, const struct source *s, const char *want)
{
	char *text = printed(d, s);

	assert_string_equal(text, want);
	free(text);
}

static struct diag_place
at(unsigned line)
{
	return (struct diag_place){ .file = "main", .line = line };
}

static void
at_error(struct diag *d, unsigned line, const char *text)
{
	struct diag_place p = at(line);

	diag_error(d, &p, "%s", text);
}

static void
test_order(void **state)
{
	struct diag *d = diag_new();
	struct diag_place p;
	char text[64];

	(void)state;
	assert_int_equal(diag_status(d), 0);
	assert_string_equal(diag_first(d, text, sizeof text), "");
	at_error(d, 9, "nine");
	at_error(d, 4, "four");
	p = (struct diag_place){ .file = "b", .line = 1, .from = &inc_1 };
	diag_error(d, &p, "in b");
	p = (struct diag_place){ .file = "a", .line = 7, .from = &inc_1 };
	diag_error(d, &p, "in a");
	p = (struct diag_place){ .file = "c", .line = 3, .from = &inc_2 };
	diag_fail(d, &p, 66, "in c");
	p = at(1);
	diag_warn(d, &p, "one");
	at_error(d, 9, "nine again");
	diag_warn(d, &p, "one");
	diag_warn(d, &p, "one more");
	assert_int_equal(diag_errors(d), 5);
	assert_int_equal(diag_status(d), 78);
	assert_string_equal(diag_first(d, text, sizeof text), "main:4: four");
	printed_is(d, NULL,
	    "main:1: warning: one\n"
	    "main:1: warning: one more\n"
	    "main:4: four\n"
	    "c:3: in c\na:2: included from here\nmain:4: included from here\n"
	    "a:7: in a\nmain:4: included from here\n"
	    "b:1: in b\nmain:4: included from here\n"
	    "main:9: nine\n");
	/* one of no place comes first, and its status counts */
	diag_fail(d, NULL, 66, "cannot read '%s'", "x");
	assert_int_equal(diag_status(d), 66);
	assert_string_equal(diag_first(d, text, sizeof text),
	    "cannot read 'x'");
	diag_free(d);
}

static void
test_limits(void **state)
{
	struct diag *d = diag_new();
	char longer[5000], *text, *p;
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		at_error(d, 5000 - i, "x");
	text = printed(d, NULL);
	for (p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	assert_int_equal(lines, 21);
	assert_non_null(strstr(text, ": too many errors\n"));
	free(text);
	diag_free(d);

	d = diag_new();
	memset(longer, 'y', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	at_error(d, 1, longer);
	at_error(d, 2, "a\nb\tc\033[1m\177");
	text = printed(d, NULL);
	assert_true(strlen(text) < 2200);
	assert_non_null(strstr(text, "main:2: a?b?c?[1m?\n"));
	free(text);
	diag_free(d);
}

/* For relayd.conf: nothing is left out, and the file as a whole comes last. */
static void
test_every(void **state)
{
	struct diag *d = diag_new();
	struct diag_place p = at(0);
	char text[64], want[40 * 24 + 200] = "", *all;
	size_t n = 0;

	(void)state;
	diag_every(d);
	diag_error(d, &p, "all of it");
	assert_string_equal(diag_first(d, text, sizeof text),
	    "main: all of it");
	for (unsigned i = 1; i <= 40; i++) {
		snprintf(text, sizeof text, "no. %u", i);
		at_error(d, 9 + i / 2, text);
		n += (size_t)snprintf(want + n, sizeof want - n,
		    "main:%u: no. %u\n", 9 + i / 2, i);
	}
	at_error(d, 9, "no. 1");
	p = (struct diag_place){ .file = "a", .line = 7, .from = &inc_1 };
	diag_error(d, &p, "in a");
	assert_int_equal(diag_errors(d), 42);
	snprintf(text, sizeof text, "a:7: in a\n");
	memmove(want + strlen(text), want, n + 1);
	memcpy(want, text, strlen(text));
	strcat(want, "main: all of it\n");
	printed_is(d, NULL, want);
	for (unsigned i = 1; i <= 2000; i++)
		at_error(d, 100 + i, "more");
	assert_int_equal(diag_errors(d), 1000);
	all = printed(d, NULL);
	assert_non_null(strstr(all, "main: all of it\ntoo many errors\n"));
	free(all);
	diag_free(d);
}

static void
test_caret(void **state)
{
	static const char text[] = "one\n\ttwo \xc3\xa4 three\nfour";
	static char far[1000];
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct diag_place p = { .file = "main", .line = 2, .column = 9 };
	char *out;
	const char *line, *caret;

	(void)state;
	source_add(s, SOURCE_TEXT, "main", text, sizeof text - 1);
	diag_error(d, &p, "x");
	printed_is(d, s, "main:2: x\n\ttwo \xc3\xa4 three\n\t      ^\n");
	diag_free(d);

	d = diag_new();
	p.line = 3;
	p.column = 5;
	diag_error(d, &p, "end");
	p.line = 4;
	diag_error(d, &p, "beyond");
	p.line = 1;
	p.column = 50;
	diag_error(d, &p, "too far");
	p.file = "unknown";
	diag_error(d, &p, "nowhere");
	out = printed(d, s);
	assert_non_null(strstr(out, "main:3: end\nfour\n    ^\n"));
	assert_non_null(strstr(out, "main:4: beyond\n"));
	assert_non_null(strstr(out, "main:1: too far\nmain"));
	free(out);
	diag_free(d);

	/* a long line is shown around its error */
	memset(far, '.', sizeof far - 1);
	far[700] = '!';
	source_add(s, SOURCE_TEXT, "far", far, sizeof far - 1);
	d = diag_new();
	p = (struct diag_place){ .file = "far", .line = 1, .column = 701 };
	diag_error(d, &p, "x");
	out = printed(d, s);
	assert_true(strlen(out) < 300);
	line = strchr(out, '\n') + 1;
	caret = strchr(line, '\n') + 1;
	assert_int_equal(strcspn(line, "!"), strcspn(caret, "^"));
	free(out);
	diag_free(d);
	source_free(s);
}

/* What a checking child found is the same at its parent. */
static void
test_pipe(void **state)
{
	static const struct diag_place def = { .file = "main", .line = 1 };
	struct diag *d = diag_new(), *copy = diag_new(), *merged = diag_new();
	struct diag_place p = { .file = "c", .line = 3, .from = &inc_2,
	    .defined = &def };
	char *want, blob[4096];
	ssize_t len;
	int fds[2];

	(void)state;
	diag_error(d, &p, "one");
	diag_fail(d, NULL, 66, "none");
	p = at(5);
	diag_warn(d, &p, "five");
	want = printed(d, NULL);
	assert_non_null(strstr(want, "c:3: one\nmain:1: defined here\n"
	    "a:2: included from here\n"));

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(diag_write(d, fds[1]), 0);
	close(fds[1]);
	len = read(fds[0], blob, sizeof blob);
	close(fds[0]);
	assert_true(len > 0);
	assert_int_equal(diag_read(copy, blob, (size_t)len), 0);
	printed_is(copy, NULL, want);
	assert_int_equal(diag_status(copy), 66);
	diag_merge(merged, copy);
	printed_is(merged, NULL, want);
	free(want);

	/* cut off anywhere it is refused, and nothing is read beyond */
	for (ssize_t n = 1; n < len; n++) {
		struct diag *part = diag_new();
		char *exact = malloc((size_t)n);

		memcpy(exact, blob, (size_t)n);
		if (diag_read(part, exact, (size_t)n) == 0)
			assert_true(diag_errors(part) > 0);
		free(exact);
		diag_free(part);
	}
	for (ssize_t n = 0; n < len; n++) {
		struct diag *part = diag_new();

		blob[n] ^= 0x55;
		(void)diag_read(part, blob, (size_t)len);
		blob[n] ^= 0x55;
		diag_free(part);
	}
	diag_free(d);
	diag_free(copy);
	diag_free(merged);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every),
		cmocka_unit_test(test_caret),
		cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
