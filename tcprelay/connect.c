/*
 * From a client to a destination: connect, say who calls, TLS. Which one, and
 * what happens if that fails, is the policy's (among.c, forward.c). Nothing
 * of the client's data goes to a destination that then fails.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "proxyproto.h"
#include "session.h"

#define TRIES		16	/* that fail at once, in one turn */

enum outcome {
	CONNECT_UP,
	CONNECT_WAIT,		/* for the loop, or the timer */
	CONNECT_FAILED,		/* the destination's fault: next one */
	CONNECT_REFUSED,	/* the same, and at once */
	CONNECT_LOCAL		/* ours: the session fails */
};

/* What the client sent first, not taken yet; in the worker's buffer. */
struct first {
	uint8_t	*p;
	size_t	 n;
};

static const struct config_remote *
remote_of(const struct session *s)
{
	return &s->setup->config->remotes[s->remote];
}

/* ---- failures */

/*
 * The system has no address to reach it from, which says nothing about our
 * ports: a datagram socket, which has its own, meets the same.
 */
static bool
no_source(const struct config_remote *r)
{
	int fd = net_socket(r->addr.sa.sa_family, SOCK_DGRAM, 0);
	bool missing;

	if (fd == -1)
		return false;
	missing = connect(fd, &r->addr.sa, r->addr.len) == -1 &&
	    errno == EADDRNOTAVAIL;
	net_close(fd);
	return missing;
}

/*
 * A relay has its own ways with anything but a shortage: it may be that only
 * this destination cannot be reached from here.
 */
static bool
is_local(const struct session *s, int error)
{
	const struct config_remote *r = remote_of(s);
	bool ip = r->addr.sa.sa_family != AF_UNIX;

	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return true;
	case EADDRINUSE:
	case EAGAIN:			/* UNIX: its backlog is full */
		return ip && s->forward == NULL;
	case EADDRNOTAVAIL:
		return ip && s->forward == NULL &&
		    (s->setup->config->local.len != 0 || !no_source(r));
	}
	return false;
}

void
connect_drop(struct session *s)
{
	session_drop(s, REMOTE);
	flow_clear(session_worker(s), &s->flow[REMOTE]);
}

static enum outcome
outcome_of(const struct session *s, int error)
{
	return is_local(s, error) ? CONNECT_LOCAL : CONNECT_FAILED;
}

static enum outcome
outcome_at_once(const struct session *s, int error)
{
	return is_local(s, error) ? CONNECT_LOCAL : CONNECT_REFUSED;
}

/* Where it goes: mostly the configuration says it. */
static const struct net_addr *
address_of(const struct session *s, const struct config_remote *r,
    struct net_addr *made)
{
	if (s->forward == NULL || !s->forward->made)
		return &r->addr;
	net_name_addr(&s->forward->server, made);
	return made;
}

/* ---- one attempt */

static int
connect_bind(const struct net_addr *local, int fd)
{
	static const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
#ifdef IP_BIND_ADDRESS_NO_PORT
	/* the port is chosen at connect: then only the pair must be free */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
#endif
	return bind(fd, &local->sa, local->len);
}

/* Errors do not matter, but where the file asks for something in so many
 * words. */
static int
connect_options(const struct session *s, int family, int fd)
{
	static const int on = 1;

	if (s->relay->conf != NULL)
		return forward_options(s, family, fd);
	if (family == AF_UNIX)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	net_nodelay(fd);
	if (s->relay->dscp >= 0)
		net_dscp(fd, family, s->relay->dscp);
	return 0;
}

static int
connect_socket(struct session *s, int family, int protocol)
{
	int fd;

	if (s->forward == NULL || s->forward->bound == -1)
		return net_socket(family, SOCK_STREAM, protocol);
	fd = s->forward->bound;
	s->forward->bound = -1;
	return fd;
}

static enum outcome
connect_open(struct session *s, const struct config_remote *r,
    const struct net_addr *to)
{
	const struct net_addr *local = &s->setup->config->local;
	int family = to->sa.sa_family;
	int fd = connect_socket(s, family, r->protocol);

	if (fd == -1)
		return outcome_at_once(s, errno);
	stream_init(&s->stream[REMOTE], fd);
	if (connect_options(s, family, fd) == -1)
		return outcome_at_once(s, errno);
	if (local->len != 0 && local->sa.sa_family == family &&
	    connect_bind(local, fd) == -1)
		return CONNECT_LOCAL;
	if (connect(fd, &to->sa, to->len) == 0)
		return CONNECT_UP;
	if (errno == EINPROGRESS || errno == EINTR)
		return CONNECT_WAIT;
	return outcome_at_once(s, errno);
}

static size_t
connect_head(const struct session *s, const struct config_remote *r,
    uint8_t head[static PROXYPROTO_OUT])
{
	if (r->haproxy == HAPROXY_NO)
		return 0;
	return proxyproto_write(head, r->haproxy == HAPROXY_V1 ? 1 : 2,
	    &s->facts->src, &s->facts->dst);
}

