/*
 * What SNMP sees (section 8 of the runtime's specification): tables below one
 * object identifier, read only, looked up in whatever is true now. Pure.
 */
#ifndef RELAYD_RD_MIB_H
#define RELAYD_RD_MIB_H

#include "agentx.h"
#include "rd_stats.h"
#include "rd_view.h"

/* 1.3.6.1.4.1.30155.3 and below it: .1 host traps, .2 tables. */
extern const struct agentx_oid rd_mib_base, rd_mib_trap;

/* A session as it is shown, in the order of relay and number. */
struct rd_mib_session {
	uint32_t		 number;	/* unique within its relay */
	struct tell_session	 session;
};

/* What is looked at. */
struct rd_mib {
	const struct rd_view	*view;
	const struct rd_stats	*stats;
	const struct rd_mib_session *sessions;
	size_t			 nsessions;
	uint64_t		 aged;	/* ns since they were listed */
};

/* A value's bytes may be here. */
struct rd_mib_room {
	uint8_t	bytes[16];
};

/* The value of that object, or that there is none. */
void	 rd_mib_get(const struct rd_mib *, const struct agentx_oid *,
	    struct agentx_value *, struct rd_mib_room *);
/*
 * The first object behind from (or it itself, from->include) and before to
 * (n 0: no end): name and value. false: there is none.
 */
bool	 rd_mib_next(const struct rd_mib *, const struct agentx_oid *from,
	    const struct agentx_oid *to, struct agentx_oid *name,
	    struct agentx_value *, struct rd_mib_room *);
/* Sorts what workers have listed, and numbers it. */
void	 rd_mib_sort(struct rd_mib_session *, size_t n);
/* Whether that lies in the table of sessions, or comes before it: then the
 * next object may. */
bool	 rd_mib_wants_sessions(const struct agentx_oid *, bool next);

#endif
