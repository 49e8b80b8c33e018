/*
 * libnetsnmp as a subagent. It is loaded by the process that needs it, gets
 * its socket from us, by a transport of ours, reads no file, and its words go
 * to our log.
 *
 * A session begins by what the library does when its configuration was read
 * (subagent_startup), the one public way to it: it then asks our transport,
 * which has a socket or not.
 */
#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>

#include <sys/socket.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/log.h"
#include "rd_snmp_lib.h"

#define WAIT_MOST	3	/* s for an answer of the master */
#define ROUNDS		64	/* of work before somebody else has his turn */
/* Of a message's header, RFC 2741 6.1. */
#define HEADER		20
#define TYPE		1
#define PACKET		12
#define RESPONSE	18
#define FLAGS		2
#define LENGTH		16
#define BIG		0x10	/* network byte order */
#define MESSAGE		65536u	/* longest one that is taken */
#define SAID		32	/* requests of ours that are remembered */
#define NAME		"relayd"	/* of the session */

/* ---- the library ---- */

#define FUNCTIONS(F)							\
	F(init_agent) F(init_snmp) F(snmp_shutdown) F(shutdown_agent)	\
	F(netsnmp_get_version)						\
	F(netsnmp_ds_set_boolean) F(netsnmp_ds_set_int)			\
	F(netsnmp_ds_set_string)					\
	F(snmp_disable_log) F(snmp_enable_calllog)			\
	F(snmp_register_callback) F(snmp_call_callbacks)		\
	F(netsnmp_tdomain_register)					\
	F(netsnmp_create_handler_registration)				\
	F(netsnmp_register_handler) F(unregister_mib_context)	\
	F(netsnmp_create_delegated_cache)				\
	F(netsnmp_handler_check_cache) F(netsnmp_free_delegated_cache)	\
	F(netsnmp_set_request_error)					\
	F(snmp_set_var_objid) F(snmp_set_var_typed_value)		\
	F(snmp_varlist_add_variable) F(snmp_free_varbind)		\
	F(agent_check_and_process) F(snmp_select_info)			\
	F(send_v3trap)

static struct {
#define MEMBER(name) __typeof__(&name) name;
	FUNCTIONS(MEMBER)
#undef MEMBER
} lib;

static const char *const lib_names[] = {
	"libnetsnmpagent.so.40", "libnetsnmpagent.so",
};

/* A request that waits for sessions. */
struct waiting {
	struct waiting		*next;
	netsnmp_delegated_cache	*cache;
};

/* A request that was sent. */
struct packet {
	uint32_t	 id;
	uint32_t	 session;
	time_t		 when;		/* monotonic, s */
};

/* One per process, as the library is. */
static struct {
	const struct rd_snmp_ops *ops;
	void			*ctx;
	int			 given;		/* for the next session; -1 */
	int			 fd;		/* of the session; -1: none */
	bool			 waits;		/* within a call of ours */
	bool			 late;		/* an answer to that */
	bool			 heard;		/* anything, on that fd */
	bool			 eof, unreadable;
	uint8_t			 head[HEADER];	/* of what comes */
	size_t			 head_len;
	size_t			 left;		/* of its body */
	int			 error;		/* of the socket; 0 */
	uint32_t		 sessions;	/* tried so far */
	struct packet		 packets[SAID];
	size_t			 npackets;	/* ever */
	char			 said[RD_SNMP_REASON];	/* by the library */
	char			 why[RD_SNMP_REASON];	/* it ended */
	bool			 registered;	/* the tables are, in ... */
	char			*context;	/* NULL: the default one */
	struct waiting		*waiting;
} agent = { .given = -1, .fd = -1 };

/* An object pointer is what dlsym has; POSIX lets it be a function's. */
static bool
symbol_load(void *library, const char *name, void *to, size_t size,
    char why[static RD_SNMP_REASON])
{
	void *p = dlsym(library, name);

	if (p == NULL) {
		snprintf(why, RD_SNMP_REASON, "libnetsnmpagent has no '%s'",
		    name);
		return false;
	}
	memcpy(to, &p, size);
	return true;
}

/* Its structures are those of the headers only within a version. */
static bool
version_good(const char *version)
{
	size_t len = strcspn(PACKAGE_VERSION, ".") + 1;

	len += strcspn(&PACKAGE_VERSION[len], ".");
	return strncmp(version, PACKAGE_VERSION, len) == 0;
}

