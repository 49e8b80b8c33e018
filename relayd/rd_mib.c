/*
 * A table is how many rows it has, their indexes in rising order, and its
 * columns; get and get-next are the same search in all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "rd_mib.h"
#include "rd_show.h"

#define BASE		1, 3, 6, 1, 4, 1, 30155, 3
#define BASE_LEN	9u	/* with the 2 of the tables */
#define TABLE		9u	/* where in an identifier stands what */
#define ENTRY		10u
#define COLUMN		11u
#define INDEX		12u
#define INDEXES		2u	/* most of a table */
#define ID_MAX		INT32_MAX
/* Workers count sessions for themselves: numbers of live ones differ if each
 * has its own residue. */
#define STRIDE		64u

const struct rd_oid rd_mib_base = { .n = BASE_LEN, .sub = { BASE, 2 } };
const struct rd_oid rd_mib_trap = { .n = BASE_LEN, .sub = { BASE, 1 } };

int
rd_oid_cmp(const struct rd_oid *a, const struct rd_oid *b)
{
	uint32_t n = a->n < b->n ? a->n : b->n;

	for (uint32_t i = 0; i < n; i++)
		if (a->sub[i] != b->sub[i])
			return a->sub[i] < b->sub[i] ? -1 : 1;
	return (a->n > b->n) - (a->n < b->n);
}

/* ---- values ---- */

static void
value_number(struct rd_mib_value *v, enum rd_mib_kind kind, uint64_t number)
{
	v->kind = kind;
	v->number = number;
}

static void
value_integer(struct rd_mib_value *v, uint64_t number)
{
	value_number(v, RD_MIB_INTEGER, number <= ID_MAX ? number : ID_MAX);
}

static void
value_gauge(struct rd_mib_value *v, uint64_t number)
{
	value_number(v, RD_MIB_GAUGE, number <= UINT32_MAX ? number :
	    UINT32_MAX);
}

static void
value_text(struct rd_mib_value *v, const char *text)
{
	v->kind = RD_MIB_STRING;
	v->bytes = text != NULL ? text : "";
	v->len = strlen(v->bytes);
}

static void
value_address(struct rd_mib_value *v, struct rd_mib_room *room,
    const struct net_name *name)
{
	memcpy(room->bytes, name->ip, sizeof(room->bytes));
	v->kind = RD_MIB_STRING;
	v->bytes = room->bytes;
	v->len = name->family == AF_INET ? 4 : name->family == AF_INET6 ? 16 :
	    0;
}

static unsigned
address_type(const struct net_name *name)
{
	return name->family == AF_INET ? 1 : name->family == AF_INET6 ? 2 : 0;
}

static struct net_name
name_of(const struct net_addr *addr)
{
	struct net_name name;

	net_name_set(&name, &addr->sa, addr->len);
	return name;
}

/* ---- tables: row i, column c; false: there is no such column ---- */

static bool
statistics_value(const struct rd_mib *m, const char *key, unsigned c,
    struct rd_mib_value *v)
{
	static const struct rd_stat none;
	const struct rd_stat *s = &none;

	for (size_t i = 0; i < m->stats->n; i++)
		if (strcmp(m->stats->entries[i].name, key) == 0)
			s = &m->stats->entries[i];
	switch (c) {
	case 4:
		value_number(v, RD_MIB_COUNTER64, s->total);
		return true;
	case 5:
		value_gauge(v, s->average);
		return true;
	case 6:
		value_gauge(v, s->last);
		return true;
	case 7:
		value_gauge(v, s->average_hour);
		return true;
	case 8:
		value_gauge(v, s->last_hour);
		return true;
	case 9:
		value_gauge(v, s->average_day);
		return true;
	case 10:
		value_gauge(v, s->last_day);
		return true;
	default:
		return false;
	}
}

static bool
redirect_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_redirect *r = m->view->conf->redirects[i];
	char key[BOARD_NAME];
	unsigned state;

	(void)room;
	switch (c) {
	case 1:
		value_integer(v, r->id);
		return true;
	case 2:
		state = rd_view_redirect_state(m->view, r);
		value_integer(v, state & CTL_DISABLED ? 1 : state & CTL_DOWN ?
		    2 : state & CTL_BACKUP ? 3 : 0);
		return true;
	case 3:
		value_text(v, r->name);
		return true;
	default:
		return statistics_value(m, rd_show_redirect_key(r, key), c, v);
	}
}

