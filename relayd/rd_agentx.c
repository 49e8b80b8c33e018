/*
 * What is in the way of a request is asked for first: the list of sessions,
 * which only workers have. Until it is there nothing more is read, so the
 * master's requests are answered in order.
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "../tcprelay/host.h"
#include "rd_agentx.h"
#include "rd_mib.h"
#include "rd_pfe.h"

#define RETRY		(3 * EV_SECOND)		/* section 9 */
#define PATIENCE	(10 * EV_SECOND)	/* with answers of the master */
#define LIST_AGE	(5 * EV_SECOND)		/* of sessions, at most */
#define LIST_WAIT	(2 * EV_SECOND)		/* for them; then it is the
						   old ones */
#define LIST_MOST	65536u
#define ANSWER		32768u		/* bytes; get-bulk stops there */
#define MOST		(1u << 20)	/* that the master may leave unread */
#define PRIORITY	127
#define SHUTDOWN	5		/* reason of a close */

enum state { OFF, RETRYING, CONNECTING, OPENING, REGISTERING, UP };

/* Owned by pfe. */
struct rd_agentx {
	struct rd_pfe		*pfe;
	enum state		 state;
	int			 fd;		/* -1 */
	char			*path, *context;	/* as configured */
	char			 why[128];	/* it failed last; "" */
	struct ev_timer		 timer;		/* by state */
	uint32_t		 session, packet;
	struct agentx_out	 out;
	size_t			 sent;		/* of that */
	/* sessions, as far as they are known */
	struct rd_mib_session	*list, *coming;
	size_t			 nlist, ncoming, room;
	uint64_t		 listed;	/* when; 0: never */
	struct rd_ask		*ask;		/* under way */
	bool			 waiting;	/* a request, for them */
	struct ev_timer		 wait;
	size_t			 in_len;
	uint8_t			 in[AGENTX_MESSAGE];
};

static void	 agentx_step(struct rd_agentx *);

/* ---- states ---- */

static void
list_end(struct rd_agentx *a)
{
	rd_ask_cancel(a->ask);
	a->ask = NULL;
	free(a->coming);
	a->coming = NULL;
	a->ncoming = a->room = 0;
	a->waiting = false;
	ev_timer_stop(a->pfe->ev, &a->wait);
}

static void
session_end(struct rd_agentx *a)
{
	list_end(a);
	if (a->fd != -1)
		ev_close(a->pfe->ev, a->fd);
	a->fd = -1;
	agentx_out_clear(&a->out);
	a->sent = a->in_len = 0;
	a->session = 0;
}

static void
retry_cb(void *ctx)
{
	struct rd_agentx *a = ctx;

	a->state = CONNECTING;
	ev_timer_set(a->pfe->ev, &a->timer, PATIENCE, retry_cb, a);
	role_tell(a->pfe->role, RD_PARENT, 0, RD_AGENTX, NULL, 0, -1);
}

/* The session is over; said once, however often it is tried again. */
static void
agentx_fail(struct rd_agentx *a, const char *why)
{
	if (a->state == OFF)
		return;
	if (strcmp(a->why, why) != 0)
		log_warn("agentx: %s: %s", a->path, why);
	snprintf(a->why, sizeof(a->why), "%s", why);
	session_end(a);
	a->state = RETRYING;
	ev_timer_set(a->pfe->ev, &a->timer, RETRY, retry_cb, a);
}

static void
late_cb(void *ctx)
{
	agentx_fail(ctx, "no answer");
}

/* ---- out ---- */

static void
agentx_flush(struct rd_agentx *a)
{
	ssize_t n = 0;

	if (a->fd == -1)
		return;
	if (a->out.failed) {
		agentx_fail(a, strerror(ENOMEM));
		return;
	}
	while (a->sent < a->out.len) {
		n = send(a->fd, a->out.data + a->sent,
		    a->out.len - a->sent, MSG_NOSIGNAL);
		if (n == -1)
			break;
		a->sent += (size_t)n;
	}
	if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK &&
	    errno != EINTR) {
		agentx_fail(a, strerror(errno));
	} else if (a->out.len - a->sent > MOST) {
		agentx_fail(a, "it does not read");
	} else if (a->sent == a->out.len) {
		agentx_out_clear(&a->out);
		a->sent = 0;
		ev_interest(a->pfe->ev, a->fd, a->waiting ? 0 : EV_READ);
	} else {
		ev_interest(a->pfe->ev, a->fd, a->waiting ? EV_WRITE :
		    EV_READ | EV_WRITE);
	}
}

