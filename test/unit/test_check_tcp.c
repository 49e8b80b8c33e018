/*
 * tcprelay/check_tcp.c: checks over connections, against peers of all kinds,
 * which live in the same loop.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "features.h"

#include "misc/buf.h"
#include "misc/ev.h"
#include "misc/net.h"
#include "misc/stream.h"
#include "misc/tls.h"
#include "tcprelay/check.h"

#ifdef HAVE_OPENSSL
#include "tls_certs.h"
#endif

#define PATIENCE	20000		/* ms; nothing here takes as long */
#define SOON		150		/* ms, of checks that are to time out */
#define PEERS		8
#define HUGE_DATA	(16u * 1024 * 1024)

#define HELLO_MD5	"5d41402abc4b2a76b9719d911017c592"
#define HELLO_SHA1	"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"

/* ---- what a peer does, and what must come of it ---- */

enum ending { HOLD, CLOSE, RESET };

struct row {
	const char	*what;
	struct check_how how;
	/* the peer: */
	const char	*say;		/* NULL: nothing */
	size_t		 n;
	enum ending	 end;
	size_t		 step;		/* bytes at a time; 0: all at once */
	bool		 await;		/* hears a request first */
	bool		 flood;		/* goes on with x for ever */
	bool		 deaf;		/* reads nothing */
	bool		 plain;		/* though the check wants TLS */
	/* the check: */
	unsigned	 timeout;	/* 0: PATIENCE */
	enum host_state	 state;
	enum host_error	 error;
	unsigned	 code;
	const char	*request;	/* what the peer must have heard */
};

#define SAY(text)	.say = (text), .n = sizeof(text) - 1
#define BYTES(text)	(const uint8_t *)(text), sizeof(text) - 1
#define EXPECT(text)	.how.kind = CHECK_SEND, \
    .how.expect = (const uint8_t *)(text), .how.expect_len = sizeof(text) - 1
#define BINARY(text)	.how.kind = CHECK_BINARY, \
    .how.expect = (const uint8_t *)(text), .how.expect_len = sizeof(text) - 1
#define SEND(text)	.how.send = (const uint8_t *)(text), \
    .how.send_len = sizeof(text) - 1
#define CODE(c)		.how.kind = CHECK_HTTP_CODE, .how.path = "/", \
    .how.code = (c)
#define DIGEST(d)	.how.kind = CHECK_HTTP_DIGEST, .how.path = "/f", \
    .how.digest = (d), .how.host = "a.example"
#define UP(e)		.state = HOST_UP, .error = (e)
#define DOWN(e)		.state = HOST_DOWN, .error = (e)

