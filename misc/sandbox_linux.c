/*
 * Linux: no new privileges, nothing of the file system (Landlock), and of the
 * system's calls those of an allow list (seccomp).
 *
 * What is on no list fails with EPERM: a C library that begins to use another
 * call must not end a service at night. Calls newer than this file do not
 * exist (ENOSYS), so that libraries fall back to what they used before. Only
 * what nobody but an intruder calls ends the process. Looking for files finds
 * none (ENOENT): that is what the empty root directory says, too.
 *
 * On processors without a list here the rest has to do.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"

#define ROLE(r)		(1u << SANDBOX_##r)
#define ALL		(ROLE(RELAY) | ROLE(CHECK) | ROLE(FILTER) | ROLE(KEY))
#define INET		(ROLE(RELAY) | ROLE(CHECK))
#define SOCKETS		(INET | ROLE(FILTER))

/* ---- Landlock: its interface is younger than many headers ---- */

#ifdef SYS_landlock_create_ruleset

struct ruleset {
	uint64_t	fs, net, scoped;
};

#define BIND_TCP	1u
#define CONNECT_TCP	2u
#define ABSTRACT_UNIX	1u
#define SIGNALS		2u

static size_t
ruleset_size(long version)
{
	if (version < 4)
		return sizeof(uint64_t);
	return version < 6 ? 2 * sizeof(uint64_t) : sizeof(struct ruleset);
}

/* All that a version knows of files; further kinds came one by one. */
static uint64_t
ruleset_files(long version)
{
	unsigned bits = 13;

	bits += (version >= 2) + (version >= 3) + (version >= 5);
	return (UINT64_C(1) << bits) - 1;
}

/* 0: it is not there. -1, errno. */
static int
landlock_enter(enum sandbox_role role)
{
	static const uint64_t ports[SANDBOX_ROLES] = {
		[SANDBOX_RELAY] = 0,
		[SANDBOX_CHECK] = BIND_TCP,
		[SANDBOX_FILTER] = BIND_TCP | CONNECT_TCP,
		[SANDBOX_KEY] = BIND_TCP | CONNECT_TCP,
	};
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	struct ruleset r;
	int fd, done;

	if (version <= 0)
		return 0;
	r.fs = ruleset_files(version);
	r.net = ports[role];
	r.scoped = ABSTRACT_UNIX | SIGNALS;
	fd = (int)syscall(SYS_landlock_create_ruleset, &r,
	    ruleset_size(version), 0);
	if (fd == -1)
		return -1;
	done = (int)syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return done == -1 ? -1 : 1;
}

#else

static int
landlock_enter(enum sandbox_role role)
{
	(void)role;
	return 0;
}

#endif

/* ---- seccomp ---- */

#if defined(__x86_64__) && defined(__LP64__)
#define ARCH		AUDIT_ARCH_X86_64
#define FOREIGN		0x40000000u	/* the calls of x32 */
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define ARCH		AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH

#define NEWEST		450u	/* set_mempolicy_home_node, Linux 5.17 */
#define FILTER_MAX	1024

/* An argument has to be that, as far as the mask goes. */
struct argument {
	uint8_t		 index;
	bool		 own;		/* the value is our process id */
	uint32_t	 mask;		/* 0: it may be anything */
	uint32_t	 value;
};

struct call {
	unsigned	 roles;
	unsigned	 number;
	struct argument	 first, second;
};

#define CALL(roles, name)	{ roles, SYS_##name, { 0 }, { 0 } }
#define WORD(i, v)		{ i, false, UINT32_MAX, v }
#define NONE_OF(i, bits)	{ i, false, bits, 0 }
#define OURSELVES(i)		{ i, true, UINT32_MAX, 0 }
#define SOCKET_KIND(roles, domain, type) \
	{ roles, SYS_socket, WORD(0, domain), { 1, false, 0xf, type } }
#define IOCTL(roles, request) \
	{ roles, SYS_ioctl, WORD(1, request), { 0 } }
#define PRCTL(what) \
	{ ALL, SYS_prctl, WORD(0, what), { 0 } }

