/*
 * TLS contexts: what a configuration says, made into OpenSSL's objects once,
 * so that a handshake finds everything ready. The streams that use them are
 * in stream_tls.c.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "tls_lib.h"

bool
tls_available(void)
{
	return true;
}

void
tls_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/* ---- what both roles have in common ---- */

/*
 * Before 3.5 a client of TLS 1.3 may have groups of up to 8192 bits by
 * default, and one such handshake costs as much as a hundred others. From
 * then on the default is better than what could be said here: it begins with
 * a post-quantum hybrid. A library without one of these keeps its own list.
 */
static void
set_groups(SSL_CTX *ctx, const char *curves)
{
	if (curves != NULL) {
		if (SSL_CTX_set1_groups_list(ctx, curves) != 1)
			ERR_clear_error();	/* looked at when read */
		return;
	}
#if OPENSSL_VERSION_NUMBER < 0x30500000L
	if (SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384:P-521") != 1)
		ERR_clear_error();
#else
	(void)ctx;
#endif
}

/*
 * RELEASE_BUFFERS: an idle session owns no record buffers. NO_AUTO_CHAIN:
 * the chain is the file's; the library would search one at each handshake.
 * No session cache: tickets, or what tls_client holds.
 */
static SSL_CTX *
context_new(const SSL_METHOD *method, const char *curves)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	set_groups(ctx, curves);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int
set_versions(SSL *ssl, uint32_t versions)
{
	if (versions == TLS_V1_2)
		return SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
	if (versions == TLS_V1_3)
		return SSL_set_min_proto_version(ssl, TLS1_3_VERSION);
	return 1;
}

static void
set_nomem(char error[static TLS_ERROR])
{
	snprintf(error, TLS_ERROR, "tls: %s", tls_library_reason());
}

static X509_STORE *
store_of(STACK_OF(X509) *all)
{
	X509_STORE *store = X509_STORE_new();

	for (int i = 0; store != NULL && i < sk_X509_num(all); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(all, i)) != 1) {
			X509_STORE_free(store);
			store = NULL;
		}
	return store;
}

/* ---- callbacks of the server role ---- */

static void
read_hello(SSL *ssl, struct tls_sni_hello *h)
{
	memset(h, 0, sizeof(*h));
	SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_signature_algorithms,
	    &h->sigalgs, &h->sigalgs_len);
	SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions,
	    &h->versions, &h->versions_len);
	h->suites_len = SSL_client_hello_get0_ciphers(ssl, &h->suites);
}

/*
 * Before anything of the hello is acted on: tickets are bound to the name of
 * the certificate, and the context brings that binding.
 */
static int
hello_cb(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *s = arg;
	struct tls_sni_hello hello;
	const uint8_t *ext = NULL;
	const char *name = NULL;
	size_t len = 0, pick;
	bool tls13 = SSL_get_max_proto_version(ssl) != TLS1_2_VERSION;

	read_hello(ssl, &hello);
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
	    &len) == 1)
		len = tls_sni_name(ext, len, &name);
	else
		len = 0;
	pick = tls_sni_pick(s->sni, name, len,
	    tls_sni_offer(&hello, tls13));
	if (pick != TLS_SNI_NONE) {
		SSL_CTX *ctx = s->ctx[s->picks[pick]];

		if (ctx != SSL_get_SSL_CTX(ssl))
			SSL_set_SSL_CTX(ssl, ctx);
		return SSL_CLIENT_HELLO_SUCCESS;
	}
	if (tls_psk_permitted(tls_of(ssl)))
		return SSL_CLIENT_HELLO_SUCCESS;
	tls_set_reason(tls_of(ssl), len > 0 ? "no certificate for this name" :
	    "no certificate without a server name");
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_CLIENT_HELLO_ERROR;
}

/* Only to know it: none is selected. */
static int
alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg)
{
	(void)out;
	(void)outlen;
	(void)arg;
	tls_set_alpn(tls_of(ssl), in, inlen);
	return SSL_TLSEXT_ERR_NOACK;
}

/* "optional": whatever came, the session goes on, and its verify result
 * tells what it is worth. */
