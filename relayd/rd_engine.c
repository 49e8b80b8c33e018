/*
 * From what a relayd.conf says to what broker and engine work by: relays
 * become listeners whose connections workers accept, their targets become
 * destinations. Nothing is decided here that the language has not said.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "../misc/hash.h"
#include "../spawnd/spawnd.h"
#include "../tcprelay/config_tls.h"
#include "rd_board.h"
#include "rd_dump.h"
#include "rd_engine.h"
#include "rd_keypair.h"

/* What workers hold is bound by their descriptors, by nothing else. */
#define USERS_MAX	1000000
#define TICKET_LIFETIME	7200		/* s, 6.5 */

static_assert(RD_TLS_1_2 == TLS_V1_2 && RD_TLS_1_3 == TLS_V1_3 &&
    TLS_V1_2 == SPAWND_TLS_1_2 && TLS_V1_3 == SPAWND_TLS_1_3, "versions");

struct engine {
	struct compiled		*c;
	const struct rd_conf	*conf;
	struct diag		*diag;
	struct config		*config;
	const char		**hosts;	/* rows of hosts, by id - 1 */
	uint32_t		 keys;		/* numbers of private keys so
						   far */
	uint32_t		 like;		/* index + 1 of this relay's
						   first target; 0 */
};

/* ---- what is the same for all ---- */

static void
common_fill(struct common_conf *c)
{
	memset(c, 0, sizeof *c);
	c->log.facility = LOG_DAEMON;
	c->log.severity = LOG_INFO;
	c->log.to_syslog = true;
	c->cleanup = 2;
}

static void
spawn_fill(struct spawn_conf *s, unsigned prefork)
{
	memset(s, 0, sizeof *s);
	s->id = "relay";
	s->instances_min = s->instances_max = prefork;
	s->users_min = s->users_max = USERS_MAX;
	s->uid = (uid_t)-1;
	s->gid = (gid_t)-1;
}

/* ---- listeners ---- */

static int
tri(enum rd_tri t)
{
	return t == RD_DEFAULT ? -1 : t == RD_ON;
}

static struct net_tcp
socket_of(const struct rd_tcp *tcp)
{
	return (struct net_tcp){ .nodelay = tri(tcp->nodelay),
	    .sack = tri(tcp->sack), .buffer = tcp->buffer, .ttl = tcp->ttl,
	    .minttl = tcp->minttl };
}

static void
listener_fill(struct engine *e, struct listener_conf *l,
    const struct rd_relay *r, uint32_t index)
{
	const struct rd_tcp *tcp = &r->protocol->tcp;

	l->place = r->place;
	l->name = r->name;
	l->named = true;
	l->index = index;
	l->addr = r->listen;
	l->v6only = r->listen.sa.sa_family == AF_INET6;
	l->type = SOCK_STREAM;
	l->protocol = IPPROTO_TCP;
	l->uid = (uid_t)-1;
	l->gid = (gid_t)-1;
	l->backlog = l->overload_backlog = tcp->backlog;
	l->dscp = -1;
	l->tcp = socket_of(tcp);
	l->no_keepalive = true;
	l->foreign = r->target == RD_TO_DESTINATION;
	l->owner = arena_printf(e->c->arena, "relay \"%s\"", r->name);
	l->versions = r->tls ? r->protocol->tls.versions : 0;
	l->accept = ACCEPT_WORKERS;
}

static void
broker_fill(struct engine *e)
{
	struct spawnd_conf *b = &e->c->broker;
	const struct rd_conf *conf = e->conf;

	memset(b, 0, sizeof *b);
	b->listeners = arena_array(e->c->arena, conf->nrelays + 1,
	    sizeof *b->listeners);
	for (size_t i = 0; i < conf->nrelays; i++)
		listener_fill(e, &b->listeners[i], conf->relays[i],
		    (uint32_t)i);
	b->nlisteners = b->nendpoints = conf->nrelays;
	b->endpoints = b->listeners;
	b->indexes = (uint32_t)conf->nrelays;
	b->overload = OVERLOAD_QUEUE;
	spawn_fill(&b->spawn, conf->prefork);
}

/* ---- destinations ---- */

static enum config_haproxy
proxy_of(enum rd_proxy proxy)
{
	switch (proxy) {
	case RD_PROXY_V1:
		return HAPROXY_V1;
	case RD_PROXY_V2:
		return HAPROXY_V2;
	case RD_PROXY_NO:
		break;
	}
	return HAPROXY_NO;
}

/* What all targets of a relay have in common. */
static struct config_remote *
remote_add(struct engine *e, const struct rd_relay *r)
{
	struct config *c = e->config;
	struct config_remote *m = &c->remotes[c->nremotes];

	m->index = (uint32_t)c->nremotes++;
	m->place = r->place;
	m->protocol = IPPROTO_TCP;
	m->weight = 1;
	m->pool = r->name;
	m->haproxy = proxy_of(r->proxy);
	return m;
}

