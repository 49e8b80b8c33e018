/*
 * Questions that workers answer: which sessions there are, how the last ones
 * went. One worker after the other, so that answers come worker by worker and
 * no more of them wait than one worker has.
 */
#ifndef RELAYD_RD_ASK_H
#define RELAYD_RD_ASK_H

#include "rd_ctl.h"
#include "rd_role.h"

struct board;
struct rd_ask;

/* All that are under way; zeroed, with ev and role set. */
struct rd_asks {
	struct ev	*ev;
	struct role	*role;
	struct rd_ask	*first;
	uint32_t	 token;		/* the last one used */
};

/* Busies the client. */
void		 rd_ask_sessions(struct rd_asks *, struct rd_client *);
void		 rd_ask_why(struct rd_asks *, struct rd_client *,
		    const struct ctl_why *);
/* TELL_SESSION_LIST, TELL_WHY_LIST, found good by rd_tell_good(). */
void		 rd_ask_told(struct rd_asks *, const struct tell *);

#endif
