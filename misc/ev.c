/*
 * The event loop: descriptors, timers, deferred calls, signals. How the
 * kernel is asked is a mechanism's business (ev_mech.h); it reports into the
 * table here, and the callbacks run from the table when it is done. That is
 * why any callback may change or close any descriptor: a pending event is
 * nothing but bits in the entry and dies with it.
 */
#include <sys/resource.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ev_impl.h"

#define FD_MAX		1048576		/* for unlimited limits, spec 6.6 */
#define TABLE_MIN	64

/* flags of an entry */
#define USED		1u	/* watched */
#define KNOWN		2u	/* the mechanism has heard of it */
#define DIRTY		4u	/* on the list of changes; survives closing */
#define SHARED		8u
#define ALWAYS		16u	/* on the list of regular files */
#define CLOSING		32u	/* closed at the end of the round */

/* One descriptor. An idle session pays for two of them. */
struct ev_entry {
	const struct ev_ops	*ops;
	void			*ctx;
	uint32_t		 serial;	/* tells owners of it apart */
	uint8_t			 want;		/* what the owner asks for */
	uint8_t			 told;		/* what the mechanism knows */
	uint8_t			 got;		/* reported, undelivered */
	uint8_t			 flags;
};
static_assert(sizeof(struct ev_entry) <= 32, "idle sessions");

/* The table */

int
ev_grow(void **array, size_t *size, size_t element, size_t n)
{
	size_t room = *size < TABLE_MIN ? TABLE_MIN : *size;
	void *p;

	if (n < *size)
		return 0;
	while (room <= n)
		room *= 2;
	/* not realloc and memset: what is never used is never touched */
	p = calloc(room, element);
	if (p == NULL)
		return -1;
	if (*size != 0)
		memcpy(p, *array, *size * element);
	free(*array);
	*array = p;
	*size = room;
	return 0;
}

static int
table_grow(struct ev *ev, int fd)
{
	struct ev_fds *const lists[] = { &ev->changes, &ev->ready, &ev->closes,
	    &ev->always };
	size_t i, size;
	void *p;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		size = ev->size;
		p = lists[i]->fd;
		if (ev_grow(&p, &size, sizeof(int), (size_t)fd) == -1)
			return -1;
		lists[i]->fd = p;
	}
	p = ev->table;
	if (ev_grow(&p, &ev->size, sizeof(struct ev_entry), (size_t)fd) == -1)
		return -1;
	ev->table = p;
	return 0;
}

static void
fds_append(struct ev_fds *l, int fd)
{
	l->fd[l->n++] = fd;
}

static void
fds_remove(struct ev_fds *l, int fd)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (l->fd[i] == fd) {
			l->fd[i] = l->fd[--l->n];
			return;
		}
	}
}

static struct ev_entry *
entry_find(const struct ev *ev, int fd)
{
	if (fd < 0 || (size_t)fd >= ev->size ||
	    (ev->table[fd].flags & USED) == 0)
		return NULL;
	return &ev->table[fd];
}

static void
entry_dirty(struct ev *ev, struct ev_entry *e, int fd)
{
	if (e->flags & DIRTY)
		return;
	e->flags |= DIRTY;
	fds_append(&ev->changes, fd);
}

/* With the flag that mechanisms see. */
static unsigned
entry_bits(const struct ev_entry *e, unsigned interest)
{
	return e->flags & SHARED ? interest | EV_SHARED : interest;
}

/* Out of the loop; nothing of it is left but its place on the change list. */
static void
entry_remove(struct ev *ev, struct ev_entry *e, int fd, bool closing)
{
	if (e->flags & KNOWN)
		ev->mech->forget(ev->state, fd, entry_bits(e, e->told),
		    closing && (e->flags & SHARED) == 0);
	if (e->flags & ALWAYS)
		fds_remove(&ev->always, fd);
	e->ops = NULL;
	e->ctx = NULL;
	e->want = e->told = e->got = 0;
	e->flags &= DIRTY | CLOSING;
}

static int
add(struct ev *ev, int fd, const struct ev_ops *ops, void *ctx,
    unsigned interest, unsigned flags)
{
	struct ev_entry *e;

	assert(fd >= 0 && ops != NULL);
	assert((interest & ~(EV_READ | EV_WRITE)) == 0);
	if (fd >= ev->limit) {
		errno = EMFILE;
		return -1;
	}
	if ((size_t)fd >= ev->size && table_grow(ev, fd) == -1)
		return -1;
	e = &ev->table[fd];
	if (e->flags & (USED | CLOSING)) {
		errno = EEXIST;
		return -1;
	}
	if (++ev->serial == 0)
		ev->serial = 1;
	e->ops = ops;
	e->ctx = ctx;
	e->serial = ev->serial;
	e->want = (uint8_t)interest;
	e->flags |= (uint8_t)(USED | flags);
	entry_dirty(ev, e, fd);
	return 0;
}

