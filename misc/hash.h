/*
 * A digest of 32 bytes: SHA-256 where OpenSSL is, else four 64-bit hashes
 * without a key, good for telling whether two sides agree and no more.
 */
#ifndef MISC_HASH_H
#define MISC_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE	32
#define HASH_MD5	16
#define HASH_SHA1	20

struct hash;

/* Never NULL: without memory the process ends with a message and 71. */
struct hash	*hash_new(void);
void		 hash_add(struct hash *, const void *, size_t);
/* Gives the digest and frees h. */
void		 hash_end(struct hash *, uint8_t digest[static HASH_SIZE]);

/* digest.h in one call, for keys made from text. Always true. */
bool		 hash_md5(const void *, size_t, uint8_t out[static HASH_MD5]);
bool		 hash_sha1(const void *, size_t,
		    uint8_t out[static HASH_SHA1]);

#endif
