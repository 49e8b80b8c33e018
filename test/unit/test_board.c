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
	b.head->generation = 1;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "tcp/[192.0.2.1]:%d/-#1", i);
		assert_int_equal(board_find(&b, BOARD_DESTINATION, name), -1);
		at[i] = board_claim(&b, BOARD_DESTINATION, name, 7, 1);
		assert_in_range(at[i], 0, 39);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(at[k], at[i]);
	}
	/* full, but what is there is found and brought up to date */
	assert_false(b.full);
	assert_int_equal(board_claim(&b, BOARD_DESTINATION, "more", 1, 1),
	    -1);
	assert_true(b.full);
	assert_int_equal(board_claim(&b, BOARD_DESTINATION, name, 9, 2),
	    at[39]);
	assert_int_equal(board_row(&b, (unsigned)at[39])->weight, 7);
	b.head->generation = 2;
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
		board_reset(&b, c);
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
	assert_true(blocks(&b) - before - after <= 4 * 4096);
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
		FIELD(slots), FIELD(seat_offset), FIELD(slot_offset),
		FIELD(row_offset), FIELD(column_offset), FIELD(column_size),
		FIELD(size),
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

/* ---- rows that come and go */

/* A configuration of n rows from number first on, committed. */
static void
configure(struct board *b, uint32_t generation, int first, int n)
{
	char name[32];

	board_recycle(b);
	b->full = false;
	b->head->generation = generation;
	for (int i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "destination %d", i);
		(void)board_claim(b, BOARD_DESTINATION, name, 1, generation);
	}
}

/* Whatever is gone makes place: a board of 64 rows serves for ever. */
static void
test_recycle(void **state)
{
	struct board b;
	struct board_cell *kept;
	char name[32];

	(void)state;
	assert_int_equal(board_open(&b, 3, 64), 0);
	board_reset(&b, 1);
	board_seat(&b, 1)->state = BOARD_READY;
	configure(&b, 1, 0, 30);
	kept = board_hold(&b, 1, BOARD_DESTINATION, "destination 3");
	assert_non_null(kept);
	board_add(&kept->total, 5);
	for (uint32_t g = 2; g < 3000; g++) {
		configure(&b, g, (int)g * 7, 30);
		assert_false(b.full);
		snprintf(name, sizeof(name), "destination %d", (int)g * 7 + 29);
		assert_int_not_equal(board_find(&b, BOARD_DESTINATION, name),
		    -1);
		snprintf(name, sizeof(name), "destination %d", (int)g * 7 - 40);
		assert_int_equal(board_find(&b, BOARD_DESTINATION, name), -1);
		/* who is held stays what it was */
		assert_ptr_equal(board_cell(&b, 1, (unsigned)board_find(&b,
		    BOARD_DESTINATION, "destination 3")), kept);
	}
	assert_int_equal(board_get(&kept->total), 5);
	board_drop(kept);
	/* nobody holds it, and yet there are sessions */
	kept->use = 1;
	board_recycle(&b);
	assert_int_not_equal(board_find(&b, BOARD_DESTINATION,
	    "destination 3"), -1);
	kept->use = 0;
	assert_int_equal(board_recycle(&b), 34);
	assert_int_equal(board_find(&b, BOARD_DESTINATION, "destination 3"),
	    -1);
	assert_int_equal(board_get(&kept->total), 0);
	board_drop(kept);		/* once too often is harmless */
	assert_int_equal(kept->held, 0);
	assert_null(board_hold(&b, 1, BOARD_DESTINATION, "destination 3"));
	board_close(&b);
}

/* Thousands of names that come and go leave no trace in the index: a search
 * for what is not there stays short. */
static void
test_slots(void **state)
{
	struct board b;
	unsigned used = 0;

	(void)state;
	assert_int_equal(board_open(&b, 1, 256), 0);
	for (uint32_t g = 1; g < 2000; g++)
		configure(&b, g, (int)g * 100, 100);
	configure(&b, 2000, 0, 0);
	assert_int_equal(board_recycle(&b), 256);
	for (unsigned i = 0; i < b.slots; i++) {
		uint32_t n;

		memcpy(&n, (char *)b.head + b.slot_offset + i * sizeof(n),
		    sizeof(n));
		used += n != 0;
	}
	assert_int_equal(used, 0);
	board_close(&b);
}

