/*
 * Checks over a connection: connect, TLS, say something, judge the answer.
 * One time budget covers all of it; nothing of an answer is kept.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "check_impl.h"

#define PIECES	16	/* read in one turn: the others wait */

static void	step_connect(struct probe *);
static void	step_handshake(struct probe *);
static void	step_send(struct probe *);
static void	step_read(struct probe *);

/* What is done when the socket is ready; what it was when time was up and
 * when it broke, without and with TLS. */
static const struct {
	void		(*step)(struct probe *);
	enum host_error	  late[2], broken[2];
} steps[] = {
	[PROBE_CONNECT] = { step_connect,
	    { HOST_TCP_CONNECT_TIMEOUT, HOST_TCP_CONNECT_TIMEOUT },
	    { HOST_TCP_CONNECT_FAILED, HOST_TCP_CONNECT_FAILED } },
	[PROBE_HANDSHAKE] = { step_handshake,
	    { HOST_TLS_CONNECT_TIMEOUT, HOST_TLS_CONNECT_TIMEOUT },
	    { HOST_TLS_CONNECT_FAILED, HOST_TLS_CONNECT_FAILED } },
	[PROBE_SEND] = { step_send,
	    { HOST_TCP_WRITE_TIMEOUT, HOST_TLS_WRITE_TIMEOUT },
	    { HOST_TCP_WRITE_FAILED, HOST_TLS_WRITE_ERROR } },
	[PROBE_READ] = { step_read,
	    { HOST_TCP_READ_TIMEOUT, HOST_TLS_READ_TIMEOUT },
	    { HOST_TCP_READ_FAILED, HOST_TLS_READ_ERROR } },
};

static bool
again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

/* It is up; the peer is told that this is the end. */
static void
succeed(struct probe *p, enum host_error how)
{
	if (!stream_plain(&p->stream))
		(void)stream_shutdown(&p->check->env, &p->stream);
	check_done(p, HOST_UP, how);
}

static void
broken(struct probe *p)
{
	check_done(p, HOST_DOWN,
	    steps[p->state].broken[!stream_plain(&p->stream)]);
}

/* Nothing more comes: what is there must do. */
static void
verdict(struct probe *p)
{
	enum host_error error = p->group->judge->end(p);

	if (error == p->group->judge->good) {
		succeed(p, error);
		return;
	}
	if (error == HOST_DIGEST_MISMATCH)
		check_line(p->check, LOG_ERR, "wrong digest for host %s",
		    p->conf.name);
	check_done(p, HOST_DOWN, error);
}

/* ---- steps ---- */

static void
event_cb(void *ctx, int fd)
{
	struct probe *p = ctx;

	(void)fd;
	steps[p->state].step(p);
}

static const struct ev_ops probe_ops = {
	event_cb, event_cb, event_cb, event_cb
};

static void
late_cb(void *ctx)
{
	struct probe *p = ctx;

	if (p->state == PROBE_READ && p->received > 0)
		verdict(p);
	else
		check_done(p, HOST_DOWN,
		    steps[p->state].late[!stream_plain(&p->stream)]);
}

static void
wait_for(struct probe *p, unsigned interest)
{
	ev_interest(p->check->ev, p->stream.fd, interest |
	    (p->stream.blocked ? EV_WRITE : 0));
}

/* What is held back above the socket goes first. true: it is gone. */
static bool
flushed(struct probe *p, unsigned interest)
{
	if (!p->stream.blocked ||
	    stream_flush(&p->check->env, &p->stream) == 0)
		return true;
	if (again())
		wait_for(p, interest);
	else
		broken(p);
	return false;
}

/* true: it goes on. */
static bool
take(struct probe *p, const uint8_t *data, size_t n)
{
	size_t part;

	if (n > CHECK_ANSWER - p->received)
		n = CHECK_ANSWER - p->received;
	p->received += n;
	for (; n > 0; data += part, n -= part) {
		part = n < CHECK_PIECE ? n : CHECK_PIECE;
		if (p->group->judge->take(p, data, part)) {
			verdict(p);
			return false;
		}
	}
	if (p->received < CHECK_ANSWER)
		return true;
	verdict(p);
	return false;
}

