/*
 * The key process: a role of the program, as a worker is. It gets the
 * configuration with its secrets, becomes who workers are, and signs for
 * them. Nobody but the system's administrator can look into it.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __FreeBSD__
#include <sys/procctl.h>
#endif

#include "../misc/daemon.h"
#include "../misc/keyproc.h"
#include "../misc/log.h"
#include "../misc/net.h"
#include "../misc/str.h"
#include "../misc/title.h"
#include "config_msg.h"
#include "features.h"
#include "keys.h"
#include "own.h"
#include "proc.h"

/* One per process. */
struct service {
	const struct program	*program;
	const char		*base;
	bool			 stderr_copy;
	struct ev		*ev;
	struct channel		 channel;	/* fd -1: the master is gone */
	uint8_t			 nonce[8];
	bool			 greeted;
	struct conf_request	 request;
	struct compiled		*conf;
	struct keyproc_keys	*keys;
	unsigned		 peers;
	bool			 over;		/* ends with the last peer */
};

/* ---- nobody else's business ---- */

#if defined(__linux__)
static void
conceal(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0);
}
#elif defined(__FreeBSD__)
static void
conceal(void)
{
	int off = PROC_TRACE_CTL_DISABLE;

	(void)procctl(P_PID, getpid(), PROC_TRACE_CTL, &off);
}
#else
/* Elsewhere a process that was root before cannot be traced anyway. */
static void
conceal(void)
{
}
#endif

static void
no_core(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
}

void
keys_conceal(void)
{
	conceal();
	no_core();
}

/* ---- messages ---- */

static void
end_if_idle(struct service *s)
{
	if (s->over && s->peers == 0)
		ev_stop(s->ev, 0);
}

static void
gone_cb(void *ctx)
{
	struct service *s = ctx;

	s->peers--;
	end_if_idle(s);
}

static void
got_hello(struct service *s, struct channel_message *m)
{
	struct channel_hello hello;

	memcpy(&hello, m->payload, sizeof(hello));
	if (memcmp(hello.nonce, s->nonce, sizeof(s->nonce)) != 0 ||
	    memcmp(hello.build, channel_build, sizeof(channel_build)) != 0) {
		log_err("key process: not started by this master");
		ev_stop(s->ev, EX_CONFIG);
		return;
	}
	s->greeted = true;
	s->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
}

static void
show(const struct service *s)
{
	const struct common_conf *c = &s->conf->worker_common;
	struct log_conf log = c->log;

	log.role = "keys";
	log.stderr_copy |= s->stderr_copy;
	log_configure(&log);
	(void)title_set(ev_clock(s->ev), "%s: %s%skey process", s->base,
	    c->proctitle != NULL ? c->proctitle : "",
	    c->proctitle != NULL ? ": " : "");
}

static int
load(struct service *s, struct channel_message *m, struct diag *d)
{
	const char *lacks, *why = "the configuration cannot be used";

	s->conf = config_unpack(&s->request, m, d, &why);
	if (s->conf == NULL) {
		log_err("key process: %s", why);
		return EX_CONFIG;
	}
	show(s);
	if ((lacks = identity_take(&s->conf->broker.spawn)) != NULL) {
		log_err("key process cannot become what 'spawn' says: %s: %s",
		    lacks, strerror(errno));
		return EX_NOPERM;
	}
	conceal();			/* a new identity may undo it */
	s->keys = keyproc_keys_new();
	if (s->keys == NULL || s->program->keys_load(s->conf, s->keys,
	    d) == -1)
		return EX_CONFIG;
	return 0;
}

static void
got_config(struct service *s, struct channel_message *m)
{
	struct diag *d;
	int status;

	if (!s->greeted || s->conf != NULL)
		return;
	d = diag_new();
	status = load(s, m, d);
	if (status != 0) {
		diag_log(d);
		ev_stop(s->ev, status);
	}
	diag_free(d);
}

static void
got_keys(struct service *s, struct channel_message *m)
{
	if (s->keys == NULL)
		return;
	if (keyproc_peer_new(s->ev, s->keys, m->fds[0], gone_cb, s) == NULL) {
		log_err("key process: cannot serve a worker: %s",
		    strerror(errno));
		return;
	}
	m->fds[0] = -1;
	s->peers++;
}

