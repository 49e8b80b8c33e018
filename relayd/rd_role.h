/*
 * relayd's processes, and what they tell each other beside what the engine
 * knows (tcprelay/tell.h). One table, rd_tells[], says who may tell what to
 * whom and how long it is; whoever receives looks there first.
 */
#ifndef RELAYD_RD_ROLE_H
#define RELAYD_RD_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../spawnd/role.h"
#include "../tcprelay/tell.h"

/* In the order of program.roles. */
enum rd_role { RD_PARENT = ROLE_PARENT, RD_WORKER = ROLE_WORKER,
    RD_HCE = ROLE_FIRST, RD_PFE, RD_CA, RD_SNMP, RD_ROLES };

#define RD_TO(role)	(1u << (role))

enum rd_tell {
	RD_HOST = TELL_ENGINE,	/* hce -> pfe, and what has changed -> snmp:
				   struct rd_tell_host */
	RD_SYNC,		/* hce -> pfe: a round begins */
	RD_SCRIPT,		/* hce -> parent: struct rd_tell_script */
	RD_SCRIPT_DONE,		/* parent -> hce: struct rd_tell_done */
	RD_SWITCH,		/* pfe -> hce: struct rd_tell_switch; the board
				   says it already */
	RD_POLL,		/* pfe -> hce: a round now */
	RD_RELOAD,		/* pfe -> parent: struct rd_tell_reload */
	RD_RELOADED,		/* parent -> pfe: struct rd_tell_verdict */
	RD_STOP,		/* pfe -> parent */
	RD_LOUD,		/* pfe -> parent: uint32_t; the parent tells
				   all by TELL_VERBOSE */
	RD_CONTROL,		/* parent -> pfe: the listening control socket,
				   and again when another one is in force */
	RD_STATS,		/* pfe -> snmp: struct tell_list, whose token
				   is how many came before, and n rd_stat */
	RD_STATS_WANTED,	/* snmp -> pfe: these, now */
	RD_AGENTX,		/* snmp -> parent: a connection to the path of
				   the configuration */
	RD_AGENTX_SOCKET,	/* parent -> snmp: int32_t errno, or the
				   connected socket */
	RD_TELLS
};

struct rd_tell_host {
	uint32_t host, table;
	int32_t	 old, now;	/* enum host_state */
	uint32_t error, left;
	uint64_t checks, ups;
	uint32_t ms, zero;
};

struct rd_tell_script {
	uint32_t host, run, timeout, zero;	/* timeout: ms */
	char text[2048];	/* path, NUL, argument, NUL */
};

struct rd_tell_done { uint32_t host, run, up, zero; };

enum rd_switched { RD_SWITCH_HOST, RD_SWITCH_TABLE };
struct rd_tell_switch { uint32_t what, id, on, zero; };

struct rd_tell_reload {
	uint64_t token;
	char path[1024];	/* absolute; "": the file of the start */
};
struct rd_tell_verdict {
	uint64_t token;
	uint32_t good, zero;
};

struct rd_tell_form {
	const char	*name;
	unsigned	 from, to;	/* sets of RD_TO(enum rd_role) */
	size_t		 size;		/* exactly; with each: of its head, a
					   struct tell_list, */
	size_t		 each;		/* and of each of its entries */
	bool		 fd;		/* may come along */
};
extern const struct rd_tell_form rd_tells[RD_TELLS];	/* by type, the engine's
							   too; name NULL: no
							   such */
/* What came is one of these, from who may tell it to us. Else it is logged. */
bool	 rd_tell_good(const struct tell *, enum rd_role us);

/* The processes themselves. */
extern const struct role_ops rd_hce_ops, rd_pfe_ops, rd_ca_ops, rd_snmp_ops;
extern const struct parent_ops rd_parent_ops;

/* With all privileges: whether hce could do what that asks of it; false: error
 * says why not. */
struct rd_conf;
bool	 rd_hce_able(const struct rd_conf *, char *error, size_t size);

#endif
