/*
 * Detached Ed25519 signatures (RFC 8032), checked by OpenSSL.
 */
#ifndef MISC_SIGN_H
#define MISC_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define SIGN_SIZE	64

enum sign_result {
	SIGN_GOOD,
	SIGN_BAD,		/* none of the keys has signed that */
	SIGN_NO_KEY,		/* there is no Ed25519 public key in pem */
	SIGN_UNABLE		/* built without OpenSSL, or no memory */
};

/* How many Ed25519 public keys a PEM text has; -1: built without OpenSSL. */
int		 sign_keys(const char *pem, size_t len);
/* Whether one of the keys has signed the data. */
enum sign_result sign_check(const char *pem, size_t pem_len,
		    const uint8_t signature[static SIGN_SIZE],
		    const void *data, size_t len);

#endif
