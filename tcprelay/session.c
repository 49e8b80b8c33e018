/*
 * The life of a session: from an accepted descriptor to the one exit. What
 * it does in between is in greet.c, connect.c and relay.c; here are the
 * states, the timer and the interest that belong to each of them.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define PEEK_TIME	(3 * EV_SECOND)
#define DRAIN_READS	16		/* before an orderly close */
#define VAIN		8		/* records come in pieces */
#define SHORT_TIME	EV_SECOND

static_assert(ENDS <= BOARD_ENDS && (int)END_KILLED == BOARD_KILLED,
    "reasons on the board");

/* Which deadline a state has: a time of the relay, or a fixed one. */
static const struct state {
	const char	*name;
	size_t		 timeout;	/* offset in struct relay, 0: fixed */
	uint64_t	 fixed;		/* ns, 0: none */
	void		(*step)(struct session *, enum side,
			    enum session_event);
	void		(*late)(struct session *);
} states[] = {
	[SESSION_NEW] = { "new", 0, 0, NULL, NULL },
	[SESSION_PROXYHDR] = { "proxy header",
	    offsetof(struct relay, handshake), 0, greet_proxy, greet_late },
	[SESSION_PEEK] = { "peek", 0, PEEK_TIME, greet_peek, greet_late },
	[SESSION_HANDSHAKE] = { "handshake",
	    offsetof(struct relay, handshake), 0, greet_handshake,
	    greet_late },
	[SESSION_CONNECT] = { "connect",
	    offsetof(struct relay, connect), 0, connect_event, connect_late },
	[SESSION_BIND] = { "bind",
	    offsetof(struct relay, connect), 0, connect_event, forward_late },
	[SESSION_SHORT] = { "short of descriptors", 0, SHORT_TIME,
	    connect_event, forward_late },
	[SESSION_REMOTE_PROXY] = { "sending a proxy header", 0, 0,
	    connect_event, connect_late },
	[SESSION_REMOTE_HANDSHAKE] = { "handshake with the destination", 0, 0,
	    connect_event, connect_late },
	[SESSION_RELAY] = { "relay", 0, 0, relay_event, NULL },
	[SESSION_CLOSING] = { "closing", 0, SESSION_CLOSING_TIME,
	    relay_event, relay_late },
	[SESSION_CLOSED] = { "closed", 0, 0, NULL, NULL },
};

/* How each side is left, by the reason. */
enum leave {
	LEAVE_QUIET,	/* all was said, or nobody listens */
	LEAVE_ORDERLY,	/* close alert, end of stream */
	LEAVE_RAW,	/* end of stream, no close alert */
	LEAVE_RESET	/* so that it is not taken for an orderly end */
};

/* By the reasons, which have their names in board_ends[]. */
static const struct end {
	enum leave	 leave[SIDES];
} ends[ENDS] = {
	[END_DONE] = { { LEAVE_QUIET, LEAVE_QUIET } },
	[END_CLIENT] = { { LEAVE_QUIET, LEAVE_RESET } },
	[END_REMOTE] = { { LEAVE_RESET, LEAVE_QUIET } },
	[END_IDLE] = { { LEAVE_ORDERLY, LEAVE_ORDERLY } },
	[END_NO_DESTINATION] = { { LEAVE_ORDERLY, LEAVE_QUIET } },
	[END_HANDSHAKE] = { { LEAVE_RAW, LEAVE_QUIET } },
	[END_HANDSHAKE_TIMEOUT] = { { LEAVE_RAW, LEAVE_QUIET } },
	[END_PROXY_HEADER] = { { LEAVE_RAW, LEAVE_QUIET } },
	[END_MAVIS] = { { LEAVE_ORDERLY, LEAVE_QUIET } },
	[END_SESSION_TIMEOUT] = { { LEAVE_ORDERLY, LEAVE_ORDERLY } },
	[END_LOCAL] = { { LEAVE_ORDERLY, LEAVE_RESET } },
	[END_KILLED] = { { LEAVE_RESET, LEAVE_RESET } },
};

const char *
session_end_name(enum session_end end)
{
	return board_ends[end];
}

const char *
session_state_name(const struct session *s)
{
	return states[s->state].name;
}

/* ---- the end of the round */

