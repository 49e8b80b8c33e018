/*
 * Each kind of thing is a row: how to list those of a configuration, and what
 * there is to know of one, as texts.
 */
#include "rd_board.h"
#include "rd_diff_impl.h"

static const char *
yes_no(bool value)
{
	return value ? "yes" : "no";
}

/* ---- what is global ---- */

static struct items
globals_list(const struct side *s)
{
	struct item *i = arena_alloc(s->arena, sizeof(*i));

	*i = (struct item){ .key = "", .name = "", .object = s->conf };
	return (struct items){ i, 1 };
}

static const char *
interval_text(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_conf *)object)->interval, " s");
}

static const char *
timeout_text(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_conf *)object)->timeout, " ms");
}

static const char *
prefork_text(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_conf *)object)->prefork, "");
}

static const char *
socket_text(const struct side *s, const void *object)
{
	(void)s;
	return ((const struct rd_conf *)object)->socket;
}

static const char *
log_text(const struct side *s, const void *object)
{
	static const struct {
		unsigned	 bits, not;
		const char	*word;
	} words[] = {
		{ RD_LOG_STATE, 0, "state changes" },
		{ RD_LOG_CHECKS, 0, "host checks" },
		{ RD_LOG_CONN, 0, "connection" },
		{ RD_LOG_ERRORS, RD_LOG_CONN, "connection errors" },
	};
	unsigned log = ((const struct rd_conf *)object)->log;
	const char *text = NULL;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if ((log & words[i].bits) != 0 && (log & words[i].not) == 0)
			text = diff_join(s, text, words[i].word);
	return text != NULL ? text : "nothing";
}

static const char *
agentx_text(const struct side *s, const void *object)
{
	const struct rd_conf *c = object;

	if (!c->agentx)
		return "no";
	return arena_printf(s->arena, "%s%s%s", c->agentx_path,
	    c->agentx_context[0] != '\0' ? " context " : "",
	    c->agentx_context[0] != '\0' ? diff_quoted(s, c->agentx_context) : "");
}

static const struct aspect global_aspects[] = {
	{ "interval", interval_text, RD_EFFECT_NOW },
	{ "timeout", timeout_text, RD_EFFECT_NOW },
	{ "prefork", prefork_text, RD_EFFECT_NOW },
	{ "socket", socket_text, RD_EFFECT_NOW },
	{ "log", log_text, RD_EFFECT_NOW },
	{ "agentx", agentx_text, RD_EFFECT_NOW },
};

/* ---- listeners and relays ---- */

static struct items
listeners_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nrelays + 1,
	    sizeof(*all.list)), s->conf->nrelays };

	for (size_t i = 0; i < all.n; i++) {
		const struct rd_relay *r = s->conf->relays[i];

		all.list[i] = (struct item){ .object = r,
		    .key = arena_printf(s->arena, "%s%s",
		    diff_address(s, &r->listen),
		    r->protocol->type == RD_DNS ? " dns" : "") };
		all.list[i].name = all.list[i].key;
	}
	return all;
}

static const char *
listener_relay(const struct side *s, const void *object)
{
	(void)s;
	return ((const struct rd_relay *)object)->name;
}

static const char *
listener_tls(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_relay *)object)->tls);
}

static const struct aspect listener_aspects[] = {
	{ "relay", listener_relay, RD_EFFECT_SESSIONS },
	{ "tls", listener_tls, RD_EFFECT_SESSIONS },
};

static struct items
relays_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nrelays + 1,
	    sizeof(*all.list)), s->conf->nrelays };

	for (size_t i = 0; i < all.n; i++) {
		const struct rd_relay *r = s->conf->relays[i];

		all.list[i] = (struct item){ .key = r->name, .name = r->name,
		    .object = r, .id = r->id };
	}
	return all;
}

static const char *
relay_disabled(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_relay *)object)->disabled);
}

static const char *
relay_listen(const struct side *s, const void *object)
{
	return diff_address(s, &((const struct rd_relay *)object)->listen);
}

static const char *
relay_protocol(const struct side *s, const void *object)
{
	(void)s;
	return ((const struct rd_relay *)object)->protocol->name;
}

static const char *
relay_timeout(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_relay *)object)->timeout, " s");
}

