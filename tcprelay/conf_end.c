/*
 * What can be said of the tcprelay section only once everything is known,
 * listeners included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/hash.h"
#include "../spawnd/spawnd.h"
#include "conf_build.h"
#include "config_tls.h"

struct config_file
conf_file(const struct kw_value *v)
{
	return (struct config_file){ .path = v->text, .place = v->place };
}

void
conf_pair(struct config_keypair *k, const struct pair_block *b,
    const struct diag_place *place)
{
	k->cert = conf_file(&b->cert);
	k->key = conf_file(&b->key);
	k->passphrase = b->passphrase;
	k->place = *place;
}

/* ---- destinations ---- */

/*
 * The row of a destination on the board. What does not fit is replaced by
 * its digest: a row is told from others, whatever it is called.
 */
static void
remote_identity(struct config_remote *c, unsigned again)
{
	char text[256], path[NET_TEXT];
	uint8_t digest[HASH_SIZE];
	const char *kind = c->addr.sa.sa_family == AF_UNIX ? "unix" :
	    c->protocol == IPPROTO_SCTP ? "sctp" : "tcp";
	struct hash *h;
	int n;

	n = snprintf(text, sizeof text, "%s/%s/%s", kind,
	    net_text(&c->addr, path), c->pool);
	if (again > 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "#%u",
		    again + 1);
	if ((size_t)n < sizeof c->identity) {
		memcpy(c->identity, text, (size_t)n + 1);
		return;
	}
	h = hash_new();
	hash_add(h, text, (size_t)n);
	hash_end(h, digest);
	snprintf(c->identity, sizeof c->identity, "%.90s~%02x%02x%02x%02x"
	    "%02x%02x%02x%02x", text, digest[0], digest[1], digest[2],
	    digest[3], digest[4], digest[5], digest[6], digest[7]);
}