/*
 * A stream that hung up gives data, an end or an error. One that gives
 * nothing is one the loop could not watch: it must not be asked for ever.
 */
static void
session_reread(struct session *s, enum side side)
{
	uint64_t before = s->flow[side].bytes;

	relay_event(s, side, EVENT_READ);
	if (s->state == SESSION_CLOSED)
		return;
	if (!s->hung[side] || s->stream[side].eof ||
	    s->flow[side].bytes != before ||
	    !flow_wants(&s->flow[side], &s->stream[side]))
		s->vain = 0;
	else if (++s->vain == VAIN)
		session_close(s, END_LOCAL);
}

static void
session_step(struct session *s)
{
	if (s->state == SESSION_CONNECT && s->stream[REMOTE].fd == -1)
		connect_start(s, 0);
	else if (s->state == SESSION_HANDSHAKE)
		greet_handshake(s, CLIENT, EVENT_READ);
	else if (s->state == SESSION_REMOTE_HANDSHAKE)
		connect_event(s, REMOTE, EVENT_READ);
	else if (s->state == SESSION_RELAY || s->state == SESSION_CLOSING) {
		for (enum side side = CLIENT; side < SIDES; side++)
			if (s->state != SESSION_CLOSED &&
			    (s->stream[side].pending || s->hung[side]))
				session_reread(s, side);
	}
	if (s->state != SESSION_CLOSED)
		session_settle(s);
}

static void
again_cb(void *ctx)
{
	struct worker *w = ctx;
	struct session *list = w->again, *s;

	w->again = w->again_last = NULL;
	while ((s = list) != NULL) {
		list = s->again;
		s->again = NULL;
		s->queued = false;
		if (s->state == SESSION_CLOSED)
			session_free(w, s);
		else
			session_step(s);
	}
}

/* Step it at the end of the round, or free it if it is closed by then. */
void
session_again(struct session *s)
{
	struct worker *w = session_worker(s);

	if (s->queued)
		return;
	s->queued = true;
	if (w->again_last != NULL)
		w->again_last->again = s;
	else
		w->again = s;
	w->again_last = s;
	ev_defer(w->ev, &w->task, again_cb, w);
}

void
session_secured(struct session *s, enum side side)
{
	struct worker *w = s->setup->worker;
	bool client = side == CLIENT;

	w->handshakes = true;
	worker_untidy(w);
	session_phase(s, client ? WHY_HANDSHAKE : WHY_SERVER_HANDSHAKE);
	if (s->forward != NULL)
		log_debug(DEBUG_NET, "relay %s, tls session %" PRIu64
		    " %s (%" PRIu32 " active)", s->relay->conf->name,
		    s->facts->counter, client ? "established" : "connected",
		    own_use(w->own));
}

/* The key process has answered. */
void
session_signed(void *ctx)
{
	session_again(ctx);
}

/* ---- events */

static void
event(struct session *s, enum side side, enum session_event what)
{
	states[s->state].step(s, side, what);
}

#define EVENT(name, side, what)						\
static void								\
name(void *ctx, int fd)							\
{									\
	(void)fd;							\
	event(ctx, side, what);						\
}

EVENT(client_readable, CLIENT, EVENT_READ)
EVENT(client_writable, CLIENT, EVENT_WRITE)
EVENT(client_error, CLIENT, EVENT_ERROR)
EVENT(client_hangup, CLIENT, EVENT_HANGUP)
EVENT(remote_readable, REMOTE, EVENT_READ)
EVENT(remote_writable, REMOTE, EVENT_WRITE)
EVENT(remote_error, REMOTE, EVENT_ERROR)
EVENT(remote_hangup, REMOTE, EVENT_HANGUP)

static const struct ev_ops side_ops[SIDES] = {
	[CLIENT] = { client_readable, client_writable, client_error,
	    client_hangup },
	[REMOTE] = { remote_readable, remote_writable, remote_error,
	    remote_hangup },
};

/* ---- deadlines */

static void session_timer_cb(void *);

/* At due; UINT64_MAX: never. */
static void
session_look(struct session *s, uint64_t due)
{
	struct worker *w = session_worker(s);
	uint64_t now;

	if (due == UINT64_MAX)
		return;
	now = ev_now(w->ev);
	ev_timer_set(w->ev, &s->timer, due > now ? due - now : 0,
	    session_timer_cb, s);
}

