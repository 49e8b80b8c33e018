/*
 * The worker's half: questions under way, and handshakes that wait for them.
 * Questions of one turn go in one message. A key process that dies takes no
 * question with it: whoever comes after it is asked again.
 */
#include <sys/uio.h>
#include <openssl/async.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ev.h"
#include "keyproc_lib.h"
#include "log.h"
#include "msg.h"
#include "net.h"

#define TURN		16		/* messages read at a time */
/* The master kills one that hangs sooner than that (spawnd/keys.c). */
#define ANSWER_TIME	(20 * EV_SECOND)
#define WITHIN_MS	5000		/* where nothing can be put aside */

enum slot_state { SLOT_FREE, SLOT_ASKED, SLOT_DONE, SLOT_FAILED };

struct keyproc_slot {
	struct keyproc		*keys;		/* it is one of these' */
	struct keyproc_ask	*ask;
	struct keyproc_wait	*wait;		/* NULL: within the call */
	const char		*failure;
	uint64_t		 asked;		/* when, ns */
	uint64_t		 number;	/* of all questions */
	uint32_t		 turn;		/* of this slot's use */
	enum slot_state		 state;
	bool			 sent;
	bool			 late;		/* was told of */
};

struct keyproc {
	unsigned		 refs;
	struct ev		*ev;
	int			 fd;		/* -1: not there */
	struct keyproc_slot	 slots[KEYPROC_SLOTS];
	unsigned		 waiting;	/* slots that are ASKED */
	uint64_t		 number;	/* of the last question */
	uint64_t		 patience;	/* ns, 0: without end */
	void			(*late)(uint64_t number);
	struct ev_task		 task;
	struct ev_timer		 timer;
	uint64_t		 due;		/* the timer, ns */
};

/* One process, one thread: what is used within a call is shared. */
static uint8_t message[KEYPROC_MESSAGE];
static struct keyproc_wait *entered;
static struct keyproc_wait *queue, **queue_last = &queue;

/* ---- handshakes ---- */

bool
keyproc_async(void)
{
	static int capable = -1;

	if (capable == -1)
		capable = ASYNC_is_capable() == 1 &&
		    ASYNC_init_thread(KEYPROC_JOBS, 0) == 1;
	return capable == 1;
}

void
keyproc_enter(struct keyproc_wait *w)
{
	w->granted = false;
	entered = w;
}

void
keyproc_leave(void)
{
	entered = NULL;
}

static void
queue_remove(struct keyproc_wait *w)
{
	*w->link = w->next;
	if (w->next != NULL)
		w->next->link = w->link;
	else
		queue_last = w->link;
	w->next = NULL;
	w->link = NULL;
}

void
keyproc_queue(struct keyproc_wait *w)
{
	if (w->link != NULL)
		return;
	w->link = queue_last;
	w->next = NULL;
	*queue_last = w;
	queue_last = &w->next;
}

static void
wait_wake(struct keyproc_wait *w)
{
	if (w->cb != NULL)
		w->cb(w->ctx);
}

void
keyproc_job_ended(void)
{
	struct keyproc_wait *w = queue;

	if (w == NULL)
		return;
	queue_remove(w);
	w->granted = true;
	wait_wake(w);
}

bool
keyproc_ready(const struct keyproc_wait *w)
{
	return w->slot != NULL ? w->slot->state != SLOT_ASKED :
	    w->link == NULL;
}

/* ---- slots ---- */

static void
slot_settle(struct keyproc *k, struct keyproc_slot *s, enum slot_state state,
    const char *failure)
{
	assert(s->state == SLOT_ASKED);
	s->state = state;
	s->failure = failure;
	k->waiting--;
}

/* Settled by an answer, or the lack of one: whoever waits goes on. */
static void
slot_end(struct keyproc *k, struct keyproc_slot *s, enum slot_state state,
    const char *failure)
{
	struct keyproc_wait *wait = s->wait;

	slot_settle(k, s, state, failure);
	if (wait != NULL)
		wait_wake(wait);
}

static struct keyproc_slot *
slot_take(struct keyproc *k, struct keyproc_ask *a, struct keyproc_wait *w)
{
	struct keyproc_slot *s = k->slots;

	while (s < k->slots + KEYPROC_SLOTS && s->state != SLOT_FREE)
		s++;
	if (s == k->slots + KEYPROC_SLOTS)
		return NULL;
	s->keys = k;
	s->ask = a;
	s->wait = w;
	s->failure = NULL;
	s->asked = ev_now(k->ev);
	s->number = ++k->number;
	s->sent = s->late = false;
	s->state = SLOT_ASKED;
	k->waiting++;
	return s;
}

/* An answer that comes now is nobody's. */
static void
slot_free(struct keyproc_slot *s)
{
	s->state = SLOT_FREE;
	s->turn++;
	s->ask = NULL;
	s->wait = NULL;
}

