/*
 * The parent's part: what needs privileges, done for processes that have
 * none. It runs in the master's loop and waits for nobody; what is asked is
 * held against the configuration in force before anything is done.
 */
#include <sys/socket.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/net.h"
#include "../misc/sandbox.h"
#include "../spawnd/conf.h"
#include "../tcprelay/check_run.h"
#include "features.h"
#include "rd_engine.h"
#include "rd_program.h"
#include "rd_role.h"
#include "rd_sock.h"

#define LOOK		(3 * EV_SECOND)	/* at the control socket */

/* One per process. */
struct parent {
	struct master		*master;
	struct ev		*ev;
	struct compiled		*conf, *next;	/* in force; prepared. Ours */
	struct rd_sock		 control, fresh; /* the socket to come; none:
						    the same */
	struct ev_timer		 look;		/* at the socket's file */
	bool			 missed;	/* it is gone, that was said */
	struct check_run	*scripts;
	uint32_t		 key[4];	/* of relays without one */
	bool			 started;	/* a configuration is in force */
	bool			 told;		/* verbose, by an operator */
	uint32_t		 loud;
	struct {
		bool		 pending;
		uint32_t	 instance;
		uint64_t	 token;
	} reload;
};

static const struct rd_conf *
conf_of(const struct parent *p)
{
	return rd_conf_of(p->conf);
}

/* ---- scripts ---- */

static void
script_answer(struct parent *p, uint32_t host, uint32_t run, bool up)
{
	const struct rd_tell_done done = { .host = host, .run = run,
	    .up = up };

	master_tell(p->master, RD_HCE, 0, RD_SCRIPT_DONE, &done, sizeof(done),
	    -1);
}

static void
script_done_cb(void *ctx, uint32_t host, uint32_t run, bool up)
{
	script_answer(ctx, host, run, up);
}

/* Nothing runs here that the file does not name. */
static bool
script_named(const struct rd_conf *conf, const char *path)
{
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_check *c = &conf->tables[i]->check;

		if (c->kind == RD_CHECK_SCRIPT && strcmp(c->path, path) == 0)
			return true;
	}
	return false;
}

static void
got_script(struct parent *p, struct tell *t)
{
	const struct rd_tell_script *s = t->data;
	const char *end = s->text + sizeof(s->text);
	const char *path_end = memchr(s->text, '\0', sizeof(s->text));
	struct check_script script = { .host = s->host, .run = s->run,
	    .timeout = s->timeout, .path = s->text };

	if (path_end == NULL || memchr(path_end + 1, '\0',
	    (size_t)(end - path_end - 1)) == NULL) {
		log_warn("script: path or argument without an end");
		return;
	}
	script.argument = path_end + 1;
	/* of the configuration before: its check has ended, too */
	if (!script_named(conf_of(p), script.path))
		return;
	if (check_run_start(p->scripts, &script))
		return;
	log_err("script %s: %s", script.path, strerror(errno));
	script_answer(p, s->host, s->run, false);
}

/* ---- sockets ---- */

static bool
transparent(const struct rd_conf *conf)
{
	for (size_t i = 0; i < conf->nrelays; i++)
		if (conf->relays[i]->transparent)
			return true;
	return false;
}

static int
socket_from(struct net_addr addr)
{
	const int on = 1;
	int fd;

	net_set_port(&addr, 0);
	addr.len = addr.sa.sa_family == AF_INET6 ? sizeof(addr.in6) :
	    sizeof(addr.in);
	if ((fd = net_socket(addr.sa.sa_family, SOCK_STREAM, 0)) == -1)
		return -1;
	if (net_foreign(fd, addr.sa.sa_family) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, &addr.sa, addr.len) == -1) {
		net_close(fd);
		return -1;
	}
	return fd;
}

static void
got_bind(struct parent *p, struct tell *t)
{
	const struct tell_bind *b = t->data;
	struct tell_bound bound = { .token = b->token };
	int fd = -1;

	if (!transparent(conf_of(p)))
		errno = EPERM;
	else if (b->from.sa.sa_family != AF_INET &&
	    b->from.sa.sa_family != AF_INET6)
		errno = EAFNOSUPPORT;
	else
		fd = socket_from(b->from);
	if (fd == -1)
		bound.error = errno;
	master_tell(p->master, t->role, t->instance, TELL_BOUND, &bound,
	    sizeof(bound), fd);
	if (fd != -1)
		close(fd);
}