/* Each of them with and without TLS. */
static const struct row rows[] = {
	/* send and expect */
	{ "greeting", EXPECT("220 *"), SAY("220 ready\r\n"),
	    UP(HOST_EXPECT_OK), .request = "" },
	{ "greeting in bytes", EXPECT("220 *\r\n"), SAY("220 ready\r\n"),
	    .step = 1, UP(HOST_EXPECT_OK) },
	{ "answer", EXPECT("+PONG\r\n"), SEND("PING\r\n"), .await = true,
	    SAY("+PONG\r\n"), UP(HOST_EXPECT_OK), .request = "PING\r\n" },
	{ "empty request", EXPECT("a"), SEND(""), SAY("a"), .end = CLOSE,
	    UP(HOST_EXPECT_OK) },
	{ "NUL", EXPECT("a\0?c*"), SAY("a\0bcd"), UP(HOST_EXPECT_OK) },
	{ "other answer, close", EXPECT("220 *"), SAY("500 no\r\n"),
	    .end = CLOSE, DOWN(HOST_EXPECT_FAILED) },
	{ "no answer, close", EXPECT("220 *"), .end = CLOSE,
	    DOWN(HOST_EXPECT_FAILED) },
	{ "nothing, which was expected", EXPECT("*"), .end = CLOSE,
	    UP(HOST_EXPECT_OK) },
	{ "other answer, hold", EXPECT("220 *"), SAY("500 no\r\n"),
	    .timeout = SOON, DOWN(HOST_EXPECT_FAILED) },
	{ "silence", EXPECT("220 *"), .timeout = SOON,
	    DOWN(HOST_TCP_READ_TIMEOUT) },
	{ "trickle without end", EXPECT("220 *"), .step = 1, .timeout = SOON,
	    .say = "500", .n = 3, .flood = true, DOWN(HOST_EXPECT_FAILED) },
	{ "flood", EXPECT("220 *"), .say = "5", .n = 1, .flood = true,
	    DOWN(HOST_EXPECT_FAILED) },
	{ "flood that matches", EXPECT("2*"), .say = "2", .n = 1,
	    .flood = true, UP(HOST_EXPECT_OK) },
	{ "reset", EXPECT("220 *"), SEND("x"), .await = true, SAY("22"),
	    .end = RESET, DOWN(HOST_TCP_READ_FAILED) },
	/* binary */
	{ "binary", BINARY("\x01\x00\x02"), SEND("\x00\xff"), .await = true,
	    SAY("\x01\x00\x02\x03"), UP(HOST_EXPECT_OK) },
	{ "binary in bytes", BINARY("\x01\x00\x02"), SAY("\x01\x00\x02\x03"),
	    .step = 1, UP(HOST_EXPECT_OK) },
	{ "binary, another", BINARY("\x01\x00\x02"), SAY("\x01\x00\x03\x03"),
	    DOWN(HOST_EXPECT_FAILED) },
	{ "binary, too short, close", BINARY("\x01\x00\x02"), SAY("\x01"),
	    .end = CLOSE, DOWN(HOST_EXPECT_FAILED) },
	{ "binary, too short, hold", BINARY("\x01\x00\x02"), SAY("\x01"),
	    .timeout = SOON, DOWN(HOST_EXPECT_FAILED) },
	/* http code */
	{ "code", CODE(200), .await = true, SAY("HTTP/1.1 200 OK\r\n"),
	    UP(HOST_CODE_OK),
	    .request = "HEAD / HTTP/1.0\r\nUser-Agent: S\r\n\r\n" },
	{ "code in bytes", CODE(200), SAY("HTTP/1.0 200 OK\r\n\r\n"),
	    .step = 1, UP(HOST_CODE_OK) },
	{ "code without an end of line", CODE(200), SAY("HTTP/1.0 200 OK"),
	    .end = CLOSE, UP(HOST_CODE_OK) },
	{ "the same, hold", CODE(200), SAY("HTTP/1.0 200 OK"),
	    .timeout = SOON, UP(HOST_CODE_OK) },
	{ "another code", CODE(200), .await = true,
	    SAY("HTTP/1.1 503 Busy\r\n\r\n"), DOWN(HOST_CODE_MISMATCH),
	    .code = 503 },
	{ "no code", CODE(200), SAY("220 mail\r\n"), .end = CLOSE,
	    DOWN(HOST_CODE_MALFORMED) },
	{ "close at once", CODE(200), .await = true, .end = CLOSE,
	    DOWN(HOST_CODE_MALFORMED) },
	{ "code and silence", CODE(200), .await = true, .timeout = SOON,
	    DOWN(HOST_TCP_READ_TIMEOUT) },
	{ "half a status line", CODE(200), SAY("HTTP/1.1 20"),
	    .timeout = SOON, DOWN(HOST_CODE_MALFORMED) },
	{ "endless status line", CODE(200), SAY("HTTP/1.1 abc"),
	    .flood = true, DOWN(HOST_CODE_MALFORMED) },
	/* http digest */
	{ "body by length", DIGEST(HELLO_MD5), .await = true,
	    SAY("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
	    UP(HOST_DIGEST_OK), .request = "GET /f HTTP/1.1\r\n"
	    "User-Agent: S\r\nHost: a.example\r\n"
	    "Connection: close\r\n\r\n" },
	{ "chunks", DIGEST(HELLO_SHA1), .step = 2,
	    SAY("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), UP(HOST_DIGEST_OK) },
	{ "body to the end", DIGEST(HELLO_SHA1),
	    SAY("HTTP/1.0 200 OK\r\n\r\nhello"), .end = CLOSE,
	    UP(HOST_DIGEST_OK) },
	{ "body to the timeout", DIGEST(HELLO_SHA1),
	    SAY("HTTP/1.0 200 OK\r\n\r\nhello"), .timeout = SOON,
	    UP(HOST_DIGEST_OK) },
	{ "another body", DIGEST(HELLO_MD5),
	    SAY("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo"),
	    DOWN(HOST_DIGEST_MISMATCH) },
	{ "no body", DIGEST(HELLO_MD5), SAY("hello"), .end = CLOSE,
	    DOWN(HOST_DIGEST_MALFORMED) },
	{ "huge body", DIGEST(HELLO_MD5), SAY("HTTP/1.0 200 OK\r\n\r\n"),
	    .flood = true, DOWN(HOST_DIGEST_MISMATCH) },
	{ "endless head", DIGEST(HELLO_MD5), SAY("HTTP/1.0 200 OK\r\n"),
	    .flood = true, DOWN(HOST_DIGEST_MALFORMED) },
};

/* What an error is called when the check is over TLS. */
static enum host_error
over_tls(enum host_error e)
{
	switch (e) {
	case HOST_TCP_CONNECT_OK:
		return HOST_TLS_CONNECT_OK;
	case HOST_TCP_READ_TIMEOUT:
		return HOST_TLS_READ_TIMEOUT;
	case HOST_TCP_READ_FAILED:
		return HOST_TLS_READ_ERROR;
	case HOST_TCP_WRITE_TIMEOUT:
		return HOST_TLS_WRITE_TIMEOUT;
	case HOST_TCP_WRITE_FAILED:
		return HOST_TLS_WRITE_ERROR;
	default:
		return e;
	}
}

/* ---- the world ---- */

static struct ev *ev;
static struct stream_env env;
static struct tls_server *server;
#ifdef HAVE_OPENSSL
static struct cert cert;
#endif

struct peer {
	const struct row *row;
	struct stream	 stream;
	struct ev_timer	 timer;
	bool		 tls, greeted, done;
	size_t		 said;
	char		 heard[512];
	size_t		 nheard;	/* also what is not in heard */
	char		 sni[64];
};

static struct {
	int		 listener;
	const struct row *row;
	struct peer	 peers[PEERS];
	unsigned	 npeers;
	unsigned	 statuses;
	struct check_status status;
	char		 warning[256], line[256];
} w;

static void
status_cb(void *ctx, const struct check_status *s)
{
	(void)ctx;
	w.status = *s;
	w.statuses++;
}

static void
round_cb(void *ctx)
{
	(void)ctx;
}

static bool
script_cb(void *ctx, const struct check_script *s)
{
	(void)ctx;
	(void)s;
	return false;
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	snprintf(severity <= 3 ? w.warning : w.line, sizeof(w.line), "%s",
	    text);
}

static const struct check_ops ops = {
	status_cb, round_cb, script_cb, line_cb
};

static uint64_t
wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- peers ---- */

static void
peer_close(struct peer *p)
{
	int fd = p->stream.fd;

	ev_timer_stop(ev, &p->timer);
	if (fd == -1)
		return;
	stream_clear(&env, &p->stream);
	p->stream.fd = -1;
	ev_close(ev, fd);
}

static void
peer_end(struct peer *p)
{
	p->done = true;
	ev_interest(ev, p->stream.fd, EV_READ);
	if (p->row->end == RESET)
		net_linger0(p->stream.fd);
	else if (p->row->end == CLOSE)
		(void)stream_shutdown(&env, &p->stream);
	if (p->row->end != HOLD)
		peer_close(p);
}

static void
peer_speak(void *ctx)
{
	static char flood[4096];
	struct peer *p = ctx;
	const struct row *r = p->row;
	size_t n = r->n - p->said;
	ssize_t put;

	memset(flood, 'x', sizeof(flood));
	for (;;) {
		bool more = p->said < r->n;

		if (!more && !r->flood) {
			peer_end(p);
			return;
		}
		n = more ? r->n - p->said : sizeof(flood);
		if (r->step != 0 && n > r->step)
			n = r->step;
		put = stream_write(&env, &p->stream,
		    more ? r->say + p->said : flood, n);
		if (put == -1 && errno != EAGAIN) {
			peer_close(p);
			return;
		}
		if (put == -1 || p->stream.blocked) {
			ev_interest(ev, p->stream.fd, EV_READ | EV_WRITE);
			return;
		}
		if (more)
			p->said += (size_t)put;
		if (r->step != 0) {
			ev_timer_set(ev, &p->timer, EV_MS, peer_speak, p);
			return;
		}
	}
}

static void
peer_write(void *ctx, int fd)
{
	struct peer *p = ctx;

	(void)fd;
	if (p->stream.blocked && stream_flush(&env, &p->stream) == -1) {
		if (errno != EAGAIN)
			peer_close(p);
		return;
	}
	if (p->greeted && !p->done)
		peer_speak(p);
}

static bool
heard_all(const struct peer *p)
{
	size_t n = p->row->how.send_len;

	if (p->row->how.send != NULL)
		return p->nheard >= n;
	return p->nheard >= 4 && p->nheard <= sizeof(p->heard) &&
	    memcmp(p->heard + p->nheard - 4, "\r\n\r\n", 4) == 0;
}

static void
peer_read(void *ctx, int fd)
{
	static uint8_t data[65536];
	struct peer *p = ctx;
	ssize_t n;

	(void)fd;
	if (p->tls && !p->greeted && stream_tls_text(&p->stream, p->sni,
	    sizeof(p->sni))[0] == '-') {
		switch (stream_handshake(&env, &p->stream)) {
		case TLS_MORE:
		case TLS_ASYNC:
			return;
		case TLS_FAILED:
			peer_close(p);
			return;
		case TLS_DONE:
			break;
		}
	}
	do {
		n = stream_read(&env, &p->stream, data, sizeof(data));
		if (n == 0 || (n == -1 && errno != EAGAIN)) {
			peer_close(p);
			return;
		}
		for (ssize_t i = 0; i < n; i++, p->nheard++)
			if (p->nheard < sizeof(p->heard))
				p->heard[p->nheard] = (char)data[i];
	} while (n > 0);
	if (p->greeted || (p->row->await && !heard_all(p)))
		return;
	p->greeted = true;
	snprintf(p->sni, sizeof(p->sni), "%s", p->tls &&
	    stream_tls_sni(&p->stream) != NULL ? stream_tls_sni(&p->stream) :
	    "none");
	if (p->row->n > 0 || p->row->end != HOLD)
		peer_speak(p);
}

static const struct ev_ops peer_ops = {
	.readable = peer_read, .writable = peer_write, .error = peer_read,
	.hangup = peer_read
};

static void
accept_cb(void *ctx, int fd)
{
	int c = net_accept(fd, NULL);
	struct peer *p = &w.peers[w.npeers];

	(void)ctx;
	if (c == -1)
		return;
	assert_true(w.npeers < PEERS);
	w.npeers++;
	*p = (struct peer){ .row = w.row };
	stream_init(&p->stream, c);
	p->tls = w.row->how.tls && !w.row->plain;
	if (p->tls)
		assert_int_equal(stream_tls_accept(&p->stream, server,
		    TLS_V1_2 | TLS_V1_3, false), 0);
	if (w.row->deaf) {
		/* through the handshake, and not a byte further */
		if (!p->tls)
			return;
	}
	assert_int_equal(ev_add(ev, c, &peer_ops, p, EV_READ), 0);
	if (!p->tls && !w.row->await) {
		p->greeted = true;
		snprintf(p->sni, sizeof(p->sni), "none");
		if (w.row->n > 0 || w.row->end != HOLD)
			peer_speak(p);
	}
}

static const struct ev_ops accept_ops = { .readable = accept_cb };

static struct net_addr
listener_open(int family)
{
	struct net_addr a = { .len = 0 };

	assert_true(net_parse_ip(family == AF_INET6 ? "::1" : "127.0.0.1",
	    &a));
	w.listener = net_socket(family, SOCK_STREAM, 0);
	assert_int_not_equal(w.listener, -1);
	assert_int_equal(bind(w.listener, &a.sa, a.len), 0);
	assert_int_equal(listen(w.listener, 16), 0);
	assert_int_equal(net_local(w.listener, &a), 0);
	assert_int_equal(ev_add(ev, w.listener, &accept_ops, NULL, EV_READ),
	    0);
	return a;
}

/* ---- one check ---- */

static struct check *
engine(void)
{
	int none[CHECK_SOCKETS] = { -1, -1, -1, -1 };
	struct check *c = check_new(ev, &ops, NULL, none);

	assert_non_null(c);
	w.statuses = 0;
	w.warning[0] = w.line[0] = '\0';
	return c;
}

static void
await_status(void)
{
	uint64_t end = wall() + 2 * PATIENCE;

	while (w.statuses == 0) {
		assert_true(wall() < end);
		assert_int_equal(ev_turn(ev, 50), 0);
	}
}

static void
check_one(const struct check_how *how, const struct check_host *h,
    unsigned timeout)
{
	struct check_table t = { .id = 1, .name = "t:1", .how = *how,
	    .timeout = timeout, .every = 1, .hosts = h, .nhosts = 1 };
	struct check *c = engine();

	ev_clock(ev);
	check_adopt(c, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 4 * PATIENCE, .log = CHECK_LOG_STATE, .agent = "S" });
	await_status();
	assert_int_equal(check_running(c), 0);
	check_free(c);
}

static void
world_clear(void)
{
	for (unsigned i = 0; i < w.npeers; i++)
		peer_close(&w.peers[i]);
	w.npeers = 0;
	if (w.listener != -1)
		ev_close(ev, w.listener);
	w.listener = -1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ev_turn(ev, 0), 0);
}

static bool
row_holds(const struct row *r, bool tls, int family, unsigned timeout)
{
	struct row now = *r;
	struct check_host h = { .id = 5, .name = "some.example" };

	now.how.tls = tls;
	w.row = &now;
	h.addr = listener_open(family);
	check_one(&now.how, &h, timeout);
	if (w.status.now.state != r->state || w.status.now.error !=
	    (tls ? over_tls(r->error) : r->error) ||
	    w.status.now.code != r->code) {
		world_clear();
		return false;
	}
	if (r->error == HOST_DIGEST_MISMATCH)
		assert_string_equal(w.warning,
		    "wrong digest for host some.example");
	else
		assert_string_equal(w.warning, "");
	if (r->timeout != 0)
		assert_true(w.status.ms >= timeout);
	if (r->request != NULL) {
		assert_int_equal(w.npeers, 1);
		assert_int_equal(w.peers[0].nheard, strlen(r->request));
		assert_memory_equal(w.peers[0].heard, r->request,
		    strlen(r->request));
	}
	if (w.npeers == 1 && w.peers[0].greeted)
		assert_string_equal(w.peers[0].sni, "none");
	world_clear();
	return true;
}

/*
 * What is to time out must first get as far as it should: on a machine that
 * is busy with something else it gets more time, and in the end all of it.
 */
static void
row_check(const struct row *r, bool tls, int family)
{
	unsigned timeout = r->timeout != 0 ? r->timeout : PATIENCE;

	while (!row_holds(r, tls, family, timeout)) {
		timeout *= 8;
		if (timeout >= PATIENCE)
			fail_msg("%s%s: %s (%s, %u)", r->what, tls ? ", tls" :
			    "", host_state_text(w.status.now.state),
			    host_error_text(w.status.now.error),
			    w.status.now.code);
	}
}

static void
answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		row_check(&rows[i], false, i % 2 == 0 ? AF_INET : AF_INET6);
}