static const char *
target_text(const struct side *s, const struct rd_relay *r)
{
	const char *address = r->address.len == 0 ? "" :
	    diff_address(s, &r->address);
	const char *retry = r->retry == 0 ? "" :
	    arena_printf(s->arena, " retry %u", r->retry);

	switch (r->target) {
	case RD_TO_ADDRESS:
		return arena_printf(s->arena, "%s%s", address, retry);
	case RD_TO_DESTINATION:
		return arena_printf(s->arena, "destination%s%s%s",
		    address[0] != '\0' ? " or " : "", address, retry);
	case RD_TO_NAT:
		return arena_printf(s->arena, "nat lookup%s%s%s",
		    address[0] != '\0' ? " or " : "", address, retry);
	case RD_TO_NONE:
		break;
	}
	return address[0] != '\0' ? arena_printf(s->arena, "%s%s", address,
	    retry) : NULL;
}

static const char *
relay_forward(const struct side *s, const void *object)
{
	static const char *const maps[] = { [RD_MAP_NONE] = "",
	    [RD_MAP_INET] = " inet", [RD_MAP_INET6] = " inet6" };
	static const char *const proxies[] = { [RD_PROXY_NO] = "",
	    [RD_PROXY_V1] = " proxy-protocol v1",
	    [RD_PROXY_V2] = " proxy-protocol v2" };
	const struct rd_relay *r = object;
	const char *text = NULL, *target = target_text(s, r), *prefix = "";
	char buf[NET_TEXT];

	for (size_t i = 0; i < r->ntables; i++)
		text = diff_join(s, text, diff_use(s, &r->tables[i]));
	if (target != NULL)
		text = diff_join(s, text, target);
	if (r->map != RD_MAP_NONE && r->map_prefix.len != 0)
		prefix = arena_printf(s->arena, " %s",
		    net_ip_text(&r->map_prefix, buf));
	return arena_printf(s->arena, "%s%s%s%s%s%s",
	    text != NULL ? text : "nothing", r->with_tls ? " with tls" : "",
	    r->transparent ? " transparent" : "", maps[r->map], prefix,
	    proxies[r->proxy]);
}

static const struct aspect relay_aspects[] = {
	{ "disable", relay_disabled, RD_EFFECT_SESSIONS },
	{ "listen on", relay_listen, RD_EFFECT_SESSIONS },
	{ "protocol", relay_protocol, RD_EFFECT_SESSIONS },
	{ "forward to", relay_forward, RD_EFFECT_SESSIONS },
	{ "session timeout", relay_timeout, RD_EFFECT_SESSIONS },
};

/* ---- redirects ---- */

static struct items
redirects_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nredirects + 1,
	    sizeof(*all.list)), s->conf->nredirects };

	for (size_t i = 0; i < all.n; i++) {
		const struct rd_redirect *r = s->conf->redirects[i];

		all.list[i] = (struct item){ .key = r->name, .name = r->name,
		    .object = r, .id = r->id };
	}
	return all;
}

static const char *
redirect_disabled(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_redirect *)object)->disabled);
}

static const char *
redirect_listen(const struct side *s, const void *object)
{
	const struct rd_redirect *r = object;
	const char *text = NULL;
	char buf[NET_TEXT];

	for (size_t i = 0; i < r->nlistens; i++) {
		const struct rd_rdr_listen *l = &r->listens[i];
		const char *to = l->port_to == l->port ? "" :
		    arena_printf(s->arena, ":%u", l->port_to);

		text = diff_join(s, text, arena_printf(s->arena,
		    "%s %s port %u%s%s%s%s", net_ip_text(&l->addr, buf),
		    l->proto_name, l->port, to,
		    l->interface != NULL ? " interface " : "",
		    l->interface != NULL ? l->interface : "",
		    l->pflog ? " pflog" : ""));
	}
	return text;
}

static const char *
redirect_forward(const struct side *s, const void *object)
{
	const struct rd_redirect *r = object;
	const char *text = diff_use(s, &r->main);

	if (!r->route)
		return text;
	return arena_printf(s->arena, "%s by route%s%s", text,
	    r->route_interface != NULL ? " interface " : "",
	    r->route_interface != NULL ? r->route_interface : "");
}

static const char *
redirect_backup(const struct side *s, const void *object)
{
	return diff_use(s, &((const struct rd_redirect *)object)->backup);
}