/* It has nowhere to go. */
static bool
relay_down(const struct rd_mib *m, const struct rd_relay *r)
{
	if (r->ntables == 0 || r->target != RD_TO_NONE)
		return false;
	for (size_t i = 0; i < r->ntables; i++)
		if (rd_view_up(m->view, r->tables[i].table) > 0)
			return false;
	return true;
}

static bool
relay_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_relay *r = m->view->conf->relays[i];
	char key[BOARD_NAME];

	(void)room;
	switch (c) {
	case 1:
		value_integer(v, r->id);
		return true;
	case 2:
		value_integer(v, r->disabled ? 1 : relay_down(m, r) ? 2 : 0);
		return true;
	case 3:
		value_text(v, r->name);
		return true;
	default:
		return statistics_value(m, rd_show_relay_key(r, key), c, v);
	}
}

static bool
router_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_router *r = m->view->conf->routers[i];

	(void)room;
	switch (c) {
	case 1:
		value_integer(v, r->id);
		return true;
	case 2:
		value_integer(v, r->gateways.table != NULL ?
		    r->gateways.table->id : 0);
		return true;
	case 3:
		value_integer(v, r->disabled);
		return true;
	case 4:
		value_text(v, r->name);
		return true;
	case 5:
		value_text(v, r->rtlabel);
		return true;
	case 6:
		value_integer(v, r->rtable);
		return true;
	default:
		return false;
	}
}

/* Routes are numbered over all routers. */
static const struct rd_prefix *
route_at(const struct rd_mib *m, size_t i, const struct rd_router **router)
{
	const struct rd_conf *conf = m->view->conf;

	for (size_t k = 0; k < conf->nrouters; k++) {
		*router = conf->routers[k];
		if (i < (*router)->nroutes)
			return &(*router)->routes[i];
		i -= (*router)->nroutes;
	}
	return NULL;
}

static bool
route_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_router *router = NULL;
	const struct rd_prefix *p = route_at(m, i, &router);
	struct net_name name;

	if (p == NULL)
		return false;
	name = name_of(&p->addr);
	switch (c) {
	case 1:
		value_integer(v, i + 1);
		return true;
	case 2:
		value_address(v, room, &name);
		return true;
	case 3:
		value_integer(v, address_type(&name));
		return true;
	case 4:
		value_integer(v, p->bits);
		return true;
	case 5:
		value_integer(v, router->id);
		return true;
	default:
		return false;
	}
}

/* The table of a host, by its number. */
static const struct rd_table *
host_table(const struct rd_conf *conf, uint32_t id)
{
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		if (t->nhosts > 0 && id >= t->hosts[0].id &&
		    id - t->hosts[0].id < t->nhosts)
			return t;
	}
	return NULL;
}

static unsigned
host_status(const struct rd_mib *m, const struct rd_table *t,
    const struct rd_host *h)
{
	unsigned state = rd_view_host_state(m->view, t, h);

	return state & CTL_DISABLED ? 1 : state & CTL_DOWN ? 2 :
	    state & CTL_UP ? 0 : 3;
}

static bool
host_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_host *h = m->view->conf->hosts[i];
	const struct rd_table *t = host_table(m->view->conf, h->id);
	static const struct board_health none;
	const struct board_health *health = m->view->hosts[i].health;
	struct net_name name = name_of(&h->addr);

	if (t == NULL)
		return false;
	if (health == NULL || !rd_view_host_on(m->view, h))
		health = &none;
	switch (c) {
	case 1:
		value_integer(v, h->id);
		return true;
	case 2:
		value_integer(v, h->parent);
		return true;
	case 3:
		value_integer(v, t->id);
		return true;
	case 4:
		value_text(v, h->name);
		return true;
	case 5:
		value_address(v, room, &name);
		return true;
	case 6:
		value_integer(v, address_type(&name));
		return true;
	case 7:
		value_integer(v, host_status(m, t, h));
		return true;
	case 8:
		value_number(v, RD_MIB_COUNTER64, board_get(&health->checks));
		return true;
	case 9:
		value_number(v, RD_MIB_COUNTER64, board_get(&health->ups));
		return true;
	case 10:
		value_integer(v, atomic_load_explicit(&health->error,
		    memory_order_relaxed));
		return true;
	default:
		return false;
	}
}

/* Hundredths of a second, which come round. */
static void
value_ticks(struct rd_mib_value *v, uint64_t ns)
{
	value_number(v, RD_MIB_TICKS, (uint32_t)(ns / 10000000));
}

