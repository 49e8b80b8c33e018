/*
 * The last moments of a process. The handler itself does nothing that is not
 * async-signal-safe: what might be in the way of a lock the crash left held
 * (logging) or takes long (a debugger) is done by a child, for which it waits
 * no longer than that is worth.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"
#include "ev.h"
#include "log.h"

#define STACK		(128 * 1024)	/* an overflown one cannot be used */
#define LOG_WAIT	1000		/* ms */
#define PROGRAM_WAIT	30000		/* ms: a debugger reads symbols */
#define LOOK		10		/* ms */
#define NUMBER		24		/* of a process, as text */

static const struct {
	int		 signo;
	const char	*name;
} crash_signals[] = {
	{ SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" }, { SIGABRT, "SIGABRT" },
};
#define SIGNALS	(sizeof(crash_signals) / sizeof(crash_signals[0]))

/* All that helpers need. The texts are in one block. */
struct crash_plan {
	char	*block;
	char	*directory, *gcore, *debug_cmd;	/* NULL: none */
	int	 channel;
	char	**env;		/* its last one is variable */
	char	 variable[sizeof("CRASHPID=") + NUMBER];
};

static struct crash_plan plan = { .channel = -1 };
static struct sigaction before[SIGNALS];	/* a sanitizer's, perhaps */
static bool installed;
static volatile sig_atomic_t crashed;		/* the signal's number */
static unsigned char stack[STACK];

#ifdef __linux__
/* One that changed its identity may otherwise neither be dumped nor looked
 * at; whoever set a directory or a command wants it. */
static void
permit_dump(void)
{
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void
permit_tracer(pid_t pid)
{
	(void)prctl(PR_SET_PTRACER, pid, 0, 0, 0);
}
#else
static void
permit_dump(void)
{
}

static void
permit_tracer(pid_t pid)
{
	(void)pid;
}
#endif

/* ---- helpers: children of a process that is about to die */

static size_t
crash_index(int signo)
{
	size_t i = 0;

	while (i < SIGNALS - 1 && crash_signals[i].signo != signo)
		i++;
	return i;
}

/* Whatever lock the crash left held is held here too: the parent waits for
 * LOG_WAIT, then nobody does. */
static void
helper_log(void)
{
	log_err("process %ld crashed: signal %d (%s)", (long)getppid(),
	    (int)crashed, crash_signals[crash_index(crashed)].name);
}

static void
helper_gcore(void)
{
	char *argv[] = { plan.gcore, plan.variable + strlen("CRASHPID="),
	    NULL };

	if (chdir(plan.directory) == 0)
		execve(plan.gcore, argv, plan.env);
}

static void
helper_debug(void)
{
	char shell[] = "/bin/sh", minus_c[] = "-c";
	char *argv[] = { shell, minus_c, plan.debug_cmd, NULL };

	execve(shell, argv, plan.env);
}

/* The channel is not the helper's, and what is asked of a worker is not
 * asked of it. */
static void
helper_settle(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null;

	ev_signal_reset();
	for (size_t i = 0; i < SIGNALS; i++)
		(void)sigaction(crash_signals[i].signo, &dfl, NULL);
	(void)sigaction(SIGPIPE, &dfl, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null > 0)
		(void)dup2(null, STDIN_FILENO);
}

/* Runs it in a child, waits for at most ms. True: it ended with status 0. */
static bool
helper_run(void (*run)(void), int ms)
{
	pid_t pid = fork(), got = 0;
	int status = -1;

	if (pid == -1)
		return false;
	if (pid == 0) {
		helper_settle();
		run();
		_exit(run == helper_log ? 0 : 127);
	}
	permit_tracer(pid);
	for (; ms > 0 && got == 0; ms -= LOOK) {
		got = waitpid(pid, &status, WNOHANG);
		if (got == 0)
			(void)poll(NULL, 0, LOOK);
	}
	if (got == 0) {
		kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- the handler */

static void
variable_set(void)
{
	char digits[NUMBER], *p = digits + sizeof(digits);
	long n = (long)getpid();

	for (*--p = '\0'; n > 0; n /= 10)
		*--p = (char)('0' + n % 10);
	memcpy(plan.variable, "CRASHPID=", strlen("CRASHPID="));
	memcpy(plan.variable + strlen("CRASHPID="), p,
	    (size_t)(digits + sizeof(digits) - p));
}

/* Set no earlier than now: workers would inherit it. */
static void
core_permit(bool on)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = on ? core.rlim_max : 0;
		(void)setrlimit(RLIMIT_CORE, &core);
	}
}

static void
look_at_it(void)
{
	variable_set();
	if (plan.channel != -1)
		(void)shutdown(plan.channel, SHUT_RDWR);
	(void)helper_run(helper_log, LOG_WAIT);
	if (plan.directory != NULL || plan.debug_cmd != NULL)
		permit_dump();
	if (plan.debug_cmd != NULL)
		(void)helper_run(helper_debug, PROGRAM_WAIT);
	if (plan.directory == NULL)
		return;
	/* one is enough, and none elsewhere */
	core_permit((plan.gcore == NULL ||
	    !helper_run(helper_gcore, PROGRAM_WAIT)) &&
	    chdir(plan.directory) == 0);
}

/*
 * Back to whoever answered the signal before, the system or a sanitizer, who
 * ends the process: a fault happens again, what was sent is sent again.
 */
static void
crash_cb(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (crashed == 0) {
		crashed = signo;
		look_at_it();
	}
	(void)sigaction(signo, &before[crash_index(signo)], NULL);
	if (info == NULL || info->si_code <= 0)
		(void)raise(signo);
}

/* ---- preparing */

static size_t
text_room(const char *text)
{
	return text == NULL ? 0 : strlen(text) + 1;
}

static char *
text_put(char **at, const char *text)
{
	char *here = *at;
	size_t n = text_room(text);

	if (n == 0)
		return NULL;
	memcpy(here, text, n);
	*at += n;
	return here;
}

static bool
is_ours(const char *var)
{
	return strncmp(var, "CRASHPID=", strlen("CRASHPID=")) == 0;
}

/* One block: the pointers of the environment, then all texts. */
static int
plan_make(struct crash_plan *p, const struct crash_conf *c, char *const *env)
{
	size_t n = 0, vars = 0, room;
	char *at;

	for (; env[n] != NULL; n++)
		vars += text_room(env[n]);
	room = (n + 2) * sizeof(char *) + vars + text_room(c->directory) +
	    text_room(c->gcore) + text_room(c->debug_cmd);
	if ((p->block = malloc(room)) == NULL)
		return -1;
	p->env = (char **)(void *)p->block;
	at = p->block + (n + 2) * sizeof(char *);
	n = 0;
	for (; *env != NULL; env++)
		if (!is_ours(*env))
			p->env[n++] = text_put(&at, *env);
	p->env[n++] = plan.variable;	/* the one the handler fills */
	p->env[n] = NULL;
	p->directory = text_put(&at, c->directory);
	p->gcore = text_put(&at, c->gcore);
	p->debug_cmd = text_put(&at, c->debug_cmd);
	p->channel = c->channel;
	return 0;
}

static int
handlers_install(void)
{
	struct sigaction sa = { .sa_sigaction = crash_cb,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ours = { .ss_sp = stack, .ss_size = sizeof(stack) }, old;

	/* a sanitizer's own is left to it */
	if (sigaltstack(NULL, &old) == 0 && old.ss_flags & SS_DISABLE &&
	    sigaltstack(&ours, NULL) == -1)
		return -1;
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < SIGNALS; i++)
		if (sigaction(crash_signals[i].signo, &sa, &before[i]) == -1)
			return -1;
	return 0;
}

int
crash_configure(const struct crash_conf *c, char *const *env)
{
	struct crash_plan new = { .channel = -1 };
	char *old = plan.block;
	sigset_t all, mask;

	if (plan_make(&new, c, env) == -1)
		return -1;
	/* a signal that is sent must not find half of each */
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &mask);
	plan = new;
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	free(old);
	if (installed)
		return 0;
	installed = true;
	return handlers_install();
}
