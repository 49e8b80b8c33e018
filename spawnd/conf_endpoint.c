/*
 * What listen blocks come to once all are known: endpoints that may meet, and
 * what only the whole section tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_listen.h"
#include "program.h"
#include "spawnd.h"

/* One of a block's addresses on its way into the configuration. */
struct endpoint {
	struct listener_conf		 conf;
	const struct listen_block	*block;
	unsigned			 order;
	bool				 any;	/* no address was given */
	bool				 dropped;
};

static uint32_t
block_versions(const struct listen_block *b)
{
	bool stream = block_type(b) != SOCK_DGRAM;

	switch (b->tls) {
	case TLS_MODE_NO:
		break;
	case TLS_MODE_YES:
	case TLS_MODE_AUTO:
		return stream ? SPAWND_TLS_1_2 | SPAWND_TLS_1_3 :
		    SPAWND_DTLS_1_2;
	case TLS_MODE_LIST:
		return stream ? b->tls_list : b->dtls_list;
	}
	return 0;
}

static uint32_t
block_flags(const struct listen_block *b)
{
	return (b->haproxy ? SPAWND_HAPROXY : 0) |
	    (b->accounting ? SPAWND_ACCOUNTING : 0) |
	    (b->psk ? SPAWND_TLS_PSK : 0) |
	    (b->tls == TLS_MODE_AUTO ? SPAWND_TLS_AUTO : 0);
}

static int
block_protocol(const struct listen_block *b, const struct net_addr *addr)
{
	if (addr->len == 0 || addr->sa.sa_family == AF_UNIX)
		return 0;
	if (b->protocol == PROTOCOL_UNSET && b->type == SOCK_DGRAM)
		return IPPROTO_UDP;
	if (b->protocol == PROTOCOL_UNSET && b->type == SOCK_SEQPACKET)
		return IPPROTO_SCTP;
	return transports[b->protocol].number;
}

static int
or_default(int own, int section)
{
	return own != 0 ? own : section;
}

static void
endpoint_fill(struct listener_conf *l, const struct broker_build *build,
    const struct listen_block *b, const struct net_addr *addr)
{
	const struct sticky_conf *sticky = &build->conf->sticky;
	bool own = b->sticky_period != UNSET || b->sticky_size != 0;

	l->place = b->place;
	l->name = b->name;
	l->named = b->named && b->name != NULL;
	l->addr = *addr;
	l->type = block_type(b);
	l->protocol = block_protocol(b, addr);
	l->mode = (mode_t)b->mode;
	l->uid = b->owner.has_uid ? b->owner.uid : (uid_t)-1;
	l->gid = b->owner.has_gid ? b->owner.gid :
	    b->owner.has_users_gid ? b->owner.users_gid : (gid_t)-1;
	l->backlog = b->backlog;
	l->overload_backlog = b->overload_backlog < b->backlog ?
	    b->overload_backlog : b->backlog;
	l->retry = b->retry != UNSET ? b->retry : build->retry;
	snprintf(l->realm, sizeof l->realm, "%s",
	    b->realm != NULL ? b->realm : "");
	l->dscp = b->dscp;
	l->vrf = b->vrf;
	l->versions = block_versions(b);
	l->flags = block_flags(b);
	l->aaa = (uint32_t)b->aaa;
	l->keepalive = (struct net_keepalive){
	    .count = or_default(b->keepalive.count, build->keepalive.count),
	    .idle = or_default(b->keepalive.idle, build->keepalive.idle),
	    .interval = or_default(b->keepalive.interval,
		build->keepalive.interval),
	};
	l->tcp = (struct net_tcp){ .nodelay = 1, .sack = -1 };
	l->accept = (enum listen_accept)(b->accept != -1 ? b->accept :
	    build->accept);
	l->sticky.own = own;
	l->sticky.period = b->sticky_period != UNSET ? b->sticky_period :
	    sticky->period;
	l->sticky.size = b->sticky_size != 0 ? b->sticky_size : sticky->size;
}

static int
text_cmp(const char *a, const char *b)
{
	return strcmp(a == NULL ? "" : a, b == NULL ? "" : b);
}

static bool
endpoint_ip(const struct endpoint *e)
{
	return e->conf.addr.len != 0 && e->conf.addr.sa.sa_family != AF_UNIX;
}

/* Transport, VRF, port: among these overlaps are looked for. */
static int
group_cmp(const struct endpoint *a, const struct endpoint *b)
{
	unsigned pa, pb;

	if (endpoint_ip(a) != endpoint_ip(b))
		return endpoint_ip(a) ? 1 : -1;
	if (!endpoint_ip(a))
		return 0;
	if (a->conf.type != b->conf.type)
		return a->conf.type < b->conf.type ? -1 : 1;
	if (a->conf.protocol != b->conf.protocol)
		return a->conf.protocol < b->conf.protocol ? -1 : 1;
	pa = net_port(&a->conf.addr);
	pb = net_port(&b->conf.addr);
	if (pa != pb)
		return pa < pb ? -1 : 1;
	return text_cmp(a->conf.vrf, b->conf.vrf);
}

