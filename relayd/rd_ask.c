/*
 * Workers are those that have a seat on the board when somebody asks. One
 * that leaves, or does not answer, is left out; what it has said stays said.
 */
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../spawnd/board.h"
#include "rd_ask.h"

#define SILENCE		(5 * EV_SECOND)	/* then it is left out */
#define LOOK		(100 * EV_MS)	/* whether it still is there */

/* What is asked, and what it is answered with. */
static const struct kind {
	enum tell_type	 ask, list;
	enum ctl_type	 row;
	size_t		 size;		/* of a row */
} sessions = { TELL_SESSIONS, TELL_SESSION_LIST, CTL_SESSION,
    sizeof(struct tell_session) }, why = { TELL_WHY, TELL_WHY_LIST,
    CTL_WHY_ENTRY, sizeof(struct tell_why) };

/* Owned by the client's work, or (no client) by whoever asked for a list. */
struct rd_ask {
	struct rd_asks		*asks;
	struct rd_ask		*next;
	struct rd_client	*client;
	const struct rd_ask_sink *sink;
	void			*sink_ctx;
	const struct kind	*kind;
	struct tell_ask_why	 question;	/* begins as a tell_ask does */
	uint32_t		 token;		/* of the worker being asked;
						   0: nobody is */
	uint64_t		 heard;		/* when, of that one */
	struct ev_timer		 timer;
	size_t			 n, at;
	uint32_t		 workers[];	/* by number */
};

/* ---- workers ---- */

static bool
seat_taken(const struct board *b, unsigned column)
{
	uint32_t state = atomic_load_explicit(&board_seat(b, column)->state,
	    memory_order_relaxed);

	return state != BOARD_FREE && state != BOARD_STARTING;
}

static bool
worker_there(const struct board *b, uint32_t number)
{
	for (unsigned c = 0; c < b->columns; c++)
		if (seat_taken(b, c) && atomic_load_explicit(
		    &board_seat(b, c)->number, memory_order_relaxed) == number)
			return true;
	return false;
}

