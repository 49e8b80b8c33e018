/*
 * The listen block (3.9): first as it was written, block by block, then,
 * once all are known, as the endpoints they make together.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "program.h"
#include "spawnd.h"

#define UNSET		UINT_MAX	/* of a time whose 0 means something */
#define NAME_MAX_LEN	64
#define REALM_MAX	15

enum protocol { PROTOCOL_UNSET, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP };
enum tls_mode { TLS_MODE_NO, TLS_MODE_YES, TLS_MODE_AUTO, TLS_MODE_LIST };

/* A block as it was written. In the arena, on the list of the build. */
struct listen_block {
	struct listen_block	*next;
	struct diag_place	 place;
	const char		*name;
	bool			 named;
	struct kw_value		 address, path, port, dtls;
	enum protocol		 protocol;
	int			 type;		/* SOCK_STREAM ..., 0: unset */
	const char		*vrf;
	const char		*realm;
	int			 dscp;		/* -1: unset */
	enum tls_mode		 tls;
	unsigned		 tls_list, dtls_list;
	bool			 psk, haproxy, accounting;
	int			 aaa;
	unsigned		 mode;
	bool			 mode_given;
	struct kw_owner		 owner;
	int			 backlog, overload_backlog;
	unsigned		 retry, sticky_period, sticky_size;
	struct net_keepalive	 keepalive;
	int			 accept;	/* -1: the section's */
	bool			 wrong;		/* a value of an endpoint */
	bool			 ported;	/* a port was given, wrong or not */
	/* what it comes to: no address, some, or all there are */
	struct net_addr		*addrs;
	unsigned		 naddrs;
	bool			 any, opens;
};

static const struct kw_word protocols[] = {
	{ "TCP", PROTOCOL_TCP, false }, { "tcp", PROTOCOL_TCP, true },
	{ "UDP", PROTOCOL_UDP, false }, { "udp", PROTOCOL_UDP, true },
	{ "SCTP", PROTOCOL_SCTP, false }, { "sctp", PROTOCOL_SCTP, true },
	{ NULL, 0, false },
};

/* By enum protocol; services of SCTP are looked up as TCP's if need be. */
static const struct {
	const char	*name, *transport;
	int		 number, type;
} transports[] = {
	[PROTOCOL_UNSET] = { "TCP", "tcp", IPPROTO_TCP, SOCK_STREAM },
	[PROTOCOL_TCP] = { "TCP", "tcp", IPPROTO_TCP, SOCK_STREAM },
	[PROTOCOL_UDP] = { "UDP", "udp", IPPROTO_UDP, SOCK_DGRAM },
	[PROTOCOL_SCTP] = { "SCTP", "sctp", IPPROTO_SCTP, SOCK_STREAM },
};

static const struct kw_word types[] = {
	{ "STREAM", SOCK_STREAM, false }, { "DGRAM", SOCK_DGRAM, false },
	{ "SEQPACKET", SOCK_SEQPACKET, false },
	{ NULL, 0, false },
};

static const struct kw_word aaa_protocols[] = {
	{ "tacacs.tcp", SPAWND_AAA_TACACS_TCP, false },
	{ "tacacs.tls", SPAWND_AAA_TACACS_TLS, false },
	{ "radius.udp", SPAWND_AAA_RADIUS_UDP, false },
	{ "radius.tcp", SPAWND_AAA_RADIUS_TCP, false },
	{ "radius.dtls", SPAWND_AAA_RADIUS_DTLS, false },
	{ "radius.tls", SPAWND_AAA_RADIUS_TLS, false },
	{ NULL, 0, false },
};

static const struct kw_word flags[] = {
	{ "access", false, false }, { "accounting", true, false },
	{ NULL, 0, false },
};

static const struct kw_word accepts[] = {
	{ "master", ACCEPT_MASTER, false },
	{ "workers", ACCEPT_WORKERS, false },
	{ NULL, 0, false },
};

static const struct kw_word autos[] = {
	{ "auto", TLS_MODE_AUTO, false }, { NULL, 0, false },
};

/* ---- values ---- */

