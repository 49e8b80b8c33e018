/*
 * The process of a worker whose program is built into its master: opening,
 * configuration, messages, signals, end. Under a master of another build, or
 * without CONFIG, it reads its file itself and is otherwise the same.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"
#include "../misc/daemon.h"
#include "../misc/str.h"
#include "../misc/title.h"
#include "lent.h"
#include "worker.h"

#define STATUS_USAGE	64
#define STATUS_OS	71
#define STATUS_CONFIG	78

#define FEATURES	(FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS | \
			FEATURE_CONFIG | FEATURE_LEND)
#define TURN		64	/* messages per wake-up, one of them a batch */
#define SPARE_FDS	10	/* 5.3 */
#define REASON_MAX	1024

struct process {
	struct own		 own;		/* first: what the engine knows */
	const struct program	*program;
	const char		*base;		/* base name of argv[0] */
	struct spawnd_worker	*link;
	bool			 lost;		/* the channel is */
	bool			 board_shared;
	struct board		 shared, private;
	struct lents		 lents;
	struct conf_request	 request;
	char			*tail;		/* the master's strings */
	struct compiled		*running, *prepared;
	uint32_t		 debug;
	bool			 stderr_copy;

	bool			 announced;	/* READY was sent */
	bool			 draining;
	unsigned		 terms;		/* SIGTERMs */
	bool			 warned_udp;
	uint32_t		 room;		/* users, as announced */
	struct ev_task		 announce;
	struct ev_timer		 keepalive, title;

	/* Connections that wait for TAKEN or RETURN to leave before they may
	 * be served; nothing is read meanwhile. */
	bool			 holding;
	unsigned		 nconns, ntold, nrefused;
	struct spawnd_conn	 conns[CHANNEL_BATCH];
};

static struct process *
process_of(struct own *o)
{
	return (struct process *)o;
}

static bool
process_has(const struct process *p, uint32_t feature)
{
	return (p->link->ch.features & feature) != 0;
}

/* ---- sending */

static void
process_interest(struct process *p)
{
	if (p->own.ev != NULL && !p->lost)
		ev_interest(p->own.ev, p->link->ch.fd,
		    (p->holding ? 0 : EV_READ) |
		    (p->holding || p->link->out != NULL || p->link->owed > 0 ?
		    EV_WRITE : 0));
}

/* A channel that fails is noticed by reading. */
static void
process_send(struct process *p, enum channel_type type, const void *payload,
    size_t len)
{
	if (p->lost)
		return;
	if (worker_send(p->link, type, payload, len) == -1 &&
	    errno == ENOMEM)
		log_err("channel: out of memory");
	process_interest(p);
}

static void
process_bad_config(struct process *p, const char *why)
{
	if (!p->lost)
		(void)spawnd_worker_bad_config(p->link, why);
	process_interest(p);
}

static uint32_t
process_room(const struct process *p)
{
	int limit = ev_limit(p->own.ev) - SPARE_FDS - (int)p->lents.n;

	return limit < 2 ? 1 : (uint32_t)limit / 2;
}

static void
process_ready(struct process *p, const struct compiled *c)
{
	struct channel_ready ready;

	memset(&ready, 0, sizeof(ready));
	memcpy(ready.nonce, p->link->nonce, sizeof(ready.nonce));
	ready.generation = c->generation;
	ready.count = p->room = p->lents.room = process_room(p);
	memcpy(ready.digest, c->digest, sizeof(ready.digest));
	process_send(p, CHANNEL_READY, &ready, process_has(p, FEATURE_CONFIG) ?
	    sizeof(ready) : CHANNEL_READY_PLAIN);
}

/* ---- the title */

static void	process_title(struct process *);

static void
process_title_cb(void *ctx)
{
	process_title(ctx);
}

/*
 * The timer is only set while a text waits for its turn, so a worker at rest
 * is not woken, and a busy one formats ten texts a second.
 */
