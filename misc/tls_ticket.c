/*
 * Session tickets: stateless, encrypted with keys that the master makes and
 * rotates, so that any worker resumes what another one began. Nothing is
 * remembered here but the keys.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <string.h>
#include <time.h>

#include "tls_lib.h"

/* Fetched once: a look-up by name for every ticket costs more than the
 * ticket's encryption. */
static EVP_CIPHER *ticket_cipher;

static struct tls_server *
server_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int
set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *k)
{
	uint8_t auth[sizeof(k->auth)];
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, auth,
		    sizeof(auth)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    digest, 0),
		OSSL_PARAM_construct_end()
	};
	int ok;

	memcpy(auth, k->auth, sizeof(auth));
	ok = EVP_MAC_CTX_set_params(mac, params);
	OPENSSL_cleanse(auth, sizeof(auth));
	return ok;
}

static int
encrypt(const struct tls_server *s, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct tls_ticket_key *k = &s->keys[0];

	if (s->nkeys == 0)
		return 0;
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher)) != 1)
		return -1;
	memcpy(name, k->name, sizeof(k->name));
	if (EVP_EncryptInit_ex2(cipher, ticket_cipher, k->key, iv,
	    NULL) != 1 || set_mac(mac, k) != 1)
		return -1;
	return 1;
}

static int
decrypt(const struct tls_server *s, const unsigned char *name,
    const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	for (unsigned i = 0; i < s->nkeys; i++) {
		const struct tls_ticket_key *k = &s->keys[i];

		if (memcmp(name, k->name, sizeof(k->name)) != 0)
			continue;
		if (EVP_DecryptInit_ex2(cipher, ticket_cipher, k->key, iv,
		    NULL) != 1 || set_mac(mac, k) != 1)
			return -1;
		return i == 0 ? 1 : 2;		/* 2: give a newer one */
	}
	return 0;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): -1 fails the handshake, 0 goes on
 * without a ticket. */
static int
key_cb(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypting)
{
	const struct tls_server *s = server_of(ssl);

	return encrypting ? encrypt(s, name, iv, cipher, mac) :
	    decrypt(s, name, iv, cipher, mac);
}

/* When the session's full handshake was: every renewal carries it on, so
 * that no identity outlives two lifetimes. */
static int
issue_cb(SSL *ssl, void *arg)
{
	SSL_SESSION *session = SSL_get_session(ssl);
	int64_t now = time(NULL);
	void *began = NULL;
	size_t len = 0;

	(void)arg;
	if (SSL_SESSION_get0_ticket_appdata(session, &began, &len) == 1 &&
	    began != NULL && len == sizeof(now))
		return 1;
	return SSL_SESSION_set1_ticket_appdata(session, &now, sizeof(now));
}

static bool
too_old(const struct tls_server *s, SSL_SESSION *session)
{
	int64_t now = time(NULL), began;
	void *data = NULL;
	size_t len = 0;

	if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 ||
	    data == NULL || len != sizeof(began))
		return true;
	memcpy(&began, data, sizeof(began));
	return began > now || now - began > 2 * (int64_t)s->lifetime;
}

static SSL_TICKET_RETURN
accept_cb(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t len, SSL_TICKET_STATUS status, void *arg)
{
	(void)name;
	(void)len;
	(void)arg;
	switch (status) {
	case SSL_TICKET_SUCCESS:
	case SSL_TICKET_SUCCESS_RENEW:
		if (too_old(server_of(ssl), session))
			return SSL_TICKET_RETURN_IGNORE_RENEW;
		/* Clients of 1.3 use a ticket once (RFC 8446, C.4). */
		if (status == SSL_TICKET_SUCCESS_RENEW ||
		    SSL_version(ssl) >= TLS1_3_VERSION)
			return SSL_TICKET_RETURN_USE_RENEW;
		return SSL_TICKET_RETURN_USE;
	default:
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	}
}

/* One ticket, not the library's two: the second costs 8 % of a handshake. */
static void
enable(SSL_CTX *ctx, bool on)
{
	SSL_CTX_set_num_tickets(ctx, on ? 1 : 0);
	if (on)
		SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	else
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

void
tls_ticket_setup(SSL_CTX *ctx, struct tls_server *s)
{
	if (ticket_cipher == NULL)
		ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	SSL_CTX_set_timeout(ctx, (long)s->lifetime);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, key_cb);
	SSL_CTX_set_session_ticket_cb(ctx, issue_cb, accept_cb, NULL);
	enable(ctx, false);		/* until there are keys */
}

void
tls_ticket_enable(struct tls_server *s)
{
	bool on = s->tickets && s->nkeys > 0 && ticket_cipher != NULL;

	for (size_t i = 0; i < s->nctx; i++)
		enable(s->ctx[i], on);
}
