/*
 * The state as bytes: a head, then objects, each with its kind, the length
 * of its fixed part, and its whole length. Host order: both programs run on
 * the same machine, one after the other in the same process.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/cleanse.h"
#include "features.h"
#include "proc.h"
#include "upgrade_state.h"

#define MAGIC		UINT64_C(0x5350415755504752)
#define FORMAT		1u
#define STATE_MAX	((size_t)1 << 30)
#define OBJECTS_MAX	((size_t)1 << 22)
#define LENT_MAX	((size_t)1 << 20)

struct head {
	uint64_t magic;
	uint32_t format, zero;
	uint64_t len;			/* of everything */
};

struct object {
	uint32_t kind, fixed;
	uint64_t len;			/* behind this, a multiple of 8 */
};

#define FORMER_TICKETS	3	/* keys that every version has room for */

enum kind { KIND_SERVICE = 1, KIND_LISTENER, KIND_BOARD, KIND_WORKER,
    KIND_HAND, KIND_KEYS, KIND_PASSED, KINDS };

/* How objects lie in memory, and how much of one every version has. */
static const struct form {
	size_t	 size, fixed, least;
	unsigned ntails, texts;		/* bits: which tails are texts */
	size_t	 list, count;		/* in struct upgrade_state */
} forms[KINDS] = {
#define LIST(type, name, tails, text) \
	{ sizeof(struct upgrade_##type), offsetof(struct upgrade_##type, \
	    tail), offsetof(struct upgrade_##type, tail), tails, text, \
	    offsetof(struct upgrade_state, name), \
	    offsetof(struct upgrade_state, n##name) }
#define LIST_FIXED(type, name) \
	{ sizeof(struct upgrade_##type), sizeof(struct upgrade_##type), \
	    sizeof(struct upgrade_##type), 0, 0, \
	    offsetof(struct upgrade_state, name), \
	    offsetof(struct upgrade_state, n##name) }
	[KIND_SERVICE] = { sizeof(struct upgrade_service),
	    offsetof(struct upgrade_service, tail),
	    offsetof(struct upgrade_service, tickets) +
	    FORMER_TICKETS * sizeof(struct ticket_key), 3, 7, 0, 0 },
	[KIND_LISTENER]	= LIST(listener, listeners, 3, 7),
	[KIND_BOARD]	= LIST_FIXED(board, boards),
	[KIND_WORKER]	= LIST(worker, workers, 1, 0),
	[KIND_HAND]	= LIST_FIXED(hand, hands),
	[KIND_KEYS]	= LIST_FIXED(keys, keys),
	[KIND_PASSED]	= LIST(passed, passed, 1, 1),
#undef LIST
#undef LIST_FIXED
};

/* No gaps in what travels as it stands. */
static_assert(offsetof(struct upgrade_service, tail) == 24 + 12 * 4 +
    TICKETS_MAX * sizeof(struct ticket_key), "service");
static_assert(offsetof(struct upgrade_listener, tail) == 32 + 10 * 4 + 256 +
    sizeof(struct channel_record), "listener");
static_assert(sizeof(struct upgrade_board) == 16, "board");
static_assert(offsetof(struct upgrade_passed, tail) == 8, "passed");
static_assert(offsetof(struct upgrade_worker, tail) == 11 * 8 + 14 * 4 + 8,
    "worker");
static_assert(sizeof(struct upgrade_hand) == 8 + 6 * 4 +
    sizeof(struct channel_record), "hand");
static_assert(sizeof(struct upgrade_keys) == 32, "keys");

static const struct upgrade_bytes *
tails_of(const struct form *f, const void *object)
{
	return (const void *)((const uint8_t *)object + f->fixed);
}

static void *
list_of(const struct upgrade_state *s, const struct form *f)
{
	void *list;

	memcpy(&list, (const uint8_t *)s + f->list, sizeof(list));
	return list;
}

static size_t
count_of(const struct upgrade_state *s, enum kind k)
{
	size_t n = 1;

	if (k != KIND_SERVICE)
		memcpy(&n, (const uint8_t *)s + forms[k].count, sizeof(n));
	return n;
}

static void *
object_of(const struct upgrade_state *s, enum kind k, size_t i)
{
	if (k == KIND_SERVICE)
		return (void *)(uintptr_t)&s->service;
	return (uint8_t *)list_of(s, &forms[k]) + i * forms[k].size;
}

/* ---- writing ---- */

static size_t
padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static size_t
object_len(const struct form *f, const void *object)
{
	size_t n = padded(f->fixed);

	for (unsigned t = 0; t < f->ntails; t++)
		n += 8 + padded(tails_of(f, object)[t].len);
	return n;
}

/* to is zeroed and has room. */
static uint8_t *
object_write(uint8_t *to, enum kind k, const void *object)
{
	const struct form *f = &forms[k];
	struct object o = { k, (uint32_t)f->fixed, object_len(f, object) };

	memcpy(to, &o, sizeof(o));
	to += sizeof(o);
	memcpy(to, object, f->fixed);
	to += padded(f->fixed);
	for (unsigned t = 0; t < f->ntails; t++) {
		uint64_t len = tails_of(f, object)[t].len;

		memcpy(to, &len, sizeof(len));
		if (len > 0)
			memcpy(to + 8, tails_of(f, object)[t].data, len);
		to += 8 + padded(len);
	}
	return to;
}

void *
upgrade_state_pack(const struct upgrade_state *s, size_t *len)
{
	struct head h = { .magic = MAGIC, .format = FORMAT };
	size_t n = sizeof(h);
	uint8_t *data, *at;

	for (enum kind k = KIND_SERVICE; k < KINDS; k++)
		for (size_t i = 0; i < count_of(s, k); i++)
			n += sizeof(struct object) + object_len(&forms[k],
			    object_of(s, k, i));
	if (n > STATE_MAX) {
		errno = EFBIG;
		return NULL;
	}
	if ((data = calloc(1, n)) == NULL)
		return NULL;
	h.len = n;
	memcpy(data, &h, sizeof(h));
	at = data + sizeof(h);
	for (enum kind k = KIND_SERVICE; k < KINDS; k++)
		for (size_t i = 0; i < count_of(s, k); i++)
			at = object_write(at, k, object_of(s, k, i));
	*len = n;
	return data;
}

/* ---- reading ---- */

/* Bytes not read yet. */
struct view {
	const uint8_t	*at;
	size_t		 left;
};

static const uint8_t *
view_take(struct view *v, size_t n)
{
	const uint8_t *at = v->at;

	if (n > v->left)
		return NULL;
	v->at += n;
	v->left -= n;
	return at;
}

static bool
tail_read(struct view *v, struct upgrade_bytes *b, bool text)
{
	const uint8_t *p = view_take(v, 8);
	uint64_t len;

	if (p == NULL)
		return false;
	memcpy(&len, p, sizeof(len));
	if (len > v->left || (p = view_take(v, padded((size_t)len))) == NULL)
		return false;
	if (text && len > 0 &&
	    memchr(p, 0, (size_t)len) != p + len - 1)
		return false;
	b->data = len > 0 ? p : NULL;
	b->len = (size_t)len;
	return true;
}

/* The part of an object that we know; what another version has more of is
 * passed over, what it has less of is 0. */
static bool
object_read(struct view v, const struct form *f, size_t fixed, void *object)
{
	const uint8_t *p = fixed > v.left ? NULL : view_take(&v,
	    padded(fixed));
	struct upgrade_bytes *tails = (void *)((uint8_t *)object + f->fixed);

	if (p == NULL || fixed < f->least)
		return false;
	memcpy(object, p, fixed < f->fixed ? fixed : f->fixed);
	for (unsigned t = 0; t < f->ntails && v.left > 0; t++)
		if (!tail_read(&v, &tails[t], f->texts & 1u << t))
			return false;
	return true;
}

static void *
object_add(struct upgrade_state *s, enum kind k)
{
	const struct form *f = &forms[k];
	size_t n = count_of(s, k);
	uint8_t *list = list_of(s, f);

	if (n >= OBJECTS_MAX)
		return NULL;
	/* room for a power of two */
	if ((n & (n - 1)) == 0) {
		list = reallocarray(list, n > 0 ? n * 2 : 1, f->size);
		if (list == NULL)
			return NULL;
		memcpy((uint8_t *)s + f->list, &list, sizeof(list));
	}
	memset(list + n * f->size, 0, f->size);
	n++;
	memcpy((uint8_t *)s + f->count, &n, sizeof(n));
	return list + (n - 1) * f->size;
}

static void
tickets_clean(struct view inside, size_t fixed)
{
	size_t at = offsetof(struct upgrade_service, tickets);
	size_t most = sizeof(((struct upgrade_service *)0)->tickets);

	memset((uint8_t *)(uintptr_t)inside.at + at, 0,
	    fixed - at < most ? fixed - at : most);
}

static const char *
objects_read(struct upgrade_state *s, struct view v)
{
	bool served = false;

	while (v.left > 0) {
		const uint8_t *p = view_take(&v, sizeof(struct object));
		struct object o;
		struct view inside;
		void *object;

		if (p == NULL)
			return "cut off";
		memcpy(&o, p, sizeof(o));
		if (o.len > v.left || o.len % 8 != 0)
			return "an object is cut off";
		inside = (struct view){ v.at, (size_t)o.len };
		view_take(&v, (size_t)o.len);
		if (o.kind == 0 || o.kind >= KINDS)
			continue;	/* of another version */
		if (o.kind == KIND_SERVICE && served)
			return "two services";
		served = served || o.kind == KIND_SERVICE;
		object = o.kind == KIND_SERVICE ? &s->service :
		    object_add(s, o.kind);
		if (object == NULL)
			return "too much of it";
		if (!object_read(inside, &forms[o.kind], o.fixed, object))
			return "an object is malformed";
		/* one copy of the ticket keys is enough */
		if (o.kind == KIND_SERVICE)
			tickets_clean(inside, o.fixed);
	}
	return served ? NULL : "no service";
}

/* ---- does it agree with itself? ---- */

size_t
upgrade_state_fds(const struct upgrade_state *s, int *fds, size_t max)
{
	size_t n = 0;
#define TELL(number) do { \
	if ((number) != -1 && n++ < max) \
		fds[n - 1] = (number); \
	} while (0)

	TELL(s->service.standin);
	TELL(s->service.pidfile);
	TELL(s->service.status);
	for (size_t i = 0; i < s->nlisteners; i++)
		TELL(s->listeners[i].fd);
	for (size_t i = 0; i < s->nboards; i++)
		TELL(s->boards[i].fd);
	for (size_t i = 0; i < s->nworkers; i++)
		TELL(s->workers[i].fd);
	for (size_t i = 0; i < s->nhands; i++)
		TELL(s->hands[i].fd);
	for (size_t i = 0; i < s->nkeys; i++)
		TELL(s->keys[i].fd);
	for (size_t i = 0; i < s->npassed; i++)
		TELL(s->passed[i].fd);
#undef TELL
	return n;
}

static int
int_order(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* 0, 1 and 2 are everybody's. */
static const char *
fds_check(const struct upgrade_state *s)
{
	size_t n = upgrade_state_fds(s, NULL, 0);
	int *fds = calloc(n > 0 ? n : 1, sizeof(*fds));
	const char *why = NULL;

	if (fds == NULL)
		return "out of memory";
	upgrade_state_fds(s, fds, n);
	qsort(fds, n, sizeof(*fds), int_order);
	for (size_t i = 0; i < n && why == NULL; i++)
		if (fds[i] < 3)
			why = "a descriptor out of range";
		else if (i > 0 && fds[i] == fds[i - 1])
			why = "a descriptor twice";
	free(fds);
	return why;
}

/* Two numbers into one that can be compared. */
static uint64_t
pair_of(uint32_t a, uint32_t b)
{
	return (uint64_t)a << 32 | b;
}

static int
pair_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
all_differ(uint64_t *list, size_t n)
{
	qsort(list, n, sizeof(*list), pair_order);
	for (size_t i = 1; i < n; i++)
		if (list[i] == list[i - 1])
			return false;
	return true;
}

static const char *
listeners_check(const struct upgrade_state *s)
{
	for (size_t i = 0; i < s->npassed; i++)
		if (s->passed[i].fd == -1 || s->passed[i].tail[0].data == NULL)
			return "a passed socket has no name";
	for (size_t i = 0; i < s->nlisteners; i++) {
		const struct upgrade_listener *l = &s->listeners[i];

		if (l->addr_len > sizeof(l->addr) ||
		    l->bound_len > sizeof(l->bound))
			return "an address is too long";
		if (l->tail[UPGRADE_NAME].data == NULL ||
		    l->tail[UPGRADE_TEXT].data == NULL)
			return "a listener has no name";
		if (l->passed > s->npassed || (l->passed > 0 && l->fd != -1))
			return "a listener has another's socket";
	}
	for (size_t i = 0; i < s->nhands; i++)
		if (s->hands[i].listener >= s->nlisteners &&
		    s->hands[i].listener != UINT32_MAX)
			return "a connection of no listener";
	return NULL;
}

static const char *
workers_check(const struct upgrade_state *s, uint64_t *list)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nworkers; i++) {
		const struct upgrade_worker *w = &s->workers[i];

		if (w->pid <= 1 || w->number == 0 ||
		    w->state >= PROC_DEAD || w->board > s->nboards ||
		    w->tail[UPGRADE_LENT].len > LENT_MAX)
			return "a worker is out of range";
		list[i] = w->number;
	}
	if (!all_differ(list, s->nworkers))
		return "a worker twice";
	for (size_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].board > 0)
			list[n++] = pair_of(s->workers[i].board,
			    s->workers[i].column);
	return all_differ(list, n) ? NULL : "a column twice";
}

static const char *
service_check(const struct upgrade_service *s)
{
	if (s->pid < 1 || s->standin_pid < 0)
		return "no process";
	if (s->generation == 0 || s->generation == UINT32_MAX)
		return "generation out of range";
	if (s->ntickets > TICKETS_MAX)
		return "too many ticket keys";
	if (s->pidfile != -1 && s->tail[UPGRADE_PIDFILE].data == NULL)
		return "a pid file without a path";
	if (s->status != -1 && s->tail[UPGRADE_STATUS].data == NULL)
		return "a status socket without a path";
	return NULL;
}

static const char *
state_check(const struct upgrade_state *s)
{
	uint64_t *list = calloc(s->nworkers + 1, sizeof(*list));
	const char *why;

	if (list == NULL)
		return "out of memory";
	if ((why = service_check(&s->service)) == NULL &&
	    (why = fds_check(s)) == NULL &&
	    (why = listeners_check(s)) == NULL)
		why = workers_check(s, list);
	free(list);
	return why;
}

struct upgrade_state *
upgrade_state_read(const void *data, size_t len, const char **why)
{
	struct upgrade_state *s;
	struct view v;
	struct head h;

	*why = "not a state of the service";
	if (len < sizeof(h) || len > STATE_MAX)
		return NULL;
	memcpy(&h, data, sizeof(h));
	if (h.magic != MAGIC)
		return NULL;
	*why = "another version of the state";
	if (h.format != FORMAT)
		return NULL;
	*why = "the state is cut off";
	if (h.len != len)
		return NULL;
	*why = "out of memory";
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	if ((s->data = malloc(len)) == NULL) {
		free(s);
		return NULL;
	}
	s->len = len;
	memcpy(s->data, data, len);
	v = (struct view){ (const uint8_t *)s->data + sizeof(h),
	    len - sizeof(h) };
	if ((*why = objects_read(s, v)) == NULL &&
	    (*why = state_check(s)) == NULL)
		return s;
	upgrade_state_free(s);
	return NULL;
}

void
upgrade_state_free(struct upgrade_state *s)
{
	if (s == NULL)
		return;
	for (enum kind k = KIND_LISTENER; k < KINDS; k++)
		free(list_of(s, &forms[k]));
	if (s->data != NULL)
		cleanse(s->data, s->len);
	free(s->data);
	cleanse(s, sizeof(*s));
	free(s);
}
