/*
 * TLS streams against each other and against OpenSSL itself, over a wire
 * that this test moves by hand: as many bytes at a time as it likes, in the
 * order it likes.
 */
#include "features.h"

#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/buf.h"
#include "misc/stream.h"
#include "misc/tls.h"

#ifndef HAVE_OPENSSL
int
main(void)
{
	return tls_available() ? 1 : 0;
}
#else

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls_certs.h"

#define BOTH	(TLS_V1_2 | TLS_V1_3)

static struct stream_env env;

/* ---- certificates, made once ---- */

enum { CA, OTHER_CA, P256, RSA_2048, ED, EXPIRED, FOREIGN, CLIENT, BAD_CLIENT,
    ADDRESS, CERTS };

static const struct { struct cert_spec spec; int issuer; } cert_specs[] = {
	[CA] = { { "P-256", "Test CA", NULL, NULL, 100, true }, -1 },
	[OTHER_CA] = { { "P-256", "Other CA", NULL, NULL, 100, true }, -1 },
	[P256] = { { "P-256", "ec", "DNS:a.test,DNS:*.b.test", NULL, 90,
	    false }, CA },
	[RSA_2048] = { { "RSA", "rsa", "DNS:a.test", NULL, 90, false }, CA },
	[ED] = { { "ED25519", "ed", "DNS:a.test", NULL, 90, false }, CA },
	[EXPIRED] = { { "P-256", "old", "DNS:a.test", NULL, -2, false }, CA },
	[FOREIGN] = { { "P-256", "foreign", "DNS:a.test", NULL, 90, false },
	    OTHER_CA },
	[CLIENT] = { { "P-256", "client one", NULL, NULL, 90, false }, CA },
	[BAD_CLIENT] = { { "P-256", "mallory", NULL, NULL, 90, false },
	    OTHER_CA },
	[ADDRESS] = { { "P-256", "ip", "IP:127.0.0.1,IP:::1", NULL, 90,
	    false }, CA },
};

static struct cert certs[CERTS];
static struct tls_keypair pairs[CERTS];

static struct tls_file
file_of(const char *name, const char *text)
{
	return (struct tls_file){ name, text, strlen(text) };
}

static int
setup(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++) {
		certs[i] = cert_make(&cert_specs[i].spec,
		    cert_specs[i].issuer < 0 ? NULL :
		    &certs[cert_specs[i].issuer]);
		pairs[i].cert = file_of("cert", certs[i].pem);
		pairs[i].key = file_of("key", certs[i].key_pem);
	}
	env.pool = buf_pool_new();
	env.raw_size = env.gather_size = 128 * 1024;
	env.raw = malloc(env.raw_size);
	env.gather = malloc(env.gather_size);
	return env.pool == NULL || env.raw == NULL || env.gather == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++)
		cert_clear(&certs[i]);
	buf_pool_free(env.pool);
	free(env.raw);
	free(env.gather);
	return 0;
}

/* ---- the wire ---- */

/* client.fd -- a  [moved by hand]  b -- server.fd */
struct wire {
	int		 a, b;
	size_t		 step;		/* bytes at a time */
	struct stream	 client, server;
	SSL		*peer;		/* instead of the client, or NULL */
};

static void
socket_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_not_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), -1);
}

static void
wire_open(struct wire *w, size_t step)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	w->step = step;
	socket_pair(fds);
	w->a = fds[1];
	stream_init(&w->client, fds[0]);
	socket_pair(fds);
	w->b = fds[0];
	stream_init(&w->server, fds[1]);
}

static void
wire_close(struct wire *w)
{
	int client = w->client.fd, server = w->server.fd;

	SSL_free(w->peer);
	stream_clear(&env, &w->client);
	stream_clear(&env, &w->server);
	close(client);
	close(server);
	close(w->a);
	close(w->b);
	assert_int_equal(ERR_peek_error(), 0);
}

static bool
move(int from, int to, size_t step)
{
	char bytes[65536];
	ssize_t n;

	if (step > sizeof(bytes))
		step = sizeof(bytes);
	n = recv(from, bytes, step, MSG_PEEK);
	if (n == 0)
		shutdown(to, SHUT_WR);
	if (n <= 0)
		return false;
	n = send(to, bytes, (size_t)n, MSG_NOSIGNAL);
	if (n <= 0)
		return false;
	assert_int_equal(recv(from, bytes, (size_t)n, 0), n);
	return true;
}

static bool
wire_move(struct wire *w)
{
	bool up = move(w->a, w->b, w->step);
	bool down = move(w->b, w->a, w->step);

	return up || down;
}

/* Until both sides are done or one has failed; as few calls as readiness
 * would bring. */
struct ends { enum tls_step client, server; };

static enum tls_step
peer_step(struct wire *w)
{
	int r = SSL_do_handshake(w->peer), e = SSL_get_error(w->peer, r);

	if (r == 1)
		return TLS_DONE;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return TLS_MORE;
	return TLS_FAILED;
}

static struct ends
wire_handshake(struct wire *w)
{
	struct ends e = { TLS_MORE, TLS_MORE };

	for (unsigned i = 0; i < 100000; i++) {
		if (e.client == TLS_MORE)
			e.client = w->peer != NULL ? peer_step(w) :
			    stream_handshake(&env, &w->client);
		if (e.server == TLS_MORE)
			e.server = stream_handshake(&env, &w->server);
		if (e.server == TLS_FAILED && e.client == TLS_MORE)
			stream_shutdown(&env, &w->server);
		if (e.client != TLS_MORE && e.server != TLS_MORE)
			break;
		if (e.client == TLS_FAILED)
			shutdown(w->client.fd, SHUT_WR);
		wire_move(w);
	}
	assert_int_not_equal(e.client, TLS_MORE);
	assert_int_not_equal(e.server, TLS_MORE);
	return e;
}

static void
wire_must(struct wire *w)
{
	struct ends e = wire_handshake(w);

	if (e.client != TLS_DONE || e.server != TLS_DONE)
		fail_msg("client: %s; server: %s", w->peer != NULL ? "(peer)" :
		    stream_tls_reason(&w->client),
		    stream_tls_reason(&w->server));
}