static void
process_title(struct process *p)
{
	const char *text = p->running == NULL ? NULL :
	    p->running->worker_common.proctitle;
	uint64_t wait;

	if (ev_timer_pending(&p->title))
		return;
	wait = title_set(ev_now(p->own.ev), "%s: %s%s%" PRIu64
	    " connection%s%s", p->base, text == NULL ? "" : text,
	    text == NULL ? "" : ": ", p->own.live,
	    p->own.live == 1 ? "" : "s",
	    p->draining ? ", ending when idle" : "");
	if (wait > 0)
		ev_timer_set(p->own.ev, &p->title, wait, process_title_cb, p);
}

/* ---- ending */

static void
process_drain(struct process *p)
{
	if (p->draining)
		return;
	p->draining = true;
	lents_clear(&p->lents);
	log_line("no new connections, %" PRIu32 " left", own_use(&p->own));
	if (p->own.worker != NULL)
		p->own.engine->drain(p->own.worker);
	own_stir(&p->own);
}

static void
process_dying(struct process *p)
{
	if (!p->draining)
		process_send(p, CHANNEL_DYING, NULL, 0);
	process_drain(p);
}

static void	process_deliver(struct process *);

static void
process_lost(struct process *p)
{
	if (p->lost)
		return;
	p->lost = true;
	log_line("the master is gone");
	ev_timer_stop(p->own.ev, &p->keepalive);
	ev_close(p->own.ev, p->link->ch.fd);
	p->link->ch.fd = -1;
	if (p->holding)
		process_deliver(p);	/* nobody else will */
	process_drain(p);
}

static void
process_signal_cb(void *ctx, int signo)
{
	struct process *p = ctx;

	log_line("signal %s: ending", signo == SIGTERM ? "TERM" :
	    signo == SIGHUP ? "HUP" : "INT");
	if (signo == SIGTERM && ++p->terms > 1) {
		if (p->own.worker != NULL)
			p->own.engine->kill(p->own.worker);
		ev_stop(p->own.ev, 0);
		return;
	}
	process_dying(p);
}

/* ---- connections */

static void
process_refuse(struct process *p, uint64_t id, uint32_t reason)
{
	struct channel_return r = { .reason = reason };

	memcpy(r.id, &id, sizeof(r.id));
	process_send(p, CHANNEL_RETURN, &r, sizeof(r));
}

/*
 * Whether the master knows what it has to before the held connections are
 * touched: that others come back, and without a board that these are taken.
 */
static bool
process_vouched(struct process *p)
{
	struct channel_id id;

	if (p->lost)
		return true;
	if ((p->nrefused > 0 || !p->board_shared) &&
	    !worker_flushed(p->link))
		return false;
	for (; !p->board_shared && p->ntold < p->nconns; p->ntold++) {
		memcpy(id.id, &p->conns[p->ntold].id, sizeof(id.id));
		if (channel_send(&p->link->ch, CHANNEL_TAKEN, &id, sizeof(id),
		    NULL, 0, NULL, 0) == -1 &&
		    (errno == EAGAIN || errno == ENOMEM))
			return false;
	}
	return true;
}

static void
process_deliver(struct process *p)
{
	unsigned n = p->nconns, refused = p->nrefused;

	p->holding = !process_vouched(p);
	process_interest(p);
	if (p->holding)
		return;
	p->nconns = p->ntold = p->nrefused = 0;
	if (refused > 0)
		own_refused(&p->own, refused);
	if (n > 0)
		own_take(&p->own, p->conns, n);
}

/* Those under way for too long are not read: the master may have given them
 * to another worker. What was announced as taken is ours. */
static void
process_age(struct process *p, uint64_t now)
{
	unsigned kept = p->ntold;

	for (unsigned i = p->ntold; i < p->nconns; i++) {
		if (worker_old(&p->conns[i], now)) {
			process_refuse(p, p->conns[i].id, SPAWND_RETURN_OLD);
			close(p->conns[i].fd);
			p->nrefused++;
		} else {
			p->conns[kept++] = p->conns[i];
		}
	}
	p->nconns = kept;
}

