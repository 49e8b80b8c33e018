/*
 * Pre-shared keys of a file: lines IDENTITY:HEXKEY, empty lines and comments
 * behind '#' at the start of a line. Pure; keys are cleansed when freed.
 */
#ifndef MISC_TLS_PSK_H
#define MISC_TLS_PSK_H

#include <stddef.h>
#include <stdint.h>

#define TLS_PSK_IDENTITY	255	/* longest identity */
#define TLS_PSK_KEY		64	/* longest key */
#define TLS_PSK_ERROR		128

struct tls_psk;

/* NULL: error is "line N: REASON". */
struct tls_psk	*tls_psk_new(const char *text, size_t len,
		    char error[static TLS_PSK_ERROR]);
void		 tls_psk_free(struct tls_psk *);
/* The key's length, 0: unknown identity. */
size_t		 tls_psk_find(const struct tls_psk *, const void *identity,
		    size_t len, const uint8_t **key);

#endif
