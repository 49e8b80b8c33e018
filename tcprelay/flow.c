/*
 * Moving bytes in one direction. The common turn is one read that does not
 * fill the worker's buffer and one write that takes it all; everything else
 * here is for the day that the other side is slow.
 */
#include <errno.h>

#include "flow.h"
#include "worker.h"

#define FLOW_MARK	WORKER_COPY	/* bytes kept at the most */
/* No smaller room is worth a read; a TLS record must fit. */
#define FLOW_LEAST	16384u
#define FLOW_READS	16		/* of TLS records, in one turn */
/* Once the other side is slow, what is kept grows by that much at a time. */
#define FLOW_STEP	65536u
/* Reads of at least that many bytes, in a row, make a bulk transfer, and
 * as many smaller ones end it (doc: below that, copying is cheaper). */
#define FLOW_BULK	16384u
#define FLOW_RUN	2

/* Of buffers that were set: so many of them are kept, and so many are left
 * when reading goes on. */
#define FLOW_BUFFERS	256u
#define FLOW_BUFFERS_LOW 32u

static size_t
flow_mark(const struct flow *f)
{
	return f->mark == 0 ? FLOW_MARK : f->mark * (size_t)1024;
}

static void
flow_set_full(struct flow *f)
{
	size_t mark = flow_mark(f), low = f->mark == 0 ? mark / 2 :
	    mark / (FLOW_BUFFERS / FLOW_BUFFERS_LOW);

	if (f->pipe != NULL || f->held.len > mark - FLOW_LEAST)
		f->full = true;
	else if (f->held.len < low)
		f->full = false;
}

void
flow_limit(struct flow *f, bool splice, int buffer)
{
	size_t mark = FLOW_MARK;

	f->copies = !splice;
	if (buffer <= 0)
		return;
	if ((size_t)buffer < FLOW_MARK / FLOW_BUFFERS)
		mark = FLOW_BUFFERS * (size_t)buffer;
	if (mark < 2 * FLOW_LEAST)
		mark = 2 * FLOW_LEAST;	/* a record must fit */
	f->mark = (uint16_t)(mark / 1024);
	flow_set_full(f);		/* it may hold the first bytes */
}

int
flow_keep(struct worker *w, struct flow *f, const uint8_t *p, size_t n)
{
	if (n != 0) {
		worker_untidy(w);
		if (buf_append(w->env.pool, &f->held, p, n) == -1)
			return -1;
	}
	flow_set_full(f);
	return 0;
}

/*
 * A pipe is two descriptors, which are the sessions' before they are ours.
 */
static bool
flow_take_pipe(struct worker *w, struct flow *f)
{
	if (!worker_spare(w, w->piped + 1))
		return false;
	worker_untidy(w);
	f->pipe = splice_get(w->pipes);
	w->piped += f->pipe != NULL;
	return f->pipe != NULL;
}

static void
flow_leave_pipe(struct worker *w, struct flow *f)
{
	worker_untidy(w);
	splice_put(w->pipes, f->pipe);
	f->pipe = NULL;
	w->piped--;
}

void
flow_clear(struct worker *w, struct flow *f)
{
	if (!buf_empty(&f->held))
		worker_untidy(w);
	buf_clear(w->env.pool, &f->held);
	if (f->pipe != NULL)
		flow_leave_pipe(w, f);
}

/*
 * Write n bytes as far as they are taken. A plain socket that took less is
 * full; TLS takes a few records at a time and says when it is blocked.
 */
static enum flow_result
flow_write(struct worker *w, struct stream *to, const uint8_t *p, size_t n,
    size_t *taken)
{
	ssize_t done;

	*taken = 0;
	while (*taken < n) {
		done = stream_write(&w->env, to, p + *taken, n - *taken);
		if (done == -1)
			return errno == EAGAIN ? FLOW_GOOD : FLOW_TO_FAILED;
		*taken += (size_t)done;
		if (done == 0 || stream_plain(to) || to->blocked)
			break;
	}
	return FLOW_GOOD;
}

/* n bytes at p have been read: write them, keep the rest. */
static enum flow_result
flow_give(struct worker *w, struct flow *f, struct stream *to,
    const uint8_t *p, size_t n, bool *moved)
{
	size_t taken;
	enum flow_result r = flow_write(w, to, p, n, &taken);

	if (r != FLOW_GOOD)
		return r;
	*moved |= taken != 0;
	return taken == n || flow_keep(w, f, p + taken, n - taken) == 0 ?
	    FLOW_GOOD : FLOW_NO_MEMORY;
}

static enum flow_result
flow_flush_pipe(struct worker *w, struct flow *f, struct stream *to,
    bool *moved)
{
	while (f->pipe->held != 0) {
		if (splice_out(f->pipe, to->fd, f->pipe->held) == -1)
			return errno == EAGAIN ? FLOW_GOOD : FLOW_TO_FAILED;
		*moved = true;
	}
	flow_leave_pipe(w, f);
	return FLOW_GOOD;
}

