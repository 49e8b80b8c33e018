/*
 * What confinement is for, tried: each thing in a process of its own, since
 * some of it ends who tries.
 */
#include <sys/types.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#endif
#include <netinet/in.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"

#define LINE		256
#define CONFINEMENT	126	/* exit status: it did not come about */

/* What attempts have to work with; opened before. */
struct means {
	int	 program;	/* something to execute */
	pid_t	 other;		/* a process that is not ours */
};

/* ---- attempts: -1 and errno, or it was possible ---- */

static int
try_read(const struct means *m)
{
	(void)m;
	return open("/etc/passwd", O_RDONLY);
}

static int
try_look(const struct means *m)
{
	(void)m;
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int
try_create(const struct means *m)
{
	(void)m;
	return open("/sandbox-test", O_WRONLY | O_CREAT | O_EXCL, 0600);
}

static int
try_execute(const struct means *m)
{
	static char name[] = "true";
	static char *const argv[] = { name, NULL };

	return fexecve(m->program, argv, argv + 1);
}

static int
try_fork(const struct means *m)
{
	pid_t pid = fork();

	(void)m;
	if (pid == 0)
		_exit(0);
	return (int)pid;
}

static int
try_signal(const struct means *m)
{
	return kill(m->other, 0);
}

static int
try_listen(const struct means *m)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)m;
	return fd == -1 ? -1 : listen(fd, 1);
}

static int
try_raw(const struct means *m)
{
	(void)m;
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int
try_inet(const struct means *m)
{
	(void)m;
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int
try_unix(const struct means *m)
{
	(void)m;
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int
try_root(const struct means *m)
{
	(void)m;
	return setuid(0);
}

static int
try_chroot(const struct means *m)
{
	(void)m;
	return chroot("/");
}

static int
try_code(const struct means *m)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANON, -1, 0);

	(void)m;
	return p == MAP_FAILED ? -1 : 0;
}

#ifdef __linux__
static int
try_trace(const struct means *m)
{
	return (int)ptrace(PTRACE_ATTACH, m->other, NULL, NULL);
}

static int
try_memory(const struct means *m)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)m->other);
	return open(path, O_RDONLY);
}

static int
try_mount(const struct means *m)
{
	(void)m;
	return mount("none", "/", "tmpfs", 0, NULL);
}

static int
try_packet(const struct means *m)
{
	(void)m;
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static int
try_netlink(const struct means *m)
{
	(void)m;
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int
try_namespace(const struct means *m)
{
	(void)m;
	return (int)syscall(SYS_unshare, 0x10000000);	/* CLONE_NEWUSER */
}

static int
try_bpf(const struct means *m)
{
	uint64_t attr[16] = { 2, 4, 4, 1 };	/* an array */

	(void)m;
	return (int)syscall(SYS_bpf, 0, attr, sizeof(attr));
}

static int
try_keys(const struct means *m)
{
	(void)m;
	return (int)syscall(SYS_keyctl, 0, -3, 1);	/* of the session */
}
#endif

#define ROLE(r)		(1u << SANDBOX_##r)
#define ALL		((1u << SANDBOX_ROLES) - 1)

static const struct attempt {
	const char	*name;
	unsigned	 roles;		/* to whom it is forbidden */
	int		(*try)(const struct means *);
} attempts[] = {
	{ "read /etc/passwd", ALL, try_read },
	{ "open the root directory", ALL, try_look },
	{ "create a file", ALL, try_create },
	{ "execute a program", ALL, try_execute },
	{ "fork", ALL, try_fork },
	{ "signal another process", ALL, try_signal },
	{ "become root", ALL, try_root },
	{ "change the root directory", ALL, try_chroot },
	{ "map memory for code", ALL, try_code },
	{ "listen", ALL, try_listen },
	{ "open a raw socket", ALL, try_raw },
	{ "open an internet socket", ROLE(FILTER) | ROLE(KEY), try_inet },
	{ "open a UNIX socket", ALL, try_unix },
#ifdef __linux__
	{ "open a packet socket", ALL, try_packet },
	{ "open a netlink socket", ALL, try_netlink },
	{ "trace another process", ALL, try_trace },
	{ "read another process's memory", ALL, try_memory },
	{ "mount", ALL, try_mount },
	{ "make a namespace", ALL, try_namespace },
	{ "load a bpf map", ALL, try_bpf },
	{ "use the kernel's keyring", ALL, try_keys },
#endif
};

/* The child: its exit status is an errno, 0 means that it was possible. */
static void __attribute__((noreturn))
attempt_make(const char *user, enum sandbox_role role,
    const struct attempt *a, const struct means *m)
{
	static const struct sigaction dfl = { .sa_handler = SIG_DFL };
	char error[SANDBOX_ERROR];

	(void)sigaction(SIGSYS, &dfl, NULL);
	if (sandbox_drop(user, error) == -1 ||
	    sandbox_enter(role, error) == -1)
		_exit(CONFINEMENT);
	_exit(a->try(m) != -1 ? 0 : errno < CONFINEMENT ? errno : EPERM);
}

/* "denied (REASON)", or what it is otherwise; true: denied. */
static bool
attempt_verdict(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		snprintf(text, size, "denied (killed)");
		return true;
	}
	if (WIFSIGNALED(status)) {
		snprintf(text, size, "ended by signal %d", WTERMSIG(status));
		return false;
	}
	if (WEXITSTATUS(status) == CONFINEMENT) {
		snprintf(text, size, "not tried: no confinement");
		return false;
	}
	if (WEXITSTATUS(status) == 0) {
		snprintf(text, size, "POSSIBLE");
		return false;
	}
	snprintf(text, size, "denied (%s)", strerror(WEXITSTATUS(status)));
	return true;
}

static bool
attempt_run(const char *user, enum sandbox_role role,
    const struct attempt *a, const struct means *m, char *text, size_t size)
{
	pid_t pid = fork(), got;
	int status;

	if (pid == 0)
		attempt_make(user, role, a, m);
	while (pid != -1 && (got = waitpid(pid, &status, 0)) != pid)
		if (got == -1 && errno != EINTR)
			pid = -1;
	if (pid == -1) {
		snprintf(text, size, "not tried: %s", strerror(errno));
		return false;
	}
	return attempt_verdict(status, text, size);
}

unsigned
sandbox_test(const char *user, enum sandbox_role role, const char *title,
    int fd)
{
	struct means m = { .other = getpid() };
	char line[LINE], text[LINE / 2];
	unsigned possible = 0;

	m.program = open("/bin/true", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *a = &attempts[i];
		int n;

		if ((a->roles & 1u << role) == 0)
			continue;
		possible += !attempt_run(user, role, a, &m, text,
		    sizeof(text));
		n = snprintf(line, sizeof(line), "%s: %s: %s\n", title,
		    a->name, text);
		if (n < 0 || write(fd, line, (size_t)n) != n)
			possible++;
	}
	if (m.program != -1)
		close(m.program);
	return possible;
}
