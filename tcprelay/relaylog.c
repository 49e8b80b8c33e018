/*
 * To the letter: scripts read these lines.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

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
