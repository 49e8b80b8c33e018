#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "../misc/log.h"
#include "conf.h"
#include "crew.h"
#include "master.h"
#include "program.h"
#include "seats.h"

#define COLUMNS_MIN	16u
#define ROWS_MIN	64u
#define SPAN_MAX	(UINT64_C(1) << 34)	/* bytes of address space */

static unsigned
rows_of(const struct master *m, const struct compiled *c)
{
	return m->program->row_count != NULL ? m->program->row_count(c) : 0;
}

static unsigned
rows_free(const struct seats *s)
{
	unsigned n = 0;

	for (unsigned r = 0; r < s->board.head->rows; r++)
		n += atomic_load_explicit(&board_row(&s->board, r)->used,
		    memory_order_relaxed) == 0;
	return n;
}

/*
 * Twice the rows and four times the workers of this configuration, so that
 * reloads and lingering generations find place; untouched memory is free.
 */
static struct seats *
seats_new(struct master *m, const struct compiled *c, uint32_t generation)
{
	struct seats *s = calloc(1, sizeof(*s));
	unsigned rows = rows_of(m, c) * 2;
	unsigned max = c->broker.spawn.instances_max;
	unsigned columns = max * 4;

	if (s == NULL)
		return NULL;
	if (rows < ROWS_MIN)
		rows = ROWS_MIN;
	if (columns < COLUMNS_MIN)
		columns = COLUMNS_MIN;
	while (columns > max && (uint64_t)columns * rows *
	    sizeof(struct board_cell) > SPAN_MAX)
		columns--;
	s->taken = calloc(columns, 1);
	if (s->taken == NULL || board_open(&s->board, columns, rows) == -1) {
		free(s->taken);
		free(s);
		return NULL;
	}
	s->columns = columns;
	s->next = m->seats;
	m->seats = s;
	if (m->program->rows != NULL)
		m->program->rows(c, &s->board, generation);
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
		board_close(&s->board);
		free(s->taken);
		free(s);
	}
}

bool
seats_prepare(struct master *m, const struct compiled *c,
    uint32_t generation)
{
	struct seats *s = m->seats;

	if (s != NULL && rows_free(s) >= rows_of(m, c)) {
		if (m->program->rows != NULL)
			m->program->rows(c, &s->board, generation);
		return true;
	}
	if (seats_new(m, c, generation) == NULL)
		log_warn("no memory for a board: %s", strerror(errno));
	seats_drop_unused(m);
	return false;
}

struct seats *
seats_take(struct master *m, const struct compiled *c, uint32_t generation,
    unsigned *column)
{
	struct seats *s = m->seats;

	if (s == NULL || s->used == s->columns)
		s = seats_new(m, c, generation);
	if (s == NULL)
		return NULL;
	for (unsigned i = 0; i < s->columns; i++) {
		if (s->taken[i])
			continue;
		s->taken[i] = 1;
		s->used++;
		board_reset(&s->board, i);
		*column = i;
		return s;
	}
	return NULL;
}

void
seats_leave(struct master *m, struct seats *s, unsigned column)
{
	atomic_store(&board_seat(&s->board, column)->state, BOARD_FREE);
	s->taken[column] = 0;
	s->used--;
	seats_drop_unused(m);
}

void
seats_overload(struct master *m)
{
	struct board_head *h;

	if (m->seats == NULL)
		return;
	h = m->seats->board.head;
	atomic_store_explicit(&h->generation, m->generation,
	    memory_order_relaxed);
	atomic_store_explicit(&h->overload, m->overload ?
	    (uint32_t)m->conf.conf->broker.overload + 1 : 0,
	    memory_order_relaxed);
	atomic_store_explicit(&h->capacity, (uint32_t)crew_capacity(m),
	    memory_order_relaxed);
}

void
seats_clear(struct master *m)
{
	for (struct seats *s = m->seats, *next; s != NULL; s = next) {
		next = s->next;
		board_close(&s->board);
		free(s->taken);
		free(s);
	}
	m->seats = NULL;
}

/* ---- over an upgrade ---- */

#define SEAT_STRAY	2	/* in seats.taken: not by a worker of ours */

struct seats *
seats_adopt(struct master *m, int fd, size_t size)
{
	struct seats *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		close(fd);
		return NULL;
	}
	if (board_map(&s->board, fd, size) == -1) {
		free(s);
		return NULL;
	}
	s->columns = s->board.columns;
	if ((s->taken = calloc(s->columns, 1)) == NULL) {
		board_close(&s->board);
		free(s);
		return NULL;
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
		if (!gone((pid_t)atomic_load(&seat->pid))) {
			n++;
			continue;
		}
		atomic_store(&seat->state, BOARD_FREE);
		s->taken[i] = 0;
		s->used--;
	}
	return n;
}
