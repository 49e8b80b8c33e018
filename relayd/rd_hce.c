/*
 * The host check engine's process: what is checked comes from the
 * configuration, what is found goes onto the board (for workers) and to pfe
 * (for display). It decides about nobody, and runs no script itself.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../tcprelay/check.h"
#include "rd_board.h"
#include "rd_engine.h"
#include "rd_role.h"

#include "features.h"

/* What the board has of a host that is checked: its row is held in the column
 * of health. NULL: it is not on the board. */
struct cell {
	struct board_health		*health;
	const struct board_switch	*order;
};

struct hce {
	struct role		*role;
	struct ev		*ev;
	struct check		*check;		/* NULL: no configuration yet */
	struct compiled		*conf;		/* what it checks, ours */
	int			 sockets[CHECK_SOCKETS];
	int			 sockets_error;	/* errno, if one is missing */
	struct cell		*cells;		/* by host id - 1; ours */
	size_t			 ncells;
	const struct board_head	*board;		/* that they are of */
	uint32_t		 salt;		/* of the numbers of scripts */
	bool			 loud;
};

static_assert((int)CHECK_NONE == (int)RD_CHECK_NONE &&
    (int)CHECK_ICMP == (int)RD_CHECK_ICMP &&
    (int)CHECK_TCP == (int)RD_CHECK_TCP &&
    (int)CHECK_HTTP_CODE == (int)RD_CHECK_HTTP_CODE &&
    (int)CHECK_HTTP_DIGEST == (int)RD_CHECK_HTTP_DIGEST &&
    (int)CHECK_SEND == (int)RD_CHECK_SEND &&
    (int)CHECK_BINARY == (int)RD_CHECK_BINARY &&
    (int)CHECK_SCRIPT == (int)RD_CHECK_SCRIPT, "kinds of checks");

/* ---- the board ---- */

static void
cells_drop(struct cell *cells, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (cells[i].health != NULL)
			board_drop((void *)cells[i].health);
	free(cells);
}

static struct cell
cell_hold(struct board *b, const struct rd_conf *conf,
    const struct rd_table *t, const struct rd_host *host)
{
	char name[BOARD_NAME];
	struct cell cell = { NULL, NULL };

	rd_board_host(conf, t, host, name);
	cell.health = (void *)board_hold(b, board_check(b), BOARD_HOST, name);
	if (cell.health != NULL)
		cell.order = board_switch(b, BOARD_HOST, name);
	return cell;
}

/* Rows of hosts that go on being checked are held without a gap: nobody else
 * gets them. */
static int
cells_take(struct hce *h, const struct rd_conf *conf)
{
	struct board *b = role_board(h->role);
	struct cell *cells = calloc(conf->nhosts + 1, sizeof *cells);

	if (cells == NULL)
		return -1;
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		if (t->check.kind == RD_CHECK_NONE)
			continue;
		for (size_t k = 0; k < t->nhosts; k++)
			cells[t->hosts[k].id - 1] = cell_hold(b, conf, t,
			    &t->hosts[k]);
	}
	/* What was held on another board is gone with it. */
	if (h->board == b->head)
		cells_drop(h->cells, h->ncells);
	else
		free(h->cells);
	h->cells = cells;
	h->ncells = conf->nhosts;
	h->board = b->head;
	return 0;
}

static struct cell
cell_find(struct hce *h, uint32_t id)
{
	if ((role_board(h->role)->head != h->board &&
	    cells_take(h, rd_conf_of(h->conf)) == -1) ||
	    id == 0 || id > h->ncells)
		return (struct cell){ NULL, NULL };
	return h->cells[id - 1];
}

static void
cell_write(struct board_health *cell, const struct host *host)
{
	if (atomic_load_explicit(&cell->state, memory_order_relaxed) !=
	    (int32_t)host->state)
		atomic_store_explicit(&cell->changed, (uint64_t)time(NULL),
		    memory_order_relaxed);
	atomic_store_explicit(&cell->error, (uint32_t)host->error,
	    memory_order_relaxed);
	atomic_store_explicit(&cell->left, (uint32_t)host->left,
	    memory_order_relaxed);
	atomic_store_explicit(&cell->code, (uint32_t)host->code,
	    memory_order_relaxed);
	atomic_store_explicit(&cell->checks, host->checks,
	    memory_order_relaxed);
	atomic_store_explicit(&cell->ups, host->ups, memory_order_relaxed);
	atomic_store_explicit(&cell->state, (int32_t)host->state,
	    memory_order_release);
}

