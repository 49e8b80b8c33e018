/*
 * Certificates for tests, made when they are needed, so that none in the
 * tree can expire.
 */
#ifndef TEST_TLS_CERTS_H
#define TEST_TLS_CERTS_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

/* As PEM text; free with cert_clear. */
struct cert {
	X509		*x;
	EVP_PKEY	*key;
	char		*pem, *key_pem;
};

struct cert_spec {
	const char	*type;		/* "P-256", "P-384", "RSA", "ED25519" */
	const char	*cn;
	const char	*san;		/* "DNS:a,IP:127.0.0.1"; NULL: none */
	const char	*passphrase;	/* NULL: key in the clear */
	int		 days;		/* from now until it expires */
	bool		 ca;
};

static inline EVP_PKEY *
cert_key(const char *type)
{
	if (strcmp(type, "RSA") == 0)
		return EVP_RSA_gen(2048);
	if (strcmp(type, "ED25519") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, type);
	return EVP_EC_gen(type);
}

static inline char *
cert_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	char *text = strndup(data, (size_t)n);

	BIO_free(bio);
	return text;
}

static inline void
cert_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e;

	if (value == NULL)
		return;
	e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* Signed by issuer; NULL: by itself. */
static inline struct cert
cert_make(const struct cert_spec *spec, const struct cert *issuer)
{
	static long serial = 1000;
	struct cert c = { .x = X509_new(), .key = cert_key(spec->type) };
	EVP_PKEY *signer = issuer != NULL ? issuer->key : c.key;
	X509_NAME *name = X509_get_subject_name(c.x);
	BIO *bio = BIO_new(BIO_s_mem());
	union { const char *in; void *out; } phrase = { spec->passphrase };

	assert_non_null(c.key);
	X509_set_version(c.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), serial++);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)spec->cn, -1, -1, 0);
	X509_set_issuer_name(c.x, issuer != NULL ?
	    X509_get_subject_name(issuer->x) : name);
	X509_gmtime_adj(X509_getm_notBefore(c.x), -86400L * 30);
	X509_gmtime_adj(X509_getm_notAfter(c.x), 86400L * spec->days);
	X509_set_pubkey(c.x, c.key);
	cert_extension(c.x, NID_subject_alt_name, spec->san);
	if (spec->ca)
		cert_extension(c.x, NID_basic_constraints,
		    "critical,CA:TRUE");
	assert_true(X509_sign(c.x, signer,
	    EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL :
	    EVP_sha256()) > 0);
	PEM_write_bio_X509(bio, c.x);
	c.pem = cert_text(bio);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, c.key, spec->passphrase != NULL ?
	    EVP_aes_128_cbc() : NULL, NULL, 0, NULL, phrase.out);
	c.key_pem = cert_text(bio);
	return c;
}

static inline void
cert_clear(struct cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c->pem);
	free(c->key_pem);
}

#endif
