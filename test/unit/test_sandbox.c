/* misc/sandbox.c and what this system offers: what each role needs goes on
 * working, what it does not need does not. */
#include <sys/types.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <net/if.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/buf.h"
#include "misc/ev.h"
#include "misc/net.h"
#include "misc/sandbox.h"
#include "misc/splice.h"

#define RELAY	(1u << SANDBOX_RELAY)
#define CHECK	(1u << SANDBOX_CHECK)
#define FILTER	(1u << SANDBOX_FILTER)
#define KEY	(1u << SANDBOX_KEY)
#define ALL	(RELAY | CHECK | FILTER | KEY)

/* What a child works with; opened before it is confined. */
static int pair[2], listener, file;
static struct sockaddr_in place;

/* ---- each returns whether it worked; errno says why not ---- */

static bool
do_memory(void)
{
	size_t n = (size_t)32 << 20;
	char *p = malloc(n), *q;

	if (p == NULL)
		return false;
	memset(p, 1, n);
	if ((q = realloc(p, 2 * n)) == NULL) {
		free(p);
		return false;
	}
	free(q);
	return true;
}

/* As configurations come. */
static bool
do_file(void)
{
	struct stat st;
	void *p;

	if (fstat(file, &st) == -1)
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, file, 0);
	if (p == MAP_FAILED)
		return false;
	return memcmp(p, "configuration", 13) == 0 &&
	    munmap(p, (size_t)st.st_size) == 0;
}

static bool
do_pass(void)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int got;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(int));
	if (sendmsg(pair[0], &m, MSG_NOSIGNAL) != 1)
		return false;
	m.msg_controllen = sizeof(space);
	if (recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) != 1 ||
	    (c = CMSG_FIRSTHDR(&m)) == NULL)
		return false;
	memcpy(&got, CMSG_DATA(c), sizeof(int));
	return close(got) == 0;
}

static unsigned fired;

static void
fire_cb(void *ctx)
{
	fired++;
	ev_stop(ctx, 0);
}

static bool
do_loop(void)
{
	struct ev_timer timer = { 0 };
	struct ev *ev = ev_new(NULL, true);

	fired = 0;
	if (ev == NULL)
		return false;
	ev_timer_set(ev, &timer, EV_MS, fire_cb, ev);
	(void)ev_run(ev);
	ev_free(ev);
	return fired == 1;
}

static bool
do_clock(void)
{
	struct timespec ts = { 0, 1000 };

	return clock_gettime(CLOCK_MONOTONIC, &ts) == 0 &&
	    time(NULL) != (time_t)-1 && (ts.tv_sec = 0, ts.tv_nsec = 1000,
	    nanosleep(&ts, NULL) == 0);
}

static bool
do_random(void)
{
	char bytes[32];

	return getentropy(bytes, sizeof(bytes)) == 0;
}

static bool
do_limit(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 &&
	    setrlimit(RLIMIT_NOFILE, &r) == 0;
}

static bool
do_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return fd != -1 && setsockopt(fd, IPPROTO_IP, IP_TTL, &(int){ 9 },
	    sizeof(int)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0 &&
	    (connect(fd, (struct sockaddr *)&place, sizeof(place)) == 0 ||
	    errno == EINPROGRESS) && poll(&p, 1, 10000) == 1 &&
	    net_error(fd) == 0 && shutdown(fd, SHUT_RDWR) == 0 &&
	    close(fd) == 0;
}

static bool
do_datagram(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd == -1 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, SOCK_DGRAM, 0);
	return fd != -1 && close(fd) == 0;
}

static bool
do_interface(void)
{
	char name[IF_NAMESIZE];

	return if_indextoname(1, name) != NULL && if_nametoindex(name) == 1;
}

static bool
do_accept(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd != -1 && getpeername(fd, (struct sockaddr *)&ss,
	    &len) == 0 && close(fd) == 0;
}

