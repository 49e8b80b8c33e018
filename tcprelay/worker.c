/*
 * The engine as the broker sees it: one configuration in force, perhaps one
 * prepared, and the sessions.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../misc/buf.h"
#include "../misc/splice.h"
#include "relaylog.h"
#include "session.h"

/* Ciphertext of one receive call, and records of one turn. */
#define WORKER_RAW	(256u * 1024)
#define WORKER_GATHER	(288u * 1024)

/* So long may the process with the keys think before it is told of. */
#define KEY_PATIENCE	EV_SECOND

/* ---- setups */

static struct setup *
setup_new(struct worker *w, struct compiled *c)
{
	struct setup *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	u->worker = w;
	u->refs = 1;
	u->compiled = compiled_ref(c);
	u->config = c->worker;
	u->cleanup = c->worker_common.cleanup * EV_SECOND;
	u->next = w->setups;
	w->setups = u;
	return u;
}

void
setup_unref(struct setup *u)
{
	struct setup **link;

	if (u == NULL || --u->refs != 0)
		return;
	for (link = &u->worker->setups; *link != u; link = &(*link)->next)
		continue;
	*link = u->next;
	for (size_t i = 0; i < u->nrelays; i++) {
		forward_free(&u->relays[i]);
		if (u->relays[i].server != u->server)
			tls_server_unref(u->relays[i].server);
		if (u->relays[i].cell != &u->worker->nowhere)
			board_drop(u->relays[i].cell);
	}
	free(u->relays);
	pick_free(u->pick);
	config_tls_free(u->config, u->server, u->clients);
	keyproc_unref(u->keys);
	compiled_unref(u->compiled);
	free(u);
}

struct board_cell *
setup_hold(struct setup *u, uint32_t kind, const char *identity)
{
	struct own *own = u->worker->own;

	return board_hold(own_board(own), own_column(own), kind, identity);
}

static struct board_cell *
setup_cell(struct setup *u, const struct config_remote *r)
{
	struct own *own = u->worker->own;

	return config_cell(r, own_board(own), own_column(own));
}

/* ---- relays */

static bool
haproxy_used(const struct config *config)
{
	for (size_t i = 0; i < config->nremotes; i++)
		if (config->remotes[i].haproxy != HAPROXY_NO)
			return true;
	return false;
}

/* As tcprelay's own language has it: all of them alike. */
static void
relay_init(struct setup *u, struct relay *r, const struct listener_conf *l)
{
	const struct config *config = u->config;
	struct board_cell *cell = own_listener(u->worker->own, l);

	r->policy = &among_policy;
	r->cell = cell != NULL ? cell : &u->worker->nowhere;
	r->server = u->server;
	r->idle = config->idle * EV_SECOND;
	r->connect = config->connect * EV_SECOND;
	r->handshake = config->handshake * EV_SECOND;
	r->facts = config->log_connections || haproxy_used(config);
	r->local = true;
	r->dscp = l == NULL ? -1 : (int8_t)l->dscp;
}

static int
setup_relays(struct setup *u)
{
	const struct spawnd_conf *c = &u->compiled->broker;

	u->relays = calloc(c->nlisteners + 1, sizeof(*u->relays));
	if (u->relays == NULL)
		return -1;
	/* the one more is for what inetd gave us */
	for (; u->nrelays <= c->nlisteners; u->nrelays++)
		relay_init(u, &u->relays[u->nrelays], u->nrelays <
		    c->nlisteners ? &c->listeners[u->nrelays] : NULL);
	for (size_t i = 0; i < u->config->nrelays; i++)
		if (forward_relay(u, &u->config->relays[i]) == -1)
			return -1;
	return 0;
}

/* -1: reasons in diag. */
static int
setup_servers(struct setup *u, struct diag *diag)
{
	int status = 0;

	for (size_t i = 0; i < u->config->nrelays; i++) {
		const struct config_relay *c = &u->config->relays[i];

		if (config_tls_relay(u->compiled, c, diag, u->keys,
		    &setup_relay(u, c->listener)->server) == -1)
			status = -1;
	}
	return status;
}

static void
setup_tickets(struct setup *u)
{
	const struct worker *w = u->worker;

	if (u->server != NULL)
		tls_server_tickets(u->server, w->tickets, w->ntickets);
	for (size_t i = 0; i < u->nrelays; i++) {
		struct tls_server *server = u->relays[i].server;

		if (server != NULL && server != u->server)
			tls_server_tickets(server, w->tickets, w->ntickets);
	}
}

struct relay *
setup_relay(const struct setup *u, uint32_t index)
{
	return &u->relays[index < u->nrelays ? index : u->nrelays - 1];
}

static int
setup_pick(struct setup *u)
{
	const struct config *config = u->config;
	struct pick_entry *entries = calloc(config->nremotes + 1,
	    sizeof(*entries));

	if (entries == NULL)
		return -1;
	for (size_t i = 0; i < config->nremotes; i++)
		entries[i] = (struct pick_entry){
			.identity = config->remotes[i].identity,
			.weight = config->remotes[i].weight,
			.cell = setup_cell(u, &config->remotes[i])
		};
	u->pick = pick_new(entries, config->nremotes, config->rebalance,
	    config->dead * EV_SECOND);
	free(entries);
	return u->pick == NULL ? -1 : 0;
}

