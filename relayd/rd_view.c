/*
 * States are computed whenever somebody asks: nothing is kept that would have
 * to be told when something changes.
 */
#include <stdlib.h>

#include "rd_board.h"
#include "rd_engine.h"
#include "rd_view.h"

/* ---- rows ---- */

static void
cells_take(struct board *b, bool hold, uint32_t kind, const char *name,
    struct rd_cells *c)
{
	if (hold && (c->held = board_hold(b, board_orders(b), kind,
	    name)) == NULL)
		return;
	c->order = board_switch(b, kind, name);
	if (kind == BOARD_HOST)
		c->health = board_health(b, kind, name);
}

static void
cells_drop(struct rd_cells *c, size_t n)
{
	for (size_t i = 0; c != NULL && i < n; i++) {
		if (c[i].held != NULL)
			board_drop(c[i].held);
		c[i] = (struct rd_cells){ 0 };
	}
}

static void
view_drop(struct rd_view *v)
{
	cells_drop(v->hosts, v->conf->nhosts);
	cells_drop(v->tables, v->conf->ntables);
	cells_drop(v->redirects, v->conf->nredirects);
}

static void
view_take(struct rd_view *v, struct board *b, bool hold)
{
	const struct rd_conf *conf = v->conf;
	char name[BOARD_NAME];

	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		cells_take(b, hold, BOARD_TABLE,
		    rd_board_table(conf, t, name), &v->tables[t->id - 1]);
		for (size_t k = 0; k < t->nhosts; k++)
			cells_take(b, hold, BOARD_HOST,
			    rd_board_host(conf, t, &t->hosts[k], name),
			    &v->hosts[t->hosts[k].id - 1]);
	}
	for (size_t i = 0; i < conf->nredirects; i++)
		cells_take(b, hold, BOARD_REDIRECT,
		    rd_board_redirect(conf->redirects[i], name),
		    &v->redirects[i]);
}

static struct rd_view *
view_new(struct compiled *compiled, struct board *board, bool hold,
    struct rd_view **list)
{
	struct rd_view *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->refs = 1;
	v->compiled = compiled_ref(compiled);
	v->conf = rd_conf_of(compiled);
	v->head = board->head;
	v->link = list;
	v->next = *list;
	if (v->next != NULL)
		v->next->link = &v->next;
	*list = v;
	/* one more: nothing of none is no memory */
	v->hosts = calloc(v->conf->nhosts + 1, sizeof(*v->hosts));
	v->tables = calloc(v->conf->ntables + 1, sizeof(*v->tables));
	v->redirects = calloc(v->conf->nredirects + 1, sizeof(*v->redirects));
	if (v->hosts == NULL || v->tables == NULL || v->redirects == NULL) {
		rd_view_unref(v);
		return NULL;
	}
	view_take(v, board, hold);
	return v;
}

struct rd_view *
rd_view_new(struct compiled *compiled, struct board *board,
    struct rd_view **list)
{
	return view_new(compiled, board, true, list);
}

struct rd_view *
rd_view_look(struct compiled *compiled, struct board *board,
    struct rd_view **list)
{
	return view_new(compiled, board, false, list);
}

struct rd_view *
rd_view_ref(struct rd_view *v)
{
	v->refs++;
	return v;
}

void
rd_view_unref(struct rd_view *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	view_drop(v);
	*v->link = v->next;
	if (v->next != NULL)
		v->next->link = v->link;
	compiled_unref(v->compiled);
	free(v->hosts);
	free(v->tables);
	free(v->redirects);
	free(v);
}

void
rd_view_detach(struct rd_view *list, const void *head)
{
	for (; list != NULL; list = list->next)
		if (list->head == head)
			view_drop(list);
}

void
rd_view_release(struct board *b)
{
	for (unsigned row = 0; row < b->rows; row++)
		if (board_row_used(board_row(b, row)))
			atomic_store(&board_cell(b, board_orders(b),
			    row)->held, 0);
}

/* ---- what was ordered ---- */

/* One that follows another is off with it, also if it is new. */
bool
rd_view_host_on(const struct rd_view *v, const struct rd_host *h)
{
	return board_on(v->hosts[h->id - 1].order, false) &&
	    (h->parent == 0 ||
	    board_on(v->hosts[h->parent - 1].order, false));
}

bool
rd_view_table_on(const struct rd_view *v, const struct rd_table *t)
{
	return board_on(v->tables[t->id - 1].order, t->disabled);
}

bool
rd_view_redirect_on(const struct rd_view *v, const struct rd_redirect *r)
{
	return board_on(v->redirects[r->id - 1].order, r->disabled);
}

/* ---- and what comes of it ---- */

unsigned
rd_view_host_state(const struct rd_view *v, const struct rd_table *t,
    const struct rd_host *h)
{
	const struct board_health *health = v->hosts[h->id - 1].health;
	int32_t state = 0;

	if (!rd_view_host_on(v, h))
		return CTL_DISABLED;
	if (!rd_view_table_on(v, t) || t->check.kind == RD_CHECK_NONE)
		return CTL_UNKNOWN;
	if (health != NULL)
		state = atomic_load_explicit(&health->state,
		    memory_order_relaxed);
	return state > 0 ? CTL_UP : state < 0 ? CTL_DOWN : CTL_UNKNOWN;
}

unsigned
rd_view_up(const struct rd_view *v, const struct rd_table *t)
{
	unsigned n = 0, state;

	if (!rd_view_table_on(v, t))
		return 0;
	for (size_t i = 0; i < t->nhosts; i++) {
		state = rd_view_host_state(v, t, &t->hosts[i]);
		/* nobody asks them: whoever is there can be used */
		n += state == CTL_UP || (t->check.kind == RD_CHECK_NONE &&
		    state != CTL_DISABLED);
	}
	return n;
}

unsigned
rd_view_table_state(const struct rd_view *v, const struct rd_table *t)
{
	if (!rd_view_table_on(v, t))
		return CTL_DISABLED;
	return rd_view_up(v, t) == 0 ? CTL_EMPTY : CTL_ACTIVE;
}

/* 7.2; nothing drives the packet filter yet, so what should be there is not. */
unsigned
rd_view_redirect_state(const struct rd_view *v, const struct rd_redirect *r)
{
	if (!rd_view_redirect_on(v, r))
		return CTL_DISABLED;
	if (rd_view_up(v, r->main.table) > 0)
		return CTL_ACTIVE | CTL_NOT_APPLIED;
	if (r->backup.table != NULL && rd_view_up(v, r->backup.table) > 0)
		return CTL_BACKUP | CTL_NOT_APPLIED;
	return CTL_DOWN;
}
