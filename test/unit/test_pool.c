/* misc/pool.c: arenas. */
#include <sys/wait.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/log.h"
#include "misc/pool.h"

static bool
zeroed(const unsigned char *p, size_t n)
{
	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	return n == 0;
}

/* Zeroed, aligned, and none runs into another, in sizes around all limits. */
static void
test_alloc(void **state)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 15, 16, 17, 100, 4000, 4096,
	    5000, 16384, 65535, 65536, 65537, 262144, 1000000, 3 };
	struct { unsigned char *p; size_t n; unsigned char fill; } got[900];
	struct arena *a = arena_new();
	size_t i, j, total = 0;

	(void)state;
	assert_non_null(a);
	for (i = 0; i < 900; i++) {
		got[i].n = i % 7 == 0 ? sizes[i / 7 % 18] : i % 200;
		got[i].fill = (unsigned char)(i % 255 + 1);
		got[i].p = arena_alloc(a, got[i].n);
		assert_int_equal((uintptr_t)got[i].p % alignof(max_align_t),
		    0);
		assert_true(zeroed(got[i].p, got[i].n));
		memset(got[i].p, got[i].fill, got[i].n);
		total += got[i].n;
	}
	for (i = 0; i < 900; i++) {
		for (j = 0; j < got[i].n; j++) {
			if (got[i].p[j] != got[i].fill)
				fail_msg("%zu overwritten at %zu", i, j);
		}
		assert_true(i == 0 || got[i].p != got[i - 1].p);
	}
	assert_true(arena_size(a) >= total);
	arena_free(a);
	arena_free(NULL);
}

/* Small things are not to cost much more than themselves. */
static void
test_size(void **state)
{
	struct arena *a = arena_new();
	size_t i;

	(void)state;
	assert_true(arena_size(a) <= 4096);
	for (i = 0; i < 100000; i++)
		arena_alloc(a, 16);
	assert_true(arena_size(a) < 100000 * 16 + 600000);
	arena_free(a);
}

static void
test_text(void **state)
{
	struct arena *a = arena_new();
	char long_text[10000];
	int *n;

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_string_equal(arena_strdup(a, ""), "");
	assert_string_equal(arena_strdup(a, "abc"), "abc");
	assert_string_equal(arena_strdup(a, long_text), long_text);
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, "abc", 10), "abc");
	assert_string_equal(arena_strndup(a, "abc", 0), "");
	assert_string_equal(arena_strndup(a, "a\0b", 3), "a");
	assert_string_equal(arena_printf(a, "%s:%d", "x", 7), "x:7");
	assert_string_equal(arena_printf(a, "%s", long_text), long_text);
	n = arena_array(a, 100, sizeof(*n));
	assert_true(zeroed((unsigned char *)n, 100 * sizeof(*n)));
	assert_non_null(arena_array(a, 0, 8));
	assert_non_null(arena_array(a, 8, 0));
	arena_free(a);
}

/* Never NULL: a size that cannot be had ends the process with 71. */
static int
ends_with(size_t n, size_t size)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* no leak to who looks at the end */
		static struct arena *volatile a;

		log_open("test");
		a = arena_new();
		arena_array(a, n, size);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_too_much(void **state)
{
	(void)state;
	assert_int_equal(ends_with(1, 1), 0);
	assert_int_equal(ends_with(SIZE_MAX / 2 + 1, 2), EX_OSERR);
	assert_int_equal(ends_with(SIZE_MAX, SIZE_MAX), EX_OSERR);
	assert_int_equal(ends_with(SIZE_MAX, 1), EX_OSERR);
	assert_int_equal(ends_with(SIZE_MAX - 100, 1), EX_OSERR);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc), cmocka_unit_test(test_size),
		cmocka_unit_test(test_text), cmocka_unit_test(test_too_much)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