static void
answers_tls(void **state)
{
	(void)state;
	if (!tls_available())
		skip();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		row_check(&rows[i], true, AF_INET);
}

static void
connections(void **state)
{
	static const struct row tcp[] = {
		{ "accepts", .how.kind = CHECK_TCP, UP(HOST_TCP_CONNECT_OK) },
		{ "closes", .how.kind = CHECK_TCP, .end = CLOSE,
		    UP(HOST_TCP_CONNECT_OK) },
	};
	static const struct row tls[] = {
		{ "handshake", .how.kind = CHECK_TCP,
		    UP(HOST_TCP_CONNECT_OK) },
		{ "no TLS", .how.kind = CHECK_TCP, .plain = true,
		    SAY("220 this is mail\r\n"), DOWN(HOST_TLS_CONNECT_FAILED) },
		{ "no TLS, close", .how.kind = CHECK_TCP, .plain = true,
		    .end = CLOSE, DOWN(HOST_TLS_CONNECT_FAILED) },
		{ "no TLS, silence", .how.kind = CHECK_TCP, .plain = true,
		    .timeout = SOON, DOWN(HOST_TLS_CONNECT_TIMEOUT) },
		{ "no TLS, deaf", EXPECT("*"), .plain = true, .deaf = true,
		    .timeout = SOON, DOWN(HOST_TLS_CONNECT_TIMEOUT) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tcp) / sizeof(tcp[0]); i++) {
		row_check(&tcp[i], false, AF_INET);
		row_check(&tcp[i], false, AF_INET6);
	}
	for (size_t i = 0; tls_available() && i < sizeof(tls) /
	    sizeof(tls[0]); i++)
		row_check(&tls[i], true, AF_INET);
}