static void
process_conns(struct process *p, struct channel_message *m,
    const uint8_t *records, unsigned n)
{
	struct channel_record record;

	p->nconns = p->ntold = p->nrefused = 0;
	for (unsigned i = 0; i < n; i++) {
		struct spawnd_conn *c = &p->conns[p->nconns];

		memcpy(&record, records + i * sizeof(record), sizeof(record));
		if (i >= m->nfds || p->own.worker == NULL) {
			process_refuse(p, record.id, SPAWND_RETURN_NOFD);
			p->nrefused++;
			continue;
		}
		channel_unpack(c, &record);
		c->fd = m->fds[i];
		m->fds[i] = -1;
		p->nconns++;
	}
	process_age(p, ev_clock(p->own.ev));
	process_deliver(p);
}

static void
process_accept(struct process *p, struct channel_message *m)
{
	process_conns(p, m, m->payload, 1);
}

static void
process_batch(struct process *p, struct channel_message *m)
{
	uint32_t n;

	memcpy(&n, m->payload, sizeof(n));
	process_conns(p, m, m->payload + sizeof(struct channel_batch), n);
}

/* A relay of byte streams has no use for it, but it counts. */
static void
process_udpdata(struct process *p, struct channel_message *m)
{
	struct channel_record record;
	struct channel_id id;

	if (!p->warned_udp)
		log_warn("datagrams are not for this program, ignored");
	p->warned_udp = true;
	if (p->board_shared) {
		board_add(&p->own.users->finished, 1);
		board_add(&p->own.users->taken, 1);
		return;
	}
	memcpy(&record, m->payload, sizeof(record));
	memcpy(id.id, &record.id, sizeof(id.id));
	process_send(p, CHANNEL_TAKEN, &id, sizeof(id));
	(void)spawnd_worker_done(p->link, 1);
	process_interest(p);
}

static void
process_returned(struct own *o, const struct spawnd_conn *c, unsigned reason)
{
	if ((c->id & OWN_SELF) == 0)
		process_refuse(process_of(o), c->id, reason);
}

static void
process_retire(struct own *o)
{
	process_dying(process_of(o));
}

/* ---- end of a round */

/*
 * With the board no message tells that sessions have ended, so a master that
 * turns clients away, or counts them, would learn of it late. The fence: it
 * sets overload and then looks at the column once more, we write the column
 * and then look at overload; one of us must see the other.
 */
static bool
process_hint(struct process *p)
{
	if (!p->board_shared)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&p->shared.head->overload,
	    memory_order_relaxed) != 0;
}

static bool	process_read(struct process *);

static void
process_round(struct own *o)
{
	struct process *p = process_of(o);
	bool look = false;

	if (o->ended > 0) {
		look = process_hint(p);
		if (!p->board_shared && !p->lost)
			(void)spawnd_worker_done(p->link, (unsigned)o->ended);
		process_interest(p);
	}
	o->ended = 0;
	look |= lents_update(&p->lents);
	if (look)
		process_send(p, CHANNEL_LOOK, NULL, 0);
	process_title(p);
	if (!p->draining || o->live > 0 || p->holding)
		return;
	/* What is on its way is served; only then is it over. */
	while (!p->lost && o->live == 0 && !p->holding && process_read(p))
		;
	if (o->live == 0 && !p->holding)
		ev_stop(o->ev, 0);
}

static const struct own_ops process_ops = {
	.shares = true,
	.returned = process_returned,
	.retire = process_retire,
	.round = process_round,
};

/* ---- configuration */

static void
process_log(struct process *p, const struct compiled *c)
{
	struct log_conf conf = c->worker_common.log;

	conf.stderr_copy |= p->stderr_copy;
	conf.debug |= p->debug;
	conf.role = "worker";
	conf.worker = p->own.number;
	log_configure(&conf);
}

