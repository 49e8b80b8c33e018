/*
 * Reading a board. Nothing that stands there is believed: it may be somebody
 * else's, and is written while we read.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"

#define TRIES	50		/* while figures are being moved */
#define PAUSE	1000000L	/* ns */
#define SECOND	UINT64_C(1000000000)

#define WORKER(kind, name, field) \
	{ name, kind, offsetof(struct figures_worker, field) }
#define LISTENER(kind, name, field) \
	{ name, kind, offsetof(struct figures_listener, field) }
#define DESTINATION(kind, name, field) \
	{ name, kind, offsetof(struct figures_destination, field) }
#define END	{ NULL, FIGURE_NUMBER, 0 }

const struct figure worker_figures[] = {
	WORKER(FIGURE_NUMBER, "worker", number),
	WORKER(FIGURE_NUMBER, "pid", pid),
	WORKER(FIGURE_NUMBER, "generation", generation),
	WORKER(FIGURE_WORD, "state", state),
	WORKER(FIGURE_NUMBER, "users", users),
	WORKER(FIGURE_NUMBER, "max", max),
	WORKER(FIGURE_NUMBER, "served", served),
	WORKER(FIGURE_NUMBER, "age", age),
	END
};

const struct figure listener_figures[] = {
	LISTENER(FIGURE_CHARS, "listener", label),
	LISTENER(FIGURE_CHARS, "endpoint", text),
	LISTENER(FIGURE_WORD, "accept", accept),
	LISTENER(FIGURE_WORD, "state", state),
	LISTENER(FIGURE_NUMBER, "users", users),
	LISTENER(FIGURE_NUMBER, "accepted", accepted),
	LISTENER(FIGURE_NUMBER, "refused", refused),
	END
};

const struct figure destination_figures[] = {
	DESTINATION(FIGURE_CHARS, "destination", text),
	DESTINATION(FIGURE_CHARS, "pool", label),
	DESTINATION(FIGURE_NUMBER, "weight", weight),
	DESTINATION(FIGURE_WORD, "state", state),
	DESTINATION(FIGURE_NUMBER, "sessions", sessions),
	DESTINATION(FIGURE_NUMBER, "total", total),
	DESTINATION(FIGURE_NUMBER, "failures", failures),
	DESTINATION(FIGURE_NUMBER, "bytes-in", in),
	DESTINATION(FIGURE_NUMBER, "bytes-out", out),
	END
};

const char *
figure_text(const struct figure *f, const void *object)
{
	const char *at = (const char *)object + f->offset, *word;

	switch (f->kind) {
	case FIGURE_CHARS:
		return at;
	case FIGURE_WORD:
		memcpy(&word, at, sizeof(word));
		return word;
	case FIGURE_NUMBER:
		break;
	}
	return NULL;
}

uint64_t
figure_number(const struct figure *f, const void *object)
{
	uint64_t n;

	memcpy(&n, (const char *)object + f->offset, sizeof(n));
	return n;
}

/* ---- words ---- */

static const char *
word(const char *const *words, size_t n, uint32_t i)
{
	return i < n ? words[i] : "unknown";
}
#define WORD(words, i)	word(words, sizeof(words) / sizeof(*words), i)

static const char *const worker_states[] = {
	[BOARD_FREE]		= "ending",
	[BOARD_STARTING]	= "starting",
	[BOARD_READY]		= "ready",
	[BOARD_SUSPECTED]	= "suspected",
	[BOARD_RETIRING]	= "retiring",
	[BOARD_ENDING]		= "ending",
};

static const char *const socket_states[] = {
	[BOARD_OPEN]		= "open",
	[BOARD_RETRYING]	= "retrying",
	[BOARD_CLOSING]		= "closing",
};

static const char *const accepts[] = { "master", "workers" };
static const char *const overloads[] = { "no", "queue", "close", "reset" };

/* size is that of both. */
static void
text_copy(char *to, const char *from, size_t size)
{
	memcpy(to, from, size);
	to[size - 1] = '\0';
}

/* ---- workers ---- */

/* Columns that somebody sits in, found once. */
struct seated {
	unsigned	*columns, n;
	uint32_t	 flags;		/* of all of them */
};

static bool
seated_find(struct seated *s, const struct board *b)
{
	memset(s, 0, sizeof(*s));
	if ((s->columns = calloc(b->columns, sizeof(*s->columns))) == NULL)
		return false;
	for (unsigned c = 0; c < b->columns; c++) {
		struct board_seat *seat = board_seat(b, c);

		if (atomic_load(&seat->state) == BOARD_FREE)
			continue;
		s->columns[s->n++] = c;
		s->flags |= atomic_load(&seat->flags);
	}
	return true;
}

