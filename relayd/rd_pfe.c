/*
 * The role itself: what it is told, and the minute. The packet filter is not
 * driven yet; states of redirects are what they would be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../spawnd/rows.h"
#include "rd_engine.h"
#include "rd_pfe.h"
#include "rd_show.h"

/* ---- statistics, 3.11 ---- */

/* guess: what it is if the board does not say just now. */
static uint64_t
relay_total(const struct rd_pfe *p, size_t i, uint64_t guess)
{
	char name[BOARD_NAME];
	uint64_t total;

	return rd_stats_total(role_board(p->role), rows_listener(
	    &p->view->compiled->broker.listeners[i], name), &total) ?
	    total : guess;
}

/*
 * To the process that tells SNMP, if there is one: what it shows is to be
 * what relayctl does.
 */
static void
stats_tell(struct rd_pfe *p)
{
	enum { MOST = (ROLE_DATA - sizeof(struct tell_list)) /
	    sizeof(struct rd_stat) };
	static struct {
		struct tell_list	 list;
		struct rd_stat		 rows[MOST];
	} m;
	size_t at = 0;

	if (!p->view->conf->agentx)
		return;
	do {
		size_t n = p->stats.n - at < MOST ? p->stats.n - at : MOST;

		m.list = (struct tell_list){ .token = (uint32_t)at,
		    .n = (uint32_t)n, .last = at + n == p->stats.n };
		if (n > 0)
			memcpy(m.rows, p->stats.entries + at,
			    n * sizeof(m.rows[0]));
		role_tell(p->role, RD_SNMP, ROLE_ALL, RD_STATS, &m,
		    sizeof(m.list) + n * sizeof(m.rows[0]), -1);
		at += n;
	} while (at < p->stats.n);
}

/* Redirects have no total as long as nothing counts them. */
static void
stats_tick_cb(void *ctx)
{
	struct rd_pfe *p = ctx;
	const struct rd_conf *conf = p->view->conf;
	uint64_t *totals = calloc(p->stats.n + 1, sizeof(*totals));

	ev_timer_set(p->ev, &p->tick, RD_STATS_INTERVAL * EV_SECOND,
	    stats_tick_cb, p);
	if (totals == NULL)
		return;			/* the next one makes up for it */
	for (size_t i = 0; i < conf->nrelays; i++) {
		size_t at = conf->nredirects + i;

		totals[at] = relay_total(p, i, p->stats.entries[at].seen);
	}
	rd_stats_tick(&p->stats, totals);
	free(totals);
	stats_tell(p);
}

/* Names of one thing that is counted. */
struct counted {
	char	 key[BOARD_NAME], counter[BOARD_NAME];
};

/* The service has just begun: sessions so far are of its first interval, and
 * not of the time before us. */
static bool
stats_fresh(const struct rd_pfe *p)
{
	uint64_t began = board_get(&role_board(p->role)->head->began);

	return p->stats.entries == NULL &&
	    ev_now(p->ev) < began + RD_STATS_INTERVAL * EV_SECOND;
}

static int
stats_adopt(struct rd_pfe *p)
{
	const struct rd_conf *conf = p->view->conf;
	size_t n = conf->nredirects + conf->nrelays;
	bool fresh = stats_fresh(p);
	struct rd_stats_source *sources = calloc(n + 1, sizeof(*sources));
	struct counted *names = calloc(n + 1, sizeof(*names));
	int rc = -1;

	for (size_t i = 0; sources != NULL && names != NULL && i < n; i++) {
		size_t relay = i - conf->nredirects;

		sources[i] = (struct rd_stats_source){ .name = names[i].key,
		    .counter = names[i].counter };
		if (i < conf->nredirects) {
			rd_show_redirect_key(conf->redirects[i],
			    names[i].key);
			continue;
		}
		rd_show_relay_key(conf->relays[relay], names[i].key);
		rows_listener(&p->view->compiled->broker.listeners[relay],
		    names[i].counter);
		if (!fresh)
			sources[i].total = relay_total(p, relay, 0);
	}
	if (sources != NULL && names != NULL)
		rc = rd_stats_adopt(&p->stats, sources, n);
	free(sources);
	free(names);
	return rc;
}

