/*
 * A client is read from as long as it is there, so that its end is seen; what
 * it is to be told waits in blocks of memory and is bounded. Never logs more
 * than debug lines: what a client does it can do all day.
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "rd_ctl.h"

#define IN_SIZE		2048		/* the longest request fits */
#define BLOCK		16384
#define LITTLE		65536u		/* then more is asked of the work */
#define MOST		(1u << 20)	/* may wait for one client */
#define MOST_WORK	(32u << 20)	/* the same, of what it asked for:
					   workers answer at once */
#define MOST_ALL	(64u << 20)	/* for all of them */
#define STEPS		16		/* of work in one turn */
#define TURN		16		/* clients accepted in one turn */
#define PAUSE		EV_SECOND	/* after accept has failed, 1.11 */
#define PATIENCE	(30 * EV_SECOND)	/* with a client that owes us
						   something */

/* Owned by the client it waits for. */
struct block {
	struct block	*next;
	size_t		 off, len;	/* what is left of it */
	size_t		 room;
	uint8_t		 data[];
};

struct rd_client {
	struct rd_ctl		*ctl;
	struct rd_client	*next;		/* on ctl->clients */
	unsigned		 number;	/* for debug lines */
	int			 fd;
	bool			 greeted, monitor, closed;
	bool			 parting;	/* gone once it has it all */
	const struct rd_work	*work;		/* NULL: not busy */
	void			*work_ctx;
	struct block		*first, *last;
	size_t			 waiting;	/* bytes in blocks */
	size_t			 in_len;
	struct ev_timer		 patience;
	struct ev_task		 task;		/* pump, or the end */
	_Alignas(8) uint8_t	 in[IN_SIZE];
};

struct rd_ctl {
	struct ev		*ev;
	rd_ctl_asked		*asked;
	void			*ctx;
	int			 fd;		/* -1: does not listen */
	struct rd_client	*clients;
	unsigned		 nclients, nmonitors, number;
	size_t			 waiting;	/* bytes for all of them */
	struct ev_timer		 pause;
};

static void	 client_pump_cb(void *);

/* ---- the end of a client ---- */

static void
client_work_end(struct rd_client *c)
{
	const struct rd_work *work = c->work;

	c->work = NULL;
	if (work != NULL)
		work->end(c->work_ctx);
}

static void
client_unlink(struct rd_client *c)
{
	struct rd_client **p = &c->ctl->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->ctl->nclients--;
	c->ctl->nmonitors -= c->monitor;
}

static void
client_free_cb(void *ctx)
{
	struct rd_client *c = ctx;
	struct block *b;

	while ((b = c->first) != NULL) {
		c->first = b->next;
		free(b);
	}
	free(c);
}

/* The gate: safe at any depth, memory goes at the end of the turn. */
static void
client_close(struct rd_client *c, const char *why)
{
	struct rd_ctl *ctl = c->ctl;

	if (c->closed)
		return;
	c->closed = true;
	log_debug(DEBUG_CONTROL, "control client %u: %s", c->number, why);
	client_work_end(c);
	ev_timer_stop(ctl->ev, &c->patience);
	ev_close(ctl->ev, c->fd);
	ctl->waiting -= c->waiting;
	client_unlink(c);
	ev_defer_cancel(ctl->ev, &c->task);
	ev_defer(ctl->ev, &c->task, client_free_cb, c);
	if (ctl->fd != -1 && !ev_timer_pending(&ctl->pause))
		ev_interest(ctl->ev, ctl->fd, EV_READ);
}

void
rd_client_drop(struct rd_client *c, const char *why)
{
	client_close(c, why);
}

/* ---- what it owes us: to read, or to say what it began to say ---- */

static void
patience_cb(void *ctx)
{
	client_close(ctx, "too slow");
}

/* done: it has just done its part. */
static void
client_wait(struct rd_client *c, bool done)
{
	struct ev *ev = c->ctl->ev;

	if (c->closed)
		return;
	if (c->waiting == 0 && c->in_len == 0 &&
	    (c->work != NULL || c->monitor))
		ev_timer_stop(ev, &c->patience);
	else if (done || !ev_timer_pending(&c->patience))
		ev_timer_set(ev, &c->patience, PATIENCE, patience_cb, c);
}

/* ---- to the client ---- */

static void
client_pump_soon(struct rd_client *c)
{
	if (!c->closed && !ev_deferred(&c->task))
		ev_defer(c->ctl->ev, &c->task, client_pump_cb, c);
}

static bool
client_put(struct rd_client *c, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0) {
		struct block *b = c->last;
		size_t n;

		if (b == NULL || b->off + b->len == b->room) {
			b = malloc(sizeof(*b) + BLOCK);
			if (b == NULL)
				return false;
			*b = (struct block){ .room = BLOCK };
			*(c->last != NULL ? &c->last->next : &c->first) = b;
			c->last = b;
		}
		n = b->room - b->off - b->len;
		n = n < len ? n : len;
		memcpy(b->data + b->off + b->len, from, n);
		b->len += n;
		from += n;
		len -= n;
		c->waiting += n;
		c->ctl->waiting += n;
	}
	return true;
}

