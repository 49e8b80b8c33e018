/*
 * Figures of the board in motion, by the master: from a column whose worker
 * has left into the past, from one board to another. Whoever reads meanwhile
 * learns it by head->moves, and reads again.
 */
#include <string.h>

#include "board.h"

static void
moves(struct board *b)
{
	atomic_store(&b->head->moves, atomic_load(&b->head->moves) + 1);
	atomic_thread_fence(memory_order_seq_cst);
}

static void
cell_add(struct board_cell *to, const struct board_cell *from)
{
	board_add(&to->total, board_get(&from->total));
	board_add(&to->failures, board_get(&from->failures));
	board_add(&to->in, board_get(&from->in));
	board_add(&to->out, board_get(&from->out));
}

/* Taken and neither finished nor returned. */
static uint64_t
column_lost(const struct board_column *c)
{
	uint64_t begun = board_get(&c->taken) + board_get(&c->accepted);
	uint64_t over = board_get(&c->finished) + board_get(&c->returned);

	return begun > over && begun - over <= UINT32_MAX ? begun - over : 0;
}

void
board_leave(struct board *b, unsigned column)
{
	struct board_column *c = board_column(b, column);
	struct board_column *past = board_column(b, board_past(b));

	moves(b);
	for (unsigned i = 0; i < BOARD_ENDS; i++)
		board_add(&past->ended[i], board_get(&c->ended[i]));
	board_add(&past->ended[BOARD_KILLED], column_lost(c));
	board_add(&past->finished, board_get(&c->finished));
	for (unsigned row = 0; row < b->rows; row++)
		if (board_row_used(board_row(b, row)))
			cell_add(board_cell(b, board_past(b), row),
			    board_cell(b, column, row));
	board_reset(b, column);
	moves(b);
}

static void
cell_copy(struct board_cell *to, const struct board_cell *from)
{
	atomic_store_explicit(&to->use, atomic_load(&from->use),
	    memory_order_relaxed);
	atomic_store_explicit(&to->dead, atomic_load(&from->dead),
	    memory_order_relaxed);
	atomic_store_explicit(&to->total, board_get(&from->total),
	    memory_order_relaxed);
	atomic_store_explicit(&to->failures, board_get(&from->failures),
	    memory_order_relaxed);
	atomic_store_explicit(&to->in, board_get(&from->in),
	    memory_order_relaxed);
	atomic_store_explicit(&to->out, board_get(&from->out),
	    memory_order_relaxed);
}

/* The row of `to` that is row r of `from`; -1: none, and none is needed. */
static int
row_like(struct board *to, const struct board_row *r, bool needed)
{
	char name[BOARD_NAME], label[BOARD_LABEL], text[BOARD_TEXT];
	int row;

	board_row_text(name, sizeof(name), r->name);
	board_row_text(label, sizeof(label), r->label);
	board_row_text(text, sizeof(text), r->text);
	row = board_find(to, r->kind, name);
	if (row != -1 || !needed)
		return row;
	row = board_claim(to, r->kind, name, r->weight, r->generation);
	if (row == -1)
		return -1;
	board_describe(to, (unsigned)row, r->order, label, text);
	atomic_store(&board_row(to, (unsigned)row)->state,
	    atomic_load(&r->state));
	atomic_store(&board_row(to, (unsigned)row)->lent,
	    atomic_load(&r->lent));
	atomic_store(&board_row(to, (unsigned)row)->flags,
	    atomic_load(&r->flags));
	return row;
}

void
board_mirror(struct board *to, unsigned column, bool seat,
    const struct board *from, unsigned from_column)
{
	moves(to);
	if (seat) {
		memcpy(board_seat(to, column), board_seat(from, from_column),
		    sizeof(struct board_seat));
		atomic_store(&board_seat(to, column)->flags,
		    atomic_load(&board_seat(to, column)->flags) |
		    BOARD_MIRROR);
	}
	memcpy(board_column(to, column), board_column(from, from_column),
	    sizeof(struct board_column));
	for (unsigned i = 0; i < from->rows; i++) {
		const struct board_row *r = board_row(from, i);
		const struct board_cell *cell;
		int row;

		if (!board_row_used(r))
			continue;
		cell = board_cell(from, from_column, i);
		row = row_like(to, r, atomic_load(&cell->use) != 0);
		if (row != -1)
			cell_copy(board_cell(to, column, (unsigned)row), cell);
	}
	moves(to);
}

/* Everything but who holds it: what those words mean, the kind tells. */
static void
mark_copy(struct board_cell *to, const struct board_cell *from)
{
	cell_copy(to, from);
	atomic_store_explicit(&to->pad, atomic_load(&from->pad),
	    memory_order_relaxed);
	for (unsigned i = 0; i < 2; i++)
		atomic_store_explicit(&to->spare[i], board_get(
		    &from->spare[i]), memory_order_relaxed);
}

void
board_repeat(struct board *to, const struct board *from)
{
	for (unsigned i = 0; i < from->rows; i++) {
		const struct board_row *r = board_row(from, i);
		char name[BOARD_NAME];
		int row;

		if (!board_row_used(r))
			continue;
		board_row_text(name, sizeof(name), r->name);
		if ((row = board_find(to, r->kind, name)) == -1)
			continue;
		for (unsigned c = 0; c < 2; c++)
			mark_copy(board_cell(to, board_check(to) + c,
			    (unsigned)row), board_cell(from,
			    board_check(from) + c, i));
	}
}
