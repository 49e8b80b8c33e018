/*
 * OpenSSL's side of keyproc.h: keys that are elsewhere.
 */
#ifndef MISC_KEYPROC_LIB_H
#define MISC_KEYPROC_LIB_H

#include <openssl/evp.h>

#include "keyproc.h"

/*
 * A key that signs by asking, for a certificate with that public key: the
 * index-th one of the key process. NULL: see tls_library_reason().
 */
EVP_PKEY	*keyproc_key(struct keyproc *, uint32_t index,
		    EVP_PKEY *public);

/* Between keyproc.c and keyproc_provider.c: a question, while it is asked.
 * It lives where the signature is asked for. */
struct keyproc_ask {
	uint32_t	 key;
	enum keyproc_hash hash;
	enum keyproc_padding padding;
	const uint8_t	*bytes;
	size_t		 len;
	uint8_t		*signature;
	size_t		 room, got;
};

/* Asks and waits, aside or within the call. 0: a->got bytes; -1. */
int		 keyproc_ask(struct keyproc *, struct keyproc_ask *);

#endif