static int
tolerate_cb(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

/* TLS 1.2 asks this, and 1.3 as well, for keys with SHA-256. */
static unsigned
psk_cb(SSL *ssl, const char *identity, unsigned char *psk, unsigned max)
{
	const struct tls_server *s =
	    SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const uint8_t *key;
	size_t len;

	if (s->psk == NULL || identity == NULL)
		return 0;
	len = tls_psk_find(s->psk, identity, strlen(identity), &key);
	if (len > max)
		return 0;
	if (len > 0)
		memcpy(psk, key, len);
	return (unsigned)len;
}

/* Only if the client asks. */
static int
staple_cb(SSL *ssl, void *arg)
{
	const struct tls_staple *staple = arg;
	uint8_t *copy;

	if (staple->data == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(staple->data, staple->len);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	/* the library frees it */
	if (SSL_set_tlsext_status_ocsp_resp(ssl, copy,
	    (long)staple->len) == 1)
		return SSL_TLSEXT_ERR_OK;
	OPENSSL_free(copy);
	return SSL_TLSEXT_ERR_NOACK;
}

/* ---- building a server ---- */

/* The certificate's key, as far as everybody may know it. */
static int
digest_key(EVP_MD_CTX *md, const X509 *leaf)
{
	const ASN1_BIT_STRING *key = leaf != NULL ?
	    X509_get0_pubkey_bitstr(leaf) : NULL;

	return key == NULL || EVP_DigestUpdate(md, ASN1_STRING_get0_data(key),
	    (size_t)ASN1_STRING_length(key));
}

/*
 * Tickets are good for the same names, key and demand on the client's
 * certificate (7.5). After a change of one of them, or of the authorities,
 * whoever got in by the former ones has to show what the new ones want.
 */
static int
set_binding(SSL_CTX *ctx, const struct tls_server_conf *conf,
    const struct tls_pair *pair)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t verify = (uint8_t)conf->verify, digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int ok;

	ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(md, &verify, 1) == 1 &&
	    digest_key(md, pair->leaf) == 1;
	if (ok && conf->verify != TLS_VERIFY_NO)
		ok = EVP_DigestUpdate(md, conf->ca.data, conf->ca.len);
	for (size_t i = 0; ok && i < pair->nnames; i++)
		ok = EVP_DigestUpdate(md, pair->names[i],
		    strlen(pair->names[i]) + 1);
	ok = ok && EVP_DigestFinal_ex(md, digest, &len) == 1 &&
	    SSL_CTX_set_session_id_context(ctx, digest, len) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -1;
}

static int
set_ciphers(SSL_CTX *ctx, const char *ciphers, bool sign_only)
{
	char *list;
	int ok;

	if (!sign_only)
		return ciphers == NULL || SSL_CTX_set_cipher_list(ctx,
		    ciphers) == 1 ? 0 : -1;
	if (ciphers == NULL)
		ciphers = "DEFAULT";
	list = malloc(strlen(ciphers) + sizeof(":!kRSA"));
	if (list == NULL)
		return -1;
	sprintf(list, "%s:!kRSA", ciphers);
	ok = SSL_CTX_set_cipher_list(ctx, list);
	free(list);
	return ok == 1 ? 0 : -1;
}

static int
set_suites(SSL_CTX *ctx, const struct tls_server_conf *conf,
    char error[static TLS_ERROR])
{
	const char *ciphers = conf->ciphers, *suites = conf->suites;

	if (set_ciphers(ctx, ciphers, conf->sign_only) == -1) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR,
		    "tls ciphers: no usable cipher in '%s'",
		    ciphers != NULL ? ciphers : "DEFAULT");
		return -1;
	}
	if (suites != NULL && (*suites == '\0' ||
	    SSL_CTX_set_ciphersuites(ctx, suites) != 1)) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR,
		    "tls cipher-suites: no usable cipher in '%s'", suites);
		return -1;
	}
	return 0;
}

static int
set_verify(SSL_CTX *ctx, const struct tls_server_conf *conf,
    STACK_OF(X509) *authorities, X509_STORE *store)
{
	STACK_OF(X509_NAME) *names;

	if (conf->verify == TLS_VERIFY_NO)
		return 0;
	names = sk_X509_NAME_new_null();
	for (int i = 0; names != NULL && i < sk_X509_num(authorities); i++) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(
		    sk_X509_value(authorities, i)));

		if (name == NULL || sk_X509_NAME_push(names, name) == 0)
			X509_NAME_free(name);
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set1_cert_store(ctx, store);
	if (conf->verify == TLS_VERIFY_OPTIONAL)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tolerate_cb);
	else
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
		    SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