static const char *
redirect_tag(const struct side *s, const void *object)
{
	const struct rd_redirect *r = object;

	if (r->tag == NULL)
		return "no";
	return arena_printf(s->arena, "%s%s", r->match ? "match " : "",
	    diff_quoted(s, r->tag));
}

static const char *
redirect_sticky(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_redirect *)object)->sticky);
}

static const char *
redirect_timeout(const struct side *s, const void *object)
{
	unsigned timeout = ((const struct rd_redirect *)object)->timeout;

	return timeout == 0 ? "default" : diff_number(s, timeout, " s");
}

static const struct aspect redirect_aspects[] = {
	{ "disable", redirect_disabled, RD_EFFECT_NOW },
	{ "listen on", redirect_listen, RD_EFFECT_NOW },
	{ "forward to", redirect_forward, RD_EFFECT_SESSIONS },
	{ "backup", redirect_backup, RD_EFFECT_SESSIONS },
	{ "pftag", redirect_tag, RD_EFFECT_NOW },
	{ "sticky-address", redirect_sticky, RD_EFFECT_SESSIONS },
	{ "session timeout", redirect_timeout, RD_EFFECT_SESSIONS },
};

/* ---- routers ---- */

static struct items
routers_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nrouters + 1,
	    sizeof(*all.list)), s->conf->nrouters };

	for (size_t i = 0; i < all.n; i++) {
		const struct rd_router *r = s->conf->routers[i];

		all.list[i] = (struct item){ .key = r->name, .name = r->name,
		    .object = r, .id = r->id };
	}
	return all;
}

static const char *
router_disabled(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_router *)object)->disabled);
}

static const char *
router_routes(const struct side *s, const void *object)
{
	const struct rd_router *r = object;
	const char *text = NULL;

	for (size_t i = 0; i < r->nroutes; i++)
		text = diff_join(s, text, diff_prefix(s, &r->routes[i]));
	return text;
}

static const char *
router_forward(const struct side *s, const void *object)
{
	return diff_use(s, &((const struct rd_router *)object)->gateways);
}

static const char *
router_rtable(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_router *)object)->rtable, "");
}

static const char *
router_rtlabel(const struct side *s, const void *object)
{
	const struct rd_router *r = object;

	return r->rtlabel == NULL ? "no" : diff_quoted(s, r->rtlabel);
}

static const struct aspect router_aspects[] = {
	{ "disable", router_disabled, RD_EFFECT_NOW },
	{ "route", router_routes, RD_EFFECT_NOW },
	{ "forward to", router_forward, RD_EFFECT_NOW },
	{ "rtable", router_rtable, RD_EFFECT_NOW },
	{ "rtlabel", router_rtlabel, RD_EFFECT_NOW },
};

/* ---- tables and hosts ---- */

static struct items
tables_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->ntables + 1,
	    sizeof(*all.list)), s->conf->ntables };
	char key[BOARD_NAME];

	for (size_t i = 0; i < all.n; i++) {
		const struct rd_table *t = s->conf->tables[i];

		all.list[i] = (struct item){ .name = t->name, .object = t,
		    .id = t->id, .key = arena_strdup(s->arena,
		    rd_board_table(s->conf, t, key)) };
	}
	return all;
}

static const char *
table_disabled(const struct side *s, const void *object)
{
	(void)s;
	return yes_no(((const struct rd_table *)object)->disabled);
}

static const char *
table_check(const struct side *s, const void *object)
{
	return diff_check(s, &((const struct rd_table *)object)->check);
}

static const char *
table_timeout(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct rd_table *)object)->timeout, " ms");
}

/* Of one that has the global one enough is said there. */
static const char *
table_interval(const struct side *s, const void *object)
{
	const struct rd_table *t = object;

	return t->skip == 0 ? "global" : diff_number(s, t->interval, " s");
}

static const char *
table_demote(const struct side *s, const void *object)
{
	const struct rd_table *t = object;

	(void)s;
	return t->demote == NULL ? "no" : t->demote;
}

static const struct aspect table_aspects[] = {
	{ "disable", table_disabled, RD_EFFECT_NOW },
	{ "check", table_check, RD_EFFECT_CHECKED },
	{ "timeout", table_timeout, RD_EFFECT_KEPT },
	{ "interval", table_interval, RD_EFFECT_KEPT },
	{ "demote", table_demote, RD_EFFECT_NOW },
};