static void
process_adopt(struct process *p, struct compiled *c)
{
	p->own.engine->commit(p->own.worker);
	if (p->running != NULL)
		compiled_unref(p->running);
	p->running = c;
	process_log(p, c);
	p->lents.least = c->broker.spawn.users_min;
	atomic_store_explicit(&p->own.users->generation, c->generation,
	    memory_order_relaxed);
	own_stir(&p->own);
}

/* Lines and READY come behind all that the master has sent by now: LOGFILE
 * follows CONFIG. */
static void
process_announce_cb(void *ctx)
{
	struct process *p = ctx;

	if (p->announced || p->running == NULL ||
	    (process_has(p, FEATURE_BOARD) && !p->board_shared))
		return;
	p->announced = true;
	log_line("worker starting, version %s", PACKAGE_VERSION);
	log_line("event mechanism: %s", ev_name(p->own.ev));
	process_ready(p, p->running);
	process_title(p);
}

static void
process_announce(struct process *p)
{
	ev_defer(p->own.ev, &p->announce, process_announce_cb, p);
}

/* Ends the process if nothing works yet. */
static void
process_refused(struct process *p, struct diag *d, const char *why)
{
	char text[REASON_MAX];

	if (why == NULL)
		why = diag_first(d, text, sizeof(text));
	process_bad_config(p, why == NULL ? "no reason known" : why);
	if (p->running == NULL)
		ev_stop(p->own.ev, STATUS_CONFIG);
}

static void
process_forget(struct process *p)
{
	if (p->prepared == NULL)
		return;
	p->own.engine->forget(p->own.worker);
	compiled_unref(p->prepared);
	p->prepared = NULL;
}

/* Takes c over in any case. */
static int
process_prepare(struct process *p, struct compiled *c, struct diag *d)
{
	if (p->own.engine->prepare(p->own.worker, c, d) == -1) {
		compiled_unref(c);
		return -1;
	}
	if (p->running == NULL) {
		process_adopt(p, c);
		process_announce(p);
		return 0;
	}
	p->prepared = c;
	process_ready(p, c);
	return 0;
}

/*
 * How the master compiled. It never changes in a master's life, so one copy
 * serves all configurations, which may point into it.
 */
static void
process_request(struct process *p, const struct channel_message *m)
{
	const uint8_t *tail = m->payload + sizeof(struct channel_config);
	size_t len = m->len - sizeof(struct channel_config);

	p->request.worker_only = false;
	if (p->tail != NULL || len == 0 || len > OWN_REQUEST_MAX)
		return;
	p->tail = malloc(len);
	if (p->tail == NULL)
		return;
	memcpy(p->tail, tail, len);
	if (!own_request_unpack(&p->request, p->tail, len))
		log_warn("channel: CONFIG does not say how to compile");
}

static struct compiled *
process_compile(struct process *p, const struct channel_message *m,
    uint32_t generation, bool secrets, struct diag *d, const char **why)
{
	struct compiled *c;
	struct source *s;

	process_request(p, m);
	s = source_replay(m->fds[0], secrets ? m->fds[1] : -1);
	if (s == NULL) {
		*why = "the bundle cannot be read";
		return NULL;
	}
	c = conf_compile(&p->request, s, d);
	if (c == NULL) {
		source_free(s);
		return NULL;
	}
	c->generation = generation;
	return c;
}

static void
process_config(struct process *p, struct channel_message *m)
{
	struct channel_config head;
	const char *why = NULL;
	struct compiled *c;
	struct diag *d;

	memcpy(&head, m->payload, sizeof(head));
	if (p->own.worker == NULL) {
		process_refused(p, NULL, "CONFIG came before BOARD");
		return;
	}
	process_forget(p);
	d = diag_new();
	c = process_compile(p, m, head.generation, (head.flags & 1) != 0, d,
	    &why);
	if (c == NULL || process_prepare(p, c, d) == -1)
		process_refused(p, d, why);
	diag_free(d);
}

