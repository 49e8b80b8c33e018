/* misc/buf.c: buffers and the pool they borrow from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "misc/buf.h"

static uint8_t pattern[BUF_MAX + 1];

static int
setup(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251);
	*state = buf_pool_new();
	return *state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	assert_int_equal(buf_pool_lent(*state), 0);
	buf_pool_free(*state);
	return 0;
}

static void
test_empty(void **state)
{
	struct buf b = { 0 };

	assert_true(buf_empty(&b));
	assert_int_equal(buf_append(*state, &b, "", 0), 0);
	assert_null(b.data);
	buf_drop(*state, &b, 0);
	buf_clear(*state, &b);
	assert_int_equal(buf_pool_lent(*state), 0);
	assert_int_equal(buf_pool_kept(*state), 0);
	/* room that was not used goes back */
	assert_non_null(buf_room(*state, &b, 100));
	assert_true(buf_empty(&b));
	assert_int_equal(buf_pool_lent(*state), 4096);
	buf_drop(*state, &b, 0);
	assert_null(b.data);
	assert_int_equal(buf_pool_lent(*state), 0);
	buf_pool_free(NULL);
}

/* The class that fits, and the memory back as soon as the data is gone. */
static void
test_classes(void **state)
{
	static const struct { size_t n; size_t lent; } rows[] = {
		{ 1, 4096 }, { 4095, 4096 }, { 4096, 4096 }, { 4097, 8192 },
		{ 8192, 8192 }, { 8193, 16384 }, { 65536, 65536 },
		{ 65537, 131072 }, { 262144, 262144 }, { 262145, 524288 },
		{ 524288, 524288 },
	};
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(buf_append(*state, &b, pattern, rows[i].n),
		    0);
		assert_int_equal(buf_pool_lent(*state), rows[i].lent);
		assert_int_equal(b.len, rows[i].n);
		assert_memory_equal(buf_head(&b), pattern, rows[i].n);
		buf_drop(*state, &b, rows[i].n - 1);
		assert_int_equal(*buf_head(&b), pattern[rows[i].n - 1]);
		assert_false(buf_empty(&b));
		buf_drop(*state, &b, 1);
		assert_null(b.data);
		assert_int_equal(buf_pool_lent(*state), 0);
	}
}

static void
test_limit(void **state)
{
	struct buf b = { 0 };

	errno = 0;
	assert_int_equal(buf_append(*state, &b, pattern, BUF_MAX + 1), -1);
	assert_int_equal(errno, ENOMEM);
	assert_null(b.data);
	assert_int_equal(buf_append(*state, &b, pattern, BUF_MAX - 1), 0);
	assert_int_equal(buf_append(*state, &b, pattern, 2), -1);
	assert_int_equal(b.len, BUF_MAX - 1);
	assert_null(buf_room(*state, &b, SIZE_MAX));
	assert_int_equal(buf_append(*state, &b, pattern, 1), 0);
	assert_null(buf_room(*state, &b, 1));
	/* there is room again, once what is in front has gone */
	buf_drop(*state, &b, 1000);
	assert_int_equal(buf_append(*state, &b, pattern, 1000), 0);
	assert_int_equal(b.len, BUF_MAX);
	assert_memory_equal(buf_head(&b), pattern + 1000, BUF_MAX - 1001);
	assert_memory_equal(buf_head(&b) + BUF_MAX - 1000, pattern, 1000);
	buf_clear(*state, &b);
	assert_null(b.data);
}

/* Appending and dropping at random, against a plain queue. */
static void
test_model(void **state)
{
	static uint8_t queue[BUF_MAX];
	struct buf b = { 0 };
	size_t len = 0, n, at;
	unsigned i, seed = 4711;
	uint8_t *p;

	for (i = 0; i < 4000; i++) {
		seed = seed * 1103515245u + 12345u;
		n = (seed >> 12) % (i % 50 == 0 ? 70000 : 3000);
		if ((seed >> 8) % 5 < 2 && n <= BUF_MAX - len) {
			at = (seed >> 5) % 1000;
			assert_int_equal(buf_append(*state, &b, pattern + at,
			    n), 0);
			memcpy(queue + len, pattern + at, n);
			len += n;
		} else if ((seed >> 8) % 5 == 2 && n > 0 &&
		    n <= BUF_MAX - len) {
			p = buf_room(*state, &b, n);
			assert_non_null(p);
			n = n / 2 + 1;
			memcpy(p, pattern, n);
			buf_added(&b, n);
			memcpy(queue + len, pattern, n);
			len += n;
		} else {
			n = n < len ? n : len;
			buf_drop(*state, &b, n);
			memmove(queue, queue + n, len - n);
			len -= n;
		}
		assert_int_equal(b.len, len);
		assert_int_equal(b.data == NULL, len == 0);
		if (len > 0)
			assert_memory_equal(buf_head(&b), queue, len);
	}
	buf_clear(*state, &b);
}

/* Blocks are used again, and what was not needed for a period is given back:
 * neither while a burst lasts nor for ever after it. */
static void
test_trim(void **state)
{
	struct buf_pool *pool = *state;
	struct buf b[10] = { { 0 } };
	void *first;
	int i;

	buf_pool_trim(pool);
	buf_pool_trim(pool);
	assert_int_equal(buf_pool_kept(pool), 0);
	assert_false(buf_pool_trim(pool));
	assert_int_equal(buf_append(pool, &b[0], "x", 1), 0);
	first = b[0].data;
	buf_clear(pool, &b[0]);
	assert_int_equal(buf_pool_kept(pool), 4096);
	assert_int_equal(buf_append(pool, &b[0], "x", 1), 0);
	assert_ptr_equal(b[0].data, first);
	for (i = 1; i < 10; i++)
		assert_int_equal(buf_append(pool, &b[i], "x", 1), 0);
	for (i = 0; i < 10; i++)
		buf_clear(pool, &b[i]);
	assert_int_equal(buf_pool_kept(pool), 10 * 4096);
	/* all of them were needed since the last time */
	assert_true(buf_pool_trim(pool));
	assert_int_equal(buf_pool_kept(pool), 10 * 4096);
	/* of which three this time */
	for (i = 0; i < 3; i++)
		assert_int_equal(buf_append(pool, &b[i], "x", 1), 0);
	for (i = 0; i < 3; i++)
		buf_clear(pool, &b[i]);
	assert_true(buf_pool_trim(pool));
	assert_int_equal(buf_pool_kept(pool), 3 * 4096);
	assert_false(buf_pool_trim(pool));
	assert_int_equal(buf_pool_kept(pool), 0);
	/* lent ones are nobody's to give back */
	assert_int_equal(buf_append(pool, &b[0], pattern, 100000), 0);
	buf_pool_trim(pool);
	buf_pool_trim(pool);
	assert_memory_equal(buf_head(&b[0]), pattern, 100000);
	buf_clear(pool, &b[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_classes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