int
ev_add(struct ev *ev, int fd, const struct ev_ops *ops, void *ctx,
    unsigned interest)
{
	return add(ev, fd, ops, ctx, interest, 0);
}

int
ev_add_shared(struct ev *ev, int fd, const struct ev_ops *ops, void *ctx,
    unsigned interest)
{
	return add(ev, fd, ops, ctx, interest, SHARED);
}

void
ev_set(struct ev *ev, int fd, const struct ev_ops *ops, void *ctx)
{
	struct ev_entry *e = entry_find(ev, fd);

	if (e == NULL)
		return;
	e->ops = ops;
	e->ctx = ctx;
}

void
ev_interest(struct ev *ev, int fd, unsigned interest)
{
	struct ev_entry *e = entry_find(ev, fd);

	/* NULL: it was taken out of the loop */
	if (e == NULL || e->want == interest)
		return;
	assert((interest & ~(EV_READ | EV_WRITE)) == 0);
	e->want = (uint8_t)interest;
	entry_dirty(ev, e, fd);
}

bool
ev_has(const struct ev *ev, int fd)
{
	return entry_find(ev, fd) != NULL;
}

void
ev_del(struct ev *ev, int fd)
{
	struct ev_entry *e = entry_find(ev, fd);

	if (e != NULL)
		entry_remove(ev, e, fd, false);
}

static void
close_later(struct ev *ev, int fd, bool shared)
{
	struct ev_entry *e;
	int error = errno;

	assert(fd >= 0);
	if ((size_t)fd >= ev->size && table_grow(ev, fd) == -1) {
		/* never added, so nothing is pending for the number */
		close(fd);
		errno = error;
		return;
	}
	e = &ev->table[fd];
	if (e->flags & CLOSING)
		return;
	if (e->flags & USED)
		entry_remove(ev, e, fd, !shared);
	e->flags |= CLOSING;
	fds_append(&ev->closes, fd);
	errno = error;
}

void
ev_close(struct ev *ev, int fd)
{
	close_later(ev, fd, false);
}

void
ev_close_shared(struct ev *ev, int fd)
{
	close_later(ev, fd, true);
}

static void
run_closes(struct ev *ev)
{
	size_t i;

	for (i = 0; i < ev->closes.n; i++) {
		ev->table[ev->closes.fd[i]].flags &= DIRTY;
		close(ev->closes.fd[i]);
	}
	ev->closes.n = 0;
}

/* What happens to descriptors */

/* What is wrong with a descriptor; a client may be able to repeat it. */
static void
trouble(struct ev *ev, int fd, const char *what)
{
	unsigned held;

	if (!log_allow(&ev->troubles, ev->now, EV_SECOND, 5, &held))
		return;
	if (held > 0)
		log_warn("event mechanism %s: %u more descriptors in trouble",
		    ev->mech->name, held);
	log_warn("event mechanism %s: descriptor %d: %s", ev->mech->name, fd,
	    what);
}

void
ev_report(struct ev *ev, int fd, uint32_t serial, unsigned what)
{
	struct ev_entry *e = entry_find(ev, fd);

	if (e == NULL || (serial != 0 && serial != e->serial) || what == 0)
		return;
	if (e->got == 0)
		fds_append(&ev->ready, fd);
	e->got |= (uint8_t)what;
}

/*
 * Tell the mechanism what is wanted now. A descriptor that came and went
 * since the last wait, and interest that is back where it was, cost nothing.
 */
static void
submit(struct ev *ev)
{
	struct ev_entry *e;
	size_t i;
	int fd;

	for (i = 0; i < ev->changes.n; i++) {
		fd = ev->changes.fd[i];
		e = &ev->table[fd];
		e->flags &= (uint8_t)~DIRTY;
		if ((e->flags & (USED | ALWAYS)) != USED ||
		    ((e->flags & KNOWN) && e->told == e->want))
			continue;
		if (ev->mech->change(ev->state, fd, e->serial,
		    entry_bits(e, e->told), entry_bits(e, e->want),
		    e->flags & KNOWN) == 0) {
			e->flags |= KNOWN;
			e->told = e->want;
		} else if (errno == EPERM && (e->flags & KNOWN) == 0) {
			e->flags |= ALWAYS;
			fds_append(&ev->always, fd);
		} else {
			trouble(ev, fd, strerror(errno));
			ev_report(ev, fd, 0, EV_FAULT);
		}
	}
	ev->changes.n = 0;
}