/* A message of ours, with the context if there is one. */
static size_t
request_begin(struct rd_agentx *a, enum agentx_type type)
{
	bool context = a->context != NULL && type != AGENTX_OPEN &&
	    type != AGENTX_CLOSE;
	const struct agentx_header h = { .type = type,
	    .flags = context ? AGENTX_CONTEXT : 0, .session = a->session,
	    .packet = ++a->packet };
	size_t place = agentx_out_begin(&a->out, &h);

	if (context)
		agentx_out_string(&a->out, a->context, strlen(a->context));
	return place;
}

static void
request_u8(struct rd_agentx *a, uint8_t first, uint8_t second)
{
	agentx_out_u8(&a->out, first);
	agentx_out_u8(&a->out, second);
	agentx_out_u16(&a->out, 0);
}

static void
open_send(struct rd_agentx *a)
{
	static const struct agentx_oid none;
	size_t place = request_begin(a, AGENTX_OPEN);

	request_u8(a, 0, 0);		/* timeout: the master's */
	agentx_out_oid(&a->out, &none);
	agentx_out_string(&a->out, "relayd", strlen("relayd"));
	agentx_out_end(&a->out, place);
}

static void
register_send(struct rd_agentx *a)
{
	size_t place = request_begin(a, AGENTX_REGISTER);

	request_u8(a, 0, PRIORITY);
	agentx_out_oid(&a->out, &rd_mib_base);
	agentx_out_end(&a->out, place);
}

static void
close_send(struct rd_agentx *a)
{
	size_t place = request_begin(a, AGENTX_CLOSE);

	request_u8(a, SHUTDOWN, 0);
	agentx_out_end(&a->out, place);
}

/* ---- sessions ---- */

static void
list_row_cb(void *ctx, const struct tell_session *s)
{
	struct rd_agentx *a = ctx;

	if (a->ncoming == a->room) {
		size_t room = a->room == 0 ? 256 : a->room * 2;
		struct rd_mib_session *more = room > LIST_MOST ? NULL :
		    realloc(a->coming, room * sizeof(*more));

		if (more == NULL)
			return;		/* as many as there is place for */
		a->coming = more;
		a->room = room;
	}
	a->coming[a->ncoming++].session = *s;
}

static void
list_over_cb(void *ctx)
{
	struct rd_agentx *a = ctx;

	a->ask = NULL;
	free(a->list);
	a->list = a->coming;
	a->nlist = a->ncoming;
	a->coming = NULL;
	a->ncoming = a->room = 0;
	rd_mib_sort(a->list, a->nlist);
	a->listed = ev_now(a->pfe->ev);
	if (a->waiting) {
		a->waiting = false;
		ev_timer_stop(a->pfe->ev, &a->wait);
		agentx_step(a);
	}
}

static const struct rd_ask_sink list_sink = { list_row_cb, list_over_cb };

static void
wait_cb(void *ctx)
{
	struct rd_agentx *a = ctx;

	/* the old one will do: for another while, too */
	a->waiting = false;
	a->listed = ev_now(a->pfe->ev);
	agentx_step(a);
}

/* true: they are asked for, and the request has to wait. */
static bool
list_missing(struct rd_agentx *a)
{
	uint64_t now = ev_now(a->pfe->ev);

	if (a->listed != 0 && now - a->listed < LIST_AGE)
		return false;
	if (a->ask == NULL)
		a->ask = rd_ask_list(&a->pfe->asks, &list_sink, a);
	if (a->ask == NULL)
		return false;		/* there is nobody to ask */
	a->waiting = true;
	ev_timer_set(a->pfe->ev, &a->wait, LIST_WAIT, wait_cb, a);
	ev_interest(a->pfe->ev, a->fd, a->sent < a->out.len ? EV_WRITE : 0);
	return true;
}

/* ---- requests of the master ---- */

static struct rd_mib
mib_of(const struct rd_agentx *a)
{
	return (struct rd_mib){ .view = a->pfe->view, .stats = &a->pfe->stats,
	    .sessions = a->list, .nsessions = a->nlist,
	    .aged = ev_now(a->pfe->ev) - a->listed };
}

