/*
 * The process of a role: what it needs privileges for, then nobody's, then a
 * loop whose first message is the board and the second the configuration.
 */
#include <sys/socket.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "../misc/log.h"
#include "../misc/net.h"
#include "../misc/title.h"
#include "board.h"
#include "config_msg.h"
#include "keys.h"
#include "logfile.h"
#include "outbox.h"
#include "program.h"
#include "roles.h"
#include "tell.h"
#include "words.h"

#define STATUS_FAILED	1
#define TURN		64	/* messages per wake-up */

/* One per process. */
struct role {
	const struct program		*program;
	const struct program_role	*kind;
	const char			*base;
	uint32_t			 instance;
	struct ev			*ev;
	struct channel			 channel;	/* fd -1: closed */
	struct outbox			 outbox;
	uint8_t				 nonce[8];
	bool				 greeted;
	bool				 ending;
	int				 status;	/* to end with */
	struct board			 board;		/* head NULL: none */
	struct board			 former;	/* until config */
	struct compiled			*conf;
	void				*object;	/* the role's own */
};

static void
role_end(struct role *r, int status)
{
	if (r->ending)
		return;
	r->ending = true;
	r->status = status;
	ev_stop(r->ev, status);
}

/* ---- what the role calls ---- */

void
role_tell(struct role *r, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	const struct channel_tell head = { .role = role,
	    .instance = instance, .type = type };

	assert(type != 0 && len <= ROLE_DATA);
	if (!outbox_send(&r->outbox, CHANNEL_TELL, &head, sizeof(head), data,
	    len, &fd, fd != -1) && errno != EPIPE && errno != ECONNRESET)
		log_err("channel: TELL: %s", strerror(errno));
}

struct board *
role_board(struct role *r)
{
	return &r->board;
}

uint32_t
role_instance(const struct role *r)
{
	return r->instance;
}

struct ev *
role_ev(struct role *r)
{
	return r->ev;
}

void
role_fail(struct role *r, int status)
{
	role_end(r, status);
}

/* ---- messages ---- */

static void
got_hello(struct role *r, struct channel_message *m)
{
	struct channel_hello hello;

	memcpy(&hello, m->payload, sizeof(hello));
	if (memcmp(hello.nonce, r->nonce, sizeof(r->nonce)) != 0 ||
	    memcmp(hello.build, channel_build, sizeof(channel_build)) != 0) {
		log_err("%s: not started by this master", r->kind->title);
		role_end(r, STATUS_FAILED);
		return;
	}
	r->greeted = true;
	r->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
}

static void
got_board(struct role *r, struct channel_message *m)
{
	struct channel_board b;
	struct board board;
	int fd = m->fds[0];

	memcpy(&b, m->payload, sizeof(b));
	m->fds[0] = -1;
	if (board_map(&board, fd, (size_t)b.size) == -1) {
		log_err("%s: the board cannot be used: %s", r->kind->title,
		    strerror(errno));
		role_end(r, STATUS_FAILED);
		return;
	}
	/* what the role holds is on the older one of several */
	if (r->former.head == NULL)
		r->former = r->board;
	else
		board_close(&r->board);
	r->board = board;
}

static void
role_log(struct role *r)
{
	struct log_conf log = r->conf->worker_common.log;

	log.role = r->kind->title;
	log_configure(&log);
}

static void
config_adopt(struct role *r, struct compiled *c)
{
	struct channel_ready ready = { .generation = c->generation };

	if (r->conf != NULL)
		compiled_unref(r->conf);
	r->conf = c;
	if (r->former.head != NULL)
		board_close(&r->former);
	role_log(r);
	memcpy(ready.nonce, r->nonce, sizeof(ready.nonce));
	memcpy(ready.digest, c->digest, sizeof(ready.digest));
	(void)outbox_send(&r->outbox, CHANNEL_READY, &ready, sizeof(ready),
	    NULL, 0, NULL, 0);
}