/* A request that no socket buffer takes, for somebody who does not read. */
static void
long_requests(void **state)
{
	uint8_t *data = calloc(1, HUGE_DATA);
	struct row deaf = { "deaf", EXPECT("*"), .deaf = true, .await = true,
		.timeout = 2 * SOON, DOWN(HOST_TCP_WRITE_TIMEOUT) };
	struct row quits = { "quits", EXPECT("*"), .end = RESET,
		DOWN(HOST_TCP_WRITE_FAILED) };
	struct row hears = { "hears", EXPECT("yes"), .await = true,
		SAY("yes"), UP(HOST_EXPECT_OK) };

	(void)state;
	assert_non_null(data);
	deaf.how.send = quits.how.send = hears.how.send = data;
	deaf.how.send_len = quits.how.send_len = HUGE_DATA;
	hears.how.send_len = HUGE_DATA;
	row_check(&deaf, false, AF_INET);
	row_check(&quits, false, AF_INET);
	/* more than the socket takes at once, all the same it arrives */
	row_check(&hears, false, AF_INET);
	if (tls_available()) {
		row_check(&hears, true, AF_INET);
		row_check(&quits, true, AF_INET);
	}
	free(data);
}

/* TLS: through the handshake, then the peer reads no more. */
static void
long_request_tls(void **state)
{
	uint8_t *data = calloc(1, HUGE_DATA);
	struct row r = { "deaf", EXPECT("*"), .await = true,
		DOWN(HOST_TLS_WRITE_TIMEOUT) };
	struct check_host h = { .id = 5, .name = "a" };
	struct check_table t = { .id = 1, .name = "t:1", .timeout = 10 * SOON,
		.every = 1, .hosts = &h, .nhosts = 1 };
	uint64_t end = wall() + PATIENCE;
	struct check *c;

	(void)state;
	if (!tls_available()) {
		free(data);
		skip();
	}
	r.how.send = data;
	r.how.send_len = HUGE_DATA;
	r.how.tls = true;
	t.how = r.how;
	w.row = &r;
	h.addr = listener_open(AF_INET);
	c = engine();
	ev_clock(ev);
	check_adopt(c, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 4 * PATIENCE, .agent = "S" });
	while (w.statuses == 0) {
		assert_true(wall() < end);
		assert_int_equal(ev_turn(ev, 20), 0);
		if (w.npeers == 1 && w.peers[0].nheard > 0)
			ev_interest(ev, w.peers[0].stream.fd, 0);
	}
	assert_int_equal(w.status.now.state, HOST_DOWN);
	assert_int_equal(w.status.now.error, HOST_TLS_WRITE_TIMEOUT);
	check_free(c);
	world_clear();
	free(data);
}

