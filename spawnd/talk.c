/*
 * The master's half of the channel. Messages are a table; whoever sends
 * something that does not fit his state is ignored.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "config_msg.h"
#include "crew.h"
#include "hand.h"
#include "keys.h"
#include "lend.h"
#include "logs.h"
#include "master.h"
#include "outbox.h"
#include "own.h"
#include "proc.h"
#include "reload.h"
#include "roles.h"
#include "seats.h"
#include "talk.h"
#include "words.h"

/* What a broker can offer that does not know the worker's section. */
#define FEATURES_BROKER	(FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS)
#define FEATURES_ALL	(FEATURES_BROKER | FEATURE_CONFIG | FEATURE_LEND)

/* More than any channel holds, so what was there when reading began is read,
 * and a worker that never stops talking is interrupted. */
#define READ_MAX	16384
#define COMPLAINTS	(10 * EV_SECOND)	/* about one worker, five in */

static void	 channel_readable(void *, int);
static void	 channel_writable(void *, int);
static void	 channel_lost(void *, int);

static const struct ev_ops channel_ops = {
	channel_readable, channel_writable, channel_lost, channel_lost
};

/* With exec the section is another program's, even of the same build. */
static uint32_t
features_offered(const struct proc *p)
{
	const struct loaded *conf = reload_conf(p->master, p->generation);

	return conf != NULL && conf->conf->worker != NULL ? FEATURES_ALL :
	    FEATURES_BROKER;
}

/* ---- sending ---- */

static void
flushed_cb(void *ctx)
{
	struct proc *p = ctx;

	lend_all(p);
	hand_flush(p);
	master_changed(p->master);
}

void
talk_prepare(struct proc *p)
{
	outbox_init(&p->outbox, p->master->ev, &p->channel, flushed_cb, p);
}

bool
proc_send(struct proc *p, enum channel_type type, const void *a, size_t alen,
    const void *b, size_t blen, const int *fds, unsigned nfds)
{
	if (p->channel.fd == -1)
		return false;
	log_debug(DEBUG_PACKET, "worker %ld: sending %s", (long)p->known_as,
	    channel_forms[type].name);
	if (outbox_send(&p->outbox, type, a, alen, b, blen, fds, nfds))
		return true;
	if (errno == ENOMEM || errno == EMFILE)
		log_err("worker %ld: cannot be told %s: %s",
		    (long)p->known_as, channel_forms[type].name,
		    strerror(errno));
	else if (errno != EAGAIN)
		log_debug(DEBUG_PROC, "worker %ld: channel: %s",
		    (long)p->known_as, strerror(errno));
	return false;
}

bool
talk_start(struct proc *p)
{
	struct master *m = p->master;
	struct channel_hello hello = {
		.generation = p->generation,
		.features = features_offered(p), .worker = p->number,
	};

	memcpy(hello.nonce, p->nonce, sizeof(hello.nonce));
	memcpy(hello.build, channel_build, sizeof(hello.build));
	if (ev_add(m->ev, p->channel.fd, &channel_ops, p, EV_READ) == -1)
		return false;
	/* one that has ended already is noticed like any other */
	return proc_send(p, CHANNEL_HELLO, &hello, sizeof(hello), NULL, 0,
	    NULL, 0) || errno == EPIPE;
}

bool
talk_resume(struct proc *p)
{
	return ev_add(p->master->ev, p->channel.fd, &channel_ops, p,
	    p->outbox.blocked ? EV_READ | EV_WRITE : EV_READ) == 0;
}

void
talk_close(struct proc *p)
{
	outbox_clear(&p->outbox);
	if (p->channel.fd == -1)
		return;
	ev_close_shared(p->master->ev, p->channel.fd);
	p->channel.fd = -1;
}

static bool
board_send(struct proc *p, const struct compiled *c)
{
	struct channel_board msg;

	proc_sit(p, c);
	if (p->seats == NULL || p->seats->board.fd == -1)
		return false;
	msg.column = p->column;
	msg.columns = p->seats->columns;
	msg.size = p->seats->board.size;
	return proc_send(p, CHANNEL_BOARD, &msg, sizeof(msg), NULL, 0,
	    &p->seats->board.fd, 1);
}

bool
proc_configure(struct proc *p, const struct loaded *conf, uint32_t generation)
{
	struct config_out out;

	config_pack(&out, p->master, conf, generation, keys_apart(p->master,
	    conf->conf));
	p->asked = generation;
	p->prepared = false;
	return proc_send(p, CHANNEL_CONFIG, &out.head, sizeof(out.head),
	    out.tail, out.len, out.fds, out.nfds);
}

void
proc_commit(struct proc *p, uint32_t generation)
{
	struct channel_generation msg = { generation };

	p->generation = generation;
	p->asked = 0;
	p->prepared = false;
	proc_set(p, p->state);
	proc_send(p, CHANNEL_COMMIT, &msg, sizeof(msg), NULL, 0, NULL, 0);
}

