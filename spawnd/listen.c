/*
 * Listening sockets from bind to close. Accepting is accept.c.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "accept.h"
#include "datagram.h"
#include "hand.h"
#include "lend.h"
#include "listen.h"
#include "master.h"
#include "overload.h"
#include "start.h"
#include "sticky.h"
#include "words.h"

static const struct ev_ops listener_ops = { .readable = accept_readable };
static const struct ev_ops datagram_ops = { .readable = datagram_readable };

/* Of IP; UNIX datagrams have nobody to answer to, and are refused. */
static bool
is_datagram(const struct listener *l)
{
	return l->conf->type == SOCK_DGRAM;
}

/* ---- life ---- */

/* What all connections of a listener have in common. */
static void
record_set(struct listener *l)
{
	const struct listener_conf *c = l->conf;
	struct channel_record *r = &l->record;

	memset(r, 0, sizeof(*r));
	r->listener = c->index;
	r->flags = c->flags;
	r->versions = c->versions;
	r->aaa = c->aaa;
	r->type = (uint16_t)c->type;
	r->protocol = (uint16_t)c->protocol;
	memcpy(r->realm, c->realm, sizeof(r->realm) - 1);
	/* with a wildcard whoever wants to know asks for each connection */
	if (l->addr.len > 0 && !net_is_any(&l->addr) &&
	    l->addr.len <= sizeof(r->local))
		memcpy(r->local, &l->addr.ss, l->addr.len);
}

static void
text_set(struct listener *l)
{
	char addr[NET_TEXT];

	if (l->conf->addr.len == 0) {
		snprintf(l->text, sizeof(l->text), "'%s'", l->conf->name);
		return;
	}
	snprintf(l->text, sizeof(l->text), "%s%s%s", net_text(&l->addr, addr),
	    is_datagram(l) ? " UDP" : "",
	    l->addr.sa.sa_family == AF_INET6 && net_is_any(&l->addr) &&
	    !l->conf->v6only ? " (IPv4 and IPv6)" : "");
}

/* Where a block without address listens, if there is no IPv6 here. */
static void
addr_set(struct listener *l)
{
	const struct net_addr *addr = &l->conf->addr;

	l->addr = *addr;
	if (!l->conf->both || addr->sa.sa_family != AF_INET6 ||
	    net_have_ipv6())
		return;
	l->addr = (struct net_addr){ .len = sizeof(l->addr.in) };
	l->addr.in.sin_family = AF_INET;
	net_set_port(&l->addr, net_port(addr));
}

static void
sticky_set_up(struct listener *l)
{
	const struct sticky_conf *s = &l->conf->sticky;

	if (s->period > 0 && s->own && l->sticky == NULL)
		l->sticky = sticky_new(s->size);
}

struct listener *
listener_new(struct master *m, const struct listener_conf *conf,
    uint32_t generation)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->master = m;
	l->refs = 1;
	l->conf = conf;
	l->generation = generation;
	l->fd = -1;
	l->expect = 1;
	addr_set(l);
	text_set(l);
	record_set(l);
	sticky_set_up(l);
	return l;
}

struct listener *
listener_ref(struct listener *l)
{
	l->refs++;
	return l;
}

static void
own_free(struct listener *l)
{
	if (l->own != NULL)
		free((char *)(uintptr_t)l->own->vrf);
	free(l->own);
	l->own = NULL;
}

void
listener_unref(struct listener *l)
{
	if (--l->refs > 0)
		return;
	sticky_free(l->sticky);
	datagram_recent_free(l->recent);
	own_free(l);
	free(l);
}

/* ---- sockets ---- */

static int
unix_finish(const struct listener_conf *c)
{
	const char *path = c->addr.un.sun_path;

	if ((c->uid != (uid_t)-1 || c->gid != (gid_t)-1) &&
	    lchown(path, c->uid, c->gid) == -1)
		return -1;
	return chmod(path, c->mode);
}

/* Whether the path still is the socket that we have bound: others may have
 * removed it since, and put there what they like. */
static bool
unix_ours(const struct listener *l)
{
	struct stat st;

	return lstat(l->addr.un.sun_path, &st) == 0 &&
	    S_ISSOCK(st.st_mode) && st.st_dev == l->dev &&
	    st.st_ino == l->ino;
}

static void
unix_remember(struct listener *l)
{
	struct stat st;

	if (lstat(l->addr.un.sun_path, &st) == -1)
		return;			/* ino 0: not ours */
	l->dev = st.st_dev;
	l->ino = st.st_ino;
}