/* ---- what was counted stays */

static uint64_t
past_total(const struct board *b, int row)
{
	return board_get(&board_cell(b, board_past(b), (unsigned)row)->total);
}

static void
test_leave(void **state)
{
	struct board b;
	struct board_cell *cell;
	int row;

	(void)state;
	assert_int_equal(board_open(&b, 2, 8), 0);
	row = board_claim(&b, BOARD_DESTINATION, "a", 1, 0);
	for (unsigned i = 1; i <= 3; i++) {
		board_reset(&b, 1);
		board_seat(&b, 1)->state = BOARD_READY;
		cell = board_hold(&b, 1, BOARD_DESTINATION, "a");
		cell->use = 4;
		board_add(&cell->total, 10);
		board_add(&cell->failures, 2);
		board_add(&cell->in, 100);
		board_add(&cell->out, 1000);
		board_add(&board_column(&b, 1)->ended[3], 6);
		board_add(&board_column(&b, 1)->taken, 10);
		board_add(&board_column(&b, 1)->finished, 6);
		board_leave(&b, 1);
		assert_int_equal(past_total(&b, row), 10 * i);
		cell = board_cell(&b, board_past(&b), (unsigned)row);
		assert_int_equal(board_get(&cell->failures), 2 * i);
		assert_int_equal(board_get(&cell->in), 100 * i);
		assert_int_equal(board_get(&cell->out), 1000 * i);
		assert_int_equal(cell->use, 0);
		assert_int_equal(board_get(&board_column(&b,
		    board_past(&b))->ended[3]), 6 * i);
		/* four went down with it */
		assert_int_equal(board_get(&board_column(&b,
		    board_past(&b))->ended[BOARD_KILLED]), 4 * i);
		assert_int_equal(board_seat(&b, 1)->state, BOARD_FREE);
		assert_int_equal(board_use(&b, 1), 0);
		assert_int_equal(board_cell(&b, 1, (unsigned)row)->held, 0);
		assert_int_equal(b.head->moves % 2, 0);
	}
	board_close(&b);
}

static void
test_mirror(void **state)
{
	struct board a, b;
	struct board_cell *cell;
	int row;

	(void)state;
	assert_int_equal(board_open(&a, 2, 8), 0);
	assert_int_equal(board_open(&b, 2, 8), 0);
	board_claim(&a, BOARD_DESTINATION, "unused", 1, 0);
	row = board_claim(&a, BOARD_DESTINATION, "gone", 3, 0);
	board_describe(&a, (unsigned)row, 7, "pool", "[192.0.2.1]:1");
	board_reset(&a, 0);
	cell = board_cell(&a, 0, (unsigned)row);
	cell->use = 2;
	board_add(&cell->total, 9);
	board_seat(&a, 0)->number = 17;
	board_seat(&a, 0)->state = BOARD_ENDING;
	board_add(&board_seat(&a, 0)->given, 9);
	board_add(&board_column(&a, 0)->finished, 7);
	board_reset(&b, 1);
	for (int i = 0; i < 2; i++)
		board_mirror(&b, 1, true, &a, 0);
	assert_int_equal(board_seat(&b, 1)->number, 17);
	assert_int_equal(board_seat(&b, 1)->flags, BOARD_MIRROR);
	assert_int_equal(board_seat(&a, 0)->flags, 0);
	assert_int_equal(board_use(&b, 1), 2);
	assert_int_equal(board_find(&b, BOARD_DESTINATION, "unused"), -1);
	row = board_find(&b, BOARD_DESTINATION, "gone");
	assert_int_not_equal(row, -1);
	assert_string_equal(board_row(&b, (unsigned)row)->text,
	    "[192.0.2.1]:1");
	assert_string_equal(board_row(&b, (unsigned)row)->label, "pool");
	cell = board_cell(&b, 1, (unsigned)row);
	assert_int_equal(cell->use, 2);
	assert_int_equal(board_get(&cell->total), 9);
	board_leave(&b, 1);
	assert_int_equal(past_total(&b, row), 9);
	board_close(&a);
	board_close(&b);
}