static struct agentx_in
request_read(const struct agentx_header *h, const uint8_t *body)
{
	struct agentx_in in = agentx_in(h, body);
	size_t len;

	if (h->flags & AGENTX_CONTEXT)
		(void)agentx_in_string(&in, &len);
	return in;
}

/* Does it ask for sessions? */
static bool
request_wants_list(const struct agentx_header *h, const uint8_t *body)
{
	struct agentx_in in = request_read(h, body);
	bool next = h->type != AGENTX_GET, wants = false;
	struct agentx_oid from, to;

	if (h->type != AGENTX_GET && h->type != AGENTX_GET_NEXT &&
	    h->type != AGENTX_GET_BULK)
		return false;
	if (h->type == AGENTX_GET_BULK)
		(void)agentx_in_u32(&in);
	while (in.at < in.end && !in.bad) {
		agentx_in_oid(&in, &from);
		agentx_in_oid(&in, &to);
		wants |= rd_mib_wants_sessions(&from, next);
	}
	return wants;
}

static void
answer_next(struct rd_agentx *a, const struct rd_mib *m,
    struct agentx_oid *from, const struct agentx_oid *to, bool *over)
{
	struct rd_mib_room room;
	struct agentx_value v;
	struct agentx_oid name;

	if (*over || !rd_mib_next(m, from, to, &name, &v, &room)) {
		v = (struct agentx_value){ .kind = AGENTX_END_OF_VIEW };
		*over = true;
		agentx_out_binding(&a->out, from, &v);
		return;
	}
	agentx_out_binding(&a->out, &name, &v);
	*from = name;
	from->include = false;
}

static void
answer_each(struct rd_agentx *a, struct agentx_in *in, bool next)
{
	const struct rd_mib m = mib_of(a);
	struct rd_mib_room room;
	struct agentx_value v;
	struct agentx_oid from, to;

	while (in->at < in->end && !in->bad) {
		bool over = false;

		agentx_in_oid(in, &from);
		agentx_in_oid(in, &to);
		if (in->bad)
			return;
		if (next) {
			answer_next(a, &m, &from, &to, &over);
			continue;
		}
		rd_mib_get(&m, &from, &v, &room);
		agentx_out_binding(&a->out, &from, &v);
	}
}

/* A range that is walked. */
struct walk {
	struct agentx_oid	 from, to;
	bool			 over;
};

static void
answer_bulk(struct rd_agentx *a, struct agentx_in *in, size_t place)
{
	const struct rd_mib m = mib_of(a);
	size_t once = agentx_in_u16(in), times = agentx_in_u16(in), n = 0;
	size_t room = (size_t)(in->end - in->at) / 8;
	struct walk *w = calloc(room + 1, sizeof(*w));
	bool more = true;

	if (w == NULL) {
		a->out.failed = true;
		return;
	}
	for (; in->at < in->end && n < room; n++) {
		agentx_in_oid(in, &w[n].from);
		agentx_in_oid(in, &w[n].to);
		if (in->bad)
			break;
	}
	for (size_t i = 0; !in->bad && i < n && i < once; i++)
		answer_next(a, &m, &w[i].from, &w[i].to, &w[i].over);
	for (size_t t = 0; !in->bad && t < times && more &&
	    a->out.len - place < ANSWER; t++) {
		more = false;
		for (size_t i = once; i < n; i++) {
			answer_next(a, &m, &w[i].from, &w[i].to, &w[i].over);
			more |= !w[i].over;
		}
	}
	free(w);
}

/* What is refused, and how. */
static const struct {
	uint8_t		 type;
	uint16_t	 error;
} refused[] = {
	{ AGENTX_TEST_SET, AGENTX_NOT_WRITABLE },
	{ AGENTX_COMMIT_SET, AGENTX_COMMIT_FAILED },
	{ AGENTX_UNDO_SET, AGENTX_UNDO_FAILED },
};