/* What serving needs all the time comes first. */
static const struct call allowed[] = {
#ifdef SYS_epoll_wait
	CALL(ALL, epoll_wait),
#endif
	CALL(ALL, epoll_pwait),
	CALL(ALL, epoll_ctl),
	CALL(ALL, read),
	CALL(ALL, write),
	CALL(ALL, recvfrom),
	CALL(ALL, sendto),
	CALL(ALL, recvmsg),
	CALL(ALL, sendmsg),
	CALL(ALL, readv),
	CALL(ALL, writev),
	CALL(ROLE(RELAY), splice),
	CALL(ROLE(RELAY) | ROLE(FILTER), accept4),
	CALL(SOCKETS, connect),
	CALL(ALL, close),
	CALL(ALL, shutdown),
	CALL(ALL, getsockopt),
	CALL(ALL, setsockopt),
	SOCKET_KIND(INET, AF_INET, SOCK_STREAM),
	SOCKET_KIND(INET, AF_INET6, SOCK_STREAM),
	SOCKET_KIND(INET, AF_INET, SOCK_DGRAM),
	SOCKET_KIND(INET, AF_INET6, SOCK_DGRAM),
	/* names of interfaces; a syslog below the root directory */
	SOCKET_KIND(SOCKETS, AF_UNIX, SOCK_DGRAM),
	CALL(INET, bind),
	CALL(ALL, getsockname),
	CALL(ALL, getpeername),
	CALL(ALL, pipe2),
	CALL(INET, recvmmsg),
	CALL(INET, sendmmsg),
	CALL(ALL, socketpair),
	CALL(ROLE(RELAY) | ROLE(FILTER), accept),

	/* the loop: other mechanisms, clocks */
	CALL(ALL, epoll_create1),
#ifdef SYS_epoll_create
	CALL(ALL, epoll_create),
	CALL(ALL, poll),
	CALL(ALL, select),
	CALL(ALL, pipe),
	CALL(ALL, dup2),
	CALL(ALL, time),
	CALL(ALL, getrlimit),
#endif
#ifdef SYS_epoll_pwait2
	CALL(ALL, epoll_pwait2),
#endif
	CALL(ALL, ppoll),
	CALL(ALL, pselect6),
	CALL(ALL, eventfd2),
	CALL(ALL, timerfd_create),
	CALL(ALL, timerfd_settime),
	CALL(ALL, clock_gettime),
	CALL(ALL, clock_getres),
	CALL(ALL, clock_nanosleep),
	CALL(ALL, nanosleep),
	CALL(ALL, gettimeofday),
	CALL(ALL, times),

	/* descriptors that are there, or came */
	CALL(ALL, dup),
	CALL(ALL, dup3),
	CALL(ALL, fcntl),
	CALL(ALL, fstat),
	CALL(ALL, lseek),
	CALL(ALL, pread64),
	CALL(ALL, pwrite64),
	CALL(ALL, fsync),
	CALL(ALL, fdatasync),
	/* memory of its own that it might share */
	CALL(ROLE(RELAY), memfd_create),
	CALL(ROLE(RELAY), ftruncate),
	CALL(ROLE(RELAY), fchmod),
	IOCTL(ALL, 0x5401),		/* TCGETS: isatty(3) */
	IOCTL(ALL, 0x5413),		/* TIOCGWINSZ */
	IOCTL(ALL, 0x541b),		/* FIONREAD */
	IOCTL(ALL, 0x5421),		/* FIONBIO */
	IOCTL(SOCKETS, 0x5411),		/* SIOCOUTQ */
	IOCTL(SOCKETS, 0x8910),		/* SIOCGIFNAME */
	IOCTL(SOCKETS, 0x8933),		/* SIOCGIFINDEX */

	/* memory, none of it to be executed */
	{ ALL, SYS_mmap, NONE_OF(2, PROT_EXEC), { 0 } },
	{ ALL, SYS_mprotect, NONE_OF(2, PROT_EXEC), { 0 } },
	CALL(ALL, munmap),
	CALL(ALL, mremap),
	CALL(ALL, madvise),
	CALL(ALL, brk),
	CALL(ALL, mlock),
	CALL(ALL, mlock2),
	CALL(ALL, munlock),
	CALL(ALL, msync),
	CALL(ALL, mincore),

	/* what the C library does by itself */
	CALL(ALL, futex),
	CALL(ALL, rseq),
	CALL(ALL, set_robust_list),
	CALL(ALL, set_tid_address),
	CALL(ALL, rt_sigaction),
	CALL(ALL, rt_sigprocmask),
	CALL(ALL, rt_sigreturn),
	CALL(ALL, rt_sigpending),
	CALL(ALL, rt_sigtimedwait),
	CALL(ALL, sigaltstack),
	CALL(ALL, restart_syscall),
	CALL(ALL, exit),
	CALL(ALL, exit_group),
	CALL(ALL, getrandom),
	CALL(ALL, getpid),
	CALL(ALL, gettid),
	CALL(ALL, getppid),
	CALL(ALL, getuid),
	CALL(ALL, geteuid),
	CALL(ALL, getgid),
	CALL(ALL, getegid),
	CALL(ALL, getgroups),
	CALL(ALL, getresuid),
	CALL(ALL, getresgid),
	CALL(ALL, getrusage),
	CALL(ALL, getcpu),
	CALL(ALL, uname),
	CALL(ALL, sysinfo),
	CALL(ALL, sched_yield),
	CALL(ALL, sched_getaffinity),
	CALL(ALL, sched_getparam),
	CALL(ALL, sched_getscheduler),
	{ ALL, SYS_prlimit64, WORD(0, 0), { 0 } },
	PRCTL(PR_SET_NAME),
	PRCTL(PR_GET_NAME),
	PRCTL(PR_GET_DUMPABLE),
	{ ALL, SYS_prctl, WORD(0, PR_SET_DUMPABLE), WORD(1, 0) },
	PRCTL(0x53564d41),		/* PR_SET_VMA: names of memory */

	/* abort(3), raise(3) */
	{ ALL, SYS_kill, OURSELVES(0), { 0 } },
	{ ALL, SYS_tkill, OURSELVES(0), { 0 } },
	{ ALL, SYS_tgkill, OURSELVES(0), { 0 } },
};