/* Everything that goes into each context of a server. */
struct build {
	struct tls_server		*server;
	const struct tls_server_conf	*conf;
	STACK_OF(X509)			*authorities;
	X509_STORE			*store;
	struct tls_pair			*pairs;		/* as ctx */
	char				*error;		/* TLS_ERROR */
	char				*warning;
};

/* The pair's becomes the server's. */
static void
set_staple(SSL_CTX *ctx, struct tls_staple *staple, struct tls_pair *pair)
{
	*staple = pair->staple;
	pair->staple = (struct tls_staple){ .data = NULL };
	if (staple->data == NULL)
		return;
	SSL_CTX_set_tlsext_status_cb(ctx, staple_cb);
	SSL_CTX_set_tlsext_status_arg(ctx, staple);
}

static int
context_server(struct build *b, size_t i)
{
	struct tls_pair *pair = &b->pairs[i];
	SSL_CTX *ctx = context_new(TLS_server_method(), b->conf->curves);

	if (ctx == NULL) {
		set_nomem(b->error);
		return -1;
	}
	b->server->ctx[i] = ctx;
	if (b->conf->client_preference)
		SSL_CTX_clear_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (b->conf->dh != TLS_DH_NONE)
		(void)SSL_CTX_set_dh_auto(ctx, b->conf->dh == TLS_DH_AUTO ?
		    1 : 2);
	set_staple(ctx, &b->server->staples[i], pair);
	SSL_CTX_set_app_data(ctx, b->server);
	if (set_suites(ctx, b->conf, b->error) == -1)
		return -1;
	if (set_verify(ctx, b->conf, b->authorities, b->store) == -1 ||
	    set_binding(ctx, b->conf, pair) == -1) {
		set_nomem(b->error);
		return -1;
	}
	SSL_CTX_set_alpn_select_cb(ctx, alpn_cb, NULL);
	tls_ticket_setup(ctx, b->server);
	if (b->server->sni != NULL)
		SSL_CTX_set_client_hello_cb(ctx, hello_cb, b->server);
	return 0;
}

/* The pair's names become those of the configuration, if it gives some. */
static int
pair_rename(struct tls_pair *p, const struct tls_keypair *k)
{
	char **names;

	if (k->nnames == 0)
		return 0;
	names = calloc(k->nnames, sizeof(*names));
	if (names == NULL)
		return -1;
	for (size_t i = 0; i < p->nnames; i++)
		free(p->names[i]);
	free(p->names);
	p->names = names;
	p->nnames = k->nnames;
	for (size_t i = 0; i < k->nnames; i++)
		if ((names[i] = strdup(k->names[i])) == NULL)
			return -1;
	return 0;
}

static int
build_pair(struct build *b, size_t i, const struct tls_keypair *k)
{
	struct tls_pair *p = &b->pairs[i];

	b->server->remote |= k->keys != NULL;
	if (tls_load_pair(p, k, b->error, b->warning) == -1)
		return -1;
	if (pair_rename(p, k) == -1 || (b->conf->first_counts &&
	    tls_pair_common_name(p) == -1)) {
		snprintf(b->error, TLS_ERROR, "tls: out of memory");
		return -1;
	}
	if (i > 0 && p->nnames == 0 && !b->conf->first_counts) {
		snprintf(b->error, TLS_ERROR,
		    "tls sni: no name in certificate '%s'", k->cert.name);
		return -1;
	}
	return 0;
}

static int
load_pairs(struct build *b, int *error_index)
{
	const struct tls_server_conf *conf = b->conf;

	*error_index = 0;
	if (conf->main != NULL && build_pair(b, 0, conf->main) == -1)
		return -1;
	for (size_t i = 0; i < conf->nsni; i++) {
		*error_index = (int)i + 1;
		if (build_pair(b, i + 1, &conf->sni[i]) == -1)
			return -1;
	}
	*error_index = -1;
	return 0;
}