static void
report_always(struct ev *ev)
{
	size_t i;

	for (i = 0; i < ev->always.n; i++)
		ev_report(ev, ev->always.fd[i], 0,
		    ev->table[ev->always.fd[i]].want);
}

static bool
always_wanted(const struct ev *ev)
{
	size_t i;

	for (i = 0; i < ev->always.n; i++) {
		if (ev->table[ev->always.fd[i]].want != 0)
			return true;
	}
	return false;
}

/* An error or hang-up that nobody will hear of must not come again. */
static void
give_up(struct ev *ev, struct ev_entry *e, int fd, unsigned got)
{
	trouble(ev, fd, got & EV_FAULT ? "error, no longer watched" :
	    "hang-up, no longer watched");
	entry_remove(ev, e, fd, false);
}

static void
deliver(struct ev *ev, int fd)
{
	struct ev_entry *e = &ev->table[fd];
	const struct ev_ops *ops = e->ops;
	unsigned got = e->got;

	e->got = 0;
	if ((e->want & EV_READ) && (got & (EV_READ | EV_HANGUP)))
		ops->readable(e->ctx, fd);
	else if ((e->want & got & EV_WRITE) && (got & EV_HANGUP) == 0)
		ops->writable(e->ctx, fd);
	else if ((got & EV_FAULT) && ops->error != NULL)
		ops->error(e->ctx, fd);
	else if ((got & EV_HANGUP) && ops->hangup != NULL)
		ops->hangup(e->ctx, fd);
	else if (got & (EV_FAULT | EV_HANGUP))
		give_up(ev, e, fd, got);
}

static void
deliver_all(struct ev *ev)
{
	size_t i;

	/* the table may move while callbacks run */
	for (i = 0; i < ev->ready.n; i++) {
		if (ev->table[ev->ready.fd[i]].got != 0)
			deliver(ev, ev->ready.fd[i]);
	}
	ev->ready.n = 0;
}

/* The clock */

static uint64_t
clock_read(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * EV_SECOND + (uint64_t)ts.tv_nsec;
}

uint64_t
ev_now(const struct ev *ev)
{
	return ev->now;
}

uint64_t
ev_clock(struct ev *ev)
{
	ev->now = clock_read();
	return ev->now;
}

/* Deferred calls */

void
ev_defer(struct ev *ev, struct ev_task *t, void (*cb)(void *), void *ctx)
{
	t->cb = cb;
	t->ctx = ctx;
	if (t->link != NULL)
		return;
	t->next = NULL;
	t->link = ev->tasks_end;
	*t->link = t;
	ev->tasks_end = &t->next;
}

void
ev_defer_cancel(struct ev *ev, struct ev_task *t)
{
	if (t->link == NULL)
		return;
	*t->link = t->next;
	if (t->next != NULL)
		t->next->link = t->link;
	else if (ev->tasks_end == &t->next)
		ev->tasks_end = t->link;
	t->link = NULL;
}

static void
run_tasks(struct ev *ev)
{
	struct ev_task *list = ev->tasks, *t;

	if (list == NULL)
		return;
	list->link = &list;
	ev->tasks = NULL;
	ev->tasks_end = &ev->tasks;
	while ((t = list) != NULL) {
		ev_defer_cancel(ev, t);
		t->cb(t->ctx);
	}
}

/* The loop */

/*
 * The mask of IO_POLL_MECHANISM, decimal or 0x. false: not a number.
 */
static bool
mask_parse(const char *text, unsigned *mask)
{
	int base = 10;
	char *end;
	unsigned long n;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	/* strtoul would take blanks, signs and another 0x */
	if (strspn(text, base == 10 ? "0123456789" :
	    "0123456789abcdefABCDEF") != strlen(text) || *text == '\0')
		return false;
	errno = 0;
	n = strtoul(text, &end, base);
	if (errno != 0 || n > UINT_MAX)
		return false;
	*mask = (unsigned)n;
	return true;
}

static bool
mech_open(struct ev *ev, unsigned mask)
{
	size_t i;

	for (i = 0; ev_mechs[i] != NULL; i++) {
		if ((ev_mechs[i]->bit & mask) == 0)
			continue;
		ev->limit = FD_MAX;
		ev->state = ev_mechs[i]->open(&ev->limit);
		if (ev->state != NULL) {
			ev->mech = ev_mechs[i];
			return true;
		}
		log_warn("event mechanism %s: %s", ev_mechs[i]->name,
		    strerror(errno));
	}
	return false;
}