/* relayd's words. All that is asked are signatures. */
static void
key_late(uint64_t number)
{
	log_warn("privenc poll timeout, keyop #%" PRIu64, number);
}

/* false: errno. */
static bool
setup_keys(struct worker *w, struct setup *u)
{
	if (u->compiled->keyed && config_keys_apart(u->compiled)) {
		if ((u->keys = keyproc_new(w->ev)) == NULL)
			return false;
		if (u->config->nrelays > 0)
			keyproc_patience(u->keys, KEY_PATIENCE, key_late);
		return true;
	}
	/* of a single process the compiler has said it */
	if (config_keys_apart(u->compiled) && !w->warned_keys &&
	    !u->compiled->broker.single) {
		w->warned_keys = true;
		log_warn("key process: needs workers of this program, keys "
		    "stay in the worker");
	}
	return true;
}

/* ---- what is kept for the next burst */

/*
 * What the master may give us (5.3) takes two descriptors each, and ten are
 * for everything else. Where it does not say: half of all. Relays take as
 * many sessions as there are descriptors, so that this would leave none: then
 * what counts is how many there are, and an eighth is kept for more of them.
 */
bool
worker_spare(const struct worker *w, unsigned pipes)
{
	uint64_t limit = (uint64_t)ev_limit(w->ev);
	uint64_t most = atomic_load_explicit(&w->seat->max,
	    memory_order_relaxed);

	if (most == 0)
		most = limit / 4;
	if (w->relays && 4 * most >= limit) {
		most = own_use(w->own);
		limit -= limit / 8;
	}
	return 2 * most + 10 + 2 * (uint64_t)pipes <= limit;
}

static void trim_cb(void *);

void
worker_untidy(struct worker *w)
{
	if (!ev_timer_pending(&w->trim))
		ev_timer_set(w->ev, &w->trim, w->now->cleanup, trim_cb, w);
}

static void
trim_cb(void *ctx)
{
	struct worker *w = ctx;
	bool left = buf_pool_trim(w->env.pool);

	left |= splice_pool_trim(w->pipes);
	if (w->handshakes)
		tls_trim();
	w->handshakes = false;
	if (left)
		worker_untidy(w);
}

/* ---- operations */

static struct worker *
worker_open(struct ev *ev, struct own *own)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->ev = ev;
	w->own = own;
	w->env.pool = buf_pool_new();
	w->env.raw_size = WORKER_RAW;
	w->env.raw = malloc(WORKER_RAW);
	w->env.gather_size = WORKER_GATHER;
	w->env.gather = malloc(WORKER_GATHER);
	w->copy = malloc(WORKER_HEAD + WORKER_COPY);
	w->pipes = splice_pool_new();
	if (w->env.pool == NULL || w->env.raw == NULL ||
	    w->env.gather == NULL || w->copy == NULL) {
		log_err("out of memory");
		exit(EX_OSERR);
	}
	return w;
}

static void
worker_forget(struct worker *w)
{
	setup_unref(w->next);
	w->next = NULL;
}

static int
worker_prepare(struct worker *w, struct compiled *c, struct diag *diag)
{
	struct setup *u = setup_new(w, c);

	worker_forget(w);
	if (u == NULL || !setup_keys(w, u) || setup_pick(u) == -1) {
		diag_fail(diag, NULL, EX_OSERR, "out of memory");
		setup_unref(u);
		return -1;
	}
	if (config_tls_build(c, diag, u->keys, &u->server,
	    &u->clients) == -1) {
		setup_unref(u);
		return -1;
	}
	if (setup_relays(u) == -1) {
		diag_fail(diag, NULL, EX_OSERR, "out of memory");
		setup_unref(u);
		return -1;
	}
	if (setup_servers(u, diag) == -1) {
		setup_unref(u);
		return -1;
	}
	if (w->ntickets != 0)
		setup_tickets(u);
	w->next = u;
	return 0;
}

static void
dump_log(const struct config *c)
{
	for (size_t i = 0; i < c->ndump; i++)
		log_debug(DEBUG_CONFIG, "%s", c->dump[i]);
}

static void
worker_commit(struct worker *w)
{
	struct setup *u = w->next, *former = w->now;

	if (u == NULL)
		return;
	w->next = NULL;
	w->now = u;
	w->relays = u->config->nrelays != 0;
	w->seat = board_seat(own_board(w->own), own_column(w->own));
	pick_adopt(u->pick, former == NULL ? NULL : former->pick);
	/* The master may have entered new rows since. */
	for (size_t i = 0; i < u->config->nremotes; i++) {
		struct board_cell *cell;

		if (pick_cell_private(u->pick, i) && (cell = setup_cell(u,
		    &u->config->remotes[i])) != NULL)
			pick_set_cell(u->pick, i, cell);
	}
	for (size_t i = 0; i < u->nrelays; i++)
		forward_rows(u, &u->relays[i]);
	dump_log(u->config);
	relaylog_launch(u->config);
	setup_unref(former);
}

