/*
 * The reasons of relay sessions: one row each. Knows no session, logs nothing.
 */
#include <string.h>

#include "reason.h"
#include "session.h"

const struct relay_reason_row relay_reasons[REASONS] = {
	[REASON_NONE] = { "", false, false, END_KILLED, WHY_OPERATOR },
	[REASON_DONE] = { "done", false, false, END_DONE, REASON_SIDE },
	[REASON_LAST_WRITE] = { "last write (done)", false, false, END_DONE,
	    REASON_SIDE },
	[REASON_SOCKET_ERROR] = { "socket error", false, true,
	    END_NO_DESTINATION, WHY_SERVER },
	[REASON_CONNECT_TIMEOUT] = { "connect timeout", false, false,
	    END_NO_DESTINATION, WHY_RELAY },
	[REASON_NO_DESCRIPTORS] = { "connection timed out", false, false,
	    END_LOCAL, WHY_RELAY },
	[REASON_PROXY_HEADER] = { "failed to write PROXY header", false,
	    false, END_REMOTE, WHY_SERVER },
	[REASON_BUFFER_TIMEOUT] = { "buffer event timeout", true, false,
	    END_IDLE, WHY_RELAY },
	[REASON_BUFFER_ERROR] = { "buffer event error", true, true,
	    END_LOCAL, REASON_SIDE },
	[REASON_NAT_LOOKUP] = { "session NAT lookup failed", true, false,
	    END_NO_DESTINATION, WHY_RELAY },
	[REASON_OUT_OF_OUTPUT] = { "failed to allocate output buffer", true,
	    false, END_LOCAL, WHY_RELAY },
	[REASON_ABORTED] = { "session aborted", true, false, END_LOCAL,
	    WHY_RELAY },
	[REASON_FAILED] = { "session failed", true, false,
	    END_NO_DESTINATION, WHY_RELAY },
	[REASON_BINDANY] = { "bindany failed, invalid socket", true, false,
	    END_LOCAL, WHY_RELAY },
	[REASON_TLS_TIMEOUT] = { "TLS handshake timeout", true, false,
	    END_HANDSHAKE_TIMEOUT, WHY_RELAY },
	[REASON_TLS_ERROR] = { "TLS handshake error", true, true,
	    END_HANDSHAKE, REASON_SIDE },
	[REASON_TLS_SERVER] = { "no TLS server context available", true,
	    false, END_LOCAL, WHY_RELAY },
	[REASON_TLS_ACCEPT] = { "could not accept the TLS connection", true,
	    false, END_LOCAL, WHY_RELAY },
	[REASON_TLS_CONNECT] = { "could not connect the TLS connection", true,
	    false, END_LOCAL, WHY_RELAY },
};

void
reason_add(char *buf, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = (const unsigned char *)text;
	size_t used = strlen(buf), n;
	char piece[4] = "\\x";

	for (; *p != '\0'; p++) {
		piece[2] = hex[*p >> 4];
		piece[3] = hex[*p & 15];
		n = *p < 0x20 || *p == 0x7f ? sizeof(piece) : 1;
		if (n >= size - used)
			break;
		memcpy(buf + used, n == 1 ? (const char *)p : piece, n);
		used += n;
	}
	buf[used] = '\0';
}

const char *
reason_text(const struct relay_end *e, char buf[static REASON_TEXT])
{
	const struct relay_reason_row *row = &relay_reasons[e->reason];
	const char *said = e->error != 0 ? strerror(e->error) : e->text;

	buf[0] = '\0';
	reason_add(buf, REASON_TEXT, row->text);
	if (!row->detail || said == NULL || *said == '\0')
		return buf;
	reason_add(buf, REASON_TEXT, ": ");
	reason_add(buf, REASON_TEXT, said);
	return buf;
}
