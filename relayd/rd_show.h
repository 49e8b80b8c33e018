/*
 * The rows of `relayctl show', one after the other, as fast as somebody wants
 * them: an answer can be longer than what may wait for a client.
 */
#ifndef RELAYD_RD_SHOW_H
#define RELAYD_RD_SHOW_H

#include "ctl.h"
#include "rd_stats.h"
#include "rd_view.h"

/* A message. */
struct rd_row {
	enum ctl_type	 type;
	size_t		 len;
	union {
		struct ctl_redirect	 redirect;
		struct ctl_table	 table;
		struct ctl_host		 host;
		struct ctl_relay	 relay;
		struct ctl_router	 router;
		struct ctl_route	 route;
		struct ctl_statistics	 statistics;
	} body;
};

/* How far a dump has come; zeroed, with view and stats set, at its begin. */
struct rd_show {
	struct rd_view		*view;		/* a reference */
	const struct rd_stats	*stats;
	unsigned		 section;	/* redirects, relays, routers */
	size_t			 object, item;
	const struct rd_table	*table;		/* its hosts come next */
	size_t			 host;
};

/* The next row, in the order of relayctl 2.1. false: that was all. */
bool		 rd_show_next(struct rd_show *, struct rd_row *);

/* What statistics of them are called. Returns name. */
const char	*rd_show_relay_key(const struct rd_relay *,
		    char name[static BOARD_NAME]);
const char	*rd_show_redirect_key(const struct rd_redirect *,
		    char name[static BOARD_NAME]);

#endif
