/*
 * Streams with TLS. OpenSSL never touches the socket: one receive call per
 * read brings records into the process' raw buffer, a BIO of ours hands them
 * over record by record, and what the library writes is gathered and sent at
 * once. What the socket does not take is held by the stream.
 */
#include <openssl/bio.h>
#include <openssl/err.h>

#include <sys/socket.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tls_lib.h"

#ifndef MSG_MORE
#define MSG_MORE	0
#endif

#define RECORD		16384	/* plaintext of one record, at most */
#define RECORD_EXTRA	384	/* what encryption may add, generously */
#define HEADER		5
#define HANDSHAKE_READ	16384
#define ODD_PER_SECOND	64	/* records without data: key updates, empty
				   ones, tickets, warnings */
/* AES-GCM may see 2^24.5 full records under one key (RFC 8446, 5.5). */
#define KEY_RECORDS	(UINT32_C(1) << 24)

/* What the BIO works on while a call of ours is in OpenSSL. */
struct call {
	struct stream_env	*env;
	const uint8_t		*in;	/* ciphertext not yet handed over */
	size_t			 len;
	size_t			 gathered;	/* bytes in env->gather */
	unsigned		 records;	/* handed over in full */
};

/* Owned by its stream, from the slab below. */
struct tls {
	SSL			*ssl;
	struct call		*call;		/* NULL outside of calls */
	struct tls_server	*server;	/* one of these, referenced */
	struct tls_client	*client;
	struct buf		 in;		/* came with the handshake */
	struct buf		 out;		/* not taken by the socket */
	uint8_t			*ticket;	/* to go with what is written
						   first; NULL */
	char			*alpn;		/* "a,b" as offered; NULL */
	char			*reason;	/* of failure; NULL */
	uint32_t		 second;	/* in which odd were counted */
	uint32_t		 written;	/* records under this key */
	int			 error;		/* errno of what ended it */
	uint16_t		 ticket_len;
	uint16_t		 length;	/* of the record in hand */
	uint16_t		 left;		/* of it, to be handed over */
	uint8_t			 seen;		/* bytes of its header */
	uint8_t			 odd;
	bool			 begun;		/* client: hello is out */
	bool			 psk;		/* by file permitted */
	bool			 established;
	bool			 alert_sent;	/* close alerts */
	bool			 alert_seen;
	bool			 fatal;		/* next read: error */
	bool			 remote;	/* may wait for a key process */
	bool			 paused;	/* in the midst of a signature */
	bool			 stalled;	/* paused, or has no job */
	struct keyproc_wait	 wait;
	struct tls		*next;		/* in the slab */
};

static const struct stream_ops tls_ops;

/* ---- memory ---- */

#define SLAB	32

/* Neighbours of their own kind: between the library's allocations they would
 * pin its pages. */
static struct tls *spare;

static struct tls *
tls_alloc(void)
{
	struct tls *t;

	if (spare == NULL) {
		struct tls *slab = calloc(SLAB, sizeof(*slab));

		if (slab == NULL)
			return NULL;
		for (unsigned i = 0; i < SLAB; i++) {
			slab[i].next = spare;
			spare = &slab[i];
		}
	}
	t = spare;
	spare = t->next;
	memset(t, 0, sizeof(*t));
	return t;
}

static void
tls_release(struct tls *t)
{
	t->next = spare;
	spare = t;
}

/* ---- the BIO ---- */

/* Up to max bytes of the record in hand; its header first. */
static size_t
take(struct tls *t, struct call *c, char *p, size_t max)
{
	size_t n;

	if (t->seen == HEADER && t->left == 0)
		t->seen = 0;
	n = t->seen < HEADER ? (size_t)(HEADER - t->seen) : t->left;
	if (n > max)
		n = max;
	if (n > c->len)
		n = c->len;
	memcpy(p, c->in, n);
	if (t->seen == HEADER)
		t->left = (uint16_t)(t->left - n);
	for (size_t i = 0; t->seen < HEADER && i < n; i++) {
		t->length = (uint16_t)(t->length << 8 | c->in[i]);
		t->seen++;
		t->left = t->length;	/* right once the last one is in */
	}
	c->in += n;
	c->len -= n;
	c->records += t->seen == HEADER && t->left == 0;
	return n;
}

