/*
 * The half that has the keys. Believes nothing that workers say: a request
 * that has not the form of something TLS signs with that key is refused, and
 * who does not speak the language is thrown out.
 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ev.h"
#include "keyproc.h"
#include "log.h"
#include "msg.h"
#include "net.h"
#include "tls_lib.h"

#define ANSWERS	(KEYPROC_SLOTS * (sizeof(struct keyproc_answer) + \
		KEYPROC_SIGNATURE))
#define ANSWER_MESSAGE	16384

struct key {
	EVP_PKEY		*pkey;		/* NULL: no such key */
	enum tls_key_type	 type;
	bool			 pss;		/* may do nothing else */
	unsigned		 uses;
};

struct keyproc_keys {
	struct key		*keys;
	uint32_t		 n;
	struct log_limit	 limit;
};

struct keyproc_peer {
	struct ev		*ev;
	struct keyproc_keys	*keys;
	int			 fd;
	void			(*gone)(void *);
	void			*ctx;
	uint8_t			*out;		/* ANSWERS bytes */
	size_t			 out_len;
	bool			 stuck;		/* he does not read */
};

/* One after the other, so one is enough. */
static uint8_t message[KEYPROC_MESSAGE];

/* ---- keys ---- */

struct keyproc_keys *
keyproc_keys_new(void)
{
	return calloc(1, sizeof(struct keyproc_keys));
}

void
keyproc_keys_free(struct keyproc_keys *keys)
{
	if (keys == NULL)
		return;
	for (uint32_t i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->keys[i].pkey);
	free(keys->keys);
	free(keys);
}

static int
keys_room(struct keyproc_keys *keys, uint32_t n)
{
	struct key *more;

	if (n <= keys->n)
		return 0;
	more = reallocarray(keys->keys, n, sizeof(*more));
	if (more == NULL)
		return -1;
	memset(more + keys->n, 0, (n - keys->n) * sizeof(*more));
	keys->keys = more;
	keys->n = n;
	return 0;
}

int
keyproc_keys_add(struct keyproc_keys *keys, uint32_t index,
    const struct tls_keypair *from, unsigned uses, char *error)
{
	char warning[TLS_ERROR] = "";
	struct tls_pair pair;
	struct key *k;

	if (tls_load_pair(&pair, from, error, warning) == -1)
		return -1;
	if (index == UINT32_MAX || keys_room(keys, index + 1) == -1) {
		snprintf(error, TLS_ERROR, "tls: out of memory");
		tls_pair_clear(&pair);
		return -1;
	}
	k = &keys->keys[index];
	EVP_PKEY_free(k->pkey);
	k->pkey = pair.key;
	pair.key = NULL;
	k->type = pair.type;
	k->pss = pair.offer == TLS_OFFER_RSA_PSS;
	k->uses = uses;
	tls_pair_clear(&pair);
	return 0;
}

/* ---- signing ---- */

/* What does not go together is refused; NULL: it does. */
static const char *
judge(const struct key *k, const struct keyproc_request *r,
    const uint8_t *bytes)
{
	unsigned form = keyproc_form(k->uses, bytes, r->len);
	bool tls13 = form == KEYPROC_SERVER_13 || form == KEYPROC_CLIENT_13;
	bool hashed = k->type == TLS_KEY_RSA || k->type == TLS_KEY_ECDSA;

	if (form == 0)
		return "these bytes are nothing that TLS signs with this key";
	if (hashed != (r->hash != KEYPROC_NO_HASH))
		return "wrong hash";
	if ((k->type == TLS_KEY_RSA) != (r->padding != KEYPROC_NO_PADDING) ||
	    (r->padding == KEYPROC_PKCS1 && (tls13 || k->pss)))
		return "wrong padding";
	return NULL;
}

static size_t
sign(const struct key *k, const struct keyproc_request *r,
    const uint8_t *bytes, uint8_t *signature)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	size_t len = KEYPROC_SIGNATURE;
	bool ok;

	ok = md != NULL && EVP_DigestSignInit_ex(md, &ctx,
	    keyproc_hash_name(r->hash), NULL, NULL, k->pkey, NULL) == 1;
	if (ok && r->padding == KEYPROC_PSS)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx,
		    RSA_PKCS1_PSS_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx,
		    RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestSign(md, signature, &len, bytes, r->len) == 1;
	EVP_MD_CTX_free(md);
	if (!ok)
		log_err("cannot sign: %s", tls_library_reason());
	return ok ? len : 0;
}

/* ---- peers ---- */

