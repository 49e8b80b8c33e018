/*
 * Which certificate for which client: pure, nothing of a TLS library. Names
 * in, an index out; and the three extensions of a ClientHello that decide.
 */
#ifndef MISC_TLS_SNI_H
#define MISC_TLS_SNI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_SNI_NAME	256	/* a server name with its NUL */
#define TLS_SNI_NONE	((size_t)-1)

/* In the order in which they are preferred. */
enum tls_key_type {
	TLS_KEY_ECDSA, TLS_KEY_ED25519, TLS_KEY_ED448, TLS_KEY_RSA
};

/* What a client can check, and which of it (any one) a key can do. */
#define TLS_OFFER_P256		0x01u
#define TLS_OFFER_P384		0x02u
#define TLS_OFFER_P521		0x04u
#define TLS_OFFER_ECDSA		0x07u
#define TLS_OFFER_ED25519	0x08u
#define TLS_OFFER_ED448		0x10u
#define TLS_OFFER_RSA		0x20u
#define TLS_OFFER_RSA_PSS	0x40u	/* keys of type RSASSA-PSS */

/* A certificate to choose from. */
struct tls_sni_cert {
	const char *const	*names;	/* "a.b", "*.b", "*" */
	size_t			 nnames;
	bool			 main;	/* stands for "*", before it, ... */
	bool			 named;	/* ... and for its names as well */
	enum tls_key_type	 type;
	uint32_t		 offer;	/* one of these must be offered */
};

struct tls_sni;

/*
 * The table of all names; they are copied. NULL and ENOMEM; or EEXIST, a name
 * was given twice for keys of one type: *twice is the index of the second
 * certificate, name which one. twice NULL: nobody minds, the first one counts.
 */
struct tls_sni	*tls_sni_new(const struct tls_sni_cert *, size_t n,
		    size_t *twice, char name[static TLS_SNI_NAME]);
void		 tls_sni_free(struct tls_sni *);
/* Index of the certificate for name (of len bytes; 0: none was sent) and
 * what is offered, or TLS_SNI_NONE. */
size_t		 tls_sni_pick(const struct tls_sni *, const char *name,
		    size_t len, uint32_t offer);
const char	*tls_key_type_text(enum tls_key_type);
/* "a.b", "*.b" or "*", as a certificate or a configuration may name it. */
bool		 tls_sni_valid(const char *name, size_t len);

/* The body of the extension server_name. The host name's length, 0: none. */
size_t		 tls_sni_name(const uint8_t *, size_t, const char **name);

/* A ClientHello as far as it tells which keys it can check; bodies of
 * extensions, NULL: not sent. */
struct tls_sni_hello {
	const uint8_t	*sigalgs, *versions, *suites;	/* suites: no length */
	size_t		 sigalgs_len, versions_len, suites_len;
};
uint32_t	 tls_sni_offer(const struct tls_sni_hello *, bool tls13);

#endif
