/*
 * The engine's half of tell.h: one table of what may come, one queue of what
 * is answered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dump.h"
#include "reason.h"
#include "relaylog.h"
#include "session.h"
#include "told.h"
#include "why.h"

#define ROOM(what)	((ROLE_DATA - sizeof(struct tell_list)) / sizeof(what))

static_assert(ROLE_DATA <= WORKER_COPY, "a message is built there");

/* A list somebody wants. */
struct told_job {
	struct told_job	*next;
	const struct told_list *list;
	unsigned	 role;		/* who asked */
	uint32_t	 instance, token;
	struct dump	 dump;
	struct tell_ask_why ask;
	uint64_t	 at;		/* of the ring */
};

/* What the entries of a list are. */
struct told_list {
	unsigned	 type;
	size_t		 size, room;	/* of an entry; of them, a message's */
	/* Begin. */
	void		(*start)(struct worker *, struct told_job *);
	/* As many as there is room for; fewer: those were the last ones. */
	size_t		(*some)(struct worker *, struct told_job *,
			    void *entries, size_t max);
};

/* ---- sessions */

static void
sessions_start(struct worker *w, struct told_job *j)
{
	dump_start(&j->dump, w, own_number(w->own));
}

static size_t
sessions_some(struct worker *w, struct told_job *j, void *entries, size_t max)
{
	(void)w;
	return dump_some(&j->dump, entries, max);
}

static const struct told_list session_list = { TELL_SESSION_LIST,
    sizeof(struct tell_session), ROOM(struct tell_session), sessions_start,
    sessions_some };

/* ---- why */

static void
why_start(struct worker *w, struct told_job *j)
{
	(void)w;
	j->at = 0;
}

static size_t
why_some(struct worker *w, struct told_job *j, void *entries, size_t max)
{
	return w->told.why == NULL ? 0 :
	    why_find(w->told.why, &j->ask, &j->at, entries, max);
}

static const struct told_list why_list = { TELL_WHY_LIST,
    sizeof(struct tell_why), ROOM(struct tell_why), why_start, why_some };

/* ---- the queue */

/* One message; true: it was the last one. */
static bool
job_step(struct worker *w, struct told_job *j)
{
	const struct told_list *l = j->list;
	struct tell_list head = { .token = j->token };
	uint8_t *message = w->copy;

	head.n = (uint32_t)l->some(w, j, message + sizeof(head), l->room);
	head.last = head.n < l->room;
	memcpy(message, &head, sizeof(head));
	own_tell(w->own, j->role, j->instance, l->type, message,
	    sizeof(head) + head.n * l->size, -1);
	return head.last != 0;
}

static void
job_enter(struct told *t, struct told_job *j)
{
	struct told_job **end = &t->jobs;

	while (*end != NULL)
		end = &(*end)->next;
	j->next = NULL;
	*end = j;
}

static void
jobs_cb(void *ctx)
{
	struct worker *w = ctx;
	struct told *t = &w->told;
	struct told_job *j = t->jobs;

	t->jobs = j->next;
	if (job_step(w, j)) {
		free(j);
		t->njobs--;
	} else
		job_enter(t, j);
	if (t->jobs != NULL)
		ev_defer(w->ev, &t->task, jobs_cb, w);
}

static void
job_new(struct worker *w, const struct tell *from,
    const struct told_list *list, uint32_t token,
    const struct tell_ask_why *ask)
{
	const struct tell_list none = { .token = token, .last = 1 };
	struct told_job *j = w->told.njobs < TOLD_JOBS ?
	    calloc(1, sizeof(*j)) : NULL;

	if (j == NULL) {
		/* who asked must not wait for what never comes */
		own_tell(w->own, from->role, from->instance, list->type,
		    &none, sizeof(none), -1);
		return;
	}
	j->list = list;
	j->role = from->role;
	j->instance = from->instance;
	j->token = token;
	if (ask != NULL)
		j->ask = *ask;
	list->start(w, j);
	job_enter(&w->told, j);
	w->told.njobs++;
	ev_defer(w->ev, &w->told.task, jobs_cb, w);
}

/* ---- what is told */

static void
sessions_told(struct worker *w, struct tell *t)
{
	struct tell_ask ask;

	memcpy(&ask, t->data, sizeof(ask));
	job_new(w, t, &session_list, ask.token, NULL);
}

static void
why_told(struct worker *w, struct tell *t)
{
	struct tell_ask_why ask;

	memcpy(&ask, t->data, sizeof(ask));
	job_new(w, t, &why_list, ask.token, &ask);
}

static void
verbose_told(struct worker *w, struct tell *t)
{
	uint32_t on;

	(void)w;
	memcpy(&on, t->data, sizeof(on));
	log_verbose(on != 0);
}

static void
bound_told(struct worker *w, struct tell *t)
{
	struct tell_bound bound;
	int fd = t->fd;

	memcpy(&bound, t->data, sizeof(bound));
	t->fd = -1;
	forward_bound(w, bound.token, fd, bound.error);
}

