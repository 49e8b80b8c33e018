/*
 * The `id = tcprelay` language (3.12, 3.13): tables of directives, and what a
 * block lacks.
 */
#include <string.h>

#include "../misc/kw.h"
#include "../spawnd/spawnd.h"
#include "conf_build.h"

#define REMOTES_MAX	65536
#define SNI_MAX		1024
#define POOL_MAX	64

/* ---- values ---- */

static const struct kw_word protocols[] = {
	{ "TCP", IPPROTO_TCP, false }, { "tcp", IPPROTO_TCP, true },
	{ "SCTP", IPPROTO_SCTP, false }, { "sctp", IPPROTO_SCTP, true },
	{ NULL, 0, false },
};

static const struct kw_word haproxies[] = {
	{ "no", HAPROXY_NO, false }, { "v1", HAPROXY_V1, false },
	{ "v2", HAPROXY_V2, false },
	{ NULL, 0, false },
};

static const struct kw_word verifies[] = {
	{ "no", TLS_VERIFY_NO, false },
	{ "optional", TLS_VERIFY_OPTIONAL, false },
	{ "required", TLS_VERIFY_REQUIRED, false },
	{ NULL, 0, false },
};

static bool
dns_name(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= 253 && strspn(text,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_.") == len && text[0] != '.';
}

/* Smaller weights count as 1. */
static void
weight_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;
	uint64_t value;

	kw_equals(r);
	if (!kw_number(r, KW_KIND_INT, 0, 65535, &value))
		return;
	if (value == 0) {
		diag_warn(r->diag, &r->tok.place, "weight: 0 counts as 1");
		value = 1;
	}
	b->c.weight = (uint16_t)value;
	kw_next(r);
}

static void
pool_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;
	const char *text;

	kw_equals(r);
	if ((text = kw_text(r)) == NULL)
		return;
	if (*text == '\0' || strlen(text) > POOL_MAX) {
		kw_bad_value(r, "'%.100s' is not a name of 1 to %d bytes",
		    text, POOL_MAX);
		return;
	}
	b->c.pool = text;
	kw_next(r);
}

static void
remote_address_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;
	struct kw_value v = { .text = NULL };
	enum address_kind kind;
	struct address a;

	kw_equals(r);
	b->addressed = true;
	if (!address_read(r, &v)) {
		b->wrong = true;
		return;
	}
	kind = address_parse(v.text, &a);
	if (kind != ADDRESS_IP && kind != ADDRESS_UNIX) {
		kw_bad_place(r, &v.place,
		    "address: '%.100s' is not an IP address", v.text);
		b->wrong = true;
		b->ported = b->ported || strchr(v.text, ':') != NULL;
		return;
	}
	b->address = v;
}

static void
remote_port_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;

	b->ported = true;
	kw_equals(r);
	if (!port_read(r, &b->port, 1))
		b->wrong = true;
}

/* As in a listener, but towards a destination nothing is left open. */
static void
remote_tls_read(struct kw_reader *r, void *object)
{
	static const struct kw_word *const sets[] = { kw_bools,
	    tls_versions };
	struct remote_block *b = object;
	bool equals = lex_is(&r->tok, '=');
	unsigned bits;
	int value;

	kw_equals(r);
	if (kw_word_is(r, kw_bools, &value)) {
		b->c.tls = value ? TLS_V1_2 | TLS_V1_3 : 0;
		kw_next(r);
	} else if (kw_word_is(r, tls_versions, &value)) {
		if (list_read(r, tls_versions, &bits))
			b->c.tls = (bits & SPAWND_TLS_1_2 ? TLS_V1_2 : 0) |
			    (bits & SPAWND_TLS_1_3 ? TLS_V1_3 : 0);
	} else if (!equals) {
		b->c.tls = TLS_V1_2 | TLS_V1_3;
	} else if (r->tok.kind == LEX_END || lex_is(&r->tok, '}')) {
		(void)kw_has_value(r);
	} else {
		kw_expected(r, sets, 2);
	}
}

static void
remote_verify_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;
	int value;

	kw_equals(r);
	b->verify_given = true;
	if (kw_word(r, kw_bools, &value))
		b->c.tls_verify = value != 0;
}