static const char *
host_shown(const struct side *s, const struct rd_table *t,
    const struct rd_host *h)
{
	return arena_printf(s->arena, "%s in %s", h->name, t->name);
}

static struct items
hosts_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nhosts + 1,
	    sizeof(*all.list)), 0 };
	char key[BOARD_NAME], table[BOARD_NAME];

	for (size_t i = 0; i < s->conf->ntables; i++) {
		const struct rd_table *t = s->conf->tables[i];

		for (size_t j = 0; j < t->nhosts && all.n < s->conf->nhosts;
		    j++) {
			const struct rd_host *h = &t->hosts[j];
			struct seat *seat = arena_alloc(s->arena,
			    sizeof(*seat));

			*seat = (struct seat){ t, h };
			all.list[all.n++] = (struct item){ .object = seat,
			    .id = h->id, .name = host_shown(s, t, h),
			    .key = arena_strdup(s->arena,
			    rd_board_host(s->conf, t, h, key)),
			    .like = arena_printf(s->arena, "%s %s",
			    rd_board_table(s->conf, t, table),
			    diff_address(s, &h->addr)) };
		}
	}
	return all;
}

static const char *
host_name(const struct side *s, const void *object)
{
	(void)s;
	return ((const struct seat *)object)->host->name;
}

static const char *
host_retry(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct seat *)object)->host->retry, "");
}

/* Ids move; who it is counts. */
static const char *
host_parent(const struct side *s, const void *object)
{
	uint32_t parent = ((const struct seat *)object)->host->parent;

	if (parent == 0 || parent > s->conf->nhosts)
		return "no";
	for (size_t i = 0; i < s->conf->ntables; i++) {
		const struct rd_table *t = s->conf->tables[i];

		for (size_t j = 0; j < t->nhosts; j++)
			if (t->hosts[j].id == parent)
				return host_shown(s, t, &t->hosts[j]);
	}
	return "no";
}

static const char *
host_priority(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct seat *)object)->host->priority, "");
}

static const char *
host_ttl(const struct side *s, const void *object)
{
	return diff_number(s, ((const struct seat *)object)->host->ttl, "");
}

static const struct aspect host_aspects[] = {
	{ "name", host_name, RD_EFFECT_KEPT },
	{ "retry", host_retry, RD_EFFECT_KEPT },
	{ "parent", host_parent, RD_EFFECT_KEPT },
	{ "priority", host_priority, RD_EFFECT_NOW },
	{ "ip ttl", host_ttl, RD_EFFECT_KEPT },
};

/* ---- protocols ---- */

static struct items
protocols_list(const struct side *s)
{
	struct items all = { arena_array(s->arena, s->conf->nprotocols + 1,
	    sizeof(*all.list)), 0 };

	for (size_t i = 0; i < s->conf->nprotocols; i++) {
		const struct rd_protocol *p = s->conf->protocols[i];

		if (p->id != 0)		/* the default is in no file */
			all.list[all.n++] = (struct item){ .key = p->name,
			    .name = p->name, .object = p };
	}
	return all;
}

static const char *
protocol_type(const struct side *s, const void *object)
{
	static const char *const types[] = { [RD_TCP] = "tcp",
	    [RD_HTTP] = "http", [RD_DNS] = "dns" };

	(void)s;
	return types[((const struct rd_protocol *)object)->type];
}

static const struct aspect protocol_aspects[] = {
	{ "type", protocol_type, RD_EFFECT_SESSIONS },
};

/* ---- all kinds ---- */

#define ASPECTS(a)	a, sizeof(a) / sizeof((a)[0])

const struct diff_kind diff_kinds[RD_DIFF_KINDS] = {
	[RD_DIFF_GLOBAL] = { globals_list, ASPECTS(global_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_LISTENER] = { listeners_list, ASPECTS(listener_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_RELAY] = { relays_list, ASPECTS(relay_aspects),
	    RD_EFFECT_SESSIONS },
	[RD_DIFF_REDIRECT] = { redirects_list, ASPECTS(redirect_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_ROUTER] = { routers_list, ASPECTS(router_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_TABLE] = { tables_list, ASPECTS(table_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_HOST] = { hosts_list, ASPECTS(host_aspects),
	    RD_EFFECT_NOW },
	[RD_DIFF_PROTOCOL] = { protocols_list, ASPECTS(protocol_aspects),
	    RD_EFFECT_SESSIONS },
};
