/*
 * A section is a kind of object, an object has items (its own row, figures,
 * routes, tables), and a table has hosts. Between two rows anything may
 * happen: whatever is shown is what is true when its row is made.
 */
#include <stdio.h>
#include <string.h>

#include "rd_show.h"

/* ---- rows ---- */

static void
text_copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from != NULL ? from : "");
}

static void *
row_begin(struct rd_row *row, enum ctl_type type, size_t len)
{
	memset(row, 0, sizeof(*row));
	row->type = type;
	row->len = len;
	return &row->body;
}

static void
row_table(struct rd_show *s, const struct rd_table *t, struct rd_row *row)
{
	struct ctl_table *r = row_begin(row, CTL_TABLE, sizeof(*r));

	r->id = t->id;
	r->state = rd_view_table_state(s->view, t);
	r->up = rd_view_up(s->view, t);
	r->check = t->check.kind != RD_CHECK_NONE;
	text_copy(r->name, sizeof(r->name), t->name);
	s->table = r->state == CTL_DISABLED ? NULL : t;
	s->host = 0;
}

static void
row_host(const struct rd_show *s, const struct rd_table *t,
    const struct rd_host *h, struct rd_row *row)
{
	const struct board_health *health = s->view->hosts[h->id - 1].health;
	struct ctl_host *r = row_begin(row, CTL_HOST, sizeof(*r));
	struct net_addr addr = h->addr;

	net_set_port(&addr, t->port_given ? t->port : 0);
	r->id = h->id;
	r->state = rd_view_host_state(s->view, t, h);
	r->table = t->id;
	r->parent = h->parent;
	net_name_set(&r->addr, &addr.sa, addr.len);
	text_copy(r->name, sizeof(r->name), h->name);
	/* of one that was disabled nothing is known, also if hce has not heard
	 * of that yet */
	if (health == NULL || t->check.kind == RD_CHECK_NONE ||
	    r->state == CTL_DISABLED)
		return;
	r->error = atomic_load_explicit(&health->error,
	    memory_order_relaxed);
	r->left = atomic_load_explicit(&health->left, memory_order_relaxed);
	r->checks = board_get(&health->checks);
	r->ups = board_get(&health->ups);
}

static void
row_statistics(const struct rd_show *s, const char *key, bool relay,
    uint32_t id, struct rd_row *row)
{
	struct ctl_statistics *r = row_begin(row, CTL_STATISTICS, sizeof(*r));
	const struct rd_stat *e = NULL;

	r->id = id;
	r->relay = relay;
	r->interval = RD_STATS_INTERVAL;
	for (size_t i = 0; i < s->stats->n && e == NULL; i++)
		if (strcmp(s->stats->entries[i].name, key) == 0)
			e = &s->stats->entries[i];
	if (e == NULL)
		return;
	r->total = e->total;
	r->last = e->last;
	r->last_hour = e->last_hour;
	r->last_day = e->last_day;
	r->average = e->average;
	r->average_hour = e->average_hour;
	r->average_day = e->average_day;
}

/* ---- objects: item n of them; false: they have no more ---- */

const char *
rd_show_redirect_key(const struct rd_redirect *r,
    char name[static BOARD_NAME])
{
	snprintf(name, BOARD_NAME, "redirect/%s", r->name);
	return name;
}

const char *
rd_show_relay_key(const struct rd_relay *r, char name[static BOARD_NAME])
{
	snprintf(name, BOARD_NAME, "relay/%s", r->name);
	return name;
}

static bool
redirect_item(struct rd_show *s, const struct rd_redirect *r, size_t item,
    struct rd_row *row)
{
	const struct rd_table *tables[] = { r->main.table, r->backup.table };
	char key[BOARD_NAME];

	if (item == 0) {
		struct ctl_redirect *b = row_begin(row, CTL_REDIRECT,
		    sizeof(*b));

		b->id = r->id;
		b->state = rd_view_redirect_state(s->view, r);
		text_copy(b->name, sizeof(b->name), r->name);
		return true;
	}
	if (!rd_view_redirect_on(s->view, r))
		return false;
	if (item == 1) {
		row_statistics(s, rd_show_redirect_key(r, key), false, r->id,
		    row);
		return true;
	}
	if (item > 3 || tables[item - 2] == NULL)
		return false;
	row_table(s, tables[item - 2], row);
	return true;
}

static bool
relay_item(struct rd_show *s, const struct rd_relay *r, size_t item,
    struct rd_row *row)
{
	char key[BOARD_NAME];

	if (item == 0) {
		struct ctl_relay *b = row_begin(row, CTL_RELAY, sizeof(*b));

		b->id = r->id;
		b->state = r->disabled ? CTL_DISABLED : CTL_ACTIVE;
		text_copy(b->name, sizeof(b->name), r->name);
	} else if (item == 1) {
		row_statistics(s, rd_show_relay_key(r, key), true, r->id,
		    row);
	} else if (item - 2 < r->ntables) {
		row_table(s, r->tables[item - 2].table, row);
	} else {
		return false;
	}
	return true;
}

static bool
router_item(struct rd_show *s, const struct rd_router *r, size_t item,
    struct rd_row *row)
{
	if (item == 0) {
		struct ctl_router *b = row_begin(row, CTL_ROUTER, sizeof(*b));

		b->id = r->id;
		b->state = r->disabled ? CTL_DISABLED : CTL_ACTIVE;
		b->rtable = r->rtable;
		text_copy(b->name, sizeof(b->name), r->name);
		text_copy(b->rtlabel, sizeof(b->rtlabel), r->rtlabel);
		return true;
	}
	if (r->disabled)
		return false;
	if (item - 1 < r->nroutes) {
		const struct rd_prefix *p = &r->routes[item - 1];
		struct ctl_route *b = row_begin(row, CTL_ROUTE, sizeof(*b));

		b->router = r->id;
		b->bits = p->bits;
		net_name_set(&b->addr, &p->addr.sa, p->addr.len);
		return true;
	}
	if (item - 1 > r->nroutes || r->gateways.table == NULL)
		return false;
	row_table(s, r->gateways.table, row);
	return true;
}

/* ---- sections ---- */

enum { REDIRECTS, RELAYS, ROUTERS, SECTIONS };

static bool
section_item(struct rd_show *s, struct rd_row *row)
{
	const struct rd_conf *conf = s->view->conf;
	size_t item = s->item++;

	switch (s->section) {
	case REDIRECTS:
		return s->object < conf->nredirects && redirect_item(s,
		    conf->redirects[s->object], item, row);
	case RELAYS:
		return s->object < conf->nrelays && relay_item(s,
		    conf->relays[s->object], item, row);
	default:
		return s->object < conf->nrouters && router_item(s,
		    conf->routers[s->object], item, row);
	}
}

static size_t
section_objects(const struct rd_show *s)
{
	const struct rd_conf *conf = s->view->conf;
	const size_t n[SECTIONS] = { conf->nredirects, conf->nrelays,
	    conf->nrouters };

	return n[s->section];
}

bool
rd_show_next(struct rd_show *s, struct rd_row *row)
{
	if (s->table != NULL && s->host < s->table->nhosts) {
		row_host(s, s->table, &s->table->hosts[s->host++], row);
		return true;
	}
	s->table = NULL;
	while (s->section < SECTIONS) {
		if (section_item(s, row))
			return true;
		s->item = 0;
		if (++s->object >= section_objects(s)) {
			s->object = 0;
			s->section++;
		}
	}
	return false;
}