/* Everything there is up to n bytes; the stream's state tells the rest. */
static size_t
drain(struct stream *s, uint8_t *p, size_t n)
{
	static uint8_t buf[64 * 1024];
	size_t done = 0;
	ssize_t got;

	do {
		got = stream_read(&env, s, buf, sizeof(buf));
		if (got > 0) {
			assert_true(done + (size_t)got <= n);
			memcpy(p + done, buf, (size_t)got);
			done += (size_t)got;
		}
	} while (got > 0 || (got == -1 && errno == EAGAIN && s->pending));
	return done;
}

/* A short message each way. */
static void
exchange(struct wire *w)
{
	static const char text[] = "there and back";
	uint8_t got[64];
	size_t n = 0;

	assert_int_equal(stream_write(&env, &w->client, text, sizeof(text)),
	    sizeof(text));
	for (int i = 0; n < sizeof(text) && i < 100000; i++) {
		wire_move(w);
		n += drain(&w->server, got + n, sizeof(got) - n);
	}
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, n);
	assert_int_equal(stream_write(&env, &w->server, got, n), n);
	memset(got, 0, sizeof(got));
	n = 0;
	for (int i = 0; n < sizeof(text) && i < 100000; i++) {
		wire_move(w);
		n += drain(&w->client, got + n, sizeof(got) - n);
	}
	assert_memory_equal(got, text, n);
}

/* ---- making ends ---- */

static struct tls_server *
server_of(const struct tls_server_conf *conf)
{
	char error[TLS_ERROR], warning[TLS_ERROR];
	int index;
	struct tls_server *s = tls_server_new(conf, error, &index, warning);

	if (s == NULL)
		fail_msg("%s", error);
	return s;
}

static struct tls_server *
server_simple(int cert)
{
	return server_of(&(struct tls_server_conf){ .main = &pairs[cert],
	    .tickets = true, .lifetime = 7200 });
}

static struct tls_client *
client_of(const struct tls_client_conf *conf)
{
	char error[TLS_ERROR];
	struct tls_client *c = tls_client_new(conf, error);

	if (c == NULL)
		fail_msg("%s", error);
	return c;
}

static struct tls_client *
client_simple(uint32_t versions)
{
	return client_of(&(struct tls_client_conf){ .versions = versions,
	    .verify = true, .name = "a.test",
	    .ca = file_of("ca", certs[CA].pem) });
}

static void
wire_start(struct wire *w, size_t step, struct tls_server *s,
    struct tls_client *c, uint32_t versions)
{
	wire_open(w, step);
	assert_int_equal(stream_tls_accept(&w->server, s, versions, false),
	    0);
	if (c != NULL)
		assert_int_equal(stream_tls_connect(&w->client, c), 0);
}

/* OpenSSL as the client; prepare changes what it offers. */
static SSL_CTX *
peer_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	return ctx;
}

static void
wire_peer(struct wire *w, SSL_CTX *ctx)
{
	w->peer = SSL_new(ctx);
	assert_non_null(w->peer);
	SSL_set_fd(w->peer, w->client.fd);
	SSL_set_connect_state(w->peer);
}

/* ---- tests ---- */

static const struct { uint32_t server, client; const char *want; }
    versions[] = {
	{ BOTH, BOTH, "TLSv1.3/" },
	{ BOTH, TLS_V1_2, "TLSv1.2/" },
	{ BOTH, TLS_V1_3, "TLSv1.3/" },
	{ TLS_V1_2, BOTH, "TLSv1.2/" },
	{ TLS_V1_3, BOTH, "TLSv1.3/" },
	{ TLS_V1_3, TLS_V1_2, NULL },
	{ TLS_V1_2, TLS_V1_3, NULL },
};

static void
test_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3 * sizeof(versions) / sizeof(*versions); i++) {
		size_t row = i / 3;
		size_t step = i % 3 == 0 ? 65536 : i % 3 == 1 ? 1 : 7;
		struct tls_server *s = server_simple(P256);
		struct tls_client *c = client_simple(versions[row].client);
		struct wire w;
		struct ends e;
		char text[128];

		wire_start(&w, step, s, c, versions[row].server);
		assert_string_equal(stream_tls_text(&w.server, text,
		    sizeof(text)), "-");
		e = wire_handshake(&w);
		assert_int_equal(e.server == TLS_DONE,
		    versions[row].want != NULL);
		if (e.server == TLS_DONE) {
			assert_int_equal(e.client, TLS_DONE);
			stream_tls_text(&w.server, text, sizeof(text));
			assert_memory_equal(text, versions[row].want, 8);
			assert_string_equal(stream_tls_sni(&w.server),
			    "a.test");
			exchange(&w);
		} else
			assert_string_equal(stream_tls_reason(&w.server),
			    "unsupported protocol");
		wire_close(&w);
		tls_server_unref(s);
		tls_client_unref(c);
	}
}

/* A session on a new wire; whether it was resumed. */
static bool
session(struct tls_server *s, struct tls_client *c)
{
	struct wire w;
	bool resumed;

	wire_start(&w, 65536, s, c, BOTH);
	wire_must(&w);
	exchange(&w);
	resumed = stream_tls_resumed(&w.server);
	assert_int_equal(stream_tls_resumed(&w.client), resumed);
	wire_close(&w);
	return resumed;
}

/* What a client sends right behind its Finished is not lost, although the
 * handshake's step received it; and the ticket goes with the answer. */
static void
test_eager(void **state)
{
	static uint8_t big[15000], got[2 * sizeof(big)];
	struct tls_server *s = server_simple(P256);
	struct tls_ticket_key key;

	(void)state;
	memset(&key, 4, sizeof(key));
	tls_server_tickets(s, &key, 1);
	for (uint32_t v = TLS_V1_2; v <= TLS_V1_3; v++) {
		struct tls_client *c = client_simple(v);
		struct wire w;
		enum tls_step up = TLS_MORE, down = TLS_MORE;

		memset(big, 0x5a, sizeof(big));
		wire_start(&w, 65536, s, c, v);
		for (int i = 0; i < 10 && up != TLS_DONE; i++) {
			up = stream_handshake(&env, &w.client);
			if (up == TLS_DONE)
				assert_int_equal(stream_write(&env, &w.client,
				    big, sizeof(big)), sizeof(big));
			wire_move(&w);
			if (down == TLS_MORE)
				down = stream_handshake(&env, &w.server);
		}
		assert_int_equal(up, TLS_DONE);
		assert_int_equal(down, TLS_DONE);
		if (v == TLS_V1_3)
			assert_true(w.server.pending);
		assert_int_equal(drain(&w.server, got, sizeof(got)),
		    sizeof(big));
		assert_memory_equal(got, big, sizeof(big));
		assert_false(w.server.pending);
		if (v == TLS_V1_3)
			assert_false(wire_move(&w));
		assert_int_equal(stream_write(&env, &w.server, "yes", 3), 3);
		while (wire_move(&w))
			;
		assert_int_equal(drain(&w.client, got, sizeof(got)), 3);
		wire_close(&w);
		assert_true(session(s, c));
		tls_client_unref(c);
	}
	tls_server_unref(s);
}