/* Nothing is there to be found. */
static const unsigned absent[] = {
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink,
#endif
	SYS_openat,
	SYS_faccessat,
	SYS_readlinkat,
	SYS_statfs,
#ifdef SYS_openat2
	SYS_openat2,
#endif
#ifdef SYS_faccessat2
	SYS_faccessat2,
#endif
};

/* fstat(3) of newer C libraries: of a descriptor, so the path is empty, which
 * cannot be seen here, but that flag can. */
static const struct call stat_empty[] = {
	{ ALL, SYS_newfstatat, { 3, false, 0x1000, 0x1000 }, { 0 } },
	{ ALL, SYS_statx, { 2, false, 0x1000, 0x1000 }, { 0 } },
};

/* Who calls these has come to stay. */
static const unsigned deadly[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root,
	SYS_chroot, SYS_setns, SYS_unshare, SYS_init_module,
	SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_bpf,
	SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_request_key,
	SYS_userfaultfd, SYS_reboot, SYS_swapon, SYS_swapoff,
	SYS_open_by_handle_at, SYS_kcmp, SYS_acct, SYS_quotactl,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_io_uring_setup
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
#endif
#ifdef SYS_pidfd_getfd
	SYS_pidfd_getfd,
#endif
#ifdef SYS_move_mount
	SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsmount,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm,
#endif
};

struct filter {
	struct sock_filter	 code[FILTER_MAX];
	size_t			 n;
};

static void
put(struct filter *f, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	assert(f->n < FILTER_MAX);
	f->code[f->n++] = (struct sock_filter)BPF_JUMP(code, k, yes, no);
}

static void
put_load(struct filter *f, size_t offset)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
put_verdict(struct filter *f, uint32_t verdict)
{
	put(f, BPF_RET | BPF_K, verdict, 0, 0);
}

static size_t
argument_length(const struct argument *a)
{
	return a->mask == 0 ? 0 : 3;
}

