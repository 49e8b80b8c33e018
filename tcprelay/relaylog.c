/*
 * To the letter: scripts read these lines.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "../misc/log.h"
#include "config.h"
#include "relaylog.h"

static void __attribute__((format(printf, 2, 3)))
add(char buf[static RELAYLOG_TEXT], const char *fmt, ...)
{
	char piece[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	reason_add(buf, RELAYLOG_TEXT, piece);
}

static void
add_address(char buf[static RELAYLOG_TEXT], const struct net_name *n)
{
	char text[NET_TEXT];

	if (n->family != 0)
		reason_add(buf, RELAYLOG_TEXT, net_name_ip_text(n, text));
}

const char *
relaylog_text(const struct relaylog *l, char buf[static RELAYLOG_TEXT])
{
	char reason[REASON_TEXT];

	buf[0] = '\0';
	reason_add(buf, RELAYLOG_TEXT, "relay ");
	reason_add(buf, RELAYLOG_TEXT, l->relay);
	/* the tag is that of a rule, and only http has rules that tag */
	add(buf, ", session %" PRIu64 " (%" PRIu32 " active), 0, ", l->id,
	    l->active);
	add_address(buf, &l->client);
	reason_add(buf, RELAYLOG_TEXT, " -> ");
	add_address(buf, &l->server);
	add(buf, ":%u, ", l->server.family != 0 ?
	    (unsigned)ntohs(l->server.port) : 0);
	reason_add(buf, RELAYLOG_TEXT, reason_text(&l->end, reason));
	return buf;
}

bool
relaylog_wanted(unsigned log, enum relay_reason reason)
{
	if (reason == REASON_NONE)
		return false;
	if (relay_reasons[reason].error)
		return (log & (CONFIG_LOG_SESSIONS | CONFIG_LOG_ERRORS)) != 0;
	return (log & CONFIG_LOG_SESSIONS) != 0;
}

/* What stands on a relay's side of a harness waits for the second line. */
void
relaylog_launch(const struct config *c)
{
	for (size_t i = 0; i < c->nrelays; i++) {
		const struct config_relay *r = &c->relays[i];

		for (size_t k = 0; k < r->ntables; k++)
			log_line("adding %" PRIu32 " hosts from table %s%s",
			    r->tables[k].n, r->tables[k].name,
			    r->tables[k].check ? "" : " (no check)");
		log_debug(DEBUG_NET, "relay_launch: running relay %s",
		    r->name);
	}
}
