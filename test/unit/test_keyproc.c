/*
 * Keys in another process: both halves over a socket pair in one loop, and
 * handshakes between streams that have to wait for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/ev.h"
#include "misc/keyproc.h"
#include "misc/msg.h"
#include "misc/tls.h"

#include <openssl/err.h>

#include "tls_certs.h"

#define BOTH	(TLS_V1_2 | TLS_V1_3)
#define SERVER	(KEYPROC_SERVER_12 | KEYPROC_SERVER_13)
#define CLIENT	(KEYPROC_CLIENT_12 | KEYPROC_CLIENT_13)

static struct stream_env env;
static struct ev *ev;

/* ---- certificates, made once ---- */

enum { CA, EC, RSA_2048, ED, P384, USER, CERTS };

static const struct { struct cert_spec spec; int issuer; } cert_specs[] = {
	[CA] = { { "P-256", "Test CA", NULL, NULL, 100, true }, -1 },
	[EC] = { { "P-256", "ec", "DNS:a.test", NULL, 90, false }, CA },
	[RSA_2048] = { { "RSA", "rsa", "DNS:a.test", NULL, 90, false }, CA },
	[ED] = { { "ED25519", "ed", "DNS:a.test", NULL, 90, false }, CA },
	[P384] = { { "P-384", "p384", "DNS:a.test", NULL, 90, false }, CA },
	[USER] = { { "RSA", "somebody", NULL, NULL, 90, false }, CA },
};

static struct cert certs[CERTS];

static struct tls_file
file_of(const char *name, const char *text)
{
	return (struct tls_file){ name, text, strlen(text) };
}

static int
setup(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++)
		certs[i] = cert_make(&cert_specs[i].spec,
		    cert_specs[i].issuer < 0 ? NULL :
		    &certs[cert_specs[i].issuer]);
	env.pool = buf_pool_new();
	env.raw_size = env.gather_size = 128 * 1024;
	env.raw = malloc(env.raw_size);
	env.gather = malloc(env.gather_size);
	ev = ev_new(NULL, true);
	return env.pool == NULL || env.raw == NULL || env.gather == NULL ||
	    ev == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++)
		cert_clear(&certs[i]);
	ev_free(ev);
	buf_pool_free(env.pool);
	free(env.raw);
	free(env.gather);
	return 0;
}

/* ---- the key process ---- */

/* Everything with keys; index is that of the certificate. */
struct service {
	struct keyproc_keys	*keys;
	struct keyproc_peer	*peer;		/* NULL: gone */
	unsigned		 gone;
};

static void
gone_cb(void *ctx)
{
	struct service *s = ctx;

	s->peer = NULL;
	s->gone++;
}

static void
service_open(struct service *s, unsigned uses)
{
	char error[TLS_ERROR];

	memset(s, 0, sizeof(*s));
	s->keys = keyproc_keys_new();
	assert_non_null(s->keys);
	for (uint32_t i = 0; i < CERTS; i++) {
		struct tls_keypair pair = {
			.cert = file_of("cert", certs[i].pem),
			.key = file_of("key", certs[i].key_pem) };

		if (keyproc_keys_add(s->keys, i, &pair, i == USER ? CLIENT :
		    uses, error) == -1)
			fail_msg("%s", error);
	}
}

static void
service_connect(struct service *s, struct keyproc *k)
{
	int fds[2];

	assert_int_equal(msg_pair(fds, 0), 0);
	s->peer = keyproc_peer_new(ev, s->keys, fds[0], gone_cb, s);
	assert_non_null(s->peer);
	keyproc_attach(k, fds[1]);
}

static void
service_close(struct service *s)
{
	keyproc_peer_free(s->peer);
	keyproc_keys_free(s->keys);
	assert_true(ev_turn(ev, 0) != -1);
}

/* ---- the wire: one socket pair between both streams ---- */

struct wire {
	struct stream	 client, server;
	unsigned	 called;	/* by stream_tls_notify */
	unsigned	 waited;	/* times TLS_ASYNC was seen */
};

static void
called_cb(void *ctx)
{
	unsigned *n = ctx;

	++*n;
}

