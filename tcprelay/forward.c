/*
 * relayd's way to a server: an original destination, the first table with a
 * usable host, or a fixed address; and what is done when that one cannot be
 * reached. Health and orders are read from the board when a host is chosen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/siphash.h"
#include "session.h"

#define SHORTAGES	5	/* waits of a second */

struct forward_host {
	struct board_cell		*row;	/* held; NULL: none */
	const struct board_health	*health;
	const struct board_switch	*orders;
};

struct forward_table {
	const struct config_table	*conf;
	struct board_cell		*row;	/* held; NULL: none */
	const struct board_switch	*orders;
	struct forward_host		*hosts;
	size_t				 next;	/* of roundrobin */
};

/* ---- made with the setup */

static void
host_rows(struct setup *u, struct forward_host *h,
    const struct config_remote *r)
{
	struct board *board = own_board(u->worker->own);

	if (h->row != NULL || r->health == NULL)
		return;
	h->row = setup_hold(u, BOARD_HOST, r->health);
	if (h->row == NULL)
		return;
	h->health = board_health(board, BOARD_HOST, r->health);
	h->orders = board_switch(board, BOARD_HOST, r->health);
}

static void
table_rows(struct setup *u, struct forward_table *t)
{
	const struct config_table *conf = t->conf;

	if (t->row == NULL && conf->identity != NULL)
		t->row = setup_hold(u, BOARD_TABLE, conf->identity);
	if (t->row != NULL && t->orders == NULL)
		t->orders = board_switch(own_board(u->worker->own),
		    BOARD_TABLE, conf->identity);
	for (uint32_t i = 0; i < conf->n; i++)
		host_rows(u, &t->hosts[i],
		    &u->config->remotes[conf->first + i]);
}

void
forward_rows(struct setup *u, struct relay *r)
{
	for (size_t i = 0; r->conf != NULL && i < r->conf->ntables; i++)
		table_rows(u, &r->tables[i]);
}

void
forward_free(struct relay *r)
{
	for (size_t i = 0; r->tables != NULL && i < r->conf->ntables; i++) {
		struct forward_table *t = &r->tables[i];

		for (uint32_t k = 0; t->hosts != NULL && k < t->conf->n; k++)
			if (t->hosts[k].row != NULL)
				board_drop(t->hosts[k].row);
		if (t->row != NULL)
			board_drop(t->row);
		free(t->hosts);
	}
	free(r->tables);
	free(r->states);
	r->tables = NULL;
	r->states = NULL;
}

static int
forward_tables(struct setup *u, struct relay *r)
{
	const struct config_relay *conf = r->conf;

	r->tables = calloc(conf->ntables + 1, sizeof(*r->tables));
	r->states = calloc(conf->ntables + 1, sizeof(*r->states));
	if (r->tables == NULL || r->states == NULL)
		return -1;
	for (size_t i = 0; i < conf->ntables; i++) {
		r->tables[i].conf = &conf->tables[i];
		r->tables[i].hosts = calloc(conf->tables[i].n + 1,
		    sizeof(*r->tables[i].hosts));
		if (r->tables[i].hosts == NULL)
			return -1;
	}
	forward_rows(u, r);
	return 0;
}

static bool
proxies(const struct config *c, int32_t remote)
{
	return remote != -1 && c->remotes[remote].haproxy != HAPROXY_NO;
}

/* Where the client arrived is asked for only if somebody wants to know: for
 * itself, or for a PROXY header. */
static bool
forward_local(const struct config *c, const struct config_relay *r)
{
	for (size_t i = 0; i < r->ntables; i++)
		if (r->tables[i].n != 0 &&
		    proxies(c, (int32_t)r->tables[i].first))
			return true;
	return r->original == ORIGINAL_LOCAL || proxies(c, r->address) ||
	    proxies(c, r->template);
}

