/* misc/daemon.c: the pid file and who may have it, the truth about a start,
 * the descriptor limit. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/daemon.h"

static char dir[32];
static char path[64], other[64];

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_daemon.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/pid", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	return rmdir(dir);
}

static void
file_write(const char *name, const char *text)
{
	FILE *fp = fopen(name, "w");

	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

static const char *
file_read(const char *name)
{
	static char text[100];
	FILE *fp = fopen(name, "r");
	size_t n;

	assert_non_null(fp);
	n = fread(text, 1, sizeof(text) - 1, fp);
	text[n] = '\0';
	fclose(fp);
	return text;
}

static void
test_pidfile(void **state)
{
	struct daemon_pidfile p = { .fd = -1 };
	char error[DAEMON_ERROR], want[32];
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	daemon_pidfile_close(&p);		/* never opened */
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	umask(mask);
	snprintf(want, sizeof(want), "%ld\n", (long)getpid());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_true(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
	daemon_pidfile_close(&p);
	daemon_pidfile_close(&p);
	assert_int_equal(access(path, F_OK), -1);

	/* a longer text of a process that is gone is replaced */
	file_write(path, "12345678901234567890\nmore\n");
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	assert_int_equal(pread(p.fd, error, sizeof(error), 0), strlen(want));
	assert_memory_equal(error, want, strlen(want));
	daemon_pidfile_close(&p);
}

