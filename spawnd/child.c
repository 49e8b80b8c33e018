/*
 * What is the master's alone closes on exec; that tells it from descriptors
 * that somebody gave us to read from.
 */
#include <sys/types.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "../misc/log.h"
#include "child.h"

static bool
kept(int fd, const int *keep, int n)
{
	for (int i = 0; i < n; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

void
child_close(const int *keep, int n)
{
	DIR *d = opendir("/dev/fd");
	struct dirent *e;

	log_file(-1);
	log_debug_file(-1);
	closelog();
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name), flags;

		if (fd <= STDERR_FILENO || fd == dirfd(d) ||
		    kept(fd, keep, n))
			continue;
		flags = fcntl(fd, F_GETFD);
		if (flags != -1 && (flags & FD_CLOEXEC) != 0)
			close(fd);
	}
	closedir(d);
}