static bool
session_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct tell_session *s = &m->sessions[i].session;

	switch (c) {
	case 1:
		value_integer(v, m->sessions[i].number);
		return true;
	case 2:
		value_integer(v, s->relay);
		return true;
	case 3:
		value_address(v, room, &s->client);
		return true;
	case 4:
		value_integer(v, address_type(&s->client));
		return true;
	case 5:
		value_address(v, room, &s->server);
		return true;
	case 6:
		value_integer(v, address_type(&s->server));
		return true;
	case 7:
		value_integer(v, ntohs(s->client.port));
		return true;
	case 8:
		value_integer(v, ntohs(s->server.port));
		return true;
	case 9:
		value_ticks(v, s->age + m->aged);
		return true;
	case 10:
		value_ticks(v, s->idle + m->aged);
		return true;
	case 11:
		value_integer(v, s->done != 0);
		return true;
	case 12:
		value_integer(v, s->pid);
		return true;
	default:
		return false;
	}
}

static bool
table_value(const struct rd_mib *m, size_t i, unsigned c,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	const struct rd_table *t = m->view->conf->tables[i];
	unsigned state;

	(void)room;
	switch (c) {
	case 1:
		value_integer(v, t->id);
		return true;
	case 2:
		value_text(v, t->name);
		return true;
	case 3:
		state = rd_view_table_state(m->view, t);
		value_integer(v, state & CTL_DISABLED ? 2 :
		    state & CTL_EMPTY ? 1 : 0);
		return true;
	default:
		return false;
	}
}

/* ---- rows: numbers 1 to n, but for sessions ---- */

static size_t
routes_count(const struct rd_conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->nrouters; i++)
		n += conf->routers[i]->nroutes;
	return n;
}

enum { REDIRECTS = 1, RELAYS, ROUTERS, ROUTES, HOSTS, SESSIONS, TABLES,
    LAST = TABLES };

static size_t
rows_of(const struct rd_mib *m, unsigned table)
{
	const struct rd_conf *conf = m->view->conf;
	const size_t n[LAST + 1] = { [REDIRECTS] = conf->nredirects,
	    [RELAYS] = conf->nrelays, [ROUTERS] = conf->nrouters,
	    [ROUTES] = routes_count(conf), [HOSTS] = conf->nhosts,
	    [SESSIONS] = m->nsessions, [TABLES] = conf->ntables };

	return n[table] < ID_MAX ? n[table] : ID_MAX;
}

static const struct {
	unsigned	 columns, indexes;
	bool		(*value)(const struct rd_mib *, size_t row,
			    unsigned column, struct rd_mib_value *,
			    struct rd_mib_room *);
} tables[LAST + 1] = {
	[REDIRECTS]	= { 10, 1, redirect_value },
	[RELAYS]	= { 10, 1, relay_value },
	[ROUTERS]	= { 6, 1, router_value },
	[ROUTES]	= { 5, 1, route_value },
	[HOSTS]		= { 10, 1, host_value },
	[SESSIONS]	= { 12, 2, session_value },
	[TABLES]	= { 3, 1, table_value },
};

static void
row_index(const struct rd_mib *m, unsigned table, size_t row,
    uint32_t index[static INDEXES])
{
	index[0] = (uint32_t)row + 1;
	index[1] = 0;
	if (table == SESSIONS) {
		index[0] = m->sessions[row].session.relay;
		index[1] = m->sessions[row].number;
	}
}

