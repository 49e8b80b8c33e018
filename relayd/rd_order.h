/*
 * What an operator orders: redirects, tables and hosts on and off (7.8).
 * Orders are cells of the board, so that they outlive reloads and processes.
 */
#ifndef RELAYD_RD_ORDER_H
#define RELAYD_RD_ORDER_H

#include "rd_role.h"
#include "rd_view.h"

/* The checks have to know of it. */
typedef void rd_order_switched(void *ctx, enum rd_switched what, uint32_t id,
    bool on);

/*
 * CTL_REDIRECT_ENABLE ... CTL_HOST_DISABLE. NULL: it is so now (or was
 * already), and the id is that of the (first) object. Else why not.
 */
const char	*rd_order(struct rd_view *, enum ctl_type, struct ctl_id *,
		    rd_order_switched *, void *ctx);

#endif
