/*
 * MD5 (RFC 1321) and SHA-1 (RFC 3174), for what old languages name by them:
 * bodies of health checks, keys, entries of lists. Nothing here is a secret
 * or a signature. Ours, because a library may have been told to refuse them,
 * and since a struct digest needs no memory of its own.
 */
#ifndef MISC_DIGEST_H
#define MISC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum digest_kind { DIGEST_MD5, DIGEST_SHA1 };

#define DIGEST_MAX	20			/* bytes */
#define DIGEST_TEXT	(2 * DIGEST_MAX + 1)

struct digest {
	enum digest_kind kind;
	uint32_t	 h[5];
	uint64_t	 length;	/* bytes so far */
	uint8_t		 block[64];
};

void	 digest_init(struct digest *, enum digest_kind);
void	 digest_add(struct digest *, const void *, size_t);
/* How many bytes: 16 or 20. The digest must be started anew afterwards. */
size_t	 digest_end(struct digest *, uint8_t out[static DIGEST_MAX]);
/* The same in lower case hexadecimal digits. */
const char *digest_end_text(struct digest *, char out[static DIGEST_TEXT]);

#endif