static void
got_config(struct role *r, struct channel_message *m)
{
	const struct conf_request request = { .program = r->program };
	const char *why = NULL;
	struct compiled *c;
	struct diag *d;

	if (!r->greeted || r->board.head == NULL)
		return;
	if ((d = diag_new()) == NULL)
		return;
	c = config_unpack(&request, m, d, &why);
	if (c != NULL && r->kind->ops->config(r->object, c, d) == 0) {
		config_adopt(r, c);
	} else {
		if (c != NULL)
			compiled_unref(c);
		diag_log(d);
		log_err("%s: the configuration cannot be used%s%s",
		    r->kind->title, why != NULL ? ": " : "",
		    why != NULL ? why : "");
		role_end(r, STATUS_FAILED);
	}
	diag_free(d);
}

static void
role_give(struct role *r, struct tell *t)
{
	if (r->conf != NULL && r->kind->ops->tell != NULL && !r->ending)
		r->kind->ops->tell(r->object, t);
}

static void
got_keys(struct role *r, struct channel_message *m)
{
	struct channel_keys keys;
	struct tell t;

	if (m->len < sizeof(keys))
		return;
	memcpy(&keys, m->payload, sizeof(keys));
	t = (struct tell){ .role = ROLE_WORKER, .instance = keys.worker,
	    .type = ROLE_KEYS, .data = m->payload,
	    .len = sizeof(keys.generation), .fd = m->fds[0] };
	role_give(r, &t);
	m->fds[0] = t.fd;
}

static void
got_tell(struct role *r, struct channel_message *m)
{
	struct tell t;

	tell_read(&t, m);
	if (t.type == 0)
		log_verbose(tell_verbose(&t));
	else
		role_give(r, &t);
	tell_done(&t, m);
}

static void
got_logfile(struct role *r, struct channel_message *m)
{
	(void)r;
	logfile_take(m);
}

static void
got_ping(struct role *r, struct channel_message *m)
{
	(void)outbox_send(&r->outbox, CHANNEL_PONG, m->payload,
	    sizeof(struct channel_ping), NULL, 0, NULL, 0);
}

static void
got_may_die(struct role *r, struct channel_message *m)
{
	(void)m;
	role_end(r, 0);
}

static void (*const messages[CHANNEL_TYPES])(struct role *,
    struct channel_message *) = {
	[CHANNEL_HELLO] = got_hello,
	[CHANNEL_BOARD] = got_board,
	[CHANNEL_CONFIG] = got_config,
	[CHANNEL_KEYS] = got_keys,
	[CHANNEL_TELL] = got_tell,
	[CHANNEL_LOGFILE] = got_logfile,
	[CHANNEL_PING] = got_ping,
	[CHANNEL_MAY_DIE] = got_may_die,
};

/* The master is gone, or wants us to be. */
static void
channel_lost(struct role *r)
{
	if (r->channel.fd == -1)
		return;
	outbox_clear(&r->outbox);
	ev_close(r->ev, r->channel.fd);
	r->channel.fd = -1;
	role_end(r, 0);
}

static void
channel_readable(void *ctx, int fd)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct role *r = ctx;
	struct channel_message m;

	(void)fd;
	for (int i = 0; i < TURN && r->channel.fd != -1 && !r->ending; i++) {
		switch (channel_recv(&r->channel, buf, &m)) {
		case CHANNEL_NOTHING:
			return;
		case CHANNEL_CLOSED:
			channel_lost(r);
			return;
		case CHANNEL_IGNORED:
			break;
		case CHANNEL_GOT:
			if (m.type != CHANNEL_PING)
				log_debug(DEBUG_PACKET, "%s, %zu bytes, %u "
				    "descriptors", channel_forms[m.type].name,
				    m.len, m.nfds);
			if (messages[m.type] != NULL)
				messages[m.type](r, &m);
			for (unsigned n = 0; n < m.nfds; n++)
				if (m.fds[n] != -1)
					close(m.fds[n]);
			break;
		}
	}
}