/* ---- checks and orders */

static void
test_marks(void **state)
{
	struct board b;
	struct board_health *h;
	struct board_switch *s;
	struct board_cell *mine;
	int row;

	(void)state;
	assert_int_equal(board_open(&b, 3, 8), 0);
	b.head->generation = 1;
	assert_null(board_health(&b, BOARD_HOST, "h"));
	assert_null(board_switch(&b, BOARD_HOST, "h"));
	row = board_claim(&b, BOARD_HOST, "h", 0, 1);
	assert_int_equal(board_claim(&b, BOARD_TABLE, "h", 0, 1), row + 1);
	h = board_health(&b, BOARD_HOST, "h");
	s = board_switch(&b, BOARD_HOST, "h");
	assert_non_null(h);
	assert_non_null(s);
	assert_ptr_equal(h, board_cell(&b, board_check(&b), (unsigned)row));
	assert_ptr_equal(s, board_cell(&b, board_orders(&b), (unsigned)row));
	assert_ptr_not_equal(board_switch(&b, BOARD_TABLE, "h"), s);
	/* nobody's column is theirs, and the last one ends with the board */
	assert_true(board_check(&b) != board_past(&b));
	assert_true((char *)board_cell(&b, board_orders(&b), 7) +
	    sizeof(struct board_cell) <= (char *)b.head + b.size);
	atomic_store(&h->state, -1);
	atomic_store(&h->checks, 9);
	atomic_store(&s->ordered, 1);
	atomic_store(&s->off, 1);
	/* a worker that leaves takes none of it along */
	board_reset(&b, 0);
	board_leave(&b, 0);
	assert_int_equal(h->state, -1);
	assert_int_equal(s->off, 1);
	board_unorder(&b);
	assert_int_equal(s->ordered, 1);
	/* what they say keeps no row, whoever holds it there does */
	b.head->generation = 2;
	mine = board_hold(&b, board_check(&b), BOARD_HOST, "h");
	assert_ptr_equal(mine, h);
	/* an order ends with what it was for, though */
	board_unorder(&b);
	assert_int_equal(s->ordered, 0);
	assert_int_equal(h->state, -1);
	(void)board_recycle(&b);
	assert_int_equal(board_find(&b, BOARD_HOST, "h"), row);
	assert_int_equal(board_find(&b, BOARD_TABLE, "h"), -1);
	assert_int_equal(h->state, -1);
	board_drop(mine);
	(void)board_recycle(&b);
	assert_int_equal(board_find(&b, BOARD_HOST, "h"), -1);
	/* the next owner finds nothing of it */
	assert_int_equal(board_claim(&b, BOARD_HOST, "i", 0, 2), row);
	h = board_health(&b, BOARD_HOST, "i");
	s = board_switch(&b, BOARD_HOST, "i");
	assert_int_equal(h->state, 0);
	assert_int_equal(h->checks, 0);
	assert_int_equal(s->ordered, 0);
	assert_int_equal(s->off, 0);
	board_close(&b);
}