static void
remote_name_read(struct kw_reader *r, void *object)
{
	struct remote_block *b = object;
	struct address a;
	const char *text;

	kw_equals(r);
	if ((text = kw_text(r)) == NULL)
		return;
	if (!dns_name(text) && address_parse(text, &a) != ADDRESS_IP) {
		kw_bad_value(r, "'%.100s' is not a name", text);
		return;
	}
	b->tls_name.text = text;
	b->tls_name.place = r->tok.place;
	kw_next(r);
}

#define REMOTE	struct remote_block

static const struct kw remote_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL("address", remote_address_read),
	KW_CALL("port", remote_port_read),
	KW_WORD("protocol", REMOTE, protocol, protocols),
	KW_CALL("weight", weight_read),
	KW_CALL("pool", pool_read),
	KW_WORD("haproxy", REMOTE, c.haproxy, haproxies),
	KW_CALL("tls|ssl", remote_tls_read),
	KW_CALL("tls|ssl verify", remote_verify_read),
	KW_CALL("tls|ssl name", remote_name_read),
	KW_VALUE("tls|ssl ca-file", REMOTE, tls_ca),
	KW_VALUE("tls|ssl cert-file|certfile|cert", REMOTE, pair.cert),
	KW_VALUE("tls|ssl key-file|keyfile|key", REMOTE, pair.key),
	KW_TEXT("tls|ssl passphrase", REMOTE, pair.passphrase),
	KW_END
};

/* ---- a remote block closes ---- */

static void
remote_port(struct kw_reader *r, struct remote_block *b, const char *attached)
{
	const char *transport = b->protocol == IPPROTO_SCTP ? "sctp" : "tcp";
	struct kw_value v = b->port;
	unsigned port;

	if (attached != NULL) {
		if (v.text != NULL && strcmp(v.text, attached) != 0)
			diag_warn(r->diag, &b->address.place,
			    "the port in '%.100s' counts, not 'port'",
			    b->address.text);
		v.text = attached;
		v.place = b->address.place;
	}
	if (address_port(r, "port", &v, transport, 1, &port))
		net_set_port(&b->c.addr, port);
}

static void
remote_address(struct kw_reader *r, struct remote_block *b)
{
	struct address a;

	b->c.protocol = b->protocol == IPPROTO_SCTP ? IPPROTO_SCTP :
	    IPPROTO_TCP;
	if (address_parse(b->address.text, &a) == ADDRESS_UNIX)
		b->c.protocol = 0;
	b->c.addr = a.addr;
	if (b->c.protocol == 0)
		return;
	if (a.port != NULL || b->port.text != NULL)
		remote_port(r, b, a.port);
	else
		kw_bad_place(r, &b->c.place, "remote: port missing");
}

/* A block lacks what it does not name, not what it names in a wrong way. */
static void
remote_endpoint(struct kw_reader *r, struct remote_block *b, bool skipped)
{
	if (!b->addressed && !skipped)
		kw_bad_place(r, &b->c.place, "remote: address missing");
	else if (b->wrong && !b->ported && !skipped)
		kw_bad_place(r, &b->c.place, "remote: port missing");
	if (b->addressed && !b->wrong && !skipped)
		remote_address(r, b);
}

static void
remote_tls(struct kw_reader *r, struct remote_block *b)
{
	const struct {
		const char	*name;
		bool		 given;
	} items[] = {
		{ "tls verify", b->verify_given },
		{ "tls name", b->tls_name.text != NULL },
		{ "tls ca-file", b->tls_ca.text != NULL },
		{ "tls cert-file", b->pair.cert.text != NULL },
		{ "tls key-file", b->pair.key.text != NULL },
		{ "tls passphrase", b->pair.passphrase != NULL },
	};
	size_t n = sizeof items / sizeof items[0];

	for (size_t i = 0; i < n && b->c.tls == 0; i++) {
		if (items[i].given) {
			kw_bad_place(r, &b->c.place, "'%s' needs 'tls'",
			    items[i].name);
			return;
		}
	}
	for (size_t i = 4; i < n && b->pair.cert.text == NULL; i++) {
		if (items[i].given) {
			kw_bad_place(r, &b->c.place,
			    "'%s' needs 'tls cert-file'", items[i].name);
			return;
		}
	}
	if (b->c.tls != 0 && b->c.tls_verify && b->tls_name.text == NULL &&
	    b->c.addr.len != 0 && b->c.addr.sa.sa_family == AF_UNIX)
		kw_bad_place(r, &b->c.place, "tls name missing");
	else if (b->c.tls != 0 && !tls_available())
		kw_bad_place(r, &b->c.place, "tls: built without TLS");
}

