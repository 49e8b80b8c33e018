/*
 * Choosing destinations. The candidates stand in a heap ordered by use per
 * weight, ties by file order, so that a choice costs little among ten
 * thousand. What is known of a destination (struct member) is shared by the
 * configurations that have it; the heap is that of the current one, which
 * is its members' home. Sessions of an older configuration look through the
 * list instead: there are few of them, and only while they connect.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pick.h"

enum member_state {
	MEMBER_UP,		/* candidate */
	MEMBER_DEAD,		/* until its time is over */
	MEMBER_DUE,		/* dead, but somebody may look again */
	MEMBER_PROBED		/* dead, and somebody is looking */
};

/* Owned by the picks that have it, together. */
struct member {
	char			*identity;
	struct board_cell	*cell;
	struct board_cell	*own;		/* cell where there is no row */
	unsigned		 refs;
	enum member_state	 state;
	uint32_t		 use;
	bool			 told;		/* the log: it is dead */
	uint64_t		 since;		/* dead since */
	const struct pick_way	*prober;
	struct pick		*home;		/* NULL: no longer configured */
	uint32_t		 index;		/* at home */
	uint32_t		 place;		/* in the heap + 1; 0: none */
	struct member		*prev, *next;	/* of those not up, by since */
};

struct pick {
	struct member	**members;		/* by index */
	uint32_t	 *weights;
	uint32_t	 *order;		/* indexes sorted by identity */
	uint32_t	 *heap;			/* indexes of candidates */
	size_t		  n, nheap;
	uint32_t	  rebalance, chosen;
	uint64_t	  dead_time;
	struct member	 *dead, *dead_last;	/* MEMBER_DEAD, oldest first */
	struct member	 *late;			/* MEMBER_DUE, MEMBER_PROBED */
};

/* ---- heap */

/* Is i before j? Exact: 32 bits by 16 bits. */
static bool
before(const struct pick *p, uint32_t i, uint32_t j)
{
	uint64_t a = (uint64_t)p->members[i]->use * p->weights[j];
	uint64_t b = (uint64_t)p->members[j]->use * p->weights[i];

	return a != b ? a < b : i < j;
}

static void
heap_put(struct pick *p, size_t place, uint32_t i)
{
	p->heap[place] = i;
	p->members[i]->place = (uint32_t)place + 1;
}

