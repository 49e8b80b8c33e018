/*
 * What the board shows of listeners: a row each, and which.
 */
#include <stdio.h>

#include "listen.h"
#include "master.h"
#include "rows.h"
#include "seats.h"

/*
 * Workers tell listeners apart by the blocks of the file. Passed sockets may
 * be several of one block, or of none: each has a row, and whose sessions are
 * whose is not known. The row of such a one that is not the first.
 */
static bool
shares_index(const struct listener *l, bool before)
{
	uint32_t blocks = (uint32_t)l->master->conf.conf->broker.nlisteners;

	if (l->conf->passed == NULL)
		return false;
	for (const struct listener *o = l->master->listeners; o != NULL &&
	    !(before && o == l); o = o->next)
		if (o != l && !o->fresh && (o->conf->index == l->conf->index ||
		    (o->conf->index >= blocks && l->conf->index >= blocks)))
			return true;
	return false;
}

static void
row_name(const struct listener *l, char name[static BOARD_NAME])
{
	const struct spawnd_conf *c = &l->master->conf.conf->broker;
	char text[NET_TEXT];

	if (shares_index(l, true))
		snprintf(name, BOARD_NAME, "passed/%.100s",
		    net_text(&l->addr, text));
	else
		rows_listener(l->conf->index < c->nlisteners ?
		    &c->listeners[l->conf->index] : NULL, name);
}

void
listener_show(struct listener *l)
{
	const struct master *m = l->master;
	struct board *b;
	struct board_row *r;
	char name[BOARD_NAME], text[NET_TEXT];
	int row;

	l->cell = NULL;
	if (m->seats == NULL || l->fresh)
		return;			/* nobody has asked for it yet */
	row_name(l, name);
	b = &m->seats->board;
	if (*name == '\0' || (row = board_claim(b, BOARD_LISTENER, name, 0,
	    m->generation)) == -1)
		return;
	l->cell = board_cell(b, board_past(b), (unsigned)row);
	board_describe(b, (unsigned)row, l->conf->index, l->conf->name,
	    net_text(&l->addr, text));
	r = board_row(b, (unsigned)row);
	atomic_store(&r->state, l->fd != -1 ? BOARD_OPEN : m->ending ?
	    BOARD_CLOSING : BOARD_RETRYING);
	atomic_store(&r->lent, listener_lent(l));
	atomic_store(&r->flags, shares_index(l, false) ? BOARD_NO_ROWS : 0);
}

void
listeners_show(struct master *m)
{
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		listener_show(l);
}