static void
remote_close(struct kw_reader *r, struct remote_block *b, bool skipped)
{
	struct config_remote *c = &b->c;

	if (b->protocol == IPPROTO_SCTP && !source_have(r->source, "sctp"))
		kw_bad_place(r, &c->place,
		    "protocol: this system has no SCTP");
	remote_endpoint(r, b, skipped);
	/* Nothing follows from a 'tls' whose value was wrong. */
	if (!skipped)
		remote_tls(r, b);
	c->tls_name = b->tls_name.text;
	c->tls_ca = conf_file(&b->tls_ca);
	if (b->pair.cert.text != NULL) {
		c->tls_own = arena_alloc(r->arena, sizeof *c->tls_own);
		conf_pair(c->tls_own, &b->pair, &c->place);
	}
}

static void
remote_read(struct kw_reader *r, void *object)
{
	struct relay_build *build = object;
	struct remote_block *b = arena_alloc(r->arena, sizeof *b);
	struct kw_block block = { .sets = { { remote_kw, b } }, .nsets = 1 };

	b->c.place = r->place;
	b->c.weight = 1;
	b->c.pool = "default";
	b->c.tls_verify = true;
	if (!kw_block(r, &block, true))
		return;
	remote_close(r, b, block.skipped);
	if (build->config.nremotes == REMOTES_MAX)
		kw_bad_place(r, &b->c.place, "more than %d remotes",
		    REMOTES_MAX);
	*build->last_remote = b;
	build->last_remote = &b->next;
	build->config.nremotes++;
}

/* ---- the section's own directives ---- */

static void
sni_name_read(struct kw_reader *r, void *object)
{
	struct sni_block *b = object;
	struct sni_name *name;
	const char *text;

	kw_equals(r);
	if ((text = kw_text(r)) == NULL)
		return;
	if (strcmp(text, "*") != 0 &&
	    !dns_name(strncmp(text, "*.", 2) == 0 ? text + 2 : text)) {
		kw_bad_value(r, "'%.100s' is not a name", text);
		return;
	}
	name = arena_alloc(r->arena, sizeof *name);
	name->text = text;
	*b->last_name = name;
	b->last_name = &name->next;
	b->nnames++;
	kw_next(r);
}

static const struct kw sni_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL("name", sni_name_read),
	KW_VALUE("cert-file|certfile|cert", struct sni_block, pair.cert),
	KW_VALUE("key-file|keyfile|key", struct sni_block, pair.key),
	KW_TEXT("passphrase", struct sni_block, pair.passphrase),
	KW_END
};

static void
sni_read(struct kw_reader *r, void *object)
{
	struct relay_build *build = object;
	struct sni_block *b = arena_alloc(r->arena, sizeof *b);
	struct kw_block block = { .sets = { { sni_kw, b } }, .nsets = 1 };

	b->place = r->place;
	b->last_name = &b->names;
	if (!kw_block(r, &block, true))
		return;
	if (b->pair.cert.text == NULL && !block.skipped)
		kw_bad_place(r, &b->place, "tls sni: cert-file missing");
	if (build->config.tls.nsni == SNI_MAX)
		kw_bad_place(r, &b->place, "tls sni: more than %d",
		    SNI_MAX);
	*build->last_sni = b;
	build->last_sni = &b->next;
	build->config.tls.nsni++;
}

static void
local_read(struct kw_reader *r, void *object)
{
	struct relay_build *b = object;
	struct kw_value v = { .text = NULL };
	struct address a;

	kw_equals(r);
	if (!address_read(r, &v))
		return;
	if (address_parse(v.text, &a) != ADDRESS_IP || a.port != NULL) {
		kw_bad_place(r, &v.place,
		    "local address: '%.100s' is not an IP address", v.text);
		return;
	}
	b->local = v;
	b->config.local = a.addr;
}