static void
heap_up(struct pick *p, size_t place)
{
	uint32_t i = p->heap[place];

	while (place > 0 && before(p, i, p->heap[(place - 1) / 2])) {
		heap_put(p, place, p->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	heap_put(p, place, i);
}

static void
heap_down(struct pick *p, size_t place)
{
	uint32_t i = p->heap[place];
	size_t child;

	while ((child = 2 * place + 1) < p->nheap) {
		if (child + 1 < p->nheap &&
		    before(p, p->heap[child + 1], p->heap[child]))
			child++;
		if (!before(p, p->heap[child], i))
			break;
		heap_put(p, place, p->heap[child]);
		place = child;
	}
	heap_put(p, place, i);
}

static void
heap_insert(struct pick *p, uint32_t i)
{
	heap_put(p, p->nheap, i);
	heap_up(p, p->nheap++);
}

static void
heap_remove(struct pick *p, uint32_t i)
{
	size_t place = p->members[i]->place - 1;
	uint32_t last = p->heap[--p->nheap];

	p->members[i]->place = 0;
	if (last == i)
		return;
	heap_put(p, place, last);
	heap_up(p, place);
	heap_down(p, p->members[last]->place - 1);
}

/* ---- members */

static void
list_remove(struct pick *p, struct member *m)
{
	struct member **head = m->state == MEMBER_DEAD ? &p->dead : &p->late;

	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		*head = m->next;
	if (m->next != NULL)
		m->next->prev = m->prev;
	else if (m->state == MEMBER_DEAD)
		p->dead_last = m->prev;
	m->prev = m->next = NULL;
}

/* Behind all that died before it: nearly always the end. */
static void
dead_insert(struct pick *p, struct member *m)
{
	struct member *after = p->dead_last;

	while (after != NULL && after->since > m->since)
		after = after->prev;
	m->prev = after;
	m->next = after != NULL ? after->next : p->dead;
	if (m->next != NULL)
		m->next->prev = m;
	else
		p->dead_last = m;
	if (after != NULL)
		after->next = m;
	else
		p->dead = m;
}

static void
late_insert(struct pick *p, struct member *m)
{
	m->prev = NULL;
	m->next = p->late;
	if (m->next != NULL)
		m->next->prev = m;
	p->late = m;
}

static void
member_leave(struct member *m)
{
	if (m->home == NULL)
		return;
	if (m->place != 0)
		heap_remove(m->home, m->index);
	if (m->state != MEMBER_UP)
		list_remove(m->home, m);
}

static void
member_enter(struct member *m)
{
	if (m->home == NULL)
		return;
	if (m->state == MEMBER_UP || m->state == MEMBER_DUE)
		heap_insert(m->home, m->index);
	if (m->state == MEMBER_DEAD)
		dead_insert(m->home, m);
	else if (m->state != MEMBER_UP)
		late_insert(m->home, m);
}

/* The only place that writes a state. now matters to MEMBER_DEAD only. */
static void
member_set(struct member *m, enum member_state state, uint64_t now)
{
	member_leave(m);
	m->state = state;
	if (state == MEMBER_DEAD)
		m->since = now;
	if (state != MEMBER_PROBED)
		m->prober = NULL;
	member_enter(m);
	atomic_store_explicit(&m->cell->dead, state != MEMBER_UP,
	    memory_order_relaxed);
}

static void
member_use(struct member *m, uint32_t use)
{
	bool more = use > m->use;

	/* Hosts that several relays have are one row: others count there. */
	atomic_store_explicit(&m->cell->use, atomic_load_explicit(
	    &m->cell->use, memory_order_relaxed) + use - m->use,
	    memory_order_relaxed);
	m->use = use;
	if (m->place == 0)
		return;
	if (more)
		heap_down(m->home, m->place - 1);
	else
		heap_up(m->home, m->place - 1);
}

static struct member *
member_new(const struct pick_entry *e)
{
	struct member *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->refs = 1;
	m->identity = strdup(e->identity);
	if ((m->cell = e->cell) == NULL)
		m->cell = m->own = calloc(1, sizeof(*m->own));
	if (m->identity == NULL || m->cell == NULL) {
		free(m->identity);
		free(m->own);
		free(m);
		return NULL;
	}
	return m;
}

static void
member_drop(struct member *m)
{
	if (m->cell != NULL && m->cell != m->own)
		board_drop(m->cell);
}

static void
member_unref(struct member *m)
{
	if (m == NULL || --m->refs != 0)
		return;
	member_drop(m);
	free(m->identity);
	free(m->own);
	free(m);
}

/* Tells in numbers what was told in the former cell. */
static void
member_cell(struct member *m, struct board_cell *cell)
{
	atomic_store_explicit(&cell->use, atomic_load_explicit(&cell->use,
	    memory_order_relaxed) + m->use, memory_order_relaxed);
	atomic_store_explicit(&cell->dead, m->state != MEMBER_UP,
	    memory_order_relaxed);
	board_add(&cell->total, board_get(&m->cell->total));
	board_add(&cell->failures, board_get(&m->cell->failures));
	board_add(&cell->in, board_get(&m->cell->in));
	board_add(&cell->out, board_get(&m->cell->out));
	member_drop(m);
	m->cell = cell;
}

/* ---- picks */

struct named { const char *name; uint32_t index; };

static int
named_compare(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name,
	    ((const struct named *)b)->name);
}

static int
pick_sort(struct pick *p)
{
	struct named *names = calloc(p->n + 1, sizeof(*names));

	if (names == NULL)
		return -1;
	for (uint32_t i = 0; i < p->n; i++)
		names[i] = (struct named){ p->members[i]->identity, i };
	qsort(names, p->n, sizeof(*names), named_compare);
	for (uint32_t i = 0; i < p->n; i++)
		p->order[i] = names[i].index;
	free(names);
	return 0;
}

static int
pick_fill(struct pick *p, const struct pick_entry *entries, size_t n)
{
	p->members = calloc(n + 1, sizeof(*p->members));
	p->weights = calloc(n + 1, sizeof(*p->weights));
	p->order = calloc(n + 1, sizeof(*p->order));
	p->heap = calloc(n + 1, sizeof(*p->heap));
	if (p->members == NULL || p->weights == NULL || p->order == NULL ||
	    p->heap == NULL)
		return -1;
	for (; p->n < n; p->n++) {
		p->weights[p->n] = entries[p->n].weight;
		p->members[p->n] = member_new(&entries[p->n]);
		if (p->members[p->n] == NULL)
			return -1;
	}
	return pick_sort(p);
}

struct pick *
pick_new(const struct pick_entry *entries, size_t n, uint32_t rebalance,
    uint64_t dead_time)
{
	struct pick *p = calloc(1, sizeof(*p));
	size_t made;

	if (p != NULL && pick_fill(p, entries, n) == 0) {
		p->rebalance = rebalance;
		p->dead_time = dead_time;
		return p;
	}
	made = p != NULL ? p->n : 0;
	pick_free(p);
	for (; made < n; made++)
		if (entries[made].cell != NULL)
			board_drop(entries[made].cell);
	return NULL;
}

void
pick_free(struct pick *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++) {
		struct member *m = p->members[i];

		if (m != NULL && m->home == p) {
			member_leave(m);
			m->home = NULL;
		}
		member_unref(m);
	}
	free(p->members);
	free(p->weights);
	free(p->order);
	free(p->heap);
	free(p);
}

