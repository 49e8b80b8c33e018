/*
 * Relays (2.6): listeners, targets, and what is checked at the end of the
 * block.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../misc/tls.h"
#include "rd_build_impl.h"
#include "rd_keypair.h"

static bool
name_used(struct rd_build *b, const char *name)
{
	const struct rd_conf *c = b->conf;

	for (size_t i = 0; i < c->nrelays; i++) {
		if (strcmp(c->relays[i]->name, name) == 0)
			return true;
	}
	return false;
}

static struct rd_relay *
relay_add(struct rd_build *b, const char *name,
    const struct diag_place *place)
{
	struct rd_conf *c = b->conf;
	struct rd_relay *r = arena_alloc(b->arena, sizeof *r);

	if (name_used(b, name))
		rd_error(b, place, "relay \"%s\" is already defined", name);
	c->relays = rd_grow(b, c->relays, c->nrelays, sizeof *c->relays);
	c->relays[c->nrelays++] = r;
	r->id = (uint32_t)c->nrelays;
	r->name = name;
	r->place = *place;
	return r;
}

void
rd_relay_begin(struct rd_build *b, const struct rd_word *name)
{
	rd_section_begin(b, RD_IN_RELAY);
	b->relay = relay_add(b, name->text, &name->place);
	b->relay->timeout = 600;
	b->listens = NULL;
	b->nlistens = 0;
	b->proxy_v1 = false;
	b->to_nat = b->to_destination = b->to_address = false;
	rd_length_ok(b, RD_LEN_RELAY, name);
}

/* ---- listen on ---- */

static const char *
address_user(const struct rd_build *b, const struct net_addr *addr)
{
	const struct rd_conf *c = b->conf;

	for (size_t i = 0; i < b->nlistens; i++) {
		if (net_same(&b->listens[i].addr, addr))
			return b->relay->name;
	}
	for (size_t i = 0; i < c->nrelays; i++) {
		if (c->relays[i]->listen.len > 0 &&
		    net_same(&c->relays[i]->listen, addr))
			return c->relays[i]->name;
	}
	return NULL;
}

void
rd_relay_listen(struct rd_build *b, const struct rd_word *address,
    const struct rd_port *port, bool tls)
{
	struct rd_listen l = { .tls = tls, .place = address->place };
	char shown[NET_TEXT];
	const char *user;
	unsigned number;
	bool by_name, good;

	good = rd_address_take(b, address, "listen address", &l.addr,
	    &by_name);
	good = rd_port_take(b, port, &number) && good;
	good = (!tls || rd_tls_there(b, &address->place)) && good;
	if (!good)
		return;
	net_set_port(&l.addr, number);
	if ((user = address_user(b, &l.addr)) != NULL) {
		rd_error(b, &address->place,
		    "%s port %u is already used by relay \"%s\"",
		    net_ip_text(&l.addr, shown), number, user);
		return;
	}
	b->listens = rd_grow(b, b->listens, b->nlistens, sizeof *b->listens);
	b->listens[b->nlistens++] = l;
	rd_statement(b, "listen on %s port %s%s", rd_bare(b, address),
	    rd_port_text(b, port), tls ? " tls" : "");
}

/* ---- forward to ---- */

static bool
target_table(struct rd_build *b, const struct rd_forward *f,
    unsigned default_port, const char **text)
{
	struct rd_relay *r = b->relay;
	struct rd_use use;

	if (!rd_use_take(b, default_port, false, &use, text))
		return false;
	if (use.table->nhosts > RD_RELAY_HOSTS) {
		rd_error(b, &f->place,
		    "relay \"%s\": table <%s> has more than %d hosts",
		    r->name, use.table->name, RD_RELAY_HOSTS);
		return false;
	}
	r->tables = rd_grow(b, r->tables, r->ntables, sizeof *r->tables);
	r->tables[r->ntables++] = use;
	return true;
}

static bool
target_address(struct rd_build *b, const struct rd_forward *f,
    unsigned port, const char **text)
{
	struct rd_relay *r = b->relay;

	if (b->to_address) {
		rd_error(b, &f->place,
		    "relay \"%s\" already has a target address", r->name);
		return false;
	}
	b->to_address = true;
	if (!rd_address_take(b, &f->address, "target", &r->address,
	    &r->address_by_name))
		return false;
	if (f->port.given && !rd_port_take(b, &f->port, &port))
		return false;
	if (port == 0) {
		rd_error(b, &f->address.place, "port is missing");
		return false;
	}
	net_set_port(&r->address, port);
	r->address_name = f->address.text;
	*text = !f->port.given ? rd_bare(b, &f->address) :
	    arena_printf(b->arena, "%s port %s", rd_bare(b, &f->address),
	    rd_port_text(b, &f->port));
	return true;
}

