/*
 * Redirects (2.5): what is checked of them, and of what they refer to.
 */
#include <stdio.h>
#include <string.h>

#include "rd_build_impl.h"

#define ADDRESSES	16		/* of one `listen on' */

void
rd_redirect_begin(struct rd_build *b, const struct rd_word *name)
{
	struct rd_conf *c = b->conf;
	struct rd_redirect *r = arena_alloc(b->arena, sizeof *r);

	rd_section_begin(b, RD_IN_REDIRECT);
	b->redirect = r;
	*r = (struct rd_redirect){ .name = name->text, .timeout = 600,
	    .place = name->place };
	rd_length_ok(b, RD_LEN_REDIRECT, name);
	for (size_t i = 0; i < c->nredirects; i++) {
		if (strcmp(c->redirects[i]->name, name->text) == 0)
			rd_error(b, &name->place,
			    "redirect \"%s\" is already defined",
			    name->text);
	}
	c->redirects = rd_grow(b, c->redirects, c->nredirects,
	    sizeof *c->redirects);
	c->redirects[c->nredirects++] = r;
	r->id = (uint32_t)c->nredirects;
}

/* ---- listen on ---- */

static bool
proto_take(struct rd_build *b, const struct rd_word *proto,
    struct rd_rdr_listen *l)
{
	l->proto = IPPROTO_TCP;
	l->proto_name = "tcp";
	if (proto->text == NULL || strcmp(proto->text, "tcp") == 0)
		return true;
	l->proto_name = source_protocol_name(b->source, proto->text);
	if (l->proto_name != NULL &&
	    source_protocol(b->source, proto->text, &l->proto) != -1) {
		l->proto_name = arena_strdup(b->arena, l->proto_name);
		return true;
	}
	rd_error(b, &proto->place, "unknown IP protocol \"%s\"",
	    proto->text);
	return false;
}

/* One for each address. */
static void
listens_add(struct rd_build *b, const struct rd_word *address,
    const struct rd_rdr_listen *like)
{
	struct rd_redirect *r = b->redirect;
	const struct net_addr *addrs;
	bool by_name;
	size_t n = rd_addresses(b, address->text, &addrs, &by_name);

	if (n == 0)
		rd_error(b, &address->place,
		    "cannot resolve listen address \"%s\"", address->text);
	if (n > ADDRESSES) {
		rd_warn(b, &address->place, "\"%s\" resolves to more than %d "
		    "addresses, using the first %d", address->text, ADDRESSES,
		    ADDRESSES);
		n = ADDRESSES;
	}
	for (size_t i = 0; i < n; i++) {
		struct rd_rdr_listen *l;

		r->listens = rd_grow(b, r->listens, r->nlistens,
		    sizeof *r->listens);
		l = &r->listens[r->nlistens++];
		*l = *like;
		l->addr = addrs[i];
		net_set_port(&l->addr, l->port);
	}
}

void
rd_redirect_listen(struct rd_build *b, const struct rd_word *address,
    const struct rd_word *proto, const struct rd_port *port,
    const struct rd_word *interface, bool pflog)
{
	struct rd_rdr_listen l = { .pflog = pflog };
	struct rd_out o = { NULL, 0, 0 };
	bool good;

	good = proto_take(b, proto, &l);
	good = rd_port_range(b, port, &l.port, &l.port_to) && good;
	if (interface->text != NULL) {
		good = rd_length_ok(b, RD_LEN_INTERFACE, interface) && good;
		l.interface = interface->text;
	}
	if (good)
		listens_add(b, address, &l);
	rd_out_add(b, &o, "listen on %s", rd_bare(b, address));
	if (proto->text != NULL)
		rd_out_add(b, &o, " %s", strcmp(proto->text, "tcp") == 0 ?
		    "tcp" : rd_bare(b, proto));
	rd_out_add(b, &o, " port %s", rd_port_text(b, port));
	if (interface->text != NULL)
		rd_out_add(b, &o, " interface %s", rd_bare(b, interface));
	rd_statement(b, "%s%s", o.p, pflog ? " pflog" : "");
}

/* ---- forward to, route to ---- */

static bool
interface_ok(struct rd_build *b, bool route, const struct rd_word *interface,
    const struct diag_place *place)
{
	if (!route && interface->text != NULL) {
		rd_error(b, &interface->place,
		    "\"interface\" is only allowed with \"route to\"");
		return false;
	}
	if (route && interface->text == NULL) {
		rd_error(b, place, "\"route to\" needs an interface");
		return false;
	}
	return !route || rd_length_ok(b, RD_LEN_INTERFACE, interface);
}