int
forward_relay(struct setup *u, const struct config_relay *conf)
{
	struct relay *r = setup_relay(u, conf->listener);

	r->conf = conf;
	r->policy = &forward_policy;
	r->idle = r->connect = r->handshake = conf->timeout * EV_SECOND;
	r->facts = true;
	r->local = forward_local(u->config, conf);
	r->dscp = -1;
	r->socket = conf->tcp.socket;
	return forward_tables(u, r);
}

/* ---- who can be chosen */

static bool
host_usable(const struct forward_table *t, const struct forward_host *h,
    const struct config_remote *r)
{
	if (t->conf->check && (h->health == NULL || atomic_load_explicit(
	    &h->health->state, memory_order_relaxed) <= 0))
		return false;
	return board_on(h->orders, r->disabled);
}

/* One bit for each host. */
static uint32_t
table_usable(const struct session *s, const struct forward_table *t)
{
	const struct config_remote *r =
	    &s->setup->config->remotes[t->conf->first];
	uint32_t usable = 0;

	if (!board_on(t->orders, t->conf->disabled))
		return 0;
	for (uint32_t i = 0; i < t->conf->n && i < ROUTE_HOSTS; i++)
		if (host_usable(t, &t->hosts[i], &r[i]))
			usable |= UINT32_C(1) << i;
	return usable;
}

/* ---- where the client wanted to go */

/*
 * On a wildcard listener the address does not tell whether a connection was
 * diverted; whether the address is this machine's does: only then a socket
 * can be bound to it.
 */
static bool
is_ours(const struct net_name *name)
{
	struct net_addr a;
	int fd;
	bool ours;

	net_name_addr(name, &a);
	net_set_port(&a, 0);
	fd = net_socket(a.sa.sa_family, SOCK_DGRAM, 0);
	if (fd == -1)
		return true;
	ours = bind(fd, &a.sa, a.len) == 0;
	net_close(fd);
	return ours;
}

/* Would a connection to it come back to this relay? */
static bool
is_listener(const struct relay *r, const struct net_name *name)
{
	const struct net_addr *listen = &r->conf->listen;
	struct net_name own;

	net_name_set(&own, &listen->sa, listen->len);
	if (own.family != name->family || own.port != name->port)
		return false;
	if (net_is_any(listen))
		return is_ours(name);
	return memcmp(own.ip, name->ip, sizeof(own.ip)) == 0;
}

/* false: nobody knows. */
static bool
original_find(struct session *s, struct net_name *name)
{
	struct net_addr a;

	switch (s->relay->conf->original) {
	case ORIGINAL_NO:
		return false;
	case ORIGINAL_LOCAL:
		*name = s->facts->dst;
		break;
	case ORIGINAL_NAT:
		if (net_original(s->stream[CLIENT].fd, &a) == -1)
			return false;
		net_name_set(name, &a.sa, a.len);
		break;
	}
	return name->family != 0 && !is_listener(s->relay, name);
}

/* ---- choosing */

/* Good enough for spreading, and no call of the system. */
static uint32_t
draw(void *ctx)
{
	uint64_t *state = ctx, z;

	if (*state == 0 && getentropy(state, sizeof(*state)) == -1)
		*state = (uintptr_t)ctx;
	z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) >> 32);
}

static uint64_t
hash_of(const struct session *s, enum balance_mode mode)
{
	const struct relay *r = s->relay;
	struct net_name listen;
	struct siphash h;

	balance_hash_begin(&h, r->conf->key_given ? r->conf->key :
	    session_worker(s)->key);
	net_name_set(&listen, &r->conf->listen.sa, r->conf->listen.len);
	return balance_hash(&h, mode, &s->facts->src, &listen);
}