static void
worker_take(struct figures_worker *w, const struct board *b, unsigned c,
    uint64_t now)
{
	struct board_seat *seat = board_seat(b, c);
	uint64_t started = board_get(&seat->started);

	w->number = atomic_load(&seat->number);
	w->pid = atomic_load(&seat->pid);
	w->generation = atomic_load(&seat->generation);
	w->state = WORD(worker_states, atomic_load(&seat->state));
	w->users = board_use(b, c);
	w->max = atomic_load(&seat->max);
	w->served = board_get(&board_column(b, c)->finished);
	w->age = now > started ? (now - started) / SECOND : 0;
}

static int
worker_compare(const void *a, const void *b)
{
	const struct figures_worker *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static bool
workers_take(struct figures *f, const struct board *b,
    const struct seated *s, uint64_t now)
{
	const struct board_column *past = board_column(b, board_past(b));

	if ((f->workers = calloc(s->n + 1, sizeof(*f->workers))) == NULL)
		return false;
	for (unsigned i = 0; i < BOARD_ENDS; i++)
		f->ended[i] = board_get(&past->ended[i]);
	for (unsigned i = 0; i < s->n; i++) {
		struct figures_worker *w = &f->workers[f->nworkers++];
		const struct board_column *c = board_column(b, s->columns[i]);

		worker_take(w, b, s->columns[i], now);
		f->users += w->users;
		for (unsigned e = 0; e < BOARD_ENDS; e++)
			f->ended[e] += board_get(&c->ended[e]);
	}
	if (atomic_load(&b->head->unknown) & BOARD_NO_ENDS)
		for (unsigned e = 0; e < BOARD_ENDS; e++)
			f->ended[e] = FIGURE_UNKNOWN;
	qsort(f->workers, f->nworkers, sizeof(*f->workers), worker_compare);
	return true;
}

/* ---- rows ---- */

/* What all columns say about one row. */
struct sum {
	uint64_t use, total, failures, in, out;
	unsigned dead, columns;		/* of the running generation */
};

static void
sum_add(struct sum *sum, const struct board_cell *cell)
{
	sum->total += board_get(&cell->total);
	sum->failures += board_get(&cell->failures);
	sum->in += board_get(&cell->in);
	sum->out += board_get(&cell->out);
}

static void
sum_take(struct sum *sum, const struct board *b, const struct seated *s,
    unsigned row, uint32_t generation)
{
	memset(sum, 0, sizeof(*sum));
	sum_add(sum, board_cell(b, board_past(b), row));
	for (unsigned i = 0; i < s->n; i++) {
		const struct board_cell *cell = board_cell(b, s->columns[i],
		    row);

		sum_add(sum, cell);
		sum->use += atomic_load(&cell->use);
		if (atomic_load(&board_seat(b, s->columns[i])->generation) ==
		    generation) {
			sum->dead += atomic_load(&cell->dead) != 0;
			sum->columns++;
		}
	}
}

static void
listener_take(struct figures_listener *l, const struct board_row *r,
    const struct sum *sum, uint32_t flags, bool current)
{
	text_copy(l->label, r->label, sizeof(l->label));
	text_copy(l->text, r->text, sizeof(l->text));
	l->accept = WORD(accepts, atomic_load(&r->lent));
	l->state = !current ? socket_states[BOARD_CLOSING] :
	    WORD(socket_states, atomic_load(&r->state));
	l->users = flags & BOARD_NO_ROWS ? FIGURE_UNKNOWN : sum->use;
	l->accepted = sum->total;
	l->refused = sum->failures;
}

static void
destination_take(struct figures_destination *d, const struct board_row *r,
    const struct sum *sum)
{
	text_copy(d->text, r->text, sizeof(d->text));
	text_copy(d->label, r->label, sizeof(d->label));
	d->weight = r->weight;
	d->state = sum->dead == 0 ? "up" : sum->dead == sum->columns ?
	    "dead" : "partly";
	d->sessions = sum->use;
	d->total = sum->total;
	d->failures = sum->failures;
	d->in = sum->in;
	d->out = sum->out;
}

static int
listener_compare(const void *a, const void *b)
{
	const struct figures_listener *x = a, *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int
destination_compare(const void *a, const void *b)
{
	const struct figures_destination *x = a, *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static bool
rows_room(struct figures *f, const struct board *b)
{
	size_t listeners = 1, destinations = 1;

	for (unsigned i = 0; i < b->rows; i++) {
		const struct board_row *r = board_row(b, i);

		if (!board_row_used(r))
			continue;
		listeners += r->kind == BOARD_LISTENER;
		destinations += r->kind == BOARD_DESTINATION;
	}
	f->listeners = calloc(listeners, sizeof(*f->listeners));
	f->destinations = calloc(destinations, sizeof(*f->destinations));
	f->nlisteners = listeners - 1;
	f->ndestinations = destinations - 1;
	return f->listeners != NULL && f->destinations != NULL;
}

/*
 * Those of the running configuration, in the order of the file, and those
 * that still have sessions. What the rows are is read once.
 */
static bool
rows_take(struct figures *f, const struct board *b, const struct seated *s)
{
	uint32_t generation = (uint32_t)f->generation;
	size_t listeners, destinations;

	if (!rows_room(f, b))
		return false;
	listeners = f->nlisteners;
	destinations = f->ndestinations;
	f->nlisteners = f->ndestinations = 0;
	for (unsigned i = 0; i < b->rows; i++) {
		const struct board_row *r = board_row(b, i);
		uint32_t kind = r->kind;
		bool current = r->generation == generation;
		uint64_t rank = (uint64_t)!current << 32 | r->order;
		struct sum sum;

		if (!board_row_used(r))
			continue;
		sum_take(&sum, b, s, i, generation);
		if (!current && sum.use == 0)
			continue;
		if (kind == BOARD_LISTENER && f->nlisteners < listeners) {
			f->listeners[f->nlisteners].rank = rank;
			listener_take(&f->listeners[f->nlisteners++], r, &sum,
			    s->flags | atomic_load(&r->flags), current);
		} else if (kind == BOARD_DESTINATION &&
		    f->ndestinations < destinations) {
			f->destinations[f->ndestinations].rank = rank;
			destination_take(
			    &f->destinations[f->ndestinations++], r, &sum);
		}
	}
	qsort(f->listeners, f->nlisteners, sizeof(*f->listeners),
	    listener_compare);
	qsort(f->destinations, f->ndestinations, sizeof(*f->destinations),
	    destination_compare);
	return true;
}

/* ---- all of it ---- */

static void
service_take(struct figures *f, const struct board *b, uint64_t now)
{
	struct board_head *h = b->head;
	uint64_t began = board_get(&h->began);

	text_copy(f->program, h->program, sizeof(f->program));
	text_copy(f->version, h->text, sizeof(f->version));
	f->pid = atomic_load(&h->pid);
	f->uptime = now > began ? (now - began) / SECOND : 0;
	f->generation = atomic_load(&h->generation);
	f->capacity = atomic_load(&h->capacity);
	f->overload = WORD(overloads, atomic_load(&h->overload));
}

static struct figures *
figures_once(const struct board *b, uint64_t now)
{
	struct figures *f = calloc(1, sizeof(*f));
	struct seated s = { NULL, 0, 0 };
	bool ok = false;

	if (f != NULL && seated_find(&s, b)) {
		service_take(f, b, now);
		ok = workers_take(f, b, &s, now) && rows_take(f, b, &s);
	}
	free(s.columns);
	if (ok)
		return f;
	figures_free(f);
	return NULL;
}

struct figures *
figures_take(const struct board *b, uint64_t now)
{
	const struct timespec pause = { 0, PAUSE };

	for (int i = 0;; i++) {
		uint32_t before = atomic_load(&b->head->moves);
		struct figures *f = figures_once(b, now);

		atomic_thread_fence(memory_order_seq_cst);
		/* one that died in the middle is waited for in vain */
		if (f == NULL || i == TRIES || (before % 2 == 0 &&
		    atomic_load(&b->head->moves) == before))
			return f;
		figures_free(f);
		nanosleep(&pause, NULL);
	}
}

void
figures_free(struct figures *f)
{
	if (f == NULL)
		return;
	free(f->workers);
	free(f->listeners);
	free(f->destinations);
	free(f);
}

uint64_t
figures_behind(const struct board *b, uint32_t kind, const char *name)
{
	int row = kind != 0 ? board_find(b, kind, name) : -1;
	uint64_t n = 0;

	for (unsigned c = 0; c < b->columns; c++)
		if (atomic_load(&board_seat(b, c)->state) == BOARD_FREE)
			continue;
		else if (kind == 0)
			n += board_use(b, c);
		else if (row != -1)
			n += atomic_load(&board_cell(b, c,
			    (unsigned)row)->use);
	return n;
}
