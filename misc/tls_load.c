/*
 * Certificates, keys and authorities: from the bytes of a file to OpenSSL's
 * objects. Opens no file and never asks anybody for a passphrase.
 */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tls_lib.h"

#define WARN_DAYS	14

/* The first one of libssl itself, which knows what it was doing; those of
 * the layers below it come before. */
unsigned long
tls_library_error(void)
{
	unsigned long first = ERR_get_error(), code = first;

	while (code != 0 && ERR_GET_LIB(code) != ERR_LIB_SSL)
		code = ERR_get_error();
	ERR_clear_error();
	return code != 0 ? code : first;
}

const char *
tls_error_text(unsigned long code)
{
	const char *text = NULL;

	if (code != 0)
		text = ERR_SYSTEM_ERROR(code) ?
		    strerror(ERR_GET_REASON(code)) :
		    ERR_reason_error_string(code);
	return text != NULL ? text : "unknown reason";
}

const char *
tls_library_reason(void)
{
	return tls_error_text(tls_library_error());
}

/* Without a passphrase the answer is "none", never a question on the
 * terminal, which is what OpenSSL does when there is no callback. */
static int
passphrase_cb(char *buf, int size, int writing, void *ctx)
{
	const char *passphrase = ctx;
	size_t len;

	(void)writing;
	if (passphrase == NULL)
		return -1;
	len = strlen(passphrase);
	if (size < 0 || len > (size_t)size)
		return -1;
	memcpy(buf, passphrase, len);
	return (int)len;
}

static BIO *
file_bio(const struct tls_file *f)
{
	if (f->data == NULL || f->len > INT_MAX)
		return NULL;
	return BIO_new_mem_buf(f->data, (int)f->len);
}

/* The end of a PEM file shows as an error that is none. */
static bool
only_end(void)
{
	unsigned long code = ERR_peek_last_error();

	return ERR_GET_LIB(code) == ERR_LIB_PEM &&
	    ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* All certificates of a file, at least one. NULL: see tls_library_reason. */
static STACK_OF(X509) *
read_certificates(const struct tls_file *f)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	BIO *bio = file_bio(f);
	X509 *x;

	ERR_clear_error();
	if (all == NULL || bio == NULL)
		goto fail;
	while ((x = PEM_read_bio_X509(bio, NULL, passphrase_cb, NULL)) != NULL)
		if (sk_X509_push(all, x) == 0) {
			X509_free(x);
			goto fail;
		}
	if (sk_X509_num(all) == 0 || !only_end())
		goto fail;
	ERR_clear_error();
	BIO_free(bio);
	return all;
fail:
	sk_X509_pop_free(all, X509_free);
	BIO_free(bio);
	return NULL;
}

static const char *
certificate_reason(void)
{
	return only_end() ? (ERR_clear_error(), "no certificate in it") :
	    tls_library_reason();
}

STACK_OF(X509) *
tls_load_authorities(const struct tls_file *f, char error[static TLS_ERROR])
{
	STACK_OF(X509) *all = read_certificates(f);

	if (all == NULL)
		snprintf(error, TLS_ERROR,
		    "tls: cannot load authorities '%s': %s", f->name,
		    certificate_reason());
	return all;
}

static const char *
system_path(const char *variable, const char *otherwise)
{
	const char *path = getenv(variable);

	return path != NULL ? path : otherwise;
}

bool
tls_load_system_has(void)
{
	const char *file = system_path(X509_get_default_cert_file_env(),
	    X509_get_default_cert_file());
	const char *path = system_path(X509_get_default_cert_dir_env(),
	    X509_get_default_cert_dir());
	bool found = access(file, R_OK) == 0;
	struct dirent *entry;
	DIR *dir = found ? NULL : opendir(path);

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
		found = entry->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return found;
}