/* ---- what is told ---- */

static void
told_host(struct rd_pfe *p, struct tell *t)
{
	struct rd_tell_host h;
	struct ctl_status s;

	memcpy(&h, t->data, sizeof(h));
	if (p->view == NULL || h.host == 0 || h.host > p->view->conf->nhosts)
		return;			/* of another configuration */
	s = (struct ctl_status){ .id = h.host, .state = h.now };
	rd_ctl_event(p->ctl, CTL_HOST_STATUS, &s, sizeof(s));
}

static void
told_sync(struct rd_pfe *p, struct tell *t)
{
	(void)t;
	rd_ctl_event(p->ctl, CTL_SYNC, NULL, 0);
}

static void
told_reloaded(struct rd_pfe *p, struct tell *t)
{
	struct rd_tell_verdict v;

	memcpy(&v, t->data, sizeof(v));
	rd_answer_reloaded(p, &v);
}

static void
told_control(struct rd_pfe *p, struct tell *t)
{
	int fd = t->fd;

	if (fd == -1)
		return;
	t->fd = -1;
	if (rd_ctl_listen(p->ctl, fd) == -1)
		log_err("control socket: %s", strerror(errno));
}

static void
told_stats_wanted(struct rd_pfe *p, struct tell *t)
{
	(void)t;
	stats_tell(p);
}

static void
told_list(struct rd_pfe *p, struct tell *t)
{
	rd_ask_told(&p->asks, t);
}

static void (*const told[RD_TELLS])(struct rd_pfe *, struct tell *) = {
	[RD_HOST] = told_host,
	[RD_SYNC] = told_sync,
	[RD_RELOADED] = told_reloaded,
	[RD_CONTROL] = told_control,
	[RD_STATS_WANTED] = told_stats_wanted,
	[TELL_SESSION_LIST] = told_list,
	[TELL_WHY_LIST] = told_list,
};

static void
pfe_tell(void *ctx, struct tell *t)
{
	if (rd_tell_good(t, RD_PFE) && told[t->type] != NULL)
		told[t->type](ctx, t);
}

/* ---- life ---- */

static void
asked_cb(void *ctx, struct rd_client *client, unsigned type,
    const void *body, size_t len)
{
	rd_answer(ctx, client, type, body, len);
}

static void *
pfe_open(struct ev *ev, struct role *role)
{
	struct rd_pfe *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->ctl = rd_ctl_new(ev, asked_cb, p)) == NULL) {
		log_crit("pfe: %s", strerror(ENOMEM));
		free(p);
		return NULL;
	}
	p->ev = ev;
	p->role = role;
	p->asks.ev = ev;
	p->asks.role = role;
	/* verdicts for who was here before us are not ours */
	p->tokens = (uint64_t)getpid() << 32;
	return p;
}

static int
pfe_config(void *ctx, struct compiled *c, struct diag *diag)
{
	struct rd_pfe *p = ctx;
	struct board *board = role_board(p->role);
	struct rd_view *old = p->view, *view;

	if (old == NULL)
		rd_view_release(board);
	view = rd_view_new(c, board, &p->views);
	if (view == NULL) {
		diag_error(diag, NULL, "%s", strerror(errno));
		return -1;
	}
	p->view = view;
	if (stats_adopt(p) == -1) {
		diag_error(diag, NULL, "%s", strerror(errno));
		p->view = old;
		rd_view_unref(view);
		return -1;
	}
	if (old == NULL)
		ev_timer_set(p->ev, &p->tick, RD_STATS_INTERVAL * EV_SECOND,
		    stats_tick_cb, p);
	else if (old->head != view->head)
		rd_view_detach(p->views, old->head);
	rd_view_unref(old);
	stats_tell(p);
	return 0;
}

static void
pfe_close(void *ctx)
{
	struct rd_pfe *p = ctx;

	rd_ctl_free(p->ctl);
	ev_timer_stop(p->ev, &p->tick);
	rd_view_unref(p->view);
	rd_stats_clear(&p->stats);
	free(p);
}

const struct role_ops rd_pfe_ops = { .open = pfe_open, .config = pfe_config,
    .tell = pfe_tell, .close = pfe_close };