static int
remote_cmp(const void *pa, const void *pb)
{
	const struct config_remote *a = *(struct config_remote *const *)pa;
	const struct config_remote *b = *(struct config_remote *const *)pb;
	int c = strcmp(a->identity, b->identity);

	if (c != 0)
		return c;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* The same destination in one pool counts twice, and has two rows. */
static void
remotes_name(struct parse *p, struct config *c)
{
	struct config_remote **sorted =
	    arena_array(p->r.arena, c->nremotes, sizeof *sorted);
	struct config_remote *first = NULL;
	unsigned again = 0;

	for (size_t i = 0; i < c->nremotes; i++) {
		sorted[i] = &c->remotes[i];
		remote_identity(sorted[i], 0);
	}
	qsort(sorted, c->nremotes, sizeof *sorted, remote_cmp);
	for (size_t i = 0; i < c->nremotes; i++) {
		if (first == NULL ||
		    strcmp(first->identity, sorted[i]->identity) != 0) {
			first = sorted[i];
			again = 0;
			continue;
		}
		remote_identity(sorted[i], ++again);
		diag_warn(p->r.diag, &sorted[i]->place,
		    "same destination as in line %u, both count",
		    first->place.line);
	}
}

static void
remotes_end(struct parse *p, struct relay_build *b)
{
	struct config *c = &b->config;
	uint32_t n = 0;

	c->remotes = arena_array(p->r.arena, c->nremotes,
	    sizeof *c->remotes);
	for (const struct remote_block *r = b->remotes; r != NULL;
	    r = r->next) {
		struct config_remote *remote = &c->remotes[n];

		*remote = r->c;
		remote->index = n++;
		net_text(&remote->addr, remote->text);
	}
	remotes_name(p, c);
}

static void
local_check(struct parse *p, const struct relay_build *b)
{
	const struct config *c = &b->config;

	if (c->local.len == 0)
		return;
	for (size_t i = 0; i < c->nremotes; i++) {
		if (c->remotes[i].addr.sa.sa_family == c->local.sa.sa_family)
			return;
	}
	diag_error(p->r.diag, &b->local.place,
	    "local address: no 'remote' of the same family");
}

/* ---- listeners and TLS ---- */

static bool
is_loopback(const struct net_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
	return a->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

/* Whether what is sent to the destination comes back by the listener. */
static bool
is_loop(const struct listener_conf *l, const struct config_remote *r)
{
	const struct net_addr *a = &l->addr, *b = &r->addr;

	if (a->len == 0 || l->type != SOCK_STREAM ||
	    l->protocol != r->protocol)
		return false;
	if (net_same(a, b))
		return true;
	if (a->sa.sa_family == AF_UNIX || b->sa.sa_family == AF_UNIX ||
	    net_port(a) != net_port(b) || !net_is_any(a) || !is_loopback(b))
		return false;
	return a->sa.sa_family == b->sa.sa_family ||
	    (a->sa.sa_family == AF_INET6 && !l->v6only);
}

/* Of all listeners, by address. */
struct doors {
	const struct listener_conf	**all;
	size_t				  n;
};

static int
door_cmp(const void *pa, const void *pb)
{
	const struct listener_conf *a = *(struct listener_conf *const *)pa;
	const struct listener_conf *b = *(struct listener_conf *const *)pb;
	int c = net_cmp(&a->addr, &b->addr);

	return c != 0 ? c : (a->index > b->index) - (a->index < b->index);
}

static void
loop_check(struct parse *p, const struct doors *doors,
    const struct net_addr *door, const struct config_remote *r)
{
	size_t from = 0, to = doors->n;

	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (net_cmp(&doors->all[at]->addr, door) < 0)
			from = at + 1;
		else
			to = at;
	}
	for (; from < doors->n && net_same(&doors->all[from]->addr, door);
	    from++)
		if (is_loop(doors->all[from], r))
			diag_warn(p->r.diag, &r->place, "the destination is "
			    "the listener in line %u",
			    doors->all[from]->place.line);
}

static struct net_addr
wildcard(sa_family_t family, unsigned port)
{
	struct net_addr a = { .len = family == AF_INET ? sizeof a.in :
	    sizeof a.in6 };

	a.sa.sa_family = family;
	net_set_port(&a, port);
	return a;
}

/* A thousand listeners and ten thousand destinations are not compared each
 * with each. */
static void
loops_check(struct parse *p, const struct config *c,
    const struct spawnd_conf *broker)
{
	struct doors doors = { arena_array(p->r.arena, broker->nlisteners + 1,
	    sizeof *doors.all), broker->nlisteners };

	for (size_t i = 0; i < doors.n; i++)
		doors.all[i] = &broker->listeners[i];
	qsort(doors.all, doors.n, sizeof *doors.all, door_cmp);
	for (size_t i = 0; i < c->nremotes; i++) {
		const struct config_remote *r = &c->remotes[i];
		struct net_addr any;

		if (r->addr.len == 0)
			continue;
		loop_check(p, &doors, &r->addr, r);
		if (!is_loopback(&r->addr))
			continue;
		any = wildcard(AF_INET6, net_port(&r->addr));
		loop_check(p, &doors, &any, r);
		if (r->addr.sa.sa_family != AF_INET)
			continue;
		any = wildcard(AF_INET, net_port(&r->addr));
		loop_check(p, &doors, &any, r);
	}
}

static void
listener_check(struct parse *p, struct relay_build *b,
    const struct listener_conf *l)
{
	struct config_tls *tls = &b->config.tls;
	bool psk = (l->flags & SPAWND_TLS_PSK) != 0;

	if (l->type != SOCK_STREAM)
		diag_error(p->r.diag, &l->place,
		    "tcprelay relays streams only");
	if (l->aaa != 0)
		diag_warn(p->r.diag, &l->place,
		    "'aaa.protocol' is not used by tcprelay");
	if (l->flags & SPAWND_ACCOUNTING)
		diag_warn(p->r.diag, &l->place,
		    "'flag = accounting' is not used by tcprelay");
	if (psk && b->psk.text == NULL)
		diag_error(p->r.diag, &l->place,
		    "'tls psk' needs 'tls psk-file'");
	if (l->versions == 0)
		return;
	tls->needed = true;
	if (b->pair.cert.text == NULL && tls->nsni == 0 && !psk)
		diag_error(p->r.diag, &l->place,
		    "a listener with TLS needs 'tls cert-file'");
	else if (!tls_available())
		diag_error(p->r.diag, &l->place, "tls: built without TLS");
}

static void
tls_fill(struct parse *p, struct relay_build *b)
{
	struct config_tls *tls = &b->config.tls;
	size_t n = 0;

	if (b->pair.cert.text != NULL) {
		tls->main = arena_alloc(p->r.arena, sizeof *tls->main);
		conf_pair(tls->main, &b->pair, &b->pair.cert.place);
	}
	tls->sni = arena_array(p->r.arena, tls->nsni + 1, sizeof *tls->sni);
	for (const struct sni_block *s = b->snis; s != NULL; s = s->next) {
		struct config_keypair *k = &tls->sni[n++];

		conf_pair(k, &s->pair, &s->place);
		k->names = arena_array(p->r.arena, s->nnames + 1,
		    sizeof *k->names);
		for (const struct sni_name *m = s->names; m != NULL;
		    m = m->next)
			k->names[k->nnames++] = m->text;
	}
	tls->ca = conf_file(&b->ca);
	tls->psk = conf_file(&b->psk);
	tls->ciphers = b->ciphers.text;
	tls->ciphers_place = b->ciphers.place;
	tls->suites = b->suites.text;
	tls->suites_place = b->suites.place;
}

static void
tls_check(struct parse *p, const struct relay_build *b, bool single)
{
	const struct config_tls *tls = &b->config.tls;
	bool outward = false;

	if (b->pair.key.text != NULL && b->pair.cert.text == NULL)
		diag_error(p->r.diag, &b->pair.key.place,
		    "'tls key-file' needs 'tls cert-file'");
	if (tls->verify != TLS_VERIFY_NO && b->ca.text == NULL)
		diag_error(p->r.diag, &b->verify_place,
		    "'tls verify' needs 'tls ca-file'");
	if (tls->verify == TLS_VERIFY_NO && b->ca.text != NULL)
		diag_warn(p->r.diag, &b->ca.place,
		    "tls ca-file: not used without 'tls verify'");
	for (size_t i = 0; i < b->config.nremotes; i++)
		outward = outward || b->config.remotes[i].tls != 0;
	if (b->config.key_process && !tls->needed && !outward)
		diag_warn(p->r.diag, &b->key_place,
		    "key process: there is no TLS");
	else if (b->config.key_process && single)
		diag_warn(p->r.diag, &b->key_place, "key process: needs "
		    "workers of this program, keys stay in the worker");
}

/* ---- what files hold is part of the digest ---- */

static void
file_hash(struct hash *h, struct source *source, const struct config_file *f)
{
	const char *data;
	size_t len;

	if (f->path == NULL)
		return;
	if (source_file(source, SOURCE_CERT, f->path, &data, &len) == -1)
		len = 0;
	hash_add(h, f->path, strlen(f->path) + 1);
	hash_add(h, &len, sizeof len);
	if (len > 0)
		hash_add(h, data, len);
}

/* The bytes are not everywhere, their digest is. */
static void
key_hash(struct hash *h, struct source *source, const struct config_file *f)
{
	uint8_t digest[HASH_SIZE] = { 0 };

	if (f->path == NULL)
		return;
	(void)source_file_digest(source, f->path, digest);
	hash_add(h, f->path, strlen(f->path) + 1);
	hash_add(h, digest, sizeof digest);
}

static void
pair_hash(struct hash *h, struct source *source,
    const struct config_keypair *k)
{
	if (k == NULL)
		return;
	key_hash(h, source, &k->cert);
	key_hash(h, source, &k->key);
}

static void
files_hash(struct source *source, struct config *c)
{
	struct hash *h = hash_new();

	if (c->tls.needed) {
		pair_hash(h, source, c->tls.main);
		for (size_t i = 0; i < c->tls.nsni; i++)
			pair_hash(h, source, &c->tls.sni[i]);
		file_hash(h, source, &c->tls.ca);
		file_hash(h, source, &c->tls.psk);
	}
	for (size_t i = 0; i < c->nremotes; i++) {
		if (c->remotes[i].tls == 0)
			continue;
		file_hash(h, source, &c->remotes[i].tls_ca);
		pair_hash(h, source, c->remotes[i].tls_own);
	}
	hash_end(h, c->files);
}

void
conf_end(struct parse *p, struct relay_build *b,
    const struct spawnd_conf *broker, const struct diag_place *body_place)
{
	struct config *c = &b->config;

	if (c->nremotes == 0)
		diag_error(p->r.diag, body_place, "no 'remote' defined");
	remotes_end(p, b);
	local_check(p, b);
	for (size_t i = 0; i < broker->nlisteners; i++)
		listener_check(p, b, &broker->listeners[i]);
	/* Which listeners there are is another program's knowledge then. */
	if (p->request->worker_only)
		c->tls.needed = tls_available() && (b->pair.cert.text != NULL ||
		    c->tls.nsni > 0 || b->psk.text != NULL);
	tls_fill(p, b);
	tls_check(p, b, broker->single);
	loops_check(p, c, broker);
	if (broker->single && c->retire > 0)
		diag_warn(p->r.diag, &b->retire_place,
		    "retire: no effect in a single process");
	config_tls_gather(c, p->r.source);
	files_hash(p->r.source, c);
}