static int
bio_read(BIO *bio, char *p, int max)
{
	struct tls *t = BIO_get_data(bio);
	struct call *c = t->call;

	BIO_clear_retry_flags(bio);
	if (max <= 0)
		return 0;
	if (c == NULL || c->len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	return (int)take(t, c, p, (size_t)max);
}

/* Moves what is gathered behind what is held. */
static int
spill(struct tls *t, struct call *c, const uint8_t *from)
{
	size_t n = (size_t)(c->env->gather + c->gathered - from);

	/* Only answers to the peer may pass the mark, and not for ever. */
	if (t->out.len + n > 2 * c->env->gather_size) {
		errno = ENOBUFS;
		return -1;
	}
	c->gathered = 0;
	return buf_append(c->env->pool, &t->out, from, n);
}

static int
gather(struct tls *t, struct call *c, const void *p, size_t n)
{
	if (n > c->env->gather_size)
		return -1;
	if (c->gathered + n > c->env->gather_size &&
	    spill(t, c, c->env->gather) == -1)
		return -1;
	memcpy(c->env->gather + c->gathered, p, n);
	c->gathered += n;
	return 0;
}

/*
 * When data came right behind the client's Finished, an answer to it is to
 * be expected, and the ticket can travel with that: one send and one wake-up
 * of the client less. It is lost if there never is one; so be it.
 */
static void
keep_ticket(struct tls *t, struct call *c)
{
	if (c->len == 0 || c->gathered == 0 || c->gathered > UINT16_MAX ||
	    t->server == NULL || SSL_version(t->ssl) < TLS1_3_VERSION)
		return;
	t->ticket = malloc(c->gathered);
	if (t->ticket == NULL)
		return;
	memcpy(t->ticket, c->env->gather, c->gathered);
	t->ticket_len = (uint16_t)c->gathered;
	c->gathered = 0;
}

static int
bio_write(BIO *bio, const char *p, int n)
{
	struct tls *t = BIO_get_data(bio);
	struct call *c = t->call;

	BIO_clear_retry_flags(bio);
	if (c == NULL || n < 0)
		return -1;
	if (t->ticket != NULL) {	/* records have an order */
		if (gather(t, c, t->ticket, t->ticket_len) == -1)
			return -1;
		free(t->ticket);
		t->ticket = NULL;
	}
	return gather(t, c, p, (size_t)n) == 0 ? n : -1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *p)
{
	(void)bio;
	(void)number;
	(void)p;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *
bio_method(void)
{
	static BIO_METHOD *method;

	if (method != NULL)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
	    "stream");
	if (method == NULL)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	return method;
}

struct tls *
tls_of(const SSL *ssl)
{
	return BIO_get_data(SSL_get_rbio(ssl));
}

struct tls_client *
tls_client_of(const SSL *ssl)
{
	return tls_of(ssl)->client;
}

bool
tls_psk_permitted(const struct tls *t)
{
	return t->psk;
}

/* ---- sending and failing ---- */

void
tls_set_reason(struct tls *t, const char *text)
{
	if (t->reason == NULL)
		t->reason = strdup(text);
}

static void
set_error(struct stream *s, int error, const char *reason)
{
	s->tls->error = error;
	tls_set_reason(s->tls, reason);
}

/* One send for all that a call has written. -1: the connection is gone. */
static int
push_with(struct stream *s, struct call *c, int flags)
{
	struct tls *t = s->tls;
	const uint8_t *p = c->env->gather;
	ssize_t n = 0;

	if (c->gathered == 0)
		return 0;
	if (buf_empty(&t->out)) {
		do {
			n = send(s->fd, p, c->gathered,
			    MSG_NOSIGNAL | flags);
		} while (n == -1 && errno == EINTR);
		if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK)
			return -1;
		if (n == -1)
			n = 0;
	}
	if ((size_t)n < c->gathered && spill(t, c, p + n) == -1)
		return -1;
	c->gathered = 0;
	s->blocked = !buf_empty(&t->out);
	return 0;
}

