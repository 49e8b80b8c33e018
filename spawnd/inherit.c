#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf.h"
#include "inherit.h"
#include "program.h"

#define FIRST		3	/* SD_LISTEN_FDS_START */
#define BACKLOG		128

static const struct {
	int		 type;
	const char	*name, *word;	/* word: as the type directive has it */
} types[] = {
	{ SOCK_STREAM, "a stream socket", "STREAM" },
	{ SOCK_DGRAM, "a datagram socket", "DGRAM" },
	{ SOCK_SEQPACKET, "a sequential packet socket", "SEQPACKET" },
};
#define TYPES	(sizeof(types) / sizeof(*types))

static const char *
type_name(int type)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].name;
	return "a socket of an unknown type";
}

static const char *
type_word(int type)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].word;
	return "?";
}

static int
option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == -1 ? -1 : value;
}

/* ---- taking them ---- */

int
inherit_add(struct inherit *in, int fd, const char *name)
{
	struct passed *all = reallocarray(in->sockets, in->n + 1,
	    sizeof(*all)), *p;

	if (all == NULL)
		return -1;
	in->sockets = all;
	p = &all[in->n];
	memset(p, 0, sizeof(*p));
	p->fd = fd;
	if (net_local(fd, &p->addr) == -1 || net_nonblock(fd) == -1 ||
	    net_cloexec(fd, true) == -1 ||
	    (p->type = option(fd, SOL_SOCKET, SO_TYPE)) == -1)
		return -1;
	switch (p->addr.sa.sa_family) {
	case AF_INET6:
		p->v6only = option(fd, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
		/* FALLTHROUGH */
	case AF_INET:
		p->protocol = p->type == SOCK_DGRAM ? IPPROTO_UDP :
		    p->type == SOCK_STREAM ? IPPROTO_TCP : 0;
#ifdef SO_PROTOCOL
		p->protocol = option(fd, SOL_SOCKET, SO_PROTOCOL);
#endif
		break;
	default:
		break;
	}
	if ((p->name = strdup(name)) == NULL)
		return -1;
	in->n++;
	return 0;
}

/* What is wrong with one; NULL: nothing. */
static const char *
unusable(int fd, const struct program *program, char text[static 96])
{
	struct net_addr addr;
	int type;

	if (fcntl(fd, F_GETFD) == -1)
		return "is not open";
	if ((type = option(fd, SOL_SOCKET, SO_TYPE)) == -1)
		return "is no socket";
	if (net_local(fd, &addr) == -1 || (addr.sa.sa_family != AF_INET &&
	    addr.sa.sa_family != AF_INET6 && addr.sa.sa_family != AF_UNIX))
		return "is of no address family that is served here";
	if (type != SOCK_STREAM && (!program->broker_only ||
	    (type != SOCK_DGRAM && type != SOCK_SEQPACKET))) {
		snprintf(text, 96, "is %s, %s", type_name(type),
		    program->broker_only ? "which no worker can use" :
		    "which cannot be relayed");
		return text;
	}
	if (type == SOCK_DGRAM && addr.sa.sa_family == AF_UNIX)
		return "is a UNIX datagram socket, where nobody could be "
		    "answered";
	if (type == SOCK_DGRAM ||
	    option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1)
		return NULL;
	if (net_peer(fd, &addr) == 0)
		return "is a connection, not a listening socket "
		    "(Accept=yes?)";
	return "does not listen";
}

/* Decimal, from 0. */
static bool
number(const char *text, long *n)
{
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*n = strtol(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* The next of NAME:NAME:...; what it is called if there is none. */
static void
next_name(const char **names, char name[static 256])
{
	size_t n = *names == NULL ? 0 : strcspn(*names, ":");

	if (n > 0 && n < 256) {
		memcpy(name, *names, n);
		name[n] = '\0';
	} else
		snprintf(name, 256, "unknown");
	if (*names != NULL)
		*names = (*names)[n] == ':' ? *names + n + 1 : NULL;
}

static int
managers_take(struct inherit *in, const struct program *program,
    char error[static INHERIT_ERROR])
{
	const char *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES"), *reason;
	char name[256], text[96];
	long n, pid;

	if (!number(getenv("LISTEN_PID"), &pid) || pid != (long)getpid() ||
	    count == NULL)
		return 0;		/* somebody else's */
	if (!number(count, &n) || n > INT_MAX - FIRST) {
		snprintf(error, INHERIT_ERROR, "LISTEN_FDS: '%.64s' is no "
		    "number of descriptors", count);
		return EX_USAGE;
	}
	for (int fd = FIRST; fd < FIRST + (int)n; fd++) {
		next_name(&names, name);
		reason = unusable(fd, program, text);
		if (reason == NULL && inherit_add(in, fd, name) == -1)
			reason = strerror(errno);
		if (reason != NULL) {
			snprintf(error, INHERIT_ERROR, "LISTEN_FDS: "
			    "descriptor %d (%.64s) %s", fd, name, reason);
			return EX_USAGE;
		}
	}
	return 0;
}

enum inetd { INETD_NO, INETD_WAIT, INETD_NOWAIT };

/* A UNIX socket may be anything that a supervisor has left there. */
static enum inetd
inetd_look(const struct program *program)
{
	struct net_addr addr, peer;
	int type = option(0, SOL_SOCKET, SO_TYPE);

	if (net_local(0, &addr) == -1 ||
	    (addr.sa.sa_family != AF_INET && addr.sa.sa_family != AF_INET6))
		return INETD_NO;
	/* a relay has no use for datagrams */
	if (type == SOCK_DGRAM && program->broker_only &&
	    net_port(&addr) != 0 && net_peer(0, &peer) == -1)
		return INETD_WAIT;
	if (type != SOCK_STREAM)
		return INETD_NO;
	if (option(0, SOL_SOCKET, SO_ACCEPTCONN) == 1)
		return INETD_WAIT;
	return net_peer(0, &addr) == 0 ? INETD_NOWAIT : INETD_NO;
}

static bool
same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	    x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* It is on 1 and 2 as well: there it would take what is written to them, and
 * be in every worker's hands. */
static int
inetd_take(struct inherit *in)
{
	int null, fd = fcntl(0, F_DUPFD_CLOEXEC, FIRST);

	if (fd == -1)
		return -1;
	if (inherit_add(in, fd, "inetd") == -1 ||
	    (null = open("/dev/null", O_RDWR)) == -1)
		return -1;
	for (int i = 2; i >= 0; i--)
		if (same_file(i, fd) && dup2(null, i) == -1) {
			net_close(null);
			return -1;
		}
	close(null);
	in->inetd = true;
	return 0;
}

int
inherit_take(struct inherit *in, const struct program *program,
    char error[static INHERIT_ERROR])
{
	int status = managers_take(in, program, error);

	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDNAMES");
	if (status != 0)
		return status;
	switch (inetd_look(program)) {
	case INETD_NO:
		break;
	case INETD_WAIT:
		if (inetd_take(in) == 0)
			break;
		snprintf(error, INHERIT_ERROR, "inetd: %s", strerror(errno));
		return EX_OSERR;
	case INETD_NOWAIT:
		snprintf(error, INHERIT_ERROR,
		    "inetd: only 'wait' services are possible");
		return EX_USAGE;
	}
	return 0;
}

/* ---- to whom they belong ---- */

/* The list that is being made, in the configuration's arena. */
struct fill {
	struct arena		*arena;
	const struct inherit	*in;
	bool			*taken, *by_name;	/* of each socket */
	struct listener_conf	*all;
	size_t			 n;
};

static bool
named(const struct listener_conf *l, const struct passed *p)
{
	return strcmp(l->name, p->name) == 0;
}

/* A wildcard for both families is filled by one of either. With a VRF there
 * may be several of one address: those are told apart by name only. */
static bool
addressed(const struct listener_conf *l, const struct passed *p)
{
	if (l->addr.len == 0 || l->type != p->type || l->vrf != NULL ||
	    l->protocol != p->protocol)
		return false;
	return net_same(&l->addr, &p->addr) || (l->both &&
	    p->addr.sa.sa_family != AF_UNIX && net_is_any(&p->addr) &&
	    net_port(&l->addr) != 0 &&
	    net_port(&l->addr) == net_port(&p->addr));
}

/* Names of listeners are unique; those of passed sockets need not be. */
static const char *
name_unique(const struct fill *f, const char *name)
{
	const char *text = name;
	unsigned next = 2;

	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->all[i].name, text) == 0) {
			text = arena_printf(f->arena, "%s-%u", name, next++);
			i = (size_t)-1;		/* from the beginning */
		}
	return text;
}

static void
entry_add(struct fill *f, const struct listener_conf *from, unsigned socket,
    bool first)
{
	const struct passed *p = &f->in->sockets[socket];
	struct listener_conf *l = &f->all[f->n];

	*l = *from;
	l->passed = p;
	l->addr = p->addr;
	l->type = p->type;
	l->protocol = p->protocol;
	l->v6only = p->v6only;
	l->both = false;
	if (!first) {
		/* workers know of one socket by a block's number */
		l->accept = ACCEPT_MASTER;
		l->name = name_unique(f, from->name);
	}
	f->taken[socket] = true;
	f->n++;
}

/* Sockets for one entry of the file. true: it needs none of its own. */
static bool
entry_fill(struct fill *f, const struct listener_conf *l,
    bool (*belongs)(const struct listener_conf *, const struct passed *),
    struct diag *d)
{
	bool first = true;

	for (unsigned i = 0; i < f->in->n; i++) {
		const struct passed *p = &f->in->sockets[i];

		if (f->taken[i] || !belongs(l, p) ||
		    (f->by_name[i] && belongs != named))
			continue;
		if (l->type != p->type)
			diag_error(d, &l->place, "name: the socket '%s' that "
			    "was passed is %s, not 'type = %s'", p->name,
			    type_name(p->type), type_word(l->type));
		entry_add(f, l, i, first);
		first = false;
	}
	return !first;
}

/* No block describes it: everything is as by default. */
static void
plain_add(struct fill *f, unsigned socket, uint32_t index)
{
	const struct passed *p = &f->in->sockets[socket];
	struct listener_conf plain = {
		.name = name_unique(f, p->name), .index = index,
		.plain = true, .uid = (uid_t)-1, .gid = (gid_t)-1,
		.backlog = BACKLOG, .overload_backlog = BACKLOG, .dscp = -1,
		.tcp = { .nodelay = 1, .sack = -1 },
	};

	entry_add(f, &plain, socket, true);
}

static bool
name_passed(const struct inherit *in, const struct listener_conf *l)
{
	for (unsigned i = 0; i < in->n; i++)
		if (named(l, &in->sockets[i]))
			return true;
	return false;
}

void
inherit_fill(struct compiled *c, const struct inherit *in, struct diag *d)
{
	struct spawnd_conf *conf = &c->broker;
	struct fill f = { .arena = c->arena, .in = in };
	const struct listener_conf *own = conf->listeners;

	if (in->n == 0)
		return;
	f.taken = arena_array(c->arena, in->n, sizeof(*f.taken));
	f.all = arena_array(c->arena, conf->nlisteners + in->n,
	    sizeof(*f.all));
	f.by_name = arena_array(c->arena, in->n, sizeof(*f.by_name));
	/* names win, wherever their blocks stand */
	for (unsigned k = 0; k < in->n; k++)
		for (size_t i = 0; i < conf->nlisteners; i++)
			f.by_name[k] |= named(&own[i], &in->sockets[k]);
	for (size_t i = 0; i < conf->nlisteners; i++)
		if (name_passed(in, &own[i]))
			(void)entry_fill(&f, &own[i], named, d);
		else if (!entry_fill(&f, &own[i], addressed, d))
			f.all[f.n++] = own[i];
	for (unsigned i = 0; i < in->n; i++)
		if (!f.taken[i])
			plain_add(&f, i, conf->indexes++);
	conf->endpoints = f.all;
	conf->nendpoints = f.n;
}
