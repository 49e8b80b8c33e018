/*
 * From a compiled configuration to TLS contexts: fetches the bytes of the
 * files from the source (never from the system) and puts what is wrong with
 * them at the place of the directive that names them.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_tls.h"

struct tried {
	const struct compiled	*compiled;
	const struct config	*config;
	const struct config_tls	*tls;		/* of the server in hand */
	struct diag		*diag;
	struct keyproc		*keys;	/* NULL: in the source */
	bool			 failed;
};

/* What the key process calls the key of the main certificate, those of SNI,
 * and the one for a destination. Relays have none for destinations, and number
 * the others one after the other. */
static uint32_t
key_main(const struct config_tls *tls)
{
	return tls->key;
}

static uint32_t
key_sni(const struct config_tls *tls, size_t i)
{
	return tls->key + (uint32_t)i + 1;
}

static uint32_t
key_remote(const struct config *c, const struct config_remote *r)
{
	return (uint32_t)c->tls.nsni + 1 + r->index;
}

/* With -P the files may be on another machine: 2.3. What the configuration
 * itself says is right or wrong anywhere. */
static bool
about_file(const char *text)
{
	return strncmp(text, "tls cipher", 10) != 0 &&
	    strstr(text, "' given twice for ") == NULL;
}

static void
tell(struct tried *t, const struct diag_place *place, const char *text)
{
	t->failed = true;
	if (t->compiled->check && about_file(text))
		diag_warn(t->diag, place, "%s", text);
	else
		diag_error(t->diag, place, "%s", text);
}

static void
tell_unreadable(struct tried *t, const struct config_file *f,
    const char *what)
{
	char text[TLS_ERROR];
	int saved = errno;

	snprintf(text, sizeof(text), "%s '%s': %s", what, f->path,
	    strerror(saved));
	tell(t, &f->place, text);
}

/* ---- files ---- */

static int
file_read(struct source *source, enum source_kind kind,
    const struct config_file *f, struct tls_file *out)
{
	memset(out, 0, sizeof(*out));
	if (f->path == NULL)
		return 0;
	out->name = f->path;
	return source_file(source, kind, f->path, &out->data, &out->len);
}

/* A certificate without a key file holds the key. */
static enum source_kind
cert_kind(const struct config_keypair *k)
{
	return k->key.path == NULL ? SOURCE_KEY : SOURCE_CERT;
}

static void
keypair_gather(const struct config_keypair *k, struct source *source)
{
	struct tls_file file;

	file_read(source, cert_kind(k), &k->cert, &file);
	file_read(source, SOURCE_KEY, &k->key, &file);
	if (k->cert.path != NULL)
		(void)source_public(source, k->cert.path, &file.data,
		    &file.len);
	file_read(source, SOURCE_CERT, &k->ocsp, &file);
}

static void
ocsp_read(struct tried *t, const struct config_keypair *k,
    struct tls_keypair *out)
{
	if (file_read(t->compiled->source, SOURCE_CERT, &k->ocsp,
	    &out->ocsp) == -1)
		tell_unreadable(t, &k->ocsp, "tls: cannot load OCSP response");
}

/* The certificate only: the key is in the key process. */
static void
keypair_read_public(struct tried *t, const struct config_keypair *k,
    uint32_t index, struct tls_keypair *out)
{
	out->keys = t->keys;
	out->index = index;
	out->cert.name = k->cert.path;
	if (source_public(t->compiled->source, k->cert.path, &out->cert.data,
	    &out->cert.len) == -1)
		tell_unreadable(t, &k->cert, "tls: cannot load certificate");
	ocsp_read(t, k, out);
	out->names = k->names;
	out->nnames = k->nnames;
}

static void
keypair_read(struct tried *t, const struct config_keypair *k, uint32_t index,
    struct tls_keypair *out)
{
	struct source *source = t->compiled->source;

