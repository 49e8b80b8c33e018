/*
 * The beginning of a session, until it is known who calls and how: PROXY
 * header, TLS or plain, handshake. Takes no byte from the socket that the
 * next step might want to see there.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "hello.h"
#include "proxyproto.h"
#include "session.h"

/* A peer can make us log these at will. */
static bool
greet_allow(struct worker *w)
{
	unsigned held;

	if (!log_allow(&w->limit_greet, ev_now(w->ev), EV_SECOND, 100, &held))
		return false;
	if (held != 0)
		log_line("%u more bad greetings", held);
	return true;
}

/* ---- at the end: the client is known */

/*
 * One read before the destination is chosen: mostly the client has spoken
 * by now, and then connecting and sending follow without a round through
 * the loop. TLS is read only if the bytes are here already.
 */
static void
greet_done(struct session *s)
{
	struct worker *w = session_worker(s);
	struct stream *client = &s->stream[CLIENT];
	struct flow *up = &s->flow[CLIENT];
	ssize_t n = 0;

	if (flow_empty(up) && (stream_plain(client) || client->pending)) {
		n = stream_read(&w->env, client, w->copy + WORKER_HEAD,
		    WORKER_COPY);
		if (n == -1 && errno != EAGAIN) {
			session_broken(s, CLIENT, errno);
			return;
		}
		if (n == -1)
			n = 0;
	}
	up->bytes = up->held.len + (uint64_t)n;
	connect_start(s, (size_t)n);
}

/* ---- TLS */

static void
greet_failed(struct session *s, const char *reason)
{
	char peer[NET_TEXT];

	if (s->forward == NULL && greet_allow(session_worker(s)))
		log_line("tls handshake with %s failed: %s",
		    net_name_text(&s->facts->src, peer), reason);
	session_fail(s, REASON_TLS_ERROR, 0, reason);
}

void
greet_handshake(struct session *s, enum side side, enum session_event what)
{
	struct worker *w = session_worker(s);
	struct stream *client = &s->stream[CLIENT];

	(void)side;
	/* While the key process is asked nothing is read, which else tells. */
	if (client->waiting && (what == EVENT_ERROR || what == EVENT_HANGUP)) {
		greet_failed(s, "connection closed");
		return;
	}
	if (what == EVENT_WRITE && stream_flush(&w->env, client) == -1 &&
	    errno != EAGAIN) {
		session_broken(s, CLIENT, errno);
		return;
	}
	s->moved = ev_now(w->ev);
	switch (stream_handshake(&w->env, client)) {
	case TLS_DONE:
		session_secured(s, CLIENT);
		greet_done(s);
		break;
	case TLS_FAILED:
		greet_failed(s, stream_tls_reason(client));
		return;
	case TLS_MORE:
	case TLS_ASYNC:
		break;
	}
	session_settle(s);
}

static void
greet_no_server(struct session *s)
{
	if (s->forward != NULL)
		session_fail(s, REASON_TLS_SERVER, 0, NULL);
	else
		greet_failed(s, "no certificate");
}

static void
greet_tls(struct session *s)
{
	session_set(s, SESSION_HANDSHAKE);
	/* Bytes that might have been a PROXY header are no TLS record. */
	if (!flow_empty(&s->flow[CLIENT])) {
		greet_failed(s, "not a TLS record");
		return;
	}
	if (s->relay->server == NULL) {
		greet_no_server(s);
		return;
	}
	if (stream_tls_accept(&s->stream[CLIENT], s->relay->server,
	    s->versions, s->psk) == -1) {
		session_fail(s, REASON_TLS_ACCEPT, ENOMEM, NULL);
		return;
	}
	stream_tls_notify(&s->stream[CLIENT], session_signed, s);
	greet_handshake(s, CLIENT, EVENT_READ);
}

/* ---- TLS or plain */

