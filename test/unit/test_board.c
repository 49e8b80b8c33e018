/*
 * The board: identities, counts, what memory it takes, and who is believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "spawnd/board.h"

static void
test_cells_apart(void **state)
{
	struct board b;

	(void)state;
	assert_int_equal(board_open(&b, 3, 5), 0);
	for (unsigned c = 0; c < 3; c++) {
		memset(board_seat(&b, c), 0x10 + (int)c,
		    sizeof(struct board_seat));
		memset(board_column(&b, c), 0x20 + (int)c,
		    sizeof(struct board_column));
		for (unsigned r = 0; r < 5; r++)
			memset(board_cell(&b, c, r), 0x40 + (int)(c * 5 + r),
			    sizeof(struct board_cell));
	}
	for (unsigned r = 0; r < 5; r++)
		memset(board_row(&b, r), 0x80 + (int)r,
		    sizeof(struct board_row));
	for (unsigned c = 0; c < 3; c++) {
		assert_int_equal(*(uint8_t *)board_seat(&b, c), 0x10 + c);
		assert_int_equal(*(uint8_t *)board_column(&b, c), 0x20 + c);
		for (unsigned r = 0; r < 5; r++)
			assert_int_equal(*(uint8_t *)board_cell(&b, c, r),
			    0x40 + c * 5 + r);
		assert_int_equal((uintptr_t)board_column(&b, c) % 4096, 0);
	}
	for (unsigned r = 0; r < 5; r++)
		assert_int_equal(*(uint8_t *)board_row(&b, r), 0x80 + r);
	assert_int_equal(b.head->magic, BOARD_MAGIC);
	board_close(&b);
	board_close(&b);
}

static void
test_limits(void **state)
{
	struct board b;

	(void)state;
	assert_int_equal(board_open(&b, 0, 5), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(board_open(&b, 65537, 1), -1);
	assert_int_equal(board_open(&b, 1, (1u << 20) + 1), -1);
	assert_int_equal(board_open(&b, 1, 0), 0);
	assert_int_equal(board_find(&b, 1, "x"), -1);
	assert_int_equal(board_claim(&b, 1, "x", 1, 1), -1);
	board_close(&b);
}

static void
test_rows(void **state)
{
	struct board b;
	char name[BOARD_NAME + 8];
	int at[40];

	(void)state;
	assert_int_equal(board_open(&b, 1, 40), 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "tcp/[192.0.2.1]:%d/-#1", i);
		assert_int_equal(board_find(&b, BOARD_DESTINATION, name), -1);
		at[i] = board_claim(&b, BOARD_DESTINATION, name, 7, 1);
		assert_in_range(at[i], 0, 39);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(at[k], at[i]);
	}
	/* full, but what is there is found and brought up to date */
	assert_int_equal(board_claim(&b, BOARD_DESTINATION, "more", 1, 1),
	    -1);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "tcp/[192.0.2.1]:%d/-#1", i);
		assert_int_equal(board_find(&b, BOARD_DESTINATION, name),
		    at[i]);
		assert_int_equal(board_find(&b, BOARD_LISTENER, name), -1);
		assert_int_equal(board_claim(&b, BOARD_DESTINATION, name, 9,
		    2), at[i]);
		assert_int_equal(board_row(&b, (unsigned)at[i])->weight, 9);
		assert_int_equal(board_row(&b, (unsigned)at[i])->generation,
		    2);
	}
	board_close(&b);
	assert_int_equal(board_open(&b, 1, 4), 0);
	memset(name, 'n', sizeof(name));
	name[BOARD_NAME] = '\0';
	assert_int_equal(board_claim(&b, 1, name, 1, 1), -1);
	name[BOARD_NAME - 1] = '\0';
	assert_int_not_equal(board_claim(&b, 1, name, 1, 1), -1);
	assert_int_not_equal(board_find(&b, 1, name), -1);
	/* the same name of another kind is another row */
	assert_int_not_equal(board_claim(&b, 2, name, 1, 1),
	    board_find(&b, 1, name));
	board_close(&b);
}

static void
test_use(void **state)
{
	static const struct {
		uint64_t given, accepted, finished, returned;
		uint32_t want;
	} rows[] = {
		{ 0, 0, 0, 0, 0 },
		{ 5, 0, 0, 0, 5 },
		{ 5, 3, 2, 1, 5 },
		{ 5, 0, 6, 0, 0 },		/* never below nothing */
		{ 5, 0, 0, UINT64_MAX, 0 },	/* a hostile column */
		{ UINT64_MAX, 2, 0, 0, 1 },	/* wraps, does not trap */
		{ UINT64_C(1) << 40, 0, 0, 0, UINT32_MAX },
	};
	struct board b;

	(void)state;
	assert_int_equal(board_open(&b, 2, 3), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct board_column *c = board_column(&b, 1);

		atomic_store(&board_seat(&b, 1)->given, rows[i].given);
		atomic_store(&c->accepted, rows[i].accepted);
		atomic_store(&c->finished, rows[i].finished);
		atomic_store(&c->returned, rows[i].returned);
		assert_int_equal(board_use(&b, 1), rows[i].want);
		assert_int_equal(board_use(&b, 0), 0);
	}
	board_close(&b);
}

