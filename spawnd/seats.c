#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"
#include "../misc/log.h"
#include "conf.h"
#include "crew.h"
#include "listen.h"
#include "master.h"
#include "proc.h"
#include "program.h"
#include "roles.h"
#include "rows.h"
#include "seats.h"

#define COLUMNS_MIN	16u
/* Untouched memory is free; a second board is not. */
#define ROWS_MIN	1024u
#define SPAN_MAX	(UINT64_C(1) << 34)	/* bytes of address space */

/* ---- rows ---- */

/* Whatever workers of another kind serve, our section does not say. */
static bool
knows_rows(const struct master *m, const struct compiled *c)
{
	return m->program->rows != NULL && c->broker.spawn.exec == NULL;
}

static unsigned
rows_of(const struct master *m, const struct compiled *c)
{
	unsigned n = (unsigned)c->broker.nlisteners + 1;

	return m->program->row_count != NULL && knows_rows(m, c) ?
	    n + m->program->row_count(c) : n;
}

static void
rows_enter(struct master *m, struct seats *s, const struct compiled *c,
    uint32_t generation)
{
	rows_listeners(&c->broker, &s->board, generation);
	if (knows_rows(m, c))
		m->program->rows(c, &s->board, generation);
}

/* ---- boards ---- */

static void
head_set(struct master *m, struct seats *s)
{
	struct board_head *h = s->board.head;

	snprintf(h->program, sizeof(h->program), "%s", m->program->name);
	snprintf(h->text, sizeof(h->text), "%s", PACKAGE_VERSION);
	atomic_store(&h->pid, (uint32_t)getpid());
	if (board_get(&h->began) == 0)
		atomic_store(&h->began, m->started);
	atomic_store(&h->generation, m->generation);
}

/* A seat to be shown in, given up. */
static void
shown_end(struct proc *p)
{
	struct seats *s = p->shown;

	if (s == NULL)
		return;
	p->shown = NULL;
	s->taken[p->shown_at] = 0;
	s->used--;
}

/*
 * What has been counted goes with the board. Workers on the former one are
 * shown on the new one from now on.
 */
static void
seats_inherit(struct master *m, struct seats *s, const struct seats *former)
{
	struct board_head *h = s->board.head, *from = former->board.head;

	atomic_store(&h->started, board_get(&from->started));
	atomic_store(&h->began, board_get(&from->began));
	atomic_store(&h->overload, atomic_load(&from->overload));
	atomic_store(&h->capacity, atomic_load(&from->capacity));
	atomic_store(&h->unknown, atomic_load(&from->unknown));
	board_mirror(&s->board, board_past(&s->board), false, &former->board,
	    board_past(&former->board));
	board_repeat(&s->board, &former->board);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		shown_end(p);
}

static struct seats *
seats_alloc(void)
{
	static uint64_t last;
	struct seats *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->serial = ++last;
	return s;
}

static struct seats *
seats_make(unsigned columns, unsigned rows)
{
	struct seats *s = seats_alloc();

	if (s == NULL)
		return NULL;
	s->columns = columns;
	s->taken = calloc(columns, 1);
	if (s->taken == NULL || board_open(&s->board, columns, rows) == -1) {
		free(s->taken);
		free(s);
		return NULL;
	}
	return s;
}

static void
seats_free(struct seats *s)
{
	board_close(&s->board);
	free(s->taken);
	free(s);
}

/*
 * Twice the rows and four times the workers of this configuration, so that
 * reloads and lingering generations find place; untouched memory is free.
 */
static struct seats *
seats_new(struct master *m, const struct compiled *c, uint32_t generation)
{
	unsigned rows = rows_of(m, c) * 2;
	unsigned max = c->broker.spawn.instances_max;
	unsigned columns = max * 4 + m->nprocs * 2;
	struct seats *s, *former = m->seats;

	if (rows < ROWS_MIN)
		rows = ROWS_MIN;
	if (columns < COLUMNS_MIN)
		columns = COLUMNS_MIN;
	while (columns > max && (uint64_t)columns * rows *
	    sizeof(struct board_cell) > SPAN_MAX)
		columns--;
	if ((s = seats_make(columns, rows)) == NULL)
		return NULL;
	head_set(m, s);
	/* what runs comes first: of it there are figures to inherit */
	if (former != NULL && generation != m->generation)
		rows_enter(m, s, m->conf.conf, m->generation);
	rows_enter(m, s, c, generation);
	if (former != NULL)
		seats_inherit(m, s, former);
	s->next = former;
	m->seats = s;
	listeners_show(m);
	seats_show(m);
	return s;
}