static bool
choose_host(struct session *s, size_t table, uint32_t usable)
{
	struct forward_table *t = &s->relay->tables[table];
	struct route *route = &s->forward->route;
	enum balance_mode mode = t->conf->mode;
	struct balance_ask ask = { .mode = mode, .index = &t->next,
	    .draw = draw, .ctx = &session_worker(s)->random };

	if (balance_hashes(mode))
		ask.hash = hash_of(s, mode);
	if (!route_host(route, &ask, t->conf->n, usable))
		return false;
	route->table = (uint16_t)table;
	s->remote = (int32_t)(t->conf->first + route->host);
	route->left = s->setup->config->remotes[s->remote].retry;
	return true;
}

/* The first table with a usable host is all that matters of them. */
static size_t
tables_look(const struct session *s, uint32_t *usable)
{
	const struct relay *r = s->relay;
	size_t n = r->conf->ntables;

	*usable = 0;
	for (size_t i = 0; i < n; i++) {
		if (*usable == 0)
			*usable = table_usable(s, &r->tables[i]);
		r->states[i].check = true;	/* orders count, too */
		r->states[i].up = *usable != 0;
		if (*usable != 0)
			return i + 1;
	}
	return n;
}

static bool
choose_first(struct session *s)
{
	const struct config_relay *conf = s->relay->conf;
	struct forward *f = s->forward;
	struct balance_targets targets = { .tables = s->relay->states,
	    .original = conf->template != -1 && original_find(s, &f->server),
	    .address = conf->address != -1 };
	uint32_t usable = 0;
	size_t table;

	if (!targets.original)
		targets.ntables = tables_look(s, &usable);
	switch (balance_target(&targets, &table)) {
	case BALANCE_TABLE:
		return choose_host(s, table, usable);
	case BALANCE_ORIGINAL:
		s->remote = conf->template;
		f->made = true;
		route_address(&f->route, BALANCE_ORIGINAL, conf->retry);
		return true;
	case BALANCE_ADDRESS:
		s->remote = conf->address;
		route_address(&f->route, BALANCE_ADDRESS, conf->retry);
		return true;
	case BALANCE_FAILED:
		break;
	}
	if (conf->original == ORIGINAL_NAT && conf->ntables == 0)
		session_fail(s, REASON_NAT_LOOKUP, 0, NULL);
	return false;
}

/* The address of what was chosen. false: closed. */
static bool
choose_address(struct session *s)
{
	const struct config_relay *conf = s->relay->conf;
	struct forward *f = s->forward;
	const struct config_remote *r = &s->setup->config->remotes[s->remote];

	if (f->route.target != BALANCE_ORIGINAL)
		net_name_set(&f->server, &r->addr.sa, r->addr.len);
	if (conf->map != TARGET_AS_IS) {
		struct net_addr a;

		net_name_addr(&f->server, &a);
		if (!target_map(&a, conf->map, &conf->prefix)) {
			session_fail(s, REASON_FAILED, 0, NULL);
			return false;
		}
		net_name_set(&f->server, &a.sa, a.len);
		f->made = true;
	}
	if (is_listener(s->relay, &f->server)) {
		log_debug(DEBUG_NET, "relay_session: session %ju: looping",
		    (uintmax_t)s->facts->counter);
		session_fail(s, REASON_ABORTED, 0, NULL);
		return false;
	}
	return true;
}

/* The client's own address, by a socket that only the parent can make. */
static enum choice
choose_source(struct session *s)
{
	struct forward *f = s->forward;
	struct tell_bind ask = { .token = s->facts->counter };

	if (!s->relay->conf->transparent || f->bound != -1)
		return CHOICE_MADE;
	if (f->server.family != s->facts->src.family) {
		session_fail(s, REASON_BINDANY, 0, NULL);
		return CHOICE_NONE;
	}
	net_name_addr(&s->facts->src, &ask.from);
	net_set_port(&ask.from, 0);
	session_set(s, SESSION_BIND);
	own_tell(session_worker(s)->own, ROLE_PARENT, 0, TELL_BIND, &ask,
	    sizeof(ask), -1);
	return CHOICE_LATER;
}

