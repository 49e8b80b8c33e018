/*
 * A process beside the workers, whichever it is: its channel at descriptor 0,
 * its signals, and what the master tells all of them.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __FreeBSD__
#include <sys/procctl.h>
#endif

#include "../misc/log.h"
#include "../misc/net.h"
#include "aide.h"
#include "logfile.h"

#define TURN		64	/* messages per wake-up */

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

void
aide_conceal(void)
{
	const struct rlimit none = { 0, 0 };

	conceal();
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* ---- messages ---- */

enum channel_result
aide_read(struct channel *channel, int most,
    bool (*got)(void *, struct channel_message *), void *ctx)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message m;
	bool more = true;

	while (more && most-- > 0) {
		switch (channel_recv(channel, buf, &m)) {
		case CHANNEL_NOTHING:
			return CHANNEL_NOTHING;
		case CHANNEL_CLOSED:
			return CHANNEL_CLOSED;
		case CHANNEL_IGNORED:
			break;
		case CHANNEL_GOT:
			more = got(ctx, &m);
			for (unsigned i = 0; i < m.nfds; i++)
				if (m.fds[i] != -1)
					close(m.fds[i]);
			break;
		}
	}
	return CHANNEL_NOTHING;
}

static void
got_hello(struct aide *a, const struct channel_message *m)
{
	struct channel_hello hello;

	memcpy(&hello, m->payload, sizeof(hello));
	if (memcmp(hello.nonce, a->nonce, sizeof(a->nonce)) != 0 ||
	    memcmp(hello.build, channel_build, sizeof(channel_build)) != 0) {
		log_err("%s: not started by this master", a->name);
		aide_end(a, a->foreign);
		return;
	}
	a->greeted = true;
	a->channel.features = FEATURE_BOARD | FEATURE_CONFIG;
}

static bool
got_message(void *ctx, struct channel_message *m)
{
	struct aide *a = ctx;

	if (m->type != CHANNEL_PING)
		log_debug(DEBUG_PACKET, "%s, %zu bytes, %u descriptors",
		    channel_forms[m->type].name, m->len, m->nfds);
	if (m->type == CHANNEL_HELLO)
		got_hello(a, m);
	else if (m->type == CHANNEL_LOGFILE)
		logfile_take(m);
	else if (m->type == CHANNEL_PING)
		(void)aide_send(a, CHANNEL_PONG, m->payload,
		    sizeof(struct channel_ping), NULL, 0, -1);
	else if (m->type == CHANNEL_MAY_DIE)
		a->ops->over(a->ctx);
	else if (a->ops->messages[m->type] != NULL)
		a->ops->messages[m->type](a->ctx, m);
	return !a->ending && a->channel.fd != -1;
}

static void
channel_lost(struct aide *a)
{
	outbox_clear(&a->outbox);
	ev_close(a->ev, a->channel.fd);
	a->channel.fd = -1;
	a->ops->lost(a->ctx);
}

static void
channel_readable(void *ctx, int fd)
{
	struct aide *a = ctx;

	(void)fd;
	if (a->channel.fd != -1 && !a->ending && aide_read(&a->channel, TURN,
	    got_message, a) == CHANNEL_CLOSED)
		channel_lost(a);
}

static void
channel_writable(void *ctx, int fd)
{
	struct aide *a = ctx;

	(void)fd;
	outbox_flush(&a->outbox);
}

/* What the master has said last is still done. */
static void
channel_hangup(void *ctx, int fd)
{
	struct aide *a = ctx;

	(void)fd;
	if (a->channel.fd == -1)
		return;
	if (!a->ending)
		(void)aide_read(&a->channel, INT_MAX, got_message, a);
	channel_lost(a);
}

static const struct ev_ops channel_ops = {
	.readable = channel_readable, .writable = channel_writable,
	.error = channel_hangup, .hangup = channel_hangup,
};

bool
aide_send(struct aide *a, enum channel_type type, const void *data,
    size_t len, const void *more, size_t more_len, int fd)
{
	return outbox_send(&a->outbox, type, data, len, more, more_len, &fd,
	    fd != -1);
}

/* ---- the process ---- */

bool
aide_is_process(const char *name)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);

	return getenv(name) != NULL && getsockname(0,
	    (struct sockaddr *)&ss, &len) == 0 && ss.ss_family == AF_UNIX;
}

static void
signal_cb(void *ctx, int signo)
{
	struct aide *a = ctx;

	(void)signo;
	a->ops->over(a->ctx);
}

bool
aide_open(struct aide *a, const char *name)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP };
	static const int ending[] = { SIGTERM, SIGINT };
	const char *env = getenv(name);
	unsigned version = 0;

	if (env == NULL || !channel_env_parse(env, &version, a->nonce) ||
	    version != SPAWND_VERSION) {
		log_err("%s in the environment is malformed", name);
		return false;
	}
	(void)unsetenv(name);
	a->channel.fd = 0;
	net_cloexec(0, true);
	a->ev = ev_new(getenv("IO_POLL_MECHANISM"), true);
	if (a->ev == NULL || net_nonblock(0) == -1)
		return false;
	outbox_init(&a->outbox, a->ev, &a->channel, NULL, NULL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)ev_signal(a->ev, ignored[i], NULL, NULL);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		(void)ev_signal(a->ev, ending[i], signal_cb, a);
	return ev_add(a->ev, 0, &channel_ops, a, EV_READ) == 0;
}

int
aide_serve(struct aide *a)
{
	return a->ending ? a->status : ev_run(a->ev);
}

void
aide_end(struct aide *a, int status)
{
	if (a->ending)
		return;
	a->ending = true;
	a->status = status;
	ev_stop(a->ev, status);
}

void
aide_close(struct aide *a)
{
	outbox_clear(&a->outbox);
	ev_free(a->ev);
}