/* What an engine before this one found; a host without a row, or what no
 * engine can have written there, is unknown. */
static struct host
cell_read(const struct board_health *cell)
{
	struct host host = { .state = HOST_UNKNOWN };
	int32_t state;

	if (cell == NULL)
		return host;
	state = atomic_load_explicit(&cell->state, memory_order_acquire);
	host.error = (enum host_error)atomic_load_explicit(&cell->error,
	    memory_order_relaxed);
	host.left = atomic_load_explicit(&cell->left, memory_order_relaxed);
	host.code = atomic_load_explicit(&cell->code, memory_order_relaxed);
	host.checks = board_get(&cell->checks);
	host.ups = board_get(&cell->ups);
	if (state < HOST_DOWN || state > HOST_UP ||
	    (unsigned)host.error >= HOST_ERRORS || host.ups > host.checks)
		return (struct host){ .state = HOST_UNKNOWN };
	host.state = (enum host_state)state;
	return host;
}

/* ---- what the engine tells ---- */

static void
status_cb(void *ctx, const struct check_status *s)
{
	struct hce *h = ctx;
	struct board_health *cell = cell_find(h, s->id).health;
	struct rd_tell_host tell = {
		.host = s->id, .table = s->table,
		.old = (int32_t)s->old, .now = (int32_t)s->now.state,
		.error = (uint32_t)s->now.error, .left = s->now.left,
		.checks = s->now.checks, .ups = s->now.ups, .ms = s->ms
	};

	if (cell != NULL)
		cell_write(cell, &s->now);
	role_tell(h->role, RD_PFE, 0, RD_HOST, &tell, sizeof tell, -1);
	if (tell.old != tell.now)	/* who may not be there */
		role_tell(h->role, RD_SNMP, ROLE_ALL, RD_HOST, &tell,
		    sizeof tell, -1);
}

static void
round_cb(void *ctx)
{
	struct hce *h = ctx;

	role_tell(h->role, RD_PFE, 0, RD_SYNC, NULL, 0, -1);
}

/* Path and argument with a NUL each; false: there is no room for them. */
static bool
script_texts(struct rd_tell_script *tell, const struct check_script *s)
{
	size_t path = strlen(s->path) + 1;
	size_t argument = strlen(s->argument) + 1;

	if (path > sizeof tell->text ||
	    argument > sizeof tell->text - path)
		return false;
	memcpy(tell->text, s->path, path);
	memcpy(tell->text + path, s->argument, argument);
	return true;
}

/* The parent may still have an answer for a process before this one. */
static bool
script_cb(void *ctx, const struct check_script *s)
{
	struct hce *h = ctx;
	struct rd_tell_script tell = {
		.host = s->host, .run = s->run + h->salt,
		.timeout = s->timeout
	};

	if (!script_texts(&tell, s))
		return false;
	role_tell(h->role, RD_PARENT, 0, RD_SCRIPT, &tell, sizeof tell, -1);
	return true;
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	if (severity <= LOG_ERR)
		log_err("%s", text);
	else if (severity <= LOG_WARNING)
		log_warn("%s", text);
	else if (severity == LOG_DEBUG)
		log_debug_line("%s", text);
	else
		log_line("%s", text);
}

static const struct check_ops hce_checks = {
	.status = status_cb, .round = round_cb, .script = script_cb,
	.line = line_cb
};

/* ---- what is to be checked ---- */

static struct check_how
how_of(const struct rd_check *c)
{
	return (struct check_how){
		.kind = (enum check_kind)c->kind, .tls = c->tls,
		.path = c->path, .host = c->host, .code = c->code,
		.digest = c->digest, .send = c->send, .send_len = c->send_len,
		.expect = c->expect, .expect_len = c->expect_len
	};
}

/* Hosts have the port of their table. */
static struct net_addr
address_of(const struct rd_host *host, unsigned port)
{
	struct net_addr addr = host->addr;

	net_set_port(&addr, port);
	return addr;
}

/* A child's order is its parent's. */
static bool
host_disabled(struct hce *h, const struct rd_host *host)
{
	return !board_on(cell_find(h, host->parent != 0 ? host->parent :
	    host->id).order, false);
}