/* Where the header goes: relayd's is a matter between the two ends of TLS,
 * tcprelay's of whoever looks at connections before that. */
static bool
head_inside(const struct session *s, const struct config_remote *r)
{
	return s->forward != NULL && r->tls != 0;
}

/* Does errno of a write say no more than "not connected yet, or full"? */
static bool
not_yet(void)
{
	return errno == EAGAIN || errno == ENOTCONN || errno == EALREADY ||
	    errno == EINPROGRESS;
}

/*
 * On loopback a connection is there when connect() says that it is in
 * progress. So send at once: bytes that are taken prove it. Without bytes to
 * send, asking connect() again tells the same.
 */
static enum outcome
connect_eager(struct session *s, const struct config_remote *r,
    const struct net_addr *to, enum outcome so_far, struct first *first)
{
	struct worker *w = session_worker(s);
	struct stream *remote = &s->stream[REMOTE];
	uint8_t head[PROXYPROTO_OUT];
	size_t size = head_inside(s, r) ? 0 : connect_head(s, r, head);
	size_t n = r->tls == 0 && flow_empty(&s->flow[CLIENT]) ? first->n : 0;
	ssize_t sent;

	if (size + n == 0) {
		if (so_far == CONNECT_UP || connect(remote->fd, &to->sa,
		    to->len) == 0 || errno == EISCONN)
			return CONNECT_UP;
		return errno == EALREADY || errno == EINPROGRESS ||
		    errno == EINTR ? CONNECT_WAIT : outcome_of(s, errno);
	}
	memcpy(first->p - size, head, size);
	sent = stream_write(&w->env, remote, first->p - size, size + n);
	if (sent == -1)
		return not_yet() ? so_far : outcome_of(s, errno);
	if ((size_t)sent > size) {
		first->p += (size_t)sent - size;
		first->n -= (size_t)sent - size;
		sent = (ssize_t)size;
	}
	if (size != 0)
		s->facts->head_sent = (uint8_t)sent;
	return CONNECT_UP;
}

/* ---- established: header and TLS */

static enum outcome
send_head(struct session *s, const struct config_remote *r)
{
	struct worker *w = session_worker(s);
	uint8_t head[PROXYPROTO_OUT];
	size_t size = connect_head(s, r, head);
	ssize_t n;

	if (size == 0 || s->facts->head_sent == size)
		return CONNECT_UP;
	n = stream_write(&w->env, &s->stream[REMOTE],
	    head + s->facts->head_sent, size - s->facts->head_sent);
	if (n == -1 && !not_yet()) {
		session_set(s, SESSION_REMOTE_PROXY);	/* that is, while */
		return CONNECT_FAILED;
	}
	if (n > 0)
		s->facts->head_sent = (uint8_t)(s->facts->head_sent + n);
	if (s->facts->head_sent == size)
		return CONNECT_UP;
	session_set(s, SESSION_REMOTE_PROXY);
	return CONNECT_WAIT;
}

static enum outcome
handshake(struct session *s, const struct config_remote *r)
{
	struct worker *w = session_worker(s);
	struct stream *remote = &s->stream[REMOTE];

	if (r->tls == 0)
		return CONNECT_UP;
	if (stream_plain(remote)) {
		session_set(s, SESSION_REMOTE_HANDSHAKE);
		if (stream_tls_connect(remote,
		    s->setup->clients[s->remote]) == -1) {
			errno = ENOMEM;
			return CONNECT_LOCAL;
		}
		stream_tls_notify(remote, session_signed, s);
	} else if (remote->blocked && stream_flush(&w->env, remote) == -1 &&
	    errno != EAGAIN)
		return CONNECT_FAILED;
	switch (stream_handshake(&w->env, remote)) {
	case TLS_DONE:
		session_secured(s, REMOTE);
		return CONNECT_UP;
	case TLS_MORE:
	case TLS_ASYNC:
		return CONNECT_WAIT;
	case TLS_FAILED:
		break;
	}
	errno = 0;
	return CONNECT_FAILED;
}

/* The state tells which of both is under way. */
static enum outcome
handshake_then_head(struct session *s, const struct config_remote *r)
{
	struct worker *w = session_worker(s);
	struct stream *remote = &s->stream[REMOTE];

	if (s->state != SESSION_REMOTE_PROXY) {
		enum outcome o = handshake(s, r);

		if (o != CONNECT_UP)
			return o;
	} else if (remote->blocked && stream_flush(&w->env, remote) == -1)
		return errno == EAGAIN ? CONNECT_WAIT : CONNECT_FAILED;
	return send_head(s, r);
}

static enum outcome
established(struct session *s)
{
	const struct config_remote *r = remote_of(s);
	enum outcome o;

	session_phase(s, WHY_CONNECTED);
	if (head_inside(s, r))
		return handshake_then_head(s, r);
	o = send_head(s, r);
	return o == CONNECT_UP ? handshake(s, r) : o;
}

