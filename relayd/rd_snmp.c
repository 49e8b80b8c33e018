/*
 * The process `snmp': a subagent of an AgentX master (section 8 of the
 * runtime's specification), by a library that waits for the master. Nobody
 * waits for this process. The parent connects; whatever goes wrong is tried
 * again a little later.
 *
 * It knows what the board says, what workers answer, and of pfe the
 * statistics, so that it shows what relayctl does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "rd_ask.h"
#include "rd_engine.h"
#include "rd_snmp_lib.h"

#define RETRY		(3 * EV_SECOND)		/* section 9 */
#define PATIENCE	(10 * EV_SECOND)	/* with the parent */
#define LIST_AGE	(5 * EV_SECOND)		/* of sessions, at most */
#define LIST_WAIT	(2 * EV_SECOND)		/* for them; then it is the
						   old ones */
#define LIST_MOST	65536u

enum state { OFF, RETRYING, CONNECTING, UP };

/* One per process. */
struct snmp {
	struct ev		*ev;
	struct role		*role;
	bool			 library;	/* it is there */
	enum state		 state;
	int			 fd;		/* watched; -1 */
	char			*path, *context;	/* as configured */
	char			 why[RD_SNMP_REASON];	/* it failed last */
	struct ev_timer		 timer;		/* by state */
	struct ev_timer		 due;		/* of the library */
	struct rd_view		*view, *views;
	struct rd_stats		 stats;		/* as pfe has told */
	size_t			 room;		/* of their entries */
	/* sessions, as far as they are known */
	struct rd_asks		 asks;
	struct rd_mib_session	*list, *coming;
	size_t			 nlist, ncoming, list_room;
	uint64_t		 listed;	/* when; 0: never */
	struct rd_ask		*ask;		/* under way */
	struct ev_timer		 wait;		/* for it */
};

static void	 turn(struct snmp *);

/* ---- states ---- */

static void
list_end(struct snmp *s)
{
	rd_ask_cancel(s->ask);
	s->ask = NULL;
	free(s->coming);
	s->coming = NULL;
	s->ncoming = s->list_room = 0;
	ev_timer_stop(s->ev, &s->wait);
}

static void
retry_cb(void *ctx)
{
	struct snmp *s = ctx;

	s->state = CONNECTING;
	ev_timer_set(s->ev, &s->timer, PATIENCE, retry_cb, s);
	role_tell(s->role, RD_PARENT, 0, RD_AGENTX, NULL, 0, -1);
}

/* The session is over; said once, however often it is tried again. */
static void
session_failed(struct snmp *s, const char *why)
{
	if (s->state == OFF)
		return;
	if (strcmp(s->why, why) != 0)
		log_warn("agentx: %s: %s", s->path, why);
	snprintf(s->why, sizeof(s->why), "%s", why);
	list_end(s);
	ev_timer_stop(s->ev, &s->due);
	s->state = RETRYING;
	ev_timer_set(s->ev, &s->timer, RETRY, retry_cb, s);
}

static void
due_cb(void *ctx)
{
	turn(ctx);
}

/* The library does what there is to do. */
static void
turn(struct snmp *s)
{
	uint64_t ns;

	if (s->state != UP)
		return;
	ns = snmp_lib_turn();
	if (s->fd == -1)
		session_failed(s, snmp_lib_lost());
	else if (ns == 0)
		ev_timer_stop(s->ev, &s->due);
	else
		ev_timer_set(s->ev, &s->due, ns, due_cb, s);
}

static void
readable_cb(void *ctx, int fd)
{
	(void)fd;
	turn(ctx);
}

static const struct ev_ops fd_ops = { .readable = readable_cb,
    .error = readable_cb, .hangup = readable_cb };

/* ---- sessions ---- */

static void
list_row_cb(void *ctx, const struct tell_session *row)
{
	struct snmp *s = ctx;

	if (s->ncoming == s->list_room) {
		size_t room = s->list_room == 0 ? 256 : s->list_room * 2;
		struct rd_mib_session *more = room > LIST_MOST ? NULL :
		    realloc(s->coming, room * sizeof(*more));

		if (more == NULL)
			return;		/* as many as there is place for */
		s->coming = more;
		s->list_room = room;
	}
	s->coming[s->ncoming++].session = *row;
}