/* Options that accepted sockets inherit, so that none has to be set again
 * for each connection. *what: the one that failed, if it has a name. */
static int
options_set(int fd, const struct listener_conf *c, int family,
    const char **what)
{
	if (family == AF_UNIX)
		return 0;
	if (c->protocol == IPPROTO_TCP &&
	    (net_linger_off(fd) == -1 || (!c->no_keepalive &&
	    net_keepalive(fd, &c->keepalive) == -1) ||
	    net_tcp(fd, family, &c->tcp, what) == -1))
		return -1;
	if (c->foreign && net_foreign(fd, family) == -1) {
		*what = "transparent socket";
		return -1;
	}
	return c->dscp >= 0 ? net_dscp(fd, family, c->dscp) : 0;
}

static int
bind_socket(int fd, const struct listener_conf *c,
    const struct net_addr *addr)
{
	int on = 1, v6only = c->v6only;

	if (addr->sa.sa_family == AF_UNIX)
		return net_unix_stale(addr) == -1 ? -1 :
		    bind(fd, &addr->sa, addr->len);
	if (c->type == SOCK_DGRAM ?
	    datagram_prepare(fd, addr->sa.sa_family) == -1 :
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return -1;
	if (addr->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6,
	    IPV6_V6ONLY, &v6only, sizeof(v6only)) == -1)
		return -1;
	if (c->vrf != NULL && net_vrf(fd, c->vrf) == -1)
		return -1;
	return bind(fd, &addr->sa, addr->len);
}

static int
backlog_of(const struct listener *l)
{
	return l->master->overload ? l->conf->overload_backlog :
	    l->conf->backlog;
}

#ifdef SO_REUSEPORT
static int
beside_set(int fd, int on)
{
	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}
#else
static int
beside_set(int fd, int on)
{
	(void)fd;
	return on ? -1 : 0;
}
#endif

/* A wildcard and an address that it includes. */
static bool
overlap(const struct listener_conf *a, const struct listener_conf *b)
{
	return a->addr.len > 0 && b->addr.len > 0 &&
	    a->addr.sa.sa_family != AF_UNIX &&
	    b->addr.sa.sa_family != AF_UNIX && a->type == b->type &&
	    a->protocol == b->protocol &&
	    net_port(&a->addr) == net_port(&b->addr) &&
	    (net_is_any(&a->addr) || net_is_any(&b->addr)) &&
	    (a->vrf == NULL ? b->vrf == NULL :
	    b->vrf != NULL && strcmp(a->vrf, b->vrf) == 0);
}

const struct listener_conf *
listener_endpoint(const struct listener *l)
{
	return l->own != NULL ? l->own : l->conf;
}

/* How many listeners of ours l overlaps with; they permit it or not. */
static unsigned
neighbours_set(const struct listener *l, int on)
{
	unsigned n = 0;
	int reason = errno;

	for (const struct listener *o = l->master->listeners; o != NULL;
	    o = o->next)
		if (o != l && o->fd != -1 && overlap(listener_endpoint(o),
		    listener_endpoint(l)) && beside_set(o->fd, on) == 0)
			n++;
	errno = reason;
	return n;
}

static int
socket_open(struct listener *l, bool beside)
{
	const struct listener_conf *c = l->conf;
	int family = l->addr.sa.sa_family;
	int fd;

	l->option = NULL;
	if (is_datagram(l) && family == AF_UNIX) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if ((fd = net_socket(family, c->type, c->protocol)) == -1)
		return -1;
	if ((beside && beside_set(fd, 1) == -1) ||
	    options_set(fd, c, family, &l->option) == -1 ||
	    bind_socket(fd, c, &l->addr) == -1 ||
	    (family == AF_UNIX && unix_finish(c) == -1) ||
	    (!is_datagram(l) && !(beside && l->fresh) &&
	    listen(fd, backlog_of(l)) == -1) ||
	    (beside && beside_set(fd, 0) == -1)) {
		net_close(fd);
		return -1;
	}
	return fd;
}

static void
options_warn(const struct listener *l)
{
	log_warn("%s: %s: %s", l->text, l->option != NULL ? l->option :
	    "options", strerror(errno));
}

/* What can still be changed about a socket that somebody else has opened. A
 * plain one stays as it is: there is nothing that says how it should be. */