static void
test_reset(void **state)
{
	struct board b;
	int row;

	(void)state;
	assert_int_equal(board_open(&b, 2, 3), 0);
	row = board_claim(&b, 1, "a", 1, 1);
	for (unsigned c = 0; c < 2; c++) {
		board_add(&board_seat(&b, c)->given, 5);
		board_add(&board_column(&b, c)->taken, 5);
		board_add(&board_cell(&b, c, (unsigned)row)->total, 5);
	}
	board_reset(&b, 0);
	assert_int_equal(board_use(&b, 0), 0);
	assert_int_equal(board_get(&board_column(&b, 0)->taken), 0);
	assert_int_equal(board_get(&board_cell(&b, 0, (unsigned)row)->total),
	    0);
	assert_int_equal(board_use(&b, 1), 5);
	assert_int_equal(board_get(&board_cell(&b, 1, (unsigned)row)->total),
	    5);
	assert_int_equal(board_find(&b, 1, "a"), row);
	board_close(&b);
}

static long
blocks(const struct board *b)
{
	struct stat st;

	assert_int_equal(fstat(b->fd, &st), 0);
	return (long)st.st_blocks * 512;
}

/* Ten columns of a thousand rows are 640 kB of cells; only what is touched
 * is there. */
static void
test_sparse(void **state)
{
	struct board b;
	long before, after;

	(void)state;
	assert_int_equal(board_open(&b, 10, 1000), 0);
	if (b.fd == -1) {
		board_close(&b);
		skip();
	}
	before = blocks(&b);
	assert_in_range(before, 1, 4 * 4096);
	for (unsigned r = 0; r < 1000; r++)
		board_add(&board_cell(&b, 4, r)->total, 1);
	board_add(&board_column(&b, 4)->finished, 1);
	after = blocks(&b) - before;
	/* its own column, and not one page of a neighbour's */
	assert_in_range(after, 1000 * 64, b.column_size);
	/* clearing a column that was never used takes nothing */
	board_reset(&b, 7);
	assert_true(blocks(&b) - before - after <= 3 * 4096 + 1000 * 144 +
	    4096);
	board_close(&b);
}

static void
test_map(void **state)
{
	struct board b, m;

	(void)state;
	assert_int_equal(board_open(&b, 4, 10), 0);
	if (b.fd == -1) {
		board_close(&b);
		skip();
	}
	assert_int_equal(board_map(&m, dup(b.fd), b.size), 0);
	assert_int_equal(m.columns, 4);
	board_add(&board_column(&m, 2)->finished, 3);
	board_add(&board_seat(&b, 2)->given, 5);
	assert_int_equal(board_use(&b, 2), 2);
	assert_int_equal(board_use(&m, 2), 2);
	/* what others write into the head leads nobody astray */
	m.head->columns = 1u << 31;
	m.head->column_offset = UINT64_MAX / 2;
	assert_ptr_equal(board_column(&b, 3), (char *)b.head +
	    b.column_offset + 3 * b.column_size);
	board_close(&m);
	board_close(&b);
}

static void
test_not_cut(void **state)
{
	struct board b;

	(void)state;
	assert_int_equal(board_open(&b, 1, 1), 0);
#ifdef F_SEAL_SHRINK
	if (b.fd != -1 && (fcntl(b.fd, F_GET_SEALS) & F_SEAL_SHRINK) != 0) {
		assert_int_equal(ftruncate(b.fd, 0), -1);
		assert_int_equal(errno, EPERM);
	}
#endif
	board_close(&b);
}

/* Every field of the head, a little and far too much. */
static void
test_hostile(void **state)
{
	static const struct { size_t at, size; } fields[] = {
#define FIELD(f) { offsetof(struct board_head, f), \
    sizeof(((struct board_head *)0)->f) }
		FIELD(magic), FIELD(version), FIELD(columns), FIELD(rows),
		FIELD(seat_offset), FIELD(row_offset), FIELD(column_offset),
		FIELD(column_size), FIELD(size),
	};
	static const uint64_t values[] = { 0, 1, UINT32_MAX, UINT64_MAX,
	    UINT64_C(1) << 31, UINT64_C(1) << 63 };
	struct board b, m;
	struct board_head good;
	char *place;

	(void)state;
	assert_int_equal(board_open(&b, 4, 100), 0);
	if (b.fd == -1) {
		board_close(&b);
		skip();
	}
	memcpy(&good, b.head, sizeof(good));
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		for (size_t k = 0; k < sizeof(values) / sizeof(*values);
		    k++) {
			if (memcmp((char *)&good + fields[i].at, &values[k],
			    fields[i].size) == 0)
				continue;
			place = (char *)b.head + fields[i].at;
			memcpy(place, &values[k], fields[i].size);
			assert_int_equal(board_map(&m, dup(b.fd), b.size),
			    -1);
			assert_int_equal(errno, EPROTO);
			memcpy(b.head, &good, sizeof(good));
		}
	}
	/* sizes that the message gets wrong */
	assert_int_equal(board_map(&m, dup(b.fd), b.size - 1), -1);
	assert_int_equal(board_map(&m, dup(b.fd), b.size + 4096), -1);
	assert_int_equal(board_map(&m, dup(b.fd), 8), -1);
	assert_int_equal(board_map(&m, dup(b.fd), 0), -1);
	assert_int_equal(board_map(&m, dup(b.fd), SIZE_MAX), -1);
	assert_int_equal(board_map(&m, dup(0), 4096), -1);
	assert_int_equal(board_map(&m, dup(b.fd), b.size), 0);
	board_close(&m);
	board_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells_apart),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_use),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_not_cut),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