static EVP_PKEY *
read_key(const struct tls_file *f, const char *passphrase)
{
	union { const char *in; void *out; } user = { .in = passphrase };
	BIO *bio = file_bio(f);
	EVP_PKEY *key;

	if (bio == NULL)
		return NULL;
	key = PEM_read_bio_PrivateKey(bio, NULL, passphrase_cb, user.out);
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

static int
key_kind(struct tls_pair *p)
{
	int bits = EVP_PKEY_get_bits(p->key);

	switch (EVP_PKEY_get_base_id(p->key)) {
	case EVP_PKEY_RSA:
		p->type = TLS_KEY_RSA;
		p->offer = TLS_OFFER_RSA;
		return 0;
	case EVP_PKEY_RSA_PSS:
		p->type = TLS_KEY_RSA;
		p->offer = TLS_OFFER_RSA_PSS;
		return 0;
	case EVP_PKEY_EC:
		p->type = TLS_KEY_ECDSA;
		p->offer = bits == 256 ? TLS_OFFER_P256 :
		    bits == 384 ? TLS_OFFER_P384 :
		    bits == 521 ? TLS_OFFER_P521 : TLS_OFFER_ECDSA;
		return 0;
	case EVP_PKEY_ED25519:
		p->type = TLS_KEY_ED25519;
		p->offer = TLS_OFFER_ED25519;
		return 0;
	case EVP_PKEY_ED448:
		p->type = TLS_KEY_ED448;
		p->offer = TLS_OFFER_ED448;
		return 0;
	}
	return -1;
}

static int
add_name(struct tls_pair *p, const char *name, size_t len)
{
	char **names;

	if (!tls_sni_valid(name, len))
		return 0;		/* nobody can ask for it */
	names = realloc(p->names, (p->nnames + 1) * sizeof(*names));
	if (names == NULL)
		return -1;
	p->names = names;
	names[p->nnames] = strndup(name, len);
	if (names[p->nnames] == NULL)
		return -1;
	p->nnames++;
	return 0;
}

static int
read_names(struct tls_pair *p)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(p->leaf, NID_subject_alt_name,
	    NULL, NULL);
	int status = 0;

	for (int i = 0; status == 0 && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			status = add_name(p, (const char *)
			    ASN1_STRING_get0_data(name->d.dNSName),
			    (size_t)ASN1_STRING_length(name->d.dNSName));
	}
	GENERAL_NAMES_free(all);
	return status;
}

/* The first one is kept: there is one line to say it in. */
static void
check_expiry(const struct tls_pair *p, const char *file,
    char warning[static TLS_ERROR])
{
	const ASN1_TIME *end = X509_get0_notAfter(p->leaf);
	time_t soon = time(NULL) + WARN_DAYS * 86400;
	struct tm tm;
	char date[32] = "?";

	if (warning[0] != '\0' || X509_cmp_time(end, &soon) >= 0)
		return;
	if (ASN1_TIME_to_tm(end, &tm) == 1)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(warning, TLS_ERROR, "tls: certificate '%s' %s %s", file,
	    X509_cmp_current_time(end) < 0 ? "expired on" : "expires on",
	    date);
}

static int
load_certificate(struct tls_pair *p, const struct tls_file *f,
    char error[static TLS_ERROR])
{
	p->chain = read_certificates(f);
	if (p->chain == NULL) {
		snprintf(error, TLS_ERROR,
		    "tls: cannot load certificate '%s': %s", f->name,
		    certificate_reason());
		return -1;
	}
	p->leaf = sk_X509_shift(p->chain);
	if (read_names(p) == -1) {
		snprintf(error, TLS_ERROR,
		    "tls: cannot load certificate '%s': out of memory",
		    f->name);
		return -1;
	}
	return 0;
}

int
tls_pair_common_name(struct tls_pair *p)
{
	const X509_NAME *subject = X509_get_subject_name(p->leaf);
	const ASN1_STRING *text;
	int at;

	if (p->nnames > 0 ||
	    (at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)) < 0)
		return 0;
	text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	if (text == NULL || ASN1_STRING_length(text) <= 0)
		return 0;
	return add_name(p, (const char *)ASN1_STRING_get0_data(text),
	    (size_t)ASN1_STRING_length(text));
}

/* Sent as it is, so that it had better be one. That it is out of date is the
 * client's to judge, who fetches responses is to be told. */