/* Datagrams are for other programs; nothing can be configured that sends
 * them here. */
static void
worker_refuse(struct worker *w, const struct spawnd_conn *c)
{
	if (!w->warned_datagram)
		log_warn("datagrams cannot be relayed, closed");
	w->warned_datagram = true;
	net_close(c->fd);
	own_done(w->own, 1);
}

/* Its clients find that somebody is there, and nothing else. */
static bool
worker_disabled(struct worker *w, const struct spawnd_conn *c)
{
	const struct relay *r = setup_relay(w->now, c->listener);

	if (r->conf == NULL || !r->conf->disabled)
		return false;
	net_close(c->fd);
	own_done(w->own, 1);
	return true;
}

static void
worker_retire(struct worker *w)
{
	if (w->now->compiled->broker.single)
		return;		/* the compiler has warned about it */
	log_line("limit of %u sessions reached, retiring",
	    w->now->config->retire);
	own_retire(w->own);
}

static void
worker_conn(struct worker *w, const struct spawnd_conn *c, unsigned n)
{
	for (; n > 0; n--, c++) {
		if (c->type == SOCK_DGRAM) {
			worker_refuse(w, c);
			continue;
		}
		if (worker_disabled(w, c))
			continue;
		if (session_open(w, c) == -1) {
			own_return(w->own, c, SPAWND_RETURN_RESOURCES);
			continue;
		}
		if (w->counter == w->now->config->retire)
			worker_retire(w);
	}
}

static void
worker_tickets(struct worker *w, const struct ticket_key *keys, unsigned n)
{
	if (n > WORKER_TICKETS)
		n = WORKER_TICKETS;
	for (unsigned i = 0; i < n; i++) {
		memcpy(w->tickets[i].name, keys[i].name,
		    sizeof(keys[i].name));
		memcpy(w->tickets[i].key, keys[i].key, sizeof(keys[i].key));
		memcpy(w->tickets[i].auth, keys[i].auth,
		    sizeof(keys[i].auth));
	}
	w->ntickets = n;
	if (w->now != NULL)
		setup_tickets(w->now);
	if (w->next != NULL)
		setup_tickets(w->next);
}

/* Sessions that began with an older configuration need its keys, too. */
static void
worker_keys(struct worker *w, uint32_t generation, int fd)
{
	for (struct setup *u = w->setups; u != NULL; u = u->next)
		if (u->compiled->generation == generation &&
		    u->keys != NULL) {
			keyproc_attach(u->keys, fd);
			return;
		}
	net_close(fd);
}

static void
worker_drain(struct worker *w)
{
	/* Sessions go on to their end, whatever it takes (7.9). */
	(void)w;
}

static void
worker_status(struct worker *w)
{
	const struct config *config;

	if (w->now == NULL)
		return;
	config = w->now->config;
	for (size_t i = 0; i < config->nremotes; i++) {
		const struct config_remote *r = &config->remotes[i];
		const struct board_cell *cell = pick_cell(w->now->pick, i);
		const struct log_item items[] = {
			{ "destination", LOG_TEXT, r->text, 0 },
			{ "pool", LOG_TEXT, r->pool, 0 },
			{ "weight", LOG_NUMBER, NULL, r->weight },
			{ "state", LOG_TEXT, atomic_load_explicit(&cell->dead,
			    memory_order_relaxed) ? "dead" : "up", 0 },
			{ "sessions", LOG_NUMBER, NULL, atomic_load_explicit(
			    &cell->use, memory_order_relaxed) },
			{ "total", LOG_NUMBER, NULL, board_get(&cell->total) },
			{ "failures", LOG_NUMBER, NULL,
			    board_get(&cell->failures) },
			{ "bytes-in", LOG_NUMBER, NULL, board_get(&cell->in) },
			{ "bytes-out", LOG_NUMBER, NULL,
			    board_get(&cell->out) },
		};

		log_items("status", "status", items,
		    sizeof(items) / sizeof(items[0]));
	}
}

static void
worker_kill(struct worker *w)
{
	while (w->sessions != NULL)
		session_close(w->sessions, END_KILLED);
}

static void
worker_close(struct worker *w)
{
	worker_kill(w);
	session_free_all(w);
	told_close(w);
	ev_timer_stop(w->ev, &w->trim);
	worker_forget(w);
	setup_unref(w->now);
	splice_pool_free(w->pipes);
	buf_pool_free(w->env.pool);
	free(w->env.raw);
	free(w->env.gather);
	free(w->copy);
	free(w);
}

const struct worker_ops relay_worker_ops = {
	.open = worker_open,
	.prepare = worker_prepare,
	.commit = worker_commit,
	.forget = worker_forget,
	.conn = worker_conn,
	.tickets = worker_tickets,
	.keys = worker_keys,
	.drain = worker_drain,
	.status = worker_status,
	.tell = told_take,
	.kill = worker_kill,
	.close = worker_close,
};