static bool
target_original(struct rd_build *b, const struct rd_forward *f,
    const char **text)
{
	bool nat = f->target == RD_TO_NAT;

	*(nat ? &b->to_nat : &b->to_destination) = true;
	*text = nat ? "nat lookup" : "destination";
	if (!b->to_nat || !b->to_destination)
		return true;
	rd_error(b, &f->place, "relay \"%s\" cannot use both \"nat lookup\" "
	    "and \"destination\"", b->relay->name);
	return false;
}

static bool
target_take(struct rd_build *b, const struct rd_forward *f,
    const char **text)
{
	unsigned port = b->nlistens == 0 ? 0 :
	    net_port(&b->listens[b->nlistens - 1].addr);
	bool port_given = f->table ? b->ref.port_given : f->port.given;

	/* a listener that did not compile may have said the port */
	if (port == 0 && !port_given && b->broken &&
	    (f->table || f->target == RD_TO_ADDRESS))
		return false;
	if (f->table)
		return target_table(b, f, port, text);
	if (f->target == RD_TO_ADDRESS)
		return target_address(b, f, port, text);
	return target_original(b, f, text);
}

static bool
map_take(struct rd_build *b, const struct rd_forward *f, const char **text)
{
	struct rd_relay *r = b->relay;

	r->map = f->map;
	*text = f->map == RD_MAP_INET ? " inet" : "";
	if (f->map != RD_MAP_INET6)
		return true;
	*text = arena_printf(b->arena, " inet6 %s", rd_bare(b, &f->prefix));
	if (rd_numeric(b, f->prefix.text, &r->map_prefix) &&
	    r->map_prefix.sa.sa_family == AF_INET6)
		return true;
	rd_error(b, &f->prefix.place, "\"%s\" is not an IPv6 address",
	    f->prefix.text);
	return false;
}

static void
proxy_take(struct rd_build *b, enum rd_proxy proxy)
{
	if (proxy == RD_PROXY_V1)
		b->proxy_v1 = true;
	if (proxy != RD_PROXY_NO)
		b->relay->proxy = b->proxy_v1 ? RD_PROXY_V1 : RD_PROXY_V2;
}

void
rd_relay_forward(struct rd_build *b, const struct rd_forward *f)
{
	static const char *const proxies[] = { "", " proxy-protocol v1",
	    " proxy-protocol v2" };
	const char *target, *map, *retry = "";
	struct rd_relay *r = b->relay;

	if (f->route) {
		rd_error(b, &f->place,
		    "\"route to\" is only available in redirects");
		return;
	}
	if (f->with_tls && !rd_tls_there(b, &f->place))
		return;
	if (f->retry.given) {
		if (!rd_number_take(b, RD_MIN_RETRY, &f->retry, &r->retry))
			return;
		retry = arena_printf(b->arena, " retry %u", r->retry);
	}
	if (!target_take(b, f, &target) || !map_take(b, f, &map))
		return;
	r->transparent = f->transparent;
	r->with_tls = r->with_tls || f->with_tls;
	proxy_take(b, f->proxy);
	rd_statement(b, "%sforward %sto %s%s%s%s",
	    f->transparent ? "transparent " : "",
	    f->with_tls ? "with tls " : "", target, retry, map,
	    proxies[f->proxy]);
}

void
rd_relay_protocol(struct rd_build *b, const struct rd_word *name)
{
	struct rd_conf *c = b->conf;
	struct rd_protocol *p = NULL;

	for (size_t i = 1; i < c->nprotocols; i++) {
		if (strcmp(c->protocols[i]->name, name->text) == 0)
			p = c->protocols[i];
	}
	if (p == NULL) {
		rd_error(b, &name->place, "protocol \"%s\" is not defined",
		    name->text);
		return;
	}
	p->used = true;
	if (b->relay->protocol != NULL) {
		rd_error(b, &name->place,
		    "relay \"%s\" already has a protocol", b->relay->name);
		return;
	}
	b->relay->protocol = p;
	rd_statement(b, "protocol %s", rd_quoted(b, name));
}