static void
process_commit(struct process *p, struct channel_message *m)
{
	struct channel_generation g;

	memcpy(&g, m->payload, sizeof(g));
	if (p->prepared != NULL && p->prepared->generation == g.generation) {
		struct compiled *c = p->prepared;

		p->prepared = NULL;
		process_adopt(p, c);
	} else if (p->running != NULL &&
	    p->running->generation == g.generation) {
		process_forget(p);
	} else {
		log_warn("channel: COMMIT of a configuration that is not "
		    "here: %" PRIu32, g.generation);
	}
}

/* ---- the other messages */

static int
process_open(struct process *p)
{
	if (p->own.worker != NULL)
		return 0;
	p->own.worker = p->own.engine->open(p->own.ev, &p->own);
	if (p->own.worker == NULL) {
		log_err("cannot start: %s", strerror(errno));
		return -1;
	}
	return 0;
}

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
		log_line("no longer needed, ending");
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
	struct ticket_key keys[3];
	uint32_t n;

	memcpy(&n, m->payload, sizeof(n));
	memcpy(keys, m->payload + sizeof(n), n * sizeof(*keys));
	if (p->own.worker != NULL)
		p->own.engine->tickets(p->own.worker, keys, n);
#ifdef HAVE_EXPLICIT_BZERO
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(p->link->buf, sizeof(struct channel_header) + m->len);
#endif
}

static void
process_logfile(struct process *p, struct channel_message *m)
{
	struct channel_logfile f;

	(void)p;
	memcpy(&f, m->payload, sizeof(f));
	if (f.kind == 1)
		log_file(m->fds[0]);
	else if (f.kind == 2)
		log_debug_file(m->fds[0]);
	else
		return;
	m->fds[0] = -1;
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
	[CHANNEL_KEYS] = process_ignore,
	[CHANNEL_LOGFILE] = process_logfile,
};

/*
 * Reads until there is nothing more, or a message brought connections: those
 * are served first, and under load the next one is there in the next round
 * without a call that finds nothing. False: nothing was there.
 */
static bool
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

static const struct ev_ops process_channel_ops = {
	.readable = process_readable_cb,
	.writable = process_writable_cb,
	.error = process_hangup_cb,
	.hangup = process_hangup_cb,
};

static void
process_keepalive_cb(void *ctx)
{
	struct process *p = ctx;

	process_send(p, CHANNEL_KEEPALIVE, NULL, 0);
	ev_timer_set(p->own.ev, &p->keepalive, WORKER_KEEPALIVE,
	    process_keepalive_cb, p);
}

/* ---- the start */

static void
process_hello(struct process *p)
{
	struct channel_hello hello;
	uint32_t f = p->link->offered & FEATURES;

	/* Another build: the plain channel, which begins without HELLO. */
	if (memcmp(p->link->build, channel_build, sizeof(channel_build)) != 0)
		return;
	if ((f & FEATURE_BOARD) == 0)
		f &= ~FEATURE_CONFIG;
	if ((f & FEATURE_CONFIG) == 0)
		f &= ~FEATURE_LEND;
	memset(&hello, 0, sizeof(hello));
	memcpy(hello.nonce, p->link->nonce, sizeof(hello.nonce));
	memcpy(hello.build, channel_build, sizeof(hello.build));
	hello.generation = p->link->generation;
	hello.features = f;
	hello.worker = p->link->number;
	(void)worker_send(p->link, CHANNEL_HELLO, &hello, sizeof(hello));
	p->link->ch.features = f;
}

/* A board of our own, for what the engine counts where the master has no
 * rows for it, and for the users until a shared one comes. */