	if (t->keys != NULL) {
		keypair_read_public(t, k, index, out);
		return;
	}
	if (file_read(source, cert_kind(k), &k->cert, &out->cert) == -1)
		tell_unreadable(t, &k->cert, "tls: cannot load certificate");
	if (file_read(source, SOURCE_KEY, &k->key, &out->key) == -1)
		tell_unreadable(t, &k->key, "tls: cannot load key");
	ocsp_read(t, k, out);
	out->passphrase = k->passphrase;
	out->names = k->names;
	out->nnames = k->nnames;
}

static void
server_gather(const struct config_tls *tls, struct source *source)
{
	struct tls_file file;

	if (tls->main != NULL)
		keypair_gather(tls->main, source);
	for (size_t i = 0; i < tls->nsni; i++)
		keypair_gather(&tls->sni[i], source);
	file_read(source, SOURCE_CERT, &tls->ca, &file);
	file_read(source, SOURCE_SECRET, &tls->psk, &file);
}

void
config_tls_gather(const struct config *c, struct source *source)
{
	struct tls_file file;

	if (c->tls.needed)
		server_gather(&c->tls, source);
	for (size_t i = 0; i < c->nrelays; i++)
		if (c->relays[i].tls != NULL)
			server_gather(c->relays[i].tls, source);
	for (size_t i = 0; i < c->nremotes; i++) {
		const struct config_remote *r = &c->remotes[i];

		if (r->tls == 0)
			continue;
		file_read(source, SOURCE_CERT, &r->tls_ca, &file);
		if (r->tls_own != NULL)
			keypair_gather(r->tls_own, source);
	}
}

/* ---- where what went wrong is said ---- */

static const struct diag_place *
keypair_place(const struct config_keypair *k, const char *error)
{
	if (strncmp(error, "tls sni: ", 9) == 0)
		return &k->place;
	if (k->ocsp.path != NULL &&
	    strncmp(error, "tls: cannot load OCSP ", 22) == 0)
		return &k->ocsp.place;
	if (k->key.path != NULL &&
	    (strncmp(error, "tls: cannot load key ", 21) == 0 ||
	    strncmp(error, "tls: key ", 9) == 0))
		return &k->key.place;
	return &k->cert.place;
}

static void
keypair_check(struct tried *t, const struct config_keypair *k,
    const struct tls_keypair *pair)
{
	char error[TLS_ERROR], warning[TLS_ERROR];

	if (tls_keypair_check(pair, error, warning) == -1)
		tell(t, keypair_place(k, error), error);
	if (warning[0] != '\0')
		diag_warn(t->diag, &k->cert.place, "%s", warning);
}

/* What is no keypair's fault is told by its words. */
static const struct diag_place *
server_place(const struct config_tls *c, const char *error)
{
	const struct diag_place *place = NULL;

	if (strncmp(error, "tls psk-file", 12) == 0)
		place = &c->psk.place;
	else if (strncmp(error, "tls: cannot load authorities", 28) == 0)
		place = &c->ca.place;
	else if (strncmp(error, "tls ciphers", 11) == 0)
		place = &c->ciphers_place;
	else if (strncmp(error, "tls cipher-suites", 17) == 0)
		place = &c->suites_place;
	if (place != NULL && place->file != NULL)
		return place;
	if (c->main != NULL)
		return &c->main->cert.place;
	return c->nsni > 0 ? &c->sni[0].place : &c->psk.place;
}

static void
server_tell(struct tried *t, const char *error, int index)
{
	const struct config_tls *c = t->tls;

	if (index == 0 && c->main != NULL)
		tell(t, keypair_place(c->main, error), error);
	else if (index > 0)
		tell(t, keypair_place(&c->sni[index - 1], error), error);
	else
		tell(t, server_place(c, error), error);
}

/* ---- server ---- */

