/*
 * Both sides are there: bytes, ends and errors from one to the other, each
 * direction by itself (7.4).
 */
#include <errno.h>

#include "session.h"

/* The reading end has ended and the other side was told. */
static bool
finished(const struct session *s, enum side side)
{
	return s->stream[side].eof && s->stream[side_other(side)].shut;
}

static enum why_who
who_is(enum side side)
{
	return side == CLIENT ? WHY_CLIENT : WHY_SERVER;
}

static void
relay_ended(struct session *s, enum side side)
{
	static const enum why_phase phases[SIDES] = { WHY_CLIENT_END,
	    WHY_SERVER_END };
	struct forward *f = s->forward;

	if (f == NULL || f->phase[phases[side]] != 0)
		return;
	session_phase(s, phases[side]);
	if (f->phase[phases[side_other(side)]] == 0)
		f->who = who_is(side);
	if (!flow_empty(&s->flow[side]) ||
	    s->stream[side_other(side)].blocked)
		f->late = true;
}

/*
 * For a relay a side that went away has ended: what it sent before is still
 * for the other one. false: there is nothing more to do.
 */
static bool
relay_outlives(struct session *s, enum side side, int error)
{
	enum side other = side_other(side);

	if (s->forward == NULL || (error != ECONNRESET && error != EPIPE))
		return false;
	relay_ended(s, side);
	if (flow_empty(&s->flow[side]) || s->stream[side].eof ||
	    s->stream[other].shut)
		return false;
	s->stream[side].eof = s->stream[side].shut = true;
	s->stream[side].blocked = false;
	s->stream[other].eof = true;	/* nobody is there to read it */
	flow_clear(session_worker(s), &s->flow[other]);
	s->whole = true;
	if (!s->hung[side])
		session_hung(s, side);
	session_settle(s);
	return true;
}

/*
 * An error on that side: what it sent is offered to the other one once
 * more; then that is reset, so that it is not mistaken for an end.
 */
static void
relay_failed(struct session *s, enum side side)
{
	bool moved = false;
	int error = errno;

	(void)flow_move(session_worker(s), &s->flow[side], &s->stream[side],
	    &s->stream[side_other(side)], false, true, &moved);
	if (!relay_outlives(s, side, error))
		session_broken(s, side, error);
}

/* false: the session is closed. */
static bool
relay_move(struct session *s, enum side side, bool readable, bool writable)
{
	struct worker *w = session_worker(s);
	struct flow *f = &s->flow[side];
	enum side other = side_other(side);
	uint64_t before = f->bytes;
	bool moved = false;
	enum flow_result r = flow_move(w, f, &s->stream[side],
	    &s->stream[other], readable, writable, &moved);

	if (moved)
		s->moved = ev_now(w->ev);
	if (s->forward != NULL)
		forward_moved(s, side);
	if (f->bytes != before) {
		struct board_cell *cell = pick_cell(s->setup->pick,
		    (size_t)s->remote);

		board_add(side == CLIENT ? &cell->in : &cell->out,
		    f->bytes - before);
		if (before == 0)
			session_phase(s, side == CLIENT ? WHY_FIRST_REQUEST :
			    WHY_FIRST_RESPONSE);
	}
	switch (r) {
	case FLOW_GOOD:
		return true;
	case FLOW_FROM_FAILED:
		relay_failed(s, side);
		break;
	case FLOW_TO_FAILED:
		relay_failed(s, other);
		break;
	case FLOW_NO_MEMORY:
		session_close(s, END_LOCAL);
		break;
	}
	return false;
}

/*
 * Half-close only once everything is out: a server that answers after the
 * end of the request would otherwise see it truncated. false: closed.
 */
static bool
relay_pass_end(struct session *s, enum side side)
{
	enum side other = side_other(side);
	struct stream *to = &s->stream[other];
	bool last = finished(s, other);

	if (s->stream[side].eof)
		relay_ended(s, side);
	if (!s->stream[side].eof || to->shut || to->blocked ||
	    !flow_empty(&s->flow[side]))
		return true;
	if (last && stream_plain(to) && !session_shared(s, other)) {
		to->shut = true;	/* closing it says the same */
		return true;
	}
	if (stream_shutdown(&session_worker(s)->env, to) == 0) {
		if (!stream_plain(to) && !to->eof && s->state == SESSION_RELAY)
			session_set(s, SESSION_CLOSING);
		return true;
	}
	if (errno == EAGAIN)
		return true;
	if (last) {			/* it went away by itself */
		to->shut = true;
		return true;
	}
	relay_failed(s, other);
	return false;
}

/* Without half-close the end of one side is the end. */
static bool
relay_over(const struct session *s)
{
	const struct stream *a = &s->stream[CLIENT], *b = &s->stream[REMOTE];

	if (finished(s, CLIENT) && finished(s, REMOTE))
		return true;
	return s->whole && (a->eof || b->eof) && !a->blocked && !b->blocked &&
	    flow_empty(&s->flow[CLIENT]) && flow_empty(&s->flow[REMOTE]);
}

static void
relay_settle(struct session *s)
{
	if (s->stream[CLIENT].eof || s->stream[REMOTE].eof) {
		if (!relay_pass_end(s, CLIENT) || !relay_pass_end(s, REMOTE))
			return;
		if (relay_over(s)) {
			session_close(s, END_DONE);
			return;
		}
	}
	session_settle(s);
}

/* Readable although the loop does not say so. */
static bool
unreported(const struct session *s, enum side side)
{
	return s->stream[side].pending || s->hung[side];
}

void
relay_event(struct session *s, enum side side, enum session_event what)
{
	enum side other = side_other(side);

	switch (what) {
	case EVENT_READ:
		if (!relay_move(s, side, true, false))
			return;
		break;
	case EVENT_WRITE:
		if (!relay_move(s, other, unreported(s, other), true))
			return;
		break;
	case EVENT_ERROR:
		if ((errno = net_error(s->stream[side].fd)) != 0) {
			relay_failed(s, side);
			return;
		}
		/* FALLTHROUGH */
	case EVENT_HANGUP:
		/* It may be no more than two half-closes while the data is
		 * still on its way; a write tells if it is more. */
		session_hung(s, side);
		if (!relay_move(s, other, false, true) ||
		    !relay_move(s, side, true, false))
			return;
		break;
	}
	relay_settle(s);
}

void
relay_start(struct session *s)
{
	session_set(s, SESSION_RELAY);
	if (relay_move(s, CLIENT, unreported(s, CLIENT), true) &&
	    (!unreported(s, REMOTE) || relay_move(s, REMOTE, true, true)))
		relay_settle(s);
}

/*
 * Our close alert found no answer in time. As long as bytes come from the
 * side that has not ended they count as one: with a destination behind TLS,
 * the answer to a half-closed request may take longer.
 */
void
relay_late(struct session *s)
{
	uint64_t due = s->moved + SESSION_CLOSING_TIME;

	if (ev_now(session_worker(s)->ev) < due)
		s->deadline = due;
	else
		session_close(s, END_DONE);
}
