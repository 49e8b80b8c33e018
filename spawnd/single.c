/*
 * Single process: the master is its own worker. What a worker's process does
 * with messages is a call here; counts stand on the same board.
 */
#include <errno.h>
#include <stdlib.h>

#include "own_state.h"

struct single {
	struct own		 own;	/* first: what the engine knows */
	struct own_hooks	 hooks;
	void			*ctx;
	const struct compiled	*prepared;	/* the engine has a reference */
	bool			 retiring, told;
};

static struct single *
single_of(struct own *o)
{
	return (struct single *)o;
}

static void
single_returned(struct own *o, const struct spawnd_conn *c, unsigned reason)
{
	/* There is nobody else to give it to: it ends here. */
	(void)o;
	(void)c;
	(void)reason;
}

static void
single_retire(struct own *o)
{
	single_of(o)->retiring = true;
	own_stir(o);
}

static void
single_round(struct own *o)
{
	struct single *s = single_of(o);

	o->ended = 0;
	if (s->retiring && !s->told) {
		s->told = true;
		if (s->hooks.retire != NULL)
			s->hooks.retire(s->ctx);
	}
	if (s->hooks.done != NULL)
		s->hooks.done(s->ctx);
}

static const struct own_ops single_ops = {
	.returned = single_returned,
	.retire = single_retire,
	.round = single_round,
};

struct own *
own_single(const struct program *program, struct ev *ev, struct board *b,
    unsigned column, const struct own_hooks *hooks, void *ctx)
{
	struct single *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->hooks = *hooks;
	s->ctx = ctx;
	s->own.ops = &single_ops;
	s->own.engine = program->worker;
	s->own.ev = ev;
	s->own.board = b;
	s->own.column = column;
	s->own.seat = board_seat(b, column);
	s->own.users = board_column(b, column);
	s->own.seat_ours = true;
	s->own.number = atomic_load(&s->own.seat->number);
	if (s->own.number == 0)
		s->own.number = 1;
	s->own.worker = program->worker->open(ev, &s->own);
	if (s->own.worker == NULL) {
		int saved = errno;

		free(s);
		errno = saved;
		return NULL;
	}
	return &s->own;
}

void
own_single_free(struct own *o)
{
	if (o == NULL)
		return;
	o->engine->close(o->worker);
	ev_defer_cancel(o->ev, &o->turn);
	free(single_of(o));
}

int
own_single_prepare(struct own *o, struct compiled *c, struct diag *d)
{
	if (o->engine->prepare(o->worker, c, d) == -1)
		return -1;
	single_of(o)->prepared = c;
	return 0;
}

void
own_single_commit(struct own *o)
{
	struct single *s = single_of(o);

	o->engine->commit(o->worker);
	if (s->prepared != NULL)
		atomic_store_explicit(&o->users->generation,
		    s->prepared->generation, memory_order_relaxed);
	s->prepared = NULL;
}

void
own_single_forget(struct own *o)
{
	single_of(o)->prepared = NULL;
	o->engine->forget(o->worker);
}

void
own_single_conn(struct own *o, const struct spawnd_conn *c, unsigned n)
{
	own_take(o, c, n);
}

void
own_single_tickets(struct own *o, const struct ticket_key *keys, unsigned n)
{
	o->engine->tickets(o->worker, keys, n);
}

void
own_single_drain(struct own *o)
{
	o->engine->drain(o->worker);
}

void
own_single_status(struct own *o)
{
	if (o->engine->status != NULL)
		o->engine->status(o->worker);
}

void
own_single_kill(struct own *o)
{
	o->engine->kill(o->worker);
}