static void
list_go_on(struct snmp *s)
{
	ev_timer_stop(s->ev, &s->wait);
	s->listed = ev_now(s->ev);
	if (s->state == UP) {
		snmp_lib_go_on();
		turn(s);
	}
}

static void
list_over_cb(void *ctx)
{
	struct snmp *s = ctx;
	bool later = s->ask != NULL;	/* and not within the asking */

	s->ask = NULL;
	free(s->list);
	s->list = s->coming;
	s->nlist = s->ncoming;
	s->coming = NULL;
	s->ncoming = s->list_room = 0;
	rd_mib_sort(s->list, s->nlist);
	s->listed = ev_now(s->ev);
	if (later)
		list_go_on(s);
}

static const struct rd_ask_sink list_sink = { list_row_cb, list_over_cb };

/* The old ones will do: for another while, too. */
static void
wait_cb(void *ctx)
{
	list_go_on(ctx);
}

/* ---- what the library asks ---- */

static bool
ready_cb(void *ctx, const struct rd_oid *oid, bool next)
{
	struct snmp *s = ctx;

	if (!rd_mib_wants_sessions(oid, next) || (s->listed != 0 &&
	    ev_now(s->ev) - s->listed < LIST_AGE))
		return true;
	if (s->ask == NULL)
		s->ask = rd_ask_list(&s->asks, &list_sink, s);
	if (s->ask == NULL)
		return true;		/* there is nobody to ask */
	if (!ev_timer_pending(&s->wait))
		ev_timer_set(s->ev, &s->wait, LIST_WAIT, wait_cb, s);
	return false;
}

static void
look_cb(void *ctx, struct rd_mib *m)
{
	const struct snmp *s = ctx;

	*m = (struct rd_mib){ .view = s->view, .stats = &s->stats,
	    .sessions = s->list, .nsessions = s->nlist,
	    .aged = s->listed == 0 ? 0 : ev_now(s->ev) - s->listed };
}

static void
closing_cb(void *ctx, int fd)
{
	struct snmp *s = ctx;

	if (s->fd == fd)
		ev_del(s->ev, fd);
	s->fd = -1;
}

static const struct rd_snmp_ops ops = { ready_cb, look_cb, closing_cb };

/* ---- what is told ---- */

static void
told_socket(struct snmp *s, struct tell *t)
{
	char why[RD_SNMP_REASON];
	int32_t error;
	int fd = t->fd;

	memcpy(&error, t->data, sizeof(error));
	if (s->state != CONNECTING)
		return;
	if (fd == -1) {
		session_failed(s, error == 0 ? "no socket" :
		    strerror(error));
		return;
	}
	t->fd = -1;
	if (net_cloexec(fd, true) == -1) {
		session_failed(s, strerror(errno));
		net_close(fd);
		return;
	}
	if (!snmp_lib_connect(fd, s->context, why)) {
		session_failed(s, why);
		return;
	}
	s->fd = fd;
	if (ev_add(s->ev, fd, &fd_ops, s, EV_READ) == -1) {
		int saved = errno;

		s->fd = -1;
		snmp_lib_leave();
		session_failed(s, strerror(saved));
		return;
	}
	s->state = UP;
	s->why[0] = '\0';
	ev_timer_stop(s->ev, &s->timer);
	log_line("agentx: registered with %s", s->path);
	turn(s);
}

static void
told_host(struct snmp *s, struct tell *t)
{
	const struct rd_conf *conf = s->view->conf;
	const struct rd_table *table;
	struct rd_tell_host h;

	memcpy(&h, t->data, sizeof(h));
	if (s->state != UP || h.host == 0 || h.host > conf->nhosts ||
	    h.table == 0 || h.table > conf->ntables)
		return;
	table = conf->tables[h.table - 1];
	snmp_lib_trap(&(struct rd_snmp_trap){
	    .host = conf->hosts[h.host - 1]->name, .table = table->name,
	    .now = h.now, .old = h.old, .ups = (int64_t)h.ups,
	    .checks = (int64_t)h.checks, .up = rd_view_up(s->view, table),
	    .retry = conf->hosts[h.host - 1]->retry, .left = h.left },
	    s->context);
	turn(s);
}

