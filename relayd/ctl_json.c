/*
 * What belongs to a row but comes behind it (statistics, routes) goes into
 * its object, which therefore is closed when the next one begins.
 */
#include <inttypes.h>
#include <string.h>

#include "../misc/json.h"
#include "../tcprelay/host.h"
#include "ctl_json.h"
#include "ctl_print.h"
#include "ctl_words.h"

#define SECOND	UINT64_C(1000000000)

/* ---- pieces ---- */

static void
member(FILE *fp, const char *name, const char *text)
{
	fprintf(fp, ",\"%s\":", name);
	json_string(fp, text);
}

static void
number(FILE *fp, const char *name, uint64_t n)
{
	fprintf(fp, ",\"%s\":%" PRIu64, name, n);
}

/* 0: there is none. */
static void
id_or_null(FILE *fp, const char *name, uint32_t id)
{
	if (id == 0)
		fprintf(fp, ",\"%s\":null", name);
	else
		number(fp, name, id);
}

static void
truth(FILE *fp, const char *name, bool value)
{
	fprintf(fp, ",\"%s\":%s", name, value ? "true" : "false");
}

static void
seconds(FILE *fp, const char *name, uint64_t ns)
{
	fprintf(fp, ",\"%s\":%" PRIu64 ".%09u", name, ns / SECOND,
	    (unsigned)(ns % SECOND));
}

static void
endpoint(FILE *fp, const char *name, const struct net_name *n)
{
	char buf[NET_TEXT];

	if (n->family == 0) {
		fprintf(fp, ",\"%s\":null", name);
		return;
	}
	fprintf(fp, ",\"%s\":{\"address\":", name);
	json_string(fp, net_name_ip_text(n, buf));
	fprintf(fp, ",\"port\":%u}", ntohs(n->port));
}

/* ---- the list ---- */

static void
object_close(struct ctl_json *j)
{
	if (j->routes)
		putc(']', j->fp);
	if (j->open)
		putc('}', j->fp);
	j->open = j->routes = false;
}

static void
object_open(struct ctl_json *j, const char *type)
{
	object_close(j);
	fprintf(j->fp, "%s\n{\"type\":\"%s\"", j->any ? "," : "", type);
	j->any = j->open = true;
}

void
ctl_json_begin(struct ctl_json *j, FILE *fp, unsigned view)
{
	*j = (struct ctl_json){ .fp = fp, .view = view };
	putc('[', fp);
}

void
ctl_json_end(struct ctl_json *j)
{
	object_close(j);
	fprintf(j->fp, "%s]\n", j->any ? "\n" : "");
}

/* ---- rows of a dump ---- */

static void
head(struct ctl_json *j, const char *type, uint32_t id, const char *name,
    const char *status)
{
	object_open(j, type);
	number(j->fp, "id", id);
	member(j->fp, "name", name);
	member(j->fp, "status", status);
}

static void
redirect_json(struct ctl_json *j, const void *body)
{
	const struct ctl_redirect *r = body;
	bool backup = (r->state & (CTL_DISABLED | CTL_DOWN | CTL_BACKUP)) ==
	    CTL_BACKUP;

	head(j, "redirect", r->id, r->name, backup ? "active" :
	    ctl_redirect_word(r->state));
	truth(j->fp, "backup", backup);
	truth(j->fp, "applied", (r->state & CTL_NOT_APPLIED) == 0);
}

static void
table_json(struct ctl_json *j, const void *body)
{
	const struct ctl_table *t = body;

	head(j, "table", t->id, t->name, ctl_table_word(t));
	number(j->fp, "up", t->up);
	truth(j->fp, "check", t->check != 0);
}

static void
host_json(struct ctl_json *j, const void *body)
{
	const struct ctl_host *h = body;
	char available[CTL_AVAILABILITY], address[NET_TEXT];

	head(j, "host", h->id, h->name, ctl_host_word(h->state));
	member(j->fp, "address", h->addr.family == 0 ? NULL :
	    net_name_ip_text(&h->addr, address));
	number(j->fp, "table", h->table);
	id_or_null(j->fp, "parent", h->parent);
	ctl_availability(h, available);
	fprintf(j->fp, ",\"availability\":%s", available[0] != '\0' ?
	    available : "null");
	number(j->fp, "checks", h->checks);
	number(j->fp, "up", h->ups);
	number(j->fp, "retries", h->left);
	member(j->fp, "error", ctl_host_reason(h));
}

static void
relay_json(struct ctl_json *j, const void *body)
{
	const struct ctl_relay *r = body;

	head(j, "relay", r->id, r->name, ctl_active_word(r->state));
}

static void
router_json(struct ctl_json *j, const void *body)
{
	const struct ctl_router *r = body;

	head(j, "router", r->id, r->name, ctl_active_word(r->state));
	number(j->fp, "rtable", r->rtable);
	member(j->fp, "rtlabel", r->rtlabel[0] != '\0' ? r->rtlabel : NULL);
	if (j->view != CTL_VIEW_ROUTERS)
		return;
	fputs(",\"routes\":[", j->fp);
	j->routes = true;
	j->nroutes = 0;
}