/* ---- the end of a block ---- */

static void
target_settle(struct rd_build *b)
{
	struct rd_relay *r = b->relay;

	if (b->to_nat)
		r->target = RD_TO_NAT;
	else if (b->to_destination)
		r->target = RD_TO_DESTINATION;
	else if (b->to_address)
		r->target = RD_TO_ADDRESS;
	if (r->target == RD_TO_NONE && r->ntables == 0)
		rd_error(b, &r->place, "relay \"%s\" has no target",
		    r->name);
}

/* All keyed tables use the key of the first one. */
static void
keys_settle(struct rd_relay *r)
{
	const struct rd_use *first = NULL;

	for (size_t i = 0; i < r->ntables; i++) {
		struct rd_use *u = &r->tables[i];

		if (!rd_mode_keyed(u->mode))
			continue;
		if (first == NULL)
			first = u;
		u->key = first->key;
	}
}

static void
rules_check(struct rd_build *b)
{
	const struct rd_relay *r = b->relay;
	const struct rd_protocol *p = r->protocol;

	for (size_t i = 0; i < p->nrules; i++) {
		const char *table = p->rules[i].table;
		bool listed = table == NULL;

		for (size_t k = 0; k < r->ntables && !listed; k++)
			listed = strcmp(r->tables[k].table->template,
			    table) == 0;
		if (!listed)
			rd_warn(b, &p->rules[i].place,
			    "relay \"%s\": rule for table <%s> has no effect",
			    r->name, table);
	}
}

static bool
file_there(struct rd_build *b, enum source_kind kind, const char *path)
{
	const struct rd_relay *r = b->relay;
	uint8_t digest[32];
	const char *data;
	size_t len;

	if (path == NULL)
		return true;
	if (source_file(b->source, kind, path, &data, &len) == -1) {
		int error = errno;

		if (kind != SOURCE_KEY ||
		    source_file_digest(b->source, path, digest) == -1) {
			rd_error(b, &r->place, "cannot load certificate for "
			    "relay \"%s\": %s: %s", r->name, path,
			    strerror(error));
			return false;
		}
	}
	if (kind == SOURCE_KEY)
		rd_key_named(b, path);
	else
		rd_file_named(b, path);
	return true;
}

static void
contents_error(struct rd_build *b, const struct diag_place *place,
    const char *what, const char *error)
{
	rd_error(b, place, "cannot load %s for relay \"%s\": %s", what,
	    b->relay->name, strncmp(error, "tls: ", 5) == 0 ? error + 5 :
	    error);
}

/* Bundles are long: many relays of one protocol have it looked at once. */
static void
authorities_check(struct rd_build *b, const char *path, const char **last)
{
	struct tls_client_conf conf = { .versions = TLS_V1_2, .verify = true,
	    .chain_only = true, .ca.name = path };
	struct tls_client *client;
	char error[TLS_ERROR];

	if (path == NULL || !file_there(b, SOURCE_CERT, path) ||
	    path == *last || source_file(b->source, SOURCE_CERT, path,
	    &conf.ca.data, &conf.ca.len) == -1)
		return;
	*last = path;
	if ((client = tls_client_new(&conf, error)) == NULL)
		contents_error(b, &b->relay->place, "certificate", error);
	tls_client_unref(client);
}

/* What is in them, as far as we are given the key. */
static void
contents_check(struct rd_build *b, const struct diag_place *place,
    const struct rd_keypair *pair, const struct rd_keypair_files *files)
{
	struct tls_keypair k = { .cert.name = files->cert,
	    .key.name = files->key, .ocsp.name = files->ocsp };
	char error[TLS_ERROR], warning[TLS_ERROR];
	const char *what = "certificate";

	if (source_file(b->source, SOURCE_CERT, files->cert, &k.cert.data,
	    &k.cert.len) == -1 ||
	    source_file(b->source, SOURCE_KEY, files->key, &k.key.data,
	    &k.key.len) == -1)
		return;
	if (files->ocsp != NULL)
		(void)source_file(b->source, SOURCE_CERT, files->ocsp,
		    &k.ocsp.data, &k.ocsp.len);
	if (pair != NULL)
		what = arena_printf(b->arena, "keypair \"%s\"", pair->name);
	if (tls_keypair_check(&k, error, warning) == -1)
		contents_error(b, place, what, error);
	if (warning[0] != '\0')
		rd_warn(b, place, "%s", warning);
}