static void
wire_open(struct wire *w, struct tls_server *s, struct tls_client *c,
    uint32_t versions)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_not_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), -1);
	stream_init(&w->client, fds[0]);
	stream_init(&w->server, fds[1]);
	assert_int_equal(stream_tls_accept(&w->server, s, versions, false),
	    0);
	assert_int_equal(stream_tls_connect(&w->client, c), 0);
	stream_tls_notify(&w->server, called_cb, &w->called);
	stream_tls_notify(&w->client, called_cb, &w->called);
}

static void
wire_close(struct wire *w)
{
	int client = w->client.fd, server = w->server.fd;

	stream_clear(&env, &w->client);
	stream_clear(&env, &w->server);
	close(client);
	close(server);
	assert_int_equal(ERR_peek_error(), 0);
}

struct ends { enum tls_step client, server; };

static bool
going(enum tls_step step)
{
	return step == TLS_MORE || step == TLS_ASYNC;
}

/* One call for each side that is not done. */
static void
wire_step(struct wire *w, struct ends *e)
{
	if (going(e->client))
		e->client = stream_handshake(&env, &w->client);
	if (going(e->server))
		e->server = stream_handshake(&env, &w->server);
	assert_int_equal(w->server.waiting, e->server == TLS_ASYNC);
	w->waited += e->client == TLS_ASYNC || e->server == TLS_ASYNC;
	if (e->server == TLS_FAILED)
		shutdown(w->server.fd, SHUT_WR);
	if (e->client == TLS_FAILED)
		shutdown(w->client.fd, SHUT_WR);
}

/* To the end, with the loop between. */
static struct ends
wire_handshake(struct wire *w)
{
	struct ends e = { TLS_MORE, TLS_MORE };

	for (int i = 0; i < 1000 && (going(e.client) || going(e.server));
	    i++) {
		wire_step(w, &e);
		assert_true(ev_turn(ev, 0) != -1);
	}
	return e;
}

static void
wire_must(struct wire *w)
{
	struct ends e = wire_handshake(w);

	if (e.client != TLS_DONE || e.server != TLS_DONE)
		fail_msg("client: %s; server: %s",
		    stream_tls_reason(&w->client),
		    stream_tls_reason(&w->server));
}

/* Until the server waits for the key process. */
static void
wire_until_asked(struct wire *w)
{
	struct ends e = { TLS_MORE, TLS_MORE };

	for (int i = 0; i < 20 && e.server != TLS_ASYNC; i++)
		wire_step(w, &e);
	assert_int_equal(e.server, TLS_ASYNC);
}

static void
exchange(struct wire *w)
{
	static const char text[] = "there and back";
	static char got[64 * 1024];
	ssize_t n = -1;

	assert_int_equal(stream_write(&env, &w->client, text, sizeof(text)),
	    sizeof(text));
	for (int i = 0; n == -1 && i < 10; i++)
		n = stream_read(&env, &w->server, got, sizeof(got));
	assert_int_equal(n, sizeof(text));
	assert_int_equal(stream_write(&env, &w->server, got, (size_t)n), n);
	memset(got, 0, sizeof(text));
	for (int i = 0; i < 10; i++)
		if ((n = stream_read(&env, &w->client, got,
		    sizeof(got))) > 0)
			break;
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, sizeof(text));
}

/* ---- both roles ---- */

static struct tls_keypair
remote_pair(struct keyproc *k, int cert)
{
	return (struct tls_keypair){ .cert = file_of("cert", certs[cert].pem),
	    .keys = k, .index = (uint32_t)cert };
}

static struct tls_server *
server_of(struct keyproc *k, int cert, bool ask_client)
{
	char error[TLS_ERROR], warning[TLS_ERROR];
	struct tls_keypair pair = remote_pair(k, cert);
	struct tls_server_conf conf = { .main = &pair, .sign_only = true,
	    .tickets = false };
	struct tls_server *s;
	int index;

	if (ask_client) {
		conf.verify = TLS_VERIFY_REQUIRED;
		conf.ca = file_of("ca", certs[CA].pem);
	}
	s = tls_server_new(&conf, error, &index, warning);
	if (s == NULL)
		fail_msg("%s", error);
	return s;
}