static void
answer(struct rd_agentx *a, const struct agentx_header *h,
    const uint8_t *body)
{
	const struct agentx_header head = { .type = AGENTX_RESPONSE,
	    .session = h->session, .transaction = h->transaction,
	    .packet = h->packet };
	struct agentx_in in = request_read(h, body);
	size_t place = agentx_out_begin(&a->out, &head), at;
	uint16_t error = AGENTX_NO_ERROR;

	agentx_out_u32(&a->out, 0);
	at = a->out.len;
	agentx_out_u32(&a->out, 0);		/* error, index */
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (refused[i].type == h->type)
			error = refused[i].error;
	if (h->type == AGENTX_GET_BULK)
		answer_bulk(a, &in, place);
	else if (error == AGENTX_NO_ERROR)
		answer_each(a, &in, h->type == AGENTX_GET_NEXT);
	if (in.bad)
		error = AGENTX_PARSE_ERROR;
	if (error != AGENTX_NO_ERROR && !a->out.failed) {
		a->out.len = at;
		agentx_out_u16(&a->out, error);
		agentx_out_u16(&a->out, 1);
	}
	agentx_out_end(&a->out, place);
}

/* ---- what the master says to ours ---- */

static void
got_response(struct rd_agentx *a, const struct agentx_header *h,
    const uint8_t *body)
{
	struct agentx_in in = agentx_in(h, body);
	uint16_t error;
	char why[64];

	if (h->packet != a->packet ||
	    (a->state != OPENING && a->state != REGISTERING))
		return;			/* of a trap */
	(void)agentx_in_u32(&in);
	error = agentx_in_u16(&in);
	if (error != AGENTX_NO_ERROR || in.bad) {
		snprintf(why, sizeof(why), "%s: error %u", a->state ==
		    OPENING ? "open" : "register", error);
		agentx_fail(a, why);
	} else if (a->state == OPENING) {
		a->session = h->session;
		a->state = REGISTERING;
		register_send(a);
	} else {
		a->state = UP;
		a->why[0] = '\0';
		ev_timer_stop(a->pfe->ev, &a->timer);
		log_line("agentx: registered with %s", a->path);
	}
}

/* One message; false: it has to wait. */
static bool
got_message(struct rd_agentx *a, const struct agentx_header *h,
    const uint8_t *body)
{
	switch (h->type) {
	case AGENTX_RESPONSE:
		got_response(a, h, body);
		return true;
	case AGENTX_CLOSE:
		agentx_fail(a, "closed by the master");
		return true;
	case AGENTX_CLEANUP_SET:
		return true;
	case AGENTX_GET:
	case AGENTX_GET_NEXT:
	case AGENTX_GET_BULK:
	case AGENTX_TEST_SET:
	case AGENTX_COMMIT_SET:
	case AGENTX_UNDO_SET:
		if (request_wants_list(h, body) && list_missing(a))
			return false;
		answer(a, h, body);
		return true;
	default:
		agentx_fail(a, "a message that is not for us");
		return true;
	}
}

/* All that is there, as far as it goes. */
static void
agentx_step(struct rd_agentx *a)
{
	struct agentx_header h;
	enum agentx_result r = AGENTX_MORE;
	size_t at = 0;

	while (a->fd != -1 && !a->waiting && (r = agentx_header(a->in + at,
	    a->in_len - at, &h)) == AGENTX_WHOLE) {
		if (!got_message(a, &h, a->in + at + AGENTX_HEADER))
			break;
		at += AGENTX_HEADER + h.length;
	}
	if (a->fd == -1)
		return;
	if (r == AGENTX_BAD) {
		agentx_fail(a, "a message that is not readable");
		return;
	}
	memmove(a->in, a->in + at, a->in_len - at);
	a->in_len -= at;
	agentx_flush(a);
}

/* ---- the socket ---- */

static void
readable_cb(void *ctx, int fd)
{
	struct rd_agentx *a = ctx;
	ssize_t n = recv(fd, a->in + a->in_len, sizeof(a->in) - a->in_len, 0);

	if (n > 0) {
		a->in_len += (size_t)n;
		agentx_step(a);
	} else if (n == 0) {
		agentx_fail(a, "connection closed");
	} else if (errno != EAGAIN && errno != EWOULDBLOCK &&
	    errno != EINTR) {
		agentx_fail(a, strerror(errno));
	}
}

static void
writable_cb(void *ctx, int fd)
{
	(void)fd;
	agentx_flush(ctx);
}

static void
lost_cb(void *ctx, int fd)
{
	(void)fd;
	agentx_fail(ctx, "connection closed");
}

static const struct ev_ops ops = { .readable = readable_cb,
    .writable = writable_cb, .error = lost_cb, .hangup = lost_cb };