static void
client_tell(struct rd_client *c, unsigned type, uint32_t pid,
    const void *body, size_t len)
{
	const struct ctl_header h = {
		.length = (uint32_t)(sizeof(h) + len),
		.type = (uint16_t)type, .pid = pid
	};
	size_t most = c->work != NULL ? MOST_WORK : MOST;

	if (c->closed || c->parting)
		return;
	if (c->waiting + h.length > most ||
	    c->ctl->waiting + h.length > MOST_ALL)
		client_close(c, "does not read");
	else if (!client_put(c, &h, sizeof(h)) || !client_put(c, body, len))
		client_close(c, "no memory");
	else
		client_pump_soon(c);
}

/* Takes n bytes off. */
static void
client_took(struct rd_client *c, size_t n)
{
	c->waiting -= n;
	c->ctl->waiting -= n;
	while (n > 0) {
		struct block *b = c->first;
		size_t part = n < b->len ? n : b->len;

		b->off += part;
		b->len -= part;
		n -= part;
		if (b->len > 0)
			return;
		c->first = b->next;
		if (c->first == NULL)
			c->last = NULL;
		free(b);
	}
}

/* false: there is no room, or no client any more. */
static bool
client_flush(struct rd_client *c)
{
	ssize_t n;

	while (c->first != NULL) {
		n = send(c->fd, c->first->data + c->first->off,
		    c->first->len, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				client_close(c, strerror(errno));
			return false;
		}
		client_took(c, (size_t)n);
		client_wait(c, true);
	}
	return true;
}

/* What waits goes out, and then more is made, a few steps at a time. */
static void
client_pump(struct rd_client *c)
{
	for (int i = 0; i < STEPS && client_flush(c) && c->work != NULL &&
	    c->work->next != NULL; i++) {
		while (!c->closed && c->work != NULL && c->work->next != NULL &&
		    c->waiting < LITTLE && c->work->next(c->work_ctx, c))
			;
		if (c->closed || c->waiting == 0)
			break;
	}
	if (c->closed)
		return;
	if (c->parting && c->waiting == 0) {
		client_close(c, "told why");
		return;
	}
	client_wait(c, false);
	ev_interest(c->ctl->ev, c->fd, c->waiting > 0 ? EV_READ | EV_WRITE :
	    EV_READ);
}

static void
client_pump_cb(void *ctx)
{
	client_pump(ctx);
}

void
rd_client_send(struct rd_client *c, enum ctl_type type, const void *body,
    size_t len)
{
	client_tell(c, type, 0, body, len);
}

void
rd_client_fail(struct rd_client *c, const char *why)
{
	client_tell(c, CTL_FAIL, 0, why, strlen(why));
}

void
rd_client_work(struct rd_client *c, const struct rd_work *work, void *ctx)
{
	c->work = work;
	c->work_ctx = ctx;
	client_pump_soon(c);
}

void
rd_client_wake(struct rd_client *c)
{
	client_pump_soon(c);
}

void
rd_client_done(struct rd_client *c)
{
	client_work_end(c);
	client_wait(c, true);
}

bool
rd_client_monitor(struct rd_client *c)
{
	if (c->monitor || c->ctl->nmonitors >= RD_CTL_MONITORS)
		return false;
	c->monitor = true;
	c->ctl->nmonitors++;
	return true;
}

void
rd_ctl_event(struct rd_ctl *ctl, enum ctl_type type, const void *body,
    size_t len)
{
	struct rd_client *c, *next;

	for (c = ctl->clients; c != NULL; c = next) {
		next = c->next;
		if (c->monitor)
			client_tell(c, type, 1, body, len);
	}
}

/* ---- from the client ---- */

static void
client_hello(struct rd_client *c, const void *body)
{
	const struct ctl_hello ours = { CTL_MAGIC, CTL_VERSION };
	struct ctl_hello theirs;

	memcpy(&theirs, body, sizeof(theirs));
	c->greeted = true;
	rd_client_send(c, CTL_HELLO, &ours, sizeof(ours));
	if (theirs.version != CTL_VERSION)
		c->parting = true;
}

static void
client_asked(struct rd_client *c, const struct ctl_header *h,
    const void *body)
{
	const char *wrong = ctl_check(h, body, true);

	if (wrong == NULL && c->greeted == (h->type == CTL_HELLO))
		wrong = c->greeted ? "second greeting" : "no greeting";
	if (wrong == NULL && c->work != NULL)
		wrong = "asked again before it was answered";
	if (wrong != NULL)
		client_close(c, wrong);
	else if (h->type == CTL_HELLO)
		client_hello(c, body);
	else
		c->ctl->asked(c->ctl->ctx, c, h->type, body,
		    h->length - sizeof(*h));
}

