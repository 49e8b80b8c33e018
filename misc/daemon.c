/*
 * Being a daemon. Nothing here knows why the process starts or what it
 * serves; the order of a start is the master's.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon.h"

#define DESCRIPTORS_MAX	1048576	/* an absurd or absent limit counts as this */
#define PIDFILE_TRIES	8	/* files that vanish between open and lock */

/* ---- the background */

static void
null_onto(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1)
		return;
	if (null == fd)			/* was closed: it must outlive exec */
		(void)fcntl(fd, F_SETFD, 0);
	else {
		(void)dup2(null, fd);
		close(null);
	}
}

/* What the child said, or how it ended without saying anything. */
static int
child_status(int fd, pid_t child)
{
	unsigned char said;
	ssize_t n;
	int status;

	do
		n = read(fd, &said, 1);
	while (n == -1 && errno == EINTR);
	if (n == 1)
		return said;
	while (waitpid(child, &status, 0) == -1)
		if (errno != EINTR)
			return EX_SOFTWARE;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : EX_SOFTWARE;
}

int
daemon_fork(void)
{
	int fds[2];
	pid_t child;

	if (pipe(fds) == -1)
		return -1;
	if (fcntl(fds[0], F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(fds[1], F_SETFD, FD_CLOEXEC) == -1 ||
	    (child = fork()) == -1) {
		int saved = errno;

		close(fds[0]);
		close(fds[1]);
		errno = saved;
		return -1;
	}
	if (child > 0) {
		close(fds[1]);
		/* no exit handlers: buffers and files are the child's now */
		_exit(child_status(fds[0], child));
	}
	close(fds[0]);
	(void)setsid();
	null_onto(STDIN_FILENO);
	return fds[1];
}

void
daemon_ready(int status_fd, int status, bool keep_stderr)
{
	unsigned char said = (unsigned char)status;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;

	if (status_fd == -1)
		return;
	/* a parent that was killed meanwhile must not take us with it */
	sigaction(SIGPIPE, &ignore, &old);
	while (write(status_fd, &said, 1) == -1 && errno == EINTR)
		;
	sigaction(SIGPIPE, &old, NULL);
	close(status_fd);
	null_onto(STDOUT_FILENO);
	if (!keep_stderr)
		null_onto(STDERR_FILENO);
}

/* ---- the pid file */

static int
pidfile_fail(int fd, char error[static DAEMON_ERROR], const char *path,
    const char *reason)
{
	snprintf(error, DAEMON_ERROR, "pid file '%s': %s", path, reason);
	if (fd != -1)
		close(fd);
	return EX_CANTCREAT;
}

/* Process that holds the lock, or 0. */
static pid_t
pidfile_holder(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) == -1 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

static bool
pidfile_same(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/*
 * A descriptor that holds the lock on what stands at path. -1, with errno
 * and, if that is why, the holder.
 */
static int
pidfile_lock(const char *path, pid_t *holder)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	int fd, tries, saved;

	*holder = 0;
	for (tries = 0; tries < PIDFILE_TRIES; tries++) {
		/* O_NONBLOCK: a FIFO there must not hang the start */
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
		    O_CLOEXEC | O_NOCTTY, 0644);
		if (fd == -1)
			return -1;
		if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
			errno = EEXIST;
			goto fail;
		}
		if (fcntl(fd, F_SETLK, &lock) == -1) {
			if (errno != EACCES && errno != EAGAIN)
				goto fail;
			*holder = pidfile_holder(fd);
			errno = EAGAIN;
			if (*holder != 0)
				goto fail;
		} else if (pidfile_same(fd, path))
			return fd;
		/* its owner ended between our open and our lock: again */
		close(fd);
	}
	errno = EAGAIN;
	return -1;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

char *
daemon_path(const char *path)
{
	char dir[PATH_MAX], *whole;
	size_t n;

	if (path[0] == '/' || getcwd(dir, sizeof(dir)) == NULL)
		return strdup(path);
	n = strlen(dir) + strlen(path) + 2;
	if ((whole = malloc(n)) != NULL)
		snprintf(whole, n, "%s/%s", dir, path);
	return whole;
}

static int
pidfile_write(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	return ftruncate(fd, 0) == -1 || fchmod(fd, 0644) == -1 ||
	    pwrite(fd, text, (size_t)n, 0) != n ? -1 : 0;
}

int
daemon_pidfile_open(struct daemon_pidfile *p, const char *path,
    char error[static DAEMON_ERROR])
{
	char reason[64];
	pid_t holder;
	int fd;

	p->fd = -1;
	p->path = NULL;
	if ((fd = pidfile_lock(path, &holder)) == -1) {
		if (holder != 0) {
			snprintf(reason, sizeof(reason), "in use by process %ld",
			    (long)holder);
			return pidfile_fail(-1, error, path, reason);
		}
		return pidfile_fail(-1, error, path,
		    errno == ELOOP ? "is a symbolic link" :
		    errno == EEXIST ? "is not a regular file" :
		    strerror(errno));
	}
	if (pidfile_write(fd) == -1)
		return pidfile_fail(fd, error, path, strerror(errno));
	if ((p->path = daemon_path(path)) == NULL)
		return pidfile_fail(fd, error, path, strerror(ENOMEM));
	p->fd = fd;
	return 0;
}

int
daemon_pidfile_adopt(struct daemon_pidfile *p, const char *path, int fd)
{
	p->fd = -1;
	if ((p->path = daemon_path(path)) == NULL)
		return -1;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	p->fd = fd;
	return 0;
}

bool
daemon_pidfile_at(const struct daemon_pidfile *p, const char *path)
{
	return p->fd != -1 && pidfile_same(p->fd, path);
}

int
daemon_pidfile_take(struct daemon_pidfile *p,
    char error[static DAEMON_ERROR])
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *path = p->path;
	int fd = p->fd, status;

	if (pidfile_same(fd, path) && fcntl(fd, F_SETLK, &lock) == 0 &&
	    pidfile_write(fd) == 0)
		return 0;
	/* somebody has removed it, or was faster */
	close(fd);
	status = daemon_pidfile_open(p, path, error);
	free(path);
	return status;
}

void
daemon_pidfile_close(struct daemon_pidfile *p)
{
	if (p->fd == -1)
		return;
	/* before the lock goes, or we might remove our successor's */
	if (pidfile_same(p->fd, p->path))
		(void)unlink(p->path);
	close(p->fd);
	p->fd = -1;
	free(p->path);
	p->path = NULL;
}

/* ---- limits */

int
daemon_raise_limit(void)
{
	struct rlimit limit;
	rlim_t hard;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return (int)sysconf(_SC_OPEN_MAX);
	hard = limit.rlim_max;
	if (hard == RLIM_INFINITY || hard > DESCRIPTORS_MAX)
		hard = DESCRIPTORS_MAX;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < hard) {
		limit.rlim_cur = hard;
		if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
			(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur > DESCRIPTORS_MAX ?
	    DESCRIPTORS_MAX : (int)limit.rlim_cur;
}
