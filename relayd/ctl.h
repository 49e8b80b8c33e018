/*
 * The control protocol between relayd's pfe and relayctl. Both halves include
 * this and nothing else describes a message. Private to one build: it begins
 * with an exchange of versions. Integers in host order (a UNIX socket).
 *
 * A stream socket. Each message is a header and a body of exactly
 * length - sizeof(header) bytes. A client says HELLO, is told HELLO, asks one
 * thing, is answered, and closes; after NOTIFY it is told events until it
 * does. Whoever breaks a rule is disconnected.
 */
#ifndef RELAYD_CTL_H
#define RELAYD_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/net.h"
#include "../tcprelay/tell.h"

#define CTL_SOCKET	"/var/run/relayd.sock"
#define CTL_BACKLOG	5
#define CTL_MAGIC	0x72646374u
#define CTL_VERSION	1u
#define CTL_LENGTH	65536u		/* of the longest message */
#define CTL_NAME	64		/* with its NUL */
#define CTL_PATH	1024		/* with its NUL */

/* The numbers of events are shown by `relayctl monitor': none moves. */
enum ctl_type {
	CTL_OK = 1, CTL_FAIL = 2, CTL_VERBOSE = 3, CTL_END = 5,
	CTL_REDIRECT = 6, CTL_TABLE = 7, CTL_HOST = 8, CTL_RELAY = 9,
	CTL_SESSION = 10, CTL_ROUTER = 11, CTL_ROUTE = 12,
	CTL_TABLE_CHANGED = 13, CTL_PULL_RULESET = 14, CTL_PUSH_RULESET = 15,
	CTL_SHOW_SUMMARY = 16,
	CTL_REDIRECT_ENABLE = 17, CTL_REDIRECT_DISABLE = 18,
	CTL_TABLE_ENABLE = 19, CTL_TABLE_DISABLE = 20,
	CTL_HOST_ENABLE = 21, CTL_HOST_DISABLE = 22,
	CTL_SHUTDOWN = 23, CTL_RELOAD = 25, CTL_POLL = 27, CTL_NOTIFY = 28,
	CTL_STATISTICS = 29,	/* behind a redirect or a relay */
	CTL_HOST_STATUS = 37, CTL_SYNC = 38,
	CTL_HELLO = 64, CTL_SHOW_SESSIONS = 65, CTL_WHY = 66,
	CTL_WHY_ENTRY = 67, CTL_TEXT = 68, CTL_TEXT_PART = 69,
	CTL_REQUEST = 70,
	CTL_TYPES = 71
};

struct ctl_header {
	uint32_t length;		/* of all, with these 16 bytes */
	uint16_t type, flags;		/* flags 0 */
	uint32_t peer;			/* 0 */
	uint32_t pid;			/* of events: 1 */
};

struct ctl_hello { uint32_t magic, version; };

/* ---- asked ----
 * SHOW_SUMMARY, SHOW_SESSIONS, POLL, SHUTDOWN, NOTIFY, TEXT: no body.
 * VERBOSE: uint32_t. RELOAD: char path[CTL_PATH], "" for the daemon's own.
 * REDIRECT_ENABLE ... HOST_DISABLE: struct ctl_id. WHY: struct ctl_why. */

#define CTL_NO_ID	UINT32_MAX	/* then name counts */
struct ctl_id {
	uint32_t id;
	char	 name[CTL_NAME];
	uint32_t zero;
};
struct ctl_why {
	uint64_t session;		/* 0: any */
	uint32_t worker;		/* of it; 0: any */
	uint32_t host;			/* its number; 0: any */
	char	 name[CTL_NAME];	/* of a host; "" */
};

/* ---- answered ----
 * OK or FAIL, the latter with a text perhaps (no NUL; why). To the SHOWs:
 * rows, in the order of relayctl 2.1, then END. To TEXT: REQUEST, TEXT_PARTs
 * (bytes of the canonical text of what is in force), END. */

enum ctl_state {		/* in the order in which they apply */
	CTL_DISABLED = 1, CTL_DOWN = 2, CTL_BACKUP = 4, CTL_ACTIVE = 8,
	CTL_EMPTY = 16, CTL_UP = 32, CTL_UNKNOWN = 64,
	CTL_NOT_APPLIED = 128	/* a redirect: could not be installed */
};

struct ctl_redirect { uint32_t id, state; char name[CTL_NAME]; };
struct ctl_table {
	uint32_t id, state;
	uint32_t up;		/* hosts that can be used */
	uint32_t check;		/* it has one */
	char	 name[CTL_NAME + 8];
};
struct ctl_host {
	uint32_t id, state, table, parent;
	uint32_t error;		/* enum host_error */
	uint32_t left;		/* retries that remain */
	uint64_t checks, ups;
	struct net_name addr;
	char	 name[256];
};
struct ctl_relay { uint32_t id, state; char name[CTL_NAME + 24]; };
struct ctl_router {
	uint32_t id, state, rtable, zero;
	char	 name[CTL_NAME], rtlabel[CTL_NAME];
};
struct ctl_route { uint32_t router, bits; struct net_name addr; };
struct ctl_statistics {
	uint32_t id, relay;	/* of a relay, else of a redirect */
	uint32_t interval, zero;	/* s */
	uint64_t total;
	uint64_t last, last_hour, last_day;
	uint64_t average, average_hour, average_day;
};
/* SESSION: struct tell_session. WHY_ENTRY: struct tell_why. */
struct ctl_request {		/* how the daemon was started */
	char	 file[CTL_PATH], directory[CTL_PATH];
	uint8_t	 digest[32];		/* of what is in force, with the files
					   that it names */
	uint32_t nmacros, length;	/* then NAME NUL VALUE NUL ... */
};

/* ---- events ---- */

/* HOST_STATUS */
struct ctl_status { uint32_t id; int32_t state; };
/* TABLE_CHANGED, PULL_RULESET, PUSH_RULESET, and what an operator ordered
 * (then by name perhaps): struct ctl_id. SYNC: no body. */

/* What a body has to look like, by type; both sides look there. */
struct ctl_form {
	const char	*name;		/* as monitor shows events; NULL */
	uint32_t	 min, max;	/* bytes of the body */
	bool		 asked;		/* a client may send it */
	bool		 known;		/* there is such a type */
};
extern const struct ctl_form ctl_forms[CTL_TYPES];

/* NULL, or what is wrong with a message whose header and body are there: its
 * length, its type, a text without its end. */
const char	*ctl_check(const struct ctl_header *, const void *body,
		    bool from_client);

#endif