static void
route_json(struct ctl_json *j, const void *body)
{
	const struct ctl_route *r = body;
	char prefix[NET_TEXT + 16], buf[NET_TEXT];

	if (!j->routes)
		return;			/* it belongs to nothing */
	snprintf(prefix, sizeof(prefix), "%s/%" PRIu32,
	    net_name_ip_text(&r->addr, buf), r->bits);
	if (j->nroutes++ > 0)
		putc(',', j->fp);
	json_string(j->fp, prefix);
}

static void
counts(FILE *fp, const char *name, uint64_t interval, uint64_t hour,
    uint64_t day)
{
	fprintf(fp, ",\"%s\":{\"interval\":%" PRIu64 ",\"hour\":%" PRIu64
	    ",\"day\":%" PRIu64 "}", name, interval, hour, day);
}

static void
statistics_json(struct ctl_json *j, const void *body)
{
	const struct ctl_statistics *s = body;

	if (!j->open || j->routes ||
	    j->view != (s->relay ? CTL_VIEW_RELAYS : CTL_VIEW_REDIRECTS))
		return;
	fprintf(j->fp, ",\"sessions\":{\"total\":%" PRIu64, s->total);
	number(j->fp, "interval", s->interval);
	counts(j->fp, "last", s->last, s->last_hour, s->last_day);
	counts(j->fp, "average", s->average, s->average_hour,
	    s->average_day);
	putc('}', j->fp);
}

static void (*const rows[CTL_TYPES])(struct ctl_json *, const void *) = {
	[CTL_REDIRECT] = redirect_json,
	[CTL_TABLE] = table_json,
	[CTL_HOST] = host_json,
	[CTL_RELAY] = relay_json,
	[CTL_ROUTER] = router_json,
	[CTL_ROUTE] = route_json,
	[CTL_STATISTICS] = statistics_json,
};

void
ctl_json_row(struct ctl_json *j, unsigned type, const void *body)
{
	if (ctl_views(type) & j->view)
		rows[type](j, body);
}

/* ---- sessions ---- */

void
ctl_json_session(struct ctl_json *j, const struct tell_session *s)
{
	object_open(j, "session");
	number(j->fp, "worker", s->worker);
	number(j->fp, "id", s->id);
	endpoint(j->fp, "client", &s->client);
	endpoint(j->fp, "server", &s->server);
	member(j->fp, "state", s->done ? "DONE" : "RUNNING");
	seconds(j->fp, "age", s->age);
	seconds(j->fp, "idle", s->idle);
	number(j->fp, "relay", s->relay);
	number(j->fp, "pid", s->pid);
	member(j->fp, "tag", s->tag[0] != '\0' ? s->tag : NULL);
}

static void
thing(FILE *fp, const char *name, uint32_t id, const char *text)
{
	if (id == 0 && text[0] == '\0') {
		fprintf(fp, ",\"%s\":null", name);
		return;
	}
	fprintf(fp, ",\"%s\":{\"id\":%" PRIu32 ",\"name\":", name, id);
	json_string(fp, text);
	putc('}', fp);
}

void
ctl_json_why(struct ctl_json *j, const struct tell_why *w)
{
	struct ctl_phase phases[WHY_PHASES];
	size_t n = ctl_phases(w, phases);

	object_open(j, "session");
	number(j->fp, "worker", w->worker);
	number(j->fp, "id", w->id);
	endpoint(j->fp, "client", &w->client);
	endpoint(j->fp, "server", &w->server);
	thing(j->fp, "relay", w->relay, w->relay_name);
	thing(j->fp, "host", w->host, w->host_name);
	member(j->fp, "closed", ctl_who_word(w->who));
	member(j->fp, "reason", w->reason);
	truth(j->fp, "error", w->error != 0);
	number(j->fp, "tries", w->tries);
	number(j->fp, "in", w->in);
	number(j->fp, "out", w->out);
	seconds(j->fp, "began", w->began);
	fputs(",\"phases\":[", j->fp);
	for (size_t i = 0; i < n; i++) {
		fprintf(j->fp, "%s{\"phase\":", i > 0 ? "," : "");
		json_string(j->fp, phases[i].name);
		seconds(j->fp, "at", phases[i].at);
		putc('}', j->fp);
	}
	putc(']', j->fp);
}

/* ---- events ---- */

void
ctl_json_event(FILE *fp, const struct ctl_header *h, const void *body,
    int64_t when)
{
	const char *word = ctl_event_word(h->type);
	bool known = word[0] != '<';
	struct ctl_status status;
	struct ctl_id id;

	fputs("{\"event\":", fp);
	json_string(fp, known ? word : NULL);
	number(fp, "type", h->type);
	fprintf(fp, ",\"time\":%" PRId64, when);
	if (h->type == CTL_HOST_STATUS) {
		memcpy(&status, body, sizeof(status));
		number(fp, "id", status.id);
		member(fp, "state",
		    host_state_text((enum host_state)status.state));
	} else if (known && h->type != CTL_SYNC) {
		memcpy(&id, body, sizeof(id));
		number(fp, "id", id.id);
		member(fp, "name", id.name[0] != '\0' ? id.name : NULL);
	}
	fputs("}\n", fp);
}