/* Bytes that tell addresses of one kind apart. */
static size_t
address_bytes(const struct endpoint *e, const void **bytes)
{
	const struct net_addr *a = &e->conf.addr;

	switch (a->len == 0 ? AF_UNSPEC : a->sa.sa_family) {
	case AF_INET:
		*bytes = &a->in.sin_addr;
		return sizeof a->in.sin_addr;
	case AF_INET6:
		*bytes = &a->in6.sin6_addr;
		return sizeof a->in6.sin6_addr;
	case AF_UNIX:
		*bytes = a->un.sun_path;
		return strnlen(a->un.sun_path, sizeof a->un.sun_path);
	default:
		*bytes = e->conf.name;
		return strlen(e->conf.name);
	}
}

static int
same_cmp(const struct endpoint *a, const struct endpoint *b)
{
	const void *ba, *bb;
	size_t la = address_bytes(a, &ba), lb = address_bytes(b, &bb);
	int group = group_cmp(a, b), bytes;

	if (group != 0)
		return group;
	if (a->any != b->any)
		return a->any ? -1 : 1;
	if (a->conf.addr.sa.sa_family != b->conf.addr.sa.sa_family)
		return a->conf.addr.sa.sa_family < b->conf.addr.sa.sa_family ?
		    -1 : 1;
	bytes = memcmp(ba, bb, la < lb ? la : lb);
	if (bytes != 0)
		return bytes;
	if (la != lb)
		return la < lb ? -1 : 1;
	if (endpoint_ip(a) && a->conf.addr.sa.sa_family == AF_INET6 &&
	    a->conf.addr.in6.sin6_scope_id != b->conf.addr.in6.sin6_scope_id)
		return a->conf.addr.in6.sin6_scope_id <
		    b->conf.addr.in6.sin6_scope_id ? -1 : 1;
	return 0;
}

static int
endpoint_cmp(const void *pa, const void *pb)
{
	const struct endpoint *a = *(struct endpoint *const *)pa;
	const struct endpoint *b = *(struct endpoint *const *)pb;
	int same = same_cmp(a, b);

	if (same != 0)
		return same;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Everything but place, index and a name that nobody gave. */
static bool
settings_equal(const struct endpoint *a, const struct endpoint *b)
{
	const struct listener_conf *x = &a->conf, *y = &b->conf;

	return (!a->block->named || !b->block->named ||
	    strcmp(x->name, y->name) == 0) &&
	    x->mode == y->mode && x->uid == y->uid && x->gid == y->gid &&
	    x->type == y->type && x->backlog == y->backlog &&
	    x->overload_backlog == y->overload_backlog &&
	    x->retry == y->retry && strcmp(x->realm, y->realm) == 0 &&
	    x->dscp == y->dscp && x->versions == y->versions &&
	    x->flags == y->flags && x->aaa == y->aaa &&
	    x->keepalive.count == y->keepalive.count &&
	    x->keepalive.idle == y->keepalive.idle &&
	    x->keepalive.interval == y->keepalive.interval &&
	    x->accept == y->accept &&
	    x->sticky.period == y->sticky.period &&
	    x->sticky.size == y->sticky.size &&
	    x->sticky.own == y->sticky.own;
}

static void
endpoint_twice(struct parse *p, const struct endpoint *first,
    struct endpoint *again)
{
	char text[NET_TEXT];

	again->dropped = true;
	net_text(&again->conf.addr, text);
	if (first->block == again->block)
		return;			/* one name, twice the same address */
	if (settings_equal(first, again))
		diag_warn(p->r.diag, &again->conf.place,
		    "same as the listener in line %u, opened once",
		    first->conf.place.line);
	else
		diag_error(p->r.diag, &again->conf.place,
		    "%s: differs from the listener in line %u",
		    again->any ? "listen" : text, first->conf.place.line);
}

/*
 * Wildcards of one port: the explicit one owns its family, who did not say
 * gets what remains.
 */
static void
group_overlap(struct parse *p, struct endpoint **group, size_t n)
{
	struct endpoint *any = NULL, *v4 = NULL, *v6 = NULL;

	for (size_t i = 0; i < n; i++) {
		struct endpoint *e = group[i];

		if (e->dropped)
			continue;
		if (e->any)
			any = e;
		else if (!net_is_any(&e->conf.addr))
			continue;
		else if (e->conf.addr.sa.sa_family == AF_INET)
			v4 = e;
		else
			v6 = e;
	}
	if (v6 != NULL && (v4 != NULL || any != NULL))
		v6->conf.v6only = true;
	if (any == NULL)
		return;
	any->conf.both = v4 == NULL && v6 == NULL;
	if (v4 != NULL && v6 != NULL) {
		any->dropped = true;
		diag_warn(p->r.diag, &any->conf.place,
		    "nothing remains for this listener, see lines %u and %u",
		    v4->conf.place.line, v6->conf.place.line);
	} else if (v6 != NULL) {
		unsigned port = net_port(&any->conf.addr);

		any->conf.addr = (struct net_addr){
		    .len = sizeof any->conf.addr.in };
		any->conf.addr.in.sin_family = AF_INET;
		net_set_port(&any->conf.addr, port);
	} else if (v4 != NULL) {
		any->conf.v6only = true;
	}
}

static void
overlaps(struct parse *p, struct endpoint *all, size_t n)
{
	struct endpoint **sorted =
	    arena_array(p->r.arena, n, sizeof(struct endpoint *));
	size_t begin, end, first = 0;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &all[i];
	qsort(sorted, n, sizeof *sorted, endpoint_cmp);
	for (begin = 0; begin < n; begin = end) {
		bool fixed = !endpoint_ip(sorted[begin]) ||
		    net_port(&sorted[begin]->conf.addr) != 0;

		first = begin;
		for (end = begin + 1; end < n &&
		    group_cmp(sorted[begin], sorted[end]) == 0; end++) {
			if (!fixed || same_cmp(sorted[first], sorted[end]) != 0)
				first = end;
			else
				endpoint_twice(p, sorted[first], sorted[end]);
		}
		if (fixed && endpoint_ip(sorted[begin]))
			group_overlap(p, sorted + begin, end - begin);
		else if (endpoint_ip(sorted[begin]))
			for (size_t i = begin; i < end; i++)
				sorted[i]->conf.both = sorted[i]->any;
	}
}

/* ---- names ---- */

static int
name_cmp(const void *pa, const void *pb)
{
	const struct listen_block *a = *(struct listen_block *const *)pa;
	const struct listen_block *b = *(struct listen_block *const *)pb;
	int c = strcmp(a->name, b->name);

	if (c != 0)
		return c;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return a->place.column < b->place.column ? -1 :
	    a->place.column > b->place.column;
}

static void
names_check(struct parse *p, const struct broker_build *build)
{
	const struct listen_block **all =
	    arena_array(p->r.arena, build->nblocks, sizeof *all);
	size_t n = 0;

	for (const struct listen_block *b = build->blocks; b != NULL;
	    b = b->next)
		all[n++] = b;
	qsort(all, n, sizeof *all, name_cmp);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(all[i - 1]->name, all[i]->name) == 0)
			diag_error(p->r.diag, &all[i]->place,
			    "name: '%s' used twice", all[i]->name);
	}
}