static void
seats_drop_unused(struct master *m)
{
	for (struct seats **sp = &m->seats, *s; (s = *sp) != NULL; ) {
		if (s->used > 0 || s == m->seats) {
			sp = &s->next;
			continue;
		}
		*sp = s->next;
		seats_free(s);
	}
}

bool
seats_prepare(struct master *m, const struct compiled *c,
    uint32_t generation)
{
	struct seats *s = m->seats;

	if (s != NULL) {
		board_recycle(&s->board);
		s->board.full = false;
		rows_enter(m, s, c, generation);
		if (!s->board.full)
			return true;
	}
	/* a single process sits where it sits */
	if (m->single != NULL) {
		log_warn("status: no place for all destinations");
		return true;
	}
	if (seats_new(m, c, generation) == NULL)
		log_warn("no memory for a board: %s", strerror(errno));
	seats_drop_unused(m);
	return false;
}

void
seats_commit(struct master *m)
{
	struct seats *s = m->seats;

	if (s == NULL)
		return;
	head_set(m, s);
	rows_enter(m, s, m->conf.conf, m->generation);
	board_unorder(&s->board);
	listeners_show(m);
	seats_show(m);
}

/* ---- columns ---- */

static bool
column_take(struct seats *s, unsigned *column)
{
	for (unsigned i = 0; i < s->columns; i++) {
		if (s->taken[i])
			continue;
		s->taken[i] = 1;
		s->used++;
		board_reset(&s->board, i);
		*column = i;
		return true;
	}
	errno = ENOSPC;
	return false;
}

/* The former owner's figures become past. */
static void
column_leave(struct seats *s, unsigned column)
{
	board_leave(&s->board, column);
	s->taken[column] = 0;
	s->used--;
}

struct seats *
seats_take(struct master *m, const struct compiled *c, uint32_t generation,
    unsigned *column)
{
	struct seats *s = m->seats;

	if (s == NULL || s->used == s->columns)
		s = seats_new(m, c, generation);
	if (s == NULL || !column_take(s, column))
		return NULL;
	return s;
}

void
seats_leave(struct proc *p)
{
	struct master *m = p->master;

	if (p->shown != NULL && p->seats != NULL)
		board_mirror(&p->shown->board, p->shown_at, false,
		    &p->seats->board, p->column);
	if (p->shown != NULL) {
		column_leave(p->shown, p->shown_at);
		p->shown = NULL;
	}
	if (p->seats != NULL)
		column_leave(p->seats, p->column);
	p->seats = NULL;
	seats_drop_unused(m);
}

/* ---- what only the master knows ---- */

/* One that counts by messages: its column says the same as they do. */
static void
plain_show(struct proc *p)
{
	struct board *b = &p->shown->board;
	struct board_seat *seat = board_seat(b, p->shown_at);
	struct board_column *c = board_column(b, p->shown_at);
	uint64_t use = p->users > p->out.n ? p->users - p->out.n : 0;
	uint64_t passed = p->passed < p->served ? p->passed : p->served;

	proc_seat(p, seat);
	atomic_store(&seat->flags, BOARD_MIRROR | BOARD_NO_ENDS |
	    BOARD_NO_ROWS);
	atomic_store(&c->returned, passed);
	atomic_store(&c->finished, p->served - passed > use ?
	    p->served - passed - use : 0);
	atomic_store(&seat->given, p->served);
}

static bool	 shown_again(struct proc *);

/* On the newest board, if it does not sit there. */
static void
proc_show(struct proc *p)
{
	struct seats *s = p->master->seats;

	if (p->seats == s) {
		proc_seat(p, board_seat(&s->board, p->column));
		return;
	}
	if (p->shown == NULL && !shown_again(p)) {
		if (s->used == s->columns || !column_take(s, &p->shown_at))
			return;		/* later, perhaps */
		p->shown = s;
	}
	if (p->seats == NULL)
		plain_show(p);
	else {
		proc_seat(p, board_seat(&p->seats->board, p->column));
		board_mirror(&s->board, p->shown_at, true, &p->seats->board,
		    p->column);
	}
}

/* What cannot be known any more, because somebody was here. */
static void
unknown_set(struct master *m)
{
	_Atomic uint32_t *unknown = &m->seats->board.head->unknown;
	uint32_t flags = atomic_load(unknown);

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->was_ready && p->seats == NULL)
			flags |= BOARD_NO_ENDS | BOARD_NO_ROWS;
		else if (p->was_ready)
			flags |= atomic_load(&board_seat(&p->seats->board,
			    p->column)->flags) & BOARD_NO_ROWS;
	atomic_store(unknown, flags);
}