/* When its lack of an answer means something the next time. */
static uint64_t
slot_due(const struct keyproc *k, const struct keyproc_slot *s)
{
	return s->asked + (k->patience == 0 || s->late ? ANSWER_TIME :
	    k->patience);
}

static void
slot_late(struct keyproc *k, struct keyproc_slot *s)
{
	if (k->patience != 0 && !s->late) {
		s->late = true;
		k->late(s->number);
	} else {
		slot_end(k, s, SLOT_FAILED, "no answer from the key process");
	}
}

static void	 watch(struct keyproc *, uint64_t due);

static void
late_cb(void *ctx)
{
	struct keyproc *k = ctx;
	uint64_t now = ev_now(k->ev), next = 0;

	keyproc_ref(k);
	for (unsigned i = 0; i < KEYPROC_SLOTS; i++) {
		struct keyproc_slot *s = &k->slots[i];

		if (s->state == SLOT_ASKED && now >= slot_due(k, s))
			slot_late(k, s);
		if (s->state == SLOT_ASKED && (next == 0 ||
		    slot_due(k, s) < next))
			next = slot_due(k, s);
	}
	if (next != 0)
		watch(k, next);
	keyproc_unref(k);
}

/* The timer goes off then, or before that. */
static void
watch(struct keyproc *k, uint64_t due)
{
	uint64_t now = ev_now(k->ev);

	if (ev_timer_pending(&k->timer) && k->due <= due)
		return;
	k->due = due;
	ev_timer_set(k->ev, &k->timer, due > now ? due - now : 0, late_cb, k);
}

/* ---- the socket ---- */

static void
lost(struct keyproc *k)
{
	if (k->fd == -1)
		return;
	ev_close(k->ev, k->fd);
	k->fd = -1;
	for (unsigned i = 0; i < KEYPROC_SLOTS; i++)
		k->slots[i].sent = false;
}

static size_t
request_put(size_t at, const struct keyproc_slot *s, uint32_t index)
{
	const struct keyproc_ask *a = s->ask;
	struct keyproc_request r = { .slot = index, .turn = s->turn,
	    .key = a->key, .hash = a->hash, .padding = a->padding,
	    .len = (uint32_t)a->len };

	memcpy(message + at, &r, sizeof(r));
	memcpy(message + at + sizeof(r), a->bytes, a->len);
	return at + sizeof(r) + a->len;
}

/* As many of the questions as fit. How many bytes; which ones: those whose
 * numbers are in in[0..*n). */
static size_t
message_fill(struct keyproc *k, uint8_t in[static KEYPROC_SLOTS], unsigned *n)
{
	size_t at = 0;

	*n = 0;
	for (unsigned i = 0; i < KEYPROC_SLOTS; i++) {
		const struct keyproc_slot *s = &k->slots[i];

		if (s->state != SLOT_ASKED || s->sent || sizeof(struct
		    keyproc_request) + s->ask->len > sizeof(message) - at)
			continue;
		at = request_put(at, s, i);
		in[(*n)++] = (uint8_t)i;
	}
	return at;
}

static void
flush(struct keyproc *k)
{
	uint8_t in[KEYPROC_SLOTS];
	unsigned n;
	size_t len;

	while (k->fd != -1 && (len = message_fill(k, in, &n)) > 0) {
		struct iovec iov = { message, len };

		if (msg_send(k->fd, &iov, 1, NULL, 0) == -1) {
			/* What else it is, reading tells. */
			if (errno == EAGAIN)
				ev_interest(k->ev, k->fd, EV_READ | EV_WRITE);
			return;
		}
		while (n > 0)
			k->slots[in[--n]].sent = true;
	}
	if (k->fd != -1)
		ev_interest(k->ev, k->fd, EV_READ);
}

static void
flush_cb(void *ctx)
{
	flush(ctx);
}

static void
answered(struct keyproc *k, const struct keyproc_answer *a,
    const uint8_t *signature)
{
	struct keyproc_slot *s = &k->slots[a->slot];

	if (s->state != SLOT_ASKED || s->turn != a->turn || !s->sent)
		return;			/* given up meanwhile */
	if (a->len == 0 || a->len > s->ask->room) {
		slot_end(k, s, SLOT_FAILED, "the key process refused");
		return;
	}
	memcpy(s->ask->signature, signature, a->len);
	s->ask->got = a->len;
	slot_end(k, s, SLOT_DONE, NULL);
}

static void
receive(struct keyproc *k)
{
	for (int i = 0; i < TURN && k->fd != -1; i++) {
		struct keyproc_answer a;
		const uint8_t *p = message, *signature;
		int fds[MSG_FDS], cut, got;
		unsigned nfds;
		ssize_t n = msg_recv(k->fd, message, sizeof(message), fds,
		    &nfds, &cut);
		size_t left = n > 0 ? (size_t)n : 0;

		while (nfds > 0)
			net_close(fds[--nfds]);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			lost(k);
			return;
		}
		while ((got = keyproc_answer_next(&p, &left, &a,
		    &signature)) == 1)
			answered(k, &a, signature);
		if (got == -1) {
			log_err("the key process does not make sense");
			lost(k);
		}
	}
}

