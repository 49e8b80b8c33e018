/* tcprelay/check_run.c: scripts that behave, and all the others. */
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
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

#include "misc/ev.h"
#include "misc/net.h"
#include "tcprelay/check.h"
#include "tcprelay/check_run.h"

#define PATIENCE	30000		/* ms */
#define NOBODY		65534

static struct ev *ev;
static struct check_run *runner;
static struct check *check;
static char dir[64];
static struct {
	unsigned answers, ups;
	uint32_t host, run;
	struct check_status status;
	unsigned statuses;
} seen;

static void
done_cb(void *ctx, uint32_t host, uint32_t run, bool up)
{
	(void)ctx;
	seen.answers++;
	seen.ups += up;
	seen.host = host;
	seen.run = run;
	if (check != NULL)
		check_script_done(check, host, run, up);
}

static void
child_cb(void *ctx, int signo)
{
	int wstatus;
	pid_t pid;

	(void)ctx;
	(void)signo;
	while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
		assert_true(check_run_reaped(runner, pid, wstatus));
}

static uint64_t
wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
await(unsigned answers, bool reaped)
{
	uint64_t end = wall() + 2 * PATIENCE;

	while (seen.answers < answers ||
	    (reaped && check_run_running(runner) > 0)) {
		assert_true(wall() < end);
		assert_int_equal(ev_turn(ev, 50), 0);
	}
}

/* A script of that name, in a place where everybody may look. */
static const char *
script(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void
start(const char *path, unsigned timeout)
{
	static uint32_t run;

	ev_clock(ev);
	assert_true(check_run_start(runner, &(struct check_script){
	    .host = 7, .run = ++run, .path = path,
	    .argument = "host.example", .timeout = timeout }));
}

static int
setup(void **state)
{
	struct check_run_conf conf = { .drop = geteuid() == 0, .uid = NOBODY,
	    .gid = NOBODY, .done = done_cb };

	(void)state;
	memset(&seen, 0, sizeof(seen));
	runner = check_run_new(ev, &conf);
	assert_non_null(runner);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	check_run_free(runner);
	return 0;
}

static const struct {
	const char	*text;
	bool		 up;
} scripts[] = {
	{ "#!/bin/sh\nexit 0\n", false },
	{ "#!/bin/sh\nexit 1\n", true },
	{ "#!/bin/sh\nexit 255\n", true },
	/* what it is given: the name, and nothing else */
	{ "#!/bin/sh\n[ $# = 1 ] && [ \"$1\" = host.example ] && exit 1\n"
	    "exit 0\n", true },
	{ "#!/bin/sh\n[ \"$(pwd)\" = / ] && exit 1\nexit 0\n", true },
	/* ls has one open itself */
	{ "#!/bin/sh\n[ -d /proc/self/fd ] || exit 1\n"
	    "[ \"$(echo $(ls /proc/self/fd))\" = '0 1 2 3' ] && exit 1\n"
	    "exit 0\n", true },
	{ "#!/bin/sh\n[ \"$(cat)\" = '' ] && exit 1\nexit 0\n", true },
	{ "#!/bin/sh\nhead -c 3000000 /dev/zero\n"
	    "head -c 3000000 /dev/zero >&2 && exit 1\nexit 0\n", true },
	/* signals: that of a fresh process, and death by one */
	{ "#!/bin/sh\nkill -KILL $$\nexit 1\n", false },
	{ "#!/bin/sh\nkill -PIPE $$\nexit 1\n", false },
	{ "#!/bin/sh\nkill -TERM $$\nexit 1\n", false },
	/* what cannot be executed; the last, see below */
	{ "#!/nonexistent/interpreter\nexit 1\n", false },
};

static void
exit_status(void **state)
{
	unsigned n = sizeof(scripts) / sizeof(scripts[0]);

	if (getenv("VALGRIND") != NULL)
		n--;			/* it dies of an exec that fails */
	(void)state;
	for (unsigned i = 0; i < n; i++) {
		seen.ups = 0;
		start(script("s", scripts[i].text, 0755), PATIENCE);
		assert_int_equal(seen.answers, i);	/* never at once */
		await(i + 1, true);
		if (seen.ups != scripts[i].up)
			fail_msg("%s", scripts[i].text);
		assert_int_equal(seen.host, 7);
		assert_int_equal(seen.run, i + 1);
	}
}

static void
who_runs_it(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	start(script("s", "#!/bin/sh\n[ \"$(id -u)/$(id -ru)/$(id -G)\" = "
	    "65534/65534/65534 ] && exit 1\nexit 0\n", 0755), PATIENCE);
	await(1, true);
	assert_int_equal(seen.ups, 1);
	/* what is root's alone */
	start(script("s", "#!/bin/sh\nexit 1\n", 0700), PATIENCE);
	await(2, true);
	assert_int_equal(seen.ups, 1);
}

static void
where_it_is_found(void **state)
{
	const char *path;

	(void)state;
	start("/nonexistent/script", PATIENCE);
	await(1, true);
	start(script("s", "#!/bin/sh\nexit 1\n", 0644), PATIENCE);
	await(2, true);
	start("/", PATIENCE);
	await(3, true);
	assert_int_equal(seen.ups, 0);
	start("true", PATIENCE);		/* by PATH: 0 is down */
	await(4, true);
	assert_int_equal(seen.ups, 0);
	start("false", PATIENCE);
	await(5, true);
	assert_int_equal(seen.ups, 1);
	path = script("s", "#!/bin/sh\nexit 1\n", 0755);
	start(path + 1, PATIENCE);		/* relative: to / */
	await(6, true);
	assert_int_equal(seen.ups, 2);
}

/* Gone, or a zombie that waits for somebody else's attention. */
static bool
is_dead(long pid)
{
	char path[64], text[256] = "";
	const char *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd == -1)
		return kill((pid_t)pid, 0) == -1 && errno == ESRCH;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	p = strrchr(text, ')');
	return p == NULL || p[2] == 'Z' || p[2] == 'X';
}

