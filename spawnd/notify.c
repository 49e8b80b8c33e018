#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/log.h"
#include "notify.h"

#define TEXT_MAX	256
#define KEPT_MAX	8
#define AGAIN		(100 * EV_MS)	/* the manager's queue was full */
#define STATUS_PERIOD	(2 * EV_SECOND)

static struct {
	int		 fd;		/* 0: nobody wants to know */
	struct net_addr	 manager;
	const char	*unusable;	/* an address, as long as the log is
					   not open yet */
	pid_t		 started;	/* the process that was started */
	uint64_t	 period;	/* of keep-alives, ns; 0: none */
	struct ev	*ev;
	struct ev_timer	 alive, again, status;
	/* what the manager did not take, oldest first */
	char		 kept[KEPT_MAX][TEXT_MAX];
	unsigned	 nkept;
	bool		 failed;	/* that was logged */
	char		 shown[TEXT_MAX], wanted[TEXT_MAX];
} notify;

bool
notify_address(const char *text, struct net_addr *a)
{
	size_t n = strlen(text);

	if (*text == '/')
		return net_parse_unix(text, a);
	memset(a, 0, sizeof(*a));
	/* an abstract name has no NUL at its end, but one in front */
	if (*text != '@' || n < 2 || n > sizeof(a->un.sun_path))
		return false;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path + 1, text + 1, n - 1);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return true;
}

/* Decimal digits and nothing else. */
static bool
digits(const char *text, uintmax_t *n)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*n = strtoumax(text, &end, 10);
	return errno == 0 && *end == '\0';
}

uint64_t
notify_period(const char *usec, const char *pid, pid_t self)
{
	uintmax_t n;

	if (pid != NULL && (!digits(pid, &n) || n != (uintmax_t)self))
		return 0;
	if (usec == NULL || !digits(usec, &n) || n == 0 ||
	    n > UINT64_MAX / 1000)
		return 0;
	/* shorter than any manager would ask for: never a busy loop */
	return n * 500 > EV_MS ? n * 500 : EV_MS;
}

void
notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path == NULL || *path == '\0')
		return;
	if (!notify_address(path, &notify.manager)) {
		notify.unusable = path;
		return;
	}
	notify.fd = net_socket(AF_UNIX, SOCK_DGRAM, 0);
	if (notify.fd == -1) {
		notify.unusable = path;
		notify.fd = 0;
		return;
	}
	notify.started = getpid();
	notify.period = notify_period(getenv("WATCHDOG_USEC"),
	    getenv("WATCHDOG_PID"), notify.started);
}

bool
notify_active(void)
{
	return notify.fd != 0;
}

/* false: not now. */
static bool
put(const char *text)
{
	ssize_t n;

	do
		n = sendto(notify.fd, text, strlen(text), MSG_DONTWAIT |
		    MSG_NOSIGNAL, &notify.manager.sa, notify.manager.len);
	while (n == -1 && errno == EINTR);
	if (n != -1) {
		notify.failed = false;
		return true;
	}
	if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
		return false;
	if (!notify.failed)
		log_warn("service manager: %s", strerror(errno));
	notify.failed = true;
	return true;
}

static void
again_cb(void *ctx)
{
	unsigned done = 0;

	(void)ctx;
	while (done < notify.nkept && put(notify.kept[done]))
		done++;
	notify.nkept -= done;
	memmove(notify.kept, notify.kept + done,
	    notify.nkept * sizeof(notify.kept[0]));
	if (notify.nkept > 0 && notify.ev != NULL)
		ev_timer_set(notify.ev, &notify.again, AGAIN, again_cb, NULL);
}

/* In the order in which things happened: RELOADING behind the READY that
 * ends it would have the manager wait for ever. */
static void
tell(const char *text)
{
	if (notify.fd == 0)
		return;
	if (notify.nkept == 0 && put(text))
		return;
	if (notify.nkept == KEPT_MAX) {
		/* what it has not heard of for so long it need not know */
		memmove(notify.kept, notify.kept + 1,
		    (KEPT_MAX - 1) * sizeof(notify.kept[0]));
		notify.nkept--;
	}
	snprintf(notify.kept[notify.nkept++], TEXT_MAX, "%s", text);
	if (notify.ev != NULL && !ev_timer_pending(&notify.again))
		ev_timer_set(notify.ev, &notify.again, AGAIN, again_cb, NULL);
}

static void
alive_cb(void *ctx)
{
	(void)ctx;
	/* behind what is kept it would be late, and say nothing more */
	if (notify.nkept == 0)
		tell("WATCHDOG=1");
	else
		(void)put("WATCHDOG=1");
	ev_timer_set(notify.ev, &notify.alive, notify.period, alive_cb, NULL);
}

void
notify_loop(struct ev *ev)
{
	if (notify.ev != NULL) {
		ev_timer_stop(notify.ev, &notify.alive);
		ev_timer_stop(notify.ev, &notify.again);
		ev_timer_stop(notify.ev, &notify.status);
	}
	notify.ev = ev;
	if (notify.unusable != NULL)
		log_warn("NOTIFY_SOCKET: '%.100s' is no UNIX socket, the "
		    "service manager is not told", notify.unusable);
	notify.unusable = NULL;
	if (ev == NULL || notify.fd == 0)
		return;
	if (notify.period > 0)
		ev_timer_set(ev, &notify.alive, notify.period, alive_cb, NULL);
	if (notify.nkept > 0)
		ev_timer_set(ev, &notify.again, 0, again_cb, NULL);
}

void
notify_ready(void)
{
	if (getpid() == notify.started)
		tell("READY=1");
	else
		notify_hand(getpid());
}

/* The manager compares the time with that of its own request. */
void
notify_reloading(void)
{
	char text[TEXT_MAX];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	tell(text);
}

void
notify_stopping(void)
{
	tell("STOPPING=1");
}

void
notify_mainpid(pid_t pid)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "MAINPID=%ld", (long)pid);
	tell(text);
}

void
notify_hand(pid_t pid)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld", (long)pid);
	tell(text);
}

void
notify_alive(void)
{
	static struct timespec last;
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)(now.tv_sec - last.tv_sec) * EV_SECOND +
	    (uint64_t)now.tv_nsec - (uint64_t)last.tv_nsec;
	if (notify.fd == 0 || notify.period == 0 || ns < notify.period)
		return;
	last = now;
	(void)put("WATCHDOG=1");
}

/* ---- status ---- */

static void
status_cb(void *ctx)
{
	char text[TEXT_MAX + sizeof("STATUS=")];

	(void)ctx;
	if (strcmp(notify.shown, notify.wanted) == 0)
		return;
	snprintf(text, sizeof(text), "STATUS=%s", notify.wanted);
	/* it is no news any more when the manager has time for it */
	if (notify.nkept == 0 && put(text))
		memcpy(notify.shown, notify.wanted, sizeof(notify.shown));
	if (notify.ev != NULL)
		ev_timer_set(notify.ev, &notify.status, STATUS_PERIOD,
		    status_cb, NULL);
}

void
notify_status(const char *fmt, ...)
{
	va_list ap;

	if (notify.fd == 0)
		return;
	va_start(ap, fmt);
	vsnprintf(notify.wanted, sizeof(notify.wanted), fmt, ap);
	va_end(ap);
	for (char *p = notify.wanted; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	if (!ev_timer_pending(&notify.status))
		status_cb(NULL);
}
