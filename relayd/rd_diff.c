/*
 * Each kind of thing is a row: how to list those of a configuration, and what
 * there is to know of one, as texts. Two things of one name whose texts
 * differ have changed. Of protocols, the statements of the canonical text are
 * compared.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/net.h"
#include "../misc/pool.h"
#include "rd_board.h"
#include "rd_diff.h"

/* One side. */
struct side {
	const struct rd_conf	*conf;
	struct arena		*arena;
};

/* A thing by its name. */
struct item {
	const char	*key;		/* same thing, same key */
	const char	*like;		/* hosts: key without check; NULL */
	const char	*name;		/* shown */
	const void	*object;
	uint32_t	 id;
	struct item	*other;		/* of the other side; NULL: none */
};

struct items {
	struct item	*list;		/* in the order of the configuration */
	size_t		 n;
};

/* What there is to know: text of it, "" or NULL for nothing. */
struct aspect {
	const char		*option;
	const char		*(*text)(const struct side *, const void *);
	enum rd_diff_effect	 effect;
};

struct kind {
	struct items		(*list)(const struct side *);
	const struct aspect	*aspects;
	size_t			 naspects;
	enum rd_diff_effect	 effect;	/* of coming and going */
};

struct diff {
	struct side	 old, new;
	struct arena	*arena;
	void		(*change)(void *, const struct rd_change *);
	void		*ctx;
	struct rd_diff	*result;
	enum rd_diff_kind kind;
};

/* ---- texts ---- */

static const char *
yes_no(bool value)
{
	return value ? "yes" : "no";
}

static const char *
number(const struct side *s, unsigned n, const char *unit)
{
	return arena_printf(s->arena, "%u%s", n, unit);
}

/* In quotes, what is no letter spelled out: it goes to a terminal. */
static const char *
bytes_text(const struct side *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	char *text = arena_alloc(s->arena, 4 * len + 3), *at = text;

	*at++ = '"';
	for (; len > 0; len--, p++) {
		if (isprint(*p) && *p != '"' && *p != '\\')
			*at++ = (char)*p;
		else {
			static const char digits[] = "0123456789abcdef";

			*at++ = '\\';
			*at++ = 'x';
			*at++ = digits[*p >> 4];
			*at++ = digits[*p & 15];
		}
	}
	*at++ = '"';
	*at = '\0';
	return text;
}

static const char *
quoted(const struct side *s, const char *text)
{
	return bytes_text(s, text, strlen(text));
}

/* Without brackets, as relayd and relayctl show all of them. */
static const char *
address_text(const struct side *s, const struct net_addr *a)
{
	char buf[NET_TEXT];

	return arena_printf(s->arena, "%s:%u", net_ip_text(a, buf),
	    net_port(a));
}

static const char *
prefix_text(const struct side *s, const struct rd_prefix *p)
{
	char buf[NET_TEXT];

	return arena_printf(s->arena, "%s/%u", net_ip_text(&p->addr, buf),
	    p->bits);
}

static const char *
check_text(const struct side *s, const struct rd_check *c)
{
	static const char *const words[] = {
		[RD_CHECK_NONE] = "none", [RD_CHECK_ICMP] = "icmp",
		[RD_CHECK_TCP] = "tcp", [RD_CHECK_HTTP_CODE] = "http",
		[RD_CHECK_HTTP_DIGEST] = "http", [RD_CHECK_SEND] = "send",
		[RD_CHECK_BINARY] = "binary send",
		[RD_CHECK_SCRIPT] = "script",
	};
	const char *text = words[c->kind];

	if (c->kind == RD_CHECK_TCP && c->tls)
		text = "tls";
	else if (c->tls && strcmp(text, "http") == 0)
		text = "https";
	if (c->kind == RD_CHECK_SEND || c->kind == RD_CHECK_BINARY)
		text = arena_printf(s->arena, "%s %s expect %s%s", text,
		    c->send == NULL ? "nothing" :
		    bytes_text(s, c->send, c->send_len),
		    bytes_text(s, c->expect, c->expect_len),
		    c->tls ? " tls" : "");
	if (c->path != NULL)
		text = arena_printf(s->arena, "%s %s", text,
		    quoted(s, c->path));
	if (c->host != NULL)
		text = arena_printf(s->arena, "%s host %s", text,
		    quoted(s, c->host));
	if (c->kind == RD_CHECK_HTTP_CODE)
		text = arena_printf(s->arena, "%s code %u", text, c->code);
	if (c->kind == RD_CHECK_HTTP_DIGEST)
		text = arena_printf(s->arena, "%s digest %s", text,
		    c->digest != NULL ? c->digest : "");
	return text;
}

