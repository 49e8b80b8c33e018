/*
 * What health checks cost: one engine that checks many hosts once a second,
 * as CPU time of its process (what the kernel does for it counts), and how
 * often it allocates once it is warm. The hosts are addresses of loopback;
 * a child answers for them, whose time does not count. Needs root for ICMP.
 *
 *	make bench/checks && bench/checks [HOSTS [SECONDS]]
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "misc/ev.h"
#include "misc/net.h"
#include "tcprelay/check.h"

#define ANSWER	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" \
		"Connection: close\r\n\r\nhello"

/* ---- how often somebody allocates ---- */

static uint64_t allocations;

#ifdef __GLIBC__
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *
malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

/* ---- hosts ---- */

static const struct ev_ops listener_ops, peer_ops;

/* The request is in one piece: whatever comes is all of it. */
static void
peer_cb(void *ctx, int fd)
{
	char data[1024];

	if (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		(void)!send(fd, ANSWER, sizeof(ANSWER) - 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	ev_close(ctx, fd);
}

static void
accept_cb(void *ctx, int fd)
{
	int c;

	while ((c = net_accept(fd, NULL)) != -1)
		if (ev_add(ctx, c, &peer_ops, ctx, EV_READ) == -1)
			net_close(c);
}

static const struct ev_ops
listener_ops = { .readable = accept_cb },
peer_ops = { .readable = peer_cb, .error = peer_cb, .hangup = peer_cb };

static pid_t
hosts_start(int listener)
{
	pid_t pid = fork();
	struct ev *ev;

	if (pid != 0)
		return pid;
	ev = ev_new(NULL, true);
	if (ev == NULL || ev_add(ev, listener, &listener_ops, ev, EV_READ))
		_exit(1);
	while (getppid() != 1 && ev_turn(ev, 1000) == 0)
		;
	_exit(0);
}

/* ---- the engine ---- */

static struct {
	uint64_t	statuses, ups, rounds;
} seen;

static void
status_cb(void *ctx, const struct check_status *s)
{
	(void)ctx;
	seen.statuses++;
	seen.ups += s->now.state == HOST_UP;
}

static void
round_cb(void *ctx)
{
	(void)ctx;
	seen.rounds++;
}

static bool
script_cb(void *ctx, const struct check_script *s)
{
	(void)ctx;
	(void)s;
	return false;
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	(void)severity;
	fprintf(stderr, "%s\n", text);
}

static const struct check_ops ops = {
	status_cb, round_cb, script_cb, line_cb
};

static double
cpu(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	    (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
turn_until(struct ev *ev, uint64_t rounds)
{
	while (seen.rounds < rounds)
		if (ev_turn(ev, -1) == -1)
			exit(1);
}

/* Three rounds to get warm, then as many as there are seconds. */
static void
measure(const char *what, const struct check_how *how,
    struct check_host *hosts, size_t n, unsigned seconds)
{
	struct check_table t = { .id = 1, .name = "t:1", .how = *how,
	    .timeout = 900, .every = 1, .hosts = hosts, .nhosts = n };
	struct ev *ev = ev_new(NULL, true);
	int fds[CHECK_SOCKETS];
	struct check *c;
	uint64_t before;
	double used;

	(void)check_open(fds);
	c = ev != NULL ? check_new(ev, &ops, NULL, fds) : NULL;
	if (c == NULL) {
		perror("check");
		exit(1);
	}
	seen.rounds = 0;
	check_adopt(c, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 1000, .agent = "bench" });
	turn_until(ev, 4);
	seen.statuses = seen.ups = 0;
	before = allocations;
	used = cpu();
	turn_until(ev, 4 + seconds);
	used = cpu() - used;
	printf("%-12s %6zu hosts/s  CPU %5.1f %%  up %5.1f %%  "
	    "allocations/check %.2f\n", what, n, used / seconds * 100,
	    seen.statuses == 0 ? 0 : 100 * (double)seen.ups /
	    (double)seen.statuses, seen.statuses == 0 ? 0 :
	    (double)(allocations - before) / (double)seen.statuses);
	fflush(stdout);
	check_free(c);
	ev_turn(ev, 0);
	ev_free(ev);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char	*what;
		struct check_how how;
	} kinds[] = {
		{ "icmp", { .kind = CHECK_ICMP } },
		{ "tcp", { .kind = CHECK_TCP } },
		{ "http code", { .kind = CHECK_HTTP_CODE, .path = "/",
		    .code = 200 } },
		{ "http digest", { .kind = CHECK_HTTP_DIGEST, .path = "/",
		    .digest = "5d41402abc4b2a76b9719d911017c592" } },
		{ "send expect", { .kind = CHECK_SEND,
		    .send = (const uint8_t *)"x", .send_len = 1,
		    .expect = (const uint8_t *)"HTTP*", .expect_len = 5 } },
	};
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000;
	unsigned seconds = argc > 2 ?
	    (unsigned)strtoul(argv[2], NULL, 10) : 10;
	struct check_host *hosts = calloc(n, sizeof(*hosts));
	struct net_addr any = { .in = { .sin_family = AF_INET },
	    .len = sizeof(any.in) };
	int l = net_socket(AF_INET, SOCK_STREAM, 0);
	struct rlimit r;
	pid_t pid;

	if (hosts == NULL || n == 0 || n > 60000 || seconds == 0)
		return 1;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (bind(l, &any.sa, any.len) == -1 || listen(l, 4096) == -1 ||
	    net_local(l, &any) == -1 || (pid = hosts_start(l)) == -1) {
		perror("listen");
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		hosts[i] = (struct check_host){ .id = (uint32_t)i + 1,
		    .name = "host", .addr = any };
		hosts[i].addr.in.sin_addr.s_addr = htonl((uint32_t)(0x7f010001
		    + i));
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		measure(kinds[i].what, &kinds[i].how, hosts, n, seconds);
	kill(pid, SIGKILL);
	free(hosts);
	return 0;
}
