/*
 * The columns of 2.7, read from the board.
 */
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "board.h"
#include "master.h"
#include "proc.h"
#include "seats.h"
#include "status.h"

static const char *const states[] = {
	[PROC_STARTING] = "starting",
	[PROC_READY]	= "ready",
	[PROC_RETIRING]	= "retiring",
	[PROC_ENDING]	= "ending",
	[PROC_DEAD]	= "ending",
};

static struct log_item
number(const char *name, uint64_t value)
{
	return (struct log_item){ name, LOG_NUMBER, NULL, value };
}

static struct log_item
text(const char *name, const char *value)
{
	return (struct log_item){ name, LOG_TEXT, value, 0 };
}

static void
worker_log(const struct proc *p, uint64_t now)
{
	uint64_t served = p->served;
	struct log_item items[8];

	if (p->seats != NULL)
		served = board_get(&board_column(&p->seats->board,
		    p->column)->finished);
	items[0] = number("worker", p->number);
	items[1] = number("pid", p->pid > 0 ? (uint64_t)p->pid :
	    (uint64_t)getpid());
	items[2] = number("generation", p->generation);
	items[3] = text("state", p->suspected ? "suspected" :
	    states[p->state]);
	items[4] = number("users", proc_use(p));
	items[5] = number("max", proc_max(p));
	items[6] = number("served", served);
	items[7] = number("age", (now - p->started) / EV_SECOND);
	log_items("status", "status", items, 8);
}

/* What all columns of a board say about one row. */
struct sum {
	uint64_t use, total, failures, in, out;
	unsigned dead, columns;
};

static void
row_add(const struct seats *s, unsigned row, uint32_t generation,
    struct sum *sum)
{
	for (unsigned c = 0; c < s->columns; c++) {
		struct board_cell *cell;

		if (!s->taken[c])
			continue;
		cell = board_cell(&s->board, c, row);
		sum->use += atomic_load(&cell->use);
		sum->total += board_get(&cell->total);
		sum->failures += board_get(&cell->failures);
		sum->in += board_get(&cell->in);
		sum->out += board_get(&cell->out);
		if (atomic_load(&board_seat(&s->board, c)->generation) ==
		    generation) {
			sum->dead += atomic_load(&cell->dead) != 0;
			sum->columns++;
		}
	}
}

/* Identity TRANSPORT/ENDPOINT/POOL#N, where ENDPOINT may be a path. */
static void
identity_split(char *name, const char **endpoint, const char **pool)
{
	char *slash = strchr(name, '/'), *last, *hash;

	*endpoint = slash != NULL ? slash + 1 : name;
	*pool = "";
	if (slash == NULL || (last = strrchr(slash + 1, '/')) == NULL)
		return;
	*last++ = '\0';
	if ((hash = strrchr(last, '#')) != NULL)
		*hash = '\0';
	*pool = last;
}

static void
destination_log(struct master *m, const struct board_row *row, unsigned r)
{
	struct sum sum = { 0, 0, 0, 0, 0, 0, 0 };
	struct log_item items[9];
	char name[BOARD_NAME];
	const char *endpoint, *pool;

	memcpy(name, row->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	identity_split(name, &endpoint, &pool);
	row_add(m->seats, r, m->generation, &sum);
	items[0] = text("destination", endpoint);
	items[1] = text("pool", pool);
	items[2] = number("weight", row->weight);
	items[3] = text("state", sum.dead == 0 ? "up" :
	    sum.dead == sum.columns ? "dead" : "partly");
	items[4] = number("sessions", sum.use);
	items[5] = number("total", sum.total);
	items[6] = number("failures", sum.failures);
	items[7] = number("bytes-in", sum.in);
	items[8] = number("bytes-out", sum.out);
	log_items("status", "status", items, 9);
}

void
status_log(struct master *m)
{
	uint64_t now = ev_now(m->ev);

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->state != PROC_DEAD)
			worker_log(p, now);
	if (m->seats == NULL || m->conf.conf->broker.spawn.exec != NULL)
		return;		/* whatever other programs do, they keep */
	for (unsigned r = 0; r < m->seats->board.head->rows; r++) {
		const struct board_row *row = board_row(&m->seats->board, r);

		if (atomic_load_explicit(&row->used, memory_order_acquire) &&
		    row->kind == BOARD_DESTINATION &&
		    row->generation == m->generation)
			destination_log(m, row, r);
	}
}
