/*
 * The process `pfe': who answers relayctl. It knows the state of everything
 * and changes what an operator orders; what else there is to do, others do.
 */
#ifndef RELAYD_RD_PFE_H
#define RELAYD_RD_PFE_H

#include "rd_ask.h"
#include "rd_ctl.h"
#include "rd_role.h"
#include "rd_stats.h"
#include "rd_view.h"

/* One per process; freed by close. */
struct rd_pfe {
	struct ev		*ev;
	struct role		*role;
	struct rd_ctl		*ctl;
	struct rd_view		*view;		/* NULL: before the first
						   configuration */
	struct rd_view		*views;		/* all that are in use */
	struct rd_stats		 stats;		/* redirects, then relays */
	struct ev_timer		 tick;		/* of them */
	struct rd_asks		 asks;
	struct {
		uint64_t	 token;		/* 0: none is under way */
		struct rd_client *client;	/* NULL: has gone */
	} reload;
	uint64_t		 tokens;	/* of reloads so far */
};

/* What clients ask, rd_answer.c. */
void		 rd_answer(struct rd_pfe *, struct rd_client *, unsigned type,
		    const void *body, size_t len);
/* The parent says how the reload went. */
void		 rd_answer_reloaded(struct rd_pfe *,
		    const struct rd_tell_verdict *);

#endif