static int
load_staple(struct tls_pair *p, const struct tls_file *f,
    char error[static TLS_ERROR], char warning[static TLS_ERROR])
{
	const unsigned char *at = (const unsigned char *)f->data;
	ASN1_GENERALIZEDTIME *next = NULL;
	OCSP_BASICRESP *basic = NULL;
	OCSP_RESPONSE *r;

	if (f->data == NULL || f->len == 0)
		return 0;
	r = f->len > INT_MAX ? NULL :
	    d2i_OCSP_RESPONSE(NULL, &at, (long)f->len);
	if (r != NULL && OCSP_response_status(r) ==
	    OCSP_RESPONSE_STATUS_SUCCESSFUL)
		basic = OCSP_response_get1_basic(r);
	OCSP_RESPONSE_free(r);
	if (basic == NULL) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR,
		    "tls: cannot load OCSP response '%s': not a successful "
		    "one in DER form", f->name);
		return -1;
	}
	if (OCSP_resp_count(basic) > 0)
		OCSP_single_get0_status(OCSP_resp_get0(basic, 0), NULL, NULL,
		    NULL, &next);
	if (next != NULL && warning[0] == '\0' &&
	    X509_cmp_current_time(next) < 0)
		snprintf(warning, TLS_ERROR,
		    "tls: OCSP response '%s' is out of date", f->name);
	OCSP_BASICRESP_free(basic);
	p->staple.data = malloc(f->len);
	if (p->staple.data == NULL) {
		snprintf(error, TLS_ERROR, "tls: out of memory");
		return -1;
	}
	memcpy(p->staple.data, f->data, f->len);
	p->staple.len = f->len;
	return 0;
}

/* The certificate tells what a key is that is not here. */
static int
load_remote(struct tls_pair *p, const struct tls_keypair *k,
    char error[static TLS_ERROR])
{
	p->key = X509_get_pubkey(p->leaf);
	if (p->key != NULL && key_kind(p) == 0) {
		EVP_PKEY *public = p->key;

		p->key = keyproc_key(k->keys, k->index, public);
		EVP_PKEY_free(public);
		if (p->key != NULL)
			return 0;
	}
	snprintf(error, TLS_ERROR,
	    "tls: cannot use the key process for certificate '%s': %s",
	    k->cert.name, tls_library_reason());
	return -1;
}

int
tls_load_pair(struct tls_pair *p, const struct tls_keypair *k,
    char error[static TLS_ERROR], char warning[static TLS_ERROR])
{
	const struct tls_file *key = k->key.data != NULL ? &k->key : &k->cert;

	memset(p, 0, sizeof(*p));
	if (load_certificate(p, &k->cert, error) == -1 ||
	    load_staple(p, &k->ocsp, error, warning) == -1)
		goto fail;
	if (k->keys != NULL) {
		if (load_remote(p, k, error) == -1)
			goto fail;
		return 0;
	}
	p->key = read_key(key, k->passphrase);
	if (p->key == NULL || key_kind(p) == -1) {
		snprintf(error, TLS_ERROR,
		    "tls: cannot load key '%s': wrong passphrase or format",
		    key->name);
		goto fail;
	}
	if (X509_check_private_key(p->leaf, p->key) != 1) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR,
		    "tls: key '%s' does not match certificate '%s'",
		    key->name, k->cert.name);
		goto fail;
	}
	check_expiry(p, k->cert.name, warning);
	return 0;
fail:
	tls_pair_clear(p);
	return -1;
}

void
tls_pair_clear(struct tls_pair *p)
{
	X509_free(p->leaf);
	sk_X509_pop_free(p->chain, X509_free);
	EVP_PKEY_free(p->key);
	for (size_t i = 0; i < p->nnames; i++)
		free(p->names[i]);
	free(p->names);
	free(p->staple.data);
	memset(p, 0, sizeof(*p));
}

int
tls_load_into(SSL_CTX *ctx, const struct tls_pair *p)
{
	if (SSL_CTX_use_cert_and_key(ctx, p->leaf, p->key, p->chain, 1) != 1)
		return -1;
	return 0;
}
