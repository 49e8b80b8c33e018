/*
 * Digests of configurations and of what they are made from.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "features.h"
#ifdef HAVE_OPENSSL
#include <openssl/evp.h>
#endif

#include "digest.h"
#include "hash.h"

#ifdef HAVE_OPENSSL

struct hash {
	EVP_MD_CTX	*md;
};

struct hash *
hash_new(void)
{
	struct hash *h = malloc(sizeof *h);

	if (h == NULL || (h->md = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) != 1)
		errx(EX_OSERR, "no memory for a digest");
	return h;
}

void
hash_add(struct hash *h, const void *data, size_t len)
{
	if (EVP_DigestUpdate(h->md, data, len) != 1)
		errx(EX_SOFTWARE, "SHA-256 fails");
}

void
hash_end(struct hash *h, uint8_t digest[static HASH_SIZE])
{
	if (EVP_DigestFinal_ex(h->md, digest, NULL) != 1)
		errx(EX_SOFTWARE, "SHA-256 fails");
	EVP_MD_CTX_free(h->md);
	free(h);
}

#else

#define LANES	4

struct hash {
	uint64_t	 lane[LANES];
	uint64_t	 length;
};

/* Odd, and without a pattern in their bits. */
static const uint64_t factors[LANES] = {
	UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f),
	UINT64_C(0xd6e8feb86659fd93), UINT64_C(0xa0761d6478bd642f),
};

struct hash *
hash_new(void)
{
	struct hash *h = calloc(1, sizeof *h);

	if (h == NULL)
		errx(EX_OSERR, "no memory for a digest");
	for (int i = 0; i < LANES; i++)
		h->lane[i] = factors[LANES - 1 - i];
	return h;
}

void
hash_add(struct hash *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	h->length += len;
	for (size_t n = 0; n < len; n++) {
		for (int i = 0; i < LANES; i++) {
			uint64_t x = (h->lane[i] ^ p[n]) * factors[i];

			h->lane[i] = x ^ x >> 29;
		}
	}
}

void
hash_end(struct hash *h, uint8_t digest[static HASH_SIZE])
{
	for (int i = 0; i < LANES; i++) {
		uint64_t x = h->lane[i] ^ h->length;

		for (int k = 0; k < 3; k++) {
			x *= factors[(i + k) % LANES];
			x ^= x >> 31;
		}
		memcpy(digest + 8 * i, &x, 8);
	}
	free(h);
}

#endif

static void
old_digest(enum digest_kind kind, const void *data, size_t len,
    uint8_t *out, size_t size)
{
	uint8_t all[DIGEST_MAX];
	struct digest d;

	digest_init(&d, kind);
	digest_add(&d, data, len);
	digest_end(&d, all);
	memcpy(out, all, size);
}

bool
hash_md5(const void *data, size_t len, uint8_t out[static HASH_MD5])
{
	old_digest(DIGEST_MD5, data, len, out, HASH_MD5);
	return true;
}

bool
hash_sha1(const void *data, size_t len, uint8_t out[static HASH_SHA1])
{
	old_digest(DIGEST_SHA1, data, len, out, HASH_SHA1);
	return true;
}
