/*
 * Private keys in a process of their own. A worker has certificates only;
 * where TLS needs a signature, the question goes over a socket pair and the
 * handshake is put aside until the answer is there.
 *
 * Two halves: keyproc_provider.c in the worker, keyproc_serve.c where the
 * keys are; keyproc_msg.c is what they say to each other.
 */
#ifndef MISC_KEYPROC_H
#define MISC_KEYPROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev;
struct tls_keypair;

#define KEYPROC_JOBS		64	/* handshakes that wait at a time */
#define KEYPROC_SLOTS		(KEYPROC_JOBS + 1)
#define KEYPROC_MESSAGE		65536	/* longest message, either way */
#define KEYPROC_SIGNATURE	2048	/* longest signature */
/* Longest bytes to be signed, so that they fit into a message. */
#define KEYPROC_BYTES		(KEYPROC_MESSAGE - 256)

/* ---- what is said: any number of these in a message ---- */

/* Worker to key process; behind it the bytes to be signed. */
struct keyproc_request {
	uint32_t	slot, turn;	/* who asks: comes back */
	uint32_t	key;
	uint8_t		hash;		/* enum keyproc_hash */
	uint8_t		padding;	/* enum keyproc_padding */
	uint16_t	zero;
	uint32_t	len;
};

/* And back; behind it the signature. len 0: refused. */
struct keyproc_answer {
	uint32_t	slot, turn;
	uint32_t	len;
};

enum keyproc_hash { KEYPROC_NO_HASH, KEYPROC_SHA224, KEYPROC_SHA256,
    KEYPROC_SHA384, KEYPROC_SHA512, KEYPROC_HASHES };
enum keyproc_padding { KEYPROC_NO_PADDING, KEYPROC_PKCS1, KEYPROC_PSS,
    KEYPROC_PADDINGS };

/* What a key signs; bits. Nothing else is ever signed with it. */
#define KEYPROC_SERVER_12	1u	/* ServerKeyExchange */
#define KEYPROC_SERVER_13	2u	/* CertificateVerify */
#define KEYPROC_CLIENT_12	4u
#define KEYPROC_CLIENT_13	8u

/*
 * Pure: takes the next one off a message. 1: *r and *bytes are set, 0: there
 * is no more, -1: no message of ours.
 */
int	 keyproc_request_next(const uint8_t **p, size_t *n,
	    struct keyproc_request *r, const uint8_t **bytes);
int	 keyproc_answer_next(const uint8_t **p, size_t *n,
	    struct keyproc_answer *a, const uint8_t **bytes);
/* Pure: the one of these uses whose form the bytes have, 0: none. */
unsigned keyproc_form(unsigned uses, const uint8_t *bytes, size_t n);
const char *keyproc_hash_name(unsigned hash);	/* NULL: there is none */
/* KEYPROC_HASHES: none that we know. */
enum keyproc_hash keyproc_hash_find(const char *name);

/* ---- the worker's half ---- */

/*
 * The way to one key process, counted: by its owner and by every key. It
 * need not be there yet, and may come again: what was not answered is asked
 * again then.
 */
struct keyproc;

struct keyproc	*keyproc_new(struct ev *);		/* NULL, errno */
/* late is called once for each question that waits for that long, with its
 * number, the first one being 1; it goes on waiting. */
void		 keyproc_patience(struct keyproc *, uint64_t ns,
		    void (*late)(uint64_t number));
struct keyproc	*keyproc_ref(struct keyproc *);
void		 keyproc_unref(struct keyproc *);
/* Takes fd over, instead of the one before. */
void		 keyproc_attach(struct keyproc *, int fd);
/* No key process any more: what waits fails. */
void		 keyproc_close(struct keyproc *);
/* How many wait for an answer. */
unsigned	 keyproc_waiting(const struct keyproc *);

/*
 * One handshake that may have to wait. Embedded in its owner, who sets cb;
 * zeroed before the first use.
 */
struct keyproc_slot;
struct keyproc_wait {
	void			(*cb)(void *ctx);	/* go on now; NULL */
	void			*ctx;
	struct keyproc_slot	*slot;		/* asked, not taken yet */
	struct keyproc_wait	*next, **link;	/* waits for a job */
	bool			 granted;	/* a job is free, not tried */
	const char		*failure;	/* why there is no signature */
};

/* Around each call of the library that may have to sign. */
void	 keyproc_enter(struct keyproc_wait *);
void	 keyproc_leave(void);
/* All jobs are taken: cb is called when one has ended. */
void	 keyproc_queue(struct keyproc_wait *);
/* A job has ended. */
void	 keyproc_job_ended(void);
/* Is there something to go on with? */
bool	 keyproc_ready(const struct keyproc_wait *);
/* Nobody waits any more: its question counts as refused. */
void	 keyproc_cancel(struct keyproc_wait *);
/* Handshakes can be put aside here; else they wait within the call. */
bool	 keyproc_async(void);

/* ---- the half that has the keys ---- */

struct keyproc_keys;
struct keyproc_peer;

struct keyproc_keys	*keyproc_keys_new(void);	/* NULL, errno */
void			 keyproc_keys_free(struct keyproc_keys *);
/* The key of a pair, which must match its certificate, for these uses only.
 * error as of tls_server_new(), TLS_ERROR bytes. 0, -1. */
int			 keyproc_keys_add(struct keyproc_keys *,
			    uint32_t index, const struct tls_keypair *,
			    unsigned uses, char *error);
/* Serves whoever has the other end of fd; gone is called, once, when he has
 * left or was thrown out: the peer is free by then. NULL, errno: fd stays
 * the caller's. */
struct keyproc_peer	*keyproc_peer_new(struct ev *, struct keyproc_keys *,
			    int fd, void (*gone)(void *), void *ctx);
void			 keyproc_peer_free(struct keyproc_peer *);

#endif