/* The first row whose index is not below this one. */
static size_t
row_search(const struct rd_mib *m, unsigned table,
    const uint32_t index[static INDEXES])
{
	size_t low = 0, high = rows_of(m, table);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t at[INDEXES];

		row_index(m, table, middle, at);
		if (at[0] < index[0] ||
		    (at[0] == index[0] && at[1] < index[1]))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- the two questions ---- */

static bool
below_base(const struct rd_oid *oid)
{
	return oid->n > BASE_LEN && memcmp(oid->sub, rd_mib_base.sub,
	    BASE_LEN * sizeof(oid->sub[0])) == 0;
}

void
rd_mib_get(const struct rd_mib *m, const struct rd_oid *oid,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	uint32_t index[INDEXES] = { 0 }, found[INDEXES];
	unsigned table, indexes;
	size_t row;

	*v = (struct rd_mib_value){ .kind = RD_MIB_NO_OBJECT };
	if (!below_base(oid) || oid->n < INDEX ||
	    (table = oid->sub[TABLE]) < 1 || table > LAST ||
	    oid->sub[ENTRY] != 1 || oid->sub[COLUMN] < 1 ||
	    oid->sub[COLUMN] > tables[table].columns)
		return;
	v->kind = RD_MIB_NO_INSTANCE;
	indexes = tables[table].indexes;
	if (oid->n != INDEX + indexes)
		return;
	memcpy(index, oid->sub + INDEX, indexes * sizeof(index[0]));
	row = row_search(m, table, index);
	if (row >= rows_of(m, table))
		return;
	row_index(m, table, row, found);
	if (found[0] != index[0] || found[1] != index[1] ||
	    !tables[table].value(m, row, oid->sub[COLUMN], v, room))
		v->kind = RD_MIB_NO_INSTANCE;
}

static void
name_set(const struct rd_mib *m, unsigned table, unsigned column, size_t row,
    struct rd_oid *name)
{
	uint32_t index[INDEXES];

	row_index(m, table, row, index);
	*name = rd_mib_base;
	name->sub[TABLE] = table;
	name->sub[ENTRY] = 1;
	name->sub[COLUMN] = column;
	memcpy(name->sub + INDEX, index,
	    tables[table].indexes * sizeof(index[0]));
	name->n = INDEX + tables[table].indexes;
}

/* The row of that column to begin with: what lies before from is left out. */
static size_t
row_from(const struct rd_mib *m, unsigned table, unsigned column,
    const struct rd_oid *from)
{
	struct rd_oid name;
	uint32_t index[INDEXES] = { 0 };
	unsigned indexes = tables[table].indexes;
	size_t row, n = rows_of(m, table);
	int order;

	/* anything of this column, or behind it? */
	name = rd_mib_base;
	name.sub[TABLE] = table;
	name.sub[ENTRY] = 1;
	name.sub[COLUMN] = column;
	name.n = INDEX;
	if (rd_oid_cmp(from, &name) < 0)
		return 0;
	if (from->n < INDEX || memcmp(from->sub, name.sub,
	    INDEX * sizeof(name.sub[0])) != 0)
		return n;
	for (unsigned i = 0; i < indexes && INDEX + i < from->n; i++)
		index[i] = from->sub[INDEX + i];
	for (row = row_search(m, table, index); row < n; row++) {
		name_set(m, table, column, row, &name);
		order = rd_oid_cmp(&name, from);
		if (order > 0 || (order == 0 && from->include))
			break;
	}
	return row;
}

bool
rd_mib_next(const struct rd_mib *m, const struct rd_oid *from,
    const struct rd_oid *to, struct rd_oid *name,
    struct rd_mib_value *v, struct rd_mib_room *room)
{
	for (unsigned table = 1; table <= LAST; table++) {
		if (rows_of(m, table) == 0)
			continue;
		for (unsigned c = 1; c <= tables[table].columns; c++) {
			size_t row = row_from(m, table, c, from);

			if (row >= rows_of(m, table))
				continue;
			name_set(m, table, c, row, name);
			if (to->n > 0 && rd_oid_cmp(name, to) >= 0)
				return false;
			*v = (struct rd_mib_value){ .number = 0 };
			return tables[table].value(m, row, c, v, room);
		}
	}
	return false;
}

/* ---- sessions ---- */

static int
session_cmp(const void *a, const void *b)
{
	const struct rd_mib_session *x = a, *y = b;

	if (x->session.relay != y->session.relay)
		return x->session.relay < y->session.relay ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

void
rd_mib_sort(struct rd_mib_session *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i].number = (uint32_t)(s[i].session.id * STRIDE +
		    s[i].session.worker % STRIDE) & ID_MAX;
	if (n > 1)
		qsort(s, n, sizeof(*s), session_cmp);
}

bool
rd_mib_wants_sessions(const struct rd_oid *oid, bool next)
{
	struct rd_oid table = rd_mib_base;
	int order;

	table.sub[TABLE] = SESSIONS;
	table.n = TABLE + 1;
	if (oid->n > TABLE && memcmp(oid->sub, table.sub, table.n *
	    sizeof(table.sub[0])) == 0)
		return true;
	order = rd_oid_cmp(oid, &table);
	table.sub[TABLE] = SESSIONS - 1;
	/* the last column of the table before it may be left by this step */
	return next && order < 0 && rd_oid_cmp(oid, &table) >= 0;
}