static const char *
use_text(const struct side *s, const struct rd_use *u)
{
	static const char *const modes[] = {
		[RD_ROUNDROBIN] = "roundrobin", [RD_RANDOM] = "random",
		[RD_LEAST_STATES] = "least-states",
		[RD_SOURCE_HASH] = "source-hash",
		[RD_LOADBALANCE] = "loadbalance", [RD_HASH] = "hash",
	};
	const char *text;

	if (u->table == NULL)
		return "no";
	text = arena_printf(s->arena, "<%s> port %u mode %s",
	    u->table->template, u->port, modes[u->mode]);
	if (u->key.given)
		text = arena_printf(s->arena, "%s 0x%08" PRIx32 "%08" PRIx32
		    "%08" PRIx32 "%08" PRIx32, text, u->key.word[0],
		    u->key.word[1], u->key.word[2], u->key.word[3]);
	return text;
}

static const char *
join(const struct side *s, const char *list, const char *item)
{
	if (list == NULL)
		return item;
	return arena_printf(s->arena, "%s, %s", list, item);
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
	return number(s, ((const struct rd_conf *)object)->interval, " s");
}

static const char *
timeout_text(const struct side *s, const void *object)
{
	return number(s, ((const struct rd_conf *)object)->timeout, " ms");
}

static const char *
prefork_text(const struct side *s, const void *object)
{
	return number(s, ((const struct rd_conf *)object)->prefork, "");
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
			text = join(s, text, words[i].word);
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
	    c->agentx_context[0] != '\0' ? quoted(s, c->agentx_context) : "");
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
		    address_text(s, &r->listen),
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
	return address_text(s, &((const struct rd_relay *)object)->listen);
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
	return number(s, ((const struct rd_relay *)object)->timeout, " s");
}

static const char *
target_text(const struct side *s, const struct rd_relay *r)
{
	const char *address = r->address.len == 0 ? "" :
	    address_text(s, &r->address);
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
		text = join(s, text, use_text(s, &r->tables[i]));
	if (target != NULL)
		text = join(s, text, target);
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

		text = join(s, text, arena_printf(s->arena,
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
	const char *text = use_text(s, &r->main);

	if (!r->route)
		return text;
	return arena_printf(s->arena, "%s by route%s%s", text,
	    r->route_interface != NULL ? " interface " : "",
	    r->route_interface != NULL ? r->route_interface : "");
}

static const char *
redirect_backup(const struct side *s, const void *object)
{
	return use_text(s, &((const struct rd_redirect *)object)->backup);
}

static const char *
redirect_tag(const struct side *s, const void *object)
{
	const struct rd_redirect *r = object;

	if (r->tag == NULL)
		return "no";
	return arena_printf(s->arena, "%s%s", r->match ? "match " : "",
	    quoted(s, r->tag));
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

	return timeout == 0 ? "default" : number(s, timeout, " s");
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
		text = join(s, text, prefix_text(s, &r->routes[i]));
	return text;
}

static const char *
router_forward(const struct side *s, const void *object)
{
	return use_text(s, &((const struct rd_router *)object)->gateways);
}

static const char *
router_rtable(const struct side *s, const void *object)
{
	return number(s, ((const struct rd_router *)object)->rtable, "");
}

static const char *
router_rtlabel(const struct side *s, const void *object)
{
	const struct rd_router *r = object;

	return r->rtlabel == NULL ? "no" : quoted(s, r->rtlabel);
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
	return check_text(s, &((const struct rd_table *)object)->check);
}

static const char *
table_timeout(const struct side *s, const void *object)
{
	return number(s, ((const struct rd_table *)object)->timeout, " ms");
}

/* Of one that has the global one enough is said there. */
static const char *
table_interval(const struct side *s, const void *object)
{
	const struct rd_table *t = object;

	return t->skip == 0 ? "global" : number(s, t->interval, " s");
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

/* A host and its table. */
struct seat {
	const struct rd_table	*table;
	const struct rd_host	*host;
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
			    address_text(s, &h->addr)) };
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
	return number(s, ((const struct seat *)object)->host->retry, "");
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
	return number(s, ((const struct seat *)object)->host->priority, "");
}

static const char *
host_ttl(const struct side *s, const void *object)
{
	return number(s, ((const struct seat *)object)->host->ttl, "");
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

struct lines {
	const char	**line;
	size_t		 n;
};

static bool
is_protocol(const char *line, size_t len)
{
	static const char *const heads[] = { "protocol ", "tcp protocol ",
	    "http protocol ", "dns protocol " };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t n = strlen(heads[i]);

		if (len >= n && memcmp(line, heads[i], n) == 0)
			return true;
	}
	return false;
}

/* Its statements: the canonical text has protocols by their number. */
static struct lines
statements(const struct side *s, const struct rd_protocol *p)
{
	const char *at = s->conf->text, *end = at + s->conf->text_len;
	struct lines out = { NULL, 0 };
	size_t room = 0, len;
	uint32_t n = 0;

	for (; at < end; at += len + 1) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		len = (size_t)((newline != NULL ? newline : end) - at);
		if (is_protocol(at, len))
			n++;
		if (n != p->id || len == 0 || *at != '\t') {
			if (n > p->id)
				break;
			if (n == p->id && len == 1 && *at == '}')
				break;
			continue;
		}
		if (out.n == room) {
			const char **more = arena_array(s->arena,
			    2 * room + 16, sizeof(*more));

			if (out.n > 0)
				memcpy(more, out.line,
				    out.n * sizeof(*more));
			out.line = more;
			room = 2 * room + 16;
		}
		out.line[out.n++] = arena_strndup(s->arena, at + 1, len - 1);
	}
	return out;
}