void
proc_tickets(struct proc *p)
{
	const struct tickets *t = &p->master->tickets;
	struct channel_tickets msg = { t->n };

	if (p->channel.features & FEATURE_TICKETS && t->n > 0)
		proc_send(p, CHANNEL_TICKETS, &msg, sizeof(msg), t->keys,
		    t->n * sizeof(t->keys[0]), NULL, 0);
}

/* ---- what workers say ---- */

/* Workers may be somebody else's by now: they do not get to fill the log. */
static bool
may_complain(struct proc *p)
{
	unsigned held = 0;

	if (!log_allow(&p->complaints, ev_now(p->master->ev), COMPLAINTS, 5,
	    &held))
		return false;
	if (held > 0)
		log_warn("worker %ld: %u more complaints",
		    (long)p->known_as, held);
	return true;
}

/* An own worker shows itself: it gets what was agreed, in this order. */
static void
got_hello(struct proc *p, struct channel_message *msg)
{
	struct channel_hello hello;
	const struct loaded *conf = reload_conf(p->master, p->generation);

	memcpy(&hello, msg->payload, sizeof(hello));
	if (p->greeted || p->state != PROC_STARTING || conf == NULL ||
	    memcmp(hello.build, channel_build, sizeof(hello.build)) != 0 ||
	    memcmp(hello.nonce, p->nonce, sizeof(hello.nonce)) != 0)
		return;
	p->channel.features = hello.features & features_offered(p);
	if (!(p->channel.features & FEATURE_BOARD))
		p->channel.features &= ~(FEATURE_CONFIG | FEATURE_LEND);
	if (!(p->channel.features & FEATURE_CONFIG))
		p->channel.features &= ~FEATURE_LEND;
	if (p->channel.features & FEATURE_BOARD &&
	    !board_send(p, conf->conf))
		goto fail;
	if (p->channel.features & FEATURE_CONFIG &&
	    !proc_configure(p, conf, p->generation))
		goto fail;
	logs_send(p);
	proc_tickets(p);
	if (keys_give(p, conf, p->generation)) {
		roles_greet(p);
		return;
	}
fail:
	if (errno == EPIPE || errno == ECONNRESET)
		return;			/* it says why, and ends */
	log_warn("worker %ld cannot be given what it needs, killed",
	    (long)p->known_as);
	proc_kill(p, SIGKILL);
}

static void
limit_set(struct proc *p, uint32_t count)
{
	if (count == 0)
		return;
	if (count < p->master->conf.conf->broker.spawn.users_max &&
	    count < p->limit)
		words_say(WORD_LIMIT, (long)p->known_as, count);
	if (count < p->limit)
		p->limit = count;
	proc_set(p, p->state);
	master_changed(p->master);
}

static void
got_ready(struct proc *p, struct channel_message *msg)
{
	struct master *m = p->master;
	const struct loaded *conf;
	struct channel_ready ready = { .generation = 0 };

	memcpy(&ready, msg->payload, msg->len < sizeof(ready) ? msg->len :
	    sizeof(ready));
	if (memcmp(ready.nonce, p->nonce, sizeof(ready.nonce)) != 0)
		return;
	conf = reload_conf(m, ready.generation);
	if (p->channel.features & FEATURE_CONFIG && (conf == NULL ||
	    memcmp(ready.digest, conf->conf->digest, 32) != 0)) {
		if (conf != NULL)
			log_warn("worker %ld understands the configuration "
			    "differently", (long)p->known_as);
		if (p->state == PROC_STARTING)
			proc_kill(p, SIGKILL);
		reload_proc_failed(p);
		return;
	}
	limit_set(p, ready.count);
	if (p->state == PROC_STARTING && ready.generation == p->generation) {
		p->asked = 0;
		m->served = p->was_ready = true;
		proc_set(p, PROC_READY);
		log_debug(DEBUG_PROC, "worker %ld is ready", (long)p->known_as);
		lend_all(p);
		hand_flush(p);
	} else if (p->asked != 0 && ready.generation == p->asked)
		p->prepared = true;
	reload_proc_ready(p);
	master_changed(m);
}

static void
got_done(struct proc *p, struct channel_message *msg)
{
	struct channel_count count;

	if (p->seats != NULL)
		return;
	memcpy(&count, msg->payload, sizeof(count));
	if (count.count > p->users) {
		if (may_complain(p))
			log_warn("worker %ld reports %u ended connections, "
			    "has %u", (long)p->known_as, count.count,
			    p->users);
		count.count = p->users;
	}
	p->users -= count.count;
	master_changed(p->master);
	master_title(p->master);
}

static void
got_max(struct proc *p, struct channel_message *msg)
{
	struct channel_count count;

	memcpy(&count, msg->payload, sizeof(count));
	limit_set(p, count.count);
}

/* Who retires without users has no reason to stay. */
static unsigned
count_lingering(const struct master *m)
{
	unsigned n = 0;

	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		n += p->state == PROC_RETIRING && proc_use(p) == 0;
	return n;
}