static void
psk_read(struct tried *t, struct tls_file *out)
{
	const struct config_file *f = &t->tls->psk;
	char text[TLS_ERROR];
	mode_t mode;
	uid_t uid;

	if (file_read(t->compiled->source, SOURCE_SECRET, f, out) == -1) {
		tell_unreadable(t, f, "tls psk-file: cannot read");
		return;
	}
	if (f->path == NULL || source_mode(t->compiled->source, f->path,
	    &mode, &uid) == -1 || (mode & S_IRWXO) == 0)
		return;
	snprintf(text, sizeof(text), "tls psk-file: '%s' is readable by others",
	    f->path);
	tell(t, &f->place, text);
}

static void
server_read(struct tried *t, struct tls_server_conf *conf)
{
	const struct config_tls *c = t->tls;

	if (conf->main != NULL)
		keypair_read(t, c->main, key_main(c), conf->main);
	for (size_t i = 0; i < c->nsni; i++)
		keypair_read(t, &c->sni[i], key_sni(c, i), &conf->sni[i]);
	if (c->verify != TLS_VERIFY_NO && file_read(t->compiled->source,
	    SOURCE_CERT, &c->ca, &conf->ca) == -1)
		tell_unreadable(t, &c->ca, "tls: cannot load authorities");
	psk_read(t, &conf->psk);
	conf->verify = c->verify;
	conf->ciphers = c->ciphers;
	conf->suites = c->suites;
	conf->tickets = c->tickets;
	conf->lifetime = c->lifetime;
	conf->sign_only = t->config->key_process;
	conf->curves = c->curves;
	conf->dh = c->dh;
	conf->client_preference = c->client_preference;
	conf->first_counts = c->first_counts;
}

static void
part_check(struct tried *t, const struct tls_server_conf *part)
{
	char error[TLS_ERROR], warning[TLS_ERROR];
	int index;
	struct tls_server *server = tls_server_new(part, error, &index,
	    warning);

	if (server == NULL)
		server_tell(t, error, -1);
	tls_server_unref(server);
}