void
greet_peek(struct session *s, enum side side, enum session_event what)
{
	uint8_t first;
	ssize_t n = 1;

	(void)side;
	(void)what;
	/* A byte that we hold already may have been a PROXY header's. */
	if (flow_empty(&s->flow[CLIENT]))
		n = recv(s->stream[CLIENT].fd, &first, 1, MSG_PEEK);
	else
		first = *buf_head(&s->flow[CLIENT].held);
	if (n == -1) {
		if (errno != EAGAIN)
			session_close(s, END_CLIENT);
		else
			session_settle(s);
		return;
	}
	if (n == 1 && hello_look(&first, 1) == HELLO_TLS)
		greet_tls(s);
	else
		greet_done(s);
}

static void
greet_which(struct session *s)
{
	if (s->tls_auto) {
		session_set(s, SESSION_PEEK);
		greet_peek(s, CLIENT, EVENT_READ);
	} else if (s->versions != 0)
		greet_tls(s);
	else
		greet_done(s);
}

/* ---- PROXY header */

static void
proxy_bad(struct session *s, const char *reason)
{
	char peer[NET_TEXT];

	if (greet_allow(session_worker(s)))
		log_line("proxy header from %s is malformed: %s",
		    net_name_text(&s->facts->src, peer), reason);
	session_close(s, END_PROXY_HEADER);
}

/* Take n bytes that were looked at off the socket. */
static bool
proxy_consume(struct session *s, size_t n)
{
	struct worker *w = session_worker(s);

	while (n > 0) {
		ssize_t got = recv(s->stream[CLIENT].fd, w->copy, n, 0);

		if (got <= 0)
			return false;
		n -= (size_t)got;
	}
	return true;
}

/*
 * What may be a header is kept in the flow until that is decided, so that
 * the socket does not go on reporting bytes that do not suffice. What stands
 * behind the header stays in the kernel: it may be TLS.
 */
void
greet_proxy(struct session *s, enum side side, enum session_event what)
{
	struct worker *w = session_worker(s);
	struct buf *held = &s->flow[CLIENT].held;
	size_t have = held->len;
	uint8_t *p = w->copy + WORKER_HEAD;
	struct proxyproto header;
	ssize_t n;

	(void)side;
	(void)what;
	if (have != 0)
		memcpy(p, buf_head(held), have);
	n = recv(s->stream[CLIENT].fd, p + have, PROXYPROTO_MAX, MSG_PEEK);
	if (n == -1) {
		if (errno != EAGAIN)
			session_close(s, END_CLIENT);
		else
			session_settle(s);
		return;
	}
	switch (proxyproto_parse(&header, p, have + (size_t)n, n == 0)) {
	case PROXYPROTO_MORE:
		s->moved = ev_now(w->ev);
		if (flow_keep(w, &s->flow[CLIENT], p + have, (size_t)n) == -1)
			session_close(s, END_LOCAL);
		else if (!proxy_consume(s, (size_t)n))
			session_close(s, END_CLIENT);
		else
			session_settle(s);
		return;
	case PROXYPROTO_BAD:
		proxy_bad(s, header.reason);
		return;
	case PROXYPROTO_DONE:
		if (!proxy_consume(s, header.size - have)) {
			session_close(s, END_CLIENT);
			return;
		}
		flow_clear(w, &s->flow[CLIENT]);
		if (!header.keep) {
			s->facts->src = header.src;
			s->facts->dst = header.dst;
			s->facts->announced = true;
		}
		break;
	case PROXYPROTO_NONE:
		break;
	}
	greet_which(s);
}

/* ---- entrances */

void
greet_start(struct session *s)
{
	if (s->proxied) {
		session_set(s, SESSION_PROXYHDR);
		greet_proxy(s, CLIENT, EVENT_READ);
	} else
		greet_which(s);
}

void
greet_late(struct session *s)
{
	uint64_t now = ev_now(session_worker(s)->ev);

	/* Silent for 3 s: in some protocols the server speaks first. */
	if (s->state == SESSION_PEEK && now < s->greet_by)
		greet_done(s);
	else
		session_close(s, END_HANDSHAKE_TIMEOUT);
}