/* ---- who accepts ---- */

/* Workers can only take connections, and without asking the master. */
static void
accept_check(struct parse *p, const struct broker_build *build,
    struct endpoint *e, bool own)
{
	struct listener_conf *l = &e->conf;
	const char *not = NULL, *why = NULL;

	if (l->accept != ACCEPT_WORKERS)
		return;
	if (l->sticky.period > 0)
		not = "'sticky cache'";
	else if (l->type == SOCK_DGRAM)
		not = e->block->protocol == PROTOCOL_UDP ? "'protocol = UDP'" :
		    "'type = DGRAM'";
	else if (l->type == SOCK_SEQPACKET)
		not = "'type = SEQPACKET'";
	if (not != NULL) {
		diag_error(p->r.diag, &l->place,
		    "'accept = workers' cannot be combined with %s", not);
		return;
	}
	if (p->request->program->broker_only)
		why = "the broker stands alone";
	else if (!own)
		why = "the worker is another program";
	else if (build->conf->single)
		why = "there is a single process";
	if (why == NULL)
		return;
	l->accept = ACCEPT_MASTER;
	diag_warn(p->r.diag, &l->place,
	    "accept = workers: %s, the master accepts", why);
}

void
listen_expand(struct parse *p, struct broker_build *build, bool own)
{
	struct spawnd_conf *conf = build->conf;
	struct net_addr passed = { .len = 0 };
	struct endpoint *all;
	size_t n = 0;

	names_check(p, build);
	for (const struct listen_block *b = build->blocks; b != NULL;
	    b = b->next)
		n += b->naddrs > 0 ? b->naddrs : 1;
	all = arena_array(p->r.arena, n + 1, sizeof *all);
	n = 0;
	for (const struct listen_block *b = build->blocks; b != NULL;
	    b = b->next) {
		unsigned k = b->naddrs > 0 ? b->naddrs : 1;

		for (unsigned i = 0; b->opens && i < k; i++) {
			struct endpoint *e = &all[n];

			endpoint_fill(&e->conf, build, b,
			    b->naddrs > 0 ? &b->addrs[i] : &passed);
			e->block = b;
			e->any = b->any;
			e->order = (unsigned)n++;
			accept_check(p, build, e, own);
		}
	}
	overlaps(p, all, n);
	conf->listeners = arena_array(p->r.arena, n + 1,
	    sizeof *conf->listeners);
	for (size_t i = 0; i < n; i++) {
		struct listener_conf *l;

		if (all[i].dropped)
			continue;
		l = &conf->listeners[conf->nlisteners];
		*l = all[i].conf;
		l->index = (uint32_t)conf->nlisteners++;
	}
	conf->endpoints = conf->listeners;
	conf->nendpoints = conf->nlisteners;
	conf->indexes = (uint32_t)conf->nlisteners;
}