/* The timer fires at or before what is due; later is found out then. */
static void
session_arm(struct session *s)
{
	struct worker *w = session_worker(s);
	uint64_t idle = s->relay->idle, due = s->deadline;

	if (idle != 0 && (due == 0 || s->moved + idle < due))
		due = s->moved + idle;
	if (due == 0) {
		if (ev_timer_pending(&s->timer))
			ev_timer_stop(w->ev, &s->timer);
		return;
	}
	if (!ev_timer_pending(&s->timer) || s->timer.due > due)
		session_look(s, due);
}

static void
session_timer_cb(void *ctx)
{
	struct session *s = ctx;
	uint64_t now = ev_now(session_worker(s)->ev);

	if (s->deadline != 0 && now >= s->deadline)
		states[s->state].late(s);
	else if (s->relay->idle != 0 && now >= s->moved + s->relay->idle)
		session_close(s, END_IDLE);
	else if (s->forward != NULL && now >= forward_due(s))
		session_close(s, END_IDLE);
	if (s->state == SESSION_CLOSED)
		return;
	session_settle(s);
	/* One direction waits while the other one moves: nobody arms for
	 * that, but who looks has to look again in time. */
	if (s->forward != NULL && s->state != SESSION_CLOSED &&
	    (!ev_timer_pending(&s->timer) ||
	    forward_due(s) < s->timer.due))
		session_look(s, forward_due(s));
}

void
session_set(struct session *s, enum session_state state)
{
	const struct state *to = &states[state];
	uint64_t now = ev_now(session_worker(s)->ev), time = to->fixed;

	log_debug(s->setup->config->relays != NULL ? DEBUG_BUFFER : DEBUG_NET,
	    "session %p: %s -> %s", (void *)s, session_state_name(s),
	    to->name);
	s->state = (uint8_t)state;
	switch (state) {
	case SESSION_REMOTE_PROXY:
	case SESSION_REMOTE_HANDSHAKE:
		return;			/* the time of CONNECT goes on */
	case SESSION_PROXYHDR:
	case SESSION_PEEK:
	case SESSION_HANDSHAKE:
		/* one common deadline */
		s->deadline = s->greet_by;
		if (time != 0 && now + time < s->deadline)
			s->deadline = now + time;
		return;
	default:
		break;
	}
	if (to->timeout != 0)
		memcpy(&time, (const char *)s->relay + to->timeout,
		    sizeof(time));
	s->deadline = time != 0 ? now + time : 0;
	/* All attempts of a relay together have the time of one. */
	if (s->forward != NULL && s->forward->connect_by != 0 &&
	    state < SESSION_RELAY && s->deadline > s->forward->connect_by)
		s->deadline = s->forward->connect_by;
}

/* ---- interest */

static unsigned
side_interest(const struct session *s, enum side side)
{
	const struct stream *t = &s->stream[side];
	unsigned want = t->blocked ? EV_WRITE : 0;

	switch ((enum session_state)s->state) {
	case SESSION_PROXYHDR:
	case SESSION_PEEK:
	case SESSION_HANDSHAKE:
		return t->waiting ? want : want | EV_READ;
	case SESSION_CONNECT:
	case SESSION_REMOTE_PROXY:
		return side == CLIENT ? want : EV_WRITE;
	case SESSION_BIND:
	case SESSION_SHORT:
		return want;
	case SESSION_REMOTE_HANDSHAKE:
		return side == CLIENT || t->waiting ? want : want | EV_READ;
	case SESSION_RELAY:
	case SESSION_CLOSING:
		if (flow_wants(&s->flow[side], t))
			want |= EV_READ;
		if (!flow_empty(&s->flow[side_other(side)]))
			want |= EV_WRITE;
		return want;
	case SESSION_NEW:
	case SESSION_CLOSED:
		break;
	}
	return 0;
}

/* -1: the descriptor cannot be watched. */
static int
side_watch(struct session *s, enum side side)
{
	struct ev *ev = session_worker(s)->ev;
	int fd = s->stream[side].fd;
	unsigned want;

	if (fd == -1 || s->hung[side])
		return 0;
	want = side_interest(s, side);
	if (!s->watched[side]) {
		if (ev_add(ev, fd, &side_ops[side], s, want) == -1)
			return -1;
		s->watched[side] = true;
	} else if (want != s->want[side])
		ev_interest(ev, fd, want);
	s->want[side] = (uint8_t)want;
	return 0;
}

