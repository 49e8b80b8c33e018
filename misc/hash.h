/*
 * A digest of 32 bytes: SHA-256 where OpenSSL is, else four 64-bit hashes
 * without a key, good for telling whether two sides agree and no more.
 */
#ifndef MISC_HASH_H
#define MISC_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE	32

struct hash;

/* Never NULL: without memory the process ends with a message and 71. */
struct hash	*hash_new(void);
void		 hash_add(struct hash *, const void *, size_t);
/* Gives the digest and frees h. */
void		 hash_end(struct hash *, uint8_t digest[static HASH_SIZE]);

#endif