/* What the packet filter of this system cannot do. */
static bool
mode_possible(struct rd_build *b, bool route, const struct rd_use *use,
    const struct diag_place *place)
{
#ifdef __linux__
	if (route && use->mode == RD_LEAST_STATES) {
		rd_error(b, place, "\"least-states\" cannot be used with "
		    "\"route to\" on this system");
		return false;
	}
#else
	(void)b;
	(void)route;
	(void)use;
	(void)place;
#endif
	return true;
}

static bool
backup_fits(struct rd_build *b, const struct rd_use *backup,
    const struct diag_place *place)
{
	struct rd_redirect *r = b->redirect;

	if (backup->mode != r->main.mode) {
		rd_error(b, place, "main and backup table of redirect \"%s\" "
		    "must use the same mode", r->name);
		return false;
	}
	if (backup->port != r->main.port) {
		rd_error(b, place, "main and backup table of redirect \"%s\" "
		    "must use the same port", r->name);
		return false;
	}
	return true;
}

static void
use_add(struct rd_build *b, bool route, const struct rd_use *use,
    const struct rd_word *interface, const struct diag_place *place)
{
	struct rd_redirect *r = b->redirect;

	if (r->main.table == NULL) {
		r->main = *use;
		r->route = route;
		r->route_interface = interface->text;
		return;
	}
	if (route != r->route) {
		rd_error(b, place, "redirect \"%s\" mixes \"forward to\" and "
		    "\"route to\"", r->name);
		return;
	}
	if (!backup_fits(b, use, place))
		return;
	r->backup = *use;
	if (use->key.given)
		r->main.key = use->key;
	else
		r->backup.key = r->main.key;
}

void
rd_redirect_to(struct rd_build *b, bool route, bool transparent,
    const struct rd_word *interface, const struct diag_place *place)
{
	struct rd_redirect *r = b->redirect;
	unsigned port = r->nlistens > 0 ? r->listens[0].port : 0;
	struct rd_use use;
	const char *text;

	if (transparent) {
		rd_error(b, place,
		    "\"transparent\" is only available in relays");
		return;
	}
	if (r->backup.table != NULL) {
		rd_error(b, place,
		    "redirect \"%s\" can have only one backup table",
		    r->name);
		return;
	}
	/* a listener that did not compile may have said the port */
	if (port == 0 && b->broken)
		return;
	if (!interface_ok(b, route, interface, place) ||
	    !rd_use_take(b, port, route, &use, &text))
		return;
	if (use.table->check.kind == RD_CHECK_NONE) {
		rd_error(b, place, "table <%s> needs a check to be used in a "
		    "redirect", use.table->name);
		return;
	}
	if (!mode_possible(b, route, &use, place))
		return;
	use_add(b, route, &use, interface, place);
	if (route)
		rd_statement(b, "route to %s interface %s", text,
		    rd_bare(b, interface));
	else
		rd_statement(b, "forward to %s", text);
}

/* ---- the rest ---- */

void
rd_redirect_tag(struct rd_build *b, bool match, const struct rd_word *tag)
{
	if (!rd_length_ok(b, RD_LEN_TAG, tag))
		return;
	b->redirect->tag = tag->text;
	b->redirect->match = match;
	b->tag_place = tag->place;
	rd_statement(b, "%spftag %s", match ? "match " : "",
	    rd_quoted(b, tag));
}

void
rd_redirect_sticky(struct rd_build *b)
{
	b->redirect->sticky = true;
	rd_statement(b, "sticky-address");
}

static bool
family_served(const struct rd_table *t, int family)
{
	for (size_t i = 0; t != NULL && i < t->nhosts; i++) {
		if (t->hosts[i].addr.sa.sa_family == family)
			return true;
	}
	return t == NULL;
}

static void
families_check(struct rd_build *b, const struct rd_use *use)
{
	const struct rd_redirect *r = b->redirect;
	char shown[NET_TEXT];

	for (size_t i = 0; i < r->nlistens; i++) {
		const struct net_addr *a = &r->listens[i].addr;

		if (!family_served(use->table, a->sa.sa_family))
			rd_warn(b, &r->place, "redirect \"%s\": no host of "
			    "table <%s> has the address family of %s",
			    r->name, use->table->name,
			    net_ip_text(a, shown));
	}
}

void
rd_redirect_end(struct rd_build *b)
{
	const struct rd_redirect *r = b->redirect;

	if (!b->broken) {
		if (r->nlistens == 0)
			rd_error(b, &r->place, "redirect \"%s\" has no "
			    "address to listen on", r->name);
		else if (r->main.table == NULL)
			rd_error(b, &r->place, "redirect \"%s\" has no table",
			    r->name);
		else if (r->match && r->route)
			rd_error(b, &b->tag_place, "\"match pftag\" cannot be "
			    "combined with \"route to\"");
		families_check(b, &r->main);
		families_check(b, &r->backup);
	}
	rd_section_end(b, arena_printf(b->arena, "redirect %s", rd_quoted(b,
	    &(struct rd_word){ .text = r->name })), true);
}