static void
address_set(struct kw_reader *r, struct listen_block *b)
{
	struct kw_value v = { .text = NULL };
	struct address a;

	if (!address_read(r, &v)) {
		b->wrong = true;
	} else if (b->address.text != NULL) {
		kw_bad_place(r, &v.place, "address given twice");
	} else if (address_parse(v.text, &a) == ADDRESS_BAD) {
		kw_bad_place(r, &v.place,
		    "address: '%.100s' is not an IP address", v.text);
		b->wrong = true;
		b->ported = b->ported || strchr(v.text, ':') != NULL;
	} else {
		b->address = v;
	}
}

static void
listen_address_read(struct kw_reader *r, void *object)
{
	kw_equals(r);
	address_set(r, object);
}

static bool
bare_address(struct kw_reader *r, void *object)
{
	if (!address_is(r))
		return false;
	snprintf(r->name, sizeof r->name, "address");
	address_set(r, object);
	return true;
}

static void
listen_port_read(struct kw_reader *r, void *object)
{
	struct listen_block *b = object;

	b->ported = true;
	kw_equals(r);
	if (!port_read(r, &b->port, 0))
		b->wrong = true;
}

static void
realm_read(struct kw_reader *r, void *object)
{
	struct listen_block *b = object;
	const char *text;

	kw_equals(r);
	if ((text = kw_text(r)) == NULL)
		return;
	if (strlen(text) > REALM_MAX) {
		kw_bad_value(r, "longer than %d bytes", REALM_MAX);
		return;
	}
	b->realm = text;
	kw_next(r);
}

static void
name_read(struct kw_reader *r, void *object)
{
	struct listen_block *b = object;
	const char *text;
	size_t len;

	kw_equals(r);
	b->named = true;
	if ((text = kw_text(r)) == NULL)
		return;
	len = strlen(text);
	if (len < 1 || len > NAME_MAX_LEN || strspn(text,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_.") != len) {
		kw_bad_value(r, "'%.100s' is not a name of 1 to %d letters, "
		    "digits, '-', '_', '.'", text, NAME_MAX_LEN);
		return;
	}
	b->name = text;
	kw_next(r);
}

/* tls, tls = yes, tls = TLSv1.2,TLSv1.3: what follows decides. */
static void
tls_read(struct kw_reader *r, void *object)
{
	static const struct kw_word *const sets[] = { kw_bools, autos,
	    tls_versions, dtls_versions };
	struct listen_block *b = object;
	struct diag_place place;
	bool equals = lex_is(&r->tok, '=');
	unsigned bits;
	int value;

	kw_equals(r);
	if (kw_word_is(r, kw_bools, &value)) {
		b->tls = value ? TLS_MODE_YES : TLS_MODE_NO;
		kw_next(r);
	} else if (kw_word_is(r, autos, &value)) {
		b->tls = TLS_MODE_AUTO;
		kw_next(r);
	} else if (kw_word_is(r, tls_versions, &value)) {
		if (list_read(r, tls_versions, &bits)) {
			b->tls = TLS_MODE_LIST;
			b->tls_list = bits;
		}
	} else if (kw_word_is(r, dtls_versions, &value)) {
		place = r->tok.place;
		if (list_read(r, dtls_versions, &bits)) {
			b->tls = TLS_MODE_LIST;
			b->dtls_list = bits;
			b->dtls.place = place;
		}
	} else if (!equals) {
		b->tls = TLS_MODE_YES;
	} else if (r->tok.kind == LEX_END || lex_is(&r->tok, '}')) {
		(void)kw_has_value(r);
	} else {
		kw_expected(r, sets, 4);
	}
}

static void
mode_read(struct kw_reader *r, void *object)
{
	struct listen_block *b = object;
	uint64_t value;

	kw_equals(r);
	if (!kw_number(r, KW_KIND_OCTAL, 0, 07777, &value))
		return;
	b->mode = (unsigned)value;
	b->mode_given = true;
	kw_next(r);
}

#define BLOCK	struct listen_block

const struct kw listen_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL("address", listen_address_read),
	KW_VALUE("path", BLOCK, path),
	KW_CALL("port", listen_port_read),
	KW_CALL("realm", realm_read),
	KW_INT("dscp", BLOCK, dscp, 0, 63),
	KW_TEXT("vrf", BLOCK, vrf),
	KW_CALL("tls|ssl", tls_read),
	KW_BOOL("tls|ssl psk", BLOCK, psk),
	KW_WORD("aaa.protocol", BLOCK, aaa, aaa_protocols),
	KW_BOOL("haproxy", BLOCK, haproxy),
	KW_CALL("mode", mode_read),
	KW_USER("userid|user", BLOCK, owner),
	KW_GROUP("groupid|group", BLOCK, owner),
	KW_INT("backlog", BLOCK, backlog, 1, 65535),
	KW_INT("overload backlog", BLOCK, overload_backlog, 1, 65535),
	KW_SECONDS("bind retry delay", BLOCK, retry, 0, 86400),
	KW_WORD("type", BLOCK, type, types),
	KW_WORD("protocol", BLOCK, protocol, protocols),
	KW_INT("tcp keepalive count", BLOCK, keepalive.count, 1, 127),
	KW_SECONDS("tcp keepalive idle", BLOCK, keepalive.idle, 1, 32767),
	KW_SECONDS("tcp keepalive interval", BLOCK, keepalive.interval, 1,
	    32767),
	KW_SECONDS("sticky cache period|timeout", BLOCK, sticky_period, 0,
	    31536000),
	KW_INT("sticky cache size", BLOCK, sticky_size, 1, 10 * 1024 * 1024),
	KW_WORD("accept", BLOCK, accept, accepts),
	KW_CALL("name", name_read),
	KW_WORD("flag", BLOCK, accounting, flags),
	KW_END
};