static void
channel_writable(void *ctx, int fd)
{
	struct role *r = ctx;

	(void)fd;
	outbox_flush(&r->outbox);
}

static void
channel_hangup(void *ctx, int fd)
{
	(void)fd;
	channel_lost(ctx);
}

static const struct ev_ops channel_ops = {
	.readable = channel_readable, .writable = channel_writable,
	.error = channel_hangup, .hangup = channel_hangup,
};

/* ---- the process ---- */

bool
role_is_process(void)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);

	return getenv(ROLE_ENV) != NULL && getsockname(0,
	    (struct sockaddr *)&ss, &len) == 0 && ss.ss_family == AF_UNIX;
}

static void
signal_cb(void *ctx, int signo)
{
	(void)signo;
	role_end(ctx, 0);
}

static bool
loop_open(struct role *r)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP };
	static const int ending[] = { SIGTERM, SIGINT };
	const char *env = getenv(ROLE_ENV);
	unsigned version = 0;

	if (env == NULL || !channel_env_parse(env, &version, r->nonce) ||
	    version != SPAWND_VERSION) {
		log_err("%s in the environment is malformed", ROLE_ENV);
		return false;
	}
	(void)unsetenv(ROLE_ENV);
	r->channel.fd = 0;
	net_cloexec(0, true);
	r->ev = ev_new(getenv("IO_POLL_MECHANISM"), true);
	if (r->ev == NULL || net_nonblock(0) == -1)
		return false;
	outbox_init(&r->outbox, r->ev, &r->channel, NULL, NULL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)ev_signal(r->ev, ignored[i], NULL, NULL);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		(void)ev_signal(r->ev, ending[i], signal_cb, r);
	return ev_add(r->ev, 0, &channel_ops, r, EV_READ) == 0;
}

static const struct program_role *
kind_find(const struct program *program, const char *title)
{
	for (unsigned i = 0; i < program->nroles; i++)
		if (strcmp(program->roles[i].title, title) == 0)
			return &program->roles[i];
	return NULL;
}

/* With all privileges, and then without. -1: why is logged. */
static int
privileges_use(struct role *r)
{
	if (r->kind->secrets)
		keys_conceal();
	(void)daemon_raise_limit();
	r->object = r->kind->ops->open(r->ev, r);
	if (r->object == NULL)
		return -1;
	if (r->program->confine != NULL &&
	    !r->program->confine(r->kind->title))
		return -1;
	if (r->kind->secrets)
		keys_conceal();		/* a new identity may undo it */
	return 0;
}

static void
role_free(struct role *r)
{
	if (r->object != NULL && r->kind->ops->close != NULL)
		r->kind->ops->close(r->object);
	words_say(WORD_CHILD_GONE, r->kind->title, (long)getpid());
	outbox_clear(&r->outbox);
	if (r->conf != NULL)
		compiled_unref(r->conf);
	board_close(&r->former);
	board_close(&r->board);
	ev_free(r->ev);
}

int
role_main(const struct program *program, const char *base, const char *title,
    uint32_t instance)
{
	/* found by leak checkers, and there to the end */
	static struct role r;
	int status = STATUS_FAILED;

	r.program = program;
	r.base = base;
	r.instance = instance;
	r.board.fd = r.former.fd = r.board.view = r.former.view = -1;
	if ((r.kind = kind_find(program, title)) == NULL ||
	    r.kind->ops == NULL) {
		log_err("%s: no such process", title);
		return status;
	}
	if (!loop_open(&r)) {
		log_err("%s: cannot start: %s", title, strerror(errno));
		return status;
	}
	(void)title_set(ev_clock(r.ev), "%s: %s", base, title);
	if (privileges_use(&r) == 0)
		status = r.ending ? r.status : ev_run(r.ev);
	role_free(&r);
	return status;
}