static void
rotate(struct tls_ticket_key *keys, unsigned *n, uint8_t seed)
{
	keys[2] = keys[1];
	keys[1] = keys[0];
	memset(&keys[0], seed, sizeof(*keys));
	if (*n < 3)
		++*n;
}

static void
test_tickets(void **state)
{
	struct tls_ticket_key keys[3] = { 0 };
	unsigned n = 0;

	(void)state;
	for (uint32_t v = TLS_V1_2; v <= TLS_V1_3; v++) {
		/* Two workers. */
		struct tls_server *a = server_simple(P256);
		struct tls_server *b = server_simple(P256);
		struct tls_client *c = client_simple(v);

		n = 0;
		rotate(keys, &n, 1);
		assert_false(session(a, c));	/* no keys, no tickets */
		assert_false(session(b, c));
		tls_server_tickets(a, keys, n);
		tls_server_tickets(b, keys, n);
		assert_false(session(a, c));
		assert_true(session(b, c));
		assert_true(session(a, c));
		rotate(keys, &n, 2);
		rotate(keys, &n, 3);
		tls_server_tickets(b, keys, n);
		assert_true(session(b, c));	/* the oldest still opens */
		rotate(keys, &n, 4);
		rotate(keys, &n, 5);
		rotate(keys, &n, 6);
		tls_server_tickets(b, keys, n);
		assert_false(session(b, c));	/* one too many */
		assert_true(session(b, c));
		assert_false(session(a, c));	/* a has other keys now */
		tls_server_unref(a);
		tls_server_unref(b);
		tls_client_unref(c);
	}
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * Every resumption renews the ticket, but not the identity: two lifetimes
 * after the full handshake another one is due. A machine that stalls for
 * long proves nothing, so the order of things is judged, not their time.
 */
static void
test_ticket_age(void **state)
{
	struct tls_server *s = server_of(&(struct tls_server_conf){
	    .main = &pairs[P256], .tickets = true, .lifetime = 1 });
	struct tls_client *c = client_simple(TLS_V1_3);
	struct tls_ticket_key key;
	double began = seconds(), last = began, latest = 0, gap = 0;

	(void)state;
	memset(&key, 6, sizeof(key));
	tls_server_tickets(s, &key, 1);
	assert_false(session(s, c));
	while (last - began < 10) {
		double now;

		usleep(200000);
		now = seconds();
		gap = now - last > gap ? now - last : gap;
		last = now;
		if (!session(s, c))
			break;
		latest = now - began;
	}
	assert_true(last - began < 10);		/* not for ever */
	if (gap < 0.5)
		assert_true(latest > 1.5);	/* but renewed meanwhile */
	tls_server_unref(s);
	tls_client_unref(c);
}

/* Tickets are bound to the certificate's name and key, to "tls verify" and
 * the authorities. */
static void
test_ticket_binding(void **state)
{
	static const char *const other[] = { "c.test" };
	struct tls_keypair named = pairs[RSA_2048];
	struct tls_file ca = file_of("ca", certs[CA].pem);
	struct tls_file other_ca = file_of("other ca", certs[OTHER_CA].pem);
	struct tls_ticket_key key;
	const struct tls_server_conf base = { .main = &pairs[RSA_2048],
	    .tickets = true, .lifetime = 7200 };
	const struct tls_server_conf demanding = { .main = &pairs[RSA_2048],
	    .tickets = true, .lifetime = 7200,
	    .verify = TLS_VERIFY_OPTIONAL, .ca = ca };
	const struct {
		struct tls_server_conf from, to;
		bool good;
	} rows[] = {
		{ base, base, true },
		{ demanding, demanding, true },
		/* other names, the same names but another key */
		{ { .main = &pairs[P256], .tickets = true,
		    .lifetime = 7200 }, base, false },
		{ { .main = &pairs[ED], .tickets = true,
		    .lifetime = 7200 }, base, false },
		{ base, { .main = &named, .tickets = true,
		    .lifetime = 7200 }, false },
		{ base, demanding, false },
		{ demanding, base, false },
		{ demanding, { .main = &pairs[RSA_2048], .tickets = true,
		    .lifetime = 7200, .verify = TLS_VERIFY_OPTIONAL,
		    .ca = other_ca }, false },
		{ base, { .main = &pairs[RSA_2048], .tickets = false,
		    .lifetime = 7200 }, false },
	};

	(void)state;
	memset(&key, 7, sizeof(key));
	named.names = other;
	named.nnames = 1;
	for (uint32_t v = TLS_V1_2; v <= TLS_V1_3; v++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct tls_server *a = server_of(&rows[i].from);
			struct tls_server *b = server_of(&rows[i].to);
			struct tls_client *c = client_simple(v);

			tls_server_tickets(a, &key, 1);
			tls_server_tickets(b, &key, 1);
			assert_false(session(a, c));
			if (session(b, c) != rows[i].good)
				fail_msg("row %zu, version %u", i, v);
			tls_server_unref(a);
			tls_server_unref(b);
			tls_client_unref(c);
		}
}

/* Both ways at once, more than any buffer holds, in odd pieces; each side
 * writes whenever it may and reads whenever there is something. */
struct flood { size_t sent, got; uint32_t seed; };

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 11) * 7);
}

