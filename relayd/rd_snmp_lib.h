/*
 * libnetsnmp's half of an AgentX subagent, loaded where it is wanted. It may
 * wait for the master, for WAIT_MOST at a time, and so whoever calls it is a
 * process of which nobody expects anything else. One per process.
 */
#ifndef RELAYD_RD_SNMP_LIB_H
#define RELAYD_RD_SNMP_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rd_mib.h"

#define RD_SNMP_REASON	256

/* What it asks of its caller, out of the calls below. */
struct rd_snmp_ops {
	/* May that be answered now? false: once snmp_lib_go_on() is called. */
	bool	(*ready)(void *ctx, const struct rd_oid *, bool next);
	void	(*look)(void *ctx, struct rd_mib *);
	/* The socket is about to be closed by the library. */
	void	(*closing)(void *ctx, int fd);
};

/* The state of a host, for a trap. */
struct rd_snmp_trap {
	const char	*host, *table;
	int64_t		 now, old, ups, checks, up, retry, left;
};

/*
 * With all privileges and files: loads the library and makes it ready. false:
 * why says why not, and nothing else may be called.
 */
bool	 snmp_lib_open(const struct rd_snmp_ops *, void *ctx,
	    char why[static RD_SNMP_REASON]);
/*
 * A session with the master at the other end of fd, which is taken over, and
 * the tables registered in that context (NULL: the default one). false: why.
 */
bool	 snmp_lib_connect(int fd, const char *context,
	    char why[static RD_SNMP_REASON]);
/*
 * Does what there is to do. Returns the ns after which it wants to be called
 * again though nothing has come, 0: not. The session may have ended: closing
 * was called, then, and lost says why.
 */
uint64_t snmp_lib_turn(void);
const char *snmp_lib_lost(void);
/* Answers what was not ready. */
void	 snmp_lib_go_on(void);
void	 snmp_lib_trap(const struct rd_snmp_trap *, const char *context);
/* Ends the session, if there is one. */
void	 snmp_lib_leave(void);
void	 snmp_lib_close(void);

#endif