/* To the end of the call's rule, unless the argument is right; rest is how
 * many instructions stand behind this argument before that end. */
static void
put_argument(struct filter *f, const struct argument *a, size_t rest)
{
	if (a->mask == 0)
		return;
	/* The low word, on these processors the first one. The kernel looks
	 * at no more of what is an int. */
	put_load(f, offsetof(struct seccomp_data, args) +
	    a->index * sizeof(uint64_t));
	put(f, BPF_ALU | BPF_AND | BPF_K, a->mask, 0, 0);
	put(f, BPF_JMP | BPF_JEQ | BPF_K,
	    a->own ? (uint32_t)getpid() : a->value, 0, (uint8_t)rest);
}

static void
put_call(struct filter *f, const struct call *c)
{
	size_t second = argument_length(&c->second);
	size_t length = argument_length(&c->first) + second;

	put(f, BPF_JMP | BPF_JEQ | BPF_K, c->number, 0,
	    (uint8_t)(length + (length > 0) + 1));
	put_argument(f, &c->first, second + 1);
	put_argument(f, &c->second, 1);
	put_verdict(f, SECCOMP_RET_ALLOW);
	if (length > 0)
		put_load(f, offsetof(struct seccomp_data, nr));
}

static void
put_calls(struct filter *f, enum sandbox_role role, const struct call *c,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((c[i].roles & 1u << role) != 0)
			put_call(f, &c[i]);
}

static void
put_numbers(struct filter *f, const unsigned *numbers, size_t n,
    uint32_t verdict)
{
	for (size_t i = 0; i < n; i++) {
		put(f, BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
		put_verdict(f, verdict);
	}
}

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
filter_build(struct filter *f, enum sandbox_role role)
{
	put_load(f, offsetof(struct seccomp_data, arch));
	put(f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	put_verdict(f, SECCOMP_RET_KILL_PROCESS);
	put_load(f, offsetof(struct seccomp_data, nr));
#ifdef FOREIGN
	put(f, BPF_JMP | BPF_JGE | BPF_K, FOREIGN, 0, 1);
	put_verdict(f, SECCOMP_RET_KILL_PROCESS);
#endif
	put_calls(f, role, allowed, COUNT(allowed));
	put_calls(f, role, stat_empty, COUNT(stat_empty));
	put_numbers(f, absent, COUNT(absent), SECCOMP_RET_ERRNO | ENOENT);
	put_numbers(f, deadly, COUNT(deadly), SECCOMP_RET_KILL_PROCESS);
	put(f, BPF_JMP | BPF_JGT | BPF_K, NEWEST, 0, 1);
	put_verdict(f, SECCOMP_RET_ERRNO | ENOSYS);
	put_verdict(f, SECCOMP_RET_ERRNO | EPERM);
}

/*
 * 0: it is not there. A program with a filter may be run with slower
 * speculation, to be safe from code that it makes itself: there is none.
 */
static int
seccomp_enter(enum sandbox_role role)
{
	static const unsigned flags[] = {
#ifdef SECCOMP_FILTER_FLAG_SPEC_ALLOW
		SECCOMP_FILTER_FLAG_SPEC_ALLOW,
#endif
		0
	};
	struct filter f = { .n = 0 };
	struct sock_fprog program;

	filter_build(&f, role);
	program.len = (unsigned short)f.n;
	program.filter = f.code;
	for (size_t i = 0; i < COUNT(flags); i++) {
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i],
		    &program) == 0)
			return 1;
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
	}
	return 0;
}

#else

static int
seccomp_enter(enum sandbox_role role)
{
	(void)role;
	return 0;
}

#endif

int
sandbox_enter(enum sandbox_role role, char what[static SANDBOX_ERROR])
{
	int files, calls;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    (files = landlock_enter(role)) == -1 ||
	    (calls = seccomp_enter(role)) == -1)
		return -1;
	snprintf(what, SANDBOX_ERROR, "no new privileges%s%s",
	    files > 0 ? ", landlock" : "", calls > 0 ? ", seccomp" : "");
	return 0;
}
