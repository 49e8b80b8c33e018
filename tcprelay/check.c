/*
 * Health checks: rounds, the end of a check, and orders of an operator. How
 * a probe is made is the business of check_tcp, check_icmp and check_script;
 * what its result means, of host.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "check_impl.h"

#define SLICE		32	/* started in one turn, so that what the others
				   have to say is not heard late */
#define LINE		1024
#define GATHER		((size_t)2 * (CHECK_RECORD + 512))

/* ---- queues ---- */

void
queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

void
queue_put(struct queue *q, struct probe *p)
{
	assert(p->queue == NULL);
	p->queue = q;
	p->next = NULL;
	p->link = q->tail;
	*q->tail = p;
	q->tail = &p->next;
}

void
queue_drop(struct probe *p)
{
	if (p->queue == NULL)
		return;
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	else
		p->queue->tail = p->link;
	p->queue = NULL;
}

/* ---- logs ---- */

void
check_line(struct check *c, int severity, const char *fmt, ...)
{
	char text[LINE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->ops->line(c->ctx, severity, text);
}

static const char *
kind_text(const struct probe *p)
{
	static const char *const names[][2] = {
		[CHECK_NONE] = { "none", "none use tls" },
		[CHECK_ICMP] = { "icmp", "icmp use tls" },
		[CHECK_TCP] = { "tcp", "tcp use tls" },
		[CHECK_HTTP_CODE] = { "http code", "http code use tls" },
		[CHECK_HTTP_DIGEST] = { "http digest", "http digest use tls" },
		[CHECK_SEND] = { "send expect", "send expect use tls" },
		[CHECK_BINARY] = { "send expect", "send expect use tls" },
		[CHECK_SCRIPT] = { "script", "script use tls" },
	};
	const struct check_how *how = &p->group->conf->how;

	return names[how->kind][how->tls];
}

static void
log_result(const struct probe *p, enum host_state old, unsigned ms)
{
	struct check *c = p->check;
	char text[LINE];

	if (c->log & CHECK_LOG_DEBUG)
		check_line(c, LOG_DEBUG, "hce_notify_done: %s (%s)",
		    p->conf.name, host_error_text(p->host.error));
	if ((c->log & (p->host.state != old ? CHECK_LOG_STATE :
	    CHECK_LOG_HOSTS)) == 0)
		return;
	host_text(&p->host, old, p->conf.name, kind_text(p), ms, text,
	    sizeof(text));
	c->ops->line(c->ctx, LOG_INFO, text);
}

/* ---- one check ---- */

void
probe_set(struct probe *p, enum probe_state state)
{
	struct check *c = p->check;

	if (p->state == PROBE_IDLE && state != PROBE_IDLE)
		c->running++;
	if (p->state != PROBE_IDLE && state == PROBE_IDLE)
		c->running--;
	p->state = state;
}

void
probe_stop(struct probe *p)
{
	struct check *c = p->check;
	int fd = p->stream.fd;

	ev_timer_stop(c->ev, &p->timer);
	queue_drop(p);
	if (fd != -1) {
		stream_clear(&c->env, &p->stream);
		p->stream.fd = -1;
		ev_close(c->ev, fd);
	}
	probe_set(p, PROBE_IDLE);
}

static void
tell(const struct probe *p, enum host_state old, unsigned ms)
{
	struct check_status s = {
		.id = p->conf.id, .table = p->group->conf->id, .old = old,
		.now = p->host, .ms = ms
	};

	p->check->ops->status(p->check->ctx, &s);
}

static void
probe_result(struct probe *p, enum host_state result, enum host_error error,
    unsigned ms)
{
	struct check *c = p->check;
	enum host_state old;

	if (p->group->disabled)
		return;
	if (p->disabled) {
		if (c->log & CHECK_LOG_STATE)
			check_line(c, LOG_INFO, "host %s, check %s (ignoring "
			    "result, host disabled)", p->conf.name,
			    kind_text(p));
		return;
	}
	old = host_result(&p->host, result, error, p->conf.retry);
	tell(p, old, ms);
	log_result(p, old, ms);
}

void
check_done(struct probe *p, enum host_state result, enum host_error error)
{
	uint64_t took = ev_now(p->check->ev) - p->began;
	unsigned ms = (unsigned)(took / EV_MS);

	assert(p->state != PROBE_IDLE);
	probe_stop(p);
	probe_result(p, result, error, ms);
	for (struct probe *child = p->children; child != NULL;
	    child = child->sibling)
		probe_result(child, result, error, ms);
}

bool
probe_checked(const struct probe *p)
{
	return p->conf.parent == 0 && !p->disabled && !p->group->disabled &&
	    p->group->conf->how.kind != CHECK_NONE;
}

/* ---- rounds ---- */

static void
start_one(struct probe *p)
{
	struct check *c = p->check;

	queue_drop(p);
	p->began = ev_now(c->ev);
	if (p->group->conf->how.kind == CHECK_SCRIPT)
		check_script_start(p);
	else
		check_tcp_start(p);
}

static void
slice_cb(void *ctx)
{
	struct check *c = ctx;

	ev_clock(c->ev);	/* a check's time is its own */
	for (unsigned n = 0; n < SLICE && c->queue.head != NULL; n++)
		start_one(c->queue.head);
	if (c->queue.head != NULL)
		ev_defer(c->ev, &c->task, slice_cb, c);
	else
		check_icmp_begin(c);
}

void
check_start(struct probe *p)
{
	struct check *c = p->check;

	assert(p->state == PROBE_IDLE);
	p->began = ev_now(c->ev);
	probe_set(p, PROBE_QUEUED);
	if (p->group->conf->how.kind == CHECK_ICMP)
		check_icmp_put(p);
	else
		queue_put(&c->queue, p);
	if (!ev_deferred(&c->task))
		ev_defer(c->ev, &c->task, slice_cb, c);
}

/* What the round before has not brought to an end; a script is waited for. */
static void
abandon(struct check *c)
{
	struct setup *s = c->setup;

	for (size_t i = 0; i < s->nprobes && c->running > 0; i++) {
		struct probe *p = s->probes[i];

		if (p->state == PROBE_IDLE || p->state == PROBE_SCRIPT)
			continue;
		p->host.error = HOST_INTERVAL_TIMEOUT;
		probe_stop(p);
	}
}

static void
group_round(struct group *g)
{
	if (g->disabled)
		return;
	if (g->left > 0) {
		g->left--;
		return;
	}
	g->left = g->conf->every - 1;
	for (size_t i = 0; i < g->nprobes; i++)
		if (g->probes[i]->state == PROBE_IDLE &&
		    probe_checked(g->probes[i]))
			check_start(g->probes[i]);
}

static void	round_cb(void *);

/* At the same distance from one to the next; those that were missed are not
 * made up for. */
static void
round_arm(struct check *c)
{
	uint64_t now = ev_now(c->ev), due = c->last + c->setup->interval;

	ev_timer_set(c->ev, &c->timer, due > now ? due - now : 0, round_cb, c);
}

static void
round_begin(struct check *c)
{
	struct setup *s = c->setup;

	c->ops->round(c->ctx);
	buf_pool_trim(c->env.pool);
	for (size_t i = 0; i < s->ngroups; i++)
		group_round(&s->groups[i]);
	round_arm(c);
}

static void
round_cb(void *ctx)
{
	struct check *c = ctx;
	uint64_t now = ev_now(c->ev);

	c->last += c->setup->interval;
	if (now - c->last >= c->setup->interval)
		c->last = now;
	abandon(c);
	round_begin(c);
}

void
check_poll(struct check *c)
{
	struct setup *s = c->setup;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->ngroups; i++)
		s->groups[i].left = 0;
	c->last = ev_now(c->ev);
	round_begin(c);
}

