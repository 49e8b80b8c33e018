/*
 * TLS on streams: server side with certificates by name, client side towards
 * destinations. Built on OpenSSL; without it tls_available() is false and
 * every constructor fails with a text.
 *
 * The library never touches the socket: records are received into the
 * process' raw buffer and followed by their headers so that no byte past the
 * record in hand reaches the library, and what it sends is gathered into one
 * send. So the record layer can later become ours.
 */
#ifndef MISC_TLS_H
#define MISC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

#define TLS_ERROR	256	/* size of a text for what went wrong */
#define TLS_V1_2	1u
#define TLS_V1_3	2u

struct keyproc;
struct tls_server;
struct tls_client;

/* Bytes of a file; data NULL: none. name is for messages. */
struct tls_file {
	const char	*name;
	const char	*data;
	size_t		 len;
};

/* Parameters of ephemeral DH, of servers up to TLS 1.2; LEGACY: 1024 bits,
 * where the library's security level has them. */
enum tls_dh { TLS_DH_NONE, TLS_DH_AUTO, TLS_DH_LEGACY };
enum tls_verify { TLS_VERIFY_NO, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

struct tls_keypair {
	struct tls_file		 cert;		/* leaf and intermediates */
	struct tls_file		 key;		/* data NULL: in cert */
	const char		*passphrase;	/* NULL: none */
	const char *const	*names;		/* DNS, "*.d", "*"; of SNI */
	size_t			 nnames;	/* 0: from the certificate */
	/* The private key is there, the index-th one; NULL: in key. */
	struct keyproc		*keys;
	uint32_t		 index;
	struct tls_file		 ocsp;		/* a response, DER: stapled */
};

struct tls_server_conf {
	struct tls_keypair	*main;		/* NULL: none */
	struct tls_keypair	*sni;
	size_t			 nsni;
	struct tls_file		 ca;
	enum tls_verify		 verify;
	const char		*ciphers;	/* up to 1.2; NULL */
	const char		*suites;	/* 1.3; NULL */
	struct tls_file		 psk;		/* IDENTITY:HEXKEY lines */
	bool			 tickets;
	unsigned		 lifetime;	/* of tickets, s */
	/* Keys do nothing but sign: no key exchange that decrypts. */
	bool			 sign_only;
	const char		*curves;	/* with colons; NULL: ours */
	enum tls_dh		 dh;
	bool			 client_preference;	/* of ciphers */
	/* Of several certificates for a name the first one counts; that of
	 * main are its names, too, and there need not be any. */
	bool			 first_counts;
};

struct tls_client_conf {
	uint32_t		 versions;	/* TLS_V1_2 | TLS_V1_3 */
	bool			 verify;
	const char		*name;		/* SNI and certificate; NULL */
	const char		*ip;		/* without name: must be in it */
	struct tls_file		 ca;		/* name NULL: the system's */
	struct tls_keypair	*own;		/* NULL: none shown */
	bool			 fresh;		/* nothing is resumed */
	const char		*ciphers, *curves;	/* as of a server */
	bool			 chain_only;	/* verified, whose it ever is */
	bool			 silent;	/* name is not sent */
	/* Another one that differs in name, ip and silent only: shares its
	 * context, and what is large in it. NULL: none. */
	const struct tls_client	*like;
};

struct tls_ticket_key { uint8_t name[16], key[32], auth[32]; };

bool	 tls_available(void);
/* Whether a list in the library's syntax selects at least one cipher up to
 * TLS 1.2. Without TLS support nothing is known. */
bool	 tls_ciphers_known(const char *list);
/* Names of curves separated by commas (or colons). The first one that the
 * library does not know, which may be empty, is put into bad. */
bool	 tls_curves_known(const char *list, char *bad, size_t size);

/*
 * error gets the reason without file and line ("tls: cannot load certificate
 * 'F': REASON"); all of section 10 and 3.16. error_index tells which keypair
 * (0 main, n the n-th sni, -1 none in particular). NULL on failure. warning
 * (may be empty) is for what is only odd: expiry within 14 days. Everything
 * is copied; refcounted with tls_server_ref/_unref.
 */
struct tls_server	*tls_server_new(const struct tls_server_conf *,
			    char error[static TLS_ERROR], int *error_index,
			    char warning[static TLS_ERROR]);
/* One keypair alone, so that all that is wrong can be told in one run: 0, or
 * -1 and error. */
int			 tls_keypair_check(const struct tls_keypair *,
			    char error[static TLS_ERROR],
			    char warning[static TLS_ERROR]);
struct tls_server	*tls_server_ref(struct tls_server *);
void			 tls_server_unref(struct tls_server *);
/* 1 to 5 keys; the first one encrypts, all decrypt. Until then: none. */
void			 tls_server_tickets(struct tls_server *,
			    const struct tls_ticket_key *, unsigned n);
struct tls_client	*tls_client_new(const struct tls_client_conf *,
			    char error[static TLS_ERROR]);
void			 tls_client_unref(struct tls_client *);

/* Put TLS on a plain stream; it is then in its handshake. 0, -1 ENOMEM.
 * versions: TLS_V1_* of the listener; psk: keys of the PSK file permitted. */
int	 stream_tls_accept(struct stream *, struct tls_server *,
	    uint32_t versions, bool psk);
int	 stream_tls_connect(struct stream *, struct tls_client *);
/* Before the handshake of a client: name is sent (SNI) instead of the one in
 * its configuration. Not for one that verifies. -1: it cannot be sent. */
int	 stream_tls_name(struct stream *, const char *name);

enum tls_step {
	TLS_DONE,		/* handshake complete */
	TLS_MORE,		/* wait for readability (and, blocked, for
				   writability) */
	TLS_ASYNC,		/* waits for the key process: see
				   stream_tls_notify(); nothing is read */
	TLS_FAILED		/* tls_reason says why; alert sent if possible */
};
/* Go on with the handshake. Bytes that follow it are kept: pending. */
enum tls_step	 stream_handshake(struct stream_env *, struct stream *);
const char	*stream_tls_reason(const struct stream *);
/* Called when a handshake that waits (TLS_ASYNC) has something to go on
 * with: from within the loop, not from within a call for this stream. */
void		 stream_tls_notify(struct stream *, void (*cb)(void *ctx),
		    void *ctx);
/* After the handshake. "-" when not known. buf: "TLSv1.3/SUITE". */
const char	*stream_tls_text(const struct stream *, char *buf, size_t);
const char	*stream_tls_sni(const struct stream *);		/* or NULL */
const char	*stream_tls_alpn(const struct stream *, char *buf, size_t);
bool		 stream_tls_resumed(const struct stream *);
/* Subject of a verified client certificate, or NULL. unverified: one was
 * asked for by "optional" and none, or a bad one, came. */
const char	*stream_tls_peer(const struct stream *, char *buf, size_t);
bool		 stream_tls_unverified(const struct stream *);
/* Whether our close alert went out and the peer's has come. */
bool		 stream_tls_closing(const struct stream *);

/* Once per process, after a burst of handshakes: give memory back. */
void		 tls_trim(void);

#endif