/* Takes m in place of the fresh member that p made for destination i. */
static void
pick_share(struct pick *p, uint32_t i, struct member *m)
{
	struct member *fresh = p->members[i];

	if (m == fresh)
		return;
	m->refs++;
	p->members[i] = m;
	if (fresh->own == NULL && fresh->cell != m->cell) {
		member_cell(m, fresh->cell);
		fresh->cell = NULL;
	}
	member_unref(fresh);
}

void
pick_adopt(struct pick *p, struct pick *former)
{
	uint32_t a = 0, b = 0;

	while (former != NULL && a < p->n && b < former->n) {
		struct member *mine = p->members[p->order[a]];
		struct member *theirs = former->members[former->order[b]];
		int order = strcmp(mine->identity, theirs->identity);

		if (order == 0)
			pick_share(p, p->order[a], theirs);
		a += order <= 0;
		b += order >= 0;
	}
	for (b = 0; former != NULL && b < former->n; b++) {
		struct member *m = former->members[b];

		if (m->home == former) {
			member_leave(m);
			m->home = NULL;
		}
	}
	if (former != NULL)
		p->chosen = former->chosen;
	for (uint32_t i = 0; i < p->n; i++) {
		p->members[i]->home = p;
		p->members[i]->index = i;
		member_enter(p->members[i]);
	}
}

/* A current pick is home to all of its members. */
static bool
pick_current(const struct pick *p)
{
	return p->n != 0 && p->members[0]->home == p;
}

/* Clears all dead marks. */
static void
pick_clear(struct pick *p)
{
	if (!pick_current(p))
		for (size_t i = 0; i < p->n; i++)
			if (p->members[i]->state != MEMBER_UP)
				member_set(p->members[i], MEMBER_UP, 0);
	while (p->dead != NULL)
		member_set(p->dead, MEMBER_UP, 0);
	while (p->late != NULL)
		member_set(p->late, MEMBER_UP, 0);
}

static bool
time_over(const struct pick *p, const struct member *m, uint64_t now)
{
	return p->dead_time != 0 && now >= m->since &&
	    now - m->since >= p->dead_time;
}

