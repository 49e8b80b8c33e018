/*
 * What a master may say to an own worker, as a table.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "../misc/cleanse.h"
#include "features.h"
#include "logfile.h"
#include "own_process.h"
#include "tell.h"
#include "tickets.h"
#include "words.h"

#define TURN		64	/* messages per wake-up, one of them a batch */

static void
process_board(struct process *p, struct channel_message *m)
{
	struct channel_board b;

	memcpy(&b, m->payload, sizeof(b));
	if (p->board_shared)
		return;
	if (board_map(&p->shared, m->fds[0], (size_t)b.size) == -1 ||
	    b.column >= p->shared.columns) {
		m->fds[0] = -1;
		log_err("channel: the board cannot be used: %s",
		    strerror(errno));
		ev_stop(p->own.ev, STATUS_OS);
		return;
	}
	m->fds[0] = -1;
	p->board_shared = true;
	p->own.seat = board_seat(&p->shared, b.column);
	p->own.users = board_column(&p->shared, b.column);
	p->own.seat_ours = false;
	/* Rows are entered by a master that knows the language. */
	if (process_has(p, FEATURE_CONFIG)) {
		p->own.board = &p->shared;
		p->own.column = b.column;
		if (process_open(p) == -1)
			ev_stop(p->own.ev, STATUS_OS);
	} else {
		process_announce(p);
	}
	if (p->running != NULL)
		atomic_store_explicit(&p->own.users->generation,
		    p->running->generation, memory_order_relaxed);
}

static void
process_may_die(struct process *p, struct channel_message *m)
{
	(void)m;
	if (!p->draining)
		words_say(WORD_UNNEEDED);
	process_drain(p);
}

static void
process_ping(struct process *p, struct channel_message *m)
{
	process_send(p, CHANNEL_PONG, m->payload, sizeof(struct channel_ping));
}

static void
process_tickets(struct process *p, struct channel_message *m)
{
	struct ticket_key keys[TICKETS_MAX];
	uint32_t n;

	memcpy(&n, m->payload, sizeof(n));
	memcpy(keys, m->payload + sizeof(n), n * sizeof(*keys));
	if (p->own.worker != NULL)
		p->own.engine->tickets(p->own.worker, keys, n);
#ifdef HAVE_EXPLICIT_BZERO
	cleanse(keys, sizeof(keys));
	cleanse(p->link->buf, sizeof(struct channel_header) + m->len);
#endif
}

static void
process_logfile(struct process *p, struct channel_message *m)
{
	(void)p;
	logfile_take(m);
}

static void
process_keys(struct process *p, struct channel_message *m)
{
	struct channel_generation g;

	memcpy(&g, m->payload, sizeof(g));
	if (p->own.worker == NULL || p->own.engine->keys == NULL)
		return;
	p->own.engine->keys(p->own.worker, g.generation, m->fds[0]);
	m->fds[0] = -1;
}

static void
process_told(struct process *p, struct channel_message *m)
{
	struct tell t;

	tell_read(&t, m);
	if (t.type == 0)
		log_verbose(tell_verbose(&t));
	else if (p->own.worker != NULL && p->own.engine->tell != NULL)
		p->own.engine->tell(p->own.worker, &t);
	tell_done(&t, m);
}

static void
process_revoked(struct process *p, uint32_t listener)
{
	struct channel_listener l = { .listener = listener };

	process_send(p, CHANNEL_REVOKED, &l, sizeof(l));
}