static void
release(struct session *s)
{
	if (s->remote != -1)
		pick_release(s->setup->pick, &s->way, (size_t)s->remote);
	s->remote = -1;
}

static enum choice
forward_choose(struct session *s)
{
	struct forward *f = s->forward;
	struct route *route = &f->route;
	uint64_t now = ev_now(session_worker(s)->ev);
	bool good = true;

	if (f->connect_by == 0)
		f->connect_by = now + s->relay->connect;
	if (route->again)
		route->again = false;
	else {
		good = route->chosen ? choose_host(s, route->table,
		    table_usable(s, &s->relay->tables[route->table])) :
		    choose_first(s);
		if (!good) {
			if (s->state != SESSION_CLOSED)
				session_fail(s, REASON_FAILED, 0, NULL);
			return CHOICE_NONE;
		}
		pick_take(s->setup->pick, (size_t)s->remote);
		if (!choose_address(s))
			return CHOICE_NONE;
		session_phase(s, WHY_CHOSEN);
	}
	return choose_source(s);
}

void
forward_bound(struct worker *w, uint64_t token, int fd, int error)
{
	struct session *s = w->sessions;

	/* It asked not long ago: the newest are the first. */
	while (s != NULL && (s->facts == NULL || s->facts->counter != token))
		s = s->next;
	if (s == NULL || s->state != SESSION_BIND) {
		if (fd != -1)
			net_close(fd);
		return;
	}
	if (fd == -1 || net_nonblock(fd) == -1) {
		if (fd != -1)
			net_close(fd);
		session_fail(s, REASON_BINDANY, error, NULL);
		return;
	}
	s->forward->bound = fd;
	s->forward->route.again = true;
	connect_start(s, 0);
	session_settle(s);
}

/* ---- one could not be reached */

static enum relay_reason
reason_of(const struct session *s, int error, bool at_once)
{
	if (s->state == SESSION_REMOTE_PROXY)
		return REASON_PROXY_HEADER;
	if (s->state == SESSION_REMOTE_HANDSHAKE || error == 0)
		return REASON_TLS_ERROR;
	return at_once ? REASON_FAILED : REASON_SOCKET_ERROR;
}

static void
forward_over_time(struct session *s)
{
	enum relay_reason reason = REASON_CONNECT_TIMEOUT;

	if (s->state == SESSION_REMOTE_HANDSHAKE)
		reason = REASON_TLS_TIMEOUT;
	else if (s->state == SESSION_SHORT)
		reason = REASON_NO_DESCRIPTORS;
	session_fail(s, reason, 0, NULL);
}

static void
forward_failed(struct session *s, int error, const char *reason,
    bool at_once)
{
	struct forward *f = s->forward;
	struct worker *w = session_worker(s);
	uint32_t usable = 0;

	board_add(&pick_cell(s->setup->pick, (size_t)s->remote)->failures, 1);
	log_debug(DEBUG_NET, "session %ju: %s: %s",
	    (uintmax_t)s->facts->counter,
	    s->setup->config->remotes[s->remote].text, reason);
	if (ev_now(w->ev) >= f->connect_by) {
		forward_over_time(s);
		return;
	}
	if (f->route.target == BALANCE_TABLE)
		usable = table_usable(s, &s->relay->tables[f->route.table]);
	switch (route_failed(&f->route, s->relay->conf->tcp.failover, at_once,
	    usable)) {
	case ROUTE_SAME:
		break;
	case ROUTE_OTHER:
		release(s);
		f->made = false;
		break;
	case ROUTE_OVER:
		session_fail(s, reason_of(s, error, at_once), error,
		    error == 0 ? stream_tls_reason(&s->stream[REMOTE]) :
		    NULL);
		return;
	}
	for (unsigned i = WHY_CONNECTED; i <= WHY_SERVER_HANDSHAKE; i++)
		f->phase[i] = 0;
	connect_drop(s);
}