static int
process_private(struct process *p, struct compiled *c)
{
	unsigned rows = 1;

	if (c != NULL && p->program->row_count != NULL)
		rows += p->program->row_count(c);
	if (board_open(&p->private, 1, rows) == -1) {
		log_err("board: %s", strerror(errno));
		return -1;
	}
	if (c != NULL && p->program->rows != NULL)
		p->program->rows(c, &p->private, c->generation);
	p->own.board = &p->private;
	p->own.column = 0;
	p->own.seat = board_seat(&p->private, 0);
	p->own.users = board_column(&p->private, 0);
	p->own.seat_ours = true;
	return 0;
}

/* The file that the master only named. NULL: the reasons are logged. */
static struct compiled *
process_gather(struct process *p, char *const *env, struct diag *d)
{
	struct source *s = source_gather(env);
	struct compiled *c = s == NULL ? NULL :
	    conf_compile(&p->request, s, d);

	if (c == NULL && s != NULL)
		source_free(s);
	if (c != NULL)
		c->generation = p->link == NULL ? 1 : p->link->generation;
	return c;
}

static int
process_log_file(const char *path, void (*use)(int))
{
	int fd;

	if (path == NULL)
		return 0;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
	    O_NOFOLLOW, 0640);
	if (fd == -1) {
		log_err("log file %s: %s", path, strerror(errno));
		return -1;
	}
	use(fd);
	return 0;
}

static int
process_loop(struct process *p, const char *mechanisms)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2 };
	static const int ending[] = { SIGHUP, SIGTERM, SIGINT };

	p->own.ev = ev_new(mechanisms, true);
	if (p->own.ev == NULL) {
		log_err("no event mechanism: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)ev_signal(p->own.ev, ignored[i], NULL, NULL);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		if (ev_signal(p->own.ev, ending[i], process_signal_cb, p) ==
		    -1)
			return -1;
	if (ev_add(p->own.ev, p->link->ch.fd, &process_channel_ops, p,
	    EV_READ) == -1)
		return -1;
	process_interest(p);
	ev_timer_set(p->own.ev, &p->keepalive, WORKER_KEEPALIVE,
	    process_keepalive_cb, p);
	return 0;
}

/* With CONFIG everything else comes over the channel. */
static int
process_start_given(struct process *p)
{
	if (process_private(p, NULL) == -1 ||
	    process_loop(p, getenv("IO_POLL_MECHANISM")) == -1)
		return STATUS_OS;
	return 0;
}

static int
process_start_reading(struct process *p, char *const *env, struct diag *d)
{
	struct compiled *c = process_gather(p, env, d);
	char text[REASON_MAX];
	const char *why;

	diag_log(d);
	if (c == NULL) {
		why = diag_first(d, text, sizeof(text));
		(void)spawnd_worker_bad_config(p->link, why == NULL ?
		    "cannot be read" : why);
		return diag_status(d) != 0 ? diag_status(d) : STATUS_CONFIG;
	}
	process_log(p, c);
	if (process_log_file(c->worker_common.log_path, log_file) == -1 ||
	    process_log_file(c->worker_common.debug_path, log_debug_file) ==
	    -1) {
		(void)spawnd_worker_bad_config(p->link, "log file");
		compiled_unref(c);
		return STATUS_CONFIG;
	}
	if (process_private(p, c) == -1 ||
	    process_loop(p, source_getenv(c->source, "IO_POLL_MECHANISM")) ==
	    -1 || process_open(p) == -1) {
		compiled_unref(c);
		return STATUS_OS;
	}
	if (process_prepare(p, c, d) == -1) {
		diag_log(d);
		why = diag_first(d, text, sizeof(text));
		(void)spawnd_worker_bad_config(p->link, why == NULL ?
		    "cannot be used" : why);
		return STATUS_CONFIG;
	}
	process_announce(p);
	return 0;
}