static struct config_file
file_of(const char *path, const struct diag_place *place)
{
	return (struct config_file){ .path = path, .place = *place };
}

/*
 * TLS towards a target, whose name is as it was written if it was resolved,
 * else NULL. All but that is the relay's, so the first one's context serves
 * the others.
 */
static void
remote_tls(struct engine *e, const struct rd_relay *r,
    struct config_remote *m, const char *name)
{
	const struct rd_tls *tls = &r->protocol->tls;

	if (!r->with_tls)
		return;
	m->tls = tls->versions;
	m->tls_verify = tls->ca_file != NULL;
	m->tls_ca = file_of(tls->ca_file, &r->place);
	m->tls_chain_only = !tls->verify_name;
	if (tls->server_name || tls->verify_name)
		m->tls_name = name;
	m->tls_silent = !tls->server_name;
	m->tls_ciphers = tls->ciphers;
	m->tls_curves = tls->curves;
	/* an original destination is none that could be verified by name */
	if (m->addr.len == 0) {
		m->tls_chain_only = true;
		return;
	}
	m->tls_like = e->like;
	if (e->like == 0)
		e->like = m->index + 1;
}

/* Without brackets, as relayd's logs have it. */
static void
remote_text(struct config_remote *m)
{
	char addr[NET_TEXT];

	snprintf(m->text, sizeof m->text, "%.100s:%u",
	    net_ip_text(&m->addr, addr), net_port(&m->addr));
}

/* Sessions of a host are counted in the host's own row, whichever relay they
 * belong to. */
static void
host_add(struct engine *e, const struct rd_relay *r, const struct rd_use *u,
    const struct rd_host *h)
{
	struct config_remote *m = remote_add(e, r);

	m->place = h->place;
	m->addr = h->addr;
	net_set_port(&m->addr, u->port);
	remote_text(m);
	m->host = h->id;
	m->name = h->name;
	m->retry = h->retry;
	m->health = e->hosts[h->id - 1];
	remote_tls(e, r, m, h->by_name ? h->name : NULL);
	snprintf(m->identity, sizeof m->identity, "%s", m->health);
}

/* What stands in no table has a row of its own. Names of relays may be longer
 * than a row's: then the number tells them apart. */
static void
own_identity(const struct rd_relay *r, struct config_remote *m,
    const char *what)
{
	if ((size_t)snprintf(m->identity, sizeof m->identity, "relay/%s/%s",
	    r->name, what) >= sizeof m->identity)
		snprintf(m->identity, sizeof m->identity,
		    "relay/#%" PRIu32 "/%s", r->id, what);
}

static int32_t
address_add(struct engine *e, const struct rd_relay *r)
{
	struct config_remote *m;

	if (r->address.len == 0)
		return -1;
	m = remote_add(e, r);
	m->addr = r->address;
	m->name = r->address_name;
	m->retry = r->retry;
	remote_text(m);
	remote_tls(e, r, m, r->address_by_name ? r->address_name : NULL);
	own_identity(r, m, m->text);
	return (int32_t)m->index;
}

static int32_t
template_add(struct engine *e, const struct rd_relay *r)
{
	struct config_remote *m;

	if (r->target != RD_TO_DESTINATION && r->target != RD_TO_NAT)
		return -1;
	m = remote_add(e, r);
	m->retry = r->retry;
	snprintf(m->text, sizeof m->text, "%s",
	    r->target == RD_TO_NAT ? "nat lookup" : "destination");
	remote_tls(e, r, m, NULL);
	own_identity(r, m, m->text);
	return (int32_t)m->index;
}

/* ---- TLS with clients ---- */

static void
keypair_fill(struct engine *e, const struct rd_relay *r,
    const struct rd_keypair *pair, struct config_keypair *k)
{
	const struct diag_place *place = pair == NULL ? &r->place :
	    &pair->place;
	struct rd_keypair_files files;
	const char *failed;

	if (rd_keypair_find(e->conf->source, e->c->arena, pair, &r->listen,
	    &files, &failed) == -1) {
		diag_error(e->diag, place, "cannot load certificate for "
		    "relay \"%s\": %s: %s", r->name, failed,
		    strerror(errno));
		return;
	}
	k->cert = file_of(files.cert, place);
	k->key = file_of(files.key, place);
	k->ocsp = file_of(files.ocsp, place);
	k->place = *place;
}

static enum tls_dh
dh_of(enum rd_edh edh)
{
	switch (edh) {
	case RD_EDH_AUTO:
		return TLS_DH_AUTO;
	case RD_EDH_LEGACY:
		return TLS_DH_LEGACY;
	case RD_EDH_NONE:
		break;
	}
	return TLS_DH_NONE;
}