/* Is there something to do that the loop will not report? */
static bool
session_unreported(const struct session *s)
{
	if (s->state == SESSION_CONNECT)
		return s->stream[REMOTE].fd == -1;
	if (s->state == SESSION_HANDSHAKE)
		return s->stream[CLIENT].pending;
	if (s->state != SESSION_RELAY && s->state != SESSION_CLOSING)
		return false;
	for (enum side side = CLIENT; side < SIDES; side++)
		if ((s->stream[side].pending || s->hung[side]) &&
		    flow_wants(&s->flow[side], &s->stream[side]))
			return true;
	return false;
}

void
session_settle(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	if (side_watch(s, CLIENT) == -1 || side_watch(s, REMOTE) == -1) {
		session_close(s, END_LOCAL);
		return;
	}
	if (session_unreported(s))
		session_again(s);
	session_arm(s);
}

void
session_hung(struct session *s, enum side side)
{
	ev_del(session_worker(s)->ev, s->stream[side].fd);
	s->hung[side] = true;
	s->want[side] = 0;
}

/* ---- birth */

/* Nobody else writes it: a load and a store. */
static void
listener_use(struct session *s, int by)
{
	_Atomic uint32_t *use = &s->relay->cell->use;

	atomic_store_explicit(use, atomic_load_explicit(use,
	    memory_order_relaxed) + (uint32_t)by, memory_order_relaxed);
}

/* Diverted connections arrive at addresses that are not the listener's. */
static bool
facts_local(const struct session *s, const struct spawnd_conn *c)
{
	const struct config_relay *r = s->relay->conf;

	return c->local.ss_family != 0 &&
	    (r == NULL || r->original != ORIGINAL_LOCAL);
}

static void
facts_set(struct session *s, const struct spawnd_conn *c)
{
	struct facts *f = s->facts;
	struct net_addr local;

	f->counter = session_worker(s)->counter;
	f->started = c->accepted != 0 ? c->accepted :
	    ev_now(session_worker(s)->ev);
	f->listener = c->listener;
	memcpy(f->realm, c->realm, sizeof(f->realm));
	net_name_set(&f->src, (const struct sockaddr *)&c->peer,
	    sizeof(c->peer));
	if (facts_local(s, c))
		net_name_set(&f->dst, (const struct sockaddr *)&c->local,
		    sizeof(c->local));
	else if (s->relay->local && net_local(c->fd, &local) == 0)
		net_name_set(&f->dst, &local.sa, local.len);
}

/* What else a session needs to be told of. */
static bool
session_equip(struct session *s, const struct spawnd_conn *c)
{
	struct worker *w = session_worker(s);

	if (s->relay->facts || c->versions != 0 ||
	    (c->flags & (SPAWND_HAPROXY | SPAWND_TLS_AUTO)) != 0) {
		if ((s->facts = session_facts(w)) == NULL)
			return false;
	}
	return s->relay->conf == NULL ||
	    (s->forward = session_forward(w)) != NULL;
}

int
session_open(struct worker *w, const struct spawnd_conn *c)
{
	struct session *s = session_alloc(w);

	if (s == NULL)
		return -1;
	s->setup = w->now;
	s->setup->refs++;
	s->relay = setup_relay(s->setup, c->listener);
	if (!session_equip(s, c)) {
		session_free(w, s);
		errno = ENOMEM;
		return -1;
	}
	w->counter++;
	listener_use(s, 1);
	if (s->facts != NULL)
		facts_set(s, c);
	stream_init(&s->stream[CLIENT], c->fd);
	s->stream[REMOTE].fd = -1;
	s->remote = -1;
	s->moved = ev_now(w->ev);
	s->greet_by = s->moved + s->relay->handshake;
	s->copy = own_copy(w->own, c);
	s->proxied = (c->flags & SPAWND_HAPROXY) != 0;
	s->tls_auto = (c->flags & SPAWND_TLS_AUTO) != 0;
	s->psk = (c->flags & SPAWND_TLS_PSK) != 0;
	s->versions = (uint8_t)c->versions;
	s->whole = c->protocol == IPPROTO_SCTP;
	if ((s->next = w->sessions) != NULL)
		s->next->prev = s;
	w->sessions = s;
	greet_start(s);
	session_settle(s);
	return 0;
}