static void
forward_refused(struct session *s, int error)
{
	struct forward *f = s->forward;

	if (s->state == SESSION_REMOTE_HANDSHAKE) {
		session_fail(s, REASON_TLS_CONNECT, error, NULL);
		return;
	}
	if (f->shortages++ == SHORTAGES) {
		session_fail(s, REASON_NO_DESCRIPTORS, 0, NULL);
		return;
	}
	own_rest(session_worker(s)->own, EV_SECOND);
	connect_drop(s);
	f->route.again = true;
	session_set(s, SESSION_SHORT);
}

/* A time is over that is not the connection's: bind, or a shortage. */
void
forward_late(struct session *s)
{
	if (s->state == SESSION_BIND)
		session_fail(s, REASON_BINDANY, 0, NULL);
	else if (ev_now(session_worker(s)->ev) >= s->forward->connect_by)
		forward_over_time(s);
	else
		connect_start(s, 0);
}

/* ---- connected, and after that */

static void
forward_connected(struct session *s)
{
	const struct config_tcp *tcp = &s->relay->conf->tcp;

	(void)pick_succeeded(s->setup->pick, (size_t)s->remote);
	for (enum side side = CLIENT; side < SIDES; side++)
		flow_limit(&s->flow[side], tcp->splice,
		    tcp->socket.buffer);
}

int
forward_options(const struct session *s, int family, int fd)
{
	return net_tcp(fd, family, &s->relay->socket, NULL);
}

void
forward_moved(struct session *s, enum side side)
{
	struct forward *f = s->forward;
	const struct flow *flow = &s->flow[side];
	uint64_t written;

	if (flow_empty(flow) && !s->stream[side_other(side)].blocked) {
		f->stalled[side] = 0;
		return;
	}
	written = flow->bytes - flow_held(flow);
	if (f->stalled[side] == 0 || written != f->written[side]) {
		f->written[side] = written;
		f->stalled[side] = ev_now(session_worker(s)->ev);
	}
}

uint64_t
forward_due(const struct session *s)
{
	const struct forward *f = s->forward;
	uint64_t due = UINT64_MAX;

	for (enum side side = CLIENT; side < SIDES; side++)
		if (f->stalled[side] != 0 &&
		    f->stalled[side] + s->relay->idle < due)
			due = f->stalled[side] + s->relay->idle;
	return due;
}

/* ---- the end */

static const uint8_t reasons[ENDS] = {
	[END_DONE] = REASON_DONE,
	[END_CLIENT] = REASON_DONE,
	[END_REMOTE] = REASON_DONE,
	[END_IDLE] = REASON_BUFFER_TIMEOUT,
	[END_NO_DESTINATION] = REASON_FAILED,
	[END_HANDSHAKE] = REASON_TLS_ERROR,
	[END_HANDSHAKE_TIMEOUT] = REASON_TLS_TIMEOUT,
	[END_PROXY_HEADER] = REASON_ABORTED,
	[END_MAVIS] = REASON_ABORTED,
	[END_SESSION_TIMEOUT] = REASON_BUFFER_TIMEOUT,
	[END_LOCAL] = REASON_OUT_OF_OUTPUT,
	[END_KILLED] = REASON_NONE,
};

void
forward_end(struct session *s, enum session_end end)
{
	struct forward *f = s->forward;

	if (f->end.reason == REASON_NONE)
		f->end.reason = reasons[end];
	if (f->end.reason == REASON_DONE && f->late)
		f->end.reason = REASON_LAST_WRITE;
	session_phase(s, WHY_END);
}

static void
forward_over(struct session *s)
{
	release(s);
	if (s->forward->bound != -1)
		net_close(s->forward->bound);
	s->forward->bound = -1;
}

const struct policy forward_policy = {
	.choose = forward_choose,
	.failed = forward_failed,
	.refused = forward_refused,
	.connected = forward_connected,
	.over = forward_over,
};