static void
retire_read(struct kw_reader *r, void *object)
{
	struct relay_build *b = object;
	uint64_t value;

	b->retire_place = r->place;
	kw_equals(r);
	if (!kw_number(r, KW_KIND_INT, 0, 2147483647, &value))
		return;
	b->config.retire = (uint32_t)value;
	kw_next(r);
}

static void
verify_read(struct kw_reader *r, void *object)
{
	struct relay_build *b = object;
	int value;

	b->verify_place = r->place;
	kw_equals(r);
	if (kw_word(r, verifies, &value))
		b->config.tls.verify = (enum tls_verify)value;
}

static void
key_process_read(struct kw_reader *r, void *object)
{
	struct relay_build *b = object;
	int value;

	b->key_place = r->place;
	kw_equals(r);
	if (kw_word(r, kw_bools, &value))
		b->config.key_process = value != 0;
}

static void
mavis_read(struct kw_reader *r, void *object)
{
	struct diag_place place = r->place;

	(void)object;
	kw_refuse(r, &place, "mavis: built without MAVIS support");
}

#define RELAY	struct relay_build

static const struct kw relay_kw[] = {
	KW_CALL("remote", remote_read),
	KW_CALL("local address", local_read),
	KW_INT("rebalance", RELAY, config.rebalance, 0, 2147483647),
	KW_CALL("retire", retire_read),
	KW_CALL("retire limit", retire_read),
	KW_SECONDS("idle timeout", RELAY, config.idle, 0, 2592000),
	KW_SECONDS("connect timeout", RELAY, config.connect, 1, 3600),
	KW_SECONDS("handshake timeout", RELAY, config.handshake, 1, 3600),
	KW_SECONDS("dead time", RELAY, config.dead, 0, 86400),
	KW_BOOL("log connections", RELAY, config.log_connections),
	KW_CALL("key process", key_process_read),
	KW_VALUE("tls|ssl cert-file|certfile|cert", RELAY, pair.cert),
	KW_VALUE("tls|ssl key-file|keyfile|key", RELAY, pair.key),
	KW_TEXT("tls|ssl passphrase", RELAY, pair.passphrase),
	KW_VALUE("tls|ssl psk-file", RELAY, psk),
	KW_VALUE("tls|ssl ca-file", RELAY, ca),
	KW_CALL("tls|ssl verify", verify_read),
	KW_VALUE("tls|ssl ciphers", RELAY, ciphers),
	KW_VALUE("tls|ssl cipher-suites", RELAY, suites),
	KW_BOOL("tls|ssl tickets", RELAY, config.tls.tickets),
	KW_SECONDS("tls|ssl ticket lifetime", RELAY, config.tls.lifetime,
	    300, 604800),
	KW_CALL("tls|ssl sni", sni_read),
	KW_CALL("mavis", mavis_read),
	KW_END
};

static const struct kw *const reserved[] = { relay_kw, remote_kw, sni_kw,
    NULL };

static void *
relay_begin(struct parse *p)
{
	struct relay_build *b = arena_alloc(p->r.arena, sizeof *b);

	b->last_remote = &b->remotes;
	b->last_sni = &b->snis;
	b->config.connect = 10;
	b->config.handshake = 30;
	b->config.dead = 60;
	b->config.tls.tickets = true;
	b->config.tls.lifetime = 7200;
	return b;
}

static void
relay_body(struct parse *p, void *object)
{
	struct kw_block block = { .sets = { { common_kw, p->common },
	    { relay_kw, object } }, .nsets = 2 };

	(void)kw_block(&p->r, &block, false);
}

static void
relay_end(struct parse *p, void *object, const struct spawnd_conf *broker,
    const struct diag_place *body_place)
{
	conf_end(p, object, broker, body_place);
}

static void
relay_print(const void *object, FILE *fp)
{
	config_print(object, fp);
}

const struct conf_section tcprelay_section = {
	.begin = relay_begin,
	.body = relay_body,
	.end = relay_end,
	.print = relay_print,
	.reserved = reserved,
};