/* The name that a host was given by, and only then. */
static void
server_name(void **state)
{
	struct row r = { "sni", EXPECT("ok"), .await = true, SEND("x"),
		SAY("ok"), UP(HOST_EXPECT_OK) };
	struct check_host h = { .id = 5, .name = "www.example.com",
		.by_name = true };

	(void)state;
	if (!tls_available())
		skip();
	r.how.tls = true;
	w.row = &r;
	h.addr = listener_open(AF_INET);
	check_one(&r.how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_EXPECT_OK);
	assert_string_equal(w.peers[0].sni, "www.example.com");
	assert_non_null(strstr(w.line, "host www.example.com, check "
	    "send expect use tls ("));
	world_clear();
}

/* ---- what goes wrong before there is a connection ---- */

/* What we cannot do says nothing about the host. */
static void
built_without_tls(void **state)
{
	static const struct row r = { "tls", .how.kind = CHECK_TCP,
		.plain = true };
	struct check_how how = { .kind = CHECK_TCP, .tls = true };
	struct check_host h = { .id = 1, .name = "a" };

	(void)state;
	if (tls_available())
		skip();
	w.row = &r;
	h.addr = listener_open(AF_INET);
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.state, HOST_UNKNOWN);
	assert_int_equal(w.status.now.error, HOST_TLS_CONNECT_ERROR);
	assert_int_equal(w.status.now.checks, 0);
	world_clear();
}

