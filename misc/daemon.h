/*
 * Being a daemon: the background, the pid file, the descriptor limit. The
 * process never changes its directory here, so that relative paths keep
 * their meaning over a reload.
 */
#ifndef MISC_DAEMON_H
#define MISC_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#define DAEMON_ERROR	256	/* size of a text for what went wrong */

/*
 * Go on in a child that leads a session of its own. Returns in the child
 * only, with a descriptor for daemon_ready(); -1 and errno if there is no
 * child. The parent waits: it ends with the status daemon_ready() gives it,
 * or with the child's own if that ends before. Standard input is /dev/null
 * from here on, output and errors stay until daemon_ready().
 */
int	 daemon_fork(void);
/*
 * The start is over: the parent may end with status. status_fd (of
 * daemon_fork; -1 when in the foreground: nothing happens) is closed, and 1
 * and 2 become /dev/null, 2 unless keep_stderr.
 */
void	 daemon_ready(int status_fd, int status, bool keep_stderr);

/* Absolute, so that what is done with it later does not depend on where the
 * process is then. Allocated; NULL, errno. */
char	*daemon_path(const char *);

/* Owned by the master, for its life: the lock goes with the descriptor. */
struct daemon_pidfile {
	int	 fd;		/* -1: none; close-on-exec */
	char	*path;		/* absolute where that can be found out */
};

/*
 * Open, lock, then truncate and write our process id (2.6). 0, or the exit
 * status (73) with the reason in error: "pid file 'F': in use by process N".
 */
int	 daemon_pidfile_open(struct daemon_pidfile *, const char *path,
	    char error[static DAEMON_ERROR]);
/* Go on with a pid file whose descriptor was inherited over an exec; the
 * lock is still ours. Takes fd over, copies path. -1, errno. */
int	 daemon_pidfile_adopt(struct daemon_pidfile *, const char *path, int fd);
/* Is it there that this one lies, however that is written? */
bool	 daemon_pidfile_at(const struct daemon_pidfile *, const char *path);
/* Go on with one whose process has ended: we hold its descriptor, but the
 * lock is gone. As daemon_pidfile_open(); p is empty on failure. */
int	 daemon_pidfile_take(struct daemon_pidfile *,
	    char error[static DAEMON_ERROR]);
/* Removes the file if it still is the one that was opened. Safe twice, and
 * on one that was never opened but has fd -1. */
void	 daemon_pidfile_close(struct daemon_pidfile *);

/* Raise the soft descriptor limit to the hard one, at most 1048576 (6.6).
 * Returns the limit now in force. */
int	 daemon_raise_limit(void);

#endif