static void
got_dying(struct proc *p, struct channel_message *msg)
{
	struct master *m = p->master;

	(void)msg;
	if (p->state != PROC_READY && p->state != PROC_STARTING)
		return;
	log_debug(DEBUG_PROC, "worker %ld retires", (long)p->known_as);
	lend_drop(p);
	proc_set(p, PROC_RETIRING);
	hand_flush(p);			/* to others */
	/* each would be replaced, and the next one might do the same */
	if (count_lingering(m) > m->conf.conf->broker.spawn.instances_max)
		crew_ended(m, 0, true);
	master_changed(m);
}

static void
got_bad_config(struct proc *p, struct channel_message *msg)
{
	p->bad_config = true;
	if (may_complain(p))
		log_err("worker %ld: configuration not usable: %.*s",
		    (long)p->known_as, (int)msg->len,
		    (const char *)msg->payload);
	reload_proc_failed(p);
	/* one that cannot even start ends by itself */
}

static void
got_taken(struct proc *p, struct channel_message *msg)
{
	uint64_t id;

	memcpy(&id, msg->payload, sizeof(id));
	hand_taken(p, id);
}

static void
got_return(struct proc *p, struct channel_message *msg)
{
	struct channel_return r;
	uint64_t id;

	p->returns++;
	memcpy(&r, msg->payload, sizeof(r));
	memcpy(&id, r.id, sizeof(id));
	hand_returned(p, id, r.reason);
	master_changed(p->master);
}

static void
got_revoked(struct proc *p, struct channel_message *msg)
{
	struct channel_listener l;

	memcpy(&l, msg->payload, sizeof(l));
	lend_revoked(p, l.listener);
}

static void
got_look(struct proc *p, struct channel_message *msg)
{
	(void)msg;
	master_changed(p->master);
	master_title(p->master);
}

static void
got_sign(struct proc *p, struct channel_message *msg)
{
	(void)p;
	(void)msg;
}

static void
got_tell(struct proc *p, struct channel_message *msg)
{
	roles_told(p, msg);
}

static const struct {
	void	(*got)(struct proc *, struct channel_message *);
} talk_messages[CHANNEL_TYPES] = {
	[CHANNEL_HELLO]		= { got_hello },
	[CHANNEL_READY]		= { got_ready },
	[CHANNEL_DONE]		= { got_done },
	[CHANNEL_KEEPALIVE]	= { got_sign },
	[CHANNEL_PONG]		= { got_sign },
	[CHANNEL_DYING]		= { got_dying },
	[CHANNEL_BAD_CONFIG]	= { got_bad_config },
	[CHANNEL_MAX_USERS]	= { got_max },
	[CHANNEL_TAKEN]		= { got_taken },
	[CHANNEL_RETURN]	= { got_return },
	[CHANNEL_REVOKED]	= { got_revoked },
	[CHANNEL_LOOK]		= { got_look },
	[CHANNEL_TELL]		= { got_tell },
};

/* The worker has closed its end: nothing more can be given to it. */
static void
channel_ended(struct proc *p)
{
	if (p->seats != NULL)
		hand_cover(p);
	talk_close(p);
	lend_drop(p);
	if (p->pid > 0 && (p->state == PROC_STARTING ||
	    p->state == PROC_READY))
		crew_left(p->master);
	if (p->state != PROC_DEAD && p->pid > 0)
		proc_set(p, PROC_ENDING);
	hand_move(p, false);
	reload_proc_lost(p);
	master_changed(p->master);
}

void
proc_read(struct proc *p)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message msg;

	for (int i = 0; i < READ_MAX && p->channel.fd != -1; i++) {
		switch (channel_recv(&p->channel, buf, &msg)) {
		case CHANNEL_NOTHING:
			return;
		case CHANNEL_CLOSED:
			channel_ended(p);
			return;
		case CHANNEL_IGNORED:
			break;
		case CHANNEL_GOT:
			proc_alive(p);
			log_debug(DEBUG_PACKET, "worker %ld: %s",
			    (long)p->known_as, channel_forms[msg.type].name);
			if (talk_messages[msg.type].got != NULL)
				talk_messages[msg.type].got(p, &msg);
			p->greeted = true;
			for (unsigned k = 0; k < msg.nfds; k++)
				if (msg.fds[k] != -1)
					close(msg.fds[k]);
			break;
		}
	}
}

static void
channel_readable(void *ctx, int fd)
{
	struct proc *p = ctx;

	(void)fd;
	proc_read(p);
	if (p->seats != NULL && p->kept.n > 0)
		hand_release(p);
	master_stir(p->master);
}

static void
channel_writable(void *ctx, int fd)
{
	struct proc *p = ctx;

	(void)fd;
	outbox_flush(&p->outbox);
}

static void
channel_lost(void *ctx, int fd)
{
	(void)fd;
	proc_read(ctx);
}