static void
process_free(struct process *p)
{
	if (p->own.ev != NULL)
		lents_clear(&p->lents);
	if (p->own.worker != NULL)
		p->own.engine->close(p->own.worker);
	for (unsigned i = 0; i < p->nconns && p->holding; i++)
		close(p->conns[i].fd);
	if (p->prepared != NULL)
		compiled_unref(p->prepared);
	if (p->running != NULL)
		compiled_unref(p->running);
	board_close(&p->shared);
	board_close(&p->private);
	if (p->own.ev != NULL)
		ev_free(p->own.ev);
	spawnd_worker_close(p->link);
	free(p->tail);
	free(p);
}

/* -P: what a stand-alone broker asks of its worker's program. */
static int
process_check(struct process *p, char *const *env)
{
	struct diag *d = diag_new();
	struct compiled *c;
	int status;

	p->request.check = true;
	c = process_gather(p, env, d);
	if (c != NULL && p->program->check != NULL)
		p->program->check(c, d);
	diag_print(d, stderr, c == NULL ? NULL : c->source, false);
	status = diag_status(d);
	if (c == NULL && status == 0)
		status = STATUS_CONFIG;
	if (c != NULL)
		compiled_unref(c);
	diag_free(d);
	return status;
}

static int
process_serve(struct process *p, char *const *env)
{
	char error[WORKER_ERROR];
	struct diag *d;
	int status;

	p->link = worker_start(SPAWND_VERSION, error);
	if (p->link == NULL) {
		log_err("%s", error);
		return STATUS_CONFIG;
	}
	p->own.number = p->link->number;
	(void)daemon_raise_limit();
	process_hello(p);
	d = diag_new();
	status = process_has(p, FEATURE_CONFIG) ? process_start_given(p) :
	    process_start_reading(p, env, d);
	diag_free(d);
	return status != 0 ? status : ev_run(p->own.ev);
}

struct process_options {
	bool		 check, version;
	const char	*file, *id;
};

static int
process_options(struct process *p, struct process_options *o, int argc,
    char **argv)
{
	unsigned long n;
	char *end;
	int c;

	optind = 1;
	while ((c = getopt(argc, argv, "DPd:v")) != -1) {
		switch (c) {
		case 'D':
			p->stderr_copy = true;
			break;
		case 'P':
			o->check = true;
			break;
		case 'v':
			o->version = true;
			break;
		case 'd':
			errno = 0;
			n = strtoul(optarg, &end, 0);
			if (errno != 0 || end == optarg || *end != '\0')
				return -1;
			p->debug |= (uint32_t)n & DEBUG_ALL;
			break;
		default:
			return -1;
		}
	}
	if (o->version)
		return 0;
	if (argc - optind < 1 || argc - optind > 2)
		return -1;
	o->file = argv[optind];
	o->id = argc - optind == 2 ? argv[optind + 1] : p->base;
	return 0;
}

int
own_main(const struct program *program, int argc, char **argv)
{
	struct process_options o = { .file = NULL };
	struct process *p;
	extern char **environ;
	int status;

	if (program->broker_only) {
		log_err("a broker cannot be its own worker");
		return STATUS_CONFIG;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return STATUS_OS;
	p->program = program;
	p->own.ops = &process_ops;
	p->own.engine = program->worker;
	lents_init(&p->lents, &p->own);
	p->shared.fd = p->private.fd = -1;
	p->base = str_base(argv[0]);
	if (process_options(p, &o, argc, argv) == -1) {
		fprintf(stderr, "usage: %s [-DPv] [-d level] FILE [id]\n",
		    p->base);
		free(p);
		return STATUS_USAGE;
	}
	log_stderr(p->stderr_copy);
	p->request = (struct conf_request){ .program = program,
	    .file = o.file, .worker_id = o.id, .argv0 = argv[0],
	    .worker_only = true };
	if (o.version) {
		printf("%s version %s%s\n", program->name, PACKAGE_VERSION,
		    program->features == NULL ? "" : program->features);
		status = 0;
	} else if (o.check) {
		status = process_check(p, environ);
	} else {
		status = process_serve(p, environ);
	}
	process_free(p);
	return status;
}
