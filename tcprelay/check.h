/*
 * Health checks: probes hosts in rounds and tells what became of them. It
 * never decides who is picked, reads no configuration and owns no privilege:
 * a front end fills struct check_conf, raw sockets are opened before root is
 * given up, and scripts are run by somebody else (check_run.h).
 *
 * Nothing here blocks, and nothing is allocated between two configurations.
 */
#ifndef TCPRELAY_CHECK_H
#define TCPRELAY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/ev.h"
#include "../misc/net.h"
#include "host.h"

struct check;

/* ---- what is to be checked; read by check_adopt, and kept by nobody ---- */

enum check_kind { CHECK_NONE, CHECK_ICMP, CHECK_TCP, CHECK_HTTP_CODE,
    CHECK_HTTP_DIGEST, CHECK_SEND, CHECK_BINARY, CHECK_SCRIPT };

struct check_how {
	enum check_kind	 kind;
	bool		 tls;		/* all but icmp and script */
	const char	*path;		/* http; script */
	const char	*host;		/* http; NULL: HTTP/1.0 */
	unsigned	 code;		/* 100 to 999 */
	const char	*digest;	/* 32 or 40 hexadecimal digits */
	const uint8_t	*send;		/* decoded; NULL: nothing */
	size_t		 send_len;
	const uint8_t	*expect;	/* send: a glob of at most EXPECT_MAX
					   bytes; binary: bytes */
	size_t		 expect_len;
};

struct check_host {
	uint32_t	 id;		/* unique, not 0 */
	const char	*name;		/* as written */
	struct net_addr	 addr;		/* with the port */
	bool		 by_name;	/* it was looked up: SNI */
	bool		 disabled;
	unsigned	 retry;
	unsigned	 ttl;		/* 1 to 255; 0: the system's */
	uint32_t	 parent;	/* a host's id; 0: none */
	/* What an engine knew of it that is no more; NULL. For a host that
	 * this one does not know yet. */
	const struct host *known;
};

struct check_table {
	uint32_t	 id;
	const char	*name;
	struct check_how how;
	unsigned	 timeout;	/* of one check, ms */
	unsigned	 every;		/* so many rounds, at least 1 */
	bool		 disabled;
	const struct check_host *hosts;
	size_t		 nhosts;
};

#define CHECK_LOG_STATE	1u	/* changes of state */
#define CHECK_LOG_HOSTS	2u	/* checks without one */
#define CHECK_LOG_DEBUG	4u

struct check_conf {
	const struct check_table *tables;	/* in the order of their ids */
	size_t			 ntables;
	unsigned		 interval;	/* of rounds, ms */
	unsigned		 log;		/* CHECK_LOG_* */
	const char		*agent;		/* the server's name, of HTTP
						   requests */
};

/* ---- what is told; no function of this file may be called from there ---- */

struct check_status {
	uint32_t	 id, table;
	enum host_state	 old;
	struct host	 now;
	unsigned	 ms;		/* the check took */
};

struct check_script {
	uint32_t	 host, run;	/* for check_script_done */
	const char	*path;
	const char	*argument;	/* the name of the host */
	unsigned	 timeout;	/* ms, counted from its start */
};

struct check_ops {
	/* A check has ended, or a host is unknown because it was disabled. */
	void	(*status)(void *ctx, const struct check_status *);
	/* A round begins: what came before may take effect. */
	void	(*round)(void *ctx);
	/* Have it run; false: that cannot be. The answer must come, once. */
	bool	(*script)(void *ctx, const struct check_script *);
	/* A line for the log, at a severity of syslog. */
	void	(*line)(void *ctx, int severity, const char *text);
};

/* ---- the engine ---- */

/* Raw sockets, and for what; privileged. */
enum check_socket { CHECK_SEND4, CHECK_RECV4, CHECK_SEND6, CHECK_RECV6,
    CHECK_SOCKETS };

/* Those that could not be opened are -1; false if there is one (errno says
 * why it failed). */
bool		 check_open(int fds[static CHECK_SOCKETS]);

/*
 * The loop, ops and ctx stay the caller's, the sockets become ours. NULL,
 * errno: no memory, or no randomness.
 */
struct check	*check_new(struct ev *, const struct check_ops *, void *ctx,
		    const int fds[static CHECK_SOCKETS]);
void		 check_free(struct check *);

/*
 * From now on check that, which has no error in it. The first time a round
 * begins at once. Later, a host whose table has the same name and check and
 * which has the same address keeps what is known of it, its place in the
 * rounds, and a check that is under way; what an operator ordered stays,
 * unless the configuration now orders something else. New hosts are checked
 * at once, without a round.
 */
void		 check_adopt(struct check *, const struct check_conf *);

/* A round at once, and the count of rounds of each table begins anew. Checks
 * that are under way are not disturbed. */
void		 check_poll(struct check *);
/* An operator's order. Children go with their parent. false: there is no
 * such host, or it has a parent. */
bool		 check_host_switch(struct check *, uint32_t id, bool on);
bool		 check_table_switch(struct check *, uint32_t id, bool on);
void		 check_log(struct check *, unsigned log);
/* A script has ended: exit status other than 0, or not. Too late: ignored. */
void		 check_script_done(struct check *, uint32_t host, uint32_t run,
		    bool up);

/* NULL: there is no such host. */
const struct host *check_host(const struct check *, uint32_t id);
/* How many checks are under way. */
size_t		 check_running(const struct check *);

#endif