static void
told(struct diff *d, const char *name, const char *option, const char *old,
    const char *new, enum rd_diff_effect effect)
{
	const struct rd_change c = { d->kind, name, option, old, new,
	    effect };

	d->result->changes++;
	d->change(d->ctx, &c);
}

#define LINES_MAX	2000	/* of either side: then only that they differ */

/*
 * Statements that came and went, by the longest common subsequence: rules
 * count in their order.
 */
static size_t
lines_compare(struct diff *d, const char *name, struct lines a,
    struct lines b)
{
	uint16_t *best;			/* of what is left, by (i, j) */
	size_t i, j, n = 0, wide;

	while (a.n > 0 && b.n > 0 && strcmp(a.line[a.n - 1],
	    b.line[b.n - 1]) == 0)
		a.n--, b.n--;
	while (a.n > 0 && b.n > 0 && strcmp(a.line[0], b.line[0]) == 0)
		a.n--, b.n--, a.line++, b.line++;
	if (a.n > LINES_MAX || b.n > LINES_MAX) {
		told(d, name, "statements", number(&d->old, (unsigned)a.n,
		    " others"), number(&d->new, (unsigned)b.n, " others"),
		    RD_EFFECT_SESSIONS);
		return 1;
	}
	wide = b.n + 1;
	best = arena_array(d->arena, (a.n + 1) * wide, sizeof(*best));
	for (i = a.n; i-- > 0;)
		for (j = b.n; j-- > 0;) {
			uint16_t down = best[(i + 1) * wide + j];
			uint16_t right = best[i * wide + j + 1];

			best[i * wide + j] = strcmp(a.line[i],
			    b.line[j]) == 0 ? (uint16_t)(1 +
			    best[(i + 1) * wide + j + 1]) :
			    down > right ? down : right;
		}
	for (i = j = 0; i < a.n || j < b.n;) {
		if (i < a.n && j < b.n && strcmp(a.line[i], b.line[j]) == 0)
			i++, j++;
		else if (j == b.n || (i < a.n && best[(i + 1) * wide + j] >=
		    best[i * wide + j + 1])) {
			told(d, name, "statement", a.line[i++], NULL,
			    RD_EFFECT_SESSIONS);
			n++;
		} else {
			told(d, name, "statement", NULL, b.line[j++],
			    RD_EFFECT_SESSIONS);
			n++;
		}
	}
	return n;
}

/* ---- comparing ---- */

#define ASPECTS(a)	a, sizeof(a) / sizeof((a)[0])