static bool
do_splice(void)
{
	int fd[2];
	char c;

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) == -1 ||
	    fcntl(fd[0], F_GETFL) == -1 || write(pair[0], "x", 1) != 1)
		return false;
	return splice(pair[1], NULL, fd[1], NULL, 1, SPLICE_F_NONBLOCK) ==
	    1 && read(fd[0], &c, 1) == 1;
}

static bool
do_lock(void)
{
	static char secret[4096];

	(void)madvise(secret, sizeof(secret), 16);	/* not in dumps */
	return mlock(secret, 64) == 0 && munlock(secret, 64) == 0;
}

static bool
do_raise(void)
{
	static const struct sigaction ignore = { .sa_handler = SIG_IGN };

	return sigaction(SIGUSR2, &ignore, NULL) == 0 &&
	    raise(SIGUSR2) == 0 && kill(getpid(), SIGUSR2) == 0;
}

static bool
do_open(void)
{
	return open("/etc/passwd", O_RDONLY) != -1;
}

static bool
do_make(void)
{
	return open("/tmp", O_TMPFILE | O_WRONLY, 0600) != -1 ||
	    mkdir("/tmp/sandbox-test", 0700) == 0;
}

static bool
do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid != -1;
}

static bool
do_signal(void)
{
	return kill(getppid(), 0) == 0;
}

static bool
do_execute(void)
{
	static char name[] = "true";
	static char *const argv[] = { name, NULL };

	return execve("/bin/true", argv, argv + 1) == 0;
}

static bool
do_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) != -1;
}

static bool
do_raw(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) != -1;
}

static bool
do_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd != -1 && listen(fd, 1) == 0;
}

static bool
do_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANON, -1, 0) != MAP_FAILED;
}

static bool
do_privilege(void)
{
	return setuid(getuid()) == 0;
}

static bool
do_unshare(void)
{
	return syscall(SYS_unshare, 0) == 0;
}

/* cachestat, younger than the list: not there, as far as a library knows */
static bool
do_newer(void)
{
	return syscall(451, -1, NULL, NULL, 0) == 0 || errno != ENOSYS;
}

static const struct deed {
	const char	*name;
	bool		(*perform)(void);
	unsigned	 may;
} deeds[] = {
	{ "memory", do_memory, ALL },
	{ "a file that was received", do_file, ALL },
	{ "passing a descriptor", do_pass, ALL },
	{ "the loop", do_loop, ALL },
	{ "clocks", do_clock, ALL },
	{ "randomness", do_random, ALL },
	{ "limits", do_limit, ALL },
	{ "locking memory", do_lock, ALL },
	{ "signals of its own", do_raise, ALL },
	{ "connecting", do_connect, RELAY | CHECK },
	{ "datagrams", do_datagram, RELAY | CHECK },
	{ "names of interfaces", do_interface, RELAY | CHECK | FILTER },
	{ "accepting", do_accept, RELAY | FILTER },
	{ "splicing", do_splice, RELAY },
	{ "opening a file", do_open, 0 },
	{ "making a file", do_make, 0 },
	{ "forking", do_fork, 0 },
	{ "signals to others", do_signal, 0 },
	{ "executing", do_execute, 0 },
	{ "a UNIX socket", do_unix, 0 },
	{ "a raw socket", do_raw, 0 },
	{ "listening", do_listen, 0 },
	{ "memory for code", do_code, 0 },
	{ "ids", do_privilege, 0 },
	{ "a namespace", do_unshare, 0 },
	{ "a newer call", do_newer, 0 },
};

#define WORKED	0
#define NO_CONFINEMENT	120