static bool
mech_choose(struct ev *ev, const char *text)
{
	unsigned mask;

	if (text == NULL)
		return mech_open(ev, ~0u);
	if (!mask_parse(text, &mask))
		log_warn("IO_POLL_MECHANISM '%s' is not a number, ignored",
		    text);
	else if (mech_open(ev, mask))
		return true;
	else
		log_warn("IO_POLL_MECHANISM '%s' permits no mechanism of this "
		    "system, ignored", text);
	return mech_open(ev, ~0u);
}

struct ev *
ev_new(const char *mask, bool quiet)
{
	struct ev *ev = calloc(1, sizeof(*ev));

	if (ev == NULL)
		return NULL;
	ev->tasks_end = &ev->tasks;
	if (!mech_choose(ev, mask)) {
		free(ev);
		return NULL;
	}
	if (!quiet)
		log_line("event mechanism: %s", ev->mech->name);
	ev_clock(ev);
	return ev;
}

void
ev_free(struct ev *ev)
{
	if (ev == NULL)
		return;
	assert(!ev->in_turn);
	ev_signals_clear(ev);
	run_closes(ev);
	ev_timers_clear(ev);
	while (ev->tasks != NULL)
		ev_defer_cancel(ev, ev->tasks);
	ev->mech->close(ev->state);
	free(ev->changes.fd);
	free(ev->ready.fd);
	free(ev->closes.fd);
	free(ev->always.fd);
	free(ev->table);
	free(ev);
}

int
ev_forked(struct ev *ev)
{
	int limit = ev->limit;
	size_t fd;

	/* closed first: a kqueue is not there any more, its number is free */
	ev->mech->close(ev->state);
	if ((ev->state = ev->mech->open(&limit)) == NULL)
		return -1;
	ev->always.n = 0;
	for (fd = 0; fd < ev->size; fd++) {
		struct ev_entry *e = &ev->table[fd];

		e->flags &= (uint8_t)~(KNOWN | ALWAYS);
		e->told = 0;
		if (e->flags & USED)
			entry_dirty(ev, e, (int)fd);
	}
	ev_signals_forked(ev);
	return 0;
}

const char *
ev_name(const struct ev *ev)
{
	return ev->mech->name;
}

unsigned
ev_mechanism(const struct ev *ev)
{
	return ev->mech->bit;
}

bool
ev_favoured(const struct ev *ev, const char *text)
{
	unsigned mask = ~0u;

	if (text != NULL && !mask_parse(text, &mask))
		mask = ~0u;
	for (size_t i = 0; ev_mechs[i] != NULL; i++)
		if ((ev_mechs[i]->bit & mask) != 0)
			return ev_mechs[i] == ev->mech;
	return ev_mechs[0] == ev->mech;
}

int
ev_limit(const struct ev *ev)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 ||
	    rl.rlim_cur == RLIM_INFINITY || rl.rlim_cur > (rlim_t)ev->limit)
		return ev->limit;
	return (int)rl.rlim_cur;
}

/* How long to wait, in ms; -1: until something happens. */
static int
wait_time(struct ev *ev, int max_ms)
{
	uint64_t key, ms;

	if (ev->stopped || ev->tasks != NULL || ev->closes.n > 0 ||
	    ev->ready.n > 0 || always_wanted(ev))
		return 0;
	if (ev->timers.n == 0)
		return max_ms;
	key = ev->timers.nodes[0].key;
	/* Callbacks took time since the clock was read. For a far timer
	 * that is nothing, for a near one it would be late by that much. */
	if (key > ev->now && key - ev->now < EV_SECOND)
		ev_clock(ev);
	if (key <= ev->now)
		return 0;
	ms = (key - ev->now + EV_MS - 1) / EV_MS;
	if (max_ms >= 0 && ms > (uint64_t)max_ms)
		return max_ms;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int
ev_turn(struct ev *ev, int max_ms)
{
	int error = 0;

	assert(!ev->in_turn);
	ev->in_turn = true;
	ev_timers_run(ev);
	submit(ev);
	if (ev->mech->wait(ev->state, ev, wait_time(ev, max_ms)) == -1 &&
	    errno != EINTR)
		error = errno;
	ev_clock(ev);
	report_always(ev);
	deliver_all(ev);
	run_tasks(ev);
	run_closes(ev);
	ev->in_turn = false;
	if (error == 0)
		return 0;
	errno = error;
	return -1;
}

int
ev_run(struct ev *ev)
{
	while (!ev->stopped) {
		if (ev_turn(ev, -1) == -1) {
			log_err("event mechanism %s: wait: %s", ev->mech->name,
			    strerror(errno));
			return EX_SOFTWARE;
		}
	}
	ev->stopped = false;
	return ev->status;
}

void
ev_stop(struct ev *ev, int status)
{
	ev->stopped = true;
	ev->status = status;
}