/* What a configuration disables is unknown from now on; what is new must not
 * wait for its turn. */
static void
settle(struct probe *p, bool first)
{
	enum host_state old = p->host.state;

	if (old != HOST_UNKNOWN && (p->disabled || p->group->disabled)) {
		host_forget(&p->host);
		tell(p, old, 0);
	}
	if (!first && p->fresh && probe_checked(p))
		check_start(p);
	p->fresh = false;
}

void
check_adopt(struct check *c, const struct check_conf *conf)
{
	bool first = c->setup == NULL;

	c->log = conf->log;
	c->setup = setup_new(c, conf);
	for (size_t i = 0; i < c->setup->ngroups; i++)
		for (size_t k = 0; k < c->setup->groups[i].nprobes; k++)
			settle(c->setup->groups[i].probes[k], first);
	if (first) {
		c->last = ev_now(c->ev);
		round_begin(c);
	} else
		round_arm(c);
}

/* ---- orders ---- */

struct probe *
check_find(const struct check *c, uint32_t id)
{
	return c->setup != NULL ? setup_find(c->setup, id) : NULL;
}

const struct host *
check_host(const struct check *c, uint32_t id)
{
	const struct probe *p = check_find(c, id);

	return p != NULL ? &p->host : NULL;
}

size_t
check_running(const struct check *c)
{
	return c->running;
}