/* An engine before this one has left what it knew on the board. */
static const struct host *
host_known(struct hce *h, uint32_t id, struct arena *a)
{
	struct host *known;

	if (h->check != NULL)
		return NULL;
	known = arena_alloc(a, sizeof *known);
	*known = cell_read(cell_find(h, id).health);
	return known;
}

static const struct check_host *
hosts_of(struct hce *h, const struct rd_table *t, struct arena *a)
{
	struct check_host *hosts = arena_array(a, t->nhosts, sizeof *hosts);

	for (size_t i = 0; i < t->nhosts; i++) {
		const struct rd_host *from = &t->hosts[i];

		hosts[i] = (struct check_host){
			.id = from->id, .name = from->name,
			.addr = address_of(from, t->port),
			.by_name = from->by_name,
			.disabled = host_disabled(h, from),
			.retry = from->retry, .ttl = from->ttl,
			.parent = from->parent,
			.known = host_known(h, from->id, a)
		};
		net_set_port(&hosts[i].addr, t->port);
	}
	return hosts;
}

static void
table_fill(struct hce *h, const struct rd_conf *conf,
    const struct rd_table *from, struct check_table *t, struct arena *a)
{
	char name[BOARD_NAME];
	const struct board_switch *ordered = board_switch(
	    role_board(h->role), BOARD_TABLE,
	    rd_board_table(conf, from, name));

	*t = (struct check_table){
		.id = from->id, .name = from->name,
		.how = how_of(&from->check), .timeout = from->timeout,
		.every = from->skip + 1,
		.disabled = !board_on(ordered, from->disabled),
		.hosts = hosts_of(h, from, a), .nhosts = from->nhosts
	};
}

static unsigned
log_of(const struct hce *h, const struct rd_conf *conf)
{
	unsigned log = 0;

	if ((conf->log & RD_LOG_STATE) != 0)
		log |= CHECK_LOG_STATE;
	if ((conf->log & RD_LOG_CHECKS) != 0)
		log |= CHECK_LOG_HOSTS;
	if (h->loud)
		log |= CHECK_LOG_DEBUG;
	return log;
}

/* Tables without a check are none of its business. */
static int
adopt(struct hce *h, const struct rd_conf *conf, struct arena *a)
{
	struct check_table *tables = arena_array(a, conf->ntables,
	    sizeof *tables);
	struct check_conf c = {
		.tables = tables, .interval = conf->interval * 1000,
		.log = log_of(h, conf), .agent = SERVER_NAME
	};

	for (size_t i = 0; i < conf->ntables; i++)
		if (conf->tables[i]->check.kind != RD_CHECK_NONE)
			table_fill(h, conf, conf->tables[i],
			    &tables[c.ntables++], a);
	if (h->check == NULL &&
	    (h->check = check_new(h->ev, &hce_checks, h, h->sockets)) == NULL)
		return -1;
	check_adopt(h->check, &c);
	return 0;
}

/* Hosts that are there now and were not checked yet show that. */
static void
cells_settle(struct hce *h)
{
	for (size_t i = 0; i < h->ncells; i++) {
		const struct host *host = check_host(h->check,
		    (uint32_t)i + 1);

		if (h->cells[i].health != NULL && host != NULL)
			cell_write(h->cells[i].health, host);
	}
}

/* ---- raw sockets ---- */

static void
sockets_close(const int fds[static CHECK_SOCKETS])
{
	for (unsigned i = 0; i < CHECK_SOCKETS; i++)
		if (fds[i] != -1)
			close(fds[i]);
}

/* A host by ICMP of an address family without its sockets; NULL. */
static const struct rd_host *
host_lacking(const int fds[static CHECK_SOCKETS], const struct rd_conf *conf)
{
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		if (t->check.kind != RD_CHECK_ICMP)
			continue;
		for (size_t k = 0; k < t->nhosts; k++) {
			bool six = t->hosts[k].addr.sa.sa_family == AF_INET6;

			if (fds[six ? CHECK_SEND6 : CHECK_SEND4] == -1 ||
			    fds[six ? CHECK_RECV6 : CHECK_RECV4] == -1)
				return &t->hosts[k];
		}
	}
	return NULL;
}

