/*
 * Where the running program lies, and when another one lies there.
 */
#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "spawnd/self.h"

static void
test_undelete(void **state)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "/usr/sbin/x (deleted)", "/usr/sbin/x" },
		{ "/usr/sbin/x", "/usr/sbin/x" },
		{ "/a (deleted) (deleted)", "/a (deleted)" },
		{ " (deleted)", " (deleted)" },
		{ "/x(deleted)", "/x(deleted)" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", rows[i].in);
		self_undelete(text);
		assert_string_equal(text, rows[i].out);
	}
}

static void
file_make(const char *path, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("#!/bin/sh\n", f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* This test is the program; a link to it in a directory of its own is the
 * path by which it was started. */
static void
test_replaced(void **state)
{
	char dir[] = "/tmp/test_self.XXXXXX", path[64], new[64], own[4096];
	const char *self = self_path("test_self", own, sizeof(own));
	struct self image;

	(void)state;
	assert_int_equal(*self, '/');
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/program", dir);
	snprintf(new, sizeof(new), "%s/new", dir);
	assert_int_equal(symlink(self, path), 0);

	self_note(&image, path, self);
	assert_true(image.known);
	assert_string_equal(image.path, path);
	assert_false(self_replaced(&image));
	assert_ptr_equal(self_image(&image, self), self);

	file_make(new, 0644);		/* not a program */
	assert_int_equal(rename(new, path), 0);
	assert_false(self_replaced(&image));
	file_make(new, 0755);
	assert_int_equal(rename(new, path), 0);
	assert_true(self_replaced(&image));
	/* an emulator has no other way to the program that runs */
	if (image.emulated)
		assert_string_equal(self_image(&image, path), path);
	else
		assert_string_not_equal(self_image(&image, path), path);

	assert_int_equal(unlink(path), 0);	/* nothing there */
	assert_false(self_replaced(&image));
	assert_int_equal(mkdir(path, 0755), 0);
	assert_false(self_replaced(&image));
	rmdir(path);
	rmdir(dir);
}

/* argv[0] may be anything: then the system's word counts. */
static void
test_other_name(void **state)
{
	char own[4096];
	const char *self = self_path("x", own, sizeof(own));
	static const char *const names[] = { "/bin/sh", "sh", "", "/nowhere",
	    "no such program" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct self image;

		self_note(&image, names[i], self);
		assert_true(image.known);
		assert_string_equal(image.path, self);
		assert_false(self_replaced(&image));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undelete),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_other_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
