/*
 * Timers of the loop: a heap by the time at which each is looked at. Setting
 * one to later, as is done with every transfer, touches the timer alone; the
 * heap learns of it when the old time comes up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ev_impl.h"

static bool
node_before(const struct ev_node *a, const struct ev_node *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void
heap_put(struct ev_heap *h, size_t i, struct ev_node n)
{
	h->nodes[i] = n;
	n.timer->slot = (uint32_t)i + 1;
}

static void
heap_up(struct ev_heap *h, size_t i, struct ev_node n)
{
	size_t parent;

	while (i > 0) {
		parent = (i - 1) / 2;
		if (!node_before(&n, &h->nodes[parent]))
			break;
		heap_put(h, i, h->nodes[parent]);
		i = parent;
	}
	heap_put(h, i, n);
}

static void
heap_down(struct ev_heap *h, size_t i, struct ev_node n)
{
	size_t child;

	for (;;) {
		child = 2 * i + 1;
		if (child >= h->n)
			break;
		if (child + 1 < h->n &&
		    node_before(&h->nodes[child + 1], &h->nodes[child]))
			child++;
		if (!node_before(&h->nodes[child], &n))
			break;
		heap_put(h, i, h->nodes[child]);
		i = child;
	}
	heap_put(h, i, n);
}

static void
heap_remove(struct ev_heap *h, size_t i)
{
	struct ev_node last = h->nodes[--h->n];

	if (i == h->n)
		return;
	if (i > 0 && node_before(&last, &h->nodes[(i - 1) / 2]))
		heap_up(h, i, last);
	else
		heap_down(h, i, last);
}

static void
heap_reserve(struct ev_heap *h)
{
	void *p = h->nodes;

	if (ev_grow(&p, &h->room, sizeof(struct ev_node),
	    h->n) == -1) {
		log_err("timers: %s", strerror(errno));
		exit(EX_OSERR);
	}
	h->nodes = p;
}

void
ev_timer_set(struct ev *ev, struct ev_timer *t, uint64_t ns,
    void (*cb)(void *), void *ctx)
{
	struct ev_heap *h = &ev->timers;

	t->cb = cb;
	t->ctx = ctx;
	t->due = ns > UINT64_MAX - ev->now ? UINT64_MAX : ev->now + ns;
	t->seq = ++h->seq;
	if (t->slot == 0) {
		heap_reserve(h);
		heap_up(h, h->n++, (struct ev_node){ t->due, t->seq, t });
	} else if (t->due < h->nodes[t->slot - 1].key)
		heap_up(h, t->slot - 1, (struct ev_node){ t->due, t->seq, t });
	/* else it is found out when the old time comes up */
}

void
ev_timer_stop(struct ev *ev, struct ev_timer *t)
{
	if (t->slot == 0)
		return;
	heap_remove(&ev->timers, t->slot - 1);
	t->slot = 0;
}

void
ev_timers_run(struct ev *ev)
{
	struct ev_heap *h = &ev->timers;
	uint64_t now = ev->now, last = h->seq;
	struct ev_timer *t;

	while (h->n > 0 && h->nodes[0].key <= now) {
		t = h->nodes[0].timer;
		if (t->seq != h->nodes[0].seq) {	/* was set to later */
			heap_down(h, 0, (struct ev_node){ t->due, t->seq, t });
			continue;
		}
		/* set just now by another timer: its turn is the next round */
		if (t->seq > last)
			break;
		ev_timer_stop(ev, t);
		t->cb(t->ctx);
	}
}

void
ev_timers_clear(struct ev *ev)
{
	size_t i;

	for (i = 0; i < ev->timers.n; i++)
		ev->timers.nodes[i].timer->slot = 0;
	free(ev->timers.nodes);
	ev->timers = (struct ev_heap){ .n = 0 };
}
