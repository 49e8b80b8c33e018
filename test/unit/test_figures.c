/*
 * Summing up a board: one service in rows of input and result, and boards
 * that nobody in his right mind would have written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "spawnd/figures.h"

#define SECOND	UINT64_C(1000000000)

static unsigned
row(struct board *b, uint32_t kind, const char *name, uint32_t generation,
    uint32_t order)
{
	int r = board_claim(b, kind, name, 2, generation);

	assert_int_not_equal(r, -1);
	board_describe(b, (unsigned)r, order, name, name);
	return (unsigned)r;
}

static void
sit(struct board *b, unsigned column, uint32_t number, uint32_t state)
{
	struct board_seat *s = board_seat(b, column);

	board_reset(b, column);
	s->number = number;
	s->pid = 1000 + number;
	s->generation = 3;
	s->max = 40;
	s->started = 5 * SECOND;
	s->state = state;
}

/* Generation 3, two workers, one that has left, one listener removed. */
static void
service(struct board *b)
{
	struct board_cell *cell;
	unsigned gone, l, d;

	assert_int_equal(board_open(b, 4, 32), 0);
	strcpy(b->head->program, "tcprelay");
	strcpy(b->head->text, "1.0");
	b->head->pid = 77;
	b->head->began = 2 * SECOND;
	b->head->capacity = 80;
	b->head->generation = 2;
	gone = row(b, BOARD_LISTENER, "gone", 2, 0);
	(void)row(b, BOARD_LISTENER, "gone and idle", 2, 1);
	b->head->generation = 3;
	(void)row(b, BOARD_LISTENER, "second", 3, 1);
	l = row(b, BOARD_LISTENER, "first", 3, 0);
	(void)board_claim(b, BOARD_DESTINATION, "prepared", 1, 4);
	d = row(b, BOARD_DESTINATION, "d", 3, 0);
	sit(b, 0, 1, BOARD_READY);
	for (unsigned c = 0; c < 3; c += 2) {
		sit(b, c, 9 - c, c == 0 ? BOARD_READY : BOARD_RETIRING);
		board_add(&board_seat(b, c)->given, 10);
		board_add(&board_column(b, c)->finished, 7);
		board_add(&board_column(b, c)->ended[0], 6);
		board_add(&board_column(b, c)->ended[3], 1);
		cell = board_cell(b, c, l);
		cell->use = 2;
		board_cell(b, c, gone)->use = 1;
		cell = board_cell(b, c, d);
		cell->use = 3;
		board_add(&cell->total, 10);
		board_add(&cell->failures, 1);
		board_add(&cell->in, 5);
		board_add(&cell->out, 50);
	}
	/* what the master did, and one that counted before */
	board_add(&board_cell(b, board_past(b), l)->total, 24);
	board_add(&board_cell(b, board_past(b), l)->failures, 5);
	board_add(&board_cell(b, board_past(b), d)->total, 4);
	board_add(&board_column(b, board_past(b))->ended[0], 4);
	/* in a column that is nobody's stands nothing that counts */
	board_add(&board_cell(b, 1, d)->total, 1000);
	board_add(&board_column(b, 1)->ended[0], 1000);
}

static void
test_sums(void **state)
{
	struct board b;
	struct figures *f;

	(void)state;
	service(&b);
	f = figures_take(&b, 12 * SECOND);
	assert_non_null(f);
	assert_string_equal(f->program, "tcprelay");
	assert_string_equal(f->version, "1.0");
	assert_int_equal(f->pid, 77);
	assert_int_equal(f->uptime, 10);
	assert_int_equal(f->generation, 3);
	assert_int_equal(f->users, 6);
	assert_int_equal(f->capacity, 80);
	assert_string_equal(f->overload, "no");

	assert_int_equal(f->nworkers, 2);
	assert_int_equal(f->workers[0].number, 7);	/* in this order */
	assert_string_equal(f->workers[0].state, "retiring");
	assert_int_equal(f->workers[1].number, 9);
	assert_int_equal(f->workers[1].pid, 1009);
	assert_string_equal(f->workers[1].state, "ready");
	assert_int_equal(f->workers[1].users, 3);
	assert_int_equal(f->workers[1].max, 40);
	assert_int_equal(f->workers[1].served, 7);
	assert_int_equal(f->workers[1].age, 7);

	assert_int_equal(f->nlisteners, 3);
	assert_string_equal(f->listeners[0].label, "first");
	assert_int_equal(f->listeners[0].users, 4);
	assert_int_equal(f->listeners[0].accepted, 24);
	assert_int_equal(f->listeners[0].refused, 5);
	assert_string_equal(f->listeners[0].state, "open");
	assert_string_equal(f->listeners[0].accept, "master");
	assert_string_equal(f->listeners[1].label, "second");
	assert_string_equal(f->listeners[2].label, "gone");
	assert_string_equal(f->listeners[2].state, "closing");
	assert_int_equal(f->listeners[2].users, 2);

	assert_int_equal(f->ndestinations, 1);
	assert_int_equal(f->destinations[0].weight, 2);
	assert_int_equal(f->destinations[0].sessions, 6);
	assert_int_equal(f->destinations[0].total, 24);
	assert_int_equal(f->destinations[0].failures, 2);
	assert_int_equal(f->destinations[0].in, 10);
	assert_int_equal(f->destinations[0].out, 100);

	assert_int_equal(f->ended[0], 16);
	assert_int_equal(f->ended[3], 2);
	figures_free(f);
	board_close(&b);
}