static int
push(struct stream *s, struct call *c)
{
	return push_with(s, c, 0);
}

/* "certificate verify failed: unable to get local issuer certificate" */
static const char *
library_reason(const SSL *ssl, char buf[static TLS_ERROR])
{
	unsigned long code = tls_library_error();
	bool verify = ERR_GET_LIB(code) == ERR_LIB_SSL &&
	    ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
	long result = SSL_get_verify_result(ssl);

	snprintf(buf, TLS_ERROR, "%s%s%s", tls_error_text(code),
	    verify ? ": " : "",
	    verify ? X509_verify_cert_error_string(result) : "");
	return buf;
}

/* The library says that it is over. What it wants to tell the peer (an
 * alert) is sent if the socket takes it. */
static void
library_failed(struct stream *s, struct call *c)
{
	char buf[TLS_ERROR];

	set_error(s, EPROTO, library_reason(s->tls->ssl, buf));
	push(s, c);
	s->pending = false;
}

/* ---- reading ---- */

/* How much ciphertext may be received so that all of it decrypts into n
 * bytes, whatever part of a record the library already holds. */
static size_t
read_limit(const struct tls *t, const struct stream_env *e, size_t n)
{
	size_t limit = n, full;

	if (t->seen == HEADER && t->left > 0) {
		full = t->length < RECORD ? t->length : RECORD;
		limit = t->left + (n > full ? n - full : 0);
	}
	return limit < e->raw_size ? limit : e->raw_size;
}

static ssize_t
receive(struct stream *s, struct call *c, size_t max)
{
	ssize_t n;

	do {
		n = recv(s->fd, c->env->raw, max, 0);
	} while (n == -1 && errno == EINTR);
	c->in = c->env->raw;
	c->len = n > 0 ? (size_t)n : 0;
	return n;
}

/* What the library was not given stays with the stream. */
static int
keep_rest(struct stream *s, struct call *c, bool held)
{
	struct tls *t = s->tls;
	int status = 0;

	if (held)
		buf_drop(c->env->pool, &t->in, t->in.len - c->len);
	else if (c->len > 0)
		status = buf_append(c->env->pool, &t->in, c->in, c->len);
	s->pending = !buf_empty(&t->in) || t->fatal ||
	    (t->established && SSL_pending(t->ssl) > 0);
	return status;
}

/* A peer may send records without data only so often: each costs us more
 * than it costs him. */
