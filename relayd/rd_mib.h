/*
 * What SNMP sees (section 8 of the runtime's specification): tables below one
 * object identifier, read only, looked up in whatever is true now. Pure.
 */
#ifndef RELAYD_RD_MIB_H
#define RELAYD_RD_MIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../tcprelay/tell.h"
#include "rd_stats.h"
#include "rd_view.h"

#define RD_OID_MAX	128u		/* sub-identifiers */

struct rd_oid {
	uint32_t	 n;
	bool		 include;	/* to begin with: itself, too */
	uint32_t	 sub[RD_OID_MAX];
};

enum rd_mib_kind { RD_MIB_NO_OBJECT, RD_MIB_NO_INSTANCE, RD_MIB_INTEGER,
    RD_MIB_STRING, RD_MIB_GAUGE, RD_MIB_TICKS, RD_MIB_COUNTER64 };

struct rd_mib_value {
	enum rd_mib_kind kind;
	uint64_t	 number;
	const void	*bytes;		/* RD_MIB_STRING */
	size_t		 len;
};

/* As memcmp(), by sub-identifiers; include does not count. */
int	 rd_oid_cmp(const struct rd_oid *, const struct rd_oid *);

/* 1.3.6.1.4.1.30155.3 and below it: .1 host traps, .2 tables. */
extern const struct rd_oid rd_mib_base, rd_mib_trap;

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
void	 rd_mib_get(const struct rd_mib *, const struct rd_oid *,
	    struct rd_mib_value *, struct rd_mib_room *);
/*
 * The first object behind from (or it itself, from->include) and before to
 * (n 0: no end): name and value. false: there is none.
 */
bool	 rd_mib_next(const struct rd_mib *, const struct rd_oid *from,
	    const struct rd_oid *to, struct rd_oid *name,
	    struct rd_mib_value *, struct rd_mib_room *);
/* Sorts what workers have listed, and numbers it. */
void	 rd_mib_sort(struct rd_mib_session *, size_t n);
/* Whether that lies in the table of sessions, or comes before it: then the
 * next object may. */
bool	 rd_mib_wants_sessions(const struct rd_oid *, bool next);

#endif