/* Nothing to choose from where there is only the main certificate. */
static int
build_sni(struct build *b, int *error_index)
{
	struct tls_server *s = b->server;
	struct tls_sni_cert *certs;
	char name[TLS_SNI_NAME];
	size_t n = 0, twice = 0;

	if (b->conf->nsni == 0)
		return 0;
	certs = calloc(s->nctx, sizeof(*certs));
	s->picks = calloc(s->nctx, sizeof(*s->picks));
	for (size_t i = 0; certs != NULL && s->picks != NULL &&
	    i < s->nctx; i++) {
		const struct tls_pair *p = &b->pairs[i];

		if (p->leaf == NULL)
			continue;
		s->picks[n] = i;
		certs[n].names = (const char *const *)p->names;
		certs[n].nnames = p->nnames;
		certs[n].main = i == 0;
		certs[n].named = b->conf->first_counts;
		certs[n].type = p->type;
		certs[n].offer = p->offer;
		n++;
	}
	if (certs != NULL && s->picks != NULL)
		s->sni = tls_sni_new(certs, n,
		    b->conf->first_counts ? NULL : &twice, name);
	if (s->sni != NULL) {
		free(certs);
		return 0;
	}
	if (certs != NULL && errno == EEXIST) {
		*error_index = (int)s->picks[twice];
		snprintf(b->error, TLS_ERROR,
		    "tls sni: '%.160s' given twice for %s keys", name,
		    tls_key_type_text(certs[twice].type));
	} else
		snprintf(b->error, TLS_ERROR, "tls: out of memory");
	free(certs);
	return -1;
}

static int
build_contexts(struct build *b, int *error_index)
{
	for (size_t i = 0; i < b->server->nctx; i++) {
		if (context_server(b, i) == -1)
			return -1;
		if (b->pairs[i].leaf == NULL ||
		    tls_load_into(b->server->ctx[i], &b->pairs[i]) == 0)
			continue;
		*error_index = (int)i;
		snprintf(b->error, TLS_ERROR,
		    "tls: cannot load certificate '%s': %s", i == 0 ?
		    b->conf->main->cert.name : b->conf->sni[i - 1].cert.name,
		    tls_library_reason());
		return -1;
	}
	return 0;
}

static int
build_authorities(struct build *b)
{
	if (b->conf->verify == TLS_VERIFY_NO)
		return 0;
	b->authorities = tls_load_authorities(&b->conf->ca, b->error);
	if (b->authorities == NULL)
		return -1;
	b->store = store_of(b->authorities);
	if (b->store == NULL) {
		set_nomem(b->error);
		return -1;
	}
	return 0;
}

/*
 * A key of a PSK file goes with SHA-256 (RFC 8446, 4.2.11), and the library
 * settles the suite before it looks at keys: so such suites come first on
 * listeners that permit them.
 */
static char *
sha256_first(SSL_CTX *ctx)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
	char list[256] = "";
	size_t len = 0;

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
			const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
			const EVP_MD *md = SSL_CIPHER_get_handshake_digest(c);
			bool sha256 = md != NULL &&
			    EVP_MD_is_a(md, "SHA256");
			const char *name = SSL_CIPHER_get_name(c);

			if (strcmp(SSL_CIPHER_get_version(c), "TLSv1.3") != 0 ||
			    sha256 != (round == 0) ||
			    len + strlen(name) + 2 > sizeof(list))
				continue;
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s", len > 0 ? ":" : "", name);
		}
	return strdup(list);
}

static int
build_psk(struct build *b)
{
	char reason[TLS_PSK_ERROR];

	if (b->conf->psk.data == NULL)
		return 0;
	b->server->psk = tls_psk_new(b->conf->psk.data, b->conf->psk.len,
	    reason);
	if (b->server->psk == NULL) {
		snprintf(b->error, TLS_ERROR, "tls psk-file: %s", reason);
		return -1;
	}
	return 0;
}

static int
build_server(struct build *b, int *error_index)
{
	struct tls_server *s = b->server;

	s->refs = 1;
	s->verify = b->conf->verify;
	s->tickets = b->conf->tickets;
	s->lifetime = b->conf->lifetime;
	s->main = b->conf->main != NULL;
	if (build_psk(b) == -1 || build_authorities(b) == -1 ||
	    load_pairs(b, error_index) == -1 ||
	    build_sni(b, error_index) == -1 ||
	    build_contexts(b, error_index) == -1)
		return -1;
	if (s->psk == NULL)
		return 0;
	s->psk_suites = sha256_first(s->ctx[0]);
	return s->psk_suites != NULL ? 0 : -1;
}