void
seats_show(struct master *m)
{
	if (m->seats == NULL)
		return;
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->state != PROC_DEAD)
			proc_show(p);
	unknown_set(m);
	roles_repeat(m);
	crew_refresh(m);
	seats_overload(m);
}

/* Workers look there, on whatever board they sit. */
void
seats_overload(struct master *m)
{
	for (struct seats *s = m->seats; s != NULL; s = s->next) {
		struct board_head *h = s->board.head;

		atomic_store_explicit(&h->overload, m->overload ?
		    (uint32_t)m->conf.conf->broker.overload + 1 : 0,
		    memory_order_relaxed);
		atomic_store_explicit(&h->capacity,
		    (uint32_t)crew_capacity(m), memory_order_relaxed);
	}
}

void
seats_clear(struct master *m)
{
	for (struct seats *s = m->seats, *next; s != NULL; s = next) {
		next = s->next;
		seats_free(s);
	}
	m->seats = NULL;
}

/* ---- over an upgrade ---- */

#define SEAT_STRAY	2	/* in seats.taken: not by a worker of ours */
#define SEAT_MIRROR	3	/* by one that is not there yet */

static bool
is_mirror(const struct seats *s, unsigned column)
{
	struct board_seat *seat = board_seat(&s->board, column);

	return atomic_load(&seat->state) != BOARD_FREE &&
	    atomic_load(&seat->flags) & BOARD_MIRROR;
}

struct seats *
seats_adopt(struct master *m, int fd, size_t size)
{
	struct seats *s = seats_alloc();

	if (s == NULL) {
		close(fd);
		return NULL;
	}
	if (board_adopt(&s->board, fd, size) == -1) {
		free(s);
		return NULL;
	}
	s->columns = s->board.columns;
	if ((s->taken = calloc(s->columns, 1)) == NULL) {
		seats_free(s);
		return NULL;
	}
	for (unsigned i = 0; i < s->columns; i++)
		if (is_mirror(s, i)) {
			s->taken[i] = SEAT_MIRROR;
			s->used++;
		}
	s->next = m->seats;
	m->seats = s;
	return s;
}

bool
seats_sit(struct seats *s, unsigned column)
{
	if (column >= s->columns || s->taken[column])
		return false;
	s->taken[column] = 1;
	s->used++;
	return true;
}

/* Where it was shown by the program before us. */
static bool
shown_again(struct proc *p)
{
	struct seats *s = p->master->seats;

	for (unsigned i = 0; i < s->columns; i++)
		if (s->taken[i] == SEAT_MIRROR && atomic_load(&board_seat(
		    &s->board, i)->number) == p->number) {
			s->taken[i] = 1;
			p->shown = s;
			p->shown_at = i;
			return true;
		}
	return false;
}

void
seats_settle(struct master *m)
{
	seats_show(m);
	for (struct seats *s = m->seats; s != NULL; s = s->next)
		for (unsigned i = 0; i < s->columns; i++)
			if (s->taken[i] == SEAT_MIRROR)
				column_leave(s, i);
	seats_drop_unused(m);
}

void
seats_retake(struct master *m)
{
	for (struct seats *s = m->seats; s != NULL; s = s->next) {
		struct board_head *h = s->board.head;

		/* it may have died in the middle */
		if (atomic_load(&h->moves) % 2 != 0)
			atomic_fetch_add(&h->moves, 1);
		head_set(m, s);
	}
	seats_commit(m);
}

void
seats_stray(struct master *m, struct seats *s)
{
	for (unsigned i = 0; i < s->columns; i++) {
		struct board_seat *seat = board_seat(&s->board, i);
		uint32_t number = atomic_load(&seat->number);

		if (s->taken[i] || atomic_load(&seat->state) == BOARD_FREE)
			continue;
		s->taken[i] = SEAT_STRAY;
		s->used++;
		if (i >= s->board.top)
			s->board.top = i + 1;
		/* nor is his number given again */
		if (number > m->numbers && number - m->numbers < s->columns)
			m->numbers = number;
	}
}

unsigned
seats_strays(struct seats *s, bool (*gone)(pid_t))
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->columns; i++) {
		struct board_seat *seat = board_seat(&s->board, i);

		if (s->taken[i] != SEAT_STRAY)
			continue;
		if (gone((pid_t)atomic_load(&seat->pid)))
			column_leave(s, i);
		else
			n++;
	}
	return n;
}