/* A sum never falls when a worker goes. */
static void
test_monotone(void **state)
{
	struct board b;
	struct figures *f;

	(void)state;
	service(&b);
	board_leave(&b, 0);
	f = figures_take(&b, 12 * SECOND);
	assert_int_equal(f->nworkers, 1);
	assert_int_equal(f->destinations[0].total, 24);
	assert_int_equal(f->destinations[0].sessions, 3);
	assert_int_equal(f->ended[0], 16);
	figures_free(f);
	board_leave(&b, 2);
	f = figures_take(&b, 12 * SECOND);
	assert_int_equal(f->destinations[0].total, 24);
	assert_int_equal(f->ended[0], 16);
	assert_int_equal(f->nlisteners, 2);	/* nobody is left there */
	figures_free(f);
	board_close(&b);
}

static void
test_dead(void **state)
{
	static const struct { unsigned first, second; const char *want; } rows[] = {
		{ 0, 0, "up" }, { 1, 0, "partly" }, { 0, 1, "partly" },
		{ 1, 1, "dead" },
	};
	struct board b;
	struct figures *f;
	unsigned d;

	(void)state;
	service(&b);
	d = (unsigned)board_find(&b, BOARD_DESTINATION, "d");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		board_cell(&b, 0, d)->dead = rows[i].first;
		board_cell(&b, 2, d)->dead = rows[i].second;
		f = figures_take(&b, 0);
		assert_string_equal(f->destinations[0].state, rows[i].want);
		figures_free(f);
	}
	/* what workers of an older generation think is history */
	board_seat(&b, 0)->generation = 2;
	board_cell(&b, 0, d)->dead = 1;
	board_cell(&b, 2, d)->dead = 0;
	f = figures_take(&b, 0);
	assert_string_equal(f->destinations[0].state, "up");
	figures_free(f);
	board_close(&b);
}

/* Nobody counts: nobody says that it is nothing. */
static void
test_unknown(void **state)
{
	struct board b;
	struct figures *f;

	(void)state;
	service(&b);
	board_seat(&b, 0)->flags = BOARD_MIRROR | BOARD_NO_ENDS |
	    BOARD_NO_ROWS;
	b.head->unknown = BOARD_NO_ENDS | BOARD_NO_ROWS;
	f = figures_take(&b, 0);
	assert_true(f->ended[0] == FIGURE_UNKNOWN);
	assert_true(f->listeners[0].users == FIGURE_UNKNOWN);
	assert_int_equal(f->listeners[0].accepted, 24);
	assert_int_equal(f->users, 6);
	figures_free(f);
	board_close(&b);
}

/* Texts without an end, words that there are not, the future. */
static void
test_hostile(void **state)
{
	struct board b;
	struct figures *f;
	unsigned l;

	(void)state;
	service(&b);
	l = (unsigned)board_find(&b, BOARD_LISTENER, "first");
	memset(board_row(&b, l)->label, 'x', BOARD_LABEL);
	memset(board_row(&b, l)->text, 'y', BOARD_TEXT);
	memset(b.head->program, 'z', sizeof(b.head->program));
	memset(b.head->text, 'z', sizeof(b.head->text));
	board_row(&b, l)->state = 99;
	board_row(&b, l)->lent = UINT32_MAX;
	board_seat(&b, 0)->state = 1u << 31;
	b.head->overload = 4;
	f = figures_take(&b, 0);
	assert_int_equal(strlen(f->listeners[0].label), BOARD_LABEL - 1);
	assert_int_equal(strlen(f->listeners[0].text), BOARD_TEXT - 1);
	assert_int_equal(strlen(f->program), 31);
	assert_string_equal(f->listeners[0].state, "unknown");
	assert_string_equal(f->listeners[0].accept, "unknown");
	assert_string_equal(f->workers[1].state, "unknown");
	assert_string_equal(f->overload, "unknown");
	assert_int_equal(f->uptime, 0);
	assert_int_equal(f->workers[0].age, 0);
	figures_free(f);
	/* a master that died while it moved something is not waited for */
	b.head->moves = 1;
	f = figures_take(&b, 0);
	assert_non_null(f);
	figures_free(f);
	/* everything ones */
	memset((char *)b.head + b.seat_offset, 0xff, b.size - b.seat_offset);
	f = figures_take(&b, 0);
	assert_int_equal(f->nworkers, 4);
	assert_int_equal(f->nlisteners + f->ndestinations, 0);
	figures_free(f);
	board_close(&b);
}

/* The columns of 2.7, in its order. */
static void
test_columns(void **state)
{
	static const struct { const struct figure *f; const char *want; } rows[] = {
		{ worker_figures, "worker pid generation state users max "
		    "served age " },
		{ listener_figures, "listener endpoint accept state users "
		    "accepted refused " },
		{ destination_figures, "destination pool weight state "
		    "sessions total failures bytes-in bytes-out " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char text[256] = "";

		for (const struct figure *f = rows[i].f; f->name != NULL; f++) {
			strcat(text, f->name);
			strcat(text, " ");
		}
		assert_string_equal(text, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_monotone),
		cmocka_unit_test(test_dead),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