void
rd_agentx_socket(struct rd_agentx *a, int32_t error, int fd)
{
	if (a->state != CONNECTING || (fd == -1 && error == 0)) {
		if (fd != -1)
			net_close(fd);
		return;
	}
	if (fd == -1) {
		agentx_fail(a, strerror(error));
		return;
	}
	if (net_nonblock(fd) == -1 || net_cloexec(fd, true) == -1 ||
	    ev_add(a->pfe->ev, fd, &ops, a, EV_READ) == -1) {
		net_close(fd);
		agentx_fail(a, strerror(errno));
		return;
	}
	a->fd = fd;
	a->state = OPENING;
	ev_timer_set(a->pfe->ev, &a->timer, PATIENCE, late_cb, a);
	open_send(a);
	agentx_flush(a);
}

/* ---- traps ---- */

/* Variable n of a trap. */
static void
trap_value(struct rd_agentx *a, uint32_t n, const struct agentx_value *v)
{
	struct agentx_oid name = rd_mib_trap;

	name.sub[name.n++] = n;
	agentx_out_binding(&a->out, &name, v);
}

static void
trap_text(struct rd_agentx *a, uint32_t n, const char *text)
{
	const struct agentx_value v = { .kind = AGENTX_STRING, .bytes = text,
	    .len = strlen(text) };

	trap_value(a, n, &v);
}

static void
trap_number(struct rd_agentx *a, uint32_t n, int64_t number)
{
	const struct agentx_value v = { .kind = AGENTX_INTEGER,
	    .number = (uint64_t)(number < INT32_MAX ? number : INT32_MAX) };

	trap_value(a, n, &v);
}

void
rd_agentx_host(struct rd_agentx *a, const struct rd_tell_host *t)
{
	static const struct agentx_oid trap_name = { .n = 11,
	    .sub = { 1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0 } };
	const struct rd_conf *conf = a->pfe->view->conf;
	struct agentx_oid trap = rd_mib_trap;
	const struct agentx_value what = { .kind = AGENTX_OID, .oid = &trap };
	const struct rd_table *table;
	const struct rd_host *host;
	size_t place;

	if (a->state != UP || t->host == 0 || t->host > conf->nhosts ||
	    t->table == 0 || t->table > conf->ntables)
		return;
	host = conf->hosts[t->host - 1];
	table = conf->tables[t->table - 1];
	trap.sub[trap.n++] = 0;
	place = request_begin(a, AGENTX_NOTIFY);
	agentx_out_binding(&a->out, &trap_name, &what);
	trap_text(a, 1, host->name);
	trap_number(a, 2, t->now);
	trap_number(a, 3, t->old);
	trap_number(a, 4, (int64_t)(t->ups & INT32_MAX));
	trap_number(a, 5, (int64_t)(t->checks & INT32_MAX));
	trap_text(a, 6, table->name);
	trap_number(a, 7, rd_view_up(a->pfe->view, table));
	trap_number(a, 8, host->retry);
	trap_number(a, 9, t->left);
	agentx_out_end(&a->out, place);
	agentx_flush(a);
}

/* ---- life ---- */

static void
agentx_off(struct rd_agentx *a)
{
	if (a->state >= REGISTERING) {
		close_send(a);
		agentx_flush(a);	/* may fail it, which is as well */
	}
	session_end(a);
	ev_timer_stop(a->pfe->ev, &a->timer);
	a->state = OFF;
	free(a->path);
	free(a->context);
	a->path = a->context = NULL;
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

void
rd_agentx_config(struct rd_agentx *a)
{
	const struct rd_conf *conf = a->pfe->view->conf;
	const char *path = conf->agentx ? conf->agentx_path : NULL;
	const char *context = conf->agentx ? conf->agentx_context : NULL;

	if (context != NULL && *context == '\0')
		context = NULL;
	if (same(path, a->path) && same(context, a->context))
		return;
	agentx_off(a);
	a->why[0] = '\0';
	if (path == NULL || (a->path = strdup(path)) == NULL ||
	    (context != NULL && (a->context = strdup(context)) == NULL))
		return;
	retry_cb(a);
}

struct rd_agentx *
rd_agentx_new(struct rd_pfe *pfe)
{
	struct rd_agentx *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->pfe = pfe;
	a->fd = -1;
	return a;
}

void
rd_agentx_free(struct rd_agentx *a)
{
	if (a == NULL)
		return;
	agentx_off(a);
	free(a->list);
	free(a);
}