/* Concerns the sockets to workers, of which there is one kind only. */
static const struct kw listen_build_kw[] = {
	KW_CALL("tcp bufsize", bufsize_read),
	KW_END
};

/* ---- a block closes ---- */

static const char *
transport_of(const struct listen_block *b)
{
	if (b->protocol == PROTOCOL_UNSET && b->type == SOCK_DGRAM)
		return "udp";
	return transports[b->protocol].transport;
}

/* What says that a block means an IP endpoint. */
static bool
block_is_ip(const struct listen_block *b)
{
	return b->address.text != NULL || b->port.text != NULL ||
	    b->protocol != PROTOCOL_UNSET || b->dscp != -1 ||
	    b->vrf != NULL || b->keepalive.count != 0 ||
	    b->keepalive.idle != 0 || b->keepalive.interval != 0;
}

static void
addrs_one(struct kw_reader *r, struct listen_block *b,
    const struct net_addr *addr)
{
	b->addrs = arena_alloc(r->arena, sizeof *b->addrs);
	b->addrs[0] = *addr;
	b->naddrs = 1;
	b->opens = true;
}

/* With -P a name may well be unknown here and known elsewhere. */
static void
host_resolve(struct kw_reader *r, struct listen_block *b)
{
	const struct parse *p = r->owner;
	struct net_addr *found;
	int n = source_host(r->source, b->address.text, &found);

	if (n == 0 && p->request->check) {
		diag_warn(r->diag, &b->address.place,
		    "address: cannot resolve '%.253s'", b->address.text);
		return;
	}
	if (n == 0) {
		kw_bad_place(r, &b->address.place,
		    "address: cannot resolve '%.253s'", b->address.text);
		return;
	}
	b->addrs = arena_array(r->arena, (size_t)n, sizeof *b->addrs);
	memcpy(b->addrs, found, (size_t)n * sizeof *found);
	b->naddrs = (unsigned)n;
	b->opens = true;
}

static void
block_unix(struct kw_reader *r, struct listen_block *b,
    const struct net_addr *addr)
{
	const struct {
		const char	*name;
		bool		 given;
	} not[] = {
		{ "port", b->port.text != NULL },
		{ "address", b->path.text != NULL && b->address.text != NULL },
		{ "protocol", b->protocol != PROTOCOL_UNSET },
		{ "dscp", b->dscp != -1 },
		{ "vrf", b->vrf != NULL },
	};

	for (size_t i = 0; i < sizeof not / sizeof not[0]; i++) {
		if (not[i].given) {
			kw_bad_place(r, &b->place,
			    "'path' cannot be combined with '%s'",
			    not[i].name);
			return;
		}
	}
	if (b->dscp == -1)
		addrs_one(r, b, addr);
}