static bool
too_odd(struct tls *t, unsigned odd)
{
	struct timespec now;

	if (odd == 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (t->second != (uint32_t)now.tv_sec) {
		t->second = (uint32_t)now.tv_sec;
		t->odd = 0;
	}
	if (odd > (unsigned)(ODD_PER_SECOND - t->odd))
		return true;
	t->odd = (uint8_t)(t->odd + odd);
	return false;
}

/* Everything that was received, into p. How much; t->fatal or alert_seen
 * when it came to an end. */
static size_t
decrypt(struct stream *s, struct call *c, uint8_t *p, size_t n)
{
	struct tls *t = s->tls;
	size_t used = 0, got;
	unsigned reads = 0;

	while (used < n && (c->len > 0 || s->pending)) {
		s->pending = false;
		if (SSL_read_ex(t->ssl, p + used, n - used, &got) == 1) {
			used += got;
			reads++;
			continue;
		}
		switch (SSL_get_error(t->ssl, 0)) {
		case SSL_ERROR_WANT_READ:
			break;
		case SSL_ERROR_ZERO_RETURN:
			t->alert_seen = true;
			c->len = 0;	/* what follows an end is nothing */
			break;
		default:
			library_failed(s, c);
			t->fatal = true;
			c->len = 0;
			break;
		}
	}
	if (!t->fatal && !t->alert_seen &&
	    too_odd(t, c->records > reads ? c->records - reads : 0)) {
		set_error(s, EPROTO, "too many records without data");
		t->fatal = true;
	}
	return used;
}

static ssize_t
read_end(struct stream *s, bool truncated)
{
	s->eof = true;
	s->truncated = truncated;
	s->pending = false;
	return 0;
}

static ssize_t
read_error(const struct tls *t)
{
	errno = t->error;
	return -1;
}

static ssize_t
tls_read(struct stream_env *e, struct stream *s, void *p, size_t n)
{
	struct tls *t = s->tls;
	struct call c = { .env = e };
	bool held = !buf_empty(&t->in);
	size_t used;

	if (t->error != 0)
		return t->fatal ? s->pending = false, read_error(t) :
		    read_error(t);
	if (s->eof || t->alert_seen)
		return read_end(s, s->truncated);
	if (held) {
		c.in = buf_head(&t->in);
		c.len = t->in.len;
	} else if (!s->pending) {
		ssize_t got = receive(s, &c, read_limit(t, e, n));

		if (got == 0)
			return read_end(s, true);
		if (got == -1)
			return -1;
	}
	t->call = &c;
	used = decrypt(s, &c, p, n);
	t->call = NULL;
	if (push(s, &c) == -1 && t->error == 0)
		set_error(s, errno, strerror(errno));
	if (keep_rest(s, &c, held) == -1)
		return -1;
	if (used > 0) {
		s->pending |= t->alert_seen;
		return (ssize_t)used;
	}
	if (t->fatal)
		return s->pending = false, read_error(t);
	if (t->alert_seen)
		return read_end(s, false);
	errno = EAGAIN;
	return -1;
}

/* ---- writing ---- */

/* Before so many records are out that the cipher's margin wears thin. */
static void
count_records(struct tls *t, size_t n)
{
	t->written += (uint32_t)(n / RECORD + 1);
	if (t->written < KEY_RECORDS)
		return;
	t->written = 0;
	if (SSL_version(t->ssl) >= TLS1_3_VERSION)
		SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
}

/* n bytes, of which as many as the gathering buffer has room for. */
static size_t
encrypt(struct stream *s, struct call *c, const uint8_t *p, size_t n)
{
	struct tls *t = s->tls;
	size_t room = c->env->gather_size / (RECORD + RECORD_EXTRA) * RECORD;
	size_t done = 0;

	assert(room > 0);
	if (n > room)
		n = room;
	count_records(t, n);
	t->call = c;
	if (SSL_write_ex(t->ssl, p, n, &done) != 1) {
		library_failed(s, c);
		done = 0;
	}
	t->call = NULL;
	return done;
}

static ssize_t
tls_write(struct stream_env *e, struct stream *s, const void *p, size_t n)
{
	struct tls *t = s->tls;
	const uint8_t *from = p;
	size_t done = 0;

	if (t->error != 0)
		return read_error(t);
	if (t->alert_sent) {
		errno = EPIPE;
		return -1;
	}
	if (!buf_empty(&t->out)) {
		errno = EAGAIN;
		return -1;
	}
	while (done < n && !s->blocked) {
		struct call c = { .env = e };

		done += encrypt(s, &c, from + done, n - done);
		if (t->error != 0)
			return read_error(t);
		if (push(s, &c) == -1) {
			set_error(s, errno, strerror(errno));
			return read_error(t);
		}
	}
	return (ssize_t)done;
}

static int
tls_flush(struct stream_env *e, struct stream *s)
{
	struct tls *t = s->tls;
	ssize_t n;

	while (!buf_empty(&t->out)) {
		n = send(s->fd, buf_head(&t->out), t->out.len, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		buf_drop(e->pool, &t->out, (size_t)n);
	}
	s->blocked = false;
	return 0;
}

static int
tls_shutdown(struct stream_env *e, struct stream *s)
{
	struct tls *t = s->tls;
	struct call c = { .env = e };

	if (s->shut)
		return 0;
	if (tls_flush(e, s) == -1)
		return -1;
	if (t->established && t->error == 0 && !t->alert_sent) {
		t->call = &c;
		if (SSL_shutdown(t->ssl) < 0)
			ERR_clear_error();
		t->call = NULL;
		t->alert_sent = true;
		/* it travels with the end of the stream, in one packet */
		if (push_with(s, &c, MSG_MORE) == -1)
			return -1;
	}
	if (s->blocked) {
		errno = EAGAIN;
		return -1;
	}
	s->shut = true;
	/* A peer that has gone is noticed where we read. */
	if (shutdown(s->fd, SHUT_WR) == -1 && errno != ENOTCONN)
		return -1;
	return 0;
}

/*
 * What is put aside stands on a stack of its own, which only its end gives
 * back: so it fails, now, without a word to the peer.
 */
static void
unwind(struct tls *t)
{
	keyproc_cancel(&t->wait);
	if (!t->paused)
		return;
	do {
		keyproc_enter(&t->wait);
		(void)SSL_do_handshake(t->ssl);
		keyproc_leave();
	} while (SSL_want_async(t->ssl));
	t->paused = false;
	ERR_clear_error();
	keyproc_job_ended();
}

static void
tls_clear(struct stream_env *e, struct stream *s)
{
	struct tls *t = s->tls;

	if (t == NULL)
		return;
	unwind(t);
	/* Or the library takes the session for spoilt, also the one that
	 * tls_client holds. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	buf_clear(e->pool, &t->in);
	buf_clear(e->pool, &t->out);
	tls_server_unref(t->server);
	tls_client_unref(t->client);
	free(t->ticket);
	free(t->alpn);
	free(t->reason);
	tls_release(t);
	s->tls = NULL;
	s->pending = s->blocked = s->waiting = false;
}

static const struct stream_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.flush = tls_flush,
	.shutdown = tls_shutdown,
	.clear = tls_clear,
};

/* ---- handshake ---- */

/* A TLS layer with ssl, which is freed when that fails. */
static struct tls *
attach(struct stream *s, SSL *ssl)
{
	struct tls *t = ssl != NULL ? tls_alloc() : NULL;
	BIO *bio = bio_method() != NULL ? BIO_new(bio_method()) : NULL;

	if (t == NULL || bio == NULL) {
		BIO_free(bio);
		SSL_free(ssl);
		if (t != NULL)
			tls_release(t);
		ERR_clear_error();
		errno = ENOMEM;
		return NULL;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	t->ssl = ssl;
	s->tls = t;
	s->ops = &tls_ops;
	return t;
}

static void
set_async(struct tls *t, bool remote)
{
	t->remote = remote;
	if (remote && keyproc_async())
		SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
}

int
stream_tls_accept(struct stream *s, struct tls_server *server,
    uint32_t versions, bool psk)
{
	struct tls *t = attach(s, tls_server_ssl(server, versions, psk));

	if (t == NULL)
		return -1;
	t->server = tls_server_ref(server);
	set_async(t, server->remote);
	t->psk = psk && server->psk != NULL;
	return 0;
}

int
stream_tls_connect(struct stream *s, struct tls_client *client)
{
	struct tls *t = attach(s, tls_client_ssl(client));

	if (t == NULL)
		return -1;
	t->client = tls_client_ref(client);
	set_async(t, client->remote);
	return 0;
}

int
stream_tls_name(struct stream *s, const char *name)
{
	if (SSL_set_tlsext_host_name(s->tls->ssl, name) == 1)
		return 0;
	ERR_clear_error();
	errno = EINVAL;
	return -1;
}

static enum tls_step
handshake_failed(struct stream *s)
{
	if (s->tls->client != NULL)
		tls_client_forget(s->tls->client);
	return TLS_FAILED;
}

static enum tls_step
handshake_lost(struct stream *s, int error, const char *reason)
{
	set_error(s, error, reason);
	return handshake_failed(s);
}

/* Put aside: what was received and not read yet stays for later. */
static enum tls_step
handshake_wait(struct stream *s, struct call *c, bool held)
{
	struct tls *t = s->tls;

	if (push(s, c) == -1)
		return handshake_lost(s, errno, strerror(errno));
	if (keep_rest(s, c, held) == -1)
		return handshake_lost(s, ENOMEM, strerror(ENOMEM));
	s->pending = false;
	s->waiting = true;
	if (!t->paused)
		keyproc_queue(&t->wait);
	return TLS_ASYNC;
}

static enum tls_step
handshake_done(struct stream *s, struct call *c, bool held)
{
	struct tls *t = s->tls;

	t->established = true;
	ERR_clear_error();	/* attempts that came to nothing leave some */
	if (t->remote)
		SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
	SSL_free_buffers(t->ssl);
	if (keep_rest(s, c, held) == -1)
		return handshake_lost(s, ENOMEM, strerror(ENOMEM));
	return TLS_DONE;
}

/* The library's call itself; its error, SSL_ERROR_NONE when it is done. */
static int
handshake_call(struct tls *t, struct call *c)
{
	bool paused = t->paused;
	int result, error;

	t->call = c;
	t->begun = true;
	keyproc_enter(&t->wait);
	result = SSL_do_handshake(t->ssl);
	keyproc_leave();
	error = result == 1 ? SSL_ERROR_NONE :
	    SSL_get_error(t->ssl, result);
	t->call = NULL;
	t->paused = error == SSL_ERROR_WANT_ASYNC;
	t->stalled = t->paused || error == SSL_ERROR_WANT_ASYNC_JOB;
	if (paused && !t->paused)
		keyproc_job_ended();
	return error;
}

/* One step of the library with what was received, or (held) kept. */
static enum tls_step
handshake_step(struct stream *s, struct call *c, bool held)
{
	struct tls *t = s->tls;
	int error = handshake_call(t, c);

	switch (error) {
	case SSL_ERROR_NONE:
		keep_ticket(t, c);
		break;
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_WANT_ASYNC:
	case SSL_ERROR_WANT_ASYNC_JOB:
		return handshake_wait(s, c, held);
	default:
		if (t->wait.failure != NULL)
			tls_set_reason(t, t->wait.failure);
		library_failed(s, c);
		return handshake_failed(s);
	}
	if (push(s, c) == -1)
		return handshake_lost(s, errno, strerror(errno));
	if (error == SSL_ERROR_NONE)
		return handshake_done(s, c, held);
	if (held && keep_rest(s, c, held) == -1)
		return handshake_lost(s, ENOMEM, strerror(ENOMEM));
	return TLS_MORE;
}

/* What came, for a handshake that is not stalled. */
static enum tls_step
handshake_receive(struct stream *s, struct call *c)
{
	size_t max = c->env->raw_size < HANDSHAKE_READ ?
	    c->env->raw_size : HANDSHAKE_READ;
	ssize_t n = receive(s, c, max);

	if (n > 0)
		return TLS_DONE;
	if (n == 0)
		return handshake_lost(s, ECONNRESET, "connection closed");
	return errno == EAGAIN || errno == EWOULDBLOCK ? TLS_MORE :
	    handshake_lost(s, errno, strerror(errno));
}

enum tls_step
stream_handshake(struct stream_env *e, struct stream *s)
{
	struct tls *t = s->tls;
	struct call c = { .env = e };
	bool held = t->stalled;
	enum tls_step step;

	if (t->established)
		return TLS_DONE;
	if (t->error != 0)
		return TLS_FAILED;
	if (!buf_empty(&t->out) && tls_flush(e, s) == -1 &&
	    errno != EAGAIN && errno != EWOULDBLOCK)
		return handshake_lost(s, errno, strerror(errno));
	if (held && !keyproc_ready(&t->wait))
		return TLS_ASYNC;
	s->waiting = false;
	if (!buf_empty(&t->out))
		return TLS_MORE;
	if (held) {
		c.in = buf_head(&t->in);
		c.len = t->in.len;
	} else if (t->server != NULL || t->begun) {
		step = handshake_receive(s, &c);
		if (step != TLS_DONE)
			return step;
	}
	return handshake_step(s, &c, held);
}

void
stream_tls_notify(struct stream *s, void (*cb)(void *ctx), void *ctx)
{
	if (s->tls == NULL)
		return;
	s->tls->wait.cb = cb;
	s->tls->wait.ctx = ctx;
}

/* ---- what is known about it ---- */

const char *
stream_tls_reason(const struct stream *s)
{
	return s->tls == NULL || s->tls->reason == NULL ? "unknown reason" :
	    s->tls->reason;
}

const char *
stream_tls_text(const struct stream *s, char *buf, size_t size)
{
	if (s->tls == NULL || !s->tls->established)
		snprintf(buf, size, "-");
	else
		snprintf(buf, size, "%s/%s", SSL_get_version(s->tls->ssl),
		    SSL_get_cipher_name(s->tls->ssl));
	return buf;
}

const char *
stream_tls_sni(const struct stream *s)
{
	return s->tls == NULL ? NULL :
	    SSL_get_servername(s->tls->ssl, TLSEXT_NAMETYPE_host_name);
}

/* RFC 7301, 3.1: names, each with a byte of length before it. */
void
tls_set_alpn(struct tls *t, const uint8_t *p, size_t n)
{
	size_t i;
	char *text;

	if (t->alpn != NULL || n < 2 || n > 255)
		return;
	text = malloc(n);
	if (text == NULL)
		return;
	memcpy(text, p + 1, n - 1);
	text[n - 1] = '\0';
	for (i = p[0]; i < n - 1; i += (size_t)p[i + 1] + 1)
		text[i] = ',';
	t->alpn = text;
}

const char *
stream_tls_alpn(const struct stream *s, char *buf, size_t size)
{
	snprintf(buf, size, "%s",
	    s->tls == NULL || s->tls->alpn == NULL ? "-" : s->tls->alpn);
	return buf;
}

bool
stream_tls_resumed(const struct stream *s)
{
	return s->tls != NULL && s->tls->established &&
	    SSL_session_reused(s->tls->ssl) == 1;
}

/* The certificate's subject in the order of RFC 2253. */
const char *
stream_tls_peer(const struct stream *s, char *buf, size_t size)
{
	const X509 *peer;
	BIO *bio;
	int n;

	if (s->tls == NULL || !s->tls->established ||
	    SSL_get_verify_mode(s->tls->ssl) == SSL_VERIFY_NONE ||
	    SSL_get_verify_result(s->tls->ssl) != X509_V_OK)
		return NULL;
	peer = SSL_get0_peer_certificate(s->tls->ssl);
	bio = peer != NULL ? BIO_new(BIO_s_mem()) : NULL;
	if (bio == NULL)
		return NULL;
	X509_NAME_print_ex(bio, X509_get_subject_name(peer), 0,
	    XN_FLAG_RFC2253);
	n = BIO_read(bio, buf, (int)size - 1);
	BIO_free(bio);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? buf : NULL;
}

bool
stream_tls_unverified(const struct stream *s)
{
	const struct tls *t = s->tls;

	return t != NULL && t->established && t->server != NULL &&
	    t->server->verify == TLS_VERIFY_OPTIONAL &&
	    (SSL_get0_peer_certificate(t->ssl) == NULL ||
	    SSL_get_verify_result(t->ssl) != X509_V_OK);
}

bool
stream_tls_closing(const struct stream *s)
{
	return s->tls != NULL && s->tls->alert_sent && s->tls->alert_seen;
}