struct tls_server *
tls_server_new(const struct tls_server_conf *conf,
    char error[static TLS_ERROR], int *error_index,
    char warning[static TLS_ERROR])
{
	struct build b = { .conf = conf, .error = error, .warning = warning };
	size_t n = conf->nsni + 1;
	int status = -1;

	*error_index = -1;
	warning[0] = '\0';
	snprintf(error, TLS_ERROR, "tls: out of memory");
	b.server = calloc(1, sizeof(*b.server));
	b.pairs = calloc(n, sizeof(*b.pairs));
	if (b.server != NULL) {
		b.server->ctx = calloc(n, sizeof(*b.server->ctx));
		b.server->staples = calloc(n, sizeof(*b.server->staples));
	}
	if (b.server != NULL && b.pairs != NULL && b.server->ctx != NULL &&
	    b.server->staples != NULL) {
		b.server->nctx = n;
		status = build_server(&b, error_index);
	}
	for (size_t i = 0; b.pairs != NULL && i < n; i++)
		tls_pair_clear(&b.pairs[i]);
	free(b.pairs);
	sk_X509_pop_free(b.authorities, X509_free);
	X509_STORE_free(b.store);
	if (status == 0)
		return b.server;
	if (b.server != NULL) {
		b.server->refs = 1;
		tls_server_unref(b.server);
	}
	return NULL;
}

int
tls_keypair_check(const struct tls_keypair *k, char error[static TLS_ERROR],
    char warning[static TLS_ERROR])
{
	struct tls_pair pair;

	warning[0] = '\0';
	if (tls_load_pair(&pair, k, error, warning) == -1)
		return -1;
	tls_pair_clear(&pair);
	return 0;
}

struct tls_server *
tls_server_ref(struct tls_server *s)
{
	s->refs++;
	return s;
}

void
tls_server_unref(struct tls_server *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->nctx; i++) {
		SSL_CTX_free(s->ctx[i]);
		free(s->staples[i].data);
	}
	free(s->ctx);
	free(s->staples);
	free(s->picks);
	tls_sni_free(s->sni);
	tls_psk_free(s->psk);
	free(s->psk_suites);
	OPENSSL_cleanse(s->keys, sizeof(s->keys));
	free(s);
}

void
tls_server_tickets(struct tls_server *s, const struct tls_ticket_key *keys,
    unsigned n)
{
	if (n > TLS_TICKET_KEYS)
		n = TLS_TICKET_KEYS;
	OPENSSL_cleanse(s->keys, sizeof(s->keys));
	if (n > 0)
		memcpy(s->keys, keys, n * sizeof(*keys));
	s->nkeys = n;
	tls_ticket_enable(s);
}

SSL *
tls_server_ssl(struct tls_server *s, uint32_t versions, bool psk)
{
	SSL *ssl = SSL_new(s->ctx[0]);

	if (ssl == NULL)
		return NULL;
	if (set_versions(ssl, versions) != 1)
		goto fail;
	if (psk && s->psk != NULL) {
		if (*s->psk_suites != '\0' &&
		    SSL_set_ciphersuites(ssl, s->psk_suites) != 1)
			goto fail;
		SSL_set_psk_server_callback(ssl, psk_cb);
	}
	SSL_set_accept_state(ssl);
	return ssl;
fail:
	SSL_free(ssl);
	return NULL;
}

/* ---- client ---- */

/* The library gives the session away; the last one is kept. */
static int
session_cb(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *c = tls_client_of(ssl);

	if (c == NULL)
		return 0;
	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

static bool
is_address(const char *text)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, text, ip) == 1 ||
	    inet_pton(AF_INET6, text, ip) == 1;
}

/* RFC 6066, 3: without a trailing dot. NULL: no name, or no memory. */
static char *
name_copy(const char *name)
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	return len < TLS_SNI_NAME ? strndup(name, len) : NULL;
}

/* What is sent, and what must stand in the certificate. */
static int
set_expected(struct tls_client *c, const struct tls_client_conf *conf)
{
	const char *ip = conf->name == NULL ? conf->ip :
	    is_address(conf->name) ? conf->name : NULL;
	bool expected = conf->verify && !conf->chain_only;

	if (ip != NULL) {
		c->ip = expected && is_address(ip) ? strdup(ip) : NULL;
		return c->ip != NULL || !expected;
	}
	if (conf->name == NULL)
		return !expected;
	if (!conf->silent && (c->sni = name_copy(conf->name)) == NULL)
		return 0;
	if (expected)
		c->host = name_copy(conf->name);
	return c->host != NULL || !expected;
}

/*
 * The authorities of the system, shared by all who use them: they are a
 * megabyte. Files of a directory are only looked at when one is needed.
 */
