/*
 * From what a relayd.conf says to what broker and engine work by.
 */
#ifndef RELAYD_RD_ENGINE_H
#define RELAYD_RD_ENGINE_H

#include "../misc/diag.h"
#include "../spawnd/conf.h"
#include "../tcprelay/config.h"
#include "rd_conf.h"

/*
 * Fills in c->broker (listeners in the order of relays, workers that accept
 * for themselves, as many as `prefork' says), the common directives, and
 * c->worker, all in c's arena, from conf, which c holds on to. false: errors
 * in diag. What files hold is asked of conf's source.
 */
bool	 rd_engine(struct compiled *c, const struct rd_conf *conf,
	    struct diag *);

/* program.compile: extra is what rd_extra_pack() made. */
bool	 rd_compile_all(const struct conf_request *, struct source *,
	    struct compiled *, struct diag *);
/* The configuration as relayd knows it. */
static inline struct rd_conf *
rd_conf_of(const struct compiled *c)
{
	return c->front;
}

#endif
