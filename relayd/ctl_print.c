/*
 * Rows as text. What the daemon says was checked for its form, not for its
 * sense: no number indexes anything unchecked.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "../tcprelay/host.h"
#include "ctl_print.h"
#include "ctl_words.h"

#define SECOND	UINT64_C(1000000000)

/* ---- words ---- */

static const struct {
	uint32_t	 bit;
	const char	*word;
} redirect_words[] = {
	{ CTL_DISABLED, "disabled" },
	{ CTL_DOWN, "down" },
	{ CTL_BACKUP, "active (using backup table)" },
}, host_words[] = {
	{ CTL_DISABLED, "disabled" },
	{ CTL_DOWN, "down" },
	{ CTL_UNKNOWN, "unknown" },
	{ CTL_UP, "up" },
};

const char *
ctl_redirect_word(uint32_t state)
{
	for (size_t i = 0; i < sizeof(redirect_words) /
	    sizeof(redirect_words[0]); i++)
		if (state & redirect_words[i].bit)
			return redirect_words[i].word;
	return "active";
}

const char *
ctl_host_word(uint32_t state)
{
	for (size_t i = 0; i < sizeof(host_words) / sizeof(host_words[0]);
	    i++)
		if (state & host_words[i].bit)
			return host_words[i].word;
	return "unknown";
}

const char *
ctl_table_word(const struct ctl_table *t)
{
	if (t->state & CTL_DISABLED)
		return "disabled";
	return (t->state & CTL_EMPTY) != 0 || t->up == 0 ? "empty" :
	    "active";
}

const char *
ctl_active_word(uint32_t state)
{
	return state & CTL_DISABLED ? "disabled" : "active";
}

const char *
ctl_event_word(unsigned type)
{
	if (type >= CTL_TYPES || ctl_forms[type].name == NULL)
		return "<unknown>";
	return ctl_forms[type].name;
}

const char *
ctl_host_reason(const struct ctl_host *h)
{
	if ((h->state & CTL_DISABLED) != 0 || (h->state & CTL_DOWN) == 0 ||
	    h->error == HOST_NONE)
		return NULL;
	return host_error_text((enum host_error)h->error);
}

const char *
ctl_availability(const struct ctl_host *h,
    char buf[static CTL_AVAILABILITY])
{
	const struct host host = { .checks = h->checks, .ups = h->ups };
	char text[HOST_AVAILABILITY];

	host_availability(&host, text);
	text[strcspn(text, "%")] = '\0';
	snprintf(buf, CTL_AVAILABILITY, "%s", text);
	return buf;
}

const char *
ctl_who_word(uint32_t who)
{
	static const char *const words[] = {
		[WHY_CLIENT] = "client", [WHY_SERVER] = "server",
		[WHY_RELAY] = "relay", [WHY_OPERATOR] = "operator",
	};

	return who < sizeof(words) / sizeof(words[0]) ? words[who] :
	    "somebody";
}

static const char *const phase_words[WHY_PHASES] = {
	[WHY_HANDSHAKE] = "handshake with the client",
	[WHY_CHOSEN] = "destination chosen",
	[WHY_CONNECTED] = "connected",
	[WHY_SERVER_HANDSHAKE] = "handshake with the server",
	[WHY_FIRST_REQUEST] = "first bytes of the client",
	[WHY_FIRST_RESPONSE] = "first bytes of the server",
	[WHY_CLIENT_END] = "end of the client",
	[WHY_SERVER_END] = "end of the server",
	[WHY_END] = "closed",
};

size_t
ctl_phases(const struct tell_why *w,
    struct ctl_phase phases[static WHY_PHASES])
{
	size_t n = 0, at;

	for (size_t i = 0; i < WHY_PHASES; i++) {
		if (w->phase[i] == 0)
			continue;
		for (at = n++; at > 0 && phases[at - 1].at > w->phase[i];
		    at--)
			phases[at] = phases[at - 1];
		phases[at] = (struct ctl_phase){ phase_words[i],
		    w->phase[i] };
	}
	return n;
}

/* ---- pieces ---- */

#define SHOWN	320	/* the longest name, and " parent N" */

/* Returns buf: text that is safe to be seen. */
static const char *
shown(const char *text, char buf[static SHOWN])
{
	size_t n = 0;

	for (; text[n] != '\0' && n < SHOWN - 1; n++) {
		unsigned char c = (unsigned char)text[n];

		buf[n] = c < ' ' || c == 0x7f ? '?' : text[n];
	}
	buf[n] = '\0';
	return buf;
}

void
ctl_print_text(FILE *fp, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (; len > 0; len--, p++)
		putc(*p < ' ' || *p == 0x7f ? '?' : *p, fp);
}