/* ---- death */

void
session_drop(struct session *s, enum side side)
{
	struct worker *w = session_worker(s);
	struct stream *t = &s->stream[side];
	int fd = t->fd;

	if (fd == -1)
		return;
	if (!stream_plain(t)) {
		w->handshakes = true;
		worker_untidy(w);
	}
	stream_clear(&w->env, t);
	t->fd = -1;
	if (session_shared(s, side))
		ev_close_shared(w->ev, fd);
	else if (s->watched[side])
		ev_close(w->ev, fd);
	else
		net_close(fd);
	s->watched[side] = s->hung[side] = false;
	s->want[side] = 0;
}

/*
 * What came and will never be read would turn the close into a reset, which
 * overtakes what we sent last.
 */
static void
side_drain(struct worker *w, int fd)
{
	for (unsigned i = 0; i < DRAIN_READS; i++)
		if (recv(fd, w->copy, WORKER_COPY, 0) <= 0)
			return;
}

static void
side_leave(struct session *s, enum side side, enum leave leave)
{
	struct worker *w = session_worker(s);
	struct stream *t = &s->stream[side];
	int fd = t->fd;

	if (fd == -1)
		return;
	switch (leave) {
	case LEAVE_QUIET:
		if (!(t->shut && t->eof) && session_shared(s, side))
			shutdown(fd, SHUT_RDWR);
		break;
	case LEAVE_ORDERLY:
		if (!t->shut && stream_shutdown(&w->env, t) == -1)
			shutdown(fd, SHUT_WR);
		side_drain(w, fd);
		break;
	case LEAVE_RAW:
		shutdown(fd, SHUT_WR);
		side_drain(w, fd);
		break;
	case LEAVE_RESET:
		if (session_shared(s, side))
			net_abort(fd);
		else
			net_linger0(fd);
		break;
	}
	session_drop(s, side);
}

static void
session_unlink(struct session *s)
{
	struct worker *w = session_worker(s);

	if (w->told.jobs != NULL)
		told_leave(&w->told, s);
	if (s->next != NULL)
		s->next->prev = s->prev;
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		w->sessions = s->next;
	s->next = s->prev = NULL;
}

void
session_fail(struct session *s, enum relay_reason reason, int error,
    const char *text)
{
	if (s->forward != NULL && s->state != SESSION_CLOSED)
		s->forward->end = (struct relay_end){ reason, error, text };
	session_close(s, relay_reasons[reason].end);
}

void
session_broken(struct session *s, enum side side, int error)
{
	if (s->forward == NULL)
		session_close(s, side == CLIENT ? END_CLIENT : END_REMOTE);
	else if (error == ECONNRESET || error == EPIPE || error == ENOTCONN)
		session_fail(s, REASON_DONE, 0, NULL);
	else
		session_fail(s, REASON_BUFFER_ERROR, error, NULL);
}

void
session_close(struct session *s, enum session_end end)
{
	struct worker *w = session_worker(s);
	bool cut = end == END_LOCAL && (s->state == SESSION_RELAY ||
	    s->state == SESSION_CLOSING);

	if (s->state == SESSION_CLOSED)
		return;
	if (s->forward != NULL) {
		forward_end(s, end);
		told_over(s);
	} else
		sesslog_end(s, end);
	session_set(s, SESSION_CLOSED);
	ev_timer_stop(w->ev, &s->timer);
	s->relay->policy->over(s);
	listener_use(s, -1);
	/* Counted before anybody can see the end: who comes again at once
	 * finds the place that he has left. */
	own_done(w->own, 1);
	side_leave(s, REMOTE, ends[end].leave[REMOTE]);
	side_leave(s, CLIENT, cut ? LEAVE_RESET : ends[end].leave[CLIENT]);
	flow_clear(w, &s->flow[CLIENT]);
	flow_clear(w, &s->flow[REMOTE]);
	own_ended(w->own, end);
	session_unlink(s);
	session_again(s);
}