/* By identity, whatever the rows' numbers; who holds there stays. */
static void
test_repeat(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	struct board from, to;
	struct board_health *h;

	(void)state;
	assert_int_equal(board_open(&from, 2, 8), 0);
	assert_int_equal(board_open(&to, 5, 16), 0);
	from.head->generation = to.head->generation = 1;
	for (int i = 0; i < 3; i++) {
		(void)board_claim(&from, BOARD_HOST, names[i], 0, 1);
		h = board_health(&from, BOARD_HOST, names[i]);
		atomic_store(&h->state, i - 1);
		atomic_store(&h->error, 10u + (unsigned)i);
		atomic_store(&h->checks, 20u + (unsigned)i);
		atomic_store(&h->ups, 30u + (unsigned)i);
		atomic_store(&h->left, 40u + (unsigned)i);
		atomic_store(&h->code, 50u + (unsigned)i);
		atomic_store(&h->changed, 60u + (unsigned)i);
		atomic_store(&h->held, 7);
		atomic_store(&board_switch(&from, BOARD_HOST, names[i])->off,
		    (uint32_t)(i == 1));
	}
	for (int i = 2; i >= 1; i--)
		(void)board_claim(&to, BOARD_HOST, names[i], 0, 1);
	(void)board_claim(&to, BOARD_HOST, "d", 0, 1);
	atomic_store(&board_health(&to, BOARD_HOST, "d")->state, 1);
	atomic_store(&board_health(&to, BOARD_HOST, "b")->held, 3);
	board_repeat(&to, &from);
	for (unsigned i = 1; i < 3; i++) {
		h = board_health(&to, BOARD_HOST, names[i]);
		assert_int_equal(h->state, (int)i - 1);
		assert_int_equal(h->error, 10 + i);
		assert_int_equal(h->checks, 20 + i);
		assert_int_equal(h->ups, 30 + i);
		assert_int_equal(h->left, 40 + i);
		assert_int_equal(h->code, 50 + i);
		assert_int_equal(h->changed, 60 + i);
		assert_int_equal(h->held, i == 1 ? 3 : 0);
		assert_int_equal(board_switch(&to, BOARD_HOST,
		    names[i])->off, i == 1);
	}
	assert_int_equal(board_find(&to, BOARD_HOST, "a"), -1);
	assert_int_equal(board_health(&to, BOARD_HOST, "d")->state, 1);
	board_close(&from);
	board_close(&to);
}

/* ---- looking */

static void
test_view(void **state)
{
	struct board b, v;
	char text[16] = "";

	(void)state;
	assert_int_equal(board_open(&b, 2, 8), 0);
	if (b.view == -1) {
		board_close(&b);
		skip();
	}
	assert_int_equal(board_look(&v, dup(b.view)), 0);
	board_add(&board_column(&b, 1)->finished, 3);
	assert_int_equal(board_get(&board_column(&v, 1)->finished), 3);
	assert_ptr_equal(mmap(NULL, b.size, PROT_READ | PROT_WRITE,
	    MAP_SHARED, b.view, 0), MAP_FAILED);
	assert_int_equal(pwrite(b.view, text, sizeof(text), 0), -1);
	board_close(&v);
	/* what can be cut off is not looked at */
#ifdef F_SEAL_SHRINK
	v.fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(v.fd, (off_t)b.size), 0);
	assert_int_equal(pwrite(v.fd, b.head, sizeof(*b.head), 0),
	    sizeof(*b.head));
	assert_int_equal(board_look(&v, v.fd), -1);
	assert_int_equal(errno, EPROTO);
#endif
	board_close(&b);
}

/* The next program finds everything where it was. */
static void
test_adopt(void **state)
{
	struct board b, n;
	int row;

	(void)state;
	assert_int_equal(board_open(&b, 4, 8), 0);
	if (b.fd == -1) {
		board_close(&b);
		skip();
	}
	row = board_claim(&b, BOARD_DESTINATION, "a", 1, 0);
	board_reset(&b, 2);
	board_seat(&b, 2)->number = 5;
	board_seat(&b, 2)->state = BOARD_READY;
	board_add(&board_cell(&b, 2, (unsigned)row)->total, 4);
	assert_int_equal(board_adopt(&n, dup(b.fd), b.size), 0);
	board_close(&b);
	assert_int_equal(n.top, 3);
	assert_int_equal(board_find(&n, BOARD_DESTINATION, "a"), row);
	assert_int_not_equal(board_claim(&n, BOARD_DESTINATION, "b", 1, 0),
	    row);
	board_leave(&n, 2);
	assert_int_equal(past_total(&n, row), 4);
	assert_int_not_equal(n.view, -1);
	board_close(&n);
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
		cmocka_unit_test(test_recycle),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