static X509_STORE *
system_store(char error[static TLS_ERROR])
{
	static X509_STORE *store;

	if (store == NULL && tls_load_system_has()) {
		store = X509_STORE_new();
		if (store != NULL && X509_STORE_set_default_paths(store) != 1) {
			X509_STORE_free(store);
			store = NULL;
		}
		ERR_clear_error();
	}
	if (store == NULL)
		snprintf(error, TLS_ERROR,
		    "tls: cannot load authorities: the system has none");
	return store;
}

static int
set_authorities(struct tls_client *c, const struct tls_client_conf *conf,
    char error[static TLS_ERROR])
{
	STACK_OF(X509) *all;
	X509_STORE *store;

	if (!conf->verify) {
		SSL_CTX_set_verify(c->ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	if (conf->ca.name == NULL) {
		store = system_store(error);
		if (store == NULL)
			return -1;
		SSL_CTX_set1_cert_store(c->ctx, store);
		return 0;
	}
	all = tls_load_authorities(&conf->ca, error);
	if (all == NULL)
		return -1;
	store = store_of(all);
	sk_X509_pop_free(all, X509_free);
	if (store == NULL) {
		set_nomem(error);
		return -1;
	}
	SSL_CTX_set_cert_store(c->ctx, store);
	return 0;
}

static int
set_own(struct tls_client *c, const struct tls_client_conf *conf,
    char error[static TLS_ERROR])
{
	struct tls_pair pair;
	char warning[TLS_ERROR] = "";
	int status;

	if (conf->own == NULL)
		return 0;
	c->remote = conf->own->keys != NULL;
	if (tls_load_pair(&pair, conf->own, error, warning) == -1)
		return -1;
	status = tls_load_into(c->ctx, &pair);
	if (status == -1)
		snprintf(error, TLS_ERROR,
		    "tls: cannot load certificate '%s': %s",
		    conf->own->cert.name, tls_library_reason());
	tls_pair_clear(&pair);
	return status;
}

static int
client_context(struct tls_client *c, const struct tls_client_conf *conf,
    char error[static TLS_ERROR])
{
	if (conf->like != NULL) {
		c->ctx = conf->like->ctx;
		c->remote = conf->like->remote;
		SSL_CTX_up_ref(c->ctx);
		return 0;
	}
	c->ctx = context_new(TLS_client_method(), conf->curves);
	if (c->ctx == NULL)
		return -1;
	if (!conf->fresh) {
		SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT |
		    SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(c->ctx, session_cb);
	}
	if (set_ciphers(c->ctx, conf->ciphers, false) == -1) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR,
		    "tls ciphers: no usable cipher in '%s'", conf->ciphers);
		return -1;
	}
	return set_authorities(c, conf, error) == -1 ||
	    set_own(c, conf, error) == -1 ? -1 : 0;
}

struct tls_client *
tls_client_new(const struct tls_client_conf *conf,
    char error[static TLS_ERROR])
{
	struct tls_client *c = calloc(1, sizeof(*c));

	snprintf(error, TLS_ERROR, "tls: out of memory");
	if (c == NULL)
		return NULL;
	c->refs = 1;
	c->versions = conf->versions;
	if (!set_expected(c, conf))
		snprintf(error, TLS_ERROR, "tls: no name to verify");
	else if (client_context(c, conf, error) == 0)
		return c;
	tls_client_unref(c);
	return NULL;
}

struct tls_client *
tls_client_ref(struct tls_client *c)
{
	c->refs++;
	return c;
}

void
tls_client_unref(struct tls_client *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->ctx);
	free(c->sni);
	free(c->host);
	free(c->ip);
	free(c);
}

void
tls_client_forget(struct tls_client *c)
{
	SSL_SESSION_free(c->session);
	c->session = NULL;
}

SSL *
tls_client_ssl(struct tls_client *c)
{
	SSL *ssl = SSL_new(c->ctx);

	if (ssl == NULL)
		return NULL;
	if (set_versions(ssl, c->versions) != 1 || (c->sni != NULL &&
	    SSL_set_tlsext_host_name(ssl, c->sni) != 1) ||
	    (c->host != NULL && SSL_set1_host(ssl, c->host) != 1) ||
	    (c->ip != NULL && X509_VERIFY_PARAM_set1_ip_asc(
	    SSL_get0_param(ssl), c->ip) != 1) ||
	    (c->session != NULL && SSL_SESSION_is_resumable(c->session) &&
	    SSL_set_session(ssl, c->session) != 1)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