/* Whole answers, as many as a message takes. */
static size_t
answers_fit(const uint8_t *p, size_t n)
{
	struct keyproc_answer a;
	size_t at = 0;

	while (at < n) {
		size_t size;

		memcpy(&a, p + at, sizeof(a));
		size = sizeof(a) + a.len;
		if (at + size > ANSWER_MESSAGE)
			break;
		at += size;
	}
	return at;
}

/* -1: he is gone, which reading tells. */
static int
peer_flush(struct keyproc_peer *p)
{
	size_t at = 0;
	int error = 0;

	while (at < p->out_len && error == 0) {
		size_t n = answers_fit(p->out + at, p->out_len - at);
		struct iovec iov = { p->out + at, n };

		if (msg_send(p->fd, &iov, 1, NULL, 0) == -1)
			error = errno;
		else
			at += n;
	}
	memmove(p->out, p->out + at, p->out_len - at);
	p->out_len -= at;
	p->stuck = p->out_len > 0;
	ev_interest(p->ev, p->fd, p->stuck ? EV_WRITE : EV_READ);
	return error != 0 && error != EAGAIN ? -1 : 0;
}

static void
peer_end(struct keyproc_peer *p)
{
	void (*gone)(void *) = p->gone;
	void *ctx = p->ctx;

	keyproc_peer_free(p);
	if (gone != NULL)
		gone(ctx);
}

static void
answer(struct keyproc_peer *p, const struct keyproc_request *r,
    const uint8_t *bytes)
{
	const struct key *k = r->key < p->keys->n ?
	    &p->keys->keys[r->key] : NULL;
	uint8_t *to = p->out + p->out_len;
	struct keyproc_answer a = { .slot = r->slot, .turn = r->turn };
	const char *why = k == NULL || k->pkey == NULL ? "no such key" :
	    judge(k, r, bytes);
	unsigned held;

	if (why != NULL && log_allow(&p->keys->limit, ev_now(p->ev),
	    EV_SECOND, 1, &held))
		log_warn("refused to sign with key %u: %s", r->key, why);
	if (why == NULL)
		a.len = (uint32_t)sign(k, r, bytes, to + sizeof(a));
	memcpy(to, &a, sizeof(a));
	p->out_len += sizeof(a) + a.len;
	/* What took long is not kept waiting for others that do. */
	if (why == NULL && k->type == TLS_KEY_RSA && !p->stuck)
		(void)peer_flush(p);
}

/* false: no message of ours. */
static bool
peer_message(struct keyproc_peer *p, size_t left)
{
	const uint8_t *at = message, *bytes;
	struct keyproc_request r;
	int got;

	while ((got = keyproc_request_next(&at, &left, &r, &bytes)) == 1) {
		if (p->out_len + sizeof(struct keyproc_answer) +
		    KEYPROC_SIGNATURE > ANSWERS)
			return false;	/* more than there are slots */
		answer(p, &r, bytes);
	}
	return got == 0;
}

static void
peer_readable(void *ctx, int fd)
{
	struct keyproc_peer *p = ctx;
	int fds[MSG_FDS], cut;
	unsigned nfds;
	ssize_t n = msg_recv(fd, message, sizeof(message), fds, &nfds, &cut);

	while (nfds > 0)
		net_close(fds[--nfds]);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n > 0 && !peer_message(p, (size_t)n)) {
		log_err("a worker that makes no sense is not served");
		n = -1;
	}
	if (n <= 0 || peer_flush(p) == -1)
		peer_end(p);
}

static void
peer_writable(void *ctx, int fd)
{
	(void)fd;
	if (peer_flush(ctx) == -1)
		peer_end(ctx);
}

static void
peer_hangup(void *ctx, int fd)
{
	(void)fd;
	peer_end(ctx);
}

static const struct ev_ops peer_ops = {
	.readable = peer_readable, .writable = peer_writable,
	.error = peer_hangup, .hangup = peer_hangup,
};

struct keyproc_peer *
keyproc_peer_new(struct ev *ev, struct keyproc_keys *keys, int fd,
    void (*gone)(void *), void *ctx)
{
	struct keyproc_peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->ev = ev;
	p->keys = keys;
	p->fd = fd;
	p->gone = gone;
	p->ctx = ctx;
	p->out = malloc(ANSWERS);
	if (p->out == NULL || net_nonblock(fd) == -1 ||
	    ev_add(ev, fd, &peer_ops, p, EV_READ) == -1) {
		free(p->out);
		free(p);
		return NULL;
	}
	return p;
}

void
keyproc_peer_free(struct keyproc_peer *p)
{
	if (p == NULL)
		return;
	ev_close(p->ev, p->fd);
	free(p->out);
	free(p);
}