static enum flow_result
flow_flush(struct worker *w, struct flow *f, struct stream *to, bool *moved)
{
	enum flow_result r = FLOW_GOOD;
	size_t taken = 0;

	if (to->blocked) {
		if (stream_flush(&w->env, to) == 0)
			*moved = true;
		else if (errno != EAGAIN)
			return FLOW_TO_FAILED;
		else
			return FLOW_GOOD;
	}
	if (f->pipe != NULL)
		r = flow_flush_pipe(w, f, to, moved);
	else if (!buf_empty(&f->held)) {
		worker_untidy(w);
		r = flow_write(w, to, buf_head(&f->held), f->held.len, &taken);
		buf_drop(w->env.pool, &f->held, taken);
		*moved |= taken != 0;
	}
	flow_set_full(f);
	return r;
}

/* Is it time to splice? n bytes came, of room for size. */
static void
flow_judge_copy(struct flow *f, size_t n, size_t size)
{
	if (n < FLOW_BULK)
		f->run = 0;
	else if (n == size || ++f->run >= FLOW_RUN) {
		f->splice = true;
		f->run = 0;
	}
}

static void
flow_judge_splice(struct flow *f, size_t n)
{
	if (n >= FLOW_BULK)
		f->run = 0;
	else if (++f->run >= FLOW_RUN) {
		f->splice = false;
		f->run = 0;
	}
}

/*
 * Into the worker's buffer, or behind what is kept. More than one read only
 * if the stream says that it holds more.
 */
static enum flow_result
flow_copy(struct worker *w, struct flow *f, struct stream *from,
    struct stream *to, bool *moved)
{
	bool direct = buf_empty(&f->held);
	size_t n = 0, room = flow_mark(f) - f->held.len;
	size_t size = direct || room < FLOW_STEP ? room : FLOW_STEP;
	uint8_t *p = direct ? w->copy + WORKER_HEAD :
	    buf_room(w->env.pool, &f->held, size);
	enum flow_result r = FLOW_GOOD;
	ssize_t got;
	int error = 0;

	if (p == NULL)
		return FLOW_NO_MEMORY;
	for (unsigned reads = 0; reads < FLOW_READS; reads++) {
		got = stream_read(&w->env, from, p + n, size - n);
		if (got == -1 && errno != EAGAIN)
			error = errno;
		if (got <= 0)
			break;
		n += (size_t)got;
		if (!from->pending || size - n < FLOW_LEAST)
			break;
	}
	if (n != 0) {
		f->bytes += n;
		*moved = true;
		if (w->pipes != NULL && !f->copies && stream_plain(from) &&
		    stream_plain(to))
			flow_judge_copy(f, n, size);
		if (direct)
			r = flow_give(w, f, to, p, n, moved);
		else
			buf_added(&f->held, n);
		flow_set_full(f);
	}
	if (r == FLOW_GOOD && error != 0) {
		errno = error;
		r = FLOW_FROM_FAILED;
	}
	return r;
}

/* One pipe full, or what there is, from socket to socket. */
static enum flow_result
flow_splice(struct worker *w, struct flow *f, struct stream *from,
    struct stream *to, bool *moved)
{
	enum flow_result r;
	ssize_t n;
	int error;

	if (!flow_take_pipe(w, f)) {
		f->splice = false;
		return flow_copy(w, f, from, to, moved);
	}
	n = splice_in(f->pipe, from->fd, f->mark == 0 ? SPLICE_PIPE :
	    flow_mark(f));
	if (n > 0) {
		f->bytes += (uint64_t)n;
		*moved = true;
		flow_judge_splice(f, (size_t)n);
		r = flow_flush_pipe(w, f, to, moved);
		flow_set_full(f);
		return r;
	}
	error = errno;
	flow_leave_pipe(w, f);
	if (n == 0) {
		from->eof = true;
		return FLOW_GOOD;
	}
	switch (errno = error) {
	case EAGAIN:
		return FLOW_GOOD;
	case EINVAL:
	case ENOMEM:
		f->splice = false;
		return flow_copy(w, f, from, to, moved);
	}
	return FLOW_FROM_FAILED;
}

enum flow_result
flow_move(struct worker *w, struct flow *f, struct stream *from,
    struct stream *to, bool readable, bool writable, bool *moved)
{
	enum flow_result r;

	if (writable && (!flow_empty(f) || to->blocked)) {
		r = flow_flush(w, f, to, moved);
		if (r != FLOW_GOOD)
			return r;
	}
	if (!readable || !flow_wants(f, from))
		return FLOW_GOOD;
	if (f->splice && flow_empty(f))
		return flow_splice(w, f, from, to, moved);
	return flow_copy(w, f, from, to, moved);
}