static void
nobody_there(void **state)
{
	struct check_how how = { .kind = CHECK_TCP };
	struct check_host h = { .id = 1, .name = "a" };
	struct net_addr a;

	(void)state;
	a = listener_open(AF_INET);
	world_clear();
	h.addr = a;
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.state, HOST_DOWN);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_FAILED);
	/* at once: no stream socket reaches all hosts */
	assert_true(net_parse_ip("255.255.255.255", &h.addr));
	net_set_port(&h.addr, 9);
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_FAILED);
	/* a family that there is not */
	h.addr.sa.sa_family = 250;
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_SOCKET_ERROR);
	h.addr = a;
	h.ttl = 300;
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_SOCKET_OPTION);
	assert_int_equal(w.status.now.state, HOST_DOWN);
}

static void
ttl_is_set(void **state)
{
	static const struct row r = { "ttl", .how.kind = CHECK_TCP };
	struct check_host h = { .id = 1, .name = "a", .ttl = 3 };

	(void)state;
	w.row = &r;
	h.addr = listener_open(AF_INET);
	check_one(&r.how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_OK);
	world_clear();
	h.addr = listener_open(AF_INET6);
	check_one(&r.how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_OK);
	world_clear();
}

#ifdef __linux__
/* A queue that is full answers nobody. */
static void
connect_timeout(void **state)
{
	struct check_how how = { .kind = CHECK_TCP };
	struct check_host h = { .id = 1, .name = "a" };
	int fds[4], l = net_socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_true(net_parse_ip("127.0.0.1", &h.addr));
	assert_int_equal(bind(l, &h.addr.sa, h.addr.len), 0);
	assert_int_equal(listen(l, 0), 0);
	assert_int_equal(net_local(l, &h.addr), 0);
	for (int i = 0; i < 4; i++) {
		fds[i] = net_socket(AF_INET, SOCK_STREAM, 0);
		(void)connect(fds[i], &h.addr.sa, h.addr.len);
	}
	check_one(&how, &h, SOON);
	assert_int_equal(w.status.now.state, HOST_DOWN);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_TIMEOUT);
	assert_true(w.status.ms >= SOON);
	how.tls = true;
	check_one(&how, &h, SOON);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_TIMEOUT);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close(l);
}
#endif