static void
keypair_check(struct rd_build *b, const struct rd_listen *l,
    const struct rd_keypair *pair)
{
	const char *failed, *name = b->relay->name;
	struct rd_keypair_files files;

	if (rd_keypair_find(b->source, b->arena, pair, &l->addr, &files,
	    &failed) == 0) {
		rd_key_named(b, files.cert);	/* it may hold the key */
		rd_key_named(b, files.key);
		if (files.ocsp != NULL)
			rd_file_named(b, files.ocsp);
		contents_check(b, pair == NULL ? &l->place : &pair->place,
		    pair, &files);
	} else if (pair == NULL) {
		rd_error(b, &l->place, "cannot load certificate for relay "
		    "\"%s\": %s: %s", name, failed, strerror(errno));
	} else {
		rd_error(b, &pair->place, "cannot load keypair \"%s\" for "
		    "relay \"%s\": %s: %s", pair->name, name, failed,
		    strerror(errno));
	}
}

static void
listener_tls_check(struct rd_build *b, const struct rd_listen *l)
{
	const struct rd_protocol *p = b->relay->protocol;

	if (p->type == RD_DNS) {
		rd_error(b, &l->place, "relay \"%s\": TLS is not available "
		    "for dns protocols", b->relay->name);
		return;
	}
	if (!b->request->files)
		return;
	for (size_t i = 0; i < p->tls.nkeypairs; i++)
		keypair_check(b, l, &p->tls.keypairs[i]);
	if (p->tls.nkeypairs == 0)
		keypair_check(b, l, NULL);
}

static void
tls_check(struct rd_build *b)
{
	const struct rd_relay *r = b->relay;
	const struct rd_tls *tls = &r->protocol->tls;
	bool server = false, inspects;

	for (size_t i = 0; i < b->nlistens; i++)
		server = server || b->listens[i].tls;
	inspects = server && r->with_tls && tls->ca_cert != NULL;
	if (inspects && tls->ca_key == NULL) {
		rd_error(b, &r->place,
		    "relay \"%s\": TLS inspection needs \"ca key\"", r->name);
		return;
	}
	for (size_t i = 0; i < b->nlistens; i++) {
		if (b->listens[i].tls)
			listener_tls_check(b, &b->listens[i]);
	}
	if (!b->request->files)
		return;
	if (server)
		authorities_check(b, tls->client_ca, &b->client_ca);
	if (r->with_tls)
		authorities_check(b, tls->ca_file, &b->ca_file);
	if (inspects && file_there(b, SOURCE_CERT, tls->ca_cert))
		file_there(b, SOURCE_KEY, tls->ca_key);
}

/* One relay for each further listener: all the same but for that. */
static void
listens_settle(struct rd_build *b)
{
	struct rd_relay *r = b->relay;

	r->listen = b->listens[0].addr;
	r->tls = b->listens[0].tls;
	for (size_t i = 1; i < b->nlistens; i++) {
		const struct rd_listen *l = &b->listens[i];
		uint32_t id = (uint32_t)b->conf->nrelays + 1;
		struct rd_relay *more = relay_add(b, arena_printf(b->arena,
		    "%s%" PRIu32 ":%u", r->name, id, net_port(&l->addr)),
		    &l->place);
		const char *name = more->name;

		*more = *r;
		more->id = id;
		more->name = name;
		more->place = l->place;
		more->listen = l->addr;
		more->tls = l->tls;
	}
}

void
rd_relay_end(struct rd_build *b)
{
	struct rd_relay *r = b->relay;

	if (r->protocol == NULL)
		r->protocol = b->conf->protocols[0];
	if (!b->broken) {
		if (b->nlistens == 0)
			rd_error(b, &r->place, "relay \"%s\" has no listener",
			    r->name);
		target_settle(b);
		rules_check(b);
		tls_check(b);
	}
	keys_settle(r);
	if (b->nlistens > 0)
		listens_settle(b);
	rd_section_end(b, arena_printf(b->arena, "relay %s", rd_quoted(b,
	    &(struct rd_word){ .text = r->name })), true);
}