static int
agentx_connect(const struct rd_conf *conf)
{
	struct net_addr addr;
	int fd;

	if (!conf->agentx) {
		errno = EPERM;
		return -1;
	}
	if (!net_parse_unix(conf->agentx_path, &addr)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	/* of UNIX sockets: at once, or not at all */
	if (connect(fd, &addr.sa, addr.len) == -1) {
		net_close(fd);
		return -1;
	}
	return fd;
}

static void
got_agentx(struct parent *p, struct tell *t)
{
	int fd = agentx_connect(conf_of(p));
	int32_t error = fd == -1 ? errno : 0;

	master_tell(p->master, t->role, t->instance, RD_AGENTX_SOCKET, &error,
	    sizeof(error), fd);
	if (fd != -1)
		close(fd);
}

/* ---- orders of operators ---- */

static void
reload_answer(struct parent *p, uint32_t instance, uint64_t token, bool good)
{
	const struct rd_tell_verdict verdict = { .token = token,
	    .good = good };

	master_tell(p->master, RD_PFE, instance, RD_RELOADED, &verdict,
	    sizeof(verdict), -1);
}

static void
reloaded_cb(void *ctx, bool good)
{
	struct parent *p = ctx;

	if (!p->reload.pending)
		return;
	p->reload.pending = false;
	reload_answer(p, p->reload.instance, p->reload.token, good);
}

static void
got_reload(struct parent *p, struct tell *t)
{
	const struct rd_tell_reload *r = t->data;
	bool path = r->path[0] != '\0';

	if (memchr(r->path, '\0', sizeof(r->path)) == NULL ||
	    (path && r->path[0] != '/') || p->reload.pending) {
		reload_answer(p, t->instance, r->token, false);
		return;
	}
	p->reload.pending = true;
	p->reload.instance = t->instance;
	p->reload.token = r->token;
	if (!master_reload(p->master, path ? r->path : NULL, reloaded_cb, p))
		reloaded_cb(p, false);
}

static void
got_stop(struct parent *p, struct tell *t)
{
	(void)t;
	master_stop(p->master, "control client");
}

static void
loud_tell(struct parent *p, unsigned role, uint32_t instance)
{
	master_tell(p->master, role, instance, TELL_VERBOSE, &p->loud,
	    sizeof(p->loud), -1);
}

static void
got_loud(struct parent *p, struct tell *t)
{
	p->loud = *(const uint32_t *)t->data != 0;
	p->told = true;
	master_verbose(p->master, p->loud != 0);
	for (unsigned role = RD_WORKER; role < RD_ROLES; role++)
		loud_tell(p, role, ROLE_ALL);
}

/* Who may ask for it, and how long it is: rd_tells[]. */
static void (*const asked[RD_TELLS])(struct parent *, struct tell *) = {
	[TELL_BIND] = got_bind,
	[RD_SCRIPT] = got_script,
	[RD_RELOAD] = got_reload,
	[RD_STOP] = got_stop,
	[RD_LOUD] = got_loud,
	[RD_AGENTX] = got_agentx,
};

static void
parent_tell(void *ctx, struct tell *t)
{
	if (rd_tell_good(t, RD_PARENT) && asked[t->type] != NULL)
		asked[t->type](ctx, t);
}

/* ---- configurations ---- */

static int
parent_prepare(void *ctx, struct compiled *c, char *error, size_t size)
{
	struct parent *p = ctx;
	const char *path = rd_conf_of(c)->socket;

	if (!rd_hce_able(rd_conf_of(c), error, size))
		return -1;
	/* whoever removed its file wants it back */
	if ((p->control.path == NULL || strcmp(p->control.path, path) != 0 ||
	    !rd_sock_there(&p->control)) &&
	    rd_sock_open(&p->fresh, path, error, size) == -1)
		return -1;
	p->next = compiled_ref(c);
	return 0;
}

static void
parent_forget(void *ctx)
{
	struct parent *p = ctx;

	rd_sock_close(&p->fresh);
	if (p->next != NULL)
		compiled_unref(p->next);
	p->next = NULL;
}

static void
control_give(struct parent *p)
{
	master_tell(p->master, RD_PFE, 0, RD_CONTROL, NULL, 0, p->control.fd);
}

/* Shows the one to come, if there is one. */
static void
control_change(struct parent *p)
{
	if (p->fresh.path == NULL)
		return;
	if (rd_sock_show(&p->fresh) == -1)
		log_err("control socket %s: %s", p->fresh.path,
		    strerror(errno));
	rd_sock_close(&p->control);
	p->control = p->fresh;
	memset(&p->fresh, 0, sizeof(p->fresh));
	if (p->started)
		control_give(p);
}

/*
 * Somebody has removed the file; or an upgrade has failed so late that its
 * socket was in the place of ours. Another service there is left alone.
 */
static void
look_cb(void *ctx)
{
	struct parent *p = ctx;
	char error[256];

	if (p->fresh.path == NULL && rd_sock_lost(&p->control)) {
		if (rd_sock_open(&p->fresh, p->control.path, error,
		    sizeof(error)) == 0) {
			log_warn("control socket %s: was gone, made anew",
			    p->control.path);
			control_change(p);
			p->missed = false;
		} else if (!p->missed) {
			log_err("%s", error);
			p->missed = true;
		}
	}
	ev_timer_set(p->ev, &p->look, LOOK, look_cb, p);
}

static void
parent_commit(void *ctx)
{
	struct parent *p = ctx;

	control_change(p);
	ev_timer_set(p->ev, &p->look, LOOK, look_cb, p);
	if (p->conf != NULL)
		compiled_unref(p->conf);
	p->conf = p->next;
	p->next = NULL;
	p->started = true;
}

static void
parent_greet(void *ctx, unsigned role, uint32_t instance)
{
	struct parent *p = ctx;

	if (p->told)
		loud_tell(p, role, instance);
	if (role == RD_WORKER)
		master_tell(p->master, role, instance, TELL_HASH_KEY, p->key,
		    sizeof(p->key), -1);
	if (role == RD_PFE)
		control_give(p);
}

/* ---- beginning and end ---- */

/*
 * What hashes without a key in the file are keyed with, for as long as there
 * is a service: also the program after this one, which gets our environment,
 * is to send clients where they were.
 */
static void
key_take(uint32_t key[static 4])
{
	const char *text = getenv(RD_HASH_KEY);

	memset(key, 0, 4 * sizeof(*key));
	if (text != NULL)
		(void)sscanf(text, "%8" SCNx32 "%8" SCNx32 "%8" SCNx32
		    "%8" SCNx32, &key[0], &key[1], &key[2], &key[3]);
}

static void *
parent_open(struct master *m, struct ev *ev)
{
	static struct parent p;		/* there to the end */
	struct check_run_conf run = { .drop = true,
	    .hidden = RD_HASH_KEY, .done = script_done_cb, .ctx = &p };
	char error[SANDBOX_ERROR];

	p.master = m;
	p.ev = ev;
	if (sandbox_user(RELAYD_USER, &run.uid, &run.gid, error) == -1) {
		log_crit("%s", error);
		return NULL;
	}
	key_take(p.key);
	if ((p.scripts = check_run_new(ev, &run)) == NULL) {
		log_crit("cannot start: %s", strerror(errno));
		return NULL;
	}
	return &p;
}

static bool
parent_reaped(void *ctx, pid_t pid, int wstatus)
{
	const struct parent *p = ctx;

	return check_run_reaped(p->scripts, pid, wstatus);
}

static void
parent_close(void *ctx)
{
	struct parent *p = ctx;

	ev_timer_stop(p->ev, &p->look);
	parent_forget(p);
	check_run_free(p->scripts);
	rd_sock_close(&p->control);
	if (p->conf != NULL)
		compiled_unref(p->conf);
	p->conf = NULL;
}

const struct parent_ops rd_parent_ops = {
	.open = parent_open, .prepare = parent_prepare,
	.commit = parent_commit, .forget = parent_forget,
	.greet = parent_greet, .tell = parent_tell, .reaped = parent_reaped,
	.close = parent_close,
};