static void
print_row(FILE *fp, uint32_t id, const char *type, const char *name,
    const char *availability, const char *status, const char *more)
{
	char buf[SHOWN];

	fprintf(fp, "%-4" PRIu32 "\t%-8s\t%-24s\t%-7s\t%s%s\n", id, type,
	    shown(name, buf), availability, status, more);
}

#define DETAIL	"\t        \t"

/* ---- rows of a dump ---- */

void
ctl_print_head(FILE *fp)
{
	fprintf(fp, "%-4s\t%-8s\t%-24s\t%-7s\tStatus\n", "Id", "Type",
	    "Name", "Avlblty");
}

static void
redirect_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_redirect *r = body;

	(void)view;
	print_row(fp, r->id, "redirect", r->name, "",
	    ctl_redirect_word(r->state),
	    r->state & CTL_NOT_APPLIED ? " (not applied)" : "");
}

static void
table_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_table *t = body;
	const char *word = ctl_table_word(t);
	char hosts[32] = "";

	(void)view;
	if (strcmp(word, "active") == 0)
		snprintf(hosts, sizeof(hosts), " (%" PRIu32 " hosts)",
		    t->up);
	print_row(fp, t->id, "table", t->name, "", word, hosts);
}

static void
host_detail(FILE *fp, const struct ctl_host *h)
{
	const char *reason = ctl_host_reason(h);

	fprintf(fp, DETAIL "total: %" PRIu64 "/%" PRIu64 " checks", h->ups,
	    h->checks);
	if (h->left != 0)
		fprintf(fp, ", %" PRIu32 " retries", h->left);
	if (reason != NULL)
		fprintf(fp, ", error: %s", reason);
	putc('\n', fp);
}

static void
host_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_host *h = body;
	char name[SHOWN], available[CTL_AVAILABILITY + 1];

	snprintf(name, sizeof(name), "%s", h->name);
	if (h->parent != 0)
		snprintf(name, sizeof(name), "%s parent %" PRIu32, h->name,
		    h->parent);
	ctl_availability(h, available);
	if (available[0] != '\0')
		strcat(available, "%");
	print_row(fp, h->id, "host", name, available,
	    ctl_host_word(h->state), "");
	if (view == CTL_VIEW_HOSTS && h->checks > 0)
		host_detail(fp, h);
}

static void
relay_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_relay *r = body;

	(void)view;
	print_row(fp, r->id, "relay", r->name, "",
	    ctl_active_word(r->state), "");
}

static void
router_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_router *r = body;
	char buf[SHOWN];

	print_row(fp, r->id, "router", r->name, "",
	    ctl_active_word(r->state), "");
	if (view != CTL_VIEW_ROUTERS)
		return;
	if (r->rtable != 0)
		fprintf(fp, DETAIL "rtable: %" PRIu32 "\n", r->rtable);
	if (r->rtlabel[0] != '\0')
		fprintf(fp, DETAIL "rtlabel: %s\n", shown(r->rtlabel, buf));
}

static void
route_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_route *r = body;
	char buf[NET_TEXT];

	(void)view;
	fprintf(fp, DETAIL "route: %s/%" PRIu32 "\n",
	    net_name_ip_text(&r->addr, buf), r->bits);
}

static void
statistics_print(FILE *fp, unsigned view, const void *body)
{
	const struct ctl_statistics *s = body;

	if (view != (s->relay ? CTL_VIEW_RELAYS : CTL_VIEW_REDIRECTS) ||
	    s->total == 0)
		return;
	fprintf(fp, DETAIL "total: %" PRIu64 " sessions\n", s->total);
	fprintf(fp, DETAIL "last: %" PRIu64 "/%" PRIu32 "s %" PRIu64 "/h %"
	    PRIu64 "/d sessions\n", s->last, s->interval, s->last_hour,
	    s->last_day);
	fprintf(fp, DETAIL "average: %" PRIu64 "/%" PRIu32 "s %" PRIu64
	    "/h %" PRIu64 "/d sessions\n", s->average, s->interval,
	    s->average_hour, s->average_day);
}

static const struct row {
	unsigned	 views;
	void		(*print)(FILE *, unsigned view, const void *body);
} rows[CTL_TYPES] = {
	[CTL_REDIRECT] = { CTL_VIEW_SUMMARY | CTL_VIEW_REDIRECTS,
	    redirect_print },
	[CTL_TABLE] = { CTL_VIEW_SUMMARY | CTL_VIEW_HOSTS, table_print },
	[CTL_HOST] = { CTL_VIEW_SUMMARY | CTL_VIEW_HOSTS, host_print },
	[CTL_RELAY] = { CTL_VIEW_SUMMARY | CTL_VIEW_RELAYS, relay_print },
	[CTL_ROUTER] = { CTL_VIEW_SUMMARY | CTL_VIEW_ROUTERS, router_print },
	[CTL_ROUTE] = { CTL_VIEW_ROUTERS, route_print },
	[CTL_STATISTICS] = { CTL_VIEW_REDIRECTS | CTL_VIEW_RELAYS,
	    statistics_print },
};

