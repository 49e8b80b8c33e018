/*
 * An order that says what the file says is none any more: from then on the
 * file counts again.
 */
#include <string.h>

#include "rd_board.h"
#include "rd_order.h"

/* An order under way. */
struct order {
	struct rd_view		*view;
	bool			 on;
	bool			 unwritten;	/* of some there is no row */
	rd_order_switched	*switched;
	void			*ctx;
};

static const char no_row[] = "there is no place for it on the board";

/* false: nothing has changed. */
static bool
cell_set(struct order *o, const struct rd_cells *c, bool disabled)
{
	struct board_switch *order = c->order;

	if (c->held == NULL || order == NULL) {
		o->unwritten = true;
		return false;
	}
	if (board_on(order, disabled) == o->on)
		return false;
	/* readers look at `ordered' first */
	atomic_store_explicit(&order->off, !o->on, memory_order_release);
	atomic_store_explicit(&order->ordered, o->on == disabled,
	    memory_order_release);
	return true;
}

/* ---- tables ---- */

static void
table_order(struct order *o, const struct rd_table *t)
{
	if (cell_set(o, &o->view->tables[t->id - 1], t->disabled))
		o->switched(o->ctx, RD_SWITCH_TABLE, t->id, o->on);
}

static const char *
table_ask(struct order *o, struct ctl_id *id)
{
	const struct rd_conf *conf = o->view->conf;
	const struct rd_table *t = NULL;

	if (id->id != CTL_NO_ID) {
		if (id->id >= 1 && id->id <= conf->ntables)
			t = conf->tables[id->id - 1];
	} else {
		for (size_t i = 0; i < conf->ntables && t == NULL; i++)
			if (strcmp(conf->tables[i]->name, id->name) == 0)
				t = conf->tables[i];
	}
	if (t == NULL)
		return "no such table";
	id->id = t->id;
	table_order(o, t);
	return NULL;
}

/* ---- redirects ---- */

/* Off takes the main table along, on both. */
static void
redirect_order(struct order *o, const struct rd_redirect *r)
{
	if (!cell_set(o, &o->view->redirects[r->id - 1], r->disabled))
		return;
	table_order(o, r->main.table);
	if (o->on && r->backup.table != NULL)
		table_order(o, r->backup.table);
}

static const char *
redirect_ask(struct order *o, struct ctl_id *id)
{
	const struct rd_conf *conf = o->view->conf;
	const struct rd_redirect *r = NULL;

	if (id->id != CTL_NO_ID) {
		if (id->id >= 1 && id->id <= conf->nredirects)
			r = conf->redirects[id->id - 1];
	} else {
		for (size_t i = 0; i < conf->nredirects && r == NULL; i++)
			if (strcmp(conf->redirects[i]->name, id->name) == 0)
				r = conf->redirects[i];
	}
	if (r == NULL)
		return "no such redirect";
	id->id = r->id;
	redirect_order(o, r);
	return NULL;
}

/* ---- hosts ---- */

static void
host_order(struct order *o, const struct rd_host *h)
{
	if (cell_set(o, &o->view->hosts[h->id - 1], false))
		o->switched(o->ctx, RD_SWITCH_HOST, h->id, o->on);
}

/* With those that follow it. */
static void
family_order(struct order *o, const struct rd_host *parent)
{
	const struct rd_conf *conf = o->view->conf;

	host_order(o, parent);
	for (size_t i = 0; i < conf->nhosts; i++)
		if (conf->hosts[i]->parent == parent->id)
			host_order(o, conf->hosts[i]);
}

static const char *
host_ask(struct order *o, struct ctl_id *id)
{
	const struct rd_conf *conf = o->view->conf;
	const struct rd_host *first = NULL;
	bool all = id->id == CTL_NO_ID;

	if (!all) {
		if (id->id >= 1 && id->id <= conf->nhosts)
			first = conf->hosts[id->id - 1];
	} else {
		for (size_t i = 0; i < conf->nhosts && first == NULL; i++)
			if (strcmp(conf->hosts[i]->name, id->name) == 0)
				first = conf->hosts[i];
	}
	if (first == NULL)
		return "no such host";
	if (first->parent != 0)
		return "it follows another host";
	id->id = first->id;
	family_order(o, first);
	for (size_t i = first->id; all && i < conf->nhosts; i++)
		if (conf->hosts[i]->parent == 0 &&
		    strcmp(conf->hosts[i]->name, first->name) == 0)
			family_order(o, conf->hosts[i]);
	return NULL;
}

/* ---- all of them ---- */

static const struct {
	const char	*(*ask)(struct order *, struct ctl_id *);
	bool		 on;
} orders[CTL_TYPES] = {
	[CTL_REDIRECT_ENABLE]	= { redirect_ask, true },
	[CTL_REDIRECT_DISABLE]	= { redirect_ask, false },
	[CTL_TABLE_ENABLE]	= { table_ask, true },
	[CTL_TABLE_DISABLE]	= { table_ask, false },
	[CTL_HOST_ENABLE]	= { host_ask, true },
	[CTL_HOST_DISABLE]	= { host_ask, false },
};

const char *
rd_order(struct rd_view *view, enum ctl_type type, struct ctl_id *id,
    rd_order_switched *switched, void *ctx)
{
	struct order o = { .view = view, .on = orders[type].on,
	    .switched = switched, .ctx = ctx };
	const char *why = orders[type].ask(&o, id);

	return why == NULL && o.unwritten ? no_row : why;
}