/* It hangs, and so do its children: all of them go. */
static void
hangs(void **state)
{
	uint64_t end = wall() + PATIENCE;
	char text[512], path[128];
	long pid = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/pid", dir);
	snprintf(text, sizeof(text), "#!/bin/sh\ntrap '' TERM HUP INT\n"
	    "sleep 1000 &\necho $! >%s.new\nmv %s.new %s\n"
	    "sleep 1000\nexit 1\n", path, path, path);
	start(script("s", text, 0755), 700);
	await(1, true);
	assert_int_equal(seen.ups, 0);
	f = fopen(path, "r");
	if (f == NULL) {	/* so slow a machine that it had not begun */
		print_message("killed before it had children\n");
		return;
	}
	assert_int_equal(fscanf(f, "%ld", &pid), 1);
	fclose(f);
	assert_true(pid > 1);
	while (!is_dead(pid)) {
		assert_true(wall() < end);
		usleep(10000);
	}
	assert_int_equal(seen.answers, 1);
}

static void
many_at_a_time(void **state)
{
	const char *path = script("s", "#!/bin/sh\nsleep 0.3\nexit 1\n", 0755);
	unsigned n = CHECK_RUN_MAX + 30;

	(void)state;
	assert_true(CHECK_RUN_MAX >= 16);
	for (unsigned i = 0; i < n; i++)
		start(path, PATIENCE);
	assert_int_equal(check_run_running(runner), CHECK_RUN_MAX);
	assert_int_equal(check_run_waiting(runner), 30);
	await(n, true);
	assert_int_equal(seen.answers, n);
	assert_int_equal(seen.ups, n);
	assert_int_equal(check_run_waiting(runner), 0);
}

static void
end_of_the_runner(void **state)
{
	int wstatus;

	start(script("s", "#!/bin/sh\nsleep 1000\n", 0755), PATIENCE);
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++)
		start("/nonexistent", PATIENCE);
	assert_int_equal(check_run_waiting(runner), 1);
	teardown(state);
	for (unsigned i = 0; i < CHECK_RUN_MAX; i++)
		assert_true(waitpid(-1, &wstatus, 0) > 0);
	assert_int_equal(waitpid(-1, &wstatus, 0), -1);
	assert_int_equal(seen.answers, 0);
	setup(state);
	assert_false(check_run_reaped(runner, getpid(), 0));
	assert_false(check_run_reaped(runner, 0, 0));
}

/* ---- together with the engine ---- */

static void
status_cb(void *ctx, const struct check_status *s)
{
	(void)ctx;
	seen.status = *s;
	seen.statuses++;
}

static void
round_cb(void *ctx)
{
	(void)ctx;
}

static bool
script_cb(void *ctx, const struct check_script *s)
{
	(void)ctx;
	return check_run_start(runner, s);
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	(void)severity;
	(void)text;
}

static void
checks_by_script(void **state)
{
	static const struct check_ops ops = {
		status_cb, round_cb, script_cb, line_cb
	};
	int none[CHECK_SOCKETS] = { -1, -1, -1, -1 };
	struct check_host h[] = { { .id = 1, .name = "up.example" },
	    { .id = 2, .name = "down.example" },
	    { .id = 3, .name = "slow.example" } };
	struct check_table t = { .id = 1, .name = "t:1", .how = {
	    .kind = CHECK_SCRIPT, .path = script("s", "#!/bin/sh\n"
	    "case $1 in\nup.*) exit 1;;\ndown.*) exit 0;;\nesac\n"
	    "sleep 1000\n", 0755) }, .timeout = 4000, .every = 1,
	    .hosts = h, .nhosts = 3 };
	uint64_t end = wall() + PATIENCE;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(net_parse_ip("127.0.0.1", &h[i].addr));
	check = check_new(ev, &ops, NULL, none);
	assert_non_null(check);
	check_adopt(check, &(struct check_conf){ .tables = &t, .ntables = 1,
	    .interval = 4 * PATIENCE, .agent = "S" });
	while (seen.statuses < 3) {
		assert_true(wall() < end);
		assert_int_equal(ev_turn(ev, 50), 0);
	}
	assert_int_equal(check_host(check, 1)->state, HOST_UP);
	assert_int_equal(check_host(check, 1)->error, HOST_SCRIPT_OK);
	assert_int_equal(check_host(check, 2)->state, HOST_DOWN);
	assert_int_equal(check_host(check, 3)->state, HOST_DOWN);
	assert_int_equal(check_host(check, 3)->error, HOST_SCRIPT_FAILED);
	assert_int_equal(seen.status.id, 3);
	assert_true(seen.status.ms >= 4000);
	await(3, true);
	check_free(check);
	check = NULL;
}

static int
group_setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/check_run.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0777), 0);
	ev = ev_new(NULL, true);
	/* things that a script must not inherit */
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(open("/dev/null", O_RDONLY), -1);
	return ev_signal(ev, SIGCHLD, child_cb, NULL);
}

static int
group_teardown(void **state)
{
	char path[128];

	(void)state;
	ev_free(ev);
	for (const char *const *name = (const char *const []){ "s", "pid",
	    "pid.new", NULL }; *name != NULL; name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		unlink(path);
	}
	return rmdir(dir);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exit_status),
		TEST(who_runs_it),
		TEST(where_it_is_found),
		TEST(hangs),
		TEST(many_at_a_time),
		TEST(end_of_the_runner),
		TEST(checks_by_script),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