static void
passed_options(struct listener *l)
{
	const struct listener_conf *c = l->conf;

	l->option = NULL;
	if (options_set(l->fd, c, l->addr.sa.sa_family, &l->option) == -1)
		options_warn(l);
	if (!c->plain && c->type != SOCK_DGRAM)
		(void)listen(l->fd, backlog_of(l));
}

static int
passed_open(struct listener *l)
{
	int fd = l->conf->passed->fd;

	if (is_datagram(l) && l->addr.sa.sa_family != AF_UNIX &&
	    datagram_prepare(fd, l->addr.sa.sa_family) == -1)
		return -1;
	l->fd = fd;
	passed_options(l);
	return 0;
}

/*
 * Linux lets a wildcard and an address listen on one port only if both permit
 * it, by an option that would let others in as well. So it is set only where
 * a listener of ours is in the way, and only for that moment.
 */
int
listener_open(struct listener *l)
{
	const struct listener_conf *c = l->conf;
	int fd;

	if (c->passed != NULL)
		return passed_open(l);
	if (c->addr.len == 0) {
		errno = ENOENT;		/* no such socket was passed */
		return -1;
	}
	fd = socket_open(l, false);
	if (fd == -1 && errno == EADDRINUSE && !is_datagram(l) &&
	    neighbours_set(l, 1) > 0) {
		fd = socket_open(l, true);
		neighbours_set(l, 0);
		l->mute = fd != -1 && l->fresh;
	}
	if (fd == -1)
		return -1;
	if (net_port(&c->addr) == 0 && c->addr.sa.sa_family != AF_UNIX &&
	    net_local(fd, &l->addr) == 0)
		text_set(l);		/* "any" has become a number */
	if (c->addr.sa.sa_family == AF_UNIX)
		unix_remember(l);
	record_set(l);
	l->fd = fd;
	return 0;
}

int
listener_speak(struct listener *l)
{
	int result;

	if (!l->mute)
		return 0;
	l->mute = false;
	(void)beside_set(l->fd, 1);
	(void)neighbours_set(l, 1);
	result = listen(l->fd, backlog_of(l));
	(void)neighbours_set(l, 0);
	(void)beside_set(l->fd, 0);
	return result;
}

const char *
listener_reason(const struct listener *l)
{
	return l->conf->addr.len > 0 ? strerror(errno) :
	    "no socket of that name was passed";
}

const char *
listener_failure(const struct listener *l, char *buf, size_t size)
{
	const struct listener_conf *c = l->conf;
	const char *reason = listener_reason(l);
	char addr[NET_TEXT];

	if (c->owner == NULL)
		snprintf(buf, size, "cannot bind %s: %s%s%s", l->text,
		    l->option != NULL ? l->option : "",
		    l->option != NULL ? ": " : "", reason);
	else
		snprintf(buf, size, "%s:%u: %s: cannot listen on %s port %u: "
		    "%s%s%s", c->place.file, c->place.line, c->owner,
		    net_ip_text(&c->addr, addr), net_port(&c->addr),
		    l->option != NULL ? l->option : "",
		    l->option != NULL ? ": " : "", reason);
	return buf;
}

void
listener_opened(const struct listener *l)
{
	const struct passed *p = l->conf->passed;

	if (p == NULL)
		words_say(WORD_LISTENING, l->text);
	else
		log_line("listening on %s inherited (%s)%s", l->text, p->name,
		    l->conf->plain ? ", no listen block describes it" : "");
}

static void
retry_cb(void *ctx)
{
	struct listener *l = ctx;

	if (listener_open(l) == -1) {
		ev_timer_set(l->master->ev, &l->retry,
		    l->conf->retry * EV_SECOND, retry_cb, l);
		return;
	}
	if (l->fresh)
		return;			/* all else at the switch */
	listener_opened(l);
	listener_show(l);
	lend_listener(l);
	listeners_update(l->master);
}

void
listener_retry(struct listener *l)
{
	ev_timer_set(l->master->ev, &l->retry, l->conf->retry * EV_SECOND,
	    retry_cb, l);
}

static void
watch_set(struct listener *l, bool on)
{
	struct master *m = l->master;

	if (l->watched == on)
		return;
	if (!ev_has(m->ev, l->fd)) {
		/* whoever else holds it is woken one at a time */
		if ((listener_lent(l) ? ev_add_shared : ev_add)(m->ev, l->fd,
		    is_datagram(l) ? &datagram_ops : &listener_ops, l,
		    EV_READ) == -1) {
			log_err("cannot watch %s: %s", l->text,
			    strerror(errno));
			return;
		}
	} else if (!on && listener_lent(l))
		ev_del(m->ev, l->fd);	/* or a wake-up could be ours */
	else
		ev_interest(m->ev, l->fd, on ? EV_READ : 0);
	l->watched = on;
}

