/*
 * The listen block (3.9), as it is written.
 */
#include <stdio.h>
#include <string.h>

#include "conf_listen.h"
#include "spawnd.h"

#define NAME_MAX_LEN	64
#define REALM_MAX	15

static const struct kw_word protocols[] = {
	{ "TCP", PROTOCOL_TCP, false }, { "tcp", PROTOCOL_TCP, true },
	{ "UDP", PROTOCOL_UDP, false }, { "udp", PROTOCOL_UDP, true },
	{ "SCTP", PROTOCOL_SCTP, false }, { "sctp", PROTOCOL_SCTP, true },
	{ NULL, 0, false },
};

const struct transport transports[] = {
	[PROTOCOL_UNSET] = { "tcp", IPPROTO_TCP, SOCK_STREAM },
	[PROTOCOL_TCP] = { "tcp", IPPROTO_TCP, SOCK_STREAM },
	[PROTOCOL_UDP] = { "udp", IPPROTO_UDP, SOCK_DGRAM },
	[PROTOCOL_SCTP] = { "sctp", IPPROTO_SCTP, SOCK_STREAM },
};

static const struct kw_word types[] = {
	{ "STREAM", SOCK_STREAM, false }, { "DGRAM", SOCK_DGRAM, false },
	{ "SEQPACKET", SOCK_SEQPACKET, false },
	{ NULL, 0, false },
};

const struct kw_word aaa_protocols[] = {
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
	return transports[b->protocol].name;
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

int
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
	else if (b->named && b->address.text == NULL &&
	    b->port.text == NULL && b->vrf == NULL)
		b->opens = true;	/* a socket is passed by name */
	else
		block_address(r, b, skipped);
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