static void
flood_step(struct stream *s, struct flood *mine, struct flood *theirs,
    size_t total)
{
	static uint8_t buf[200000];
	size_t n;
	ssize_t r;

	mine->seed = mine->seed * 1103515245 + 12345;
	n = (mine->seed >> 8) % sizeof(buf);
	if (n > total - mine->sent)
		n = total - mine->sent;
	if (s->blocked && stream_flush(&env, s) == -1)
		assert_int_equal(errno, EAGAIN);
	if (n > 0 && !s->blocked) {
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(mine->sent + i);
		r = stream_write(&env, s, buf, n);
		assert_true(r >= 0);
		assert_true(r == (ssize_t)n || s->blocked);
		mine->sent += (size_t)r;
	} else if (s->blocked) {
		assert_int_equal(stream_write(&env, s, buf, 1), -1);
		assert_int_equal(errno, EAGAIN);
	}
	n = 16384 + (mine->seed >> 12) % 100000;
	r = stream_read(&env, s, buf, n);
	if (r == -1)
		assert_int_equal(errno, EAGAIN);
	for (ssize_t i = 0; i < r; i++)
		if (buf[i] != pattern(theirs->got + (size_t)i))
			fail_msg("byte %zu", theirs->got + (size_t)i);
	if (r > 0)
		theirs->got += (size_t)r;
}

static void
test_both_ways(void **state)
{
	static const size_t steps[] = { 65536, 1000, 17 };
	static const size_t totals[] = { 8000000, 2000000, 100000 };
	struct tls_server *s = server_simple(P256);

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		uint32_t v = i % 2 == 0 ? TLS_V1_2 : TLS_V1_3;
		size_t total = totals[i / 2];
		struct tls_client *c = client_simple(v);
		struct flood up = { .seed = 1 }, down = { .seed = 2 };
		struct wire w;

		wire_start(&w, steps[i / 2], s, c, BOTH);
		wire_must(&w);
		for (unsigned turn = 0; turn < 200000 && (up.got < total ||
		    down.got < total); turn++) {
			flood_step(&w.client, &up, &down, total);
			wire_move(&w);
			flood_step(&w.server, &down, &up, total);
			wire_move(&w);
		}
		assert_int_equal(up.got, total);
		assert_int_equal(down.got, total);
		wire_close(&w);
		tls_client_unref(c);
	}
	tls_server_unref(s);
}

/* The end of one direction leaves the other one alone. */
static void
test_half_close(void **state)
{
	struct tls_server *s = server_simple(P256);
	uint8_t got[32768];

	(void)state;
	for (uint32_t v = TLS_V1_2; v <= TLS_V1_3; v++) {
		struct tls_client *c = client_simple(v);
		struct wire w;

		wire_start(&w, 65536, s, c, v);
		wire_must(&w);
		assert_int_equal(stream_write(&env, &w.client, "bye", 3), 3);
		assert_int_equal(stream_shutdown(&env, &w.client), 0);
		assert_true(w.client.shut);
		assert_int_equal(stream_write(&env, &w.client, "x", 1), -1);
		while (wire_move(&w))
			;
		assert_int_equal(stream_read(&env, &w.server, got,
		    sizeof(got)), 3);
		assert_true(w.server.pending);
		assert_int_equal(stream_read(&env, &w.server, got,
		    sizeof(got)), 0);
		assert_true(w.server.eof && !w.server.truncated);
		assert_false(stream_tls_closing(&w.server));
		/* the answer after the end */
		assert_int_equal(stream_write(&env, &w.server, "and", 3), 3);
		while (wire_move(&w))
			;
		assert_int_equal(drain(&w.client, got, sizeof(got)), 3);
		assert_false(w.client.eof);
		assert_int_equal(stream_shutdown(&env, &w.server), 0);
		assert_true(stream_tls_closing(&w.server));
		while (wire_move(&w))
			;
		assert_int_equal(drain(&w.client, got, sizeof(got)), 0);
		assert_true(w.client.eof && !w.client.truncated);
		assert_true(stream_tls_closing(&w.client));
		wire_close(&w);
		tls_client_unref(c);
	}
	tls_server_unref(s);
}

static void
test_truncated(void **state)
{
	struct tls_server *s = server_simple(P256);
	struct tls_client *c = client_simple(BOTH);
	uint8_t got[32768];
	struct wire w;

	(void)state;
	for (int half = 0; half < 2; half++) {
		wire_start(&w, 65536, s, c, BOTH);
		wire_must(&w);
		assert_int_equal(stream_write(&env, &w.client, "data", 4), 4);
		if (half)	/* in the middle of a record */
			move(w.a, w.b, 9);
		else
			while (wire_move(&w))
				;
		shutdown(w.b, SHUT_WR);
		assert_int_equal(drain(&w.server, got, sizeof(got)),
		    half ? 0 : 4);
		assert_int_equal(drain(&w.server, got, sizeof(got)), 0);
		assert_true(w.server.eof && w.server.truncated);
		wire_close(&w);
	}
	tls_server_unref(s);
	tls_client_unref(c);
}

/* A flipped bit ends the session with an alert, never with data. */
static void
test_damaged(void **state)
{
	struct tls_server *s = server_simple(P256);
	uint8_t got[32768], record[64];

	(void)state;
	for (uint32_t v = TLS_V1_2; v <= TLS_V1_3; v++) {
		struct tls_client *c = client_simple(v);
		struct wire w;
		ssize_t n;

		wire_start(&w, 65536, s, c, v);
		wire_must(&w);
		while (wire_move(&w))
			;
		stream_write(&env, &w.client, "good", 4);
		while (wire_move(&w))
			;
		stream_write(&env, &w.client, "evil", 4);
		n = recv(w.a, record, sizeof(record), 0);
		assert_true(n > 10);
		record[n - 1] ^= 1;
		assert_int_equal(send(w.b, record, (size_t)n, 0), n);
		assert_int_equal(stream_read(&env, &w.server, got,
		    sizeof(got)), 4);
		assert_true(w.server.pending);
		assert_int_equal(stream_read(&env, &w.server, got,
		    sizeof(got)), -1);
		assert_int_equal(errno, EPROTO);
		assert_false(w.server.pending);
		assert_string_equal(stream_tls_reason(&w.server),
		    "decryption failed or bad record mac");
		assert_int_equal(stream_write(&env, &w.server, "x", 1), -1);
		while (wire_move(&w))
			;
		assert_int_equal(stream_read(&env, &w.client, got,
		    sizeof(got)), -1);
		assert_int_equal(errno, EPROTO);
		wire_close(&w);
		tls_client_unref(c);
	}
	tls_server_unref(s);
}

/* ---- with OpenSSL on the other side ---- */

static void
peer_send(struct wire *w, const char *text)
{
	assert_int_equal(SSL_write(w->peer, text, (int)strlen(text)),
	    strlen(text));
	while (wire_move(w))
		;
}