/* At once, not at the end of the turn: whoever connects until then would be
 * reset. */
static void
socket_close(struct listener *l)
{
	if (l->fd == -1)
		return;
	ev_del(l->master->ev, l->fd);
	close(l->fd);
	l->fd = -1;
	l->watched = false;
	if (l->addr.sa.sa_family == AF_UNIX && unix_ours(l))
		unlink(l->addr.un.sun_path);
}

void
listener_shut(struct listener *l)
{
	if (l->fd == -1)
		return;
	if (is_datagram(l))
		datagram_all(l);
	else
		accept_all(l);
	socket_close(l);
}

void
listener_close(struct listener *l)
{
	struct master *m = l->master;

	ev_timer_stop(m->ev, &l->retry);
	ev_timer_stop(m->ev, &l->pause);
	socket_close(l);
	/* who still waits is of no listener that a worker knows */
	l->conf = NULL;
	l->record.listener = UINT32_MAX;
	listener_unref(l);
}

static bool
sticky_equal(const struct sticky_conf *a, const struct sticky_conf *b)
{
	return a->period == b->period && a->size == b->size &&
	    a->own == b->own;
}

/* What was set once and is not any more, as it would be on a new socket. */
static struct listener_conf
options_usual(const struct listener_conf *c, const struct listener_conf *was,
    int family)
{
	const struct net_keepalive *k = &was->keepalive;
	struct listener_conf out = *c;

	if (c->dscp < 0 && was->dscp >= 0)
		out.dscp = 0;
	if (c->protocol == IPPROTO_TCP &&
	    (k->count != 0 || k->idle != 0 || k->interval != 0))
		net_keepalive_fill(family, &out.keepalive);
	if (c->uid == (uid_t)-1 && was->uid != (uid_t)-1)
		out.uid = geteuid();
	if (c->gid == (gid_t)-1 && was->gid != (gid_t)-1)
		out.gid = getegid();
	return out;
}

/* A thousand of them cost nothing then. */
static bool
options_equal(const struct listener_conf *a, const struct listener_conf *b)
{
	const struct net_keepalive *x = &a->keepalive, *y = &b->keepalive;

	return a->dscp == b->dscp && x->count == y->count &&
	    x->idle == y->idle && x->interval == y->interval &&
	    a->no_keepalive == b->no_keepalive && a->foreign == b->foreign;
}

static bool
tcp_equal(const struct net_tcp *a, const struct net_tcp *b)
{
	return a->nodelay == b->nodelay && a->sack == b->sack &&
	    a->buffer == b->buffer && a->ttl == b->ttl &&
	    a->minttl == b->minttl;
}

static void
tcp_adopt(struct listener *l, const struct listener_conf *former)
{
	l->option = NULL;
	if (l->conf->protocol == IPPROTO_TCP &&
	    !tcp_equal(&former->tcp, &l->conf->tcp) &&
	    net_tcp_change(l->fd, l->addr.sa.sa_family, &former->tcp,
	    &l->conf->tcp, &l->option) == -1)
		options_warn(l);
}

void
listener_adopt(struct listener *l, const struct listener_conf *c,
    uint32_t generation)
{
	int family = l->addr.sa.sa_family;
	const struct listener_conf *former = l->conf;
	struct listener_conf usual;

	if (!sticky_equal(&former->sticky, &c->sticky)) {
		sticky_free(l->sticky);
		l->sticky = NULL;
	}
	if (c->plain && !l->conf->plain)
		log_line("%s: no listen block describes it any more",
		    l->text);
	if (!l->aside)
		own_free(l);
	l->conf = c;
	l->generation = generation;
	l->fresh = false;
	sticky_set_up(l);
	record_set(l);
	text_set(l);
	if (l->fd == -1 || former == c)
		return;
	if (c->passed != NULL) {
		passed_options(l);
		return;
	}
	usual = options_usual(c, former, family);
	tcp_adopt(l, former);
	l->option = NULL;
	if ((!options_equal(c, former) &&
	    options_set(l->fd, &usual, family, &l->option) == -1) ||
	    (family == AF_UNIX && unix_ours(l) && unix_finish(&usual) == -1))
		options_warn(l);
	if (!is_datagram(l) && (former->backlog != c->backlog ||
	    former->overload_backlog != c->overload_backlog))
		(void)listen(l->fd, backlog_of(l));
}