static void
out_of_descriptors(void **state)
{
	struct check_how how = { .kind = CHECK_TCP };
	struct check_host h = { .id = 1, .name = "a" };
	static const struct row r = { "limit", .how.kind = CHECK_TCP };
	struct rlimit old, low;
	int next;

	(void)state;
	w.row = &r;
	h.addr = listener_open(AF_INET);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* the lowest number that is free is one too many */
	next = dup(STDERR_FILENO);
	close(next);
	low = old;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	check_one(&how, &h, PATIENCE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(w.status.now.state, HOST_DOWN);
	assert_int_equal(w.status.now.error, HOST_TCP_SOCKET_LIMIT);
	check_one(&how, &h, PATIENCE);
	assert_int_equal(w.status.now.error, HOST_TCP_CONNECT_OK);
	world_clear();
}

/* A code that was not wanted is told until another answer is judged. */
static void
code_is_remembered(void **state)
{
	struct row r = { "code", CODE(200), .await = true,
		SAY("HTTP/1.1 404 No\r\n\r\n") };
	struct check_host h = { .id = 1, .name = "a" };
	struct check_table t = { .id = 1, .name = "t:1", .how = r.how,
		.timeout = PATIENCE, .every = 1, .hosts = &h, .nhosts = 1 };
	struct check *c = engine();

	(void)state;
	w.row = &r;
	h.addr = listener_open(AF_INET);
	ev_clock(ev);
	check_adopt(c, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 4 * PATIENCE, .agent = "S",
	    .log = CHECK_LOG_STATE | CHECK_LOG_HOSTS });
	await_status();
	assert_non_null(strstr(w.line, "ms,http code mismatch,404), state "
	    "unknown -> down, availability 0.00%"));
	world_clear();
	w.statuses = 0;
	check_poll(c);
	await_status();
	assert_non_null(strstr(w.line, "ms,tcp connect failed,404), state "
	    "down -> down, availability 0.00%"));
	check_free(c);
}

