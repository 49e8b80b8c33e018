/*
 * Signatures. A PEM text may hold several public keys and anything else
 * beside them; every Ed25519 key in it counts.
 */
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "features.h"
#include "sign.h"

#ifdef HAVE_OPENSSL

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

/* The next Ed25519 key of a text that is being read; NULL: no more. */
static EVP_PKEY *
key_next(BIO *bio)
{
	for (;;) {
		char *name = NULL, *header = NULL;
		unsigned char *data = NULL;
		const unsigned char *p;
		EVP_PKEY *key = NULL;
		long len;

		if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
			ERR_clear_error();
			return NULL;
		}
		p = data;
		if (strcmp(name, PEM_STRING_PUBLIC) == 0)
			key = d2i_PUBKEY(NULL, &p, len);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
		if (key != NULL && EVP_PKEY_is_a(key, "ED25519"))
			return key;
		EVP_PKEY_free(key);
		ERR_clear_error();
	}
}

static BIO *
keys_open(const char *pem, size_t len)
{
	return len > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)len);
}

int
sign_keys(const char *pem, size_t len)
{
	BIO *bio = keys_open(pem, len);
	EVP_PKEY *key;
	int n = 0;

	if (bio == NULL)
		return 0;
	for (; (key = key_next(bio)) != NULL; n++)
		EVP_PKEY_free(key);
	BIO_free(bio);
	return n;
}

static bool
key_signed(EVP_PKEY *key, const uint8_t *signature, const void *data,
    size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, signature, SIGN_SIZE, data, len) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

enum sign_result
sign_check(const char *pem, size_t pem_len,
    const uint8_t signature[static SIGN_SIZE], const void *data, size_t len)
{
	enum sign_result result = SIGN_NO_KEY;
	BIO *bio = keys_open(pem, pem_len);
	EVP_PKEY *key;

	if (bio == NULL)
		return SIGN_UNABLE;
	while (result != SIGN_GOOD && (key = key_next(bio)) != NULL) {
		result = key_signed(key, signature, data, len) ? SIGN_GOOD :
		    SIGN_BAD;
		EVP_PKEY_free(key);
	}
	BIO_free(bio);
	return result;
}

#else

int
sign_keys(const char *pem, size_t len)
{
	(void)pem;
	(void)len;
	return -1;
}

enum sign_result
sign_check(const char *pem, size_t pem_len,
    const uint8_t signature[static SIGN_SIZE], const void *data, size_t len)
{
	(void)pem;
	(void)pem_len;
	(void)signature;
	(void)data;
	(void)len;
	return SIGN_UNABLE;
}

#endif