static void
process_lend(struct process *p, struct channel_message *m)
{
	struct channel_lend lend;
	struct channel_count max;
	struct compiled *c = p->running;
	int fd = m->fds[0];

	memcpy(&lend, m->payload, sizeof(lend));
	if (c != NULL && c->generation != lend.generation)
		c = p->prepared;
	if (c == NULL || c->generation != lend.generation || p->draining) {
		process_revoked(p, lend.listener);
		return;
	}
	m->fds[0] = -1;
	if (lents_add(&p->lents, fd, lend.listener, c) == -1) {
		log_warn("cannot accept on listener %" PRIu32 ": %s",
		    lend.listener, strerror(errno));
		process_revoked(p, lend.listener);
		return;
	}
	/* A lent socket costs a descriptor; the master need only know when
	 * that leaves room for fewer users than it may send. */
	p->lents.room = max.count = process_room(p);
	if (max.count < p->room && max.count < c->broker.spawn.users_max) {
		p->room = max.count;
		process_send(p, CHANNEL_MAX_USERS, &max, sizeof(max));
	}
	own_stir(&p->own);
}

static void
process_revoke(struct process *p, struct channel_message *m)
{
	struct channel_listener l;

	memcpy(&l, m->payload, sizeof(l));
	(void)lents_remove(&p->lents, l.listener);
	p->lents.room = process_room(p);
	process_revoked(p, l.listener);
}

static void
process_ignore(struct process *p, struct channel_message *m)
{
	(void)p;
	log_debug(DEBUG_PACKET, "%s: not used", channel_forms[m->type].name);
}

/* Form and feature were checked by channel_recv; descriptors that a handler
 * keeps it replaces by -1. */
static void (*const process_messages[CHANNEL_TYPES])(struct process *,
    struct channel_message *) = {
	[CHANNEL_MAY_DIE] = process_may_die,
	[CHANNEL_ACCEPT] = process_accept,
	[CHANNEL_UDPDATA] = process_udpdata,
	[CHANNEL_PING] = process_ping,
	[CHANNEL_HELLO] = process_ignore,
	[CHANNEL_BATCHED] = process_batch,
	[CHANNEL_LEND] = process_lend,
	[CHANNEL_REVOKE] = process_revoke,
	[CHANNEL_CONFIG] = process_config,
	[CHANNEL_COMMIT] = process_commit,
	[CHANNEL_TICKETS] = process_tickets,
	[CHANNEL_BOARD] = process_board,
	[CHANNEL_POLICY] = process_ignore,
	[CHANNEL_KEYS] = process_keys,
	[CHANNEL_LOGFILE] = process_logfile,
	[CHANNEL_TELL] = process_told,
};

/*
 * Reads until there is nothing more, or a message brought connections: those
 * are served first, and under load the next one is there in the next round
 * without a call that finds nothing. False: nothing was there.
 */
bool
process_read(struct process *p)
{
	struct channel_message m;

	for (int i = 0; i < TURN && !p->holding && !p->lost; i++) {
		switch (channel_recv(&p->link->ch, p->link->buf, &m)) {
		case CHANNEL_NOTHING:
			return i > 0;
		case CHANNEL_CLOSED:
			process_lost(p);
			return true;
		case CHANNEL_IGNORED:
			continue;
		case CHANNEL_GOT:
			break;
		}
		log_debug(DEBUG_PACKET, "%s, %zu bytes, %u descriptors",
		    channel_forms[m.type].name, m.len, m.nfds);
		process_messages[m.type](p, &m);
		for (unsigned n = 0; n < m.nfds; n++)
			if (m.fds[n] != -1)
				close(m.fds[n]);
		if (m.type == CHANNEL_ACCEPT || m.type == CHANNEL_BATCHED)
			return true;
	}
	return true;
}

static void
process_readable_cb(void *ctx, int fd)
{
	(void)fd;
	(void)process_read(ctx);
}

static void
process_writable_cb(void *ctx, int fd)
{
	struct process *p = ctx;

	(void)fd;
	if (worker_flushed(p->link) && p->holding) {
		process_age(p, ev_clock(p->own.ev));
		process_deliver(p);
	}
	process_interest(p);
}

static void
process_hangup_cb(void *ctx, int fd)
{
	(void)fd;
	process_lost(ctx);
}

const struct ev_ops process_channel_ops = {
	.readable = process_readable_cb,
	.writable = process_writable_cb,
	.error = process_hangup_cb,
	.hangup = process_hangup_cb,
};
