/*
 * A configuration in force beside what the board knows of it: states of
 * hosts, tables and redirects, put together from what checks have found, what
 * an operator has ordered, and what the file says. Changes nothing.
 *
 * Section numbers are those of the runtime's specification.
 */
#ifndef RELAYD_RD_VIEW_H
#define RELAYD_RD_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "../spawnd/board.h"
#include "../spawnd/conf.h"
#include "ctl.h"
#include "rd_conf.h"

/* The board's rows of one thing; NULL: it has none. */
struct rd_cells {
	struct board_cell	*held;		/* in the column of orders */
	struct board_health	*health;	/* hosts only */
	struct board_switch	*order;
};

/* Reference counted: an answer that takes its time keeps the one that it
 * began with. */
struct rd_view {
	unsigned		 refs;
	struct rd_view		*next, **link;	/* on the list of all */
	struct compiled		*compiled;	/* a reference */
	const struct rd_conf	*conf;
	const void		*head;		/* of the board */
	struct rd_cells		*hosts, *tables, *redirects;	/* by id - 1 */
};

/* NULL: no memory. It holds rows in the column of orders, which is the
 * caller's, and is entered in the list. */
struct rd_view	*rd_view_new(struct compiled *, struct board *,
		    struct rd_view **list);
/* The same for somebody who has no column: nothing is held. A row is what it
 * was for as long as that configuration is in force. */
struct rd_view	*rd_view_look(struct compiled *, struct board *,
		    struct rd_view **list);
struct rd_view	*rd_view_ref(struct rd_view *);
void		 rd_view_unref(struct rd_view *);
/* That board is about to go: views of the list know nothing of it any more,
 * and take everything for unknown. */
void		 rd_view_detach(struct rd_view *list, const void *head);
/* Nobody holds rows in the column of orders: what one who died has left. */
void		 rd_view_release(struct board *);

/* What an operator ordered, or else what the file says. */
bool		 rd_view_host_on(const struct rd_view *,
		    const struct rd_host *);
bool		 rd_view_table_on(const struct rd_view *,
		    const struct rd_table *);
bool		 rd_view_redirect_on(const struct rd_view *,
		    const struct rd_redirect *);
/* How many hosts can be used, 2.9. */
unsigned	 rd_view_up(const struct rd_view *, const struct rd_table *);
/* One of enum ctl_state, for a redirect perhaps with CTL_NOT_APPLIED. */
unsigned	 rd_view_host_state(const struct rd_view *,
		    const struct rd_table *, const struct rd_host *);
unsigned	 rd_view_table_state(const struct rd_view *,
		    const struct rd_table *);
unsigned	 rd_view_redirect_state(const struct rd_view *,
		    const struct rd_redirect *);

#endif