static bool
offered(void)
{
	char what[SANDBOX_ERROR] = "";
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(sandbox_enter(SANDBOX_KEY, what) == -1 ||
		    strstr(what, "seccomp") == NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int
perform(enum sandbox_role role, const struct deed *d)
{
	char what[SANDBOX_ERROR];
	int status = -1;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		if (sandbox_enter(role, what) == -1)
			_exit(NO_CONFINEMENT);
		errno = 0;
		_exit(d->perform() ? WORKED : errno != 0 ? errno : 119);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
means_open(void)
{
	socklen_t len = sizeof(place);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	memset(&place, 0, sizeof(place));
	place.sin_family = AF_INET;
	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&place, len), 0);
	assert_int_equal(listen(listener, 64), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&place,
	    &len), 0);
	file = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(write(file, "configuration", 13), 13);
}

static void
means_close(void)
{
	close(pair[0]);
	close(pair[1]);
	close(listener);
	close(file);
}

/* Somebody to be accepted. */
static int
visit(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&place,
	    sizeof(place)), 0);
	return fd;
}

static void
test_roles(void **state)
{
	static const char *const roles[SANDBOX_ROLES] = {
		"relay", "check", "filter", "key" };
	unsigned wrong = 0;

	(void)state;
	if (!offered())
		skip();
	for (unsigned role = 0; role < SANDBOX_ROLES; role++)
		for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
			const struct deed *d = &deeds[i];
			bool may = (d->may & 1u << role) != 0, did;
			int status, visitor;

			means_open();
			visitor = visit();
			status = perform(role, d);
			close(visitor);
			means_close();
			did = WIFEXITED(status) &&
			    WEXITSTATUS(status) == WORKED;
			if (did == may)
				continue;
			print_error("%s: %s: status %#x (%s)\n", roles[role],
			    d->name, (unsigned)status, WIFEXITED(status) ?
			    strerror(WEXITSTATUS(status)) : "signal");
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

/* So that a crash is what it is. */
static void
test_ends(void **state)
{
	char what[SANDBOX_ERROR];
	int status = 0;
	pid_t pid;

	(void)state;
	if (!offered())
		skip();
	fflush(NULL);
	if ((pid = fork()) == 0) {
		signal(SIGABRT, SIG_DFL);
		(void)sandbox_enter(SANDBOX_RELAY, what);
		abort();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = perform(SANDBOX_RELAY, &(struct deed){ "", do_execute, 0 });
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void
test_users(void **state)
{
	char error[SANDBOX_ERROR];
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(sandbox_user("no-such-user-here", &uid, &gid, error),
	    -1);
	assert_string_equal(error, "unknown user no-such-user-here");
	assert_int_equal(sandbox_user("root", &uid, &gid, error), -1);
	assert_string_equal(error, "user root is root");
}

/* daemon's home is /usr/sbin on Debian: somebody's, and root's own. Whoever
 * has another home shows what is wrong with it. */
static void
test_homes(void **state)
{
	char error[SANDBOX_ERROR];
	const struct passwd *pw;
	unsigned seen = 0;
	struct stat st;
	uid_t uid;
	gid_t gid;

	(void)state;
	setpwent();
	while ((pw = getpwent()) != NULL) {
		char name[64], home[256], expect[SANDBOX_ERROR + 64];
		bool good;

		if (pw->pw_uid == 0 || strlen(pw->pw_name) >= sizeof(name) ||
		    strlen(pw->pw_dir) >= 128)
			continue;
		snprintf(name, sizeof(name), "%s", pw->pw_name);
		snprintf(home, sizeof(home), "%s", pw->pw_dir);
		good = lstat(home, &st) == 0 && S_ISDIR(st.st_mode) &&
		    st.st_uid == 0 && (st.st_mode & 022) == 0;
		seen++;
		assert_int_equal(sandbox_user(name, &uid, &gid, error),
		    good ? 0 : -1);
		if (good)
			continue;
		snprintf(expect, sizeof(expect),
		    "unusable chroot directory %s: ", home);
		assert_memory_equal(error, expect, strlen(expect));
	}
	endpwent();
	assert_true(seen > 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_homes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