/* The endpoint outlives the configuration it comes from. */
bool
listener_set_aside(struct listener *l, const struct listener_conf *c,
    uint32_t generation)
{
	if (l->own == NULL) {
		if ((l->own = malloc(sizeof(*l->own))) == NULL)
			return false;
		*l->own = *l->conf;
		if (l->conf->vrf != NULL && (l->own->vrf =
		    strdup(l->conf->vrf)) == NULL) {
			own_free(l);
			return false;
		}
		l->own->name = NULL;
		log_line("%s stays open beside its successor", l->text);
	}
	listener_adopt(l, c, generation);
	return true;
}

void
listener_record(struct listener *l, struct hand *h)
{
	struct channel_record old = h->record;

	h->record = l->record;
	h->record.id = old.id;
	h->record.accepted = old.accepted;
	memcpy(h->record.peer, old.peer, sizeof(old.peer));
	memcpy(h->record.local, old.local, sizeof(old.local));
	h->generation = l->generation;
}

bool
listener_lent(const struct listener *l)
{
	const struct master *m = l->master;

	return l->conf != NULL && l->conf->accept == ACCEPT_WORKERS &&
	    m->program->worker != NULL && m->single == NULL &&
	    m->conf.conf->broker.spawn.exec == NULL;
}

/* ---- all of them ---- */

struct listener *
listener_by_index(struct master *m, uint32_t index)
{
	struct listener *l = m->listeners;

	while (l != NULL && (l->fresh || l->conf->index != index))
		l = l->next;
	return l;
}

/* Open, or going to be tried again after a while; else errno. */
static bool
opened_or_retried(struct listener *l)
{
	ev_timer_stop(l->master->ev, &l->retry);
	if (listener_open(l) == 0) {
		listener_opened(l);
		return true;
	}
	if (l->conf->retry == 0)
		return false;
	log_err("cannot bind %s: %s, retrying every %u s", l->text,
	    listener_reason(l), l->conf->retry);
	listener_retry(l);
	return true;
}

bool
listeners_open(struct master *m)
{
	bool any = false, missing = false;
	char text[LISTENER_FAILURE];

	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (opened_or_retried(l)) {
			any = true;
		} else {
			start_err("%s", listener_failure(l, text,
			    sizeof(text)));
			missing |= l->conf->owner != NULL;
		}
	return any && !missing;
}

void
listener_reopen(struct listener *l)
{
	char text[LISTENER_FAILURE];

	if (!opened_or_retried(l))
		log_err("%s", listener_failure(l, text, sizeof(text)));
}

/*
 * The master looks at a lent socket only while nobody holds it, or to shed
 * what comes in overload.
 */
static bool
should_watch(const struct listener *l)
{
	const struct master *m = l->master;
	bool shedding = m->overload && overload_policy(m) != OVERLOAD_QUEUE;

	if (l->fd == -1 || l->paused || l->fresh || m->ending || m->holding)
		return false;
	if (m->overload)
		return shedding;
	if (m->stalled)
		return false;
	return !listener_lent(l) || l->holders == 0;
}

void
listeners_update(struct master *m)
{
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (l->fd != -1)
			watch_set(l, should_watch(l));
}

void
listeners_backlog(struct master *m)
{
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (l->fd != -1 && !is_datagram(l) && l->conf->backlog !=
		    l->conf->overload_backlog)
			(void)listen(l->fd, backlog_of(l));
}

bool
listeners_lent(const struct master *m)
{
	for (const struct listener *l = m->listeners; l != NULL; l = l->next)
		if (!l->fresh && listener_lent(l))
			return true;
	return false;
}

void
listeners_close(struct master *m)
{
	struct listener *l;

	while ((l = m->listeners) != NULL) {
		m->listeners = l->next;
		listener_close(l);
	}
}

/* ---- sticky caches ---- */

void
sticky_prepare(struct master *m)
{
	const struct sticky_conf *s = &m->conf.conf->broker.sticky;

	if (s->period > 0 && m->sticky == NULL)
		m->sticky = sticky_new(s->size);
}

void
sticky_worker_left(struct master *m, uint32_t number)
{
	if (m->sticky != NULL)
		sticky_forget(m->sticky, number);
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		if (l->sticky != NULL)
			sticky_forget(l->sticky, number);
}