/* The port of an IP endpoint: attached to the address, or by itself. */
static void
block_port(struct kw_reader *r, struct listen_block *b, bool skipped,
    const char *attached)
{
	struct kw_value v = b->port;
	unsigned port;

	if (attached != NULL) {
		if (b->port.text != NULL &&
		    strcmp(b->port.text, attached) != 0)
			diag_warn(r->diag, &b->address.place,
			    "the port in '%s' counts, not 'port'",
			    b->address.text);
		v.text = attached;
		v.place = b->address.place;
	} else if (v.text == NULL) {
		if (!skipped)
			kw_bad_place(r, &b->place, "listen: port missing");
		return;
	}
	if (!address_port(r, "port", &v, transport_of(b),
	    attached != NULL ? 1 : 0, &port))
		return;
	for (unsigned i = 0; i < b->naddrs; i++)
		net_set_port(&b->addrs[i], port);
}

static void
block_any(struct kw_reader *r, struct listen_block *b)
{
	struct net_addr addr = { .len = sizeof addr.in6 };

	addr.in6.sin6_family = AF_INET6;
	addrs_one(r, b, &addr);
	b->any = true;
}

static void
block_address(struct kw_reader *r, struct listen_block *b, bool skipped)
{
	struct address a = { .port = NULL };
	enum address_kind kind = ADDRESS_ANY;

	if (b->address.text != NULL)
		kind = address_parse(b->address.text, &a);
	switch (kind) {
	case ADDRESS_BAD:
		return;
	case ADDRESS_UNIX:
		block_unix(r, b, &a.addr);
		return;
	case ADDRESS_IP:
		addrs_one(r, b, &a.addr);
		break;
	case ADDRESS_ANY:
		block_any(r, b);
		break;
	case ADDRESS_NAME:
		host_resolve(r, b);
		break;
	}
	block_port(r, b, skipped, a.port);
}

static void
block_path(struct kw_reader *r, struct listen_block *b)
{
	struct net_addr addr;

	if (!net_parse_unix(b->path.text, &addr))
		kw_bad_place(r, &b->path.place, "path: '%.120s' is too long",
		    b->path.text);
	else
		block_unix(r, b, &addr);
}

static int
block_type(const struct listen_block *b)
{
	return b->type != 0 ? b->type : transports[b->protocol].type;
}

static void
block_close(struct kw_reader *r, struct listen_block *b, bool skipped)
{
	if (b->protocol == PROTOCOL_SCTP && !source_have(r->source, "sctp"))
		kw_bad_place(r, &b->place,
		    "protocol: this system has no SCTP");
	if (b->dtls_list != 0 && block_type(b) == SOCK_STREAM)
		kw_bad_place(r, &b->dtls.place,
		    "tls: DTLS versions on a stream listener");
	if (b->dtls_list & SPAWND_DTLS_1_3)
		kw_bad_place(r, &b->dtls.place,
		    "tls: the TLS library has no DTLSv1.3");
	if (b->mode_given && b->path.text == NULL &&
	    (b->address.text == NULL || b->port.text != NULL))
		diag_warn(r->diag, &b->place, "'mode' needs 'path'");
	if (b->wrong) {
		if (!b->ported && !skipped)
			kw_bad_place(r, &b->place, "listen: port missing");
		return;
	}
	if (b->path.text != NULL)
		block_path(r, b);
	else if (block_is_ip(b) || !b->named)
		block_address(r, b, skipped);
	else
		b->opens = true;	/* a socket is passed by name */
}

void
listen_read(struct kw_reader *r, void *object)
{
	struct broker_build *build = object;
	struct listen_block *b = arena_alloc(r->arena, sizeof *b);
	struct kw_block block = { .sets = { { listen_kw, b },
	    { listen_build_kw, build } }, .nsets = 2, .other = bare_address,
	    .other_object = b };

	b->place = r->place;
	b->dscp = -1;
	b->mode = 0644;
	b->backlog = b->overload_backlog = 128;
	b->retry = b->sticky_period = UNSET;
	b->accept = -1;
	if (!kw_block(r, &block, true) || block.empty)
		return;
	block_close(r, b, block.skipped);
	*build->last_block = b;
	build->last_block = &b->next;
	build->nblocks++;
	if (b->name == NULL)
		b->name = arena_printf(r->arena, "listener-%u",
		    build->nblocks);
}

/* ---- endpoints ---- */

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
}