/* The first keypair is the one for all names that no other has. */
static struct config_tls *
tls_make(struct engine *e, const struct rd_relay *r)
{
	const struct rd_tls *tls = &r->protocol->tls;
	size_t n = tls->nkeypairs > 0 ? tls->nkeypairs : 1;
	struct config_keypair *pairs;
	struct config_tls *c;

	if (!r->tls)
		return NULL;
	c = arena_alloc(e->c->arena, sizeof *c);
	pairs = arena_array(e->c->arena, n, sizeof *pairs);
	for (size_t i = 0; i < n; i++)
		keypair_fill(e, r, tls->nkeypairs > 0 ? &tls->keypairs[i] :
		    NULL, &pairs[i]);
	c->main = pairs;
	c->sni = pairs + 1;
	c->nsni = n - 1;
	c->key = e->keys;
	e->keys += (uint32_t)n;
	c->ca = file_of(tls->client_ca, &r->place);
	c->verify = tls->client_ca != NULL ? TLS_VERIFY_REQUIRED :
	    TLS_VERIFY_NO;
	c->ciphers = tls->ciphers;
	c->ciphers_place = r->protocol->place;
	c->curves = tls->curves;
	c->dh = dh_of(tls->edh);
	c->client_preference = !tls->server_preference;
	c->first_counts = true;
	c->versions = tls->versions;
	c->tickets = tls->tickets;
	c->lifetime = TICKET_LIFETIME;
	c->needed = true;
	return c;
}

/* ---- relays ---- */

static enum balance_mode
mode_of(enum rd_mode mode)
{
	static const enum balance_mode modes[] = {
		[RD_ROUNDROBIN] = BALANCE_ROUNDROBIN,
		[RD_RANDOM] = BALANCE_RANDOM,
		/* the language has it for redirects only */
		[RD_LEAST_STATES] = BALANCE_ROUNDROBIN,
		[RD_SOURCE_HASH] = BALANCE_SOURCE_HASH,
		[RD_LOADBALANCE] = BALANCE_LOADBALANCE,
		[RD_HASH] = BALANCE_HASH,
	};

	return modes[mode];
}

static void
table_fill(struct engine *e, struct config_table *t,
    const struct rd_relay *r, const struct rd_use *u)
{
	char identity[BOARD_NAME];

	t->name = u->table->name;
	t->identity = arena_strdup(e->c->arena, rd_board_table(e->conf,
	    u->table, identity));
	t->check = u->table->check.kind != RD_CHECK_NONE;
	t->disabled = u->table->disabled;
	t->mode = mode_of(u->mode);
	t->first = (uint32_t)e->config->nremotes;
	t->n = (uint32_t)u->table->nhosts;
	for (size_t i = 0; i < u->table->nhosts; i++)
		host_add(e, r, u, &u->table->hosts[i]);
}

/* All keyed tables have that of the first one, the front end has seen to it. */
static void
key_fill(struct config_relay *c, const struct rd_relay *r)
{
	for (size_t i = 0; i < r->ntables; i++) {
		const struct rd_use *u = &r->tables[i];

		if (!balance_hashes(mode_of(u->mode)) || !u->key.given)
			continue;
		memcpy(c->key, u->key.word, sizeof c->key);
		c->key_given = true;
		return;
	}
}

static void
tcp_fill(struct config_tcp *c, const struct rd_tcp *tcp)
{
	c->socket = socket_of(tcp);
	c->splice = !tcp->no_splice;
	c->failover = !tcp->no_failover;
}

static enum target_map
map_of(enum rd_map map)
{
	switch (map) {
	case RD_MAP_INET:
		return TARGET_INET;
	case RD_MAP_INET6:
		return TARGET_INET6;
	case RD_MAP_NONE:
		break;
	}
	return TARGET_AS_IS;
}

static unsigned
log_of(unsigned log)
{
	return ((log & RD_LOG_CONN) != 0 ? CONFIG_LOG_SESSIONS : 0) |
	    ((log & RD_LOG_ERRORS) != 0 ? CONFIG_LOG_ERRORS : 0);
}