void
check_log(struct check *c, unsigned log)
{
	c->log = log;
}

/* A check that is under way goes on; the gate ignores what it says. */
static void
probe_switch(struct probe *p, bool on)
{
	enum host_state old = p->host.state;

	if (p->disabled == !on)
		return;
	p->disabled = !on;
	host_forget(&p->host);
	tell(p, old, 0);
}

bool
check_host_switch(struct check *c, uint32_t id, bool on)
{
	struct probe *p = check_find(c, id);

	if (p == NULL || p->conf.parent != 0)
		return false;
	probe_switch(p, on);
	for (p = p->children; p != NULL; p = p->sibling)
		probe_switch(p, on);
	return true;
}

/* Its counts stay: they are about the time in which it was checked. */
static void
group_switch(struct group *g, bool on)
{
	enum host_state old;

	g->disabled = !on;
	g->left = 0;
	for (size_t i = 0; i < g->nprobes; i++) {
		struct probe *p = g->probes[i];

		probe_stop(p);
		old = p->host.state;
		p->host.state = HOST_UNKNOWN;
		p->host.error = HOST_NONE;
		p->host.left = 0;
		tell(p, old, 0);
	}
}

bool
check_table_switch(struct check *c, uint32_t id, bool on)
{
	struct setup *s = c->setup;

	for (size_t i = 0; s != NULL && i < s->ngroups; i++) {
		struct group *g = &s->groups[i];

		if (g->conf->id != id)
			continue;
		if (g->disabled != !on)
			group_switch(g, on);
		return true;
	}
	return false;
}

/* ---- life ---- */

struct check *
check_new(struct ev *ev, const struct check_ops *ops, void *ctx,
    const int fds[static CHECK_SOCKETS])
{
	struct check *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->ev = ev;
	c->ops = ops;
	c->ctx = ctx;
	queue_init(&c->queue);
	c->env = (struct stream_env){
		.pool = buf_pool_new(),
		.raw = malloc(2 * CHECK_RECORD), .raw_size = 2 * CHECK_RECORD,
		.gather = malloc(GATHER), .gather_size = GATHER
	};
	c->piece = malloc(CHECK_RECORD);
	if (c->env.pool == NULL || c->env.raw == NULL ||
	    c->env.gather == NULL || c->piece == NULL) {
		errno = ENOMEM;
		goto fail;
	}
	if (check_icmp_init(c, fds) == 0)
		return c;
fail:
	/* the sockets stay the caller's */
	c->icmp[0] = c->icmp[1] = (struct icmp){ .send = -1, .receive = -1 };
	check_free(c);
	return NULL;
}

void
check_free(struct check *c)
{
	int error = errno;

	if (c == NULL)
		return;
	if (c->setup != NULL)
		setup_free(c->setup);
	ev_timer_stop(c->ev, &c->timer);
	ev_defer_cancel(c->ev, &c->task);
	check_icmp_clear(c);
	if (c->env.pool != NULL)
		buf_pool_free(c->env.pool);
	free(c->env.raw);
	free(c->env.gather);
	free(c->piece);
	free(c);
	errno = error;
}