/* Runs what in a child, which ends with its result. */
static int
in_child(int (*what)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(what());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
try_locked(void)
{
	struct daemon_pidfile p;
	char error[DAEMON_ERROR], want[DAEMON_ERROR];
	int status = daemon_pidfile_open(&p, path, error);

	snprintf(want, sizeof(want), "pid file '%s': in use by process %ld",
	    path, (long)getppid());
	return strcmp(error, want) != 0 ? 1 : p.fd != -1 ? 2 : status;
}

/* DEFECT of REF: the second daemon destroyed the first one's file. */
static void
test_pidfile_locked(void **state)
{
	struct daemon_pidfile p;
	char error[DAEMON_ERROR], want[32];

	(void)state;
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	assert_int_equal(in_child(try_locked), 73);
	snprintf(want, sizeof(want), "%ld\n", (long)getpid());
	/* looking at it here would drop our lock: a child looks */
	assert_int_equal(pread(p.fd, error, sizeof(error), 0), strlen(want));
	assert_memory_equal(error, want, strlen(want));
	assert_int_equal(in_child(try_locked), 73);
	daemon_pidfile_close(&p);
}

static void
test_pidfile_not_ours(void **state)
{
	struct daemon_pidfile p;
	char error[DAEMON_ERROR];

	(void)state;
	/* replaced meanwhile: stays */
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	file_write(other, "successor\n");
	assert_int_equal(rename(other, path), 0);
	daemon_pidfile_close(&p);
	assert_string_equal(file_read(path), "successor\n");
	/* removed meanwhile: nothing to do */
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	unlink(path);
	daemon_pidfile_close(&p);
	/* a symbolic link in its place: not followed, not removed */
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	daemon_pidfile_close(&p);
	assert_int_equal(access(other, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	unlink(other);
}

static void
test_pidfile_refused(void **state)
{
	struct daemon_pidfile p;
	char error[DAEMON_ERROR], want[DAEMON_ERROR], deep[128];

	(void)state;
	file_write(other, "precious\n");
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(daemon_pidfile_open(&p, path, error), 73);
	snprintf(want, sizeof(want), "pid file '%s': is a symbolic link", path);
	assert_string_equal(error, want);
	assert_int_equal(p.fd, -1);
	assert_string_equal(file_read(other), "precious\n");
	unlink(path);

	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10);
	assert_int_equal(daemon_pidfile_open(&p, path, error), 73);
	alarm(0);
	assert_non_null(strstr(error, "is not a regular file"));
	unlink(path);

	assert_int_equal(daemon_pidfile_open(&p, dir, error), 73);
	snprintf(deep, sizeof(deep), "%s/none/pid", dir);
	assert_int_equal(daemon_pidfile_open(&p, deep, error), 73);
	assert_non_null(strstr(error, "No such file or directory"));
	daemon_pidfile_close(&p);
}

/* Relative to where the start was, wherever the process is later. */
static void
test_pidfile_relative(void **state)
{
	struct daemon_pidfile p;
	char error[DAEMON_ERROR], back[1024];

	(void)state;
	assert_non_null(getcwd(back, sizeof(back)));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(daemon_pidfile_open(&p, "pid", error), 0);
	assert_true(daemon_pidfile_at(&p, "pid"));
	assert_true(daemon_pidfile_at(&p, path));
	assert_false(daemon_pidfile_at(&p, "other"));
	assert_int_equal(chdir("/"), 0);
	assert_false(daemon_pidfile_at(&p, "pid"));
	daemon_pidfile_close(&p);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(chdir(back), 0);
}

/* Over an exec, the descriptor stays and so does the lock. */
static void
test_pidfile_adopt(void **state)
{
	struct daemon_pidfile p, q;
	char error[DAEMON_ERROR];

	(void)state;
	assert_int_equal(daemon_pidfile_open(&p, path, error), 0);
	assert_int_equal(daemon_pidfile_adopt(&q, path, p.fd), 0);
	free(p.path);
	assert_int_equal(in_child(try_locked), 73);
	daemon_pidfile_close(&q);
	assert_int_equal(access(path, F_OK), -1);
}

static struct daemon_pidfile left;

static int
try_take(void)
{
	char error[DAEMON_ERROR], want[32];
	int status = daemon_pidfile_take(&left, error);

	snprintf(want, sizeof(want), "%ld\n", (long)getpid());
	if (status != 0)
		return left.fd == -1 && left.path == NULL ? status : 1;
	if (pread(left.fd, error, sizeof(error), 0) !=
	    (ssize_t)strlen(want) || memcmp(error, want, strlen(want)) != 0)
		return 2;
	if (in_child(try_locked) != 73)
		return 3;
	daemon_pidfile_close(&left);
	return access(path, F_OK) == -1 ? 0 : 4;
}

static void
test_pidfile_take(void **state)
{
	char error[DAEMON_ERROR];

	(void)state;
	/* the lock is the parent's: the child cannot have it */
	assert_int_equal(daemon_pidfile_open(&left, path, error), 0);
	assert_int_equal(in_child(try_take), 73);
	/* it is nobody's: ours is what we have not locked */
	file_write(path, "");
	assert_int_equal(in_child(try_take), 0);
	/* somebody has removed the file: there is a new one */
	assert_int_equal(in_child(try_take), 0);
	close(left.fd);
	free(left.path);
}

/* ---- background: a grandchild plays the daemon */

static int
start_good(void)
{
	int fd = daemon_fork();

	if (getsid(0) != getpid())
		daemon_ready(fd, 70, false);
	daemon_ready(fd, 0, false);
	_exit(9);			/* too late to matter */
}

static int
start_refused(void)
{
	daemon_ready(daemon_fork(), 75, true);
	_exit(0);
}

static int
start_exits(void)
{
	(void)daemon_fork();
	_exit(78);
}

static int
start_killed(void)
{
	(void)daemon_fork();
	raise(SIGKILL);
	return 0;
}

static void
test_fork(void **state)
{
	(void)state;
	assert_int_equal(in_child(start_good), 0);
	assert_int_equal(in_child(start_refused), 75);
	assert_int_equal(in_child(start_exits), 78);
	assert_int_equal(in_child(start_killed), 128 + SIGKILL);
	daemon_ready(-1, 0, false);	/* foreground: nothing is touched */
}

static int
start_reports(void)
{
	struct stat null, st;
	int fd = daemon_fork(), i, wrong = 0;
	FILE *fp;

	(void)stat("/dev/null", &null);
	if (fstat(STDIN_FILENO, &st) == -1 || st.st_rdev != null.st_rdev)
		wrong |= 1;
	daemon_ready(dup(fd), 0, true);
	for (i = STDIN_FILENO; i <= STDOUT_FILENO; i++)
		if (fstat(i, &st) == -1 || st.st_rdev != null.st_rdev)
			wrong |= 2;
	if (fstat(STDERR_FILENO, &st) == -1 || S_ISCHR(st.st_mode))
		wrong |= 4;
	daemon_ready(dup(fd), 0, false);
	if (fstat(STDERR_FILENO, &st) == -1 || st.st_rdev != null.st_rdev)
		wrong |= 8;
	if ((fp = fopen(other, "w")) != NULL) {
		fprintf(fp, "%d\n", wrong);
		fclose(fp);
	}
	(void)rename(other, path);
	_exit(0);
}

static void
test_descriptors(void **state)
{
	char name[] = "/tmp/test_daemon_err.XXXXXX";
	int saved = dup(STDERR_FILENO), fd = mkstemp(name), i;

	(void)state;
	unlink(name);
	dup2(fd, STDERR_FILENO);		/* something that is a file */
	assert_int_equal(in_child(start_reports), 0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	for (i = 0; i < 1000 && access(path, F_OK) == -1; i++)
		usleep(10000);
	assert_string_equal(file_read(path), "0\n");
}

/* The parent must not wait for a daemon that runs on. */
static void
test_does_not_wait(void **state)
{
	char text[32];
	int fds[2];
	pid_t child;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	if ((child = fork()) == 0) {
		int fd = daemon_fork();

		n = snprintf(text, sizeof(text), "%ld", (long)getpid());
		(void)!write(fds[1], text, (size_t)n);
		daemon_ready(fd, 0, false);
		for (;;)
			pause();
	}
	alarm(20);
	assert_int_equal(waitpid(child, NULL, 0), child);
	alarm(0);
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	child = (pid_t)atol(text);
	assert_true(child > 1);
	assert_int_equal(kill(child, SIGKILL), 0);
	close(fds[0]);
	close(fds[1]);
}

/* ---- limits */

static int
raise_limit(void)
{
	struct rlimit l;
	int most;

	if (getrlimit(RLIMIT_NOFILE, &l) == -1)
		return 1;
	most = l.rlim_max > 1048576 ? 1048576 : (int)l.rlim_max;
	l.rlim_cur = 50;
	if (setrlimit(RLIMIT_NOFILE, &l) == -1)
		return 2;
	if (daemon_raise_limit() != most)
		return 3;
	if (getrlimit(RLIMIT_NOFILE, &l) == -1 || l.rlim_cur != (rlim_t)most)
		return 4;
	return daemon_raise_limit() != most ? 5 : 0;
}

static void
test_limit(void **state)
{
	(void)state;
	assert_int_equal(in_child(raise_limit), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pidfile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_locked, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_not_ours, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_refused, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_relative, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_adopt, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_pidfile_take, setup,
		    teardown),
		cmocka_unit_test(test_fork),
		cmocka_unit_test_setup_teardown(test_descriptors, setup,
		    teardown),
		cmocka_unit_test(test_does_not_wait),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