static bool
candidate(const struct pick *p, const struct member *m, uint64_t now)
{
	switch (m->state) {
	case MEMBER_UP:
	case MEMBER_DUE:
		return true;
	case MEMBER_DEAD:
		return time_over(p, m, now);
	case MEMBER_PROBED:
		break;
	}
	return false;
}

static bool
was_tried(const struct pick_way *way, size_t i)
{
	return way->tried != NULL && (way->tried[i / 8] >> (i % 8) & 1) != 0;
}

/* Through the whole list: what is first in the heap was tried already, or
 * there is no heap. */
static int
pick_search(const struct pick *p, const struct pick_way *way, uint64_t now)
{
	int best = -1;

	for (uint32_t i = 0; i < p->n; i++)
		if (candidate(p, p->members[i], now) && !was_tried(way, i) &&
		    (best == -1 || before(p, i, (uint32_t)best)))
			best = (int)i;
	return best;
}

static int
pick_best(struct pick *p, const struct pick_way *way, uint64_t now)
{
	while (p->dead != NULL && time_over(p, p->dead, now))
		member_set(p->dead, MEMBER_DUE, 0);
	if (p->nheap != 0 && !was_tried(way, p->heap[0]))
		return (int)p->heap[0];
	if (p->nheap == 0 && pick_current(p))
		return -1;
	return pick_search(p, way, now);
}

int
pick_choose(struct pick *p, struct pick_way *way, uint64_t now)
{
	struct member *m;
	int i;

	if (p->rebalance != 0 && p->chosen >= p->rebalance) {
		pick_clear(p);
		p->chosen = 0;
	}
	if (p->chosen != UINT32_MAX)
		p->chosen++;
	if ((i = pick_best(p, way, now)) == -1 && !way->again) {
		way->again = true;
		pick_clear(p);
		if (way->tried != NULL)
			memset(way->tried, 0, p->n / 8 + 1);
		i = pick_best(p, way, now);
	}
	if (i == -1)
		return -1;
	m = p->members[i];
	if (m->state != MEMBER_UP) {
		member_set(m, MEMBER_PROBED, 0);
		m->prober = way;
	}
	member_use(m, m->use + 1);
	return i;
}

void
pick_take(struct pick *p, size_t i)
{
	member_use(p->members[i], p->members[i]->use + 1);
}

bool
pick_failed(struct pick *p, size_t i, uint64_t now)
{
	struct member *m = p->members[i];
	bool news = !m->told;

	board_add(&m->cell->failures, 1);
	m->told = true;
	member_set(m, MEMBER_DEAD, now);
	return news;
}

bool
pick_succeeded(struct pick *p, size_t i)
{
	struct member *m = p->members[i];
	bool news = m->told;

	board_add(&m->cell->total, 1);
	m->told = false;
	if (m->state != MEMBER_UP)
		member_set(m, MEMBER_UP, 0);
	return news;
}

void
pick_release(struct pick *p, struct pick_way *way, size_t i)
{
	struct member *m = p->members[i];

	assert(m->use > 0);
	member_use(m, m->use - 1);
	/* Looked, and went away without a verdict: the next one may look. */
	if (m->state == MEMBER_PROBED && m->prober == way)
		member_set(m, MEMBER_DUE, 0);
}

int
pick_tried(struct pick *p, struct pick_way *way, size_t i)
{
	if (way->tried == NULL &&
	    (way->tried = calloc(1, p->n / 8 + 1)) == NULL)
		return -1;
	way->tried[i / 8] = (uint8_t)(way->tried[i / 8] | 1u << (i % 8));
	return 0;
}

void
pick_way_clear(struct pick_way *way)
{
	free(way->tried);
	way->tried = NULL;
}

struct board_cell *
pick_cell(struct pick *p, size_t i)
{
	return p->members[i]->cell;
}

void
pick_set_cell(struct pick *p, size_t i, struct board_cell *cell)
{
	if (cell == p->members[i]->cell)
		board_drop(cell);
	else
		member_cell(p->members[i], cell);
}

bool
pick_cell_private(const struct pick *p, size_t i)
{
	return p->members[i]->cell == p->members[i]->own;
}