/* As many messages as are there as a whole. */
static void
client_parse(struct rd_client *c)
{
	struct ctl_header h;
	/* aligned, whatever came before it */
	_Alignas(8) uint8_t body[IN_SIZE];
	size_t at = 0;

	while (!c->closed && !c->parting && c->in_len - at >= sizeof(h)) {
		memcpy(&h, c->in + at, sizeof(h));
		if (h.length < sizeof(h) || h.length > sizeof(c->in)) {
			client_close(c, "bad length");
			return;
		}
		if (c->in_len - at < h.length)
			break;
		memcpy(body, c->in + at + sizeof(h), h.length - sizeof(h));
		at += h.length;
		client_asked(c, &h, body);
	}
	if (c->closed)
		return;
	if (c->parting)
		at = c->in_len;		/* nobody wants to know */
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	client_wait(c, at > 0);
}

static void
client_readable_cb(void *ctx, int fd)
{
	struct rd_client *c = ctx;
	ssize_t n = recv(fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);

	if (n > 0) {
		c->in_len += (size_t)n;
		client_parse(c);
	} else if (n == 0) {
		client_close(c, c->in_len > 0 ? "left in the middle of a "
		    "message" : "left");
	} else if (errno != EAGAIN && errno != EWOULDBLOCK &&
	    errno != EINTR) {
		client_close(c, strerror(errno));
	}
}

static void
client_writable_cb(void *ctx, int fd)
{
	(void)fd;
	client_pump(ctx);
}

static void
client_error_cb(void *ctx, int fd)
{
	(void)fd;
	client_close(ctx, "lost");
}

static const struct ev_ops client_ops = { .readable = client_readable_cb,
    .writable = client_writable_cb, .error = client_error_cb,
    .hangup = client_error_cb };

void
rd_ctl_serve(struct rd_ctl *ctl, int fd)
{
	struct rd_client *c = calloc(1, sizeof(*c));

	if (c == NULL || net_nonblock(fd) == -1 ||
	    ev_add(ctl->ev, fd, &client_ops, c, EV_READ) == -1) {
		log_debug(DEBUG_CONTROL, "control client: %s",
		    strerror(errno));
		free(c);
		net_close(fd);
		return;
	}
	c->ctl = ctl;
	c->fd = fd;
	c->number = ++ctl->number;
	c->next = ctl->clients;
	ctl->clients = c;
	ctl->nclients++;
	client_wait(c, true);
}

unsigned
rd_ctl_clients(const struct rd_ctl *ctl)
{
	return ctl->nclients;
}

/* ---- listening ---- */

static void
resume_cb(void *ctx)
{
	struct rd_ctl *ctl = ctx;

	if (ctl->fd != -1 && ctl->nclients < RD_CTL_CLIENTS)
		ev_interest(ctl->ev, ctl->fd, EV_READ);
}

static void
accept_cb(void *ctx, int fd)
{
	struct rd_ctl *ctl = ctx;

	for (int i = 0; i < TURN && ctl->nclients < RD_CTL_CLIENTS; i++) {
		int client = net_accept(fd, NULL);

		if (client != -1) {
			rd_ctl_serve(ctl, client);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == ECONNABORTED || errno == EINTR)
			return;
		log_debug(DEBUG_CONTROL, "control socket: %s",
		    strerror(errno));
		ev_interest(ctl->ev, fd, 0);
		ev_timer_set(ctl->ev, &ctl->pause, PAUSE, resume_cb, ctl);
		return;
	}
	if (ctl->nclients >= RD_CTL_CLIENTS)
		ev_interest(ctl->ev, fd, 0);	/* until one leaves */
}

static const struct ev_ops listen_ops = { .readable = accept_cb };

int
rd_ctl_listen(struct rd_ctl *ctl, int fd)
{
	if (net_nonblock(fd) == -1 || net_cloexec(fd, true) == -1 ||
	    ev_add(ctl->ev, fd, &listen_ops, ctl, ctl->nclients <
	    RD_CTL_CLIENTS ? EV_READ : 0) == -1) {
		net_close(fd);
		return -1;
	}
	/* other processes hold copies of the old one */
	if (ctl->fd != -1)
		ev_close_shared(ctl->ev, ctl->fd);
	ev_timer_stop(ctl->ev, &ctl->pause);
	ctl->fd = fd;
	return 0;
}

struct rd_ctl *
rd_ctl_new(struct ev *ev, rd_ctl_asked *asked, void *ctx)
{
	struct rd_ctl *ctl = calloc(1, sizeof(*ctl));

	if (ctl == NULL)
		return NULL;
	ctl->ev = ev;
	ctl->asked = asked;
	ctl->ctx = ctx;
	ctl->fd = -1;
	return ctl;
}

void
rd_ctl_free(struct rd_ctl *ctl)
{
	struct rd_client *c;

	if (ctl == NULL)
		return;
	/* what waits is lost if there is no room for it now */
	while ((c = ctl->clients) != NULL) {
		(void)client_flush(c);
		client_close(c, "the service ends");
	}
	if (ctl->fd != -1)
		ev_close_shared(ctl->ev, ctl->fd);
	ev_timer_stop(ctl->ev, &ctl->pause);
	free(ctl);
}