unsigned
ctl_views(unsigned type)
{
	return type < CTL_TYPES ? rows[type].views : 0;
}

void
ctl_print_row(FILE *fp, unsigned view, unsigned type, const void *body)
{
	if (ctl_views(type) & view)
		rows[type].print(fp, view, body);
}

/* ---- sessions ---- */

/* ADDRESS:PORT without brackets, as it always was; none: ":0". */
static void
name_print(FILE *fp, const struct net_name *n)
{
	char buf[NET_TEXT];

	fprintf(fp, "%s:%u", n->family == 0 ? "" : net_name_ip_text(n, buf),
	    n->family == 0 ? 0 : ntohs(n->port));
}

static void
time_print(FILE *fp, uint64_t ns)
{
	uint64_t s = ns / SECOND;

	fprintf(fp, "%02" PRIu64 ":%02u:%02u", s / 3600,
	    (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

void
ctl_print_session(FILE *fp, const struct tell_session *s)
{
	char buf[SHOWN];

	fprintf(fp, "session %" PRIu32 ":%" PRIu64 " ", s->worker, s->id);
	name_print(fp, &s->client);
	fputs(" -> ", fp);
	name_print(fp, &s->server);
	fprintf(fp, "\t%s\n\tage ", s->done ? "DONE" : "RUNNING");
	time_print(fp, s->age);
	fputs(", idle ", fp);
	time_print(fp, s->idle);
	fprintf(fp, ", relay %" PRIu32 ", pid %" PRIu32, s->relay, s->pid);
	if (s->tag[0] != '\0')
		fprintf(fp, ", tag (id) %s", shown(s->tag, buf));
	putc('\n', fp);
}

/* Seconds and microseconds. */
static void
span_print(FILE *fp, uint64_t ns)
{
	fprintf(fp, "%" PRIu64 ".%06u", ns / SECOND,
	    (unsigned)(ns % SECOND / 1000));
}

static void
date_print(FILE *fp, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[64] = "";

	/* as ctime(3), which years of five digits are too long for */
	if (localtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y",
		    &tm);
	fputs(text, fp);
}

void
ctl_print_why(FILE *fp, const struct tell_why *w)
{
	struct ctl_phase phases[WHY_PHASES];
	size_t n = ctl_phases(w, phases);
	char buf[SHOWN];

	fprintf(fp, "session %" PRIu32 ":%" PRIu64 " ", w->worker, w->id);
	name_print(fp, &w->client);
	fputs(" -> ", fp);
	name_print(fp, &w->server);
	fprintf(fp, "\tclosed by %s: %s%s\n", ctl_who_word(w->who),
	    w->reason[0] != '\0' ? shown(w->reason, buf) : "no reason",
	    w->error ? " (error)" : "");
	fprintf(fp, "\trelay %" PRIu32 " %s", w->relay,
	    shown(w->relay_name, buf));
	if (w->host != 0 || w->host_name[0] != '\0')
		fprintf(fp, ", host %" PRIu32 " %s", w->host,
		    shown(w->host_name, buf));
	fprintf(fp, ", %" PRIu32 " %s, %" PRIu64 " bytes in, %" PRIu64
	    " out\n", w->tries, w->tries == 1 ? "try" : "tries", w->in,
	    w->out);
	fputs("\tbegan ", fp);
	date_print(fp, (int64_t)(w->began / SECOND));
	putc('\n', fp);
	for (size_t i = 0; i < n; i++) {
		fputs("\t+", fp);
		span_print(fp, phases[i].at);
		fprintf(fp, " %s\n", phases[i].name);
	}
}

/* ---- events ---- */

void
ctl_print_event(FILE *fp, const struct ctl_header *h, const void *body,
    int64_t when)
{
	const char *word = ctl_event_word(h->type);
	struct ctl_status status;
	struct ctl_id id;
	char buf[SHOWN];

	fprintf(fp, "%s: imsg type %u len %" PRIu32 " peerid %" PRIu32
	    " pid %" PRIu32 "\n", word, h->type, h->length, h->peer, h->pid);
	fprintf(fp, "\ttimestamp: %" PRId64 ", ", when);
	date_print(fp, when);
	putc('\n', fp);
	if (h->type == CTL_HOST_STATUS) {
		memcpy(&status, body, sizeof(status));
		fprintf(fp, "\tid: %" PRIu32 "\n\tstate: %s\n", status.id,
		    host_state_text((enum host_state)status.state));
	} else if (word[0] != '<' && h->type != CTL_SYNC) {
		memcpy(&id, body, sizeof(id));
		fprintf(fp, "\tid: %" PRIu32 "\n", id.id);
		if (id.name[0] != '\0')
			fprintf(fp, "\tname: %s\n", shown(id.name, buf));
	}
}