static struct tls_client *
client_of(uint32_t versions, struct keyproc *k)
{
	char error[TLS_ERROR];
	struct tls_keypair own = remote_pair(k, USER);
	struct tls_client *c = tls_client_new(&(struct tls_client_conf){
	    .versions = versions, .verify = true, .name = "a.test",
	    .ca = file_of("ca", certs[CA].pem),
	    .own = k != NULL ? &own : NULL }, error);

	if (c == NULL)
		fail_msg("%s", error);
	return c;
}

/* ---- tests ---- */

/* Every kind of key, in both versions; with a client's certificate whose key
 * is elsewhere as well. */
static void
test_signs(void **state)
{
	static const int kinds[] = { EC, RSA_2048, ED, P384 };
	struct keyproc *k = keyproc_new(ev);
	struct service service;

	(void)state;
	service_open(&service, SERVER);
	service_connect(&service, k);
	for (unsigned i = 0; i < 4 * sizeof(kinds) / sizeof(*kinds); i++) {
		bool own = i & 1;
		uint32_t v = i & 2 ? TLS_V1_2 : TLS_V1_3;
		struct tls_server *s = server_of(k, kinds[i / 4], own);
		struct tls_client *c = client_of(v, own ? k : NULL);
		struct wire w;

		wire_open(&w, s, c, BOTH);
		wire_must(&w);
		assert_int_equal(w.waited > 0, keyproc_async());
		if (keyproc_async())
			assert_int_equal(w.called, own ? 2 : 1);
		exchange(&w);
		wire_close(&w);
		tls_server_unref(s);
		tls_client_unref(c);
	}
	assert_int_equal(keyproc_waiting(k), 0);
	keyproc_unref(k);
	service_close(&service);
}

/* A suite whose key exchange decrypts is not even offered. */
static void
test_no_decryption(void **state)
{
	struct keyproc *k = keyproc_new(ev);
	struct tls_keypair pair = remote_pair(k, RSA_2048);
	struct tls_server_conf conf = { .main = &pair, .sign_only = true,
	    .ciphers = "AES128-SHA:AES256-GCM-SHA384" };
	char error[TLS_ERROR], warning[TLS_ERROR];
	int index;

	(void)state;
	assert_null(tls_server_new(&conf, error, &index, warning));
	assert_string_equal(error, "tls ciphers: no usable cipher in "
	    "'AES128-SHA:AES256-GCM-SHA384'");
	keyproc_unref(k);
}