static void
step_read(struct probe *p)
{
	struct check *c = p->check;
	size_t room = stream_plain(&p->stream) ? CHECK_PIECE : CHECK_RECORD;
	ssize_t n;

	/* what the library has to say may wait, what it hears may not */
	if (!flushed(p, EV_READ) && p->state == PROBE_IDLE)
		return;
	for (unsigned i = 0; i < PIECES || p->stream.pending; i++) {
		n = stream_read(&c->env, &p->stream, c->piece, room);
		if (n > 0 && !take(p, c->piece, (size_t)n))
			return;
		if (n == 0) {
			verdict(p);
			return;
		}
		if (n == -1 && again())
			break;
		if (n == -1) {
			broken(p);
			return;
		}
	}
	wait_for(p, EV_READ);
}

static void
reading(struct probe *p)
{
	assert(p->group->judge != NULL);
	p->received = 0;
	p->group->judge->start(p);
	probe_set(p, PROBE_READ);
	if (p->stream.pending)
		step_read(p);
	else
		wait_for(p, EV_READ);
}

static void
step_send(struct probe *p)
{
	const struct group *g = p->group;
	ssize_t n;

	if (!flushed(p, 0))
		return;
	while (p->sent < g->request_len) {
		n = stream_write(&p->check->env, &p->stream,
		    g->request + p->sent, g->request_len - p->sent);
		if (n == -1 && !again()) {
			broken(p);
			return;
		}
		if (n > 0)
			p->sent += (size_t)n;
		if (n == -1 || p->stream.blocked) {
			wait_for(p, EV_WRITE);
			return;
		}
	}
	reading(p);
}

/* Connected, and that was not all. */
static void
sending(struct probe *p)
{
	p->sent = 0;
	probe_set(p, PROBE_SEND);
	step_send(p);
}

static void
step_handshake(struct probe *p)
{
	struct check *c = p->check;

	switch (stream_handshake(&c->env, &p->stream)) {
	case TLS_MORE:
	case TLS_ASYNC:
		wait_for(p, EV_READ);
		return;
	case TLS_FAILED:
		broken(p);
		return;
	case TLS_DONE:
		break;
	}
	if (p->group->conf->how.kind == CHECK_TCP)
		succeed(p, HOST_TLS_CONNECT_OK);
	else
		sending(p);
}

static void
handshake(struct probe *p)
{
	if (p->group->tls == NULL ||
	    stream_tls_connect(&p->stream, p->group->tls) == -1) {
		check_done(p, HOST_UNKNOWN, HOST_TLS_CONNECT_ERROR);
		return;
	}
	/* a name that cannot be sent is no reason to call the host down */
	if (p->conf.by_name)
		(void)stream_tls_name(&p->stream, p->conf.name);
	probe_set(p, PROBE_HANDSHAKE);
	step_handshake(p);
}

static void
connected(struct probe *p)
{
	const struct check_how *how = &p->group->conf->how;

	if (how->tls)
		handshake(p);
	else if (how->kind == CHECK_TCP)
		check_done(p, HOST_UP, HOST_TCP_CONNECT_OK);
	else
		sending(p);
}

static void
step_connect(struct probe *p)
{
	if (net_error(p->stream.fd) != 0)
		broken(p);
	else
		connected(p);
}

/* ---- start ---- */

static bool
limit(void)
{
	return errno == EMFILE || errno == ENFILE;
}

static int
set_ttl(int fd, int family, unsigned ttl)
{
	int n = (int)ttl;

	if (ttl == 0)
		return 0;
	return family == AF_INET6 ?
	    setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &n, sizeof(n)) :
	    setsockopt(fd, IPPROTO_IP, IP_TTL, &n, sizeof(n));
}

