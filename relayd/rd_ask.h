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
/* The same for somebody who is no client: each row, and that it is over; may
 * be over before this returns, then NULL. */
struct rd_ask_sink {
	void	(*row)(void *ctx, const struct tell_session *);
	void	(*over)(void *ctx);
};
struct rd_ask	*rd_ask_list(struct rd_asks *, const struct rd_ask_sink *,
		    void *ctx);
/* Nobody wants to know any more, and over is not called. */
void		 rd_ask_cancel(struct rd_ask *);
/* TELL_SESSION_LIST, TELL_WHY_LIST, found good by rd_tell_good(). */
void		 rd_ask_told(struct rd_asks *, const struct tell *);

#endif
