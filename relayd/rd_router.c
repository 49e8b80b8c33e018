/*
 * Routers (2.9).
 */
#include <string.h>

#include "rd_build_impl.h"
#include "rd_realm.h"

#ifdef __linux__
#define RTABLE_MAX	252		/* then default, main and local */
#else
#define RTABLE_MAX	255
#endif

void
rd_router_begin(struct rd_build *b, const struct rd_word *name)
{
	struct rd_conf *c = b->conf;
	struct rd_router *r = arena_alloc(b->arena, sizeof *r);

	rd_section_begin(b, RD_IN_ROUTER);
	b->router = r;
	r->name = name->text;
	r->place = name->place;
	rd_length_ok(b, RD_LEN_ROUTER, name);
	for (size_t i = 0; i < c->nrouters; i++) {
		if (strcmp(c->routers[i]->name, name->text) == 0)
			rd_error(b, &name->place,
			    "router \"%s\" is already defined", name->text);
	}
	c->routers = rd_grow(b, c->routers, c->nrouters, sizeof *c->routers);
	c->routers[c->nrouters++] = r;
	r->id = (uint32_t)c->nrouters;
}

static void
families_mixed(struct rd_build *b, const struct diag_place *place)
{
	rd_error(b, place, "router \"%s\" mixes address families",
	    b->router->name);
}

static bool
gateways_fit(const struct rd_router *r, int family)
{
	const struct rd_table *t = r->gateways.table;

	for (size_t i = 0; t != NULL && i < t->nhosts; i++) {
		if (t->hosts[i].addr.sa.sa_family != family)
			return false;
	}
	return true;
}

void
rd_router_route(struct rd_build *b, const struct rd_word *address,
    const struct rd_number *bits)
{
	struct rd_router *r = b->router;
	struct rd_prefix p;

	if (!rd_prefix_take(b, address, bits, &p))
		return;
	if ((r->nroutes > 0 && r->routes[0].addr.sa.sa_family !=
	    p.addr.sa.sa_family) ||
	    !gateways_fit(r, p.addr.sa.sa_family)) {
		families_mixed(b, &address->place);
		return;
	}
	r->routes = rd_grow(b, r->routes, r->nroutes, sizeof *r->routes);
	r->routes[r->nroutes++] = p;
	rd_statement(b, "route %s", rd_prefix_text(b, address, bits));
}

void
rd_router_forward(struct rd_build *b, const struct diag_place *place)
{
	struct rd_router *r = b->router;
	struct rd_use use;
	const char *text;

	if (r->gateways.table != NULL) {
		rd_error(b, place, "router \"%s\" already has a table",
		    r->name);
		return;
	}
	if (!rd_use_take(b, RD_NO_PORT, false, &use, &text))
		return;
	r->gateways = use;
	if (r->nroutes > 0 &&
	    !gateways_fit(r, r->routes[0].addr.sa.sa_family))
		families_mixed(b, place);
	if (use.table->check.kind == RD_CHECK_NONE)
		rd_warn(b, place, "router \"%s\": gateways without check are "
		    "never used", r->name);
	rd_statement(b, "forward to %s", text);
}

void
rd_router_rtable(struct rd_build *b, const struct rd_number *n)
{
	unsigned rtable;

	if (!rd_number_take(b, RD_RANGE_RTABLE, n, &rtable))
		return;
	if (rtable > RTABLE_MAX) {
		rd_error(b, &n->place, "rtable must be between 0 and %d on "
		    "this system", RTABLE_MAX);
		return;
	}
	/* an earlier 0 does not count */
	if (b->router->rtable != 0) {
		rd_error(b, &n->place, "rtable is given twice");
		return;
	}
	b->router->rtable = rtable;
	rd_statement(b, "rtable %u", rtable);
}

void
rd_router_rtlabel(struct rd_build *b, const struct rd_word *label)
{
	if (!rd_length_ok(b, RD_LEN_RTLABEL, label))
		return;
	b->router->rtlabel = label->text;
	b->label_place = label->place;
	rd_statement(b, "rtlabel %s", rd_quoted(b, label));
}

/* Where there are no route labels, realms stand for them. */
static void
label_check(struct rd_build *b)
{
#ifdef __linux__
	const struct rd_router *r = b->router;
	unsigned realm;

	if (r->rtlabel == NULL)
		return;
	if (r->routes[0].addr.sa.sa_family == AF_INET6)
		rd_warn(b, &b->label_place, "router \"%s\": IPv6 routes have "
		    "no realms, rtlabel has no effect", r->name);
	else if (!rd_realm_find(b->source, r->rtlabel, &realm))
		rd_warn(b, &b->label_place, "router \"%s\": no realm \"%s\", "
		    "rtlabel has no effect", r->name, r->rtlabel);
#else
	(void)b;
#endif
}

void
rd_router_end(struct rd_build *b)
{
	const struct rd_router *r = b->router;

	if (!b->broken) {
		if (r->nroutes == 0)
			rd_error(b, &r->place, "router \"%s\" has no routes",
			    r->name);
		else if (r->gateways.table == NULL)
			rd_error(b, &r->place, "router \"%s\" has no table",
			    r->name);
		else
			label_check(b);
	}
	rd_section_end(b, arena_printf(b->arena, "router %s", rd_quoted(b,
	    &(struct rd_word){ .text = r->name })), true);
}
