/*
 * What the files of TLS share and nobody else includes: OpenSSL's side of
 * tls.h.
 */
#ifndef MISC_TLS_LIB_H
#define MISC_TLS_LIB_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyproc_lib.h"
#include "tls.h"
#include "tls_psk.h"
#include "tls_sni.h"

#define TLS_TICKET_KEYS	5

/* What is sent to clients who ask for the certificate's status. */
struct tls_staple {
	uint8_t		*data;		/* NULL: nothing */
	size_t		 len;
};

/* Reference counted: its owner's configuration and every stream on it. */
struct tls_server {
	unsigned		  refs;
	SSL_CTX			**ctx;	/* [0]: main, or without certificate */
	size_t			  nctx;
	bool			  main;	/* [0] has a certificate */
	bool			  remote;	/* keys are elsewhere */
	struct tls_staple	 *staples;	/* as ctx */
	struct tls_sni		 *sni;	/* NULL: nothing to choose from */
	size_t			 *picks;	/* its certificates in ctx */
	enum tls_verify		  verify;
	bool			  tickets;
	unsigned		  lifetime;	/* s */
	struct tls_psk		 *psk;
	char			 *psk_suites;	/* 1.3, SHA-256 first */
	struct tls_ticket_key	  keys[TLS_TICKET_KEYS];
	unsigned		  nkeys;
};

struct tls_client {
	unsigned	 refs;
	SSL_CTX		*ctx;
	uint32_t	 versions;
	char		*sni;		/* NULL: none sent */
	char		*host, *ip;	/* one of them must be in the peer's
					   certificate; NULL */
	bool		 remote;	/* its key is elsewhere */
	SSL_SESSION	*session;	/* to resume; NULL */
};

/* What a callback of OpenSSL is about, stream_tls.c. */
void		 tls_set_reason(struct tls *, const char *);
struct tls	*tls_of(const SSL *);
struct tls_client *tls_client_of(const SSL *);
void		 tls_set_alpn(struct tls *, const uint8_t *, size_t);
bool		 tls_psk_permitted(const struct tls *);

/* tls.c, for stream_tls.c: references, and an SSL object set up for the role
 * (versions, keys, name, session to resume); NULL: out of memory. */
struct tls_client *tls_client_ref(struct tls_client *);
SSL		*tls_server_ssl(struct tls_server *, uint32_t versions,
		    bool psk);
SSL		*tls_client_ssl(struct tls_client *);
/* The handshake failed: what was to be resumed is forgotten. */
void		 tls_client_forget(struct tls_client *);

/* tls_ticket.c: the context issues and takes tickets of its server's keys. */
void		 tls_ticket_setup(SSL_CTX *, struct tls_server *);
/* After a change of keys. */
void		 tls_ticket_enable(struct tls_server *);

/* ---- tls_load.c: bytes of files to objects ---- */

struct tls_pair {
	X509			*leaf;
	STACK_OF(X509)		*chain;		/* intermediates */
	EVP_PKEY		*key;
	enum tls_key_type	 type;
	uint32_t		 offer;
	char			**names;	/* DNS names of the leaf */
	size_t			 nnames;
	struct tls_staple	 staple;
};

/* -1: error has the text, p is cleared. warning is only ever set. */
int		 tls_load_pair(struct tls_pair *, const struct tls_keypair *,
		    char error[static TLS_ERROR],
		    char warning[static TLS_ERROR]);
void		 tls_pair_clear(struct tls_pair *);
int		 tls_load_into(SSL_CTX *, const struct tls_pair *);
/* The subject's common name is one where there is no other. -1: no memory. */
int		 tls_pair_common_name(struct tls_pair *);
STACK_OF(X509)	*tls_load_authorities(const struct tls_file *,
		    char error[static TLS_ERROR]);
/* Whether there is a file or directory of authorities at all. */
bool		 tls_load_system_has(void);
/* What went wrong in OpenSSL; empties its queue of errors. */
unsigned long	 tls_library_error(void);
const char	*tls_error_text(unsigned long code);
const char	*tls_library_reason(void);	/* both in one */

#endif
