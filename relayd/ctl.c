/*
 * What messages of the control protocol have to look like. Pure: bytes in,
 * what is wrong with them out; both halves ask before they believe anything.
 */
#include <string.h>

#include "ctl.h"

#define BODY		(CTL_LENGTH - (uint32_t)sizeof(struct ctl_header))
#define EXACTLY(t)	sizeof(t), sizeof(t)
#define ASKED		true, true	/* by a client */
#define TOLD		false, true	/* by the daemon */
#define ORDER(name)	{ name, EXACTLY(struct ctl_id), ASKED }
#define EVENT(name)	{ name, EXACTLY(struct ctl_id), TOLD }

const struct ctl_form ctl_forms[CTL_TYPES] = {
	[CTL_OK]		= { NULL, 0, 0, TOLD },
	[CTL_FAIL]		= { NULL, 0, BODY, TOLD },
	[CTL_VERBOSE]		= { NULL, EXACTLY(uint32_t), ASKED },
	[CTL_END]		= { NULL, 0, 0, TOLD },
	[CTL_REDIRECT]		= { NULL, EXACTLY(struct ctl_redirect), TOLD },
	[CTL_TABLE]		= { NULL, EXACTLY(struct ctl_table), TOLD },
	[CTL_HOST]		= { NULL, EXACTLY(struct ctl_host), TOLD },
	[CTL_RELAY]		= { NULL, EXACTLY(struct ctl_relay), TOLD },
	[CTL_SESSION]		= { NULL, EXACTLY(struct tell_session), TOLD },
	[CTL_ROUTER]		= { NULL, EXACTLY(struct ctl_router), TOLD },
	[CTL_ROUTE]		= { NULL, EXACTLY(struct ctl_route), TOLD },
	[CTL_TABLE_CHANGED]	= EVENT("ctl_table_changed"),
	[CTL_PULL_RULESET]	= EVENT("ctl_pull_ruleset"),
	[CTL_PUSH_RULESET]	= EVENT("ctl_push_ruleset"),
	[CTL_SHOW_SUMMARY]	= { NULL, 0, 0, ASKED },
	[CTL_REDIRECT_ENABLE]	= ORDER("ctl_rdr_enable"),
	[CTL_REDIRECT_DISABLE]	= ORDER("ctl_rdr_disable"),
	[CTL_TABLE_ENABLE]	= ORDER("ctl_table_enable"),
	[CTL_TABLE_DISABLE]	= ORDER("ctl_table_disable"),
	[CTL_HOST_ENABLE]	= ORDER("ctl_host_enable"),
	[CTL_HOST_DISABLE]	= ORDER("ctl_host_disable"),
	[CTL_SHUTDOWN]		= { NULL, 0, 0, ASKED },
	[CTL_RELOAD]		= { NULL, CTL_PATH, CTL_PATH, ASKED },
	[CTL_POLL]		= { NULL, 0, 0, ASKED },
	[CTL_NOTIFY]		= { NULL, 0, 0, ASKED },
	[CTL_STATISTICS]	= { NULL, EXACTLY(struct ctl_statistics),
				    TOLD },
	[CTL_HOST_STATUS]	= { "host_status", EXACTLY(struct ctl_status),
				    TOLD },
	[CTL_SYNC]		= { "sync", 0, 0, TOLD },
	[CTL_HELLO]		= { NULL, EXACTLY(struct ctl_hello), ASKED },
	[CTL_SHOW_SESSIONS]	= { NULL, 0, 0, ASKED },
	[CTL_WHY]		= { NULL, EXACTLY(struct ctl_why), ASKED },
	[CTL_WHY_ENTRY]		= { NULL, EXACTLY(struct tell_why), TOLD },
	[CTL_TEXT]		= { NULL, 0, 0, ASKED },
	[CTL_TEXT_PART]		= { NULL, 1, BODY, TOLD },
	[CTL_REQUEST]		= { NULL, sizeof(struct ctl_request), BODY,
				    TOLD },
};

/* Texts in bodies; each has to end within its field. */
#define TEXT(type, what, field) \
	{ type, offsetof(struct what, field), \
	    sizeof(((struct what *)0)->field) }
#define ID_TEXT(type)	TEXT(type, ctl_id, name)

static const struct text {
	unsigned	type;
	size_t		at, size;
} texts[] = {
	TEXT(CTL_REDIRECT, ctl_redirect, name),
	TEXT(CTL_TABLE, ctl_table, name),
	TEXT(CTL_HOST, ctl_host, name),
	TEXT(CTL_RELAY, ctl_relay, name),
	TEXT(CTL_SESSION, tell_session, tag),
	TEXT(CTL_ROUTER, ctl_router, name),
	TEXT(CTL_ROUTER, ctl_router, rtlabel),
	ID_TEXT(CTL_TABLE_CHANGED),
	ID_TEXT(CTL_PULL_RULESET),
	ID_TEXT(CTL_PUSH_RULESET),
	ID_TEXT(CTL_REDIRECT_ENABLE),
	ID_TEXT(CTL_REDIRECT_DISABLE),
	ID_TEXT(CTL_TABLE_ENABLE),
	ID_TEXT(CTL_TABLE_DISABLE),
	ID_TEXT(CTL_HOST_ENABLE),
	ID_TEXT(CTL_HOST_DISABLE),
	{ CTL_RELOAD, 0, CTL_PATH },
	TEXT(CTL_WHY, ctl_why, name),
	TEXT(CTL_WHY_ENTRY, tell_why, reason),
	TEXT(CTL_WHY_ENTRY, tell_why, relay_name),
	TEXT(CTL_WHY_ENTRY, tell_why, host_name),
	TEXT(CTL_REQUEST, ctl_request, file),
	TEXT(CTL_REQUEST, ctl_request, directory),
};

static bool
texts_end(unsigned type, const uint8_t *body)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].type == type && memchr(body + texts[i].at, '\0',
		    texts[i].size) == NULL)
			return false;
	return true;
}

/* The macros: exactly as many texts as there are said to be. */
static bool
macros_good(const uint8_t *body, size_t len)
{
	struct ctl_request r;
	const uint8_t *at = body + sizeof(r), *end = body + len;
	uint64_t n = 0;

	memcpy(&r, body, sizeof(r));
	if (r.length != len - sizeof(r))
		return false;
	while (at < end) {
		at = memchr(at, '\0', (size_t)(end - at));
		if (at == NULL)
			return false;
		at++;
		n++;
	}
	return n == 2 * (uint64_t)r.nmacros;
}

static bool
magic_good(const uint8_t *body)
{
	struct ctl_hello h;

	memcpy(&h, body, sizeof(h));
	return h.magic == CTL_MAGIC;
}

const char *
ctl_check(const struct ctl_header *h, const void *body, bool from_client)
{
	const struct ctl_form *form;
	size_t len;

	if (h->length < sizeof(*h) || h->length > CTL_LENGTH)
		return "bad length";
	if (h->type >= CTL_TYPES || !ctl_forms[h->type].known)
		return "unknown type";
	if (h->flags != 0 || h->peer != 0)
		return "bad header";
	form = &ctl_forms[h->type];
	if (from_client && !form->asked)
		return "not to be asked";
	len = h->length - sizeof(*h);
	if (len < form->min || len > form->max)
		return "bad length for its type";
	if (!texts_end(h->type, body))
		return "text without end";
	if (h->type == CTL_HELLO && !magic_good(body))
		return "not of this protocol";
	if (h->type == CTL_REQUEST && !macros_good(body, len))
		return "bad list of macros";
	return NULL;
}