static int
number_cmp(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* only: that one; 0: all. */
static void
workers_take(struct rd_ask *a, const struct board *b, uint32_t only)
{
	for (unsigned c = 0; c < b->columns; c++) {
		uint32_t number = atomic_load_explicit(
		    &board_seat(b, c)->number, memory_order_relaxed);

		if (seat_taken(b, c) && number != 0 &&
		    (only == 0 || only == number))
			a->workers[a->n++] = number;
	}
	qsort(a->workers, a->n, sizeof(a->workers[0]), number_cmp);
}

/* ---- asking ---- */

static void	 ask_go_on(struct rd_ask *);

/* The ask may be gone after that. */
static void
worker_over(struct rd_ask *a)
{
	a->token = 0;
	a->at++;
	ev_timer_stop(a->asks->ev, &a->timer);
	if (a->client != NULL)
		rd_client_wake(a->client);	/* when it has read */
	else
		ask_go_on(a);
}

static void
look_cb(void *ctx)
{
	struct rd_ask *a = ctx;
	struct ev *ev = a->asks->ev;

	if (!worker_there(role_board(a->asks->role), a->workers[a->at]) ||
	    ev_now(ev) - a->heard > SILENCE)
		worker_over(a);
	else
		ev_timer_set(ev, &a->timer, LOOK, look_cb, a);
}

static void
worker_ask(struct rd_ask *a)
{
	struct ev *ev = a->asks->ev;

	if (++a->asks->token == 0)
		a->asks->token = 1;
	a->token = a->question.token = a->asks->token;
	a->heard = ev_now(ev);
	role_tell(a->asks->role, ROLE_WORKER, a->workers[a->at],
	    a->kind->ask, &a->question, a->kind == &sessions ?
	    sizeof(struct tell_ask) : sizeof(a->question), -1);
	ev_timer_set(ev, &a->timer, LOOK, look_cb, a);
}

static void
ask_end(void *work)
{
	struct rd_ask *a = work, **p = &a->asks->first;

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	ev_timer_stop(a->asks->ev, &a->timer);
	free(a);
}

/* The next worker, or the end of it. */
static void
ask_go_on(struct rd_ask *a)
{
	const struct rd_ask_sink *sink = a->sink;
	struct rd_client *client = a->client;
	void *ctx = a->sink_ctx;

	if (a->at < a->n) {
		worker_ask(a);
	} else if (client != NULL) {
		/* the client may be gone then, and the ask with it */
		rd_client_send(client, CTL_END, NULL, 0);
		rd_client_done(client);
	} else {
		ask_end(a);
		sink->over(ctx);
	}
}

static bool
ask_next(void *work, struct rd_client *client)
{
	struct rd_ask *a = work;

	(void)client;
	if (a->token == 0)
		ask_go_on(a);
	return false;			/* it is a worker's turn */
}

static const struct rd_work ask_work = { ask_next, ask_end };

/* NULL: no memory. */
static struct rd_ask *
ask_new(struct rd_asks *asks, const struct kind *kind,
    const struct ctl_why *about)
{
	const struct board *b = role_board(asks->role);
	struct rd_ask *a = calloc(1, sizeof(*a) +
	    b->columns * sizeof(a->workers[0]));

	if (a == NULL)
		return NULL;
	a->asks = asks;
	a->kind = kind;
	if (about != NULL) {
		a->question.host = about->host;
		a->question.session = about->session;
		a->question.worker = about->worker;
		memcpy(a->question.name, about->name,
		    sizeof(a->question.name));
	}
	workers_take(a, b, a->question.worker);
	a->next = asks->first;
	asks->first = a;
	return a;
}

static void
ask_begin(struct rd_asks *asks, struct rd_client *client,
    const struct kind *kind, const struct ctl_why *about)
{
	struct rd_ask *a = ask_new(asks, kind, about);

	if (a == NULL) {
		rd_client_fail(client, "no memory");
		return;
	}
	a->client = client;
	rd_client_work(client, &ask_work, a);
}

struct rd_ask *
rd_ask_list(struct rd_asks *asks, const struct rd_ask_sink *sink, void *ctx)
{
	struct rd_ask *a = ask_new(asks, &sessions, NULL);

	if (a == NULL || a->n == 0) {
		if (a != NULL)
			ask_end(a);
		sink->over(ctx);
		return NULL;
	}
	a->sink = sink;
	a->sink_ctx = ctx;
	worker_ask(a);
	return a;
}

void
rd_ask_cancel(struct rd_ask *a)
{
	if (a != NULL)
		ask_end(a);
}

void
rd_ask_sessions(struct rd_asks *asks, struct rd_client *client)
{
	ask_begin(asks, client, &sessions, NULL);
}

void
rd_ask_why(struct rd_asks *asks, struct rd_client *client,
    const struct ctl_why *about)
{
	ask_begin(asks, client, &why, about);
}

/* ---- answers ---- */

static struct rd_ask *
ask_find(const struct rd_asks *asks, const struct tell *t, uint32_t token)
{
	for (struct rd_ask *a = asks->first; a != NULL; a = a->next)
		if (a->token != 0 && a->token == token &&
		    a->kind->list == t->type &&
		    a->workers[a->at] == t->instance)
			return a;
	return NULL;
}

/* A worker is no stranger, and yet the client looks at what it gets: one bad
 * row would cost it all the others. */
static bool
row_good(const struct kind *kind, const void *row)
{
	const struct ctl_header h = {
		.length = (uint32_t)(sizeof(h) + kind->size),
		.type = (uint16_t)kind->row
	};

	return ctl_check(&h, row, false) == NULL;
}

static void
ask_row(struct rd_ask *a, const void *row)
{
	struct tell_session s;

	if (!row_good(a->kind, row)) {
		log_warn("worker %u: an answer that is not readable is left "
		    "out", (unsigned)a->workers[a->at]);
	} else if (a->client != NULL) {
		rd_client_send(a->client, a->kind->row, row, a->kind->size);
	} else {
		memcpy(&s, row, sizeof(s));
		a->sink->row(a->sink_ctx, &s);
	}
}

void
rd_ask_told(struct rd_asks *asks, const struct tell *t)
{
	struct tell_list list;
	const uint8_t *row = (const uint8_t *)t->data + sizeof(list);
	struct rd_ask *a;

	memcpy(&list, t->data, sizeof(list));
	if ((a = ask_find(asks, t, list.token)) == NULL)
		return;			/* whoever asked has gone */
	a->heard = ev_now(asks->ev);
	for (uint32_t i = 0; i < list.n; i++, row += a->kind->size) {
		ask_row(a, row);
		/* a client that does not read may be gone now, and the ask
		 * with it */
		if (ask_find(asks, t, list.token) != a)
			return;
	}
	if (list.last != 0)
		worker_over(a);
}
