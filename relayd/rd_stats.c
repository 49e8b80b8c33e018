/*
 * The formulas of sessions over time. All of it is integer arithmetic, and
 * averages are halves: the last interval counts as much as all before it.
 */
#include <stdlib.h>
#include <string.h>

#include "rd_stats.h"

#define HOUR	(3600 / RD_STATS_INTERVAL)	/* ticks */
#define DAY	(86400 / RD_STATS_INTERVAL)

#define TRIES	1000		/* while figures are being moved */

static const struct rd_stat *
stat_find(const struct rd_stats *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->entries[i].name, name) == 0)
			return &s->entries[i];
	return NULL;
}

static void
name_set(char to[static BOARD_NAME], const char *from)
{
	size_t n = strlen(from);

	if (n >= BOARD_NAME)
		n = BOARD_NAME - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

static void
stat_begin(struct rd_stat *t, const struct rd_stats *before,
    const struct rd_stats_source *source)
{
	const struct rd_stat *former;

	name_set(t->name, source->name);
	if ((former = stat_find(before, t->name)) != NULL)
		*t = *former;
	if (former != NULL && strcmp(t->counter, source->counter) == 0)
		return;
	/* what another one has counted there is not ours */
	name_set(t->counter, source->counter);
	t->seen = source->total;
}

int
rd_stats_adopt(struct rd_stats *s, const struct rd_stats_source *sources,
    size_t n)
{
	struct rd_stat *entries = calloc(n + 1, sizeof(*entries));

	if (entries == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		stat_begin(&entries[i], s, &sources[i]);
	free(s->entries);
	s->entries = entries;
	s->n = n;
	return 0;
}

static void
stat_tick(struct rd_stat *t, uint64_t total)
{
	/* one that has fallen is a new one's */
	uint64_t n = total >= t->seen ? total - t->seen : total;

	t->seen = total;
	t->ticks++;
	t->total += n;
	t->last = n;
	t->average = (n + t->average) / 2;
	t->last_hour += n;
	t->last_day += n;
	if (t->ticks % HOUR == 0) {
		t->average_hour = (t->last_hour + t->average_hour) / 2;
		t->last_hour = 0;
	}
	if (t->ticks % DAY == 0) {
		t->average_day = (t->last_day + t->average_day) / 2;
		t->last_day = 0;
	}
}

void
rd_stats_tick(struct rd_stats *s, const uint64_t *totals)
{
	for (size_t i = 0; i < s->n; i++)
		stat_tick(&s->entries[i], totals[i]);
}

void
rd_stats_clear(struct rd_stats *s)
{
	free(s->entries);
	s->entries = NULL;
	s->n = 0;
}

static uint64_t
total_once(const struct board *b, unsigned row)
{
	uint64_t sum = board_get(&board_cell(b, board_past(b), row)->total);

	for (unsigned c = 0; c < b->columns; c++)
		if (atomic_load(&board_seat(b, c)->state) != BOARD_FREE)
			sum += board_get(&board_cell(b, c, row)->total);
	return sum;
}

bool
rd_stats_total(const struct board *b, const char *listener, uint64_t *total)
{
	int row = board_find(b, BOARD_LISTENER, listener);
	uint64_t sum;
	uint32_t before;

	if (row == -1) {
		*total = 0;
		return true;
	}
	/*
	 * A worker that leaves has its figures moved from its column to the
	 * past: a sum taken meanwhile has them twice or not at all. That takes
	 * microseconds.
	 */
	for (unsigned i = 0; i < TRIES; i++) {
		before = atomic_load(&b->head->moves);
		sum = total_once(b, (unsigned)row);
		atomic_thread_fence(memory_order_acquire);
		if (before % 2 == 0 && atomic_load(&b->head->moves) == before) {
			*total = sum;
			return true;
		}
	}
	return false;
}