static void
got_logfile(struct service *s, struct channel_message *m)
{
	struct channel_logfile f;

	(void)s;
	memcpy(&f, m->payload, sizeof(f));
	if (f.kind == 1)
		log_file(m->fds[0]);
	else if (f.kind == 2)
		log_debug_file(m->fds[0]);
	else
		return;
	m->fds[0] = -1;
}

static void
got_ping(struct service *s, struct channel_message *m)
{
	(void)channel_send(&s->channel, CHANNEL_PONG, m->payload,
	    sizeof(struct channel_ping), NULL, 0, NULL, 0);
}

static void
got_may_die(struct service *s, struct channel_message *m)
{
	(void)m;
	s->over = true;
	end_if_idle(s);
}

static void (*const messages[CHANNEL_TYPES])(struct service *,
    struct channel_message *) = {
	[CHANNEL_HELLO] = got_hello,
	[CHANNEL_CONFIG] = got_config,
	[CHANNEL_KEYS] = got_keys,
	[CHANNEL_LOGFILE] = got_logfile,
	[CHANNEL_PING] = got_ping,
	[CHANNEL_MAY_DIE] = got_may_die,
};

/* The master is gone: workers go on, and so do we. */
static void
channel_lost(struct service *s)
{
	ev_close(s->ev, s->channel.fd);
	s->channel.fd = -1;
	s->over = true;
	end_if_idle(s);
}

static void
channel_readable(void *ctx, int fd)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct service *s = ctx;
	struct channel_message m;

	(void)fd;
	while (s->channel.fd != -1) {
		switch (channel_recv(&s->channel, buf, &m)) {
		case CHANNEL_NOTHING:
			return;
		case CHANNEL_CLOSED:
			channel_lost(s);
			return;
		case CHANNEL_IGNORED:
			break;
		case CHANNEL_GOT:
			if (messages[m.type] != NULL)
				messages[m.type](s, &m);
			for (unsigned i = 0; i < m.nfds; i++)
				if (m.fds[i] != -1)
					close(m.fds[i]);
			break;
		}
	}
}

static void
channel_hangup(void *ctx, int fd)
{
	channel_readable(ctx, fd);
	if (((struct service *)ctx)->channel.fd != -1)
		channel_lost(ctx);
}

static const struct ev_ops channel_ops = {
	.readable = channel_readable, .error = channel_hangup,
	.hangup = channel_hangup,
};

/* ---- the role ---- */

bool
keys_is_process(void)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);

	return getenv(KEYS_ENV) != NULL && getsockname(0,
	    (struct sockaddr *)&ss, &len) == 0 && ss.ss_family == AF_UNIX;
}

/* Workers go on after these, and need us to. */
static void
signal_cb(void *ctx, int signo)
{
	(void)signo;
	got_may_die(ctx, NULL);
}

static bool
service_open(struct service *s)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP };
	static const int ending[] = { SIGTERM, SIGINT };
	const char *env = getenv(KEYS_ENV);
	unsigned version = 0;

	if (env == NULL || !channel_env_parse(env, &version, s->nonce) ||
	    version != SPAWND_VERSION) {
		log_err("%s in the environment is malformed", KEYS_ENV);
		return false;
	}
	(void)unsetenv(KEYS_ENV);
	s->channel.fd = 0;
	net_cloexec(0, true);
	s->ev = ev_new(getenv("IO_POLL_MECHANISM"), true);
	if (s->ev == NULL || net_nonblock(0) == -1)
		return false;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)ev_signal(s->ev, ignored[i], NULL, NULL);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		(void)ev_signal(s->ev, ending[i], signal_cb, s);
	return ev_add(s->ev, 0, &channel_ops, s, EV_READ) == 0;
}

int
keys_main(const struct program *program, char **argv)
{
	/* found by leak checkers, and there to the end */
	static struct service s;
	int status;

	keys_conceal();
	s.program = program;
	s.base = str_base(argv[0]);
	s.stderr_copy = argv[1] != NULL && strcmp(argv[1], "-D") == 0;
	log_stderr(s.stderr_copy);
	s.request = (struct conf_request){ .program = program };
	if (program->keys_load == NULL || !service_open(&s)) {
		log_err("key process: cannot start");
		return EX_OSERR;
	}
	(void)daemon_raise_limit();
	status = ev_run(s.ev);
	if (s.keys != NULL && s.peers == 0)
		keyproc_keys_free(s.keys);
	if (s.conf != NULL)
		compiled_unref(s.conf);
	ev_free(s.ev);
	return status;
}