/* The key process dies with a question unanswered: the next one gets it. */
static void
test_death(void **state)
{
	struct keyproc *k = keyproc_new(ev);
	struct service service;
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(BOTH, NULL);
	struct wire w[3];
	int fds[2];

	(void)state;
	if (!keyproc_async())
		skip();
	service_open(&service, SERVER);
	/* one that reads and never answers; then none at all */
	assert_int_equal(msg_pair(fds, 0), 0);
	keyproc_attach(k, fds[1]);
	for (int i = 0; i < 3; i++) {
		wire_open(&w[i], s, c, BOTH);
		wire_until_asked(&w[i]);
		if (i == 0) {
			char taken[4096];

			assert_int_not_equal(ev_turn(ev, 0), -1);
			assert_true(recv(fds[0], taken, sizeof(taken), 0) > 0);
		}
		if (i == 1) {
			close(fds[0]);
			assert_int_not_equal(ev_turn(ev, 0), -1);
			assert_int_not_equal(ev_turn(ev, 0), -1);
		}
	}
	assert_int_equal(keyproc_waiting(k), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stream_handshake(&env, &w[i].server),
		    TLS_ASYNC);
	service_connect(&service, k);
	for (int i = 0; i < 3; i++) {
		wire_must(&w[i]);
		assert_int_equal(w[i].called, 1);
		exchange(&w[i]);
		wire_close(&w[i]);
	}
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

static uint64_t late[4];
static unsigned nlate;

static void
late_cb(uint64_t number)
{
	assert_true(nlate < 4);
	late[nlate++] = number;
}

/* Who waits for long is told of, once; and goes on waiting. */
static void
test_patience(void **state)
{
	struct keyproc *k = keyproc_new(ev);
	struct service service;
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(BOTH, NULL);
	struct wire w[3];

	(void)state;
	if (!keyproc_async())
		skip();
	nlate = 0;
	keyproc_patience(k, 5 * EV_MS, late_cb);
	for (unsigned i = 0; i < 2; i++) {
		wire_open(&w[i], s, c, BOTH);
		wire_until_asked(&w[i]);
		while (nlate < i + 1)
			assert_int_not_equal(ev_turn(ev, 100), -1);
		assert_int_equal(late[i], i + 1);
	}
	assert_int_equal(keyproc_waiting(k), 2);
	service_open(&service, SERVER);
	service_connect(&service, k);
	for (unsigned i = 0; i < 2; i++) {
		wire_must(&w[i]);
		wire_close(&w[i]);
	}
	/* no more of these two, and none of one that is answered in time,
	 * which now is time enough */
	keyproc_patience(k, 10 * EV_SECOND, late_cb);
	wire_open(&w[2], s, c, BOTH);
	wire_must(&w[2]);
	wire_close(&w[2]);
	assert_int_not_equal(ev_turn(ev, 20), -1);
	assert_int_equal(nlate, 2);
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

/* The peer leaves in mid-signature; the answer that comes late is nobody's,
 * and not taken for that of the next one. */
static void
test_abandoned(void **state)
{
	struct keyproc *k = keyproc_new(ev);
	struct service service;
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(BOTH, NULL);
	struct wire w;

	(void)state;
	if (!keyproc_async())
		skip();
	service_open(&service, SERVER);
	service_connect(&service, k);
	for (int i = 0; i < 200; i++) {
		wire_open(&w, s, c, BOTH);
		wire_until_asked(&w);
		if (i % 2 == 0)		/* it is out; else it never leaves */
			assert_int_not_equal(ev_turn(ev, 0), -1);
		wire_close(&w);
		assert_int_equal(keyproc_waiting(k), 0);
	}
	wire_open(&w, s, c, BOTH);
	wire_must(&w);
	exchange(&w);
	wire_close(&w);
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

/* More at once than can be put aside: they queue, and all are served. */
static void
test_queue(void **state)
{
	enum { MANY = 2 * KEYPROC_JOBS + 7 };
	struct keyproc *k = keyproc_new(ev);
	struct service service;
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(BOTH, NULL);
	static struct wire w[MANY];
	static struct ends e[MANY];
	unsigned done = 0;

	(void)state;
	if (!keyproc_async())
		skip();
	service_open(&service, SERVER);
	for (int i = 0; i < MANY; i++) {
		e[i] = (struct ends){ TLS_MORE, TLS_MORE };
		wire_open(&w[i], s, c, BOTH);
		for (int j = 0; j < 20 && e[i].server != TLS_ASYNC; j++)
			wire_step(&w[i], &e[i]);
		assert_int_equal(e[i].server, TLS_ASYNC);
	}
	assert_int_equal(keyproc_waiting(k), KEYPROC_JOBS);
	/* some leave: one that waits for an answer, one in the queue */
	for (int i = 0; i < MANY; i += KEYPROC_JOBS + 10) {
		wire_close(&w[i]);
		e[i] = (struct ends){ TLS_DONE, TLS_DONE };
		done++;
	}
	service_connect(&service, k);
	for (int turn = 0; turn < 1000 && done < MANY; turn++) {
		assert_int_not_equal(ev_turn(ev, 0), -1);
		for (int i = 0; i < MANY; i++) {
			/* as an engine does it: only when it is called */
			if (e[i].server == TLS_ASYNC && w[i].called == 0)
				continue;
			w[i].called = 0;
			if (!going(e[i].client) && !going(e[i].server))
				continue;
			wire_step(&w[i], &e[i]);
			if (e[i].client == TLS_DONE &&
			    e[i].server == TLS_DONE) {
				wire_close(&w[i]);
				done++;
			}
		}
	}
	assert_int_equal(done, MANY);
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

/* A key that is not for this, and no key process any more. */
static void
test_failures(void **state)
{
	struct keyproc *k = keyproc_new(ev);
	struct service service;
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(TLS_V1_2, NULL);
	struct ends e;
	struct wire w;

	(void)state;
	service_open(&service, KEYPROC_SERVER_13);
	service_connect(&service, k);
	wire_open(&w, s, c, BOTH);
	e = wire_handshake(&w);
	assert_int_equal(e.server, TLS_FAILED);
	assert_int_equal(e.client, TLS_FAILED);
	assert_string_equal(stream_tls_reason(&w.server),
	    "the key process refused");
	wire_close(&w);
	if (keyproc_async()) {
		wire_open(&w, s, c, BOTH);
		wire_until_asked(&w);
		keyproc_close(k);
		e = wire_handshake(&w);
		assert_int_equal(e.server, TLS_FAILED);
		assert_string_equal(stream_tls_reason(&w.server),
		    "no key process");
		wire_close(&w);
	}
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

/* ---- what may be asked ---- */

#define S16	"                "
#define CV	S16 S16 S16 S16 "TLS 1.3, server CertificateVerify\0"
#define CVC	S16 S16 S16 S16 "TLS 1.3, client CertificateVerify\0"
#define H32	"0123456789abcdef0123456789abcdef"
#define HELLO	"\1\0\0\2ab"
#define ROW(uses, text, want)	{ uses, text, sizeof(text) - 1, want }

static const struct {
	unsigned	 uses;
	const char	*bytes;
	size_t		 n;
	unsigned	 want;
} forms[] = {
	ROW(SERVER, CV H32, KEYPROC_SERVER_13),
	ROW(SERVER, CV H32 S16, KEYPROC_SERVER_13),	/* SHA-384 */
	ROW(KEYPROC_SERVER_12, CV H32, 0),
	ROW(SERVER, CVC H32, 0),
	ROW(CLIENT, CVC H32, KEYPROC_CLIENT_13),
	ROW(CLIENT, CV H32, 0),
	ROW(SERVER, CV H32 "x", 0),
	ROW(SERVER, CV "0123456789abcdef", 0),
	ROW(SERVER, " " CV H32, 0),
	ROW(SERVER, H32 H32 "\3\0\27\4abcd", KEYPROC_SERVER_12),
	ROW(KEYPROC_SERVER_13, H32 H32 "\3\0\27\4abcd", 0),
	ROW(SERVER, H32 H32 "\3\0\27\4abc", 0),
	ROW(SERVER, H32 H32 "\3\0\27\4abcde", 0),
	ROW(SERVER, H32 H32 "\2\0\27\4abcd", 0),
	ROW(SERVER, H32 H32 "\3\0\27\0", 0),
	ROW(SERVER, H32 H32 "\0\1p\0\1g\0\2ys", KEYPROC_SERVER_12),
	ROW(SERVER, H32 H32 "\0\1p\0\1g\0\2y", 0),
	ROW(SERVER, H32 H32 "\0\1p\0\1g\0\2ysz", 0),
	ROW(SERVER, H32 H32 "\0\1p\0\1g", 0),
	ROW(SERVER, H32 H32 "\0\1p\0\0\0\2ys", 0),
	ROW(SERVER, H32 H32, 0),
	ROW(SERVER, H32, 0),
	ROW(SERVER, "", 0),
	ROW(CLIENT, HELLO "\20\0\0\1k", KEYPROC_CLIENT_12),
	ROW(CLIENT, HELLO "\2\0\0\1s\20\0\0\1k", KEYPROC_CLIENT_12),
	ROW(SERVER, HELLO "\20\0\0\1k", 0),
	ROW(CLIENT, HELLO "\20\0\0\2k", 0),
	ROW(CLIENT, HELLO "\20\0\0", 0),
	ROW(CLIENT, HELLO "\2\0\0\1s", 0),	/* no ClientKeyExchange */
	ROW(CLIENT, "\2\0\0\1s\20\0\0\1k", 0),	/* no ClientHello */
	ROW(0, CV H32, 0),
};

static void
test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (keyproc_form(forms[i].uses,
		    (const uint8_t *)forms[i].bytes, forms[i].n) !=
		    forms[i].want)
			fail_msg("row %zu", i);
}

/* One request by hand. */
struct asked {
	int		 cert;
	unsigned	 hash, padding;
	const char	*bytes;
	size_t		 n;
	bool		 ok;
};

#define ASK(cert, hash, padding, text, ok) \
	{ cert, hash, padding, text, sizeof(text) - 1, ok }

static const struct asked asked[] = {
	ASK(EC, KEYPROC_SHA256, KEYPROC_NO_PADDING, CV H32, true),
	ASK(EC, KEYPROC_NO_HASH, KEYPROC_NO_PADDING, CV H32, false),
	ASK(EC, KEYPROC_SHA256, KEYPROC_PSS, CV H32, false),
	ASK(ED, KEYPROC_NO_HASH, KEYPROC_NO_PADDING, CV H32, true),
	ASK(ED, KEYPROC_SHA256, KEYPROC_NO_PADDING, CV H32, false),
	ASK(RSA_2048, KEYPROC_SHA256, KEYPROC_PSS, CV H32, true),
	ASK(RSA_2048, KEYPROC_SHA256, KEYPROC_PKCS1, CV H32, false),
	ASK(RSA_2048, KEYPROC_SHA256, KEYPROC_NO_PADDING, CV H32, false),
	ASK(RSA_2048, KEYPROC_NO_HASH, KEYPROC_PSS, CV H32, false),
	ASK(RSA_2048, KEYPROC_SHA384, KEYPROC_PKCS1, H32 H32 "\3\0\27\1a",
	    true),
	ASK(EC, KEYPROC_SHA256, KEYPROC_NO_PADDING, "sign me this", false),
	ASK(CERTS, KEYPROC_SHA256, KEYPROC_NO_PADDING, CV H32, false),
	ASK(USER, KEYPROC_SHA256, KEYPROC_PSS, CV H32, false),
	ASK(USER, KEYPROC_SHA256, KEYPROC_PSS, CVC H32, true),
};

static size_t
request_put(uint8_t *to, uint32_t slot, const struct asked *a)
{
	struct keyproc_request r = { .slot = slot, .turn = slot + 1000,
	    .key = (uint32_t)a->cert, .hash = (uint8_t)a->hash,
	    .padding = (uint8_t)a->padding, .len = (uint32_t)a->n };

	memcpy(to, &r, sizeof(r));
	memcpy(to + sizeof(r), a->bytes, a->n);
	return sizeof(r) + a->n;
}

/* All in one message; each is answered, in order. */
static void
test_asked(void **state)
{
	static uint8_t message[KEYPROC_MESSAGE], back[KEYPROC_MESSAGE];
	enum { N = sizeof(asked) / sizeof(*asked) };
	struct service service;
	size_t n = 0;
	uint32_t seen = 0;
	int fds[2];

	(void)state;
	service_open(&service, SERVER);
	assert_int_equal(msg_pair(fds, 0), 0);
	service.peer = keyproc_peer_new(ev, service.keys, fds[0], gone_cb,
	    &service);
	for (uint32_t i = 0; i < N; i++)
		n += request_put(message + n, i, &asked[i]);
	assert_int_equal(send(fds[1], message, n, 0), n);
	assert_int_not_equal(ev_turn(ev, 0), -1);
	while (seen < N) {
		ssize_t got = recv(fds[1], back, sizeof(back), MSG_DONTWAIT);
		size_t left = (size_t)got;
		const uint8_t *p = back, *signature;
		struct keyproc_answer a;

		assert_true(got > 0);
		while (keyproc_answer_next(&p, &left, &a, &signature) == 1) {
			assert_int_equal(a.slot, seen);
			assert_int_equal(a.turn, seen + 1000);
			if ((a.len > 0) != asked[seen].ok)
				fail_msg("row %u", seen);
			seen++;
		}
		assert_int_equal(left, 0);
	}
	close(fds[1]);
	for (int i = 0; i < 3 && service.gone == 0; i++)
		assert_int_not_equal(ev_turn(ev, 0), -1);
	assert_int_equal(service.gone, 1);
	service_close(&service);
}

/* Cut and spoilt messages: who sends them is not served any more. */
static void
test_nonsense(void **state)
{
	static uint8_t good[1024], bad[1024];
	size_t n = request_put(good, 3, &asked[0]);
	struct service service;

	(void)state;
	service_open(&service, SERVER);
	for (size_t cut = 1; cut < n + 4; cut++) {
		struct keyproc_request r;
		unsigned before = service.gone;
		size_t len = cut < n ? cut : n;
		int fds[2];

		memcpy(bad, good, n);
		memcpy(&r, bad, sizeof(r));
		if (cut == n)
			r.slot = KEYPROC_SLOTS;
		else if (cut == n + 1)
			r.hash = KEYPROC_HASHES;
		else if (cut == n + 2)
			r.padding = KEYPROC_PADDINGS;
		else if (cut == n + 3)
			r.len = UINT32_MAX;
		memcpy(bad, &r, sizeof(r));
		assert_int_equal(msg_pair(fds, 0), 0);
		service.peer = keyproc_peer_new(ev, service.keys, fds[0],
		    gone_cb, &service);
		assert_int_equal(send(fds[1], bad, len, 0), len);
		assert_int_not_equal(ev_turn(ev, 0), -1);
		if (service.gone != before + 1)
			fail_msg("cut at %zu", cut);
		assert_int_equal(recv(fds[1], bad, sizeof(bad), MSG_DONTWAIT),
		    0);
		close(fds[1]);
	}
	service_close(&service);
}

/* Answers that a worker does not believe. */
static void
test_bad_answers(void **state)
{
	static uint8_t message[4096];
	struct keyproc *k = keyproc_new(ev);
	struct tls_server *s = server_of(k, EC, false);
	struct tls_client *c = client_of(BOTH, NULL);
	struct keyproc_request r;
	struct keyproc_answer a;
	struct service service;
	struct wire w;
	int fds[2];

	(void)state;
	if (!keyproc_async())
		skip();
	assert_int_equal(msg_pair(fds, 0), 0);
	keyproc_attach(k, fds[1]);
	wire_open(&w, s, c, BOTH);
	wire_until_asked(&w);
	assert_int_not_equal(ev_turn(ev, 0), -1);
	assert_true(recv(fds[0], message, sizeof(message), 0) > 0);
	memcpy(&r, message, sizeof(r));
	/* another's turn, a slot that nobody waits in */
	for (unsigned i = 0; i < 2; i++) {
		a = (struct keyproc_answer){ .slot = r.slot + i,
		    .turn = r.turn + 1 - i, .len = 4 };
		memcpy(message, &a, sizeof(a));
		assert_true(send(fds[0], message, sizeof(a) + 4, 0) > 0);
		assert_int_not_equal(ev_turn(ev, 0), -1);
		assert_int_equal(keyproc_waiting(k), 1);
	}
	/* nonsense: that one is left, the question stays */
	assert_int_equal(send(fds[0], "x", 1, 0), 1);
	assert_int_not_equal(ev_turn(ev, 0), -1);
	assert_int_equal(keyproc_waiting(k), 1);
	close(fds[0]);
	service_open(&service, SERVER);
	service_connect(&service, k);
	wire_must(&w);
	exchange(&w);
	wire_close(&w);
	tls_server_unref(s);
	tls_client_unref(c);
	keyproc_unref(k);
	service_close(&service);
}

/* Ordinary keys do not come here, also when both are in one process. */
static void
test_ordinary(void **state)
{
	struct tls_keypair pair = { .cert = file_of("cert",
	    certs[RSA_2048].pem), .key = file_of("key",
	    certs[RSA_2048].key_pem) };
	char error[TLS_ERROR], warning[TLS_ERROR];
	struct keyproc *k = keyproc_new(ev);
	struct tls_server *remote = server_of(k, EC, false), *s;
	struct tls_client *c = client_of(BOTH, NULL);
	struct wire w;
	int index;

	(void)state;
	s = tls_server_new(&(struct tls_server_conf){ .main = &pair }, error,
	    &index, warning);
	assert_non_null(s);
	wire_open(&w, s, c, BOTH);
	wire_must(&w);
	assert_int_equal(w.waited, 0);
	exchange(&w);
	wire_close(&w);
	tls_server_unref(s);
	tls_server_unref(remote);
	tls_client_unref(c);
	keyproc_unref(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signs),
		cmocka_unit_test(test_no_decryption),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_ordinary),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
