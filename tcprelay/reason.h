/*
 * Why a relay's session is over, as its line, its counter and `why' tell. One
 * table has them all; who closes a session names the reason and what the
 * system or a library said, and words nothing.
 */
#ifndef TCPRELAY_REASON_H
#define TCPRELAY_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tell.h"

#define REASON_TEXT	256

enum relay_reason {
	REASON_NONE,		/* the service ends: nothing is logged */
	REASON_DONE,
	REASON_LAST_WRITE,	/* the end came with the last bytes kept */
	/* abort texts: no error without `return error' */
	REASON_SOCKET_ERROR,	/* connecting failed, errno */
	REASON_CONNECT_TIMEOUT,
	REASON_NO_DESCRIPTORS,
	REASON_PROXY_HEADER,
	/* errors */
	REASON_BUFFER_TIMEOUT,
	REASON_BUFFER_ERROR,	/* errno, or 0 */
	REASON_NAT_LOOKUP,
	REASON_OUT_OF_OUTPUT,	/* no memory for what is to be written */
	REASON_ABORTED,		/* a loop, or nobody to ask */
	REASON_FAILED,		/* nothing usable to connect to */
	REASON_BINDANY,
	REASON_TLS_TIMEOUT,
	REASON_TLS_ERROR,	/* text: of the library */
	REASON_TLS_SERVER,	/* no context for the listener */
	REASON_TLS_ACCEPT,
	REASON_TLS_CONNECT,
	REASONS
};

/* How a session ended. The text is read before the caller goes on. */
struct relay_end {
	enum relay_reason reason;
	int		 error;		/* errno of the call that failed; 0 */
	const char	*text;		/* NULL: the library said nothing */
};

struct relay_reason_row {
	const char	*text;
	bool		 error;		/* the flag: level, `log connection
					   errors' */
	bool		 detail;	/* ": " and errno or text, if any */
	uint8_t		 end;		/* enum session_end: its counter */
	uint8_t		 who;		/* enum why_who, who ended it;
					   REASON_SIDE: see there */
};
#define REASON_SIDE	WHY_WHO		/* the one that was first */
extern const struct relay_reason_row relay_reasons[REASONS];

/*
 * The reason as it is logged, "" for none: what others have said has its
 * control bytes spelled out, \xNN. Returns buf.
 */
const char	*reason_text(const struct relay_end *,
		    char buf[static REASON_TEXT]);
/*
 * Adds text to the NUL-terminated string of size bytes in buf, with control
 * bytes spelled out; what does not fit as a whole is left out.
 */
void		 reason_add(char *buf, size_t size, const char *text);

#endif