static void
relay_fill(struct engine *e, struct config_relay *c,
    const struct rd_relay *r, uint32_t listener)
{
	c->place = r->place;
	c->id = r->id;
	c->name = r->name;
	c->listener = listener;
	c->listen = r->listen;
	c->disabled = r->disabled;
	c->timeout = r->timeout;
	c->tables = arena_array(e->c->arena, r->ntables + 1,
	    sizeof *c->tables);
	c->ntables = r->ntables;
	e->like = 0;
	for (size_t i = 0; i < r->ntables; i++)
		table_fill(e, &c->tables[i], r, &r->tables[i]);
	key_fill(c, r);
	c->original = r->target == RD_TO_DESTINATION ? ORIGINAL_LOCAL :
	    r->target == RD_TO_NAT ? ORIGINAL_NAT : ORIGINAL_NO;
	c->address = address_add(e, r);
	c->template = template_add(e, r);
	c->retry = r->retry;
	c->transparent = r->transparent;
	c->map = map_of(r->map);
	c->prefix = r->map_prefix;
	tcp_fill(&c->tcp, &r->protocol->tcp);
	c->tls = tls_make(e, r);
	c->log = log_of(e->conf->log);
}

/* ---- what this version does not do ---- */

/*
 * The language is complete, the engine is not: -n takes what a later version
 * will serve, a start does not pretend.
 */
static void
relay_check(struct engine *e, const struct rd_relay *r)
{
	static const char *const types[] = { [RD_TCP] = "tcp",
	    [RD_HTTP] = "http", [RD_DNS] = "dns" };
	const struct rd_protocol *p = r->protocol;

	if (e->c->check)
		return;
	if (p->type != RD_TCP)
		diag_error(e->diag, &r->place, "relay \"%s\": protocols of "
		    "type %s are not served by this version", r->name,
		    types[p->type]);
	if (r->tls && r->with_tls && p->tls.ca_cert != NULL)
		diag_error(e->diag, &r->place, "relay \"%s\": TLS inspection "
		    "is not served by this version", r->name);
}

/* ---- all of it ---- */

static size_t
remotes_count(const struct rd_conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->nrelays; i++) {
		const struct rd_relay *r = conf->relays[i];

		for (size_t k = 0; k < r->ntables; k++)
			n += r->tables[k].table->nhosts;
		n += 2;		/* an address, an original destination */
	}
	return n;
}

static void
hosts_name(struct engine *e)
{
	const struct rd_conf *conf = e->conf;
	char identity[BOARD_NAME];

	e->hosts = arena_array(e->c->arena, conf->nhosts + 1,
	    sizeof *e->hosts);
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		for (size_t k = 0; k < t->nhosts; k++)
			e->hosts[t->hosts[k].id - 1] = arena_strdup(
			    e->c->arena, rd_board_host(conf, t, &t->hosts[k],
			    identity));
	}
}

static void
config_fill(struct engine *e)
{
	const struct rd_conf *conf = e->conf;
	struct config *c = e->config;

	c->remotes = arena_array(e->c->arena, remotes_count(conf) + 1,
	    sizeof *c->remotes);
	c->relays = arena_array(e->c->arena, conf->nrelays + 1,
	    sizeof *c->relays);
	c->nrelays = conf->nrelays;
	for (size_t i = 0; i < conf->nrelays; i++) {
		relay_check(e, conf->relays[i]);
		relay_fill(e, &c->relays[i], conf->relays[i], (uint32_t)i);
	}
	c->log_connections = log_of(conf->log) != 0;
	c->key_process = true;
	c->dump = rd_dump(conf, e->c->arena, &c->ndump);
	config_tls_gather(c, conf->source);
	memcpy(c->files, conf->digest, sizeof c->files);
}

static void
digest_address(struct hash *h, const struct net_addr *a)
{
	struct net_name name = { .family = 0 };

	if (a->len > 0)
		net_name_set(&name, &a->sa, a->len);
	hash_add(h, &name, sizeof name);
}

/* The text and the files it names say all, but what names come to. */
static void
digest_make(struct engine *e)
{
	const struct rd_conf *conf = e->conf;
	struct hash *h = hash_new();

	hash_add(h, conf->digest, sizeof conf->digest);
	for (size_t i = 0; i < conf->nhosts; i++)
		digest_address(h, &conf->hosts[i]->addr);
	for (size_t i = 0; i < conf->nrelays; i++) {
		digest_address(h, &conf->relays[i]->listen);
		digest_address(h, &conf->relays[i]->address);
	}
	for (size_t i = 0; i < conf->nredirects; i++) {
		const struct rd_redirect *r = conf->redirects[i];

		for (size_t k = 0; k < r->nlistens; k++)
			digest_address(h, &r->listens[k].addr);
	}
	hash_end(h, e->c->digest);
}

bool
rd_engine(struct compiled *c, const struct rd_conf *conf, struct diag *diag)
{
	struct engine e = { .c = c, .conf = conf, .diag = diag };
	size_t before = diag_errors(diag);

	common_fill(&c->broker_common);
	common_fill(&c->worker_common);
	broker_fill(&e);
	c->worker = e.config = arena_alloc(c->arena, sizeof *e.config);
	c->worker_free = NULL;
	hosts_name(&e);
	config_fill(&e);
	digest_make(&e);
	return diag_errors(diag) == before;
}