static bool
library_load(char why[static RD_SNMP_REASON])
{
	void *library = NULL;

	for (size_t i = 0; library == NULL &&
	    i < sizeof(lib_names) / sizeof(lib_names[0]); i++) {
		library = dlopen(lib_names[i], RTLD_NOW | RTLD_LOCAL);
		if (library == NULL && i == 0)
			snprintf(why, RD_SNMP_REASON, "libnetsnmpagent "
			    "cannot be loaded: %s", dlerror());
	}
	if (library == NULL)
		return false;
#define LOAD(name)							\
	if (!symbol_load(library, #name, &lib.name, sizeof(lib.name),	\
	    why))							\
		return false;
	FUNCTIONS(LOAD)
#undef LOAD
	if (!version_good(lib.netsnmp_get_version())) {
		snprintf(why, RD_SNMP_REASON, "libnetsnmp is %s, but %s is "
		    "needed", lib.netsnmp_get_version(), PACKAGE_VERSION);
		return false;
	}
	return true;
}

static int
logging_cb(int major, int minor, void *message, void *ctx)
{
	const struct snmp_log_message *m = message;
	size_t len = strcspn(m->msg, "\n");

	(void)major;
	(void)minor;
	(void)ctx;
	if (len == 0)
		return 0;
	log_debug(DEBUG_PROC, "libnetsnmp: %.*s", (int)len, m->msg);
	if (m->priority <= LOG_WARNING && agent.said[0] == '\0')
		snprintf(agent.said, sizeof(agent.said), "%.*s", (int)len,
		    m->msg);
	return 0;
}

/* ---- the transport ---- */

static oid domain_name[] = { 1, 3, 6, 1, 4, 1, 30155, 3, 9 };

static bool
head_good(void)
{
	const uint8_t *h = agent.head, *l = h + LENGTH;
	bool big = (h[FLAGS] & BIG) != 0;

	agent.left = (size_t)(big ? l[0] : l[3]) << 24 |
	    (size_t)(big ? l[1] : l[2]) << 16 |
	    (size_t)(big ? l[2] : l[1]) << 8 | (big ? l[3] : l[0]);
	return h[0] == 1 && agent.left <= MESSAGE && agent.left % 4 == 0;
}

/* The library would wait for the end of whatever seems to begin. */
static bool
readable(const uint8_t *p, size_t n)
{
	while (n > 0) {
		if (agent.left > 0) {
			size_t body = n < agent.left ? n : agent.left;

			agent.left -= body;
			p += body;
			n -= body;
			continue;
		}
		agent.head[agent.head_len++] = *p++;
		n--;
		if (agent.head_len < HEADER)
			continue;
		agent.head_len = 0;
		if (!head_good())
			return false;
	}
	return true;
}

static int
transport_recv(netsnmp_transport *t, void *data, int size, void **opaque,
    int *opaque_len)
{
	ssize_t n;

	if (opaque != NULL)
		*opaque = NULL;
	if (opaque_len != NULL)
		*opaque_len = 0;
	do
		n = recv(t->sock, data, (size_t)size, 0);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		agent.heard = true;
	if (n > 0 && !readable(data, (size_t)n)) {
		agent.unreadable = true;
		return -1;
	}
	if (n > 0)
		return (int)n;
	if (n == 0)
		agent.eof = true;
	else
		agent.error = errno;
	return (int)n;
}

/*
 * What the library says again when there was no answer would come twice: this
 * is a stream. But when it waits for that answer within a call of ours, it has
 * waited long enough at some time.
 */
static bool
said_before(const uint8_t *message, size_t size)
{
	struct timespec now;
	uint32_t packet;

	if (size < HEADER || message[TYPE] == RESPONSE)
		return false;
	memcpy(&packet, message + PACKET, sizeof(packet));
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (size_t i = 0; i < SAID; i++) {
		if (agent.packets[i].id != packet ||
		    agent.packets[i].session != agent.sessions)
			continue;
		if (agent.waits && now.tv_sec - agent.packets[i].when >=
		    WAIT_MOST) {
			agent.late = true;
			(void)shutdown(agent.fd, SHUT_RDWR);
		}
		return true;
	}
	agent.packets[agent.npackets++ % SAID] = (struct packet){
	    .id = packet, .session = agent.sessions, .when = now.tv_sec };
	return false;
}

