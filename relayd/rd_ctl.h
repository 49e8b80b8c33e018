/*
 * The control socket's server: clients, framing and limits (runtime 1.11,
 * relayctl 4). What is asked, and what is to be answered, is its owner's
 * affair; here nothing is believed, nobody is waited for, and who breaks a
 * rule is disconnected.
 */
#ifndef RELAYD_RD_CTL_H
#define RELAYD_RD_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "../misc/ev.h"
#include "ctl.h"

#define RD_CTL_CLIENTS	64u	/* more wait to be accepted */
#define RD_CTL_MONITORS	48u	/* of them: there is always place to ask */

struct rd_ctl;			/* owned by who made it */
struct rd_client;		/* owned by the server */

/*
 * A request that is not answered at once. Until rd_client_done(), or until
 * the client is gone, it is busy, and must not ask again.
 */
struct rd_work {
	/* What waits for the client has become little. true: something was
	 * sent, and there may be more. NULL: answers come as they come. */
	bool	(*next)(void *work, struct rd_client *);
	/* Once, at the end, however it comes. */
	void	(*end)(void *work);
};

/* A request whose form is right. */
typedef void rd_ctl_asked(void *ctx, struct rd_client *, unsigned type,
    const void *body, size_t len);

struct rd_ctl	*rd_ctl_new(struct ev *, rd_ctl_asked *, void *ctx);
void		 rd_ctl_free(struct rd_ctl *);
/* Listen there, and nowhere else any more; clients stay. fd is taken over.
 * -1, errno: it is closed, all is as it was. */
int		 rd_ctl_listen(struct rd_ctl *, int fd);
/* A client that has connected; fd is taken over. */
void		 rd_ctl_serve(struct rd_ctl *, int fd);
unsigned	 rd_ctl_clients(const struct rd_ctl *);
/* Told to all monitors. */
void		 rd_ctl_event(struct rd_ctl *, enum ctl_type, const void *,
		    size_t);

/* A client that does not read may be gone after that, and its work ended; it
 * can still be given to the calls here, until the end of the turn. */
void		 rd_client_send(struct rd_client *, enum ctl_type,
		    const void *, size_t);
void		 rd_client_fail(struct rd_client *, const char *why);
/* false: it is one already, or there are too many. */
bool		 rd_client_monitor(struct rd_client *);
void		 rd_client_work(struct rd_client *, const struct rd_work *,
		    void *work);
/* next can be called again: there is something to be sent. */
void		 rd_client_wake(struct rd_client *);
void		 rd_client_done(struct rd_client *);
/* Disconnect it, for this reason. */
void		 rd_client_drop(struct rd_client *, const char *why);

#endif