static int
group_setup(void **state)
{
	(void)state;
	ev = ev_new(NULL, true);
	env = (struct stream_env){ .pool = buf_pool_new(),
	    .raw = malloc(65536), .raw_size = 65536,
	    .gather = malloc(65536), .gather_size = 65536 };
	w.listener = -1;
#ifdef HAVE_OPENSSL
	struct tls_keypair pair = { .cert = { .name = "c" },
	    .key = { .name = "k" } };
	char error[TLS_ERROR] = "", warning[TLS_ERROR];
	int at;

	cert = cert_make(&(struct cert_spec){ .type = "P-256", .cn = "peer",
	    .san = "DNS:peer", .days = 1 }, NULL);
	pair.cert.data = cert.pem;
	pair.cert.len = strlen(cert.pem);
	pair.key.data = cert.key_pem;
	pair.key.len = strlen(cert.key_pem);
	server = tls_server_new(&(struct tls_server_conf){ .main = &pair },
	    error, &at, warning);
	assert_non_null(server);
#endif
	return ev == NULL;
}

static int
group_teardown(void **state)
{
	(void)state;
#ifdef HAVE_OPENSSL
	tls_server_unref(server);
	cert_clear(&cert);
#endif
	ev_free(ev);
	buf_pool_free(env.pool);
	free(env.raw);
	free(env.gather);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections),
		cmocka_unit_test(answers),
		cmocka_unit_test(answers_tls),
		cmocka_unit_test(long_requests),
		cmocka_unit_test(long_request_tls),
		cmocka_unit_test(server_name),
		cmocka_unit_test(built_without_tls),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(ttl_is_set),
#ifdef __linux__
		cmocka_unit_test(connect_timeout),
#endif
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(code_is_remembered),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