/* Only who needs raw sockets is to miss them. */
bool
rd_hce_able(const struct rd_conf *conf, char *error, size_t size)
{
	const struct rd_host *host;
	int fds[CHECK_SOCKETS], why;

	why = check_open(fds) ? 0 : errno;
	host = why != 0 ? host_lacking(fds, conf) : NULL;
	sockets_close(fds);
	if (host == NULL)
		return true;
	snprintf(error, size, "%s:%u: host %s: no raw sockets for check "
	    "icmp: %s", host->place.file, host->place.line, host->name,
	    strerror(why));
	return false;
}

/* The parent has found them possible. A process that misses them all the same
 * is better than none: those hosts are down. */
static void
sockets_check(const struct hce *h, const struct rd_conf *conf)
{
	const struct rd_host *host;

	if (h->sockets_error != 0 &&
	    (host = host_lacking(h->sockets, conf)) != NULL)
		log_err("host %s: no raw sockets for check icmp: %s",
		    host->name, strerror(h->sockets_error));
}

/* ---- the process ---- */

static void *
hce_open(struct ev *ev, struct role *role)
{
	struct hce *h = calloc(1, sizeof *h);

	if (h == NULL || getentropy(&h->salt, sizeof h->salt) == -1) {
		log_crit("hce: %s", strerror(errno));
		free(h);
		return NULL;
	}
	h->ev = ev;
	h->role = role;
	if (!check_open(h->sockets))
		h->sockets_error = errno;
	return h;
}

static int
config_adopt(struct hce *h, struct compiled *c)
{
	struct rd_conf *conf = rd_conf_of(c);
	struct arena *a = arena_new();
	int adopted;

	if (a == NULL)
		return -1;
	if ((adopted = cells_take(h, conf)) == 0) {
		if (h->conf != NULL)
			compiled_unref(h->conf);
		h->conf = compiled_ref(c);
		adopted = adopt(h, conf, a);
	}
	arena_free(a);
	return adopted;
}

static int
hce_config(void *ctx, struct compiled *c, struct diag *diag)
{
	struct hce *h = ctx;

	sockets_check(h, rd_conf_of(c));
	h->loud = h->loud || log_debug_bits != 0;
	if (config_adopt(h, c) == -1) {
		diag_fail(diag, NULL, EXIT_FAILURE, "health checks: %s",
		    strerror(errno));
		return -1;
	}
	cells_settle(h);
	return 0;
}

/* ---- what is told ---- */

static void
script_done_told(struct hce *h, const struct tell *t)
{
	const struct rd_tell_done *done = t->data;

	check_script_done(h->check, done->host, done->run - h->salt,
	    done->up != 0);
}

/* Who ordered it has looked whether there is such a thing; that nothing is
 * checked there is no reason to complain. */
static void
switch_told(struct hce *h, const struct tell *t)
{
	const struct rd_tell_switch *s = t->data;

	if (s->what == RD_SWITCH_TABLE)
		(void)check_table_switch(h->check, s->id, s->on != 0);
	else
		(void)check_host_switch(h->check, s->id, s->on != 0);
}

static void
poll_told(struct hce *h, const struct tell *t)
{
	(void)t;
	check_poll(h->check);
}

static void
verbose_told(struct hce *h, const struct tell *t)
{
	h->loud = *(const uint32_t *)t->data != 0;
	check_log(h->check, log_of(h, rd_conf_of(h->conf)));
}

static const struct {
	unsigned	 type;
	void		(*told)(struct hce *, const struct tell *);
} tells[] = {
	{ RD_SCRIPT_DONE, script_done_told },
	{ RD_SWITCH, switch_told },
	{ RD_POLL, poll_told },
	{ TELL_VERBOSE, verbose_told },
};

static void
hce_tell(void *ctx, struct tell *t)
{
	struct hce *h = ctx;

	if (!rd_tell_good(t, RD_HCE) || h->check == NULL)
		return;
	for (size_t i = 0; i < sizeof tells / sizeof tells[0]; i++)
		if (tells[i].type == t->type)
			tells[i].told(h, t);
}

static void
hce_close(void *ctx)
{
	struct hce *h = ctx;

	if (h->check != NULL)
		check_free(h->check);	/* with the sockets */
	else
		sockets_close(h->sockets);
	if (h->board != NULL && role_board(h->role)->head == h->board)
		cells_drop(h->cells, h->ncells);
	else
		free(h->cells);
	if (h->conf != NULL)
		compiled_unref(h->conf);
	free(h);
}

const struct role_ops rd_hce_ops = {
	.open = hce_open, .config = hce_config, .tell = hce_tell,
	.close = hce_close
};