/* All of it; a master that does not read is left. */
static int
transport_send(netsnmp_transport *t, const void *data, int size,
    void **opaque, int *opaque_len)
{
	struct pollfd p = { .fd = t->sock, .events = POLLOUT };
	size_t sent = 0;

	(void)opaque;
	(void)opaque_len;
	if (said_before(data, (size_t)size))
		return size;
	while (sent < (size_t)size) {
		ssize_t n = send(t->sock, (const char *)data + sent,
		    (size_t)size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if ((errno == EAGAIN || errno == EWOULDBLOCK) &&
		    poll(&p, 1, WAIT_MOST * 1000) > 0)
			continue;
		agent.error = errno == EAGAIN ? ETIMEDOUT : errno;
		/* half a message: the next reading ends the session */
		(void)shutdown(t->sock, SHUT_RDWR);
		return -1;
	}
	return size;
}

static void
reason_take(void)
{
	const char *why = agent.said[0] != '\0' ? agent.said :
	    "a message that is not readable";

	if (agent.unreadable)
		why = "a message that is not readable";
	else if (agent.late)
		why = "no answer";
	else if (agent.error != 0)
		why = strerror(agent.error);
	else if (agent.eof)
		why = "connection closed";
	snprintf(agent.why, sizeof(agent.why), "%s", why);
}

static int
transport_close(netsnmp_transport *t)
{
	if (t->sock != -1) {
		reason_take();
		agent.ops->closing(agent.ctx, t->sock);
		(void)close(t->sock);
	}
	t->sock = -1;
	agent.fd = -1;
	return 0;
}

static char *
transport_text(netsnmp_transport *t, const void *data, int len)
{
	(void)t;
	(void)data;
	(void)len;
	return strdup("the AgentX master");
}

static netsnmp_transport *
transport_new(netsnmp_tdomain_spec *spec)
{
	netsnmp_transport *t;

	(void)spec;
	if (agent.given == -1 || (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->domain = domain_name;
	t->domain_length = sizeof(domain_name) / sizeof(domain_name[0]);
	t->flags = NETSNMP_TRANSPORT_FLAG_STREAM;
	t->msgMaxSize = 0x7fffffff;
	t->sock = agent.fd = agent.given;
	agent.given = -1;
	t->f_recv = transport_recv;
	t->f_send = transport_send;
	t->f_close = transport_close;
	t->f_fmtaddr = transport_text;
	return t;
}

static netsnmp_tdomain domain = {
	.name = domain_name,
	.name_length = sizeof(domain_name) / sizeof(domain_name[0]),
	.f_create_from_tspec = transport_new,
};

/* ---- requests ---- */

static struct rd_oid
oid_ours(const oid *name, size_t n)
{
	struct rd_oid o = { .n = 0 };

	for (size_t i = 0; i < n && i < RD_OID_MAX; i++)
		o.sub[o.n++] = (uint32_t)name[i];
	return o;
}

static size_t
oid_theirs(const struct rd_oid *o, oid name[static RD_OID_MAX])
{
	for (uint32_t i = 0; i < o->n; i++)
		name[i] = o->sub[i];
	return o->n;
}

static void
value_set(netsnmp_variable_list *var, const struct rd_mib_value *v)
{
	const struct counter64 wide = { .high = (u_long)(v->number >> 32),
	    .low = (u_long)(v->number & UINT32_MAX) };
	const long number = (long)v->number;

	switch (v->kind) {
	case RD_MIB_NO_OBJECT:
		lib.snmp_set_var_typed_value(var, SNMP_NOSUCHOBJECT, NULL, 0);
		return;
	case RD_MIB_NO_INSTANCE:
		lib.snmp_set_var_typed_value(var, SNMP_NOSUCHINSTANCE, NULL,
		    0);
		return;
	case RD_MIB_STRING:
		lib.snmp_set_var_typed_value(var, ASN_OCTET_STR, v->bytes,
		    v->len);
		return;
	case RD_MIB_COUNTER64:
		lib.snmp_set_var_typed_value(var, ASN_COUNTER64, &wide,
		    sizeof(wide));
		return;
	case RD_MIB_INTEGER:
		lib.snmp_set_var_typed_value(var, ASN_INTEGER, &number,
		    sizeof(number));
		return;
	case RD_MIB_GAUGE:
		lib.snmp_set_var_typed_value(var, ASN_GAUGE, &number,
		    sizeof(number));
		return;
	case RD_MIB_TICKS:
		lib.snmp_set_var_typed_value(var, ASN_TIMETICKS, &number,
		    sizeof(number));
		return;
	}
}

/* Where a request begins. */
static struct rd_oid
request_from(const netsnmp_request_info *r)
{
	struct rd_oid from = oid_ours(r->requestvb->name,
	    r->requestvb->name_length);

	from.include = r->inclusive != 0;
	return from;
}

static void
request_answer(const struct rd_mib *m, int mode, netsnmp_request_info *r)
{
	struct rd_oid from = request_from(r), end, name;
	struct rd_mib_value v;
	struct rd_mib_room room;
	oid theirs[RD_OID_MAX];

	if (mode == MODE_GET) {
		rd_mib_get(m, &from, &v, &room);
	} else {
		end = oid_ours(r->range_end, r->range_end == NULL ? 0 :
		    r->range_end_len);
		if (!rd_mib_next(m, &from, &end, &name, &v, &room))
			return;		/* the library looks further */
		lib.snmp_set_var_objid(r->requestvb, theirs,
		    oid_theirs(&name, theirs));
	}
	value_set(r->requestvb, &v);
}

static void
requests_answer(netsnmp_agent_request_info *info,
    netsnmp_request_info *requests)
{
	struct rd_mib m;

	agent.ops->look(agent.ctx, &m);
	for (netsnmp_request_info *r = requests; r != NULL; r = r->next)
		if (r->processed == 0)
			request_answer(&m, info->mode, r);
}

static bool
requests_wait(netsnmp_mib_handler *handler,
    netsnmp_handler_registration *registration,
    netsnmp_agent_request_info *info, netsnmp_request_info *requests)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return false;
	w->cache = lib.netsnmp_create_delegated_cache(handler, registration,
	    info, requests, NULL);
	if (w->cache == NULL) {
		free(w);
		return false;
	}
	w->next = agent.waiting;
	agent.waiting = w;
	for (netsnmp_request_info *r = requests; r != NULL; r = r->next)
		r->delegated = REQUEST_IS_DELEGATED;
	return true;
}

static int
handler_cb(netsnmp_mib_handler *handler,
    netsnmp_handler_registration *registration,
    netsnmp_agent_request_info *info, netsnmp_request_info *requests)
{
	bool next = info->mode == MODE_GETNEXT, ready = true;

	if (info->mode != MODE_GET && info->mode != MODE_GETNEXT) {
		for (netsnmp_request_info *r = requests; r != NULL;
		    r = r->next)
			lib.netsnmp_set_request_error(info, r,
			    SNMP_ERR_NOTWRITABLE);
		return SNMP_ERR_NOERROR;
	}
	for (netsnmp_request_info *r = requests; r != NULL && ready;
	    r = r->next) {
		struct rd_oid from = request_from(r);

		ready = agent.ops->ready(agent.ctx, &from, next);
	}
	if (ready || !requests_wait(handler, registration, info, requests))
		requests_answer(info, requests);
	return SNMP_ERR_NOERROR;
}

void
snmp_lib_go_on(void)
{
	struct waiting *w;

	while ((w = agent.waiting) != NULL) {
		netsnmp_delegated_cache *c =
		    lib.netsnmp_handler_check_cache(w->cache);

		agent.waiting = w->next;
		if (c != NULL) {
			for (netsnmp_request_info *r = c->requests; r != NULL;
			    r = r->next)
				r->delegated = REQUEST_IS_NOT_DELEGATED;
			requests_answer(c->reqinfo, c->requests);
		}
		lib.netsnmp_free_delegated_cache(w->cache);
		free(w);
	}
}

static void
waiting_drop(void)
{
	struct waiting *w;

	while ((w = agent.waiting) != NULL) {
		agent.waiting = w->next;
		lib.netsnmp_free_delegated_cache(w->cache);
		free(w);
	}
}

/* ---- sessions ---- */

/* Registered anew in each session, perhaps in another context. */
static bool
tables_register(const char *context)
{
	oid base[RD_OID_MAX];
	size_t n = oid_theirs(&rd_mib_base, base);
	netsnmp_handler_registration *r =
	    lib.netsnmp_create_handler_registration(NAME, handler_cb, base, n,
	    HANDLER_CAN_RONLY);

	if (r == NULL)
		return false;
	if (context != NULL) {
		r->contextName = strdup(context);
		agent.context = strdup(context);
	}
	/* it belongs to the library, also if that fails */
	agent.registered =
	    lib.netsnmp_register_handler(r) == MIB_REGISTERED_OK;
	return agent.registered;
}

/*
 * By their name: to take back a registration, the library (5.9) reads the
 * context of what it has freed.
 */
static void
tables_forget(void)
{
	oid base[RD_OID_MAX];
	size_t n = oid_theirs(&rd_mib_base, base);

	if (agent.registered)
		lib.unregister_mib_context(base, n, DEFAULT_MIB_PRIORITY, 0,
		    0, agent.context);
	agent.registered = false;
	free(agent.context);
	agent.context = NULL;
	waiting_drop();
}

static void
rounds(void)
{
	for (int i = 0; i < ROUNDS && lib.agent_check_and_process(0) > 0; i++)
		continue;
}

/*
 * As if the master had: the library finds an end, and closes; the master does,
 * too, and forgets the tables. To take them back one by one would cost a wait,
 * and perhaps, if they were refused, those of another session.
 */
void
snmp_lib_leave(void)
{
	if (agent.fd != -1) {
		(void)shutdown(agent.fd, SHUT_RDWR);
		rounds();
	}
	tables_forget();
}

bool
snmp_lib_connect(int fd, const char *context,
    char why[static RD_SNMP_REASON])
{
	tables_forget();
	agent.given = fd;
	agent.sessions++;
	agent.waits = true;
	agent.heard = agent.eof = agent.late = agent.unreadable = false;
	agent.head_len = agent.left = 0;
	agent.error = 0;
	agent.said[0] = agent.why[0] = '\0';
	if (fd >= FD_SETSIZE) {
		close(fd);
		snprintf(why, RD_SNMP_REASON, "%s", strerror(EMFILE));
		return false;
	}
	/* With the first tables of a context the library also registers its
	 * roots, which the master has: that fails, unless nobody hears it. */
	if (context != NULL && tables_register(context))
		tables_forget();
	lib.snmp_call_callbacks(SNMP_CALLBACK_LIBRARY,
	    SNMP_CALLBACK_POST_READ_CONFIG, NULL);
	if (agent.given != -1) {
		close(agent.given);
		agent.given = -1;
	}
	if (agent.fd != -1) {
		agent.said[0] = '\0';
		if (!tables_register(context) || agent.said[0] != '\0') {
			char said[RD_SNMP_REASON];

			snprintf(said, sizeof(said), "%s", agent.said);
			snmp_lib_leave();
			if (!agent.late && said[0] != '\0')
				snprintf(agent.why, sizeof(agent.why), "%s",
				    said);
		}
	}
	agent.waits = false;
	if (agent.fd == -1)
		snprintf(why, RD_SNMP_REASON, "%s", agent.why);
	return agent.fd != -1;
}

uint64_t
snmp_lib_turn(void)
{
	struct timeval tv = { .tv_sec = 3600 };
	int n = 0, block = 1;
	fd_set set;

	rounds();
	if (agent.fd == -1)
		tables_forget();
	FD_ZERO(&set);
	lib.snmp_select_info(&n, &set, &tv, &block);
	if (block)
		return 0;
	return (uint64_t)tv.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)tv.tv_usec * 1000 + 1;
}

const char *
snmp_lib_lost(void)
{
	return agent.why;
}

/* ---- traps ---- */

static void
trap_add(netsnmp_variable_list **vars, uint32_t n,
    const struct rd_mib_value *v)
{
	oid name[RD_OID_MAX];
	size_t len = oid_theirs(&rd_mib_trap, name);
	const long number = (long)v->number;

	name[len++] = n;
	if (v->kind == RD_MIB_STRING)
		lib.snmp_varlist_add_variable(vars, name, len, ASN_OCTET_STR,
		    v->bytes, v->len);
	else
		lib.snmp_varlist_add_variable(vars, name, len, ASN_INTEGER,
		    &number, sizeof(number));
}

static void
trap_text(netsnmp_variable_list **vars, uint32_t n, const char *text)
{
	const struct rd_mib_value v = { .kind = RD_MIB_STRING, .bytes = text,
	    .len = strlen(text) };

	trap_add(vars, n, &v);
}

static void
trap_number(netsnmp_variable_list **vars, uint32_t n, int64_t number)
{
	const struct rd_mib_value v = { .kind = RD_MIB_INTEGER,
	    .number = (uint64_t)(number < INT32_MAX ? number : INT32_MAX) };

	trap_add(vars, n, &v);
}

void
snmp_lib_trap(const struct rd_snmp_trap *t, const char *context)
{
	static const oid trap_name[] = { 1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0 };
	netsnmp_variable_list *vars = NULL;
	oid name[RD_OID_MAX];
	size_t len = oid_theirs(&rd_mib_trap, name);

	name[len++] = 0;
	lib.snmp_varlist_add_variable(&vars, trap_name,
	    sizeof(trap_name) / sizeof(trap_name[0]), ASN_OBJECT_ID, name,
	    len * sizeof(name[0]));
	trap_text(&vars, 1, t->host);
	trap_number(&vars, 2, t->now);
	trap_number(&vars, 3, t->old);
	trap_number(&vars, 4, t->ups & INT32_MAX);
	trap_number(&vars, 5, t->checks & INT32_MAX);
	trap_text(&vars, 6, t->table);
	trap_number(&vars, 7, t->up);
	trap_number(&vars, 8, t->retry);
	trap_number(&vars, 9, t->left);
	lib.send_v3trap(vars, context);
	lib.snmp_free_varbind(vars);
}

/* ---- life ---- */

/* It would look for files by these, which are nobody's business here. */
static void
files_hide(void)
{
	static const char *const names[] = { "MIBS", "MIBDIRS", "MIBFILES",
	    "SNMPCONFPATH", "SNMP_PERSISTENT_DIR", "SNMP_PERSISTENT_FILE" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)setenv(names[i], i < 2 ? "" : "/nonexistent", 1);
	(void)unsetenv("MIBFILES");
}

static void
library_set(void)
{
	static const int quiet[] = { NETSNMP_DS_LIB_DONT_READ_CONFIGS,
	    NETSNMP_DS_LIB_DONT_PERSIST_STATE,
	    NETSNMP_DS_LIB_DISABLE_PERSISTENT_LOAD,
	    NETSNMP_DS_LIB_DISABLE_PERSISTENT_SAVE,
	    NETSNMP_DS_LIB_ALARM_DONT_USE_SIG };
	static const struct { int which, value; } numbers[] = {
		{ NETSNMP_DS_AGENT_AGENTX_PING_INTERVAL, 0 },
		{ NETSNMP_DS_AGENT_AGENTX_TIMEOUT, WAIT_MOST * ONE_SEC },
		{ NETSNMP_DS_AGENT_AGENTX_RETRIES, 0 },
	};

	for (size_t i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		lib.netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, quiet[i],
		    1);
	lib.netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID,
	    NETSNMP_DS_AGENT_ROLE, 1);
	lib.netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID,
	    NETSNMP_DS_AGENT_DISABLE_PERL, 1);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		lib.netsnmp_ds_set_int(NETSNMP_DS_APPLICATION_ID,
		    numbers[i].which, numbers[i].value);
	lib.netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID,
	    NETSNMP_DS_AGENT_X_SOCKET, NAME ":parent");
}

bool
snmp_lib_open(const struct rd_snmp_ops *ops, void *ctx,
    char why[static RD_SNMP_REASON])
{
	if (!library_load(why))
		return false;
	agent.ops = ops;
	agent.ctx = ctx;
	files_hide();
	lib.snmp_disable_log();
	lib.snmp_enable_calllog();
	lib.snmp_register_callback(SNMP_CALLBACK_LIBRARY,
	    SNMP_CALLBACK_LOGGING, logging_cb, NULL);
	library_set();
	if (lib.init_agent(NAME) != 0) {
		snprintf(why, RD_SNMP_REASON, "libnetsnmp cannot be used");
		return false;
	}
	library_set();
	/* the library frees them */
	if ((domain.prefix = calloc(2, sizeof(*domain.prefix))) == NULL) {
		snprintf(why, RD_SNMP_REASON, "%s", strerror(ENOMEM));
		return false;
	}
	domain.prefix[0] = NAME;
	lib.netsnmp_tdomain_register(&domain);
	lib.init_snmp(NAME);
	return true;
}

void
snmp_lib_close(void)
{
	if (agent.ops == NULL)
		return;
	snmp_lib_leave();
	lib.snmp_shutdown(NAME);
	lib.shutdown_agent();
}