/* Each part alone, so that one run tells of all that are wrong. */
static void
server_check(struct tried *t, const struct tls_server_conf *conf)
{
	const struct config_tls *c = t->tls;
	const struct tls_server_conf parts[] = {
		{ .psk = conf->psk },
		{ .ca = conf->ca, .verify = conf->ca.data != NULL ?
		    conf->verify : TLS_VERIFY_NO },
		{ .ciphers = conf->ciphers, .sign_only = conf->sign_only },
		{ .suites = conf->suites },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		part_check(t, &parts[i]);

	if (conf->main != NULL && conf->main->cert.data != NULL)
		keypair_check(t, c->main, conf->main);
	for (size_t i = 0; i < c->nsni; i++)
		if (conf->sni[i].cert.data != NULL)
			keypair_check(t, &c->sni[i], &conf->sni[i]);
}

static struct tls_server *
server_new(struct tried *t, bool thorough)
{
	const struct config_tls *c = t->tls;
	struct tls_keypair *pairs = calloc(c->nsni + 1, sizeof(*pairs));
	struct tls_server_conf conf = { .sni = pairs, .nsni = c->nsni };
	char error[TLS_ERROR], warning[TLS_ERROR];
	struct tls_server *server = NULL;
	int index;

	if (pairs == NULL) {
		tell(t, server_place(c, ""), "tls: out of memory");
		return NULL;
	}
	conf.main = c->main != NULL ? &pairs[c->nsni] : NULL;
	server_read(t, &conf);
	if (thorough)
		server_check(t, &conf);
	if (!t->failed) {
		server = tls_server_new(&conf, error, &index, warning);
		if (server == NULL)
			server_tell(t, error, index);
	}
	free(pairs);
	return server;
}

/* ---- clients ---- */

static const struct diag_place *
client_place(const struct config_remote *r, const char *error)
{
	if (strncmp(error, "tls: cannot load authorities", 28) == 0)
		return r->tls_ca.path != NULL ? &r->tls_ca.place : &r->place;
	return r->tls_own != NULL ? keypair_place(r->tls_own, error) :
	    &r->place;
}

/* An original destination is a different one each time: nothing is resumed. */
static struct tls_client *
client_new(struct tried *t, const struct config_remote *r,
    const struct tls_client *like, bool thorough)
{
	struct tls_client_conf conf = { .versions = r->tls,
	    .verify = r->tls_verify, .name = r->tls_name,
	    .ciphers = r->tls_ciphers, .curves = r->tls_curves,
	    .chain_only = r->tls_chain_only, .silent = r->tls_silent,
	    .fresh = r->addr.len == 0, .like = like };
	struct tls_keypair own = { .cert = { .name = NULL } };
	struct tls_client *client;
	char ip[NET_TEXT], error[TLS_ERROR];
	bool failed = t->failed;

	t->failed = false;
	if (r->addr.len > 0 && r->addr.sa.sa_family != AF_UNIX)
		conf.ip = net_ip_text(&r->addr, ip);
	if (r->tls_own != NULL) {
		keypair_read(t, r->tls_own, key_remote(t->config, r), &own);
		if (!t->failed && thorough)
			keypair_check(t, r->tls_own, &own);
		conf.own = &own;
	}
	if (file_read(t->compiled->source, SOURCE_CERT, &r->tls_ca,
	    &conf.ca) == -1)
		tell_unreadable(t, &r->tls_ca, "tls: cannot load authorities");
	client = t->failed ? NULL : tls_client_new(&conf, error);
	if (client == NULL && !t->failed)
		tell(t, client_place(r, error), error);
	t->failed |= failed;
	return client;
}

/* ---- all of it ---- */

static struct tls_client **
clients_new(struct tried *t, bool thorough)
{
	const struct config *c = t->config;
	struct tls_client **clients = arena_array(t->compiled->arena,
	    c->nremotes > 0 ? c->nremotes : 1, sizeof(*clients));

	for (size_t i = 0; i < c->nremotes; i++) {
		const struct config_remote *r = &c->remotes[i];
		const struct tls_client *like = r->tls_like == 0 ? NULL :
		    clients[r->tls_like - 1];

		/* of one that failed enough is said */
		if (r->tls != 0 && (r->tls_like == 0 || like != NULL))
			clients[i] = client_new(t, r, like, thorough);
	}
	return clients;
}

static int
build(const struct compiled *compiled, struct diag *diag, bool thorough,
    struct keyproc *keys, struct tls_server **server,
    struct tls_client ***clients)
{
	struct tried t = { .compiled = compiled, .config = compiled->worker,
	    .diag = diag, .keys = keys };

	*server = NULL;
	t.tls = &t.config->tls;
	if (t.config->tls.needed)
		*server = server_new(&t, thorough);
	*clients = clients_new(&t, thorough);
	if (!t.failed)
		return 0;
	config_tls_free(t.config, *server, *clients);
	*server = NULL;
	*clients = NULL;
	return -1;
}

int
config_tls_build(const struct compiled *compiled, struct diag *diag,
    struct keyproc *keys, struct tls_server **server,
    struct tls_client ***clients)
{
	return build(compiled, diag, false, keys, server, clients);
}

static int
relay_build(const struct compiled *compiled, const struct config_relay *r,
    struct diag *diag, bool thorough, struct keyproc *keys,
    struct tls_server **server)
{
	struct tried t = { .compiled = compiled, .config = compiled->worker,
	    .tls = r->tls, .diag = diag, .keys = keys };

	*server = NULL;
	if (r->tls == NULL)
		return 0;
	*server = server_new(&t, thorough);
	if (!t.failed)
		return 0;
	tls_server_unref(*server);
	*server = NULL;
	return -1;
}

int
config_tls_relay(const struct compiled *compiled,
    const struct config_relay *r, struct diag *diag, struct keyproc *keys,
    struct tls_server **server)
{
	return relay_build(compiled, r, diag, false, keys, server);
}

void
config_tls_free(const struct config *c, struct tls_server *server,
    struct tls_client **clients)
{
	tls_server_unref(server);
	for (size_t i = 0; clients != NULL && i < c->nremotes; i++)
		tls_client_unref(clients[i]);
}

void
config_check(const struct compiled *compiled, struct diag *diag)
{
	const struct config *c = compiled->worker;
	struct tls_client **clients;
	struct tls_server *server;

	if (c != NULL && build(compiled, diag, true, NULL, &server,
	    &clients) == 0)
		config_tls_free(c, server, clients);
	for (size_t i = 0; c != NULL && i < c->nrelays; i++) {
		(void)relay_build(compiled, &c->relays[i], diag, true, NULL,
		    &server);
		tls_server_unref(server);
	}
}

/* ---- the key process ---- */

bool
config_keys_apart(const struct compiled *compiled)
{
	const struct config *c = compiled->worker;

	if (c == NULL || !c->key_process)
		return false;
	if (c->tls.needed && (c->tls.main != NULL || c->tls.nsni > 0))
		return true;
	for (size_t i = 0; i < c->nrelays; i++)
		if (c->relays[i].tls != NULL)
			return true;
	for (size_t i = 0; i < c->nremotes; i++)
		if (c->remotes[i].tls != 0 && c->remotes[i].tls_own != NULL)
			return true;
	return false;
}

static void
key_add(struct tried *t, struct keyproc_keys *keys, uint32_t index,
    const struct config_keypair *k, unsigned uses)
{
	struct tls_keypair pair = { .cert = { .name = NULL } };
	char error[TLS_ERROR];
	bool failed = t->failed;

	t->failed = false;
	keypair_read(t, k, index, &pair);
	if (!t->failed && keyproc_keys_add(keys, index, &pair, uses,
	    error) == -1)
		tell(t, keypair_place(k, error), error);
	t->failed |= failed;
}

/* What TLS signs in these versions, of a listener or of a destination. */
static unsigned
key_uses(uint32_t versions, unsigned tls12, unsigned tls13)
{
	return ((versions & TLS_V1_2) != 0 ? tls12 : 0) |
	    ((versions & TLS_V1_3) != 0 ? tls13 : 0);
}

static void
server_keys_add(struct tried *t, struct keyproc_keys *keys,
    const struct config_tls *tls, uint32_t versions)
{
	unsigned uses = key_uses(versions, KEYPROC_SERVER_12,
	    KEYPROC_SERVER_13);

	if (tls->main != NULL)
		key_add(t, keys, key_main(tls), tls->main, uses);
	for (size_t i = 0; i < tls->nsni; i++)
		key_add(t, keys, key_sni(tls, i), &tls->sni[i], uses);
}

int
config_keys_load(const struct compiled *compiled, struct keyproc_keys *keys,
    struct diag *diag)
{
	const struct spawnd_conf *broker = &compiled->broker;
	const struct config *c = compiled->worker;
	struct tried t = { .compiled = compiled, .config = c, .diag = diag };
	uint32_t versions = 0;

	for (size_t i = 0; i < broker->nlisteners; i++)
		versions |= broker->listeners[i].versions;
	if (c->tls.needed)
		server_keys_add(&t, keys, &c->tls, versions);
	for (size_t i = 0; i < c->nrelays; i++)
		if (c->relays[i].tls != NULL)
			server_keys_add(&t, keys, c->relays[i].tls,
			    c->relays[i].tls->versions);
	for (size_t i = 0; i < c->nremotes; i++) {
		const struct config_remote *r = &c->remotes[i];

		if (r->tls != 0 && r->tls_own != NULL)
			key_add(&t, keys, key_remote(c, r), r->tls_own,
			    key_uses(r->tls, KEYPROC_CLIENT_12,
			    KEYPROC_CLIENT_13));
	}
	return t.failed ? -1 : 0;
}