static void
test_key_update(void **state)
{
	struct tls_server *s = server_simple(P256);
	SSL_CTX *ctx = peer_context();
	uint8_t got[32768];
	struct wire w;
	char reply[64];

	(void)state;
	wire_start(&w, 65536, s, NULL, BOTH);
	wire_peer(&w, ctx);
	wire_must(&w);
	for (int i = 0; i < 10; i++) {
		int type = i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED :
		    SSL_KEY_UPDATE_NOT_REQUESTED;

		assert_int_equal(SSL_key_update(w.peer, type), 1);
		peer_send(&w, "new key");
		assert_int_equal(drain(&w.server, got, sizeof(got)), 7);
		/* whether the library answers now or with the next data */
		wire_move(&w);
		assert_int_equal(stream_write(&env, &w.server, "yes", 3), 3);
		while (wire_move(&w))
			;
		assert_int_equal(SSL_read(w.peer, reply, sizeof(reply)), 3);
	}
	wire_close(&w);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

/* While our output is stuck, updates that ask for answers must neither get
 * lost nor get in the way. */
static void
test_key_update_blocked(void **state)
{
	static uint8_t big[1 << 20], got[1 << 20];
	struct tls_server *s = server_simple(P256);
	SSL_CTX *ctx = peer_context();
	struct wire w;
	size_t sent = 0, n = 0;

	(void)state;
	wire_start(&w, 65536, s, NULL, BOTH);
	wire_peer(&w, ctx);
	wire_must(&w);
	while (!w.server.blocked) {
		ssize_t r = stream_write(&env, &w.server, big, 65536);

		assert_true(r > 0);
		sent += (size_t)r;
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(SSL_key_update(w.peer,
		    SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_write(w.peer, "x", 1), 1);
		while (move(w.a, w.b, 65536))
			;
		assert_int_equal(drain(&w.server, got, sizeof(got)), 1);
	}
	for (int i = 0; n < sent && i < 100000; i++) {
		int r;

		if (w.server.blocked)
			stream_flush(&env, &w.server);
		wire_move(&w);
		r = SSL_read(w.peer, got, sizeof(got));
		if (r > 0)
			n += (size_t)r;
	}
	assert_int_equal(n, sent);
	assert_false(w.server.blocked);
	assert_int_equal(stream_write(&env, &w.server, "end", 3), 3);
	while (wire_move(&w))
		;
	assert_int_equal(SSL_read(w.peer, got, sizeof(got)), 3);
	wire_close(&w);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

static void
test_key_update_flood(void **state)
{
	struct tls_server *s = server_simple(P256);
	SSL_CTX *ctx = peer_context();
	uint8_t got[32768];
	struct wire w;
	int i;

	(void)state;
	wire_start(&w, 65536, s, NULL, BOTH);
	wire_peer(&w, ctx);
	wire_must(&w);
	for (i = 0; i < 1000; i++) {
		if (SSL_key_update(w.peer, SSL_KEY_UPDATE_NOT_REQUESTED) != 1
		    || SSL_do_handshake(w.peer) != 1)
			break;
		while (move(w.a, w.b, 65536))
			;
		if (stream_read(&env, &w.server, got, sizeof(got)) == -1 &&
		    errno == EPROTO)
			break;
	}
	assert_true(i >= 60 && i < 900);
	assert_string_equal(stream_tls_reason(&w.server),
	    "too many records without data");
	wire_close(&w);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

/* What is no TLS fails once, at once, with a reason. */
static void
test_garbage(void **state)
{
	static const struct { const char *bytes; size_t n; const char *want; }
	    rows[] = {
		{ "GET / HTTP/1.0\r\n\r\n", 18, "http request" },
		{ "CONNECT a:1 HTTP/1.0\r\n\r\n", 24, "https proxy request" },
		{ "SSH-2.0-OpenSSH_9.9\r\n", 21, "wrong version number" },
		{ "\x16\x03\x01\xff\xff\x01\x02\x03", 8, NULL },
		{ "\x15\x03\x01\x00\x02\x02\x28", 7, NULL },
		{ "\x17\x03\x03\x00\x02\x02\x28", 7, NULL },
		{ "\x16\x03\x01\x00\x00", 5, NULL },
		{ "\x80\x2e\x01\x03\x03", 5, "connection closed" },
		{ "", 0, "connection closed" },
		{ "\x16\x03\x01\x02", 4, "connection closed" },
	};
	struct tls_server *s = server_simple(P256);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct wire w;
		enum tls_step step;

		wire_start(&w, 65536, s, NULL, BOTH);
		assert_int_equal(stream_handshake(&env, &w.server),
		    TLS_MORE);
		assert_int_equal(send(w.b, rows[i].bytes, rows[i].n, 0),
		    rows[i].n);
		step = stream_handshake(&env, &w.server);
		if (step == TLS_MORE) {
			shutdown(w.b, SHUT_WR);
			step = stream_handshake(&env, &w.server);
		}
		assert_int_equal(step, TLS_FAILED);
		if (rows[i].want != NULL)
			assert_string_equal(stream_tls_reason(&w.server),
			    rows[i].want);
		assert_string_not_equal(stream_tls_reason(&w.server),
		    "unknown reason");
		assert_int_equal(stream_handshake(&env, &w.server),
		    TLS_FAILED);
		assert_int_equal(stream_shutdown(&env, &w.server), 0);
		wire_close(&w);
	}
	tls_server_unref(s);
}

/* Any curve, after a retry if need be; but no group that costs us a hundred
 * times as much as the client. */
static void
test_groups(void **state)
{
	static const struct { const char *groups; bool good; } rows[] = {
		{ "X25519", true }, { "P-256", true }, { "P-384:P-256", true },
		{ "P-521", true }, { "ffdhe8192:P-256", true },
		{ "ffdhe8192", false },
	};
	struct tls_server *s = server_simple(P256);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		SSL_CTX *ctx = peer_context();
		struct wire w;
		struct ends e;

		if (SSL_CTX_set1_groups_list(ctx, rows[i].groups) != 1) {
			ERR_clear_error();	/* the library has none */
			SSL_CTX_free(ctx);
			continue;
		}
		wire_start(&w, 65536, s, NULL, TLS_V1_3);
		wire_peer(&w, ctx);
		e = wire_handshake(&w);
		assert_int_equal(e.server == TLS_DONE, rows[i].good);
		ERR_clear_error();
		wire_close(&w);
		SSL_CTX_free(ctx);
	}
	tls_server_unref(s);
}

static void
test_alpn(void **state)
{
	static const unsigned char offer[] = "\2h2\x8http/1.1";
	struct tls_server *s = server_simple(P256);
	SSL_CTX *ctx = peer_context();
	const unsigned char *selected;
	unsigned len;
	struct wire w;
	char buf[64];

	(void)state;
	SSL_CTX_set_alpn_protos(ctx, offer, sizeof(offer) - 1);
	wire_start(&w, 65536, s, NULL, BOTH);
	wire_peer(&w, ctx);
	wire_must(&w);
	assert_string_equal(stream_tls_alpn(&w.server, buf, sizeof(buf)),
	    "h2,http/1.1");
	SSL_get0_alpn_selected(w.peer, &selected, &len);
	assert_int_equal(len, 0);
	assert_null(stream_tls_sni(&w.server));
	wire_close(&w);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

/* One ticket in a full handshake, and one in a resumed one. */
static unsigned tickets_seen;

static int
ticket_cb(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	tickets_seen++;
	return 0;
}

static void
test_one_ticket(void **state)
{
	struct tls_server *s = server_simple(P256);
	SSL_CTX *ctx = peer_context();
	SSL_SESSION *session = NULL;
	struct tls_ticket_key key;
	char buf[8];

	(void)state;
	memset(&key, 9, sizeof(key));
	tls_server_tickets(s, &key, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, ticket_cb);
	for (int i = 0; i < 3; i++) {
		struct wire w;

		tickets_seen = 0;
		wire_start(&w, 65536, s, NULL, BOTH);
		wire_peer(&w, ctx);
		if (session != NULL)
			SSL_set_session(w.peer, session);
		wire_must(&w);
		while (wire_move(&w))
			;
		SSL_read(w.peer, buf, sizeof(buf));
		assert_int_equal(tickets_seen, 1);
		assert_int_equal(SSL_session_reused(w.peer), i > 0);
		SSL_SESSION_free(session);
		session = SSL_get1_session(w.peer);
		assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
		assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(
		    session), 7200);
		SSL_set_shutdown(w.peer, SSL_SENT_SHUTDOWN);
		wire_close(&w);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

/* ---- certificates ---- */

static const struct {
	int		 cert;
	bool		 verify;
	const char	*name, *ip, *reason;	/* reason NULL: all is well */
} judged[] = {
	{ P256, true, "a.test", NULL, NULL },
	{ P256, true, "A.Test.", NULL, NULL },
	{ P256, true, "x.b.test", NULL, NULL },
	{ RSA_2048, true, "a.test", NULL, NULL },
	{ ED, true, "a.test", NULL, NULL },
	{ ADDRESS, true, NULL, "127.0.0.1", NULL },
	{ ADDRESS, true, "::1", NULL, NULL },
	{ P256, false, NULL, NULL, NULL },
	{ FOREIGN, false, "z.test", NULL, NULL },
	{ P256, true, "b.test", NULL, "hostname mismatch" },
	{ P256, true, "y.x.b.test", NULL, "hostname mismatch" },
	{ P256, true, NULL, "127.0.0.1", "IP address mismatch" },
	{ ADDRESS, true, NULL, "127.0.0.2", "IP address mismatch" },
	{ ADDRESS, true, "a.test", "127.0.0.1", "hostname mismatch" },
	{ FOREIGN, true, "a.test", NULL,
	    "unable to get local issuer certificate" },
	{ EXPIRED, true, "a.test", NULL, "certificate has expired" },
};

static void
test_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(judged) / sizeof(*judged); i++) {
		size_t row = i / 2;
		struct tls_server *s = server_simple(judged[row].cert);
		struct tls_client *c = client_of(&(struct tls_client_conf){
		    .versions = i % 2 == 0 ? TLS_V1_2 : TLS_V1_3,
		    .verify = judged[row].verify, .name = judged[row].name,
		    .ip = judged[row].ip,
		    .ca = file_of("ca", certs[CA].pem) });
		char want[TLS_ERROR];
		struct wire w;
		struct ends e;

		wire_start(&w, 65536, s, c, BOTH);
		e = wire_handshake(&w);
		if (judged[row].reason == NULL) {
			assert_int_equal(e.client, TLS_DONE);
			exchange(&w);
		} else {
			assert_int_equal(e.client, TLS_FAILED);
			snprintf(want, sizeof(want),
			    "certificate verify failed: %s",
			    judged[row].reason);
			assert_string_equal(stream_tls_reason(&w.client),
			    want);
		}
		wire_close(&w);
		tls_server_unref(s);
		tls_client_unref(c);
	}
}

/* Targets of a relay: one context, each its own name and session; and a chain
 * that is right will do, where nobody asks whose it is. */
static void
test_like(void **state)
{
	static const struct { int cert; bool chain_only, silent;
	    const char *name; bool good, sent; } rows[] = {
		{ P256, false, false, "a.test", true, true },
		{ P256, false, true, "a.test", true, false },
		{ P256, false, true, "z.test", false, false },
		{ P256, true, false, "z.test", true, true },
		{ P256, true, true, "z.test", true, false },
		{ P256, true, false, NULL, true, false },
		{ FOREIGN, true, false, "a.test", false, true },
	};
	struct tls_client_conf conf = { .versions = BOTH, .verify = true,
	    .chain_only = true, .ca = file_of("ca", certs[CA].pem),
	    .ciphers = "ECDHE+AESGCM", .curves = "P-256" };
	struct tls_client *first = client_of(&conf);

	(void)state;
	conf.like = first;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tls_server *s = server_simple(rows[i].cert);
		struct tls_client *c;
		struct wire w;

		conf.chain_only = rows[i].chain_only;
		conf.silent = rows[i].silent;
		conf.name = rows[i].name;
		c = client_of(&conf);
		for (int again = 0; again < 2; again++) {
			wire_start(&w, 65536, s, c, BOTH);
			assert_int_equal(wire_handshake(&w).client,
			    rows[i].good ? TLS_DONE : TLS_FAILED);
			if (rows[i].good) {
				exchange(&w);
				assert_int_equal(stream_tls_sni(&w.server) !=
				    NULL, rows[i].sent);
			}
			wire_close(&w);
		}
		tls_client_unref(c);
		tls_server_unref(s);
	}
	tls_client_unref(first);
}

/* Certificates without names are as good as others, and names twice. */
static void
test_first_counts(void **state)
{
	struct tls_keypair more[] = { pairs[RSA_2048], pairs[CLIENT],
	    pairs[P256], pairs[ED] };
	struct tls_server_conf conf = { .main = &pairs[P256], .sni = more,
	    .nsni = 4 };
	char error[TLS_ERROR], warning[TLS_ERROR];
	struct tls_server *s;
	int index;

	(void)state;
	assert_null(tls_server_new(&conf, error, &index, warning));
	conf.first_counts = conf.client_preference = true;
	conf.dh = TLS_DH_AUTO;
	conf.curves = "P-384";
	s = server_of(&conf);
	tls_server_unref(s);
}

/* What is no response is told when it is read. */
static void
test_staple(void **state)
{
	struct tls_keypair pair = pairs[P256];
	char error[TLS_ERROR], warning[TLS_ERROR];

	(void)state;
	pair.ocsp = file_of("staple", "");
	assert_int_equal(tls_keypair_check(&pair, error, warning), 0);
	pair.ocsp = file_of("staple", "not one");
	assert_int_equal(tls_keypair_check(&pair, error, warning), -1);
	assert_string_equal(error, "tls: cannot load OCSP response 'staple': "
	    "not a successful one in DER form");
	/* "try later" (RFC 6960, 4.2.1) */
	pair.ocsp = file_of("staple", "\x30\x03\x0a\x01\x03");
	assert_int_equal(tls_keypair_check(&pair, error, warning), -1);
}

static const struct {
	enum tls_verify	 verify;
	int		 own;		/* -1: none */
	bool		 good, unverified;
	const char	*peer;
} shown[] = {
	{ TLS_VERIFY_NO, -1, true, false, NULL },
	{ TLS_VERIFY_NO, CLIENT, true, false, NULL },
	{ TLS_VERIFY_OPTIONAL, -1, true, true, NULL },
	{ TLS_VERIFY_OPTIONAL, CLIENT, true, false, "CN=client one" },
	{ TLS_VERIFY_OPTIONAL, BAD_CLIENT, true, true, NULL },
	{ TLS_VERIFY_REQUIRED, -1, false, false, NULL },
	{ TLS_VERIFY_REQUIRED, CLIENT, true, false, "CN=client one" },
	{ TLS_VERIFY_REQUIRED, BAD_CLIENT, false, false, NULL },
};

static void
check_shown(const struct stream *s, size_t row)
{
	char buf[128];
	const char *peer = stream_tls_peer(s, buf, sizeof(buf));

	assert_int_equal(stream_tls_unverified(s), shown[row].unverified);
	if (shown[row].peer == NULL)
		assert_null(peer);
	else
		assert_string_equal(peer, shown[row].peer);
}

static void
test_shown(void **state)
{
	struct tls_ticket_key key;

	(void)state;
	memset(&key, 5, sizeof(key));
	for (size_t i = 0; i < 2 * sizeof(shown) / sizeof(*shown); i++) {
		size_t row = i / 2;
		struct tls_server *s = server_of(&(struct tls_server_conf){
		    .main = &pairs[P256], .verify = shown[row].verify,
		    .ca = file_of("ca", certs[CA].pem), .tickets = true,
		    .lifetime = 7200 });
		struct tls_client *c = client_of(&(struct tls_client_conf){
		    .versions = i % 2 == 0 ? TLS_V1_2 : TLS_V1_3,
		    .own = shown[row].own < 0 ? NULL :
		    &pairs[shown[row].own] });
		struct wire w;
		struct ends e;

		tls_server_tickets(s, &key, 1);
		wire_start(&w, 65536, s, c, BOTH);
		e = wire_handshake(&w);
		assert_int_equal(e.server == TLS_DONE, shown[row].good);
		if (shown[row].good) {
			exchange(&w);
			check_shown(&w.server, row);
		} else
			assert_true(strstr(stream_tls_reason(&w.server),
			    shown[row].own < 0 ?
			    "peer did not return a certificate" :
			    "unable to get local issuer certificate"));
		wire_close(&w);
		/* the identity lives on in the resumed session */
		if (shown[row].good) {
			wire_start(&w, 65536, s, c, BOTH);
			wire_must(&w);
			assert_true(stream_tls_resumed(&w.server));
			check_shown(&w.server, row);
			wire_close(&w);
		}
		tls_server_unref(s);
		tls_client_unref(c);
	}
}

/* ---- the choice of a certificate ---- */

static const struct {
	const char	*name;		/* sent; NULL: none */
	const char	*sigalgs;
	uint32_t	 versions;
	int		 want;		/* -1: refused */
} chosen[] = {
	{ "a.test", NULL, BOTH, P256 },
	{ "A.TEST", NULL, TLS_V1_2, P256 },
	{ "a.test", "rsa_pss_rsae_sha256:ed25519", BOTH, ED },
	{ "a.test", "rsa_pss_rsae_sha256:ed25519", TLS_V1_2, ED },
	{ "a.test", "rsa_pss_rsae_sha256", BOTH, RSA_2048 },
	{ "a.test", "rsa_pkcs1_sha256", TLS_V1_2, RSA_2048 },
	{ "x.b.test", NULL, BOTH, FOREIGN },
	{ "x.y.b.test", NULL, BOTH, ADDRESS },
	{ "other.test", NULL, BOTH, ADDRESS },
	{ NULL, NULL, BOTH, ADDRESS },
	{ NULL, NULL, TLS_V1_2, ADDRESS },
};

static void
test_chosen(void **state)
{
	static const char *const pattern_names[] = { "*.b.test" };
	static const char *const exact[] = { "a.test" };
	struct tls_keypair sni[] = { pairs[RSA_2048], pairs[ED], pairs[P256],
	    pairs[FOREIGN] };
	struct tls_server_conf conf = { .main = &pairs[ADDRESS], .sni = sni,
	    .nsni = 4, .tickets = true, .lifetime = 7200 };
	struct tls_server *s;

	(void)state;
	sni[2].names = exact;
	sni[3].names = pattern_names;
	sni[2].nnames = sni[3].nnames = 1;
	s = server_of(&conf);
	for (size_t i = 0; i < sizeof(chosen) / sizeof(*chosen); i++) {
		SSL_CTX *ctx = peer_context();
		struct wire w;
		X509 *x;

		if (chosen[i].sigalgs != NULL)
			assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx,
			    chosen[i].sigalgs), 1);
		if (chosen[i].versions == TLS_V1_2)
			SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
		wire_start(&w, 65536, s, NULL, BOTH);
		wire_peer(&w, ctx);
		if (chosen[i].name != NULL)
			SSL_set_tlsext_host_name(w.peer, chosen[i].name);
		wire_must(&w);
		x = SSL_get0_peer_certificate(w.peer);
		if (X509_cmp(x, certs[chosen[i].want].x) != 0)
			fail_msg("row %zu", i);
		wire_close(&w);
		SSL_CTX_free(ctx);
	}
	tls_server_unref(s);

	/* nothing for everybody */
	conf.main = NULL;
	s = server_of(&conf);
	for (int i = 0; i < 3; i++) {
		static const char *const sent[] = { "z.test", NULL,
		    "q.b.test" };
		SSL_CTX *ctx = peer_context();
		struct wire w;
		struct ends e;

		wire_start(&w, 65536, s, NULL, BOTH);
		wire_peer(&w, ctx);
		if (sent[i] != NULL)
			SSL_set_tlsext_host_name(w.peer, sent[i]);
		e = wire_handshake(&w);
		assert_int_equal(e.server, i == 2 ? TLS_DONE : TLS_FAILED);
		if (i < 2) {
			assert_string_equal(stream_tls_reason(&w.server),
			    i == 0 ? "no certificate for this name" :
			    "no certificate without a server name");
			assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
			    SSL_R_TLSV1_UNRECOGNIZED_NAME);
			ERR_clear_error();
		}
		wire_close(&w);
		SSL_CTX_free(ctx);
	}
	tls_server_unref(s);
}