static void
readable(void *ctx, int fd)
{
	struct keyproc *k = keyproc_ref(ctx);

	(void)fd;
	receive(k);
	keyproc_unref(k);
}

static void
writable(void *ctx, int fd)
{
	(void)fd;
	flush(ctx);
}

static const struct ev_ops keyproc_ops = {
	.readable = readable, .writable = writable,
	.error = readable, .hangup = readable,
};

/* ---- asking ---- */

static int
remaining_ms(const struct timespec *end)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)(end->tv_sec - now.tv_sec) * 1000 +
	    (end->tv_nsec - now.tv_nsec) / 1000000;
	return ms > 0 ? (int)ms : 0;
}

/* The system cannot put handshakes aside: everybody waits with this one. */
static void
wait_within(struct keyproc *k, const struct keyproc_slot *s)
{
	struct timespec end;
	int ms;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WITHIN_MS / 1000;
	flush(k);
	while (s->state == SLOT_ASKED && k->fd != -1 &&
	    (ms = remaining_ms(&end)) > 0) {
		struct pollfd p = { .fd = k->fd, .events = POLLIN };

		if (!s->sent)
			p.events |= POLLOUT;
		if (poll(&p, 1, ms) == -1 && errno != EINTR)
			return;
		receive(k);
		if (!s->sent)
			flush(k);
	}
}

static void
wait_aside(const struct keyproc_slot *s)
{
	while (s->state == SLOT_ASKED)
		if (ASYNC_pause_job() == 0)
			return;
}

/*
 * What is asked stands on the stack of who asks, which stays as it is until
 * the end, also aside.
 */
int
keyproc_ask(struct keyproc *k, struct keyproc_ask *a)
{
	struct keyproc_wait *wait = entered;
	bool aside = wait != NULL && ASYNC_get_current_job() != NULL;
	struct keyproc_slot *s;
	int status;

	if (a->len > KEYPROC_BYTES ||
	    (s = slot_take(k, a, aside ? wait : NULL)) == NULL) {
		if (wait != NULL)
			wait->failure = "too much for the key process";
		return -1;
	}
	if (aside) {
		wait->slot = s;
		ev_defer(k->ev, &k->task, flush_cb, k);
		watch(k, slot_due(k, s));
		wait_aside(s);
		wait->slot = NULL;
	} else
		wait_within(k, s);
	if (s->state == SLOT_ASKED)
		slot_settle(k, s, SLOT_FAILED,
		    "no answer from the key process");
	status = s->state == SLOT_DONE ? 0 : -1;
	if (status == -1 && wait != NULL)
		wait->failure = s->failure;
	slot_free(s);
	return status;
}

void
keyproc_cancel(struct keyproc_wait *w)
{
	struct keyproc_slot *s = w->slot;

	w->cb = NULL;
	if (w->link != NULL)
		queue_remove(w);
	if (w->granted)
		keyproc_job_ended();	/* to the next one */
	w->granted = false;
	if (s != NULL && s->state == SLOT_ASKED)
		slot_settle(s->keys, s, SLOT_FAILED, "given up");
}

/* ---- life ---- */

struct keyproc *
keyproc_new(struct ev *ev)
{
	struct keyproc *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->refs = 1;
	k->ev = ev;
	k->fd = -1;
	return k;
}

void
keyproc_patience(struct keyproc *k, uint64_t ns, void (*late)(uint64_t))
{
	k->patience = ns;
	k->late = late;
}

struct keyproc *
keyproc_ref(struct keyproc *k)
{
	k->refs++;
	return k;
}

void
keyproc_unref(struct keyproc *k)
{
	if (k == NULL || --k->refs > 0)
		return;
	lost(k);
	ev_defer_cancel(k->ev, &k->task);
	ev_timer_stop(k->ev, &k->timer);
	free(k);
}

void
keyproc_attach(struct keyproc *k, int fd)
{
	lost(k);
	if (net_nonblock(fd) == -1 ||
	    ev_add(k->ev, fd, &keyproc_ops, k, EV_READ) == -1) {
		log_err("key process: %s", strerror(errno));
		net_close(fd);
		return;
	}
	k->fd = fd;
	ev_defer(k->ev, &k->task, flush_cb, k);
}

void
keyproc_close(struct keyproc *k)
{
	keyproc_ref(k);
	lost(k);
	for (unsigned i = 0; i < KEYPROC_SLOTS; i++)
		if (k->slots[i].state == SLOT_ASKED)
			slot_end(k, &k->slots[i], SLOT_FAILED,
			    "no key process");
	keyproc_unref(k);
}

unsigned
keyproc_waiting(const struct keyproc *k)
{
	return k->waiting;
}