static void
hash_key_told(struct worker *w, struct tell *t)
{
	memcpy(w->key, t->data, sizeof(w->key));
}

static const struct {
	size_t	 size;			/* exactly */
	bool	 parent;		/* nobody else may */
	void	(*told)(struct worker *, struct tell *);
} tells[TELL_ENGINE] = {
	[TELL_SESSIONS] = { sizeof(struct tell_ask), false, sessions_told },
	[TELL_WHY] = { sizeof(struct tell_ask_why), false, why_told },
	[TELL_BOUND] = { sizeof(struct tell_bound), true, bound_told },
	[TELL_HASH_KEY] = { 4 * sizeof(uint32_t), true, hash_key_told },
	[TELL_VERBOSE] = { sizeof(uint32_t), true, verbose_told },
};

void
told_take(struct worker *w, struct tell *t)
{
	if (t->type >= TELL_ENGINE || tells[t->type].told == NULL ||
	    t->len != tells[t->type].size ||
	    (tells[t->type].parent && t->role != ROLE_PARENT)) {
		log_debug(DEBUG_PACKET, "told %u by %u, %zu bytes: not used",
		    t->type, t->role, t->len);
		return;
	}
	tells[t->type].told(w, t);
}

/* ---- sessions that end */

static uint64_t
wall_clock(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) == -1)
		return 0;
	return (uint64_t)t.tv_sec * EV_SECOND + (uint64_t)t.tv_nsec;
}

/* What is too long is cut. */
static void
text_set(char *to, size_t size, const char *from)
{
	size_t n = from == NULL ? 0 : strnlen(from, size - 1);

	if (n != 0)
		memcpy(to, from, n);
	to[n] = '\0';
}

static uint32_t
who_ended(const struct forward *f)
{
	const struct relay_reason_row *row = &relay_reasons[f->end.reason];

	if (row->who != REASON_SIDE)
		return row->who;
	/* nothing has ended before a handshake is done */
	if (f->end.reason == REASON_TLS_ERROR)
		return f->phase[WHY_CONNECTED] != 0 ? WHY_SERVER : WHY_CLIENT;
	return (uint32_t)f->who;
}

static void
why_fill(struct tell_why *e, const struct session *s)
{
	const struct worker *w = session_worker(s);
	const struct forward *f = s->forward;
	const struct config_remote *r = s->remote == -1 ? NULL :
	    &s->setup->config->remotes[s->remote];
	uint64_t began = s->facts->started, now = ev_now(w->ev);
	char reason[REASON_TEXT];

	e->id = s->facts->counter;
	e->worker = own_number(w->own);
	e->relay = s->relay->conf->id;
	e->tries = s->tries;
	e->began = wall_clock() - (now > began ? now - began : 0);
	for (unsigned i = 0; i < WHY_PHASES; i++)
		if (f->phase[i] != 0)
			e->phase[i] = f->phase[i] > began ?
			    f->phase[i] - began : 1;
	e->phase[WHY_END] = now > began ? now - began : 1;
	e->in = s->flow[CLIENT].bytes;
	e->out = s->flow[REMOTE].bytes;
	e->who = who_ended(f);
	e->error = relay_reasons[f->end.reason].error;
	e->client = s->facts->src;
	e->server = f->server;
	text_set(e->reason, sizeof(e->reason), reason_text(&f->end, reason));
	text_set(e->relay_name, sizeof(e->relay_name), s->relay->conf->name);
	if (r == NULL)
		return;
	e->host = r->host;
	text_set(e->host_name, sizeof(e->host_name), r->name);
}

static void
over_log(const struct session *s)
{
	enum relay_reason reason = s->forward->end.reason;
	const struct config_relay *conf = s->relay->conf;
	char text[RELAYLOG_TEXT];

	if (!relaylog_wanted(conf->log, reason))
		return;

	const struct relaylog l = { conf->name, s->facts->counter,
	    own_use(session_worker(s)->own), s->facts->src,
	    s->forward->server, s->forward->end };

	relaylog_text(&l, text);
	if (relay_reasons[reason].error)
		log_err("%s", text);
	else
		log_line("%s", text);
}

void
told_over(const struct session *s)
{
	struct told *t = &session_worker(s)->told;

	if (s->forward->end.reason == REASON_NONE)
		return;
	over_log(s);
	if (t->why != NULL || (t->why = why_new()) != NULL)
		why_fill(why_add(t->why), s);
}

void
told_leave(struct told *t, const struct session *s)
{
	for (struct told_job *j = t->jobs; j != NULL; j = j->next)
		dump_skip(&j->dump, s);
}

void
told_close(struct worker *w)
{
	struct told *t = &w->told;
	struct told_job *j;

	ev_defer_cancel(w->ev, &t->task);
	while ((j = t->jobs) != NULL) {
		t->jobs = j->next;
		free(j);
	}
	why_free(t->why);
	t->why = NULL;
}
