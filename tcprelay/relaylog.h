/*
 * The line at the end of a relay's session, relayd's way. tcprelay's own
 * language has another one, sesslog.c.
 */
#ifndef TCPRELAY_RELAYLOG_H
#define TCPRELAY_RELAYLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/net.h"
#include "reason.h"

#define RELAYLOG_TEXT	1024

struct relaylog {
	const char		*relay;
	uint64_t		 id;		/* within the worker */
	uint32_t		 active;	/* sessions of the worker, with
						   this one */
	struct net_name		 client, server;	/* family 0: none */
	struct relay_end	 end;
};

/* Returns buf. Control bytes are spelled out; IPv6 has no brackets, the port
 * is what follows the last colon. */
const char	*relaylog_text(const struct relaylog *,
		    char buf[static RELAYLOG_TEXT]);
/* Whether there is a line; log: CONFIG_LOG_*. */
bool		 relaylog_wanted(unsigned log, enum relay_reason);

/* These relays are in force now, and can be reached. */
struct config;
void		 relaylog_launch(const struct config *);

#endif
