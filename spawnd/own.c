/*
 * The worker's half of the channel as the engine sees it, and the counts: a
 * connection is given, taken or accepted, and then finished or returned, and
 * each of that is one store to the column of this worker.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "own_state.h"
#include "rows.h"
#include "worker.h"

bool
own_is_worker(void)
{
	return worker_started();
}

uint32_t
own_number(const struct own *o)
{
	return o->number;
}

struct board_cell *
own_listener(struct own *o, const struct listener_conf *l)
{
	char name[BOARD_NAME];

	return board_hold(o->board, o->column, BOARD_LISTENER,
	    rows_listener(l, name));
}

struct board *
own_board(struct own *o)
{
	return o->board;
}

unsigned
own_column(const struct own *o)
{
	return o->column;
}

uint32_t
own_use(const struct own *o)
{
	return o->live > UINT32_MAX ? UINT32_MAX : (uint32_t)o->live;
}

uint32_t
own_load(const struct own *o)
{
	uint64_t gone = board_get(&o->users->finished) +
	    board_get(&o->users->returned);
	uint64_t come = board_get(&o->seat->given) +
	    board_get(&o->users->accepted);

	/* A master that died between counting and sending leaves too many
	 * behind; that only keeps this worker from accepting. */
	if (come < gone + o->live)
		return own_use(o);
	return come - gone > UINT32_MAX ? UINT32_MAX : (uint32_t)(come - gone);
}

static void
own_turn_cb(void *ctx)
{
	struct own *o = ctx;

	o->ops->round(o);
}

void
own_stir(struct own *o)
{
	ev_defer(o->ev, &o->turn, own_turn_cb, o);
}

void
own_take(struct own *o, const struct spawnd_conn *c, unsigned n)
{
	if (o->seat_ours)
		board_add(&o->seat->given, n);
	/* A release store, and before the first read: from here on the
	 * master must not give them to another worker. */
	board_add(&o->users->taken, n);
	o->taken = board_get(&o->users->taken);
	o->live += n;
	own_stir(o);
	o->engine->conn(o->worker, c, n);
}

void
own_accept(struct own *o, const struct spawnd_conn *c, unsigned n)
{
	board_add(&o->users->accepted, n);
	o->live += n;
	own_stir(o);
	o->engine->conn(o->worker, c, n);
}

void
own_refused(struct own *o, unsigned n)
{
	if (o->seat_ours)
		board_add(&o->seat->given, n);
	board_add(&o->users->returned, n);
	board_add(&o->users->taken, n);
	own_stir(o);
}

void
own_ended(struct own *o, unsigned end)
{
	board_add(&o->users->ended[end], 1);
}

void
own_done(struct own *o, unsigned n)
{
	assert(n <= o->live);
	o->live -= n;
	o->ended += n;
	board_add(&o->users->finished, n);
	own_stir(o);
}

void
own_return(struct own *o, const struct spawnd_conn *c, unsigned reason)
{
	assert(o->live > 0);
	o->live--;
	/* The message first: what the column says covers what was sent. */
	o->ops->returned(o, c, reason);
	board_add(&o->users->returned, 1);
	if (c->fd != -1)
		close(c->fd);
	own_stir(o);
}

uint64_t
own_copy(const struct own *o, const struct spawnd_conn *c)
{
	return o->ops->shares && (c->id & OWN_SELF) == 0 ? o->taken : 0;
}

bool
own_shared(const struct own *o, uint64_t copy)
{
	if (copy == 0)
		return false;
	return atomic_load_explicit(&o->seat->released,
	    memory_order_acquire) < copy || board_get(&o->seat->forked) >=
	    copy;
}

void
own_rest(struct own *o, uint64_t ns)
{
	if (o->ops->rest != NULL)
		o->ops->rest(o, ns);
}

void
own_retire(struct own *o)
{
	o->ops->retire(o);
}

void
own_tell(struct own *o, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	static uint8_t payload[sizeof(struct channel_tell) + ROLE_DATA];
	const struct channel_tell head = { .role = role,
	    .instance = instance, .type = type };

	assert(type != 0 && len <= ROLE_DATA);
	if (o->ops->tell == NULL)
		return;
	memcpy(payload, &head, sizeof(head));
	if (len > 0)
		memcpy(payload + sizeof(head), data, len);
	o->ops->tell(o, payload, sizeof(head) + len, fd);
}

/* ---- how the master compiled */

static const char *
own_text(const char *s)
{
	return s == NULL ? "" : s;
}

size_t
own_request_pack(char *buf, size_t size, const struct conf_request *r)
{
	const char *const parts[] = { own_text(r->file),
	    own_text(r->broker_id), own_text(r->worker_id),
	    own_text(r->argv0), own_text(r->self), own_text(r->extra) };
	size_t at = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		size_t len = strlen(parts[i]) + 1;

		if (len > size - at)
			return 0;
		memcpy(buf + at, parts[i], len);
		at += len;
	}
	return at;
}

bool
own_request_unpack(struct conf_request *r, const void *data, size_t len)
{
	const char *p = data, *end;
	const char *parts[6];

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		end = len == 0 ? NULL : memchr(p, '\0', len);
		if (end == NULL)
			return false;
		parts[i] = *p == '\0' ? NULL : p;
		len -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	if (parts[0] == NULL)
		return false;
	r->file = parts[0];
	r->broker_id = parts[1];
	r->worker_id = parts[2];
	r->argv0 = parts[3];
	r->self = parts[4];
	r->extra = parts[5];
	return true;
}