/* ---- all attempts */

static enum outcome
attempt(struct session *s, struct first *first)
{
	const struct config_remote *r = remote_of(s);
	struct net_addr made;
	const struct net_addr *to = address_of(s, r, &made);
	enum outcome o;

	s->tries += s->tries != UINT16_MAX;
	session_set(s, SESSION_CONNECT);
	if (s->facts != NULL)
		s->facts->head_sent = 0;
	o = connect_open(s, r, to);
	if (o == CONNECT_UP || o == CONNECT_WAIT)
		o = connect_eager(s, r, to, o, first);
	return o == CONNECT_UP ? established(s) : o;
}

static bool
keep(struct session *s, struct first *first)
{
	if (flow_keep(session_worker(s), &s->flow[CLIENT], first->p,
	    first->n) == 0) {
		first->n = 0;
		return true;
	}
	session_close(s, END_LOCAL);
	return false;
}

static void
connect_done(struct session *s)
{
	const struct config_remote *r = remote_of(s);

	s->relay->policy->connected(s);
	s->whole |= r->protocol == IPPROTO_SCTP;
	board_add(&pick_cell(s->setup->pick, (size_t)s->remote)->in,
	    s->flow[CLIENT].bytes);
	if (s->flow[CLIENT].bytes != 0)
		session_phase(s, WHY_FIRST_REQUEST);
	relay_start(s);
}

/* false: the matter is settled, one way or the other. */
static bool
another(struct session *s, enum outcome o, struct first *first)
{
	int error = errno;
	char reason[TLS_ERROR + 8];

	switch (o) {
	case CONNECT_UP:
		if (keep(s, first))
			connect_done(s);
		return false;
	case CONNECT_WAIT:
		if (keep(s, first))
			session_settle(s);
		return false;
	case CONNECT_LOCAL:
		s->relay->policy->refused(s, error);
		if (s->state != SESSION_CLOSED && keep(s, first))
			session_settle(s);
		return false;
	case CONNECT_FAILED:
	case CONNECT_REFUSED:
		break;
	}
	if (error == 0) {
		snprintf(reason, sizeof(reason), "tls: %s",
		    stream_tls_reason(&s->stream[REMOTE]));
		s->relay->policy->failed(s, error, reason, false);
	} else
		s->relay->policy->failed(s, error, strerror(error),
		    o == CONNECT_REFUSED);
	return s->state != SESSION_CLOSED;
}

void
connect_start(struct session *s, size_t n)
{
	struct first first = { session_worker(s)->copy + WORKER_HEAD, n };

	session_set(s, SESSION_CONNECT);
	for (unsigned tries = 0; tries < TRIES; tries++) {
		switch (s->relay->policy->choose(s)) {
		case CHOICE_MADE:
			break;
		case CHOICE_LATER:
			if (keep(s, &first))
				session_settle(s);
			return;
		case CHOICE_NONE:
			return;
		}
		if (!another(s, attempt(s, &first), &first))
			return;
	}
	/* the others want their turn, too */
	if (keep(s, &first))
		session_settle(s);
}

/* ---- events */

static void
client_event(struct session *s, enum session_event what)
{
	struct stream *client = &s->stream[CLIENT];
	int error;

	switch (what) {
	case EVENT_READ:
		break;
	case EVENT_WRITE:
		if (stream_flush(&session_worker(s)->env, client) == -1 &&
		    errno != EAGAIN) {
			session_broken(s, CLIENT, errno);
			return;
		}
		break;
	case EVENT_ERROR:
		error = net_error(client->fd);
		if (error != 0) {
			session_broken(s, CLIENT, error);
			return;
		}
		/* FALLTHROUGH */
	case EVENT_HANGUP:
		/* a legal end: what it sent is still to be delivered */
		session_hung(s, CLIENT);
		break;
	}
	session_settle(s);
}

static enum outcome
remote_event(struct session *s, enum session_event what)
{
	int error = 0;

	if (s->state == SESSION_CONNECT || what == EVENT_ERROR ||
	    what == EVENT_HANGUP)
		error = net_error(s->stream[REMOTE].fd);
	if (error == 0 && (what == EVENT_ERROR || what == EVENT_HANGUP))
		error = ECONNRESET;
	if (error != 0) {
		errno = error;
		return outcome_of(s, error);
	}
	return established(s);
}

void
connect_event(struct session *s, enum side side, enum session_event what)
{
	struct first none = { NULL, 0 };

	s->moved = ev_now(session_worker(s)->ev);
	if (side == CLIENT)
		client_event(s, what);
	else if (another(s, remote_event(s, what), &none))
		connect_start(s, 0);
}

void
connect_late(struct session *s)
{
	if (s->remote != -1)
		s->relay->policy->failed(s, ETIMEDOUT, strerror(ETIMEDOUT),
		    false);
	if (s->state != SESSION_CLOSED)
		connect_start(s, 0);
}