static const struct kind kinds[RD_DIFF_KINDS] = {
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

static int
key_cmp(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static int
like_cmp(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return strcmp((*x)->like, (*y)->like);
}

/* Each with the one of the other side that compares equal, as far as both
 * have none yet. */
static void
pair(struct arena *arena, struct items *old, struct items *new,
    int (*cmp)(const void *, const void *))
{
	struct item **a = arena_array(arena, old->n + 1, sizeof(*a));
	struct item **b = arena_array(arena, new->n + 1, sizeof(*b));
	size_t na = 0, nb = 0, i = 0, j = 0;

	for (size_t k = 0; k < old->n; k++)
		if (old->list[k].other == NULL)
			a[na++] = &old->list[k];
	for (size_t k = 0; k < new->n; k++)
		if (new->list[k].other == NULL)
			b[nb++] = &new->list[k];
	qsort(a, na, sizeof(*a), cmp);
	qsort(b, nb, sizeof(*b), cmp);
	while (i < na && j < nb) {
		int c = cmp(&a[i], &b[j]);

		if (c == 0) {
			a[i]->other = b[j];
			b[j]->other = a[i];
		}
		i += c <= 0;
		j += c >= 0;
	}
}

static bool
table_checked(const struct rd_table *t)
{
	return t->check.kind != RD_CHECK_NONE && !t->disabled;
}

/* A child is not checked, and neither is who has no check. */
static bool
host_checked(const struct item *i)
{
	const struct seat *seat = i->object;

	return table_checked(seat->table) && seat->host->parent == 0;
}

/* Of what was not there before. */
static enum rd_diff_effect
fresh_effect(struct diff *d, const struct item *i)
{
	if (d->kind != RD_DIFF_HOST)
		return kinds[d->kind].effect;
	if (!host_checked(i))
		return RD_EFFECT_NOW;
	d->result->checked++;
	return RD_EFFECT_CHECKED;
}

/* Of an aspect that is another one. */
static enum rd_diff_effect
aspect_effect(const struct diff *d, const struct aspect *a,
    const struct item *new)
{
	if (a->effect == RD_EFFECT_CHECKED && d->kind == RD_DIFF_TABLE &&
	    !table_checked(new->object))
		return RD_EFFECT_NOW;
	return a->effect;
}

static void
both(struct diff *d, const struct item *old, const struct item *new)
{
	const struct kind *k = &kinds[d->kind];
	struct rd_diff_count *count = &d->result->of[d->kind];
	size_t n = 0;

	for (size_t i = 0; i < k->naspects; i++) {
		const char *a = k->aspects[i].text(&d->old, old->object);
		const char *b = k->aspects[i].text(&d->new, new->object);

		a = a != NULL ? a : "";
		b = b != NULL ? b : "";
		if (strcmp(a, b) == 0)
			continue;
		told(d, new->name, k->aspects[i].option, a, b,
		    aspect_effect(d, &k->aspects[i], new));
		n++;
	}
	if (d->kind == RD_DIFF_PROTOCOL)
		n += lines_compare(d, new->name, statements(&d->old,
		    old->object), statements(&d->new, new->object));
	count->changed += n > 0;
	count->kept++;
	count->renumbered += old->id != new->id;
}

/* The same host of the same table, to be asked something else: what was found
 * about it counts no more. The table has told that. */
static void
host_anew(struct diff *d, const struct item *old, const struct item *new)
{
	d->result->checked += host_checked(new);
	d->result->of[d->kind].renumbered += old->id != new->id;
}

static void
compare(struct diff *d)
{
	const struct kind *k = &kinds[d->kind];
	struct rd_diff_count *count = &d->result->of[d->kind];
	struct items old = k->list(&d->old), new = k->list(&d->new);

	pair(d->arena, &old, &new, key_cmp);
	/* those that are left may only be checked in another way */
	if (d->kind == RD_DIFF_HOST)
		pair(d->arena, &old, &new, like_cmp);
	for (size_t i = 0; i < new.n; i++) {
		const struct item *n = &new.list[i];

		if (n->other == NULL) {
			told(d, n->name, NULL, NULL, n->name,
			    fresh_effect(d, n));
			count->added++;
		} else if (strcmp(n->key, n->other->key) == 0)
			both(d, n->other, n);
		else
			host_anew(d, n->other, n);
	}
	for (size_t i = 0; i < old.n; i++) {
		if (old.list[i].other != NULL)
			continue;
		told(d, old.list[i].name, NULL, old.list[i].name, NULL,
		    k->effect);
		count->removed++;
	}
}

bool
rd_diff(const struct rd_conf *old, const struct rd_conf *new,
    void (*change)(void *, const struct rd_change *), void *ctx,
    struct rd_diff *result)
{
	struct arena *arena = arena_new();
	struct diff d = { .old = { old, arena }, .new = { new, arena },
	    .arena = arena, .change = change, .ctx = ctx,
	    .result = result };

	*result = (struct rd_diff){ 0 };
	if (arena == NULL)
		return false;
	for (int k = 0; k < RD_DIFF_KINDS; k++) {
		d.kind = (enum rd_diff_kind)k;
		compare(&d);
	}
	arena_free(arena);
	return true;
}