/* A ticket of one name is nothing for another one. */
static void
test_ticket_name(void **state)
{
	struct tls_keypair sni[] = { pairs[RSA_2048], pairs[P256] };
	static const char *const other[] = { "c.test" };
	struct tls_server *s;
	struct tls_ticket_key key;
	SSL_SESSION *session = NULL;
	SSL_CTX *ctx = peer_context();
	static const char *const sent[] = { "a.test", "a.test", "c.test",
	    "a.test" };

	(void)state;
	sni[1].names = other;
	sni[1].nnames = 1;
	s = server_of(&(struct tls_server_conf){ .sni = sni, .nsni = 2,
	    .tickets = true, .lifetime = 7200 });
	memset(&key, 3, sizeof(key));
	tls_server_tickets(s, &key, 1);
	for (int i = 0; i < 4; i++) {
		struct wire w;
		char buf[8];

		wire_start(&w, 65536, s, NULL, BOTH);
		wire_peer(&w, ctx);
		SSL_set_tlsext_host_name(w.peer, sent[i]);
		if (session != NULL)
			SSL_set_session(w.peer, session);
		wire_must(&w);
		while (wire_move(&w))
			;
		SSL_read(w.peer, buf, sizeof(buf));
		assert_int_equal(SSL_session_reused(w.peer), i == 1);
		SSL_SESSION_free(session);
		session = SSL_get1_session(w.peer);
		SSL_set_shutdown(w.peer, SSL_SENT_SHUTDOWN);
		wire_close(&w);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	tls_server_unref(s);
}

/* ---- pre-shared keys ---- */

static const char *psk_sent;

static unsigned
psk_client_cb(SSL *ssl, const char *hint, char *identity, unsigned max_id,
    unsigned char *psk, unsigned max_psk)
{
	(void)ssl;
	(void)hint;
	assert_true(max_psk >= 16);
	snprintf(identity, max_id, "%s", psk_sent);
	memset(psk, 0xab, 16);
	return 16;
}

static void
test_psk(void **state)
{
	static const char keys[] = "bob:00112233445566778899aabbccddeeff\n"
	    "alice:abababababababababababababababab\n";
	static const struct { const char *identity; bool permitted, cert;
	    bool good, shown; } rows[] = {
		{ "alice", true, true, true, false },
		{ "alice", true, false, true, false },
		{ "alice", false, true, true, true },	/* by certificate */
		{ "alice", false, false, false, false },
		{ "carol", true, false, false, false },
		{ "bob", true, false, false, false },	/* another key */
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(*rows); i++) {
		size_t row = i / 2;
		uint32_t v = i % 2 == 0 ? TLS_V1_2 : TLS_V1_3;
		struct tls_server *s = server_of(&(struct tls_server_conf){
		    .main = rows[row].cert ? &pairs[P256] : NULL,
		    .psk = file_of("psk", keys), .tickets = true,
		    .lifetime = 7200 });
		struct tls_ticket_key key;
		SSL_CTX *ctx = peer_context();
		struct wire w;
		struct ends e;

		memset(&key, 1, sizeof(key));
		tls_server_tickets(s, &key, 1);
		psk_sent = rows[row].identity;
		SSL_CTX_set_psk_client_callback(ctx, psk_client_cb);
		if (v == TLS_V1_2 && rows[row].permitted)
			SSL_CTX_set_cipher_list(ctx, "PSK");
		wire_open(&w, 65536);
		assert_int_equal(stream_tls_accept(&w.server, s, v,
		    rows[row].permitted), 0);
		wire_peer(&w, ctx);
		e = wire_handshake(&w);
		if ((e.server == TLS_DONE) != rows[row].good)
			fail_msg("row %zu: %s", i,
			    stream_tls_reason(&w.server));
		if (rows[row].good)
			assert_int_equal(SSL_get0_peer_certificate(w.peer) !=
			    NULL, rows[row].shown);
		ERR_clear_error();
		wire_close(&w);
		SSL_CTX_free(ctx);
		tls_server_unref(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_eager),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_ticket_age),
		cmocka_unit_test(test_ticket_binding),
		cmocka_unit_test(test_ticket_name),
		cmocka_unit_test(test_one_ticket),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_key_update_blocked),
		cmocka_unit_test(test_key_update_flood),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_judged),
		cmocka_unit_test(test_like),
		cmocka_unit_test(test_first_counts),
		cmocka_unit_test(test_staple),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_chosen),
		cmocka_unit_test(test_psk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

#endif