void
check_tcp_start(struct probe *p)
{
	struct check *c = p->check;
	const struct net_addr *to = &p->conf.addr;
	int fd = net_socket(to->sa.sa_family, SOCK_STREAM, 0);
	bool done;

	if (fd == -1) {
		check_done(p, HOST_DOWN, limit() ? HOST_TCP_SOCKET_LIMIT :
		    HOST_TCP_SOCKET_ERROR);
		return;
	}
	stream_init(&p->stream, fd);
	probe_set(p, PROBE_CONNECT);
	if (set_ttl(fd, to->sa.sa_family, p->conf.ttl) == -1) {
		check_done(p, HOST_DOWN, HOST_TCP_SOCKET_OPTION);
		return;
	}
	done = connect(fd, &to->sa, to->len) == 0;
	if (!done && errno != EINPROGRESS && errno != EINTR) {
		check_done(p, HOST_DOWN, HOST_TCP_CONNECT_FAILED);
		return;
	}
	if (ev_add(c->ev, fd, &probe_ops, p, EV_WRITE) == -1) {
		check_done(p, HOST_DOWN, limit() ? HOST_TCP_SOCKET_LIMIT :
		    HOST_TCP_SOCKET_ERROR);
		return;
	}
	ev_timer_set(c->ev, &p->timer, p->group->timeout, late_cb, p);
	if (done)
		connected(p);
}

/* ---- judges ---- */

static void
expect_begin(struct probe *p)
{
	expect_start(&p->u.expect);
}

static bool
expect_take(struct probe *p, const uint8_t *data, size_t n)
{
	expect_add(p->group->expect, &p->u.expect, data, n);
	return expect_matches(p->group->expect, &p->u.expect);
}

static enum host_error
expect_end(struct probe *p)
{
	return expect_matches(p->group->expect, &p->u.expect) ?
	    HOST_EXPECT_OK : HOST_EXPECT_FAILED;
}

const struct judge judge_expect = {
	expect_begin, expect_take, expect_end, HOST_EXPECT_OK
};

static void
binary_begin(struct probe *p)
{
	p->u.same = 0;
}

static bool
binary_take(struct probe *p, const uint8_t *data, size_t n)
{
	const struct check_how *how = &p->group->conf->how;
	size_t left = how->expect_len - p->u.same;

	if (n > left)
		n = left;
	/* one that differs will not be mended */
	if (memcmp(how->expect + p->u.same, data, n) != 0)
		return true;
	p->u.same += n;
	return p->u.same == how->expect_len;
}

static enum host_error
binary_end(struct probe *p)
{
	return p->u.same == p->group->conf->how.expect_len ?
	    HOST_EXPECT_OK : HOST_EXPECT_FAILED;
}

const struct judge judge_binary = {
	binary_begin, binary_take, binary_end, HOST_EXPECT_OK
};

static void
code_begin(struct probe *p)
{
	check_http_code_start(&p->u.http);
}

static bool
code_take(struct probe *p, const uint8_t *data, size_t n)
{
	return check_http_code_take(&p->u.http, data, n);
}

static enum host_error
code_end(struct probe *p)
{
	return check_http_code(&p->u.http, p->group->conf->how.code,
	    &p->host.code);
}

const struct judge judge_code = {
	code_begin, code_take, code_end, HOST_CODE_OK
};

static void
digest_begin(struct probe *p)
{
	check_http_digest_start(&p->u.http, p->group->conf->how.digest);
}

static bool
digest_take(struct probe *p, const uint8_t *data, size_t n)
{
	return check_http_digest_take(&p->u.http, data, n);
}

static enum host_error
digest_verdict(struct probe *p)
{
	return check_http_digest(&p->u.http, p->group->conf->how.digest);
}

const struct judge judge_digest = {
	digest_begin, digest_take, digest_verdict, HOST_DIGEST_OK
};