/* What pfe counts, whole or, if it is long, in pieces. */
static void
told_stats(struct snmp *s, struct tell *t)
{
	const struct rd_stat *rows = (const void *)
	    ((const uint8_t *)t->data + sizeof(struct tell_list));
	struct tell_list list;
	size_t n;

	memcpy(&list, t->data, sizeof(list));
	if (list.token == 0)
		s->stats.n = 0;
	n = s->stats.n + list.n;
	if (n > s->room) {
		struct rd_stat *more = realloc(s->stats.entries,
		    n * sizeof(*more));

		if (more == NULL) {
			log_err("snmp: %s", strerror(errno));
			return;
		}
		s->stats.entries = more;
		s->room = n;
	}
	if (list.n > 0)
		memcpy(s->stats.entries + s->stats.n, rows,
		    list.n * sizeof(*rows));
	s->stats.n = n;
}

static void
told_list(struct snmp *s, struct tell *t)
{
	rd_ask_told(&s->asks, t);
}

static void (*const told[RD_TELLS])(struct snmp *, struct tell *) = {
	[RD_HOST] = told_host,
	[RD_STATS] = told_stats,
	[RD_AGENTX_SOCKET] = told_socket,
	[TELL_SESSION_LIST] = told_list,
};

static void
snmp_tell(void *ctx, struct tell *t)
{
	if (rd_tell_good(t, RD_SNMP) && told[t->type] != NULL)
		told[t->type](ctx, t);
}

/* ---- life ---- */

/* An agent without the library stays, and does nothing: it was said. */
static void *
snmp_open(struct ev *ev, struct role *role)
{
	struct snmp *s = calloc(1, sizeof(*s));
	char why[RD_SNMP_REASON];

	if (s == NULL) {
		log_crit("snmp: %s", strerror(ENOMEM));
		return NULL;
	}
	s->ev = ev;
	s->role = role;
	s->asks.ev = ev;
	s->asks.role = role;
	s->fd = -1;
	s->library = snmp_lib_open(&ops, s, why);
	if (!s->library)
		log_err("agentx: %s", why);
	return s;
}

static void
agentx_off(struct snmp *s)
{
	list_end(s);
	if (s->library && s->state == UP)
		snmp_lib_leave();
	ev_timer_stop(s->ev, &s->timer);
	ev_timer_stop(s->ev, &s->due);
	s->state = OFF;
	free(s->path);
	free(s->context);
	s->path = s->context = NULL;
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
agentx_config(struct snmp *s)
{
	const struct rd_conf *conf = s->view->conf;
	const char *path = conf->agentx ? conf->agentx_path : NULL;
	const char *context = conf->agentx ? conf->agentx_context : NULL;

	if (context != NULL && *context == '\0')
		context = NULL;
	if (same(path, s->path) && same(context, s->context))
		return;
	agentx_off(s);
	s->why[0] = '\0';
	if (!s->library || path == NULL || (s->path = strdup(path)) == NULL ||
	    (context != NULL && (s->context = strdup(context)) == NULL))
		return;
	retry_cb(s);
}

static int
snmp_config(void *ctx, struct compiled *c, struct diag *diag)
{
	struct snmp *s = ctx;
	struct rd_view *view = rd_view_look(c, role_board(s->role),
	    &s->views);

	if (view == NULL) {
		diag_error(diag, NULL, "%s", strerror(errno));
		return -1;
	}
	rd_view_unref(s->view);
	s->view = view;
	/* pfe may have told it before there was somebody */
	role_tell(s->role, RD_PFE, 0, RD_STATS_WANTED, NULL, 0, -1);
	agentx_config(s);
	return 0;
}

static void
snmp_close(void *ctx)
{
	struct snmp *s = ctx;

	agentx_off(s);
	if (s->library)
		snmp_lib_close();
	rd_view_unref(s->view);
	free(s->stats.entries);
	free(s->list);
	free(s);
}

const struct role_ops rd_snmp_ops = { .open = snmp_open,
    .config = snmp_config, .tell = snmp_tell, .close = snmp_close };
